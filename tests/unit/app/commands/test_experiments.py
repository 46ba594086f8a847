"""`uptake experiments` lists experiments with their verdicts, and shows the variants of one."""

import asyncio
import json
import os
import sys
from pathlib import Path

from tables.ctr.panes import Counts
from tables.ctr.user_totals import UserTotals
from tables.ctr.window_keys import EXPERIMENT, WindowKey, experiment_name, scenario_key
from tables.ctr.window_sums import WindowRow
from tests.support.lookups import MemoryWorker
from tests.unit.app.commands.test_ctr import served

ROOT = Path(__file__).resolve().parents[4]
TRICKY = "a/b [red]x[/red]\x1b]0;title\x07"
DAY_MS = 86_400_000


def a_worker(name: str = "new-list") -> MemoryWorker:
    worker = MemoryWorker()
    for variant, clicks, squared in (("A", 300, 300), ("B", 600, 600)):
        key = WindowKey("00000", experiment_name(name), EXPERIMENT, "day", 10 * DAY_MS, variant)
        totals = UserTotals(1_000, 10_000, 100_000, clicks, squared, clicks * 10)
        partition = worker.partition_of(scenario_key("00000", key.scenario))
        worker.rows.setdefault(partition, []).append(WindowRow(key, Counts(user_totals=totals)))
    return worker


async def ended(*arguments: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "app", "experiments", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "150"},
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_list_has_a_line_for_each_experiment_and_one_has_its_variants() -> None:
    async with served(a_worker()) as url:
        code, out, err = await ended("--worker", url)
        assert (code, err) == (0, "")
        assert "new-list" in out
        assert "2,000" in out
        assert "B is better than A by 100 %" in out
        code, out, err = await ended("new-list", "--worker", url)
        assert (code, err) == (0, "")
        assert "B is better than A by 100 %" in out
        assert "3.00%" in out
        assert "6.00%" in out
        assert "+100.0%" in out
        code, out, _ = await ended("new-list", "--worker", url, "--metric", "revenue_per_call")
        assert code == 0
        assert "revenue_per_call EUR" in out
        code, out, _ = await ended("new-list", "--worker", url, "--json")
        assert json.loads(out)["verdict"] == "better"


async def test_name_with_a_slash_and_what_a_terminal_would_obey_is_shown_as_text() -> None:
    async with served(a_worker(TRICKY)) as url:
        code, out, err = await ended(TRICKY, "--worker", url)
        assert (code, err) == (0, "")
        code, out, err = await ended("--worker", url)
        assert (code, err) == (0, "")
        assert "a/b [red]x[/red]" in out
        assert "\x1b" not in out


async def test_without_an_experiment_it_says_what_to_send() -> None:
    async with served(MemoryWorker()) as url:
        code, out, _ = await ended("--worker", url)
        assert code == 0
        assert "send impressions with experiment and variant" in out
        code, _, err = await ended("unheard", "--worker", url)
        assert code == 2
        assert "answered 404: customer 00000 has no experiment 'unheard'" in err
