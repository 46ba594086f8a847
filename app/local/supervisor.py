"""Runs several processes as one: starts and watches them, restarts those that crash, stops them in order, and leaves none behind.

`uptake up`, the demo and the tests add their parts (the local Kafka, workers, the collector) and get one merged log. Parts stop in
stages, the highest first. Call all methods from the main thread (app/local/child_process.py says why).
"""

import asyncio
import contextlib
import logging
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TextIO

from app.base.errors import UptakeError
from app.local.broker import LocalBroker
from app.local.supervised import BrokerPart, CommandPart, Part

_log: Final = logging.getLogger(__name__)
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 30.0
_STEADY_S: Final = 60.0  # after a run this long, the restart pause is the first one again
_TICK_S: Final = 0.05
_SAY_AGAIN_S: Final = 10.0
_COLOURS: Final = (36, 33, 32, 35, 34, 96, 93, 92)

Write = Callable[[str, str], None]


class NotReadyError(UptakeError):
    """A part did not become ready in time."""


class Supervisor:
    """The parts of one system on this machine.

    ``write(name, line)`` receives each line of a part's output; the default prints it with a coloured name.
    """

    def __init__(self, write: Write | None = None, *, first_pause_s: float = _FIRST_PAUSE_S) -> None:
        self._write = write or LinePrinter()
        self._first_pause_s = first_pause_s
        self._watched: dict[str, _Watched] = {}
        self._watcher: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._kill_now = asyncio.Event()

    @property
    def pids(self) -> dict[str, int]:
        """Name -> process id, for every part that runs now."""
        return {name: part.pid for name, part in self._parts().items() if part.is_running}

    @property
    def restarts(self) -> dict[str, int]:
        """Name -> number of restarts after a crash."""
        return {name: watched.restarts for name, watched in self._watched.items()}

    def add(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        ready_url: str | None = None,
        stage: int = 1,
        stop_timeout_ms: int = 15_000,
    ) -> None:
        """Add a command. ``env`` is its whole environment (None: ours).

        The part is ready when ``ready_url`` answers 200 with the part's process id (app/base/process.py).
        """
        self._add(CommandPart(name, argv, env, ready_url, stage, stop_timeout_ms, self._write))

    def add_broker(self, broker: LocalBroker, name: str = "kafka", *, stage: int = 0) -> None:
        """Add a local Kafka; it is ready when it answers a metadata request, and stops last."""
        self._add(BrokerPart(name, broker, stage))

    async def start(self) -> None:
        """Start every part that was added and not started yet, and watch all parts from now on."""
        for watched in self._watched.values():
            if not watched.is_started:
                watched.is_started = True
                await watched.launch()
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._watch())

    async def wait_ready(self, timeout_ms: int = 60_000) -> None:
        """Return when every started part is ready.

        Raise NotReadyError after ``timeout_ms`` or ``stop``, with the parts that are not ready and their last lines.
        """
        start = said = time.monotonic()
        while True:
            waiting = [w.part for w in self._watched.values() if w.is_started and not await _is_ready(w.part)]
            if not waiting:
                return
            now = time.monotonic()
            if self._is_stopping or (now - start) * 1000 > timeout_ms:
                words = "".join(f"\n  {part.name}: {' / '.join(part.last_lines())}" for part in waiting)
                raise NotReadyError(f"not ready after {(now - start):.0f} s:{words}")
            if now - said > _SAY_AGAIN_S:
                said = now
                _log.info("still waiting for %s", ", ".join(part.name for part in waiting))
            await asyncio.sleep(_TICK_S)

    async def run_until_signal(self) -> None:
        """Return at the first SIGINT or SIGTERM. A second one, during ``stop``, kills the remaining parts at once."""
        loop = asyncio.get_running_loop()
        asked = asyncio.Event()

        def ask() -> None:
            if asked.is_set():
                self._kill_now.set()
            asked.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, ask)
        await asked.wait()

    async def stop(self) -> None:
        """Stop all parts, stage by stage: SIGTERM, and SIGKILL after the part's deadline. Safe to call twice."""
        self._is_stopping = True
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
            self._watcher = None
        parts = self._parts().values()
        for stage in sorted({part.stage for part in parts}, reverse=True):
            await asyncio.gather(*(self._stop_part(part) for part in parts if part.stage == stage))

    def _add(self, part: Part) -> None:
        if part.name in self._watched:
            raise ValueError(f"there is a part {part.name} already")
        self._watched[part.name] = _Watched(part, self._first_pause_s)

    def _parts(self) -> dict[str, Part]:
        return {name: watched.part for name, watched in self._watched.items()}

    async def _watch(self) -> None:
        while True:
            for watched in list(self._watched.values()):
                if watched.is_started:
                    await watched.look()
            await asyncio.sleep(_TICK_S)

    async def _stop_part(self, part: Part) -> None:
        if part.is_running:
            part.terminate()
            deadline = time.monotonic() + part.stop_timeout_ms / 1000
            while part.is_running and time.monotonic() < deadline and not self._kill_now.is_set():
                await asyncio.sleep(_TICK_S)
            if part.is_running:
                _log.warning("%s did not stop within %d ms and is killed", part.name, part.stop_timeout_ms)
        await part.finish()


class _Watched:
    """A part, the time of its last start, and the time of its next restart."""

    def __init__(self, part: Part, first_pause_s: float) -> None:
        self.part = part
        self.is_started = False
        self.restarts = 0
        self._first_pause_s = first_pause_s
        self._pause_s = first_pause_s
        self._launched = 0.0
        self._again_at: float | None = None

    async def launch(self) -> None:
        self._launched = time.monotonic()
        self._again_at = None
        await self.part.launch()

    async def look(self) -> None:
        """Restart the part if it has ended and its pause is over."""
        if self.part.is_running:
            return
        now = time.monotonic()
        if self._again_at is None:
            ending = self.part.ending()
            await self.part.finish()
            if now - self._launched > _STEADY_S:
                self._pause_s = self._first_pause_s
            self._again_at = now + self._pause_s
            _log.warning("%s %s; it is started again in %g s", self.part.name, ending, self._pause_s)
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        elif now >= self._again_at:
            self.restarts += 1
            try:
                await self.launch()
            except (UptakeError, OSError) as error:
                _log.error("%s cannot be started: %s", self.part.name, error)


class LinePrinter:
    """Prints each line to standard output, with the name of its part; the name is coloured on a terminal."""

    def __init__(self, stream: TextIO | None = None, *, has_names: bool = True) -> None:
        self._stream = stream or sys.stdout
        self._has_names = has_names
        self._prefixes: dict[str, str] = {}

    def __call__(self, name: str, line: str) -> None:
        """Print one line."""
        if not self._has_names:
            self._stream.write(f"{line}\n")
        else:
            self._stream.write(f"{self._prefix(name)} {line}\n")
        self._stream.flush()

    def _prefix(self, name: str) -> str:
        if name not in self._prefixes:
            text = f"{name:<10}|"
            colour = _COLOURS[len(self._prefixes) % len(_COLOURS)]
            self._prefixes[name] = f"\x1b[{colour}m{text}\x1b[0m" if self._stream.isatty() else text
        return self._prefixes[name]


async def _is_ready(part: Part) -> bool:
    return part.is_running and await asyncio.to_thread(part.is_ready)
