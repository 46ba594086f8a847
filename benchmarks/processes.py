"""Starts, watches and stops contestants, and measures the CPU and the disk writes of their whole process trees."""

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from app.local.child_process import spawn
from benchmarks.checkouts import THIS
from benchmarks.progress import Progress
from benchmarks.rounds import Run

Words = str | tuple[str, ...]
"""Text to find in a log, or several texts of which any will do: the present wording, then those of older checkouts."""

RUN_SECONDS: Final = 300.0
_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


class ContestantError(RuntimeError):
    """A contestant ended or made no progress; the message has the end of its log."""


def cpu_seconds(pid: int) -> float:
    """Return the user and system time of a process, its living descendants and its reaped children, in steps of 10 ms."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return 0.0
    ticks = sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime
    return ticks / _TICKS_PER_SECOND + sum(cpu_seconds(child) for child in _children(tasks))


def disk_bytes(pid: int) -> int:
    """Return the bytes that a process, its living descendants and its reaped children wrote to a disk (``write_bytes`` of /proc/PID/io).

    Pages count when they are changed, also if the file is deleted before the disk has them. Sockets and pipes do not count.
    """
    try:
        found = re.search(r"^write_bytes: (\d+)", Path(f"/proc/{pid}/io").read_text(), re.MULTILINE)
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return 0
    return (int(found[1]) if found else 0) + sum(disk_bytes(child) for child in _children(tasks))


def _children(tasks: Sequence[Path]) -> set[int]:
    """Return the child processes of the tasks of a process."""
    children: set[int] = set()
    for task in tasks:
        try:
            children.update(map(int, (task / "children").read_text().split()))
        except OSError:
            continue
    return children


def peak_mib(pid: int) -> float:
    """Return the peak memory of a process in MiB (VmHWM)."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


class Program(Protocol):
    """What runs a contestant: a checkout of Uptake, or the program of a peer."""

    @property
    def root(self) -> Path:
        """The working directory."""

    def command(self, arguments: Sequence[str]) -> list[str]:
        """Return the command line."""

    def environ(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return the environment, with ``env`` in it."""


class Contestant:
    """A process that is measured. Its output goes to a log, which is searched for the lines that start and stop the clocks."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        directory: Path,
        env: Mapping[str, str],
        program: Program = THIS,
    ) -> None:
        self.name = name
        self._log = directory / f"{name}.log"
        with self._log.open("wb") as log:
            self._process = spawn(
                program.command(arguments), env=program.environ(env), cwd=program.root, stdout=log
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def cpu_seconds(self) -> float:
        """CPU time of the whole process tree so far."""
        return cpu_seconds(self._process.pid)

    @property
    def disk_bytes(self) -> int:
        """Bytes that the whole process tree wrote to a disk so far."""
        return disk_bytes(self._process.pid)

    @property
    def peak_mib(self) -> float:
        """Peak memory of the process itself."""
        return peak_mib(self._process.pid)

    def said(self, words: Words) -> bool:
        """Whether its log holds a text, or one of several."""
        log = self._log.read_bytes()
        return any(text.encode() in log for text in ([words] if isinstance(words, str) else words))

    @property
    def has_ended(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    @property
    def has_succeeded(self) -> bool:
        """Whether it has ended with status 0."""
        return self._process.poll() == 0

    def check(self) -> None:
        """Raise ContestantError if it has ended."""
        status = self._process.poll()
        if status is not None:
            raise ContestantError(f"{self.name} ended with status {status}: {self.last_words()}")

    def wait_for(self, words: Words, timeout_seconds: float) -> None:
        """Return as soon as its log holds a text, or one of several; ContestantError if it ends first or takes too long."""
        deadline = time.monotonic() + timeout_seconds
        while not self.said(words):
            self.check()
            if time.monotonic() > deadline:
                raise ContestantError(
                    f"{self.name} did not log {words!r} in {timeout_seconds:.0f} s: {self.last_words()}"
                )
            time.sleep(0.01)

    def wait_for_port(self, port: int, timeout_seconds: float) -> None:
        """Return as soon as it accepts connections on a port of this machine."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1.0).close()
            except OSError:
                self.check()
            else:
                return
            if time.monotonic() > deadline:
                raise ContestantError(f"{self.name} does not listen on port {port}: {self.last_words()}")
            time.sleep(0.01)

    def last_words(self) -> str:
        """Return the end of its log."""
        return self._log.read_text(errors="replace")[-1_500:]

    def stop(self) -> None:
        """Ask it to end; kill it if it has not ended within 10 s."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


@contextmanager
def running(*contestants: Contestant) -> Iterator[None]:
    """Stop contestants at the end of the block, the last one first."""
    try:
        yield
    finally:
        for contestant in reversed(contestants):
            contestant.stop()


def measure(
    run: Run,
    contestants: Sequence[Contestant],
    is_done: Callable[[], bool],
    max_seconds: float = RUN_SECONDS,
    progress: Progress | None = None,
) -> None:
    """Fill in the time and memory of all contestants from now until ``is_done``; ContestantError if one ends or takes too long.

    ``progress`` samples the CPU time by the events that are durable.
    """

    def cpu() -> float:
        return sum(each.cpu_seconds for each in contestants)

    started, before = time.monotonic(), cpu()
    written = sum(each.disk_bytes for each in contestants)
    while not is_done():
        if progress is not None:
            progress.sample(lambda: cpu() - before)
        for contestant in contestants:
            contestant.check()
        if time.monotonic() - started > max_seconds:
            words = "; ".join(each.last_words() for each in contestants)
            raise ContestantError(f"not done after {max_seconds:.0f} s: {words}")
        time.sleep(0.03)
    run.wall_seconds = time.monotonic() - started
    run.cpu_seconds = cpu() - before
    run.peak_mib = sum(each.peak_mib for each in contestants)
    run.figures["start_cpu_seconds"] = round(before, 2)
    if run.count:
        written = sum(each.disk_bytes for each in contestants) - written
        run.figures["disk_bytes_per_event"] = round(written / run.count)
    if progress is not None:
        progress.end(run.count, run.cpu_seconds)
