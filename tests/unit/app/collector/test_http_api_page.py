"""docs/http-api.md matches the code: it lists every code, event and metric, and no other."""

import re
from pathlib import Path

from app.base.settings import Settings
from app.collector.endpoints import JSON_EVENTS, PRESENTATIONS, REFUSED
from app.collector.metrics import Metrics
from app.collector.openapi import OPERATOR_PAGES
from app.collector.openapi_parameters import COMMON, OWN
from app.collector.refusal_entries import MAX_SHOWN, RefusedRequest
from app.collector.refused_requests import KEPT
from app.journal.spool_metrics import SpoolMetrics
from events.model import ALIASES
from events.rejections import CAUSES, STATUS
from events.target import PREFIXES
from events.tracker import TRACKER_EVENTS, TRACKER_PATHS
from tests.support.memory_sink import MemorySink

PAGE = (Path(__file__).parents[4] / "docs" / "http-api.md").read_text(encoding="utf-8")


def test_every_code_is_documented_with_its_status() -> None:
    documented = dict(re.findall(r"^\| `([a-z_]+)` \| ([0-9]{3}) \|", PAGE, re.MULTILINE))
    assert documented == {code: str(status) for code, status in STATUS.items()}


def test_every_cause_is_that_of_the_code() -> None:
    told = dict(re.findall(r"^\| `([a-z_]+)` \| [0-9]{3} \| (.*) \|$", PAGE, re.MULTILINE))
    assert {code: re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", cause) for code, cause in told.items()} == CAUSES


def test_every_field_of_refused_requests_is_documented() -> None:
    told = PAGE[PAGE.index("| in `last` |") : PAGE.index("- Each collector has its own page")]
    rows = re.findall(r"^\| (`[^|]*) \|", told, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(
        RefusedRequest.__struct_fields__
    )
    assert f"the last {KEPT} refused requests" in PAGE
    assert f"at most {MAX_SHOWN};" in told


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


def event_rows() -> dict[str, tuple[str, str]]:
    """Return event -> (path, parameters) from the page."""
    rows = re.findall(r"^\| `([a-z]+)`(?: \(`[a-z]+`\))? \| `([^`]+)` \| (.*?) ?\|$", PAGE, re.MULTILINE)
    return {name: (path, said) for name, path, said in rows}


def test_every_path_is_documented() -> None:
    assert {name: path for name, (path, _) in event_rows().items()} == {
        name: f"{name}/{path}" for name, path in TRACKER_PATHS.items()
    }
    assert all(f"`{prefix}`" in PAGE for prefix in PREFIXES)
    for path in (
        *OPERATOR_PAGES,
        *PRESENTATIONS,
        *(f"/v1/{{customer}}/{name}" for name in JSON_EVENTS),
        REFUSED,
    ):
        assert path in PAGE


def test_every_parameter_of_an_event_is_documented_and_no_other() -> None:
    for name, (_, said) in event_rows().items():
        named = set(re.findall(r"`([a-zA-Z]+)`", said)) - set(TRACKER_EVENTS)
        assert named == OWN[name].keys(), name


def test_every_common_parameter_is_documented() -> None:
    table = PAGE[PAGE.index("On every event:") : PAGE.index("| any other |")]
    assert set(re.findall(r"`([a-zA-Z]+)`", table)) >= COMMON.keys()


def test_every_status_is_documented() -> None:
    table = PAGE[PAGE.index("| status | when |") : PAGE.index("### Codes")]
    told = set(re.findall(r"^\| ([0-9x]+)", table, re.MULTILINE))
    given = {str(status) for status in STATUS.values()} | {"200", "204"}
    assert {
        status for status in given if status not in told and not (status[0] == "4" and "4xx" in told)
    } == set()


def test_settings_that_are_named_are_settings() -> None:
    fields = {f"UPTAKE_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"UPTAKE_[A-Z_]+", PAGE)) <= fields
    for name in (
        "MAX_URI_BYTES",
        "MAX_BODY_BYTES",
        "MAX_BATCH_BYTES",
        "MAX_UNPACKED_BYTES",
        "MAX_BATCH_ELEMENTS",
    ):
        assert f"UPTAKE_{name}" in PAGE


def test_named_limits_are_those_of_the_settings() -> None:
    factor = {"KB": 1_024, "MiB": 1_048_576, "s": 1_000, "": 1}
    told = re.findall(r"`UPTAKE_([A-Z_]+)` \(([0-9.,]+) ?(KB|MiB|s|)\)", PAGE)
    assert len(told) > 5
    for name, number, unit in told:
        assert Settings.model_fields[name.lower()].default == float(number.replace(",", "")) * factor[unit], (
            name
        )
