"""The C core as a cffi module: csrc/*.c compiled as it stands, declared by its own headers. Nothing is copied by hand.

With ZEEKSPY_SANITIZE=1 it is compiled for AddressSanitizer and UBSan; the interpreter then needs libasan preloaded, as
``make check-asan`` does.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import cffi

ROOT = Path(__file__).resolve().parents[2]
CSRC = ROOT / "csrc"
CACHE = ROOT / "build" / "core"
SANITIZE = os.environ.get("ZEEKSPY_SANITIZE") == "1"
INTERNAL = ("clock.h", "dispatch.h", "intern.h")
"""Headers declared besides zs.h, for tests of what the public functions do not show."""


def compiler() -> list[str]:
    return (os.environ.get("CC") or "cc").split()


def environment() -> dict[str, str]:
    """The compiler's: the sanitizers' libraries, if preloaded, are meant for the tests."""
    return {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}


def declarations() -> str:
    """What the headers declare, for ffi.cdef: preprocessed without what they include."""
    parts = []
    for name in ("zs.h", *INTERNAL):
        # internal.h is taken for included already: it holds nothing but includes and inline functions.
        command = [*compiler(), "-E", "-P", "-DZS_CFFI", "-DZS_INTERNAL_H", str(CSRC / name)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment())
        parts.append(done.stdout)
    constants = re.findall(r"^#define (ZS_[A-Z_]+) +[(\d-]", (CSRC / "zs.h").read_text(), re.MULTILINE)
    return "\n".join([*parts, *(f"#define {name} ..." for name in constants)])


def flags() -> list[str]:
    """As setup.py compiles the extension, with checks instead of speed where sanitizers are asked for."""
    common = ["-std=gnu11", "-g", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra", f"-I{CSRC}"]
    common += [
        "-pthread",
        "-Wno-unused-parameter",
        "-Wno-missing-field-initializers",
        f"-I{sysconfig.get_path('include')}",
    ]
    if SANITIZE:
        return [*common, "-O1", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    return [*common, "-O2"]


def build() -> Path:
    """The module's file, compiled unless the same sources have been compiled the same way before."""
    sources = sorted(CSRC.glob("*.c"))
    digest = hashlib.sha256(repr((sys.version, cffi.__version__, compiler(), flags())).encode())
    for path in [*sources, *sorted(CSRC.glob("*.h")), Path(__file__)]:
        digest.update(path.read_bytes())
    kind = "zs_asan" if SANITIZE else "zs_test"
    name = f"_{kind}_{digest.hexdigest()[:12]}"
    module = CACHE / f"{name}.so"
    if module.exists():
        return module
    ffi = cffi.FFI()
    ffi.cdef(declarations())
    ffi.set_source(name, "\n".join(f'#include "{header}"' for header in ("zs.h", *INTERNAL)))
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        glue, made = Path(scratch, f"{name}.c"), Path(scratch, module.name)
        ffi.emit_c_code(str(glue))
        subprocess.run([*compiler(), *flags(), "-o", made, glue, *sources], check=True, env=environment())
        for old in CACHE.glob(f"_{kind}_*.so"):
            old.unlink(missing_ok=True)
        os.replace(made, module)
    return module


@cache
def load() -> tuple[Any, Any]:
    """The module's (ffi, lib)."""
    path = build()
    loader = importlib.machinery.ExtensionFileLoader(path.stem, str(path))
    spec = importlib.util.spec_from_file_location(path.stem, path, loader=loader)
    assert spec is not None
    module: Any = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module.ffi, module.lib
