"""The demo as a command: real events end equal, an altered expectation is named, and Ctrl-C leaves nothing behind."""

import csv
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.base.errors import NoBrokerError
from app.local.kafka_jars import locate
from tests.conftest import no_broker

ROOT = Path(__file__).resolve().parents[2]
ROWS = 200

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]


@pytest.fixture(scope="module", autouse=True)
def runtime() -> None:
    try:
        locate()
    except NoBrokerError as error:
        no_broker(str(error))


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("UPTAKE_")}
    return subprocess.Popen(
        [sys.executable, "-m", "app", "demo", *arguments],
        cwd=ROOT,
        env={**env, "TMPDIR": str(folder), "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def temporary(tmp_path: Path) -> Iterator[Path]:
    """A directory for the demo's working files; it must be empty afterwards."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    yield folder
    left = [path for path in folder.iterdir() if path.name.startswith("uptake-demo-")]
    assert left == [], "the demo left its data behind"
    assert pids_that_mention(folder) == []


def pids_that_mention(folder: Path) -> list[str]:
    """Return the processes that name the folder in their command line or environment, as the demo's children do."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in text and process.name != str(os.getpid()):
            found.append(process.name)
    return found


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The first rows of two files; the expectations are counted here, not by the demo's code."""
    folder = tmp_path / "small"
    folder.mkdir()
    expected: dict[str, Any] = {}
    for name in ("bts_all", "random_men"):
        with gzip.open(ROOT / "data" / "obd" / f"{name}.csv.gz", "rt") as file:
            lines = [next(file) for _ in range(ROWS + 1)]
        lines[5] = lines[5].rstrip()[:-1] + "1\n"  # a click, because the first rows hold few
        (folder / f"{name}.csv").write_text("".join(lines))
        rows = list(csv.DictReader(lines))
        hours = [
            datetime.fromtimestamp(int(row["timestamp_ms"]) / 1000, UTC).isoformat(" ")[:13] for row in rows
        ]
        clicks = [int(row["click"]) for row in rows]

        def pairs(places: list[str], clicks: list[int] = clicks) -> dict[str, list[int]]:
            return {
                place: [
                    places.count(place),
                    sum(c for p, c in zip(places, clicks, strict=True) if p == place),
                ]
                for place in set(places)
            }

        expected[name.replace("_", "/")] = {
            "impressions": len(rows),
            "clicks": sum(clicks),
            "by_position": pairs([row["position"] for row in rows]),
            "by_day_utc": pairs([hour[:10] for hour in hours]),
            "by_hour_utc": pairs(hours),
        }
    (folder / "expected_counts.json").write_text(json.dumps(expected))
    return folder


def test_real_events_end_equal(temporary: Path) -> None:
    process = start(temporary, "--check", "--json")
    out, err = process.communicate()
    assert process.returncode == 0, err
    answer = json.loads(out)
    assert '"equal": true' in out
    assert answer["equal"] is True
    assert answer["differences"] == []
    assert answer["replay"]["accepted"] == 60_287
    assert answer["replay"]["rejected"] == answer["replay"]["unknown"] == answer["replay"]["failed"] == 0
    assert sum(group["impressions"] for group in answer["counts"].values()) == 60_000
    assert sum(group["attributed_clicks"] for group in answer["counts"].values()) == 287
    assert answer["compared"] > 3_000
    assert len(answer["lookups"]) == 2
    assert answer["restarts"] == {}
    assert all(worker["peak_mb"] < 340 for worker in answer["workers"])


def test_altered_expectation_is_named_and_ends_with_1(temporary: Path, small: Path) -> None:
    path = small / "expected_counts.json"
    expected = json.loads(path.read_text())
    hour, (impressions, clicks) = next(iter(expected["random/men"]["by_hour_utc"].items()))
    expected["random/men"]["by_hour_utc"][hour] = [impressions, clicks + 1]
    path.write_text(json.dumps(expected))
    process = start(temporary, "--check", "--json", "--data", str(small))
    out, err = process.communicate()
    assert process.returncode == 1, err
    answer = json.loads(out)
    assert answer["equal"] is False
    where = {"group": "random/men", "part": "hour", "at": hour, "expected": clicks + 1, "found": clicks}
    assert answer["differences"] == [
        {"read": read, "counter": counter, **where}
        for read in ("HTTP", "uptake.ctr.windows")
        for counter in ("attributed_clicks", "clicks")
    ]
    assert f"HTTP: random/men, hour {hour}, clicks: expected {clicks + 1}, found {clicks}" in err


@pytest.mark.usefixtures("usual_ports")
def test_demo_keeps_running_answers_what_it_printed_and_stops_at_ctrl_c(temporary: Path, small: Path) -> None:
    process = start(temporary, "--data", str(small), "--workers", "2")
    assert process.stdout is not None
    lines = []
    try:
        for line in process.stdout:
            lines.append(line)
            if "Ctrl-C stops everything" in line:
                break
        text = "".join(lines)
        assert "equal: " in text
        (page,) = re.findall(r"the dashboard, in a browser\n *(http\S+)", text)
        with urllib.request.urlopen(page, timeout=30) as answer:
            assert answer.headers["Content-Type"].startswith("text/html")
        urls = re.findall(r"curl '(http[^']+)'", text)
        assert len(urls) >= 6
        assert pids_that_mention(temporary)
        for url in urls:
            with urllib.request.urlopen(url, timeout=30) as answer:
                assert answer.status == 200
                assert json.load(answer)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert "stopping" in err
        assert err.index(f"dashboard  {page}") < err.index("ready after"), "its address comes first"
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
            shutil.rmtree(temporary, ignore_errors=True)
