"""Hypothesis strategies for fuzzing: JSON requests, right and wrong, for the native endpoints of the collector."""

import gzip
import json
from typing import Any, Final
from urllib.parse import quote_plus

from hypothesis import strategies as st

from events.model import ALIASES, EVENTS
from tests.support.fuzz import CUSTOMERS, NASTY, Request

# Includes lone surrogates, which json.dumps escapes.
_TEXTS: Final = st.sampled_from(NASTY) | st.text(max_size=12)
_SCALARS: Final = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.sampled_from([0, 1, -1, 2**31, 2**63, 2**64, 10**30, 1e308])
    | _TEXTS
)
JSON: Final = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=8,
)
"""Any JSON value, and what Python writes beyond JSON: NaN, lone surrogates, numbers of more than 64 bits."""

_FIELDS: Final = sorted({field for event in EVENTS.values() for field in event.__struct_fields__})
_OTHERS: Final = (
    "type",
    "created",
    "sent",
    "storeViewId",
    "modelId",
    "requestuuid",
    "fullprice",
    "state",
    "position_ms",
)
_BASIC: Final = "Basic MDAwMDA6ODY5NS0xODI4LTkyODEwLTU1MzUtNDIzOQ=="  # 00000 and its license key
_TYPES: Final = (
    *("application/json", "application/x-ndjson", "text/plain;charset=UTF-8", "application/jsonl"),
    *("text/xml", "application/x-www-form-urlencoded", ""),
)


@st.composite
def elements(draw: st.DrawFn, kind: str | None = None) -> Any:
    """Draw an element: mostly an event with its required fields, some of them replaced by arbitrary values."""
    if draw(st.integers(0, 9)) == 0:
        return draw(JSON)
    element: dict[str, Any] = {
        "user": draw(st.sampled_from(["u", "max", 5, "not_defined"])),
        "item": draw(st.sampled_from(["5", 7, "a b"])),
        "items": ["5", "6"],
        "target": "v",
        "rating": 50,
        "request_id": "r",
        "lists": [{"items": ["5"], "scenario": "s", "row": 0}],
        "session": "s",
        "state": "playing",
        "position_ms": 1_000,
        "duration_ms": 90_000,
    }
    if kind is None:
        element["type"] = draw(st.sampled_from([*EVENTS, *ALIASES]))
    names = st.sampled_from([*_FIELDS, *_OTHERS]) | _TEXTS
    element |= dict(draw(st.lists(st.tuples(names, JSON), max_size=2)))
    for name in draw(st.lists(st.sampled_from(sorted(element)), max_size=1)):
        if draw(st.booleans()):
            del element[name]
    return element


@st.composite
def native_requests(draw: st.DrawFn, path: str, kind: str | None = None) -> Request:
    """Draw a request of ``/v1/{customer}/{path}``: an array, lines, one object, or no JSON; compressed or not."""
    values = draw(st.lists(elements(kind), min_size=1, max_size=4))
    texts = [json.dumps(value) for value in values]
    form = draw(st.sampled_from(["array", "array", "lines", "one", "cut", "noise"]))
    if form == "noise":
        body = draw(st.binary(min_size=1, max_size=30))
    else:
        joined = {"lines": "\n".join(texts), "one": texts[0]}.get(form, f"[{','.join(texts)}]")
        body = joined.encode()
        body = body[: draw(st.integers(1, len(body)))] if form == "cut" else body
    right = "application/x-ndjson" if form == "lines" else "application/json"
    headers = {"Content-Type": draw(st.sampled_from([right] * 7 + [*_TYPES]))}
    packing = draw(st.sampled_from([None] * 6 + ["gzip", "gzip", "wrong", "br"]))
    if packing is not None:
        headers["Content-Encoding"] = "br" if packing == "br" else "gzip"
        body = gzip.compress(body, mtime=0) if packing == "gzip" else body
    if draw(st.integers(0, 3)) == 0:
        headers["Authorization"] = draw(st.sampled_from([_BASIC, "Basic MDAwMDA6eA==", "Bearer x"]))
    if draw(st.integers(0, 3)) == 0:
        headers["Accept"] = draw(st.sampled_from(["application/problem+json", "image/*"]))
    customer = draw(st.sampled_from([*CUSTOMERS] * 3 + ["nobody", "%00", ""]))
    method = draw(st.sampled_from(["POST"] * 9 + ["GET", "OPTIONS", "HEAD"]))
    return Request(method, f"/v1/{customer}/{path}", headers, body)


@st.composite
def presentations(draw: st.DrawFn) -> Any:
    """Draw what a video page reports of one item, some of it replaced by arbitrary values."""
    element: dict[str, Any] = {
        "time": 1_340_138_780_754,
        "request_id": "4fc...019",
        "video_id": draw(st.integers(1, 2**31)),
        "track_id": 50_000_085,
        "row": draw(st.integers(0, 3)),
        "rank": draw(st.integers(0, 9)),
        "location": "WATCHNOW",
    }
    names = st.sampled_from([*element, "image_key", "user", "sent", "eid", "itemtype"]) | _TEXTS
    return element | dict(draw(st.lists(st.tuples(names, JSON), max_size=1)))


@st.composite
def page_requests(draw: st.DrawFn, path: str) -> Request:
    """Draw a request of a video page: what was shown, or the click on it; form-encoded, as JSON, or noise."""
    watch = f"/watch/{draw(st.sampled_from(['80170100', 'a b', '', '%zz']))}?trackId=1&tctx={draw(st.sampled_from(['5,3,r', '5', '']))}"
    page: dict[str, Any] = {"esn": draw(st.sampled_from([None, "E-1"])), "country": "GB"}
    if path.endswith("click"):
        page |= draw(st.sampled_from([{"url": watch}, {"video_id": "5", "tctx": "1,2,r"}, {"video_id": 5}]))
    else:
        page["data"] = draw(st.lists(presentations(), max_size=3) | JSON)
    names = st.sampled_from(["user", "data", "url", "video_id", "trackId", "tctx", "sent", "time"]) | _TEXTS
    page |= dict(draw(st.lists(st.tuples(names, JSON), max_size=1)))
    form = draw(st.sampled_from(["form", "form", "raw form", "json", "json", "address", "noise"]))
    kind = "application/json" if form == "json" else "application/x-www-form-urlencoded"
    if form == "noise":
        body = draw(st.binary(min_size=1, max_size=30))
    elif form == "address":
        kind, body = "text/plain", watch.encode()
    elif form == "json":
        body = json.dumps(page).encode()
    else:
        texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in page.items()}
        pairs = [
            f"{quote_plus(name, errors='replace')}={value if form == 'raw form' else quote_plus(value, errors='replace')}"
            for name, value in texts.items()
        ]
        body = "&".join(pairs).encode("utf-8", "surrogatepass")
    headers = {"Content-Type": draw(st.sampled_from([kind] * 9 + ["text/xml"]))}
    if draw(st.integers(0, 3)) == 0:
        headers["Cookie"] = draw(st.sampled_from(["uptake_user=u1", "uptake_user=%zz", "=;;=", "a" * 99]))
    if draw(st.integers(0, 3)) == 0:
        headers["Accept"] = draw(st.sampled_from(["application/json", "application/problem+json", "image/*"]))
    query = draw(
        st.sampled_from(
            ["?customer=00000"] * 9 + ["", "?customer=x", "?customer=%zz", "?customer=00000&user=%00"]
        )
    )
    return Request(
        draw(st.sampled_from(["POST"] * 9 + ["GET", "OPTIONS"])), f"{path}{query}", headers, body or b"x"
    )
