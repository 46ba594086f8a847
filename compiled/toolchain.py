"""The tools that compile: a C compiler, the headers of Python, and Cython."""

import os
import shlex
import shutil
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, NamedTuple

from compiled.finder import BUILD_COMMAND

_COMPILERS: Final = ("cc", "gcc", "clang")
_FLAGS: Final = ("CFLAGS", "CPPFLAGS", "LDFLAGS")


class Obstacle(NamedTuple):
    """Why nothing can be compiled, and what to do."""

    reason: str
    cure: str


@dataclass(frozen=True)
class Toolchain:
    """The tools of this machine. What is missing is the empty string."""

    compiler: str
    header: str
    cython: str
    flags: str = ""

    @classmethod
    def find(cls, environ: Mapping[str, str] = os.environ) -> "Toolchain":
        """Look for the tools. ``CC`` names the compiler, if it is set."""
        named = environ.get("CC")
        candidates = [named] if named else [sysconfig.get_config_var("CC") or "", *_COMPILERS]
        compiler = next((command for command in candidates if _is_there(command, environ)), "")
        header = Path(sysconfig.get_path("include")) / "Python.h"
        try:
            cython = version("cython")
        except PackageNotFoundError:
            cython = ""
        flags = " ".join(f"{name}={environ[name]}" for name in _FLAGS if name in environ)
        return cls(compiler, str(header) if header.exists() else "", cython, flags)

    def obstacle(self) -> Obstacle | None:
        """Return what is missing, or None."""
        if not self.compiler:
            return Obstacle(
                "no C compiler was found", f"install gcc or name a compiler in CC, then run `{BUILD_COMMAND}`"
            )
        if not self.header:
            headers = f"python{sysconfig.get_python_version()}-dev"
            return Obstacle(
                "the headers of Python are missing", f"install {headers}, then run `{BUILD_COMMAND}`"
            )
        if not self.cython:
            return Obstacle("Cython is not installed", "run `make clean setup`")
        return None


def _is_there(command: str, environ: Mapping[str, str]) -> bool:
    words = shlex.split(command)
    return bool(words) and shutil.which(words[0], path=environ.get("PATH")) is not None
