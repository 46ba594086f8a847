"""Compiles modules with Cython and the C compiler: ``python compile_modules.py DIRECTORY MODULE...``, from the root of the packages.

A process of its own, because setuptools and Cython change the process they run in, and the compiler writes to its output.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from Cython.Build import cythonize
from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext

_DIRECTIVES: Final[dict[str, Any]] = {
    "language_level": 3,
    # A hint stays a hint: a typed argument would refuse subclasses, and an int of C overflows. Types for C are in .pxd files.
    "annotation_typing": False,
    "binding": True,
}
_C_FLAGS: Final = ("-O2", "-g0")


def _compile(directory: Path, modules: Sequence[str]) -> None:
    """Compile modules into a directory. Each extension has the full name of its module."""
    cores = os.cpu_count() or 1
    extensions: list[Extension] = cythonize(  # type: ignore[no-untyped-call]
        [
            Extension(name, [name.replace(".", "/") + ".py"], extra_compile_args=list(_C_FLAGS))
            for name in modules
        ],
        build_dir=str(directory / "c"),
        compiler_directives=_DIRECTIVES,
        nthreads=min(cores, len(modules)),
        force=True,
        quiet=True,
    )
    command = build_ext(Distribution({"name": "uptake", "ext_modules": extensions}))
    command.build_lib, command.build_temp = str(directory / "lib"), str(directory / "objects")
    command.parallel = cores
    command.ensure_finalized()
    command.run()
    for extension in extensions:
        made = Path(command.get_ext_fullpath(extension.name))
        made.replace(directory / (extension.name + "".join(made.suffixes)))


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    _compile(Path(sys.argv[1]), sys.argv[2:])
