"""The command ``uptake``, also as ``python -m app``. It handles SIGTERM before it imports anything large.

The kernel ignores a signal without a handler for process 1 of a container. The imports of a server take half a second: a SIGTERM that
came in this time would be lost.
"""

import os
import signal
import sys
from typing import Final

_SERVERS: Final = frozenset({"collector", "dashboard", "kafka", "up", "worker"})
"""Commands that run until a signal. It is how they end, and no failure."""
_HOLDS_NOTHING: Final = frozenset({"collector", "dashboard", "worker"})
"""Servers that have nothing to put in order before their own handlers are set."""
_TERMINATED: Final = 128 + signal.SIGTERM


def main() -> None:
    """Run the command line, and end at a SIGTERM that comes before the command has a handler of its own."""
    signal.signal(signal.SIGTERM, _end)
    from app.cli import main as run  # late: the handler comes first

    run()


def _end(*_: object) -> None:
    if _HOLDS_NOTHING.intersection(sys.argv):
        os._exit(0)  # an exception would be lost if the signal came in a callback of Python's import system
    sys.exit(0 if _SERVERS.intersection(sys.argv) else _TERMINATED)


if __name__ == "__main__":
    main()
