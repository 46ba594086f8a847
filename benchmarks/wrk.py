"""Runs wrk and reads its counts; benchmarks/load.lua makes the requests."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SCRIPT: Final = Path(__file__).with_name("load.lua")
# wrk must leave the cores to the measured process, and one thread makes 50,000 requests a second.
THREADS: Final = 1
TAIL_SECONDS: Final = 1.0  # for the answers that are due when the last request was sent
MODES: Final = ("single", "batch")


class NoWrkError(SystemExit):
    """wrk is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "this benchmark needs wrk, an open HTTP load generator: apt install wrk (Debian, Ubuntu)"
        )


def require_wrk() -> str:
    """Return the path of wrk; NoWrkError if it is not installed."""
    found = shutil.which("wrk")
    if found is None:
        raise NoWrkError
    return found


@dataclass(frozen=True)
class Told:
    """The counts of wrk. ``accepted`` is the number of events that the answers to batches report as accepted."""

    requests: int
    refused: int
    broken: int
    accepted: int
    p50_ms: float
    p99_ms: float

    @property
    def taken(self) -> int:
        """Requests with a 2xx answer (our requests get no 1xx or 3xx)."""
        return self.requests - self.refused


@dataclass(frozen=True)
class Load:
    """The requests that wrk sends."""

    mode: str
    connections: int
    seconds: float
    users: int
    seed: int
    customer: str
    batch: int

    def start(self, port: int) -> "Running":
        """Start sending to a server on this machine."""
        script = [self.mode, self.seconds, self.users, self.seed, self.customer, self.batch]
        return start_wrk(SCRIPT, port, self.connections, self.seconds + TAIL_SECONDS, script)


def start_wrk(
    script: Path, port: int, connections: int, seconds: float, arguments: Sequence[object]
) -> "Running":
    """Start wrk for whole seconds against a server on this machine; ``arguments`` are those of the script."""
    command = [
        require_wrk(),
        "-t",
        THREADS,
        "-c",
        connections,
        "-d",
        f"{round(seconds)}s",
        "--timeout",
        "20s",
    ]
    command += ["-s", script, f"http://127.0.0.1:{port}", "--", *arguments]
    process = subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    return Running(process)


class Running:
    """A wrk process that sends."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def is_over(self) -> bool:
        return self._process.poll() is not None

    def result(self) -> Told:
        """Return its counts when it has ended; RuntimeError if it failed."""
        out, error = self._process.communicate(timeout=30)
        lines = [line for line in out.splitlines() if line.startswith("{")]
        if self._process.returncode != 0 or not lines:
            raise RuntimeError(f"wrk ended with {self._process.returncode}: {(error or out)[-300:]}")
        return Told(**json.loads(lines[-1]))

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
