"""The memory that a process may still take: by the limits of its control groups, or else by what the kernel has available."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

_ROOT: Final = Path("/")


class FreeMemory(NamedTuple):
    """Bytes that are free, and what says so. ``is_own``: a limit of this process's control group, which it likely need not share."""

    size_bytes: int
    source: str
    is_own: bool


class _Files(NamedTuple):
    """Files of a control group: its limit, what it uses, and the field of memory.stat for its page cache that can be taken away."""

    limit: str
    usage: str
    reclaimable: str


_V1: Final = _Files("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2: Final = _Files("memory.max", "memory.current", "inactive_file")


def free_memory(root: Path = _ROOT) -> FreeMemory | None:
    """Return the least of all bounds; None if the system tells none. ``root`` has the folders ``proc`` and ``sys``."""
    meminfo = root / "proc" / "meminfo"
    available, total = _meminfo(meminfo, "MemAvailable"), _meminfo(meminfo, "MemTotal")
    found = (
        [] if available is None else [FreeMemory(available, "memory that the machine has available", False)]
    )
    for group, files in _groups(root):
        limit, usage = _number(group / files.limit), _number(group / files.usage)
        # Version 1 says "no limit" by a number that is greater than any memory.
        if limit is not None and usage is not None and (total is None or limit < total):
            used = max(0, usage - _stat(group / "memory.stat", files.reclaimable))
            source = f"memory that the control group's limit of {limit / 1_048_576:.0f} MiB leaves"
            found.append(FreeMemory(max(0, limit - used), source, True))
    return min(found, key=lambda each: each.size_bytes, default=None)


def _groups(root: Path) -> Iterator[tuple[Path, _Files]]:
    """Yield the control groups of this process that may limit its memory: its own, and each one around it."""
    mounted = root / "sys" / "fs" / "cgroup"
    for line in _lines(root / "proc" / "self" / "cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if "memory" in controllers.split(","):
            top, files = mounted / "memory", _V1
        elif number == "0" and not controllers:
            top, files = mounted, _V2
        else:
            continue
        # In a container the path may be that of the host, which does not exist here. Then only the mounted group is seen.
        group = top / path.strip("/")
        while True:
            if group.is_dir():
                yield group, files
            if group == top:
                break
            group = group.parent


def _meminfo(file: Path, name: str) -> int | None:
    for line in _lines(file):
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return None


def _stat(file: Path, name: str) -> int:
    for line in _lines(file):
        if line.startswith(f"{name} "):
            return int(line.split()[1])
    return 0


def _number(file: Path) -> int | None:
    """Return the number in a file; None for `max`, or if there is no such file."""
    lines = _lines(file)
    return int(lines[0]) if lines and lines[0].isdigit() else None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
