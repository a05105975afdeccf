from collections.abc import Mapping, Sequence
from typing import Any

from zeekspy.errors import ZeekspyError

LAYOUT_FIELDS: tuple[str, ...]
CODES: Mapping[str, int]
SAMPLE_FLAGS: Mapping[str, int]
FRAME_FLAGS: Mapping[str, int]
KINDS: tuple[str | None, ...]
COST_NS: tuple[int, ...]
ENGINES: tuple[str, ...]
"""Names; ``auto`` is the session's."""
MAX_READ: int

BodyRow = tuple[int, int, int, int, int]
"""file string id, first line, last line, Stmt tag, address of the top statement."""
FuncRow = tuple[int, int, tuple[BodyRow, ...]]
"""name string id, index into KINDS, bodies."""
FrameRow = tuple[int, int, int, int]
"""func id, file string id, line, FRAME_FLAGS."""
Definitions = tuple[list[str], list[FuncRow], list[FrameRow], list[tuple[int, ...]]]
"""strings, funcs, frames, stacks (of frame ids, outermost first)."""
Run = tuple[int, int, int, int, int, int]
"""t_ns, stack id, SAMPLE_FLAGS, count, cpu_ns, wall_ns."""

def code_name(code: int) -> str: ...
def validate_layout(fields: Mapping[str, int], stdlib: int) -> None: ...
def confine(
    *, stops: bool = False, publish: bool = False, serve: bool = False, child: int = 0, capabilities: int = 0
) -> None: ...
def drop(capabilities: int) -> None: ...

class Memory:
    @staticmethod
    def process(pid: int, *, no_vm_readv: bool = False) -> Memory: ...
    @staticmethod
    def image(segments: Sequence[tuple[int, bytes | memoryview]]) -> Memory: ...
    @property
    def method(self) -> str: ...
    def read(self, address: int, length: int) -> bytes: ...
    def read_many(self, addresses: Sequence[int], length: int) -> list[bytes]: ...
    def remember(self, limit: int) -> None: ...
    def remembered(self) -> list[tuple[int, bytes]]: ...

class Walker:
    memory: Memory
    def __init__(
        self,
        memory: Memory,
        fields: Mapping[str, int],
        stdlib: int,
        *,
        pid: int = 0,
        call_stack: int,
        g_frame_stack: int = 0,
        stack: tuple[int, int] = (0, 0),
        data: tuple[int, int] = (0, 0),
        dispatched: int = 0,
    ) -> None: ...
    def walk(self) -> tuple[int, int, int, int]: ...
    def define(self, addresses: Sequence[int]) -> list[int]: ...
    def definitions(self) -> Definitions: ...

Dispatch = tuple[int, int, int, int]
"""stack id that most samples saw, first and last sample (CLOCK_MONOTONIC ns), samples: of one event's dispatch."""

class Batch:
    runs: list[Run]
    definitions: Definitions
    dispatches: list[Dispatch] | None
    """Those of two samples and more that are over. None: the target's counter of dispatches is not known."""
    bounds: list[tuple[int, int]] | None
    """For each of them the samples just before and just after it; 0 if there was none before."""
    dispatching: Dispatch | None
    """The one that goes on at the last sample."""
    lost: ZeekspyError | MemoryError | None

class Sampler:
    walker: Walker
    def __init__(
        self, walker: Walker, pid: int, hz: float, seed: int, *, engine: str = "nonblocking", avoid: Sequence[int] = ()
    ) -> None: ...
    def use(self, engine: str) -> None: ...
    def poll(self, budget_ns: int, *, go_on: bool = False) -> Batch: ...
    def set_hz(self, hz: float) -> None: ...
    def stats(self) -> dict[str, Any]: ...
    def counts(self) -> tuple[int, int, int, int, int, int, int]: ...

class Crew:
    def __init__(self, hz: float, seed: int) -> None: ...
    def set_hz(self, hz: float) -> None: ...
    def poll(self, samplers: Sequence[Sampler], budget_ns: int) -> list[Batch]: ...
