"""Parts that the supervisor runs: each is one child process, an `uptake` command or the local Kafka."""

import asyncio
import contextlib
import http.client
import os
import re
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol
from urllib.parse import urlsplit

from app.base.errors import NoBrokerError
from app.base.process import PID_HEADER
from app.local.broker import LocalBroker
from app.local.child_process import spawn

# Codes that move, show or hide a terminal's cursor, which some library writes even into a pipe. Colours are kept.
_CURSOR = re.compile(r"\x1b\[(?:\?25[hl]|[0-9;]*[A-HJKSTfsu])")
_LONGEST_LINE = 64 * 1024


class Part(Protocol):
    """One child process."""

    name: str
    stage: int
    stop_timeout_ms: int

    @property
    def is_running(self) -> bool:
        """Whether the process runs."""

    @property
    def pid(self) -> int:
        """The process id of the current run, or of the last one."""

    async def launch(self) -> None:
        """Start the process without waiting for it."""

    def is_ready(self) -> bool:
        """Return whether the process is ready for work. Blocks for a second at most; called in a thread."""

    def terminate(self) -> None:
        """Ask the process to end."""

    async def finish(self) -> None:
        """Kill the process if it still runs, reap it, and read the rest of its output."""

    def ending(self) -> str:
        """Return how the process ended, as in `ended with status 1`."""

    def last_lines(self) -> list[str]:
        """Return the last lines that the process wrote."""


class CommandPart:
    """A command in a process group of its own, its output read line by line."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str] | None,
        ready_url: str | None,
        stage: int,
        stop_timeout_ms: int,
        write: Callable[[str, str], None],
    ) -> None:
        self.name = name
        self.stage = stage
        self.stop_timeout_ms = stop_timeout_ms
        self._argv = list(argv)
        self._env = env
        self._ready_url = ready_url
        self._write = write
        self._process: subprocess.Popen[bytes] | None = None
        self._transport: asyncio.BaseTransport | None = None
        self._output_ended = asyncio.Event()
        self._last: deque[str] = deque(maxlen=3)

    @property
    def is_running(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the current run, or of the last one."""
        return self._process.pid if self._process is not None else 0

    async def launch(self) -> None:
        """Start the process without waiting for it."""
        self._process = spawn(self._argv, env=self._env, stdout=subprocess.PIPE)
        self._output_ended.clear()
        self._transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: _Lines(self._take_line, self._output_ended.set), self._process.stdout
        )

    def is_ready(self) -> bool:
        """Return whether ``ready_url`` answers 200 and this process is the one that answers; without a URL, whether it runs."""
        return self.is_running if self._ready_url is None else answers_200(self._ready_url, pid=self.pid)

    def terminate(self) -> None:
        """Ask the process to end."""
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)  # a frozen process does not handle SIGTERM

    async def finish(self) -> None:
        """Kill the process and its children if it still runs, reap it, and read the rest of its output."""
        if self._process is None:
            return
        if self.is_running:
            self._signal(signal.SIGKILL, whole_group=True)
        self._process.wait()
        # Not wait_for: in Python 3.11 it loses a cancellation that arrives just when its awaitable ends.
        with contextlib.suppress(TimeoutError):  # a grandchild may hold the pipe open
            async with asyncio.timeout(1):
                await self._output_ended.wait()
        if self._transport is not None:
            self._transport.close()
            self._transport = None
            await asyncio.sleep(0)

    def ending(self) -> str:
        """Return how the process ended."""
        return _describe_status(self._process.poll() if self._process is not None else None)

    def last_lines(self) -> list[str]:
        """Return the last lines that the process wrote."""
        return list(self._last) or ["it wrote nothing"]

    def _take_line(self, line: str) -> None:
        line = _CURSOR.sub("", line)
        self._last.append(line)
        self._write(self.name, line)

    def _signal(self, number: signal.Signals, *, whole_group: bool = False) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        try:
            if whole_group:
                os.killpg(self._process.pid, number)
            else:
                os.kill(self._process.pid, number)
        except ProcessLookupError:
            pass


class BrokerPart:
    """The local Kafka."""

    def __init__(self, name: str, broker: LocalBroker, stage: int, stop_timeout_ms: int = 15_000) -> None:
        self.name = name
        self.stage = stage
        self.stop_timeout_ms = stop_timeout_ms
        self._broker = broker
        self._pid = 0

    @property
    def is_running(self) -> bool:
        """Whether the process runs."""
        return self._broker.is_running

    @property
    def pid(self) -> int:
        """The process id of the current run, or of the last one."""
        return self._pid

    async def launch(self) -> None:
        """Start the process without waiting for it."""
        self._broker.launch()
        self._pid = self._broker.pid

    def is_ready(self) -> bool:
        """Return whether the broker answers a metadata request."""
        try:
            return self._broker.is_ready()
        except NoBrokerError:  # it ended, and the supervisor notices by itself
            return False

    def terminate(self) -> None:
        """Ask the process to end."""
        self._broker.terminate()

    async def finish(self) -> None:
        """Kill the broker if it still runs, and release the lock on its directory."""
        self._broker.kill()

    def ending(self) -> str:
        """Return how the process ended."""
        return f"{_describe_status(self._broker.status)} (its log: {self._broker.log_path})"

    def last_lines(self) -> list[str]:
        """Return the last line that the broker wrote."""
        return [self._broker.last_words()]


class _Lines(asyncio.Protocol):
    """Splits a pipe's bytes into lines, and lines that are too long into pieces."""

    def __init__(self, take: Callable[[str], None], on_end: Callable[[], None]) -> None:
        self._take = take
        self._on_end = on_end
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        """Pass on every complete line."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line.decode("utf-8", "replace"))
        if len(self._rest) > _LONGEST_LINE:
            self._take(self._rest.decode("utf-8", "replace"))
            self._rest = b""

    def connection_lost(self, _error: Exception | None) -> None:
        """Pass on the text after the last line end."""
        if self._rest:
            self._take(self._rest.decode("utf-8", "replace"))
            self._rest = b""
        self._on_end()


def _describe_status(status: int | None) -> str:
    """Return an exit status in words; for a process that was killed, the name of the signal."""
    if status is None:
        return "ended"
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def answers_200(url: str, timeout_s: float = 1.0, *, pid: int | None = None) -> bool:
    """Return whether a GET of ``url`` answers 200. No proxy is used: the addresses are on this machine.

    With ``pid`` the answer must also name this process: another program may have taken the port.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=timeout_s)
    try:
        connection.request("GET", parts.path or "/")
        answer = connection.getresponse()
        return answer.status == 200 and (pid is None or answer.getheader(PID_HEADER) == str(pid))
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
