"""A collector as a child process that tests can kill; its spool directory survives."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from app.local.child_process import spawn
from app.local.tcp_ports import free_port


class CollectorProcess:
    """One collector on a fixed port. It stops everything it starts, by process id."""

    def __init__(
        self, bootstrap: str, directory: Path, customers_file: Path, partitions: int, **env: str
    ) -> None:
        self.directory, self.port = directory, free_port("127.0.0.1")
        self._env = {
            **os.environ,
            "UPTAKE_KAFKA": bootstrap,
            "UPTAKE_PARTITIONS": str(partitions),
            "UPTAKE_CUSTOMERS_FILE": str(customers_file),
            "UPTAKE_SPOOL_DIR": str(directory / "spool"),
            **env,
        }
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)
        self.lives = 0

    def start(self) -> None:
        """Start the collector; return when it listens."""
        with (self.directory / "collector.log").open("ab") as log:
            self._process = spawn(
                [sys.executable, "-m", "app", "collector", "--port", str(self.port)],
                env=self._env,
                cwd=Path.cwd(),
                stdout=log,
            )
        self.lives += 1
        self.wait_until(lambda _: True, "it answers")

    def kill(self) -> None:
        """Kill the collector with -9."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self, timeout_seconds: float = 20) -> float:
        """Stop the collector with SIGTERM; return the seconds until it has ended with status 0."""
        assert self._process is not None
        started = time.monotonic()
        self._process.terminate()
        assert self._process.wait(timeout_seconds) == 0, self.log()[-3000:]
        return time.monotonic() - started

    def close(self) -> None:
        """Kill the collector if it still runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def log(self) -> str:
        """Return what the collector has logged, over all its runs."""
        return (self.directory / "collector.log").read_text(errors="replace")

    def ready(self) -> tuple[int, dict[str, Any]]:
        """Return status and body of the readiness page; status 0 if the collector does not listen."""
        url = f"http://127.0.0.1:{self.port}/health/ready"
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)
        except OSError:
            return 0, {}

    def wait_until(self, holds: Any, what: str, timeout_seconds: float = 60) -> float:
        """Wait until ``holds(body)`` is true for the readiness page; return the seconds it took."""
        started = time.monotonic()
        while True:
            status, body = self.ready()
            if status and holds(body):
                return time.monotonic() - started
            assert time.monotonic() - started < timeout_seconds, (
                f"not within {timeout_seconds} s: {what}; {body}\n{self.log()[-4000:]}"
            )
            time.sleep(0.05)
