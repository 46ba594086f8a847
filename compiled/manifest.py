"""The manifest of what was compiled: extension modules, and the sources that they were built from.

It stands with the extension modules in ``compiled/built``, in a directory for each kind of Python. Only the standard library is
used, because every process reads it before it imports anything else of ours.
"""

import json
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
"""Where our packages are: the root of a checkout, or ``site-packages``."""
SUFFIX: Final = EXTENSION_SUFFIXES[0]
"""Names the Python, its version and the platform: an extension module runs only there."""


def built_directory(root: Path) -> Path:
    """Return the directory of the extension modules that this Python can load."""
    return root / "compiled" / "built" / SUFFIX.strip(".").removesuffix(".so")


@dataclass(frozen=True)
class Manifest:
    """What a build left behind. ``failure`` says why there is no extension module, and ``cure`` what to do."""

    modules: dict[str, str] = field(default_factory=dict)
    """Module -> the key of its extension, a digest of all that it was built from."""
    sources: dict[str, str] = field(default_factory=dict)
    """Path of each source, from the root -> a digest of its content."""
    request: str = ""
    """A digest of what was to be built. A build that failed is not repeated until it changes."""
    failure: str = ""
    cure: str = ""

    @classmethod
    def read(cls, directory: Path) -> "Manifest | None":
        """Return the manifest in a directory, or None if there is no readable one."""
        try:
            return cls(**json.loads((directory / "manifest.json").read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, directory: Path) -> None:
        """Replace the manifest in a directory, in one step."""
        written = directory / "manifest.json.new"
        written.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        written.replace(directory / "manifest.json")

    def files(self, directory: Path) -> dict[str, Path]:
        """Return module -> its extension."""
        return {name: extension_file(directory, name, key) for name, key in self.modules.items()}

    def changed_source(self, root: Path) -> str | None:
        """Return the first source that is not what was compiled, or None."""
        return next((path for path, digest in self.sources.items() if digest_of(root / path) != digest), None)


def extension_file(directory: Path, module: str, key: str) -> Path:
    """Return where the extension of a module is that was built for ``key``. A build replaces no file that a process may load."""
    return directory / f"{module}.{key}{SUFFIX}"


def digest_of(path: Path) -> str:
    """Return a digest of a file's content; the empty string for a missing file."""
    try:
        return blake2b(path.read_bytes(), digest_size=16).hexdigest()
    except OSError:
        return ""
