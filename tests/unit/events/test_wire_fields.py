"""The table of fields is complete, names each field once, and both parsers read exactly its names, within its bounds."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from events import signature, wire_values
from events.json_events import Reader
from events.json_kinds import KINDS
from events.model import EVENTS, EventBase
from events.rejections import STATUS, Rejection
from events.target import build_target
from events.tracker import TRACKER_EVENTS, TRACKER_PATHS, Accepted
from events.wire_fields import COMMON_FIELDS, WIRE_FIELDS, WireField, by_name, own_fields_of
from events.wire_values import ValueKind, ValueType
from tests.support.tracker import RECEIVED_MS, RULES, report

TRACKER_NAMES = sorted({name for field in WIRE_FIELDS for name in field.tracker_names})
JSON_NAMES = sorted({name for field in WIRE_FIELDS for name in field.json_names})
EVERY_NAME = sorted({*TRACKER_NAMES, *JSON_NAMES, "title"})

GOOD: dict[str, Any] = {
    "customer": "00000",
    "user": "u",
    "source": "u",
    "target": "v",
    "item": "5",
    "items": ["5"],
    "itemtype": 1,
    "fullprice": "1.50EUR",
    "price": "150",
    "currency": "EUR",
    "lists": [{"items": ["5"]}],
    "properties": {"a": "b"},
    "v": 1,
    "state": "playing",
    "consent": "yes",
}
"""Values for the fields that do not take a 7."""
NEEDED: dict[str, tuple[str, ...]] = {
    "rendered": ("items",),
    "viewed": ("items",),
    "login": ("target",),
    "triggeropened": (),
    "recommended": ("request_id",),
    "rate": ("item", "rating"),
    "playback": ("item", "session", "state", "position_ms", "duration_ms"),
}


def good(name: str) -> Any:
    return GOOD.get(name, 7)


def tracked(event: str, params: dict[str, str]) -> Accepted | Rejection | None:
    segments = {"login": ("u", "v"), "triggeropened": ("u",)}.get(event, ("u", "1", "5"))
    needed = {"rating": "7"} if event == "rate" else {}
    return report(build_target("00000", event, segments, {**needed, **params}))


def in_json(event: str, element: dict[str, Any]) -> Accepted | Rejection | None:
    needed = {name: good(name) for name in NEEDED.get(event, ("item",))}
    price = {"currency": "EUR"} if "price" in element else {}
    whole = {"type": event, "user": "u", **needed, **price, **element}
    return Reader(RULES, RECEIVED_MS, is_owner=True).read(whole)


def properties_of(outcome: Accepted | Rejection | None) -> dict[str, str]:
    assert isinstance(outcome, Accepted), outcome
    return outcome.event.properties or {}


# --- the table ------------------------------------------------------------------------------------------------------------------------


def test_every_field_of_an_event_has_a_row_and_no_other_field_has() -> None:
    fields = {name for event in EVENTS.values() for name in event.__struct_fields__}
    assert {field.event_field for field in WIRE_FIELDS if not field.is_of_request} == fields | {"type"}


@pytest.mark.parametrize(
    ("second", "where"),
    [
        (WireField("modelid", wire_values.WORD, tracker=(), is_in_json=False), "table"),
        (WireField("modelId", wire_values.WORD, tracker=()), "JSON dialect"),
        (WireField("model", wire_values.WORD, tracker=("modelId",), is_in_json=False), "tracker dialect"),
    ],
)
def test_a_field_cannot_be_declared_twice(second: WireField, where: str) -> None:
    first = WireField("modelid", wire_values.WORD, tracker=("modelid", "modelId"))
    assert by_name([first]) == {"modelid": first}
    with pytest.raises(ValueError, match=f"is declared twice in the {where}"):
        by_name([first, second])
    with pytest.raises(ValueError, match="is declared twice"):
        by_name([*WIRE_FIELDS, second])


def test_every_row_has_a_known_code_and_bounds_in_order() -> None:
    for field in WIRE_FIELDS:
        for value in (field.value, field.value_in_json):
            assert value.code in STATUS
            assert value.greatest == 0 or value.least < value.greatest
            assert (value.unit == "ms") == (field.name.endswith("_ms") and value.greatest > 0), field.name


def test_the_signature_has_the_name_that_signatures_leave_out() -> None:
    named = [field.name for field in WIRE_FIELDS if field.value is wire_values.SIGNATURE]
    assert named == [signature.PARAMETER]


def test_only_the_price_means_something_else_in_json() -> None:
    assert [field.name for field in WIRE_FIELDS if field.json_value is not None] == ["price"]
    in_cents, in_euros = tracked("buy", {"price": "150"}), in_json("buy", {"price": "150"})
    assert isinstance(in_cents, Accepted)
    assert isinstance(in_euros, Accepted)
    assert (in_cents.event.price, in_euros.event.price) == (Decimal("1.50"), Decimal(150))  # type: ignore[attr-defined]


# --- names ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", TRACKER_EVENTS)
def test_tracker_takes_the_names_of_the_table_and_keeps_others_as_properties(event: str) -> None:
    fields = (*COMMON_FIELDS, *own_fields_of(EVENTS[event]))
    known = {name for field in fields if not field.is_in_path for name in field.tracker_names}
    for name in EVERY_NAME:
        if name in ("overridetimestamp", "signature"):
            continue  # test_openapi.py sends them together
        kept = properties_of(tracked(event, {name: str(good(name))}))
        assert (name in kept) == (name not in known), name


@pytest.mark.parametrize("event", TRACKER_EVENTS)
def test_path_of_an_event_has_the_fields_of_the_table(event: str) -> None:
    fields = {field.event_field for field in own_fields_of(EVENTS[event]) if field.is_in_path}
    named = TRACKER_PATHS[event].replace("{item[,item]}", "{items}").replace("{source}", "{user}")
    assert {part.strip("{}") for part in named.split("/")} == fields | {"user"}


@pytest.mark.parametrize("event", EVENTS)
def test_json_takes_the_names_of_the_table_and_keeps_others_as_properties(event: str) -> None:
    fields = (*COMMON_FIELDS, *own_fields_of(EVENTS[event]))
    ours = {field.name for field in WIRE_FIELDS if field.value is wire_values.SET_BY_COLLECTOR}
    known = {"type", *ours, *(name for field in fields for name in field.json_names)}
    assert KINDS[event].shape.keys() == known
    for name in EVERY_NAME:
        if name in ours:
            outcome = in_json(event, {name: good(name)})
            assert isinstance(outcome, Rejection)
            assert outcome.parameter == name
        elif name != "type":
            assert (name in properties_of(in_json(event, {name: good(name)}))) == (name not in known), name


# --- bounds ---------------------------------------------------------------------------------------------------------------------------

TEXTS = (ValueKind.WORD, ValueKind.CATEGORYPATH, ValueKind.USER, ValueKind.ITEM)
NUMBERS = (ValueKind.INTEGER, ValueKind.NUMBER)
OTHER_CODES = {ValueKind.USER: "user_too_long", ValueKind.ITEMS: "too_many_items"}


def at_the_bounds(value: ValueType) -> list[tuple[Any, bool]]:
    """Return values at the bounds and beyond them, each with whether it is taken."""
    if value.kind in TEXTS:
        return [("w" * value.greatest, True), ("w" * (value.greatest + 1), False)]
    if value.kind in NUMBERS:
        inside = [(value.least, True), (min(value.greatest, RECEIVED_MS), True)]
        return [*inside, (value.least - 1, False), (value.greatest + 1, False)]
    if value.kind is ValueKind.DECIMAL:
        beyond = [(f"{number}.000001", number == value.least) for number in (value.least, value.greatest)]
        return [*beyond, (value.least, False), (value.greatest, True), (value.greatest + 1, False)]
    if value.kind is ValueKind.ITEMS:
        return [(["5"] * value.greatest, True), (["5"] * (value.greatest + 1), False)]
    if value.kind is ValueKind.LISTS:
        return [
            ([GOOD["lists"][0]] * value.greatest, True),
            ([GOOD["lists"][0]] * (value.greatest + 1), False),
        ]
    if value.kind is ValueKind.CHOICE:
        return [*((choice, True) for choice in value.choices), ("other", False)]
    return []


def taker_of(field: WireField, events: tuple[str, ...]) -> str:
    return next(
        name for name in events if field.is_of_request or field.event_field in EVENTS[name].__struct_fields__
    )


IN_JSON = [field for field in WIRE_FIELDS if field.is_in_json and at_the_bounds(field.value_in_json)]
IN_TRACKER = [field for field in WIRE_FIELDS if field.tracker_names and at_the_bounds(field.value)]


def test_both_parsers_are_tried_at_most_bounds() -> None:
    unbounded = {field.name for field in WIRE_FIELDS} - {field.name for field in (*IN_JSON, *IN_TRACKER)}
    kinds = {field.value.kind for field in WIRE_FIELDS if field.name in unbounded and field.value.greatest}
    assert kinds == {ValueKind.ITEMTYPE, ValueKind.PROPERTIES}  # bounded by the customer; cut, not refused


@pytest.mark.parametrize("field", IN_JSON, ids=lambda field: field.name)
def test_bounds_hold_in_json(field: WireField) -> None:
    value = field.value_in_json
    for each, is_taken in at_the_bounds(value):
        outcome = in_json(taker_of(field, tuple(EVENTS)), {field.json_names[-1]: each})
        assert isinstance(outcome, Accepted) == is_taken, each
        if isinstance(outcome, Rejection):
            assert outcome.code == OTHER_CODES.get(value.kind, value.code)


@pytest.mark.parametrize("field", IN_TRACKER, ids=lambda field: field.name)
def test_bounds_hold_in_the_tracker_dialect(field: WireField) -> None:
    event = taker_of(field, ("login", *TRACKER_EVENTS) if field.name == "source" else TRACKER_EVENTS)
    for each, is_taken in at_the_bounds(field.value):
        text = ",".join(each) if isinstance(each, list) else str(each)
        if field.is_in_path:
            path = TRACKER_PATHS[event].replace("{item[,item]}", "{items}")
            given = {
                "user": "u",
                "source": "u",
                "target": "v",
                "itemtype": "1",
                "item": "5",
                field.name: text,
            }
            outcome = report(f"/api/00000/{event}/{path.format(**given)}")
        else:
            outcome = tracked(event, {field.tracker_names[-1]: text})
        assert isinstance(outcome, Accepted) == is_taken, each
        if isinstance(outcome, Rejection):
            assert outcome.code == OTHER_CODES.get(field.value.kind, field.value.code)


# --- the journal ----------------------------------------------------------------------------------------------------------------------


def bounds_in_the_journal(event: type[EventBase], name: str) -> tuple[int | None, int | None]:
    """Return the least and the greatest number, or the greatest length, that the type of a field takes; None: no bound."""
    kind: Any = next(each for each in msgspec.inspect.type_info(event).fields if each.name == name).type  # type: ignore[attr-defined]
    if isinstance(kind, msgspec.inspect.UnionType):
        others = (msgspec.inspect.NoneType, msgspec.inspect.DecimalType)
        kind = next(each for each in kind.types if not isinstance(each, others))
    if isinstance(kind, msgspec.inspect.StrType):
        return 0, kind.max_length
    return (kind.ge, kind.le) if isinstance(kind, msgspec.inspect.IntType) else (None, None)


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_journal_has_room_for_what_clients_may_send_and_plain_fields_have_the_same_bounds(
    event: type[EventBase],
) -> None:
    for field in own_fields_of(event) + COMMON_FIELDS:
        value = field.value_in_json
        if value.kind is ValueKind.DECIMAL:
            value = replace(value, least=1)  # of whole numbers
        elif value.kind not in (ValueKind.WORD, ValueKind.CATEGORYPATH, ValueKind.INTEGER):
            continue
        if field.name == "time_ms":
            continue  # what bounds it is the time of receipt
        least, greatest = bounds_in_the_journal(event, field.name)
        assert least is None or least <= value.least, field.name
        assert greatest is None or greatest >= value.greatest, field.name
        if field.is_plain:
            assert (least, greatest) == (value.least, value.greatest), field.name
