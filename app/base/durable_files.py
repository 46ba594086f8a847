"""How does a file survive a crash: the few calls that are made of the disk, each durable when it returns. Files have mode 600."""

import os
from pathlib import Path
from typing import Final

sync: Final = getattr(os, "fdatasync", os.fsync)
"""Makes what was written to a descriptor durable."""


def sync_directory(path: Path) -> None:
    """Make names of files durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def cut(path: Path, good_bytes: int) -> None:
    """Shorten a file, durably."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.ftruncate(descriptor, good_bytes)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, data: bytes) -> None:
    """Write a whole file, durably but for its name."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it: a disk that is nearly full takes a part first."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def replace_file(path: Path, data: bytes) -> None:
    """Put a file in the place of another one, durably: whoever reads it finds all of the old one or all of the new one."""
    fresh = path.with_name(f"{path.name}.new")
    write_file(fresh, data)
    fresh.replace(path)
    sync_directory(path.parent)
