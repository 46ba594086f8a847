"""A mapping says what rows mean; an incomplete one names what it lacks."""

import re
from pathlib import Path
from typing import Any

import pytest

from app.base.errors import UptakeError
from app.importer.mapping import LAYOUTS, Format, make_mapping

BASE = {"columns": ["user=u", "item=i", "time=t"], "constants": ["event=click"]}

TOML = """
[map]
user = "visitor"
item = "sku"
time = "ts"
event = "action"
[set]
itemtype = 2
[events]
view = "click"
noise = ""
[absent]
item = ["-"]
[format]
time = "ms"
zone = "Europe/Berlin"
delimiter = ";"
columns = ["visitor", "sku", "ts", "action"]
"""


def test_file_says_all_that_the_command_line_can(tmp_path: Path) -> None:
    file = tmp_path / "mapping.toml"
    file.write_text(TOML)
    found = make_mapping(file=file)
    assert found.map == {"user": "visitor", "item": "sku", "time": "ts", "event": "action"}
    assert (found.set, found.events) == ({"itemtype": 2}, {"view": "click", "noise": ""})
    assert found.format == Format(
        time="ms", zone="Europe/Berlin", delimiter=";", columns=("visitor", "sku", "ts", "action")
    )


def test_command_line_wins_over_the_file_and_the_file_over_the_layout(tmp_path: Path) -> None:
    file = tmp_path / "mapping.toml"
    file.write_text('[map]\nitem = "session"\n[format]\nzone = "Europe/Paris"\n')
    found = make_mapping(
        layout="recsys-clicks", file=file, constants=["item=7", "event=consume"], given={"time": "ms"}
    )
    assert found.set == {"event": "consume", "item": "7"}
    assert "item" not in found.map
    assert (found.format.zone, found.format.time) == ("Europe/Paris", "ms")
    assert found.format.columns == LAYOUTS["recsys-clicks"].format.columns


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_needs_nothing_more(layout: str) -> None:
    make_mapping(layout=layout)


def test_price_of_recsys_buys_is_sent_only_with_a_currency() -> None:
    assert "price" not in make_mapping(layout="recsys-buys").map
    assert "price" in make_mapping(layout="recsys-buys", constants=["currency=EUR"]).map


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"columns": ["user=u", "item=i"]}, "lacks the time of a row; give it with --map time=COLUMN"),
        ({"columns": ["item=i", "time=t"]}, "--map user=COLUMN"),
        ({"constants": []}, "--set event=click"),
        ({"columns": ["user"]}, "NAME=VALUE"),
        ({"columns": [*BASE["columns"], "eid=x"]}, "no field 'eid'"),
        ({"columns": [*BASE["columns"], "properties.=x"]}, "no field 'properties.'"),
        ({"constants": ["event=clic"]}, "no event 'clic'"),
        ({"events": ["view=clic"]}, "no event 'clic'"),
        ({"constants": ["event=click", "item=1"]}, "item is given as a column and as a value"),
        ({"given": {"time": "minutes"}}, "format of the file"),
        ({"given": {"delimiter": ";;"}}, "format of the file"),
        ({"layout": "netflix"}, "no layout 'netflix'; there are recsys-clicks"),
    ],
)
def test_mapping_that_makes_no_events_says_what_it_lacks(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UptakeError, match=words):
        make_mapping(**{**BASE, **changes})


@pytest.mark.parametrize(
    ("text", "words"), [("[map", "mapping.toml"), ("[maps]\n", "maps"), ("[map]\nuser = 1\n", "str")]
)
def test_file_that_is_no_mapping_is_told_of(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "mapping.toml"
    file.write_text(text)
    with pytest.raises(UptakeError, match=words):
        make_mapping(file=file)
    with pytest.raises(UptakeError, match="cannot be read"):
        make_mapping(file=tmp_path / "none.toml")


def test_every_choice_makes_another_import() -> None:
    texts = {
        make_mapping(**BASE).digest_text(),
        make_mapping(**{**BASE, "constants": ["event=buy"]}).digest_text(),
        make_mapping(**BASE, given={"zone": "Europe/Berlin"}).digest_text(),
        make_mapping(**{**BASE, "columns": ["time=t", "user=u", "item=i"]}).digest_text(),
    }
    assert len(texts) == 3, "the order of the columns has no meaning"


def test_page_shows_a_mapping_that_can_be_read_and_every_layout(tmp_path: Path) -> None:
    page = (Path(__file__).parents[4] / "docs" / "importing.md").read_text(encoding="utf-8")
    file = tmp_path / "shop.toml"
    file.write_text(re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[0])
    found = make_mapping(file=file)
    assert found.events == {"view": "click", "order": "buy", "heartbeat": ""}
    assert all(f"| `{layout}` |" in page for layout in LAYOUTS)
