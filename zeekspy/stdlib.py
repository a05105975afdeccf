"""Which C++ library's std::string an executable uses: its layout is part of every layout."""

from __future__ import annotations

from zeekspy.elf import Elf

NEW, OLD = b"NSt7__cxx11", (b"_ZNSs", b"_ZNKSs", b"RKSs")
"""How GNU's strings are mangled since GCC 5, and before it (or with _GLIBCXX_USE_CXX11_ABI=0)."""
LIBCXX = b"NSt3__1"


def stdlib_of(elf: Elf) -> str:
    """One of layout.STDLIBS, from the libraries it needs and the names of its symbols."""
    if any(name.startswith("libc++.so") for name in elf.needed):
        return "libc++"
    seen = elf.mentioned(LIBCXX, NEW, *OLD)
    if LIBCXX in seen and NEW not in seen:
        return "libc++"
    return "libstdc++-old" if seen.intersection(OLD) and NEW not in seen else "libstdc++"
