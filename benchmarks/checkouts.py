"""Checkouts of Uptake whose processes can be measured: this one, and another one given as a path.

A process imports Uptake from its working directory, which is the root of its checkout. ``PYTHONPATH`` names the same directory, so
that it takes precedence over an editable installation of another checkout. ``Checkout.open`` verifies this before anything is measured.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.imported import PACKAGES

ROOT: Final = Path(__file__).resolve().parents[1]
_CODE: Final = (*PACKAGES, "compiled")
"""Folders of what processes import. ``compiled`` has extensions of some modules; older checkouts have none."""
DISTRIBUTIONS: Final = (
    "faust-streaming",
    "aiokafka",
    "aiohttp",
    "httptools",
    "msgspec",
    "rocksdict",
    "uvloop",
)
"""Dependencies whose versions affect how fast a checkout is."""
_PROBE: Final = Path(__file__).with_name("imported.py")
_PROBE_SECONDS: Final = 120.0


class CheckoutError(RuntimeError):
    """The processes of a checkout cannot be measured; the message says why."""


@dataclass(frozen=True)
class Imported:
    """The report of a Python that imported every module of a checkout (benchmarks/imported.py)."""

    files: Mapping[str, str]
    failed: Mapping[str, str]
    python: str
    versions: Mapping[str, str | None]

    def complaint(self, root: Path) -> str | None:
        """Return why these imports are not those of the checkout at ``root``, or None if they are."""
        if self.failed:
            module, error = next(iter(self.failed.items()))
            return f"{module} cannot be imported ({error})"
        if "app.cli" not in self.files:
            return "there is no module app.cli"
        for module, file in sorted(self.files.items()):
            if not Path(file).resolve().is_relative_to(root / module.partition(".")[0]):
                return f"{module} is imported from {file}, not from the checkout"
        return None


@dataclass(frozen=True)
class Checkout:
    """The code of a contestant's process: a directory, and the Python that runs it."""

    root: Path
    python: Path
    environment: str = "the running Python"
    """Where its dependencies come from."""
    given: str = "."
    """The path as the user wrote it."""
    commit: str | None = None
    is_dirty: bool | None = None
    """Whether code or benchmarks have uncommitted changes."""
    code: str = ""
    """A checksum of the code."""
    imported: Imported | None = field(default=None, repr=False)

    @classmethod
    def open(cls, path: Path) -> "Checkout":
        """Return the checkout at a path, run by its own ``.venv`` if that works; CheckoutError if it cannot be measured."""
        root = _root_of(path)
        commit = _git(root, "rev-parse", "HEAD").decode().strip()
        is_dirty = bool(_git(root, "status", "--porcelain", "--", *_CODE, "benchmarks"))
        code = _checksum(root)
        tried: list[str] = []
        for environment, python in _pythons(root):
            try:
                imported = _probe(root, python)
            except CheckoutError as error:
                tried.append(f"with {environment}: {error}")
                continue
            complaint = imported.complaint(root)
            if complaint is None:
                return cls(root, python, environment, str(path), commit, is_dirty, code, imported)
            tried.append(f"with {environment}: {complaint}")
        raise CheckoutError(f"{path} cannot be measured; {'; '.join(tried)}")

    def command(self, arguments: Sequence[str]) -> list[str]:
        """Return the command line of a Python process of this checkout."""
        return [str(self.python), *arguments]

    def environ(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of a process: ours and ``env``, with this checkout first among the imports."""
        return {**os.environ, "PYTHONUNBUFFERED": "1", **env, "PYTHONPATH": str(self.root)}

    def require_unchanged(self) -> None:
        """Raise CheckoutError if the code has changed since the checkout was opened."""
        if _checksum(self.root) != self.code:
            raise CheckoutError(f"the code in {self.given} changed while it was measured")

    def describe(self) -> dict[str, Any]:
        """Return what a reader must know to repeat a measurement of this checkout."""
        facts: dict[str, Any] = {
            "checkout": self.given,
            "commit": self.commit,
            "is_dirty": self.is_dirty,
            "code": self.code,
            "environment": self.environment,
        }
        if self.imported is not None:
            facts |= {"python": self.imported.python, "versions": dict(self.imported.versions)}
        return facts


THIS: Final = Checkout(ROOT, Path(sys.executable))
"""The checkout that this module belongs to, run by the Python that runs the benchmark."""


def different_versions(one: Imported, other: Imported) -> dict[str, tuple[str | None, str | None]]:
    """Return the versions that differ between two environments: distribution, or ``python`` -> both versions."""
    pairs: dict[str, tuple[str | None, str | None]] = {"python": (one.python, other.python)}
    pairs |= {name: (one.versions.get(name), other.versions.get(name)) for name in DISTRIBUTIONS}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _root_of(path: Path) -> Path:
    """Return the root of the checkout at a path; CheckoutError if the path is no checkout."""
    if not path.is_dir():
        raise CheckoutError(f"{path} is not a directory")
    root = path.resolve()
    top = _git(root, "rev-parse", "--show-toplevel").decode().rstrip("\n")
    if Path(top).resolve() != root:
        raise CheckoutError(f"{path} is not the root of a git checkout, {top} is")
    if not (root / "app" / "__main__.py").is_file():
        raise CheckoutError(f"{path} is no checkout of Uptake that has `python -m app`")
    return root


def _checksum(root: Path) -> str:
    """Return a checksum of the names and contents of all files that a process may import."""
    checksum = hashlib.sha256()
    for path in sorted(path for package in _CODE for path in (root / package).rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            content = path.read_bytes()
            checksum.update(f"{path.relative_to(root)}\0{len(content)}\0".encode() + content)
    return checksum.hexdigest()[:12]


def _git(root: Path, *arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        raise CheckoutError(
            "git is not installed; it is needed to name the commits that are compared"
        ) from None
    if done.returncode != 0:
        complaint = done.stderr.decode(errors="replace").strip()
        raise CheckoutError(f"{root} is not a git checkout with a commit: {complaint}")
    return done.stdout


def _pythons(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield the environments that may run a checkout, the best first: its own, then the one that runs the benchmark."""
    own = root / ".venv" / "bin" / "python"
    if own.exists():
        yield "its own .venv", own
    yield "the running Python", Path(sys.executable)


def _probe(root: Path, python: Path) -> Imported:
    """Let a Python import the code of a checkout as a measured process does; CheckoutError if it does not run."""
    checkout = Checkout(root, python)
    try:
        done = subprocess.run(
            checkout.command(["-P", str(_PROBE), *DISTRIBUTIONS]),
            cwd=root,
            env=checkout.environ({}),
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
        told = json.loads(done.stdout.decode().strip().rpartition("\n")[2])
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        raise CheckoutError(f"{python} does not run: {error}") from error
    return Imported(**told)
