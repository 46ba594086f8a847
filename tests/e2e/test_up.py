"""`uptake up` as a user runs it: all parts become ready, one signal stops them cleanly, and a kill -9 leaves none behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.local.tcp_ports import free_port

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300), pytest.mark.usefixtures("usual_ports")]


class Up:
    """A running `uptake up`, whose log shows when it is ready."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.port = free_port()
        self.directory = directory
        env = {name: value for name, value in os.environ.items() if not name.startswith("UPTAKE_")}
        argv = [
            sys.executable,
            "-m",
            "app",
            "up",
            "--data-dir",
            str(directory / "data"),
            "--port",
            str(self.port),
        ]
        argv += ["--customers-file", str(directory / "uptake.toml"), *arguments]
        self.log = directory / "up.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                argv, env=env, stdout=log, stderr=subprocess.STDOUT, cwd=directory
            )

    def wait_ready(self) -> None:
        deadline = time.monotonic() + 90
        while "Uptake is ready" not in self.text():
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < deadline, self.text()
            time.sleep(0.05)

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def addresses(self) -> dict[str, str]:
        """Return name -> address, in the order in which they are printed."""
        lines = [line.split() for line in self.text().partition("Uptake is ready")[2].splitlines()[1:6]]
        return {words[0]: words[1] for words in lines}

    def worker(self) -> str:
        return self.addresses()["lookups"]

    def family(self) -> list[int]:
        """The process ids of its children."""
        return [
            int(path.parent.name)
            for path in Path("/proc").glob("[0-9]*/stat")
            if _parent(path) == self.process.pid
        ]


def _parent(stat: Path) -> int:
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 20
    while any(map(_is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in pids if _is_alive(pid)]


@pytest.fixture
def up(kafka: str, tmp_path: Path) -> Iterator[Up]:
    """One `uptake up`; the fixture `kafka` ensures that this machine can run a Kafka."""
    running = Up(tmp_path)
    yield running
    if running.process.poll() is None:
        running.process.kill()
        running.process.wait()


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def _excluded(url: str) -> dict[str, int]:
    return {
        entry["item"]: entry["count"] for entry in _get(f"{url}/v1/00000/users/max/exclusions")["excluded"]
    }


def _check_dashboard(url: str) -> None:
    """Check that the dashboard has what workers and collector have: the page of the demo's visitor, rates, refusals, health."""
    with urllib.request.urlopen(url, timeout=10) as page:
        assert page.headers["Content-Type"].startswith("text/html")
    assert _get(f"{url}/dashboard/session")["customers"] == ["00000"]
    assert _get(f"{url}/dashboard/00000/users/max")["known"] is True
    assert _get(f"{url}/dashboard/00000/users/max/exclusions")["excluded"][0]["item"] == "1"
    assert _get(f"{url}/dashboard/00000/refused")["refused"] == {"bad_itemtype": 1}
    health = _get(f"{url}/dashboard/health")
    assert [each["ok"] for each in (*health["workers"], *health["collectors"])] == [True, True]
    assert health["alarms"] == health["warnings"] == []
    with urllib.request.urlopen(f"{url}/dashboard/00000/ctr/stream?span=PT15M", timeout=20) as stream:
        while True:
            line = stream.readline()
            assert line
            if line.startswith(b"data: ") and json.loads(line[6:])["total"]["rendered"] == 2:
                return


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_up_answers_stops_at_one_signal_and_keeps_its_data(up: Up, tmp_path: Path) -> None:
    up.wait_ready()
    for _ in range(2):
        url = f"http://127.0.0.1:{up.port}/api/00000/rendered/max/1/1?scenario=landing_page"
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert answer.status in (200, 204)
    deadline = time.monotonic() + 20
    while _excluded(up.worker()) != {"1": 2}:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(f"http://127.0.0.1:{up.port}/api/00000/rendered/max/x/1", timeout=10)
    assert list(up.addresses())[:3] == ["dashboard", "collector", "lookups"]
    _check_dashboard(up.addresses()["dashboard"])
    assert "rows in memory may take 32 MiB: UPTAKE_CACHE_BYTES" in up.text()
    family = up.family()
    assert len(family) == 4, "Kafka, one worker, one collector, the dashboard"

    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(40) == 0
    assert "Traceback" not in up.text()
    _wait_until_gone(family)

    up.log.unlink()
    again = Up(tmp_path)
    try:
        again.wait_ready()
        assert _excluded(again.worker()) == {"1": 2}
        family = again.family()
        again.process.kill()  # none of our code can run now: the kernel ends the children
        again.process.wait()
        _wait_until_gone(family)
    finally:
        again.process.kill()
        again.process.wait()


def test_taken_port_is_said_before_anything_is_started(kafka: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        port = listener.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "app", "up", "--port", str(port), "--data-dir", str(tmp_path / "data")],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 2
    assert done.stderr.startswith(f"uptake: port {port} on 127.0.0.1 is taken by another program")
    assert not (tmp_path / "data").exists()
