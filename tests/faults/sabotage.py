"""A worker that lacks one protection, or dies in the middle of a flush, to show that a fault test can fail.

Run it as ``python -m tests.faults.sabotage worker`` in place of ``python -m app worker``. The environment says how:

- ``SABOTAGE=no-transaction``: a flush is plain records.
- ``SABOTAGE=ack-first``: the position is committed before the rows that it covers.
- ``SABOTAGE=no-fence``: each owner has a transactional id of its own.
- ``SABOTAGE=no-eid``: no event counts as a repeat.
- ``CRASH_AT_FLUSH=n``: the process kills itself with -9 in its n-th flush, when the broker has only half of it.
"""

import itertools
import os
import signal
import uuid
from typing import Any, Final

from aiokafka import AIOKafkaProducer

from agents.ports import Committed, Flush
from app.cli import main
from app.worker import outbox
from tables.declare import POSITIONS_TABLE
from tables.user import seen

SABOTAGES: Final = ("no-transaction", "ack-first", "no-fence", "no-eid")

_flushes = itertools.count(1)


class PlainProducer(AIOKafkaProducer):  # type: ignore[misc]
    """A producer without transactions, and so without fencing."""

    async def begin_transaction(self) -> None: ...

    async def commit_transaction(self) -> None: ...


def _without_transactions(**options: Any) -> AIOKafkaProducer:
    del options["transactional_id"], options["transaction_timeout_ms"]
    return PlainProducer(**options, enable_idempotence=True)


def _without_fence(**options: Any) -> AIOKafkaProducer:
    return AIOKafkaProducer(**options | {"transactional_id": f"{options['transactional_id']}-{uuid.uuid4()}"})


def _halves(flush: Flush) -> tuple[Flush, Flush]:
    """Return the changes of users and windows in a flush, and the change of its position."""
    rows = {table: changes for table, changes in flush.changes.items() if table != POSITIONS_TABLE}
    position = {POSITIONS_TABLE: flush.changes[POSITIONS_TABLE]}
    return Flush(rows, flush.outputs, flush.positions), Flush(position, [], flush.positions)


class CrashingOutbox(outbox.KafkaOutbox):
    """Sends a flush in two halves, and dies between them in flush number ``crash_at``."""

    crash_at = 0
    acks_first = False

    async def _commit(self, flush: Flush) -> Committed:
        if not self.acks_first or POSITIONS_TABLE not in flush.changes:
            return await super()._commit(flush)
        rows, position = _halves(flush)
        committed = await super()._commit(position)
        self._crash()
        committed.offsets.update((await super()._commit(rows)).offsets)
        return committed

    async def _deliver(self, flush: Flush, deliveries: list[Any]) -> Committed:
        if self.acks_first or not self.crash_at or POSITIONS_TABLE not in flush.changes:
            return await super()._deliver(flush, deliveries)  # an announcement alone has no second half
        rows, position = _halves(flush)
        committed = await super()._deliver(rows, deliveries)
        self._crash()
        committed.offsets.update((await super()._deliver(position, deliveries)).offsets)
        return committed

    def _crash(self) -> None:
        if self.crash_at and next(_flushes) >= self.crash_at:
            os.kill(os.getpid(), signal.SIGKILL)


def sabotage(name: str | None, crash_at_flush: int) -> None:
    """Remove one protection from this process."""
    from app.worker import restore

    CrashingOutbox.crash_at = crash_at_flush
    CrashingOutbox.acks_first = name == "ack-first"
    restore.KafkaOutbox = CrashingOutbox  # type: ignore[misc]
    if name == "no-transaction":
        outbox.AIOKafkaProducer = _without_transactions  # type: ignore[misc]
    elif name == "no-fence":
        outbox.AIOKafkaProducer = _without_fence  # type: ignore[misc]
    elif name == "no-eid":
        seen.is_repeat = lambda _seen_ms, _received_ms: False  # type: ignore[assignment]
    elif name not in (None, "ack-first"):
        raise SystemExit(f"SABOTAGE is {name}, not one of {', '.join(SABOTAGES)}")


if __name__ == "__main__":
    sabotage(os.environ.get("SABOTAGE"), int(os.environ.get("CRASH_AT_FLUSH", "0")))
    main()
