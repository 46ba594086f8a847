"""Durable file operations: each has reached the disk when it returns. New files have mode 600."""

import os
from pathlib import Path
from typing import Final

sync: Final = getattr(os, "fdatasync", os.fsync)
"""Makes the bytes written to a file descriptor durable."""


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable: of files that were created, renamed or deleted."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def cut(path: Path, good_bytes: int) -> None:
    """Shorten a file to its first ``good_bytes`` bytes, durably."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.ftruncate(descriptor, good_bytes)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, data: bytes) -> None:
    """Write a whole file. Its bytes are durable; its name is durable only after ``sync_directory``."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all bytes: ``os.write`` may write only a part, for example when the disk is nearly full."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def replace_file(path: Path, data: bytes) -> None:
    """Replace a file atomically and durably: a reader finds the whole old file or the whole new one."""
    fresh = path.with_name(f"{path.name}.new")
    write_file(fresh, data)
    fresh.replace(path)
    sync_directory(path.parent)
