"""A row becomes the JSON element that it stands for, with its time and an eid of its own."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.importer.elements import Converter, Problem
from app.importer.mapping import make_mapping

COLUMNS = ("user=u", "item=i", "time=t")
BERLIN = ZoneInfo("Europe/Berlin")


def a_converter(
    *more: str, constants: tuple[str, ...] = ("event=click",), zone: Any = UTC, **options: Any
) -> Converter:
    return Converter(make_mapping(columns=[*COLUMNS, *more], constants=constants, **options), zone, "imp-1")


def made(converter: Converter, **row: Any) -> Any:
    return converter.element(3, {"u": "anna", "i": "7", "t": "1000", **row})


def test_row_becomes_an_element() -> None:
    assert made(a_converter()) == {
        "type": "click",
        "eid": "imp-1-3",
        "time_ms": 1_000_000,
        "user": "anna",
        "item": "7",
    }


@pytest.mark.parametrize(
    ("form", "value", "time_ms"),
    [
        ("auto", "1396870000", 1_396_870_000_000),
        ("auto", "1396870000.5", 1_396_870_000_500),
        ("auto", 1_396_870_000_123, 1_396_870_000_123),
        ("auto", "2014-04-07T10:51:09.277Z", 1_396_867_869_277),
        ("auto", "2014-04-07 12:51:09+02:00", 1_396_867_869_000),
        ("auto", "2014-04-07T12:51:09", 1_396_867_869_000),
        ("iso", "20140407", 1_396_821_600_000),
        ("s", "100000000000", 100_000_000_000_000),
        ("ms", "5", 5),
        ("ms", "946684799", 946_684_799),
        ("auto", datetime(2014, 4, 7, 10, 51, 9, 277_000, UTC), 1_396_867_869_277),
        ("auto", datetime(2014, 4, 7, 12, 51, 9), 1_396_867_869_000),  # noqa: DTZ001 # as Parquet has it
        ("auto", datetime(2014, 4, 7, 15, 51, 9, tzinfo=timezone(timedelta(hours=5))), 1_396_867_869_000),
        ("auto", date(2014, 4, 7), 1_396_821_600_000),
    ],
)
def test_time_is_read_in_every_form_and_without_a_zone_it_is_the_customers(
    form: str, value: object, time_ms: int
) -> None:
    assert made(a_converter(zone=BERLIN, given={"time": form}), t=value)["time_ms"] == time_ms


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("auto", "soon"),
        ("auto", ""),
        ("auto", None),
        ("auto", True),
        ("auto", "-5"),
        ("auto", "1960-01-01T00:00:00"),
        ("auto", "2014-02-30T00:00:00"),
        ("auto", "9" * 30),
        ("auto", "1e9"),
        ("s", "2014-04-07T10:51:09Z"),
        ("ms", "1.5.2014"),
        ("ms", "1574553600"),
        ("ms", "4102444799"),
    ],
)
def test_time_that_is_none_is_a_problem_with_the_value_in_it(form: str, value: object) -> None:
    found = made(a_converter(given={"time": form}), t=value)
    assert isinstance(found, Problem)
    assert found.code == "bad_timestamp"
    assert repr("" if value is None or value is True else value)[1:20] in found.sentence


def test_kind_comes_from_a_column_through_a_table() -> None:
    converter = a_converter("event=e", constants=(), events=["view=click", "order=buy", "noise="])
    assert made(converter, e="view")["type"] == "click"
    assert made(converter, e="order")["type"] == "buy"
    assert made(converter, e="consume")["type"] == "consume"
    assert made(converter, e="noise") is None
    for unknown in ("scroll", "", None):
        found = made(converter, e=unknown)
        assert isinstance(found, Problem)
        assert found.code == "unknown_event"


def test_fields_that_an_event_does_not_have_are_left_out() -> None:
    converter = a_converter("event=e", "price=p", "quantity=q", constants=("currency=EUR",))
    row = {"p": "9.99", "q": "2"}
    assert made(converter, e="click", **row).keys() == {"type", "eid", "time_ms", "user", "item"}
    bought = made(converter, e="buy", **row)
    assert (bought["price"], bought["quantity"], bought["currency"]) == ("9.99", 2, "EUR")
    assert "currency" not in made(converter, e="buy", p="", q="2")


@pytest.mark.parametrize(
    ("field", "value", "sent"),
    [
        ("item", 7, "7"),
        ("item", 7.0, "7"),
        ("price", Decimal("12.50"), "12.50"),
        ("price", 12.5, "12.5"),
        ("price", 22.200000000000003, "22.200000"),
        ("price", 1e-7, "0.000000"),
        ("price", 1.5e16, "15000000000000000"),
        ("price", float("nan"), "NaN"),
        ("price", Decimal("3.3333333333333333333333333333333333333333333"), "3.333333"),
        ("price", "16.806722689076", "16.806722689076"),
        ("quantity", "2", 2),
        ("quantity", 2.0, 2),
        ("quantity", "two", "two"),
        ("quantity", 0.5, "0.5"),
        ("quantity", 0.1 + 0.2, "0.300000"),
        ("quantity", 1e-6, "0.000001"),
        ("quantity", "2.0000", "2.0000"),
        ("quantity", "0.5", "0.5"),
        ("quantity", Decimal("0.5000"), "0.5000"),
        ("quantity", Decimal("0.3333333333333333333333333333333333333333333333"), "0.333333"),
        ("categorypath", b"a/b", "a/b"),
        ("scenario", "undefined", None),
        ("scenario", None, None),
    ],
)
def test_values_are_sent_as_events_have_them(field: str, value: object, sent: object) -> None:
    kind = "clickrecommended" if field == "scenario" else "buy"
    converter = Converter(
        make_mapping(columns=["user=u", "time=t", f"{field}=x"], constants=[f"event={kind}", "currency=EUR"]),
        UTC,
        "imp",
    )
    assert made(converter, x=value).get(field) == sent


def test_items_of_a_list_and_properties() -> None:
    converter = Converter(
        make_mapping(
            columns=["user=u", "time=t", "items=x", "properties.device=d"],
            constants=["event=rendered", "row=2"],
            given={"separator": "|"},
        ),
        UTC,
        "imp",
    )
    found = made(converter, x="1| 2|", d="phone")
    assert (found["items"], found["row"], found["properties"]) == (["1", "2"], 2, {"device": "phone"})
    assert made(converter, x=[1, "2"])["items"] == ["1", "2"]


def test_recsys_layouts_read_the_documented_rows() -> None:
    clicks = Converter(make_mapping(layout="recsys-clicks"), BERLIN, "imp")
    row = {"session": "1", "timestamp": "2014-04-07T10:51:09.277Z", "item": "214536502", "category": "0"}
    assert clicks.element(1, row) == {
        "type": "click",
        "eid": "imp-1",
        "time_ms": 1_396_867_869_277,
        "user": "1",
        "item": "214536502",
    }
    assert clicks.element(1, {**row, "category": "S"})["categorypath"] == "S"  # type: ignore[index,call-overload]
    buys = Converter(make_mapping(layout="recsys-buys", constants=["currency=EUR"]), BERLIN, "imp")
    bought: Any = buys.element(1, {**row, "price": "12462", "quantity": "2"})
    assert (bought["type"], bought["price"], bought["currency"], bought["quantity"]) == (
        "buy",
        "12462",
        "EUR",
        2,
    )
    unknown: Any = buys.element(1, {**row, "price": "0", "quantity": "0"})
    assert not {"price", "currency", "quantity"} & unknown.keys()
