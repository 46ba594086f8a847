"""A worker that can hang without dying, to show that the watchdog notices it.

Run it as ``python -m tests.faults.hanging worker`` in place of ``python -m app worker``.
While the file named by ``HANG_FILE`` exists, the worker hangs in its next flush, for ever.
If the file says ``flush``, only the flush hangs; if it says ``loop``, the whole event loop does.
"""

import asyncio
import os
import time
from pathlib import Path

from agents.ports import Committed, Flush
from app.cli import main
from app.worker import outbox, restore, watch


class HangingOutbox(outbox.KafkaOutbox):
    """An outbox that checks the file before each flush."""

    file: Path

    async def commit(self, flush: Flush) -> Committed:
        if self.file.exists():
            if self.file.read_text() == "loop":
                time.sleep(3_600)  # noqa: ASYNC251 - that it blocks the loop is the fault
            await asyncio.Event().wait()
        return await super().commit(flush)


if __name__ == "__main__":
    HangingOutbox.file = Path(os.environ["HANG_FILE"])
    restore.KafkaOutbox = HangingOutbox  # type: ignore[misc]
    watch.END_SECONDS = 3.0  # type: ignore[misc]
    main()
