"""Presentations and clicks of a video page with carousels (docs/http-api.md).

A presentation is one item that came into view: ``video_id`` at place ``rank`` of carousel ``row`` (both from 0). The list that it
comes from is ``track_id``. The page sends presentations as ``data=[...]``. A click is the address of a page,
``/watch/{video}?trackId=&tctx=``. Pure: bodies and the customer's rules go in, JSON elements for events/json_events.py come out.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from events import json_bodies
from events.json_bodies import Element
from events.model import Rendered
from events.rejections import RefusedError, Rejection
from events.rules import Rules
from events.signature import ABSENT
from events.target import DEBUG, MAX_PARAMETERS, decode, given_twice
from events.tracker import Accepted
from events.wire_fields import FREE_PARAMETERS
from events.wire_values import MAX_ITEMS_CHARS, MAX_ITEMS_PER_REQUEST

_DATA: Final = re.compile(r"(?:^|&)\s*data=")
_WATCH: Final = re.compile(r"(?:^|/)watch/([^/?#&]+)")
_OF_THE_PAGE: Final = (
    "eid",
    "sent",
    "sent_ms",
    "lang",
    "storeViewId",
    "segments",
    "experiment",
    "variant",
    "consent",
)
"""Fields that a body may have once for all its elements; an element's own field wins. Elements do not inherit an ``eid``, because
elements with the same ``eid`` would be one event."""
_NOT_KEPT: Final = frozenset(("data", "user", "esn", "customer", DEBUG))
_CLICK_NAMES: Final[dict[str, str]] = {
    "video_id": "item",
    "video": "item",
    "trackId": "track_id",
    "time": "created",
    "requestuuid": "request_id",
}
_GIVEN_ONCE: Final = frozenset(
    (
        *_NOT_KEPT,
        *(name for name in _OF_THE_PAGE if name not in FREE_PARAMETERS),
        *(*_CLICK_NAMES, *_CLICK_NAMES.values(), "itemtype", "scenario", "url", "tctx"),
    )
)
"""Parameters that have one value. Of the others, which are only kept, the last one of a form counts."""
_OF_THE_ADDRESS: Final = frozenset(("item", "track_id", "request_id", "tctx"))
"""What a watch address says. Its other parameters are the page's own, and may have the name of a field by chance."""
_NO_DATA: Final = Rejection("bad_body", "the body needs data=[...], a JSON array of what was shown", "data")


def read_form(text: str) -> dict[str, str] | Rejection:
    """Return the fields of a form-encoded body. ``data`` may be raw JSON with line breaks, because existing pages send it so."""
    found = _DATA.search(text)
    fields: dict[str, str] = {}
    try:
        if found is not None and text[found.end() :].lstrip()[:1] == "[":
            end = text.rfind("]") + 1
            _read_pairs(text[: found.start()] + text[max(end, found.end()) :], fields)
            fields["data"] = _whole(text[found.end() : end])
        else:
            _read_pairs(text, fields)
    except RefusedError as refused:
        return refused.rejection
    return fields


def _whole(data: str) -> str:
    """Return raw JSON unchanged. Decode it if the client percent-encoded everything except the brackets."""
    return data if "{" in data or "%" not in data else decode(data, "data")


def _read_pairs(text: str, fields: dict[str, str]) -> None:
    pairs = text.split("&", MAX_PARAMETERS)
    if len(pairs) > MAX_PARAMETERS:
        raise RefusedError("bad_parameter", f"a request takes at most {MAX_PARAMETERS} parameters")
    for pair in pairs:
        name, _, value = pair.partition("=")
        name = decode(name.replace("+", " "), "body").strip()
        if not name:
            continue
        value = decode(value.replace("+", " "), name[:80]).strip()
        if name in _GIVEN_ONCE:
            _set_once(fields, name, value, _GIVEN_ONCE)
        elif value not in ABSENT or name not in fields:
            fields[name] = value


def _is_absent(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value in ABSENT)


def _set_once(fields: dict[str, Any], name: str, value: Any, once: frozenset[str]) -> None:
    """Set a field that is not set. Raise RefusedError if it has another value, and is one of ``once``."""
    known = fields.get(name)
    if name in once:
        if _is_absent(known):
            fields[name] = value
        elif not _is_absent(value) and str(known) != str(value):
            raise given_twice(name)
    else:
        fields.setdefault(name, value)


def page_of(query: Mapping[str, str], body: Mapping[str, Any]) -> dict[str, Any] | Rejection:
    """Return the fields of the query and of the body; the Rejection of a field that has different values in them.

    Of a property that is in both, the body's value counts.
    """
    page: dict[str, Any] = dict(body)
    try:
        for name, value in query.items():
            _set_once(page, name, value, _GIVEN_ONCE)
    except RefusedError as refused:
        return refused.rejection
    return page


def read_click(text: str) -> dict[str, str] | Rejection:
    """Return the fields of a form-encoded body. A body that is itself an address becomes the field ``url``."""
    text = text.strip()
    return {"url": text} if text.startswith(("/", "http://", "https://")) else read_form(text)


def read_data(data: Any, most: int) -> list[Element] | Rejection:
    """Return the elements of ``data``, given as JSON text or as a decoded list."""
    if isinstance(data, str):
        try:
            return json_bodies.read_array(data.strip().encode("utf-8"), most)
        except UnicodeError:
            return Rejection("bad_json", "data is not JSON that can be read: it is not UTF-8", "data")
    if not isinstance(data, list):
        return _NO_DATA
    if len(data) > most:
        return json_bodies.too_many(most)
    return data


def user_of(page: Mapping[str, Any], cookie: str | None, rules: Rules) -> Any:
    """Return the raw user: the first of ``user``, the cookie and the device's ``esn`` that means a user, else None."""
    for user in (page.get("user"), None if cookie is None else unquote(cookie), page.get("esn")):
        if not _is_absent(user) and not rules.is_no_profile(str(user)):
            return user
    return None


def shown_element(element: Element, page: Mapping[str, Any], user: Any, rules: Rules) -> Element:
    """Return the ``rendered`` event of one presentation, as events/json_events.py reads it."""
    if not isinstance(element, dict):
        return element
    own = {**element}
    made: dict[str, Any] = _common(page, own)
    made |= {
        "type": "rendered",
        "user": own.pop("user", user),
        "items": _one_item(own.pop("video_id", None)),
        "scenario": _scenario_of(own.pop("track_id", None), rules) or own.pop("scenario", None),
        "image": own.pop("image_key", None),
        "created_ms": own.pop("time", None),
    }
    for name in ("request_id", "row", "rank", "itemtype", "eid", "sent", "experiment", "variant", "consent"):
        if name in own:
            made[name] = own.pop(name)
    return made | {"properties": _kept(page, own)}


def _one_item(video: Any) -> list[Any] | None:
    return None if _is_absent(video) else [video]


def _common(page: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    return {name: page[name] for name in _OF_THE_PAGE if name in page and name != "eid" and name not in own}


def _kept(page: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are not fields of the event. The element's (``location``) win over the page's (``country``)."""
    kept = dict(own)
    for name, value in page.items():
        if name not in _NOT_KEPT and name not in _OF_THE_PAGE:
            kept.setdefault(name, value)
    return kept


def _scenario_of(track: Any, rules: Rules) -> Any:
    """Return the scenario of a list: the name in the customer's rules, else the track id itself."""
    if track is None or isinstance(track, bool) or not isinstance(track, str | int):
        return track
    name = str(track) if isinstance(track, str) or abs(track) < 2**63 else ""
    return rules.scenarios_of_tracks.get(name, name)


def clicked_element(page: Mapping[str, Any], user: Any, rules: Rules) -> Element:
    """Return the ``clickrecommended`` event of a watch address (``url``) or of its parts.

    Row and rank come from the impression that the click joins. Those in ``tctx`` count from 1, those of presentations from 0, so
    ``tctx`` is only kept as a property.
    """
    own: dict[str, Any] = {}
    try:
        for name, value in page.items():
            _set_once(own, _CLICK_NAMES.get(name, name), value, _GIVEN_ONCE)
        _add_address(own)
    except RefusedError as refused:
        return refused.rejection
    made = {name: own.pop(name) for name in (*_OF_THE_PAGE, "created", "itemtype", "item") if name in own}
    context = own.get("tctx")
    request_id = own.pop("request_id", None)
    if request_id is None and isinstance(context, str):
        request_id = context.split(",", 2)[2] if context.count(",") >= 2 else None
    return made | {
        "type": "clickrecommended",
        "user": user,
        "request_id": request_id,
        "scenario": _scenario_of(own.pop("track_id", None), rules) or own.pop("scenario", None),
        "properties": {name: value for name, value in own.items() if name not in _NOT_KEPT},
    }


def _add_address(own: dict[str, Any]) -> None:
    """Replace the field ``url`` by what the address says. Raise RefusedError if it contradicts another field, or itself."""
    address = own.pop("url", None)
    if not isinstance(address, str):
        return
    path, _, query = address.partition("?")
    video = _WATCH.search(path)
    if video is not None:
        _set_once(own, "item", unquote(video[1]), _OF_THE_ADDRESS)
    for pair in query.partition("#")[0].split("&", MAX_PARAMETERS)[:MAX_PARAMETERS]:
        name, _, value = pair.partition("=")
        if name:
            name = unquote(name)
            _set_once(own, _CLICK_NAMES.get(name, name), unquote(value.replace("+", " ")), _OF_THE_ADDRESS)


def joined(outcomes: Sequence[Any]) -> tuple[list[Any], list[int]]:
    """Join neighbours in a carousel into one event. Return the events, and for each element the index of its event.

    A page reports each item by itself. Items of one list with successive ranks, seen at the same time, become one ``rendered``.
    """
    runs: list[Any] = []
    places: list[int] = []
    for outcome in outcomes:
        longer = _continued(runs[-1], outcome) if runs else None
        if longer is None:
            runs.append(outcome)
        else:
            runs[-1] = longer
        places.append(len(runs) - 1)
    return runs, places


def _continued(run: Any, outcome: Any) -> Accepted | None:
    if not isinstance(run, Accepted) or not isinstance(outcome, Accepted):
        return None
    first, more = run.event, outcome.event
    if not isinstance(first, Rendered) or not isinstance(more, Rendered):
        return None
    if first.rank is None or more.rank != first.rank + len(first.items) or more.eid is not None:
        return None
    if msgspec.structs.replace(more, items=first.items, rank=first.rank) != first:
        return None
    items = first.items + more.items
    if len(items) > MAX_ITEMS_PER_REQUEST or sum(map(len, items)) > MAX_ITEMS_CHARS:
        return None
    has_ignored_clock = run.has_ignored_clock or outcome.has_ignored_clock
    return Accepted(msgspec.structs.replace(first, items=items), run.is_history, has_ignored_clock)
