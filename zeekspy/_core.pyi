from collections.abc import Mapping, Sequence

LAYOUT_FIELDS: tuple[str, ...]
CODES: Mapping[str, int]
COST_NS: tuple[int, ...]

def validate_layout(fields: Mapping[str, int], stdlib: int) -> None: ...

class Memory:
    """An address space that can be read: a live process or a saved image."""

    @staticmethod
    def process(pid: int, *, no_vm_readv: bool = ...) -> Memory: ...
    @staticmethod
    def image(segments: Sequence[tuple[int, bytes]]) -> Memory: ...
    @property
    def method(self) -> str: ...
    def read(self, address: int, length: int) -> bytes:
        """Up to ``length`` bytes: fewer where memory ends, none where there is none."""
    def remember(self, limit: int) -> None: ...
    def remembered(self) -> list[tuple[int, bytes]]: ...
