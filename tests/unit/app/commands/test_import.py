"""`uptake import` loses and doubles no row, however often it is killed, and reports its counts at the end."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from app.importer.run import REMEMBERED_MS
from tests.support.batch_double import BatchDouble, accepted, batch_double, rejected
from tests.support.collector_double import an_answer

ROOT = Path(__file__).resolve().parents[4]
MAPPED = ("--map", "user=u", "--map", "item=i", "--map", "time=t", "--set", "event=click")


async def start(url: str, folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "app", "import", "--url", url, "--license-key", "8695-1828", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "300"},
    )


async def ended(process: asyncio.subprocess.Process) -> tuple[int, str, str]:
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def run(url: str, folder: Path, *arguments: str) -> tuple[int, str, str]:
    return await ended(await start(url, folder, *arguments))


def a_file(folder: Path, count: int, name: str = "rows.csv") -> str:
    lines = [f"user {number % 50},{number},{1_400_000_000 + number}\n" for number in range(1, count + 1)]
    (folder / name).write_text("u,i,t\n" + "".join(lines))
    return name


def rejects(folder: Path) -> list[dict[str, Any]]:
    path = folder / "rows.csv.uptake-rejects.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def judge(event: dict[str, Any]) -> dict[str, Any]:
    return rejected() if int(event["item"]) % 100 == 0 else accepted()


async def test_import_that_was_killed_has_every_row_once(tmp_path: Path) -> None:
    count = 20_000
    file = a_file(tmp_path, count)
    first_rows = [1]
    async with batch_double(judge) as double:
        double.delay_s = 0.15
        for _ in range(2):
            process = await start(double.url, tmp_path, file, *MAPPED, "--concurrency", "2")
            while process.returncode is None and next_row(tmp_path) == first_rows[-1]:
                await asyncio.sleep(0.005)
            taken = len(double.taken)
            # Wait for rows that the checkpoint does not cover.
            while process.returncode is None and len(double.taken) == taken:
                await asyncio.sleep(0.005)
            assert process.returncode is None, "the import was over before the kill"
            process.kill()
            await ended(process)
            first_rows.append(next_row(tmp_path))
        double.delay_s = 0
        status, out, err = await run(double.url, tmp_path, file, *MAPPED, "--json")
    assert status == 1, err
    assert first_rows == sorted(set(first_rows))
    assert sorted(double.rows) == [row for row in range(1, count + 1) if row % 100]
    assert [reject["row"] for reject in rejects(tmp_path)] == list(range(100, count + 1, 100))
    assert double.arrived.total() > count, "no row was sent twice, so no kill came at a bad moment"
    (told,) = json.loads(out)["files"]
    assert (told["finished"], told["accepted"], told["rejected"]) == (True, count * 99 // 100, count // 100)
    assert told["first_row"] == first_rows[-1]


def next_row(folder: Path) -> int:
    try:
        return int(json.loads((folder / "rows.csv.uptake-import").read_text())["next_row"])
    except FileNotFoundError:
        return 1


async def test_file_that_is_done_is_not_sent_again(tmp_path: Path) -> None:
    file = a_file(tmp_path, 600)
    async with batch_double() as double:
        status, _, err = await run(double.url, tmp_path, file, *MAPPED)
        assert (status, len(double.taken)) == (0, 600), err
        assert "600 accepted" in err
        status, _, err = await run(double.url, tmp_path, file, *MAPPED)
    assert status == 0
    assert "was imported before" in err
    assert double.arrived.total() == 600


async def test_rejected_rows_stand_in_a_file_with_their_reasons(tmp_path: Path) -> None:
    file = a_file(tmp_path, 100)
    with (tmp_path / file).open("a") as more:
        more.write("anna,1\nanna,2,soon\n")
    async with batch_double(judge) as double:
        status, _, err = await run(double.url, tmp_path, file, *MAPPED)
    assert status == 1
    assert [(each["row"], each["code"]) for each in rejects(tmp_path)] == [
        (100, "bad_item"),
        (101, "unreadable"),
        (102, "bad_timestamp"),
    ]
    assert json.loads(rejects(tmp_path)[0]["text"]) == {"u": "user 0", "i": "100", "t": "1400000100"}
    assert stat.S_IMODE((tmp_path / "rows.csv.uptake-rejects.jsonl").stat().st_mode) == 0o600
    assert "99 accepted, 3 rejected" in err
    assert "rows.csv.uptake-rejects.jsonl" in err


async def test_ctrl_c_settles_what_was_read_and_says_how_to_go_on(tmp_path: Path) -> None:
    file = a_file(tmp_path, 30_000)
    async with batch_double() as double:
        double.delay_s = 0.01
        process = await start(double.url, tmp_path, file, *MAPPED)
        while len(double.taken) < 1_000:
            await asyncio.sleep(0.005)
        process.send_signal(signal.SIGINT)
        status, _, err = await ended(process)
        assert status == 130, err
        assert "give the same command again to resume" in err
        stopped_at = len(double.taken)
        assert 1_000 <= stopped_at < 30_000
        double.delay_s = 0
        state = json.loads((tmp_path / "rows.csv.uptake-import").read_text())
        assert state["next_row"] == state["may_be_sent"] == stopped_at + 1
        status, _, err = await run(double.url, tmp_path, file, *MAPPED)
    assert status == 0, err
    assert sorted(double.rows) == list(range(1, 30_001))
    assert set(double.arrived.values()) == {1}


async def killed_in_the_middle(double: BatchDouble, folder: Path, file: str) -> None:
    double.delay_s = 0.02
    process = await start(double.url, folder, file, *MAPPED)
    while len(double.taken) < 700:
        await asyncio.sleep(0.005)
    process.kill()
    await ended(process)
    await double.settle()
    double.delay_s = 0
    path = folder / "rows.csv.uptake-import"
    state = json.loads(path.read_text())
    assert state["next_row"] < state["may_be_sent"]
    path.write_text(json.dumps(state | {"written_ms": time.time_ns() // 1_000_000 - REMEMBERED_MS - 1}))


async def test_after_a_kill_and_a_day_rows_that_may_have_been_sent_are_asked_for(tmp_path: Path) -> None:
    file = a_file(tmp_path, 5_000)
    async with batch_double() as double:
        await killed_in_the_middle(double, tmp_path, file)
        sent = set(double.taken)
        status, _, err = await run(double.url, tmp_path, file, *MAPPED)
        assert status == 2
        assert "--unsure send, or --unsure skip" in err
        assert set(double.taken) == sent
        status, _, err = await run(double.url, tmp_path, file, *MAPPED, "--unsure", "skip")
    assert status == 1, err
    left_out = {reject["row"] for reject in rejects(tmp_path)}
    assert left_out | set(double.rows) == set(range(1, 5_001))
    assert max(double.arrived.values()) == 1
    assert "not sent, because they may have been sent before" in err


async def test_collector_that_refuses_the_key_ends_with_a_message_and_nothing_is_passed_over(
    tmp_path: Path,
) -> None:
    file = a_file(tmp_path, 100)
    no = an_answer(401, '{"code":"unauthorized","detail":"the license key is wrong"}')
    async with batch_double(before=lambda _events: no) as double:
        status, _, err = await run(double.url, tmp_path, file, *MAPPED)
    assert status == 2
    assert "the license key is wrong" in err
    assert json.loads((tmp_path / "rows.csv.uptake-import").read_text())["next_row"] == 1


async def test_dry_run_shows_rows_as_events_and_rejects_and_sends_nothing(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("u,i,t\nanna,1,1400000000\n,1,1400000000\nanna,1,soon\n")
    status, out, err = await run("http://127.0.0.1:9", tmp_path, "rows.csv", *MAPPED, "--dry-run")
    assert status == 1, err
    first, second, third = out.splitlines()
    shown = json.loads(first.partition(": ")[2])
    assert (shown["type"], shown["user"], shown["time_ms"]) == ("click", "anna", 1_400_000_000_000)
    assert "row 2: rejected, missing_user" in second
    assert "row 3: rejected, bad_timestamp" in third
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


async def test_unsure_takes_three_words_and_names_them(tmp_path: Path) -> None:
    status, _, err = await run("http://127.0.0.1:1", tmp_path, a_file(tmp_path, 1), *MAPPED, "--unsure", "no")
    assert status == 2
    assert "--unsure 'no' must be ask, send or skip" in err
