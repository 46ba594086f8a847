"""How much memory has a process taken: what the kernel remembers of it."""

from pathlib import Path


def peak_mb(pid: int) -> float | None:
    """Return the greatest resident size of a process so far, in MB (10^6 bytes); None where the system does not tell."""
    return _field(pid, "VmHWM")


def resident_mb(pid: int) -> float | None:
    """Return the resident size of a process now, in MB (10^6 bytes); None where the system does not tell."""
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
