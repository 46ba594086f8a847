"""`uptake replay` exits with 0 only if every event was accepted, and keeps the other events with their reasons."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from app.commands.replay import _author
from app.replay.http import Endpoint
from app.replay.request import Author
from tests.support.collector_double import TAKEN, an_answer, collector_double

HEADER = "timestamp_ms,user,item_id,position,click\n"


async def replay(url: str, folder: Path, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "app", "replay", "--url", url, "--customers-file", str(folder / "none.toml"), *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[4]), "COLUMNS": "200"},
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def taken(_target: str) -> bytes:
    return TAKEN


def a_file(folder: Path, rows: str) -> str:
    path = folder / "bts_all.csv"
    path.write_text(HEADER + rows)
    return str(path)


async def test_accepted_events_end_with_0_and_no_rejects_file(tmp_path: Path) -> None:
    file = a_file(tmp_path, "1574553617004,u,79,3,1\n")
    async with collector_double(taken) as double:
        status, out, err = await replay(double.url, tmp_path, file, "--license-key", "8695-1828", "--json")
    assert status == 0, err
    answer = json.loads(out)
    assert (answer["accepted"], answer["rejected"], answer["unknown"]) == (2, 0, 0)
    assert len(double.begun) == 2
    assert "signature=" in double.begun[0]
    assert not (tmp_path / "replay-rejects.jsonl").exists()


async def test_rejected_event_ends_with_1_and_stands_in_the_rejects_file(tmp_path: Path) -> None:
    async def respond(target: str) -> bytes:
        return an_answer(400, "item must be a number") if "/80?" in target else TAKEN

    file = a_file(tmp_path, "1574553617004,u,79,3,0\n1574553617004,u,80,3,0\nbad\n")
    async with collector_double(respond) as double:
        status, out, err = await replay(double.url, tmp_path, file, "--license-key", "8695-1828")
    assert status == 1
    assert out == ""
    assert "1 of 3 events accepted" in err
    assert "1 rejected, 1 unreadable" in err
    rejects = tmp_path / "replay-rejects.jsonl"
    assert stat.S_IMODE(rejects.stat().st_mode) == 0o600
    lines = sorted(map(json.loads, rejects.read_text().splitlines()), key=lambda line: line["where"])
    assert [(line["where"], line["outcome"], line["status"]) for line in lines] == [
        ("bts_all.csv:3", "rejected", 400),
        ("bts_all.csv:4", "unreadable", None),
    ]
    assert lines[0]["reason"] == "item must be a number"


async def test_the_last_line_counts_what_was_not_accepted_by_kind(tmp_path: Path) -> None:
    statuses = {"/80?": 400, "/81?": 500, "/82?": 500, "/83?": 504, "/84?": 504, "/85?": 504}

    async def respond(target: str) -> bytes:
        status = next((status for path, status in statuses.items() if path in target), None)
        return TAKEN if status is None else an_answer(status, "no")

    rows = "".join(f"1574553617004,u,{item},3,0\n" for item in range(79, 86)) + "bad\n" * 4
    async with collector_double(respond) as double:
        status, _, err = await replay(
            double.url, tmp_path, a_file(tmp_path, rows), "--license-key", "8695-1828"
        )
    assert status == 1
    assert "not accepted: 1 rejected, 4 unreadable, 2 failed, 3 unknown; see replay-rejects.jsonl" in err


async def test_without_a_license_key_it_says_what_to_do(tmp_path: Path) -> None:
    status, _, err = await replay("http://127.0.0.1:1", tmp_path, a_file(tmp_path, ""))
    assert status == 2
    assert "none.toml" in err


async def test_now_needs_no_license_key(tmp_path: Path) -> None:
    file = a_file(tmp_path, "1574553617004,u,79,3,0\n")
    async with collector_double(taken) as double:
        status, _, err = await replay(double.url, tmp_path, file, "--now")
    assert status == 0, err
    assert "overridetimestamp" not in double.begun[0]


async def test_ctrl_c_stops_and_tells_how_far_it_was(tmp_path: Path) -> None:
    first = asyncio.Event()

    async def respond(_target: str) -> bytes:
        first.set()
        return TAKEN

    rows = "".join(f"{1574553617004 + n * 60_000},u,{n + 1},3,0\n" for n in range(5))
    file = a_file(tmp_path, rows)
    async with collector_double(respond) as double:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "app", "replay", "--url", double.url, "--license-key", "8695-1828", "--speed", "1"),
            *("--customers-file", str(tmp_path / "none.toml"), file),
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[4])},
        )
        await asyncio.wait_for(first.wait(), 30)
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert process.returncode == 130
    assert b"1 of 5 events accepted" in err


@pytest.mark.parametrize("as_of_now", [False, True])
def test_a_customer_that_requires_credentials_gets_them_and_the_signature_it_takes(
    tmp_path: Path, as_of_now: bool
) -> None:
    file = tmp_path / "uptake.toml"
    file.write_text(
        f"""
[customers.open]
key_id = "k1"
pseudonym_key = "{"ab" * 32}"
license_key = "license-of-open"
[customers.locked]
key_id = "k1"
pseudonym_key = "{"cd" * 32}"
license_key = "license-of-locked"
require_credentials = true
md5_signatures = false
"""
    )
    file.chmod(0o600)
    author, credentials = _author("locked", None, file, as_of_now)
    expected = Author("locked") if as_of_now else Author("locked", "license-of-locked", takes_md5=False)
    assert (author, credentials) == (expected, ("locked", "license-of-locked"))
    head = Endpoint("http://127.0.0.1:1", credentials).request("/x")
    assert b"\r\nAuthorization: Basic bG9ja2VkOmxpY2Vuc2Utb2YtbG9ja2Vk\r\n" in head
    assert _author("open", None, file, as_of_now)[1] is None
    assert b"Authorization" not in Endpoint("http://127.0.0.1:1").request("/x")
