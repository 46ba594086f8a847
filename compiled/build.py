"""Builds the extension modules that pyproject.toml lists: ``python -m compiled.build``.

It compiles what changed and nothing else. Where that is impossible, one sentence says why, and all modules run as pure Python.
"""

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final

from compiled.finder import BUILD_COMMAND
from compiled.manifest import ROOT, SUFFIX, Manifest, built_directory, digest_of, extension_file
from compiled.toolchain import Obstacle, Toolchain

_RECIPE: Final = "compiled/compile_modules.py"
_OTHER_TYPES: Final = re.compile(
    r"\b(?:events|tables|agents)\b[\w.]* cimport|cimport (?:events|tables|agents)\b"
)
_PACKAGES: Final = ("events", "tables", "agents")
"""Packages that install the finder. A module elsewhere would be compiled and never imported."""


def listed_modules(root: Path) -> list[str]:
    """Return the modules to compile, as pyproject.toml lists them."""
    modules = list(tomllib.loads((root / "pyproject.toml").read_text())["tool"]["uptake"]["compiled"])
    strange = [name for name in modules if name.partition(".")[0] not in _PACKAGES]
    if strange:
        raise ValueError(f"only modules of {', '.join(_PACKAGES)} can be compiled: {', '.join(strange)}")
    return modules


def build(root: Path = ROOT, environ: Mapping[str, str] = os.environ) -> Manifest:
    """Bring the extension modules of the packages at ``root`` up to date. Say on stderr what is done, or why it is impossible."""
    try:
        made = _brought_up_to_date(root, built_directory(root), environ)
    except OSError as error:
        made = Manifest(failure=str(error), cure=f"mend that, then run `{BUILD_COMMAND}`")
    if made.failure:
        print(
            f"Uptake runs as pure Python, with the same results: {made.failure}. Cure: {made.cure}.",
            file=sys.stderr,
        )
    return made


def _brought_up_to_date(root: Path, directory: Path, environ: Mapping[str, str]) -> Manifest:
    directory.mkdir(parents=True, exist_ok=True)
    tools = Toolchain.find(environ)
    modules = listed_modules(root)
    sources = _digests(root, modules)
    keys = {name: _key_of(root, name, sources, tools) for name in modules}
    request = _digest(repr((keys, tools)))
    former = Manifest.read(directory) or Manifest()
    if former.request == request and not _missing(directory, former.modules):
        return former
    absent = _missing(directory, keys)
    obstacle = tools.obstacle() or _compile(root, directory, absent, {**environ, "CC": tools.compiler})
    made = Manifest(keys, sources, request)
    if obstacle is not None:
        made = Manifest(request=request, failure=obstacle.reason, cure=obstacle.cure)
    made.write(directory)
    _remove_others(directory, made, former)
    return made


def _digests(root: Path, modules: Sequence[str]) -> dict[str, str]:
    """Return the digest of every source: of the recipe, the modules and all types."""
    types = [path for package in _PACKAGES for path in (root / package).rglob("*.pxd")]
    paths = [_RECIPE, *sorted(path.relative_to(root).as_posix() for path in types)]
    paths += [_source_of(name) for name in modules]
    return {path: digest_of(root / path) for path in paths}


def _key_of(root: Path, module: str, sources: Mapping[str, str], tools: Toolchain) -> str:
    """Return the digest of all that a module is built from. Types that use those of other modules may change with any of them."""
    source = _source_of(module)
    types = source.removesuffix("py") + "pxd"
    uses_others = types in sources and _OTHER_TYPES.search((root / types).read_text()) is not None
    used = [
        (path, digest)
        for path, digest in sources.items()
        if path in (_RECIPE, source, types) or (uses_others and path.endswith(".pxd"))
    ]
    return _digest(repr((used, tools)))


def _source_of(module: str) -> str:
    return module.replace(".", "/") + ".py"


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _missing(directory: Path, keys: Mapping[str, str]) -> dict[str, str]:
    return {name: key for name, key in keys.items() if not extension_file(directory, name, key).exists()}


def _remove_others(directory: Path, *kept: Manifest) -> None:
    """Remove extensions of no kept manifest. Processes that read the former one may still import its modules."""
    files = {file for manifest in kept for file in manifest.files(directory).values()}
    for file in directory.glob(f"*{SUFFIX}"):
        if file not in files:
            file.unlink(missing_ok=True)


def _compile(
    root: Path, directory: Path, keys: Mapping[str, str], environ: Mapping[str, str]
) -> Obstacle | None:
    """Compile modules in a process of their own, and put the extensions into ``directory`` when all are there."""
    if not keys:
        return None
    print(f"compiling {len(keys)} module{'s' if len(keys) > 1 else ''}", file=sys.stderr)
    log = directory / "build.log"
    with tempfile.TemporaryDirectory(dir=directory) as work, log.open("w") as output:
        done = subprocess.run(
            [sys.executable, root / _RECIPE, work, *keys],
            check=False,
            cwd=root,
            env=environ,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        made = {
            Path(work) / f"{name}{SUFFIX}": extension_file(directory, name, key) for name, key in keys.items()
        }
        if done.returncode != 0 or not all(path.exists() for path in made):
            return Obstacle(
                "the modules could not be compiled", f"read {log}, then remove it and run `{BUILD_COMMAND}`"
            )
        for path, goal in made.items():
            path.replace(goal)
    return None


if __name__ == "__main__":
    build()
