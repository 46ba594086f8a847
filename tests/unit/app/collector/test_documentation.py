"""docs/http-api.md says what the code does: every code, event and metric is there, and nothing that is not."""

import re
from pathlib import Path

from app.collector.metrics import Metrics
from app.collector.spool_metrics import SpoolMetrics
from events.model import ALIASES
from events.rejections import STATUS
from events.tracker import TRACKER_EVENTS
from tests.support.memory_sink import MemorySink

PAGE = (Path(__file__).parents[4] / "docs" / "http-api.md").read_text(encoding="utf-8")


def test_every_code_is_documented_with_its_status() -> None:
    documented = dict(re.findall(r"^\| `([a-z_]+)` \| ([0-9]{3}) \|", PAGE, re.MULTILINE))
    assert documented == {code: str(status) for code, status in STATUS.items()}


def test_every_event_and_alias_is_documented() -> None:
    rows = re.findall(r"^\| `([a-z]+)`(?: \(`([a-z]+)`\))? \| `", PAGE, re.MULTILINE)
    assert [name for name, _ in rows] == list(TRACKER_EVENTS)
    assert {alias: name for name, alias in rows if alias} == ALIASES


def test_every_metric_is_documented() -> None:
    documented = set(re.findall(r"uptake_collector_[a-z_]+", PAGE))
    metrics = Metrics()
    metrics.registry.register(SpoolMetrics(MemorySink()))
    page = metrics.page().decode()
    served = {
        name if kind != "counter" or name.endswith("_total") else f"{name}_total"
        for name, kind in re.findall(r"^# TYPE (uptake_collector_[a-z_]+) (\w+)$", page, re.MULTILINE)
        if not name.endswith("_created")
    }
    assert documented == served
