"""Identity of a process: its servers name their process id, so that a supervisor knows its own child."""

import os
from typing import Final

PID_HEADER: Final = "Uptake-Pid"
"""Header of /health/ready with the id of the process that answers."""


def pid_header() -> dict[str, str]:
    """Return the header that names this process."""
    return {PID_HEADER: str(os.getpid())}
