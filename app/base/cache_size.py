"""The size of a worker's cache of rows: what the setting says, or else a share of the memory that is free at the start."""

import os
from pathlib import Path
from typing import Final, NamedTuple

from app.base.free_memory import free_memory

_MEBIBYTE: Final = 1_048_576
_LEAST_BYTES: Final = 32 * _MEBIBYTE
_MOST_BYTES: Final = 1_024 * _MEBIBYTE
"""A share of a large machine is not larger; a setting may be."""
_MODEST_BYTES: Final = 96 * _MEBIBYTE
"""Where the system does not say what is free."""
_SHARE: Final = 4
"""One part in so many of what is free. A cache may take twice its size, and as much should stay free for the system's page cache."""


class CacheSize(NamedTuple):
    """A size in bytes, and why."""

    size_bytes: int
    reason: str


def cache_size(setting: int | None, root: Path = Path("/"), cores: int | None = None) -> CacheSize:
    """Return the size of a worker's cache. ``root``: see free_memory. ``cores``: workers that may share the machine; None: its cores."""
    if setting is not None:
        return CacheSize(setting, "UPTAKE_CACHE_BYTES")
    free = free_memory(root)
    if free is None:
        return CacheSize(_MODEST_BYTES, "the system does not say how much memory is free")
    # One worker a core shares a machine, but a container has one worker.
    workers = 1 if free.is_own else cores or os.cpu_count() or 1
    size_bytes = free.size_bytes // (_SHARE * workers)
    among = "" if workers == 1 else f", for {workers} workers, one a core"
    reason = f"a quarter of {free.size_bytes / _MEBIBYTE:,.0f} MiB of {free.source}{among}"
    if size_bytes > _MOST_BYTES:
        return CacheSize(_MOST_BYTES, f"at most {_MOST_BYTES // _MEBIBYTE:,} MiB, less than {reason}")
    if size_bytes < _LEAST_BYTES:
        return CacheSize(_LEAST_BYTES, f"at least {_LEAST_BYTES // _MEBIBYTE} MiB, more than {reason}")
    return CacheSize(size_bytes, reason)
