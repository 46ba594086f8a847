"""Ends a worker on SIGTERM or SIGINT, also while it waits for a broker, and also if Kafka does not answer.

The kernel ignores signals without a handler for process 1 of a container, so a handler must be set at all times.
"""

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

import faust

log = logging.getLogger(__name__)

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_END_SECONDS: Final = 12.0
"""How long an orderly stop may take. A client of Kafka may wait for a minute for a broker that does not answer."""


def _end_now() -> None:
    os._exit(0)


class Stopping:
    """Remembers that the worker was asked to stop. From then on it ends within ``end_seconds``, at worst as by kill -9."""

    def __init__(self, end_seconds: float = _END_SECONDS, end: Callable[[], None] = _end_now) -> None:
        self.is_asked = False
        self._end_seconds, self._end = end_seconds, end

    def ask(self) -> None:
        """Begin to stop; called by the handlers of signals."""
        if not self.is_asked:
            self.is_asked = True
            threading.Thread(target=self._end_late, name="stopping", daemon=True).start()

    def _end_late(self) -> None:
        time.sleep(self._end_seconds)  # a daemon thread does not delay a process that ends by itself
        log.warning(
            "the worker did not stop within %.0f s of the signal and ends without its last flush; the next one resumes from the "
            "committed position",
            self._end_seconds,
        )
        self._end()

    def run(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> bool:
        """Run ``work`` to its end; return whether it ended before a signal came."""
        task = loop.create_task(work)

        def stop() -> None:
            self.ask()
            task.cancel()

        for number in _SIGNALS:
            loop.add_signal_handler(number, stop)
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            log.info("stopped before the worker began")
        return not self.is_asked


class StoppableWorker(faust.Worker):
    """Faust's worker, which reports a signal to ``stopping``."""

    stopping: Stopping

    def _schedule_shutdown(self, number: signal.Signals) -> None:
        self.stopping.ask()
        super()._schedule_shutdown(number)
