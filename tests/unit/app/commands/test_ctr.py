"""`uptake ctr` shows the rates of a worker, follows them, and says clearly when there is no answer."""

import asyncio
import contextlib
import io
import json
import os
import pty
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer, unused_port
from rich.console import Console

from app.commands.ctr_table import ctr_view
from app.http.event_stream import EventHub
from app.lookup.server import create_lookup_app
from tables.ctr.panes import Counts
from tables.ctr.window_keys import SCENARIO, WindowKey, scenario_key
from tables.ctr.window_sums import WindowRow
from tables.ctr.windows import GRANULARITY_MS, floor
from tests.support.lookups import MemoryWorker

ROOT = Path(__file__).resolve().parents[4]
TRICKY = "[red]x[/red]\x1b]0;title\x07"


def count(worker: MemoryWorker, scenario: str, **counted: int) -> int:
    """Store the minute, hour and day of now in the partition of the scenario, and return the partition.

    In the last minute of an hour, a span up to now is read from whole hours.
    """
    now_ms = time.time_ns() // 1_000_000
    partition = worker.partition_of(scenario_key("00000", scenario))
    for name in GRANULARITY_MS:
        key = WindowKey("00000", scenario, SCENARIO, name, floor(now_ms, name))
        worker.rows.setdefault(partition, []).append(WindowRow(key, Counts(**counted), 0, False))
    return partition


@contextlib.asynccontextmanager
async def served(worker: MemoryWorker, port: int = 0, **options: Any) -> AsyncIterator[str]:
    hub = EventHub(interval_s=0.05)
    server = TestServer(create_lookup_app(worker, hub=hub, **options), port=port)
    await server.start_server(shutdown_timeout=0.1)
    try:
        yield str(server.make_url("")).rstrip("/")
    finally:
        await server.close()


def listen_to_ctrl_c() -> None:
    """Undo what a shell does to the programs that it runs in the background: they ignore Ctrl-C, and so do their children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


async def started(*arguments: str, stdout: int = asyncio.subprocess.PIPE, **environ: str) -> Any:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "app", "ctr", *arguments),
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        preexec_fn=listen_to_ctrl_c,
        env={**os.environ, "COLUMNS": "150", "TERM": "xterm", **environ},
    )


async def ended(*arguments: str, **environ: str) -> tuple[int, str, str]:
    process = await started(*arguments, **environ)
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_once_prints_a_line_for_each_scenario_and_the_total() -> None:
    worker = MemoryWorker()
    partition = count(worker, "home", rendered=1_000, attributed_clicks=30, calls=100, clicked_calls=25)
    count(worker, "basket", rendered=10)
    worker.stale = {partition: 8_000}
    async with served(worker) as url:
        status, out, err = await ended("--worker", url, "--once")
        assert (status, err) == (0, "")
        home = next(line for line in out.splitlines() if "home" in line)
        assert [each in home for each in ("1,000", "30", "3.00%", "2.11% to 4.25%", "25.00%")] == [True] * 5
        assert "1,010" in next(line for line in out.splitlines() if "total" in line)
        assert "may lack the events of the last 8 s" in out
        status, out, _ = await ended(
            "--worker", url, "--once", "--json", "--scenario", "home", "--span", "PT15M"
        )
        answer = json.loads(out)
        assert (answer["total"]["rendered"], answer["scenario"], answer["stale_ms"]) == (1_000, "home", 8_000)
        status, out, _ = await ended("--worker", url, "--once", "--sort", "top", "--limit", "1")
        assert "home" in out
        assert "basket" not in out
        assert "1 more are left out" in out


async def test_an_output_that_is_no_terminal_gets_one_table() -> None:
    async with served(MemoryWorker()) as url:
        status, out, _ = await ended("--worker", url)
    assert (status, "nothing was counted" in out) == (0, True)


@pytest.mark.parametrize("more", [[], ["--json"], ["--once"]])
async def test_without_a_worker_it_says_how_to_start_one(more: list[str]) -> None:
    url = f"http://127.0.0.1:{unused_port()}"
    status, out, err = await ended("--worker", url, *more)
    assert (status, out) == (2, "")
    assert err == (
        f"uptake: no worker answers at {url} (ClientConnectorError); start one with `uptake up`, "
        "or name another with --worker\n"
    )


async def test_what_the_worker_refuses_is_told_in_its_words() -> None:
    async with served(MemoryWorker(), api_key_of={"00000": "secret"}.get) as url:
        status, _, err = await ended("--worker", url, "--once")
        assert (status, "answered 401" in err, "set UPTAKE_API_KEY" in err) == (2, True, True)
        status, _, err = await ended("--worker", url, "--json", "--span", "day", UPTAKE_API_KEY="secret")
        assert (status, "span must be a duration of whole minutes" in err) == (2, True)
        assert (await ended("--worker", url, "--once", UPTAKE_API_KEY="secret"))[0] == 0
    status, _, err = await ended("--worker", "6067", "--once")
    assert (status, "is not the address of a worker" in err) == (2, True)


async def test_json_follows_the_stream_through_the_restart_of_a_worker_until_ctrl_c() -> None:
    worker, port = MemoryWorker(), unused_port()
    count(worker, "home", rendered=1)
    async with served(worker, port) as url:
        process = await started("--worker", url, "--json")
        assert json.loads(await process.stdout.readline())["total"]["rendered"] == 1
        count(worker, "home", rendered=1)
        assert json.loads(await process.stdout.readline())["total"]["rendered"] == 2
    assert b"no answer now" in await process.stderr.readline()
    while b"does not answer" not in await process.stderr.readline():
        pass
    count(worker, "home", rendered=1)
    async with served(worker, port):
        assert json.loads(await process.stdout.readline())["total"]["rendered"] == 3
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert (process.returncode, b"Traceback" in err) == (0, False)


async def test_a_terminal_shows_the_table_as_it_changes_and_ctrl_c_gives_it_back() -> None:
    worker = MemoryWorker()
    count(worker, "home", rendered=4_711)
    ours, theirs = pty.openpty()
    shown = b""

    def read() -> None:
        nonlocal shown
        with contextlib.suppress(OSError):  # the other side was closed
            shown += os.read(ours, 65_536)

    asyncio.get_running_loop().add_reader(ours, read)
    async with served(worker) as url:
        process = await started("--worker", url, stdout=theirs)
        while b"4,711" not in shown:
            await asyncio.sleep(0.01)
        count(worker, "home", rendered=100_000)
        while b"104,711" not in shown:
            await asyncio.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
        while not shown.rstrip().endswith(b"\x1b[?25h"):  # the cursor is shown again
            await asyncio.sleep(0.01)
    assert (process.returncode, err) == (0, b"")
    asyncio.get_running_loop().remove_reader(ours)
    os.close(ours)
    os.close(theirs)


def view(answer: dict[str, Any] | None, problem: str | None = None) -> str:
    console = Console(file=io.StringIO(), width=150, force_terminal=True, markup=False)
    console.print(ctr_view(answer, problem))
    text = console.file
    assert isinstance(text, io.StringIO)
    return text.getvalue()


async def test_a_name_is_shown_as_text_and_cannot_command_the_terminal() -> None:
    worker = MemoryWorker()
    count(worker, TRICKY, rendered=1)
    count(worker, "x" * 256, rendered=1)
    async with served(worker) as url:
        status, out, _ = await ended("--worker", url, "--once")
    assert status == 0
    assert "[red]x[/red]\\x1b]0;title\\x07" in out
    assert "\x07" not in out
    assert "x" * 40 + "..." in out.replace("\n", "")


async def test_a_problem_stands_above_the_table_that_may_be_old() -> None:
    worker = MemoryWorker()
    count(worker, "home", rendered=1)
    async with served(worker) as url:
        _, out, _ = await ended("--worker", url, "--once", "--json", "--by", "position")
    text = view(json.loads(out), "it restores")
    assert text.index("no answer now: it restores; the table is from before") < text.index("total")
    assert "waiting for the first answer" in view(None)
    assert "no answer now: it restores" in view(None, "it restores")
