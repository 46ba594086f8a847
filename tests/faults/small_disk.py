"""A disk that is full when a test says so: a tmpfs of its own, which only root may mount."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class SmallDisk:
    """A mounted file system of limited size. ``fill`` leaves ``left_bytes`` free, ``free`` undoes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self, left_bytes: int = 0) -> None:
        """Use all space except ``left_bytes``."""
        with self._ballast.open("ab") as file:
            while True:
                usage = os.statvfs(self.path)
                room = usage.f_bavail * usage.f_frsize - left_bytes
                if room <= 0:
                    return
                try:
                    file.write(bytes(min(room, 1_048_576)))
                    file.flush()
                except OSError:
                    return

    def free(self) -> None:
        """Free the space again."""
        self._ballast.unlink()


@contextmanager
def small_disk(path: Path, size_bytes: int = 64 * 1_048_576) -> Iterator[SmallDisk]:
    """Yield a disk mounted at ``path``; skip the test where mounting is not allowed."""
    path.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=0700", "uptake-test", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(
            f"no file system can be mounted here, so a full disk was not tested: {mounted.stderr.strip()}"
        )
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
