"""Memory of a process, as the kernel reports it in ``/proc``."""

from pathlib import Path


def peak_mb(pid: int) -> float | None:
    """Return the peak resident size of a process, in MB (10^6 bytes); None if the system does not report it."""
    return _field(pid, "VmHWM")


def resident_mb(pid: int) -> float | None:
    """Return the current resident size of a process, in MB (10^6 bytes); None if the system does not report it."""
    return _field(pid, "VmRSS")


def _field(pid: int, name: str) -> float | None:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024 / 1_000_000
    return None
