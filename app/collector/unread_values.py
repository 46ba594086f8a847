"""Logs values that could not be read, and without which their events were recorded."""

import logging
import time
from collections.abc import Callable

from app.collector.sparse_log import LineKind, SparseLog

log = logging.getLogger(__name__)


def unread_log(clock_s: Callable[[], float] = time.monotonic) -> SparseLog:
    """Return the log of such values. It names customer and reason, and never a value: it may be anything that a client sends."""
    return SparseLog(_write, clock_s)


def _write(kind: LineKind, events: int) -> None:
    customer, reason = kind
    log.warning(
        "customer %s: %d events were recorded without a value that cannot be read: %s",
        customer,
        events,
        reason,
    )
