"""What pyproject.toml cannot say: the extension module, and the stand-in target's executables."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sysconfig
from glob import glob
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Command, Extension, setup
from setuptools.command.build import build

STANDIN = "zeekspy/standin"


class build_standin(Command):
    """Compiles zeekspy/standin/*.cc once per era. Without a C++ compiler zeekspy is built all the same, without it."""

    def initialize_options(self) -> None:
        self.build_lib: str | None = None
        self.editable_mode = False

    def finalize_options(self) -> None:
        self.set_undefined_options("build_py", ("build_lib", "build_lib"))

    def run(self) -> None:
        compiler = shlex.split(os.environ.get("CXX", "")) or next(
            ([found] for name in ("c++", "g++", "clang++") if (found := shutil.which(name))), None
        )
        if compiler is None:
            self.warn("no C++ compiler: the stand-in target, and with it zeekspy demo, is left out")
            return
        for executable in self._executables():
            executable.parent.mkdir(parents=True, exist_ok=True)
            era = executable.name.removeprefix("standin-")
            # Not optimised for size or stripped: its DWARF is where the profiler learns the layout, its .dynsym where
            # it finds the call stack.
            flags = ["-std=c++17", f"-DZEEK_ERA={era}", "-O2", "-g", "-Wall", "-Wextra", "-rdynamic", "-pthread"]
            command = [*compiler, *flags, "-o", str(executable), *sorted(glob(f"{STANDIN}/*.cc"))]
            self.announce(shlex.join(command), level=2)
            subprocess.run(command, check=True)

    def _executables(self) -> list[Path]:
        package = Path(STANDIN) if self.editable_mode else Path(self.build_lib or "", STANDIN)
        return [package / "bin" / f"standin-{era}" for era in ("1", "2")]

    def get_source_files(self) -> list[str]:
        return sorted(glob(f"{STANDIN}/*.cc") + glob(f"{STANDIN}/*.h"))

    def get_outputs(self) -> list[str]:
        return [str(executable) for executable in self._executables() if executable.exists()]

    def get_output_mapping(self) -> dict[str, str]:
        return {}


build.sub_commands.append(("build_standin", None))

# One wheel for every Python from 3.11 on, but not for free-threaded builds: they have no such ABI.
abi3 = not sysconfig.get_config_var("Py_GIL_DISABLED")

core = Extension(
    "zeekspy._core",
    ["zeekspy/_core.pyx", *sorted(glob("csrc/*.c"))],
    include_dirs=["csrc"],
    depends=sorted(glob("csrc/*.h")),
    define_macros=[("Py_LIMITED_API", "0x030B0000")] if abi3 else [],
    py_limited_api=abi3,
    extra_compile_args=["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Wshadow", "-fvisibility=hidden", "-pthread"],
    extra_link_args=["-pthread"],
)

setup(
    ext_modules=cythonize(
        [core],
        build_dir="build/cython",  # no generated C beside the sources
        compiler_directives={"language_level": 3, "embedsignature": True, "freethreading_compatible": True},
    ),
    cmdclass={"build_standin": build_standin},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if abi3 else {},
)
