"""A worker of a newer version, which also reads events of version 2: the fix before dead letters are replayed.

Run it as ``python -m tests.faults.newer worker`` in place of ``python -m app worker``.
"""

from agents import fold_journal as agent
from app.cli import main
from events.codec import decode
from events.model import Event


def decode_newer(raw: bytes | None) -> Event:
    """Return the event of a journal record of version 1 or 2; both mean the same."""
    return decode(None if raw is None else raw.replace(b'"v": 2', b'"v": 1', 1))


if __name__ == "__main__":
    agent.decode = decode_newer  # type: ignore[attr-defined]
    main()
