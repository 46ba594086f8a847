"""Log output of a process: lines for people or JSON (``--log-json``), with little noise from libraries."""

import logging
import sys
import time
from collections.abc import Callable
from typing import Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from app.base.errors import UptakeError
from app.base.settings import Settings

_LIBRARIES: Final = ("aiokafka", "faust", "mode", "kafka")
# These log the address of each request. An address holds raw user ids, which may appear only at DEBUG.
_ACCESS_LOGS: Final = ("aiohttp.access",)
# Errors that aiokafka retries by itself, for example when a topic is new or a coordinator moves: logged only if they last.
_RETRIED: Final = (
    "NotLeaderForPartitionError",
    "CoordinatorLoadInProgressError",
    "GroupCoordinatorNotAvailableError",
    "NotCoordinatorForGroupError",
    "because it is rebalancing",  # another worker joined or left the group
)
# Mode begins its lines about starts and stops of services with this, under the logger of the service's module.
_SERVICE: Final = "[^-"
_AGAIN_S: Final = 10.0
_MOST_KINDS: Final = (
    1_000  # libraries also put changing text into the format itself, so kinds could grow without end
)


def setup_logging(settings: Settings, stream: TextIO | None = None) -> None:
    """Send all log records of this process, ours and the libraries', to ``stream`` (None: standard error) in one format.

    Raise UptakeError if the log level is unknown.
    """
    stream = stream or sys.stderr
    level = logging.getLevelNamesMapping().get(settings.log_level.upper())
    if level is None:
        raise UptakeError(f"log level {settings.log_level!r} is unknown; use debug, info, warning or error")
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()], processors=_form(settings, stream)
        )
    )
    handler.addFilter(LibraryNoise())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(level if level <= logging.DEBUG else max(level, logging.WARNING))
    for name in _ACCESS_LOGS:
        logging.getLogger(name).setLevel(level if level <= logging.DEBUG else logging.CRITICAL)
    logging.getLogger("asyncio").setLevel(max(level, logging.INFO))
    logging.captureWarnings(True)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


class LibraryNoise(logging.Filter):
    """Drops routine lines of the libraries, and passes each kind of warning or error of theirs once in 10 s.

    Without it, an unreachable broker fills the log with thousands of equal lines. An error that a library retries by itself passes
    only after it has lasted for 10 s. Our own lines always pass.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        # kind of line -> time it was last shown, number dropped since
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to show the record. A shown one says how many of its kind were dropped before it."""
        if record.levelno == logging.INFO and str(record.msg).startswith(_SERVICE):
            return False
        if record.name.partition(".")[0] not in _LIBRARIES or record.levelno <= logging.INFO:
            return True
        message = record.getMessage()
        now = self._now()
        kind = (record.name, str(record.msg))
        if len(self._seen) >= _MOST_KINDS and kind not in self._seen:
            self._seen.pop(next(iter(self._seen)))
        if kind not in self._seen and any(name in message for name in _RETRIED):
            self._seen[kind] = (now, 0)
        shown, held = self._seen.get(kind, (float("-inf"), 0))
        if now - shown < _AGAIN_S:
            self._seen[kind] = (shown, held + 1)
            return False
        self._seen[kind] = (now, 0)
        if held:
            record.msg, record.args = f"{message} ({held} more like it)", ()
        return True


def _form(settings: Settings, stream: TextIO) -> list[Processor]:
    if settings.log_json:
        return [
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(),
        ]
    has_colors = stream.isatty()
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        _short_time,
        structlog.dev.ConsoleRenderer(
            colors=has_colors,
            pad_event_to=0,
            timestamp_key="time",
            exception_formatter=structlog.dev.plain_traceback,
        ),
    ]


def _short_time(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    event["time"] = str(event["time"])[11:23]  # read while the process runs, so without the date
    return event
