"""Hypothesis strategies for fuzzing: events, and requests right and wrong for every endpoint of the collector."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote, quote_plus

from hypothesis import strategies as st

from events.model import ALIASES
from events.money import CURRENCIES
from events.no_profile import NO_PROFILE_IDS, normal_id
from events.target import PREFIXES
from events.tracker import JSONP_NAMES, TRACKER_EVENTS
from events.wire_values import MAX_POSITION, MAX_QUANTITY

# Those of golden_customers.toml.
CUSTOMERS: Final = (
    "00000",
    "10000",
    "numbers",
    "strict",
    "types",
    "berlin",
    "rotating",
)
ITEM_LISTS: Final = ("rendered", "viewed")
ABSENT: Final = ("", "null", "undefined")

NASTY: Final = (
    *ABSENT,
    *(
        "not_defined",
        "0",
        "1",
        "-1",
        "+1",
        "007",
        "1.5",
        "1e3",
        "0x1f",
        "\u0663",
        "\u00b2",
        "NaN",
        "Infinity",
        "true",
    ),
    *("2147483647", "2147483648", "9223372036854775808", "18446744073709551616", "9" * 400),
    *(
        "12.45EUR",
        "NaNEUR",
        "1e3EUR",
        "1,99EUR",
        "1.99XXY",
        "-1EUR",
        "1EUR ",
        "1 EUR",
        "EUR",
        "9" * 40 + "EUR",
    ),
    *(
        "\x00",
        "\n",
        "a\r\nb",
        "\u2028",
        "\x7f",
        "\\",
        "/",
        "//",
        "..",
        "&",
        "=",
        "?",
        "#",
        ",",
        ",,",
        "%",
        "%00",
        "%zz",
    ),
    *(
        "<script>",
        "'\"",
        "a" * 300,
        "a" * 1_100,
        "\U0001f600",
        "\ufffe",
        "{}",
        "[]",
        "~",
        "~1",
        "k1.x",
        "2012-02-30T11:00:00",
    ),
    *(
        "2012-01-01T11:00:00",
        "2100-01-01T00:00:00",
        "0000-00-00T00:00:00",
        "d0026f017ae823f19530d93318c5a2f6",
        "v2:00",
    ),
)
"""Values that break naive parsers."""

NAMES: Final = (
    *(
        "scenario",
        "modelid",
        "modelId",
        "requestuuid",
        "categorypath",
        "percentage",
        "quantity",
        "fullprice",
        "price",
    ),
    *(
        "currency",
        "rating",
        "image",
        "overridetimestamp",
        "signature",
        "lang",
        "storeViewId",
        "segments",
        "eid",
    ),
    *("created", "sent", "variant", "experiment", "row", "rank", "title", *JSONP_NAMES),
)
"""Every parameter of the tracker API."""

_ANY: Final = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_VALUES: Final = st.sampled_from(NASTY) | _ANY
_RAW: Final = st.lists(
    st.sampled_from(
        [*"%&=+,/?#:;.~ aZ09<>\"'{}[]|^`$\\\udcff", "%00", "%0A", "%C0%AF", "%2F", "%5C", "%ED%A0%80"]
    ),
    max_size=30,
).map("".join)
"""Text of a request line before it is decoded. \\udcff stands for the raw byte 255."""


@dataclass(frozen=True)
class Request:
    """One request. Its bytes are complete, so the server must answer without waiting for more."""

    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def wire(self) -> bytes:
        """Return the bytes to send."""
        head = [f"{self.method} {self.target} HTTP/1.1", "Host: uptake.example"]
        head += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.body:
            head.append(f"Content-Length: {len(self.body)}")
        return ("\r\n".join(head) + "\r\n\r\n").encode("utf-8", "surrogateescape") + self.body


def _params(values: st.SearchStrategy[str]) -> st.SearchStrategy[list[tuple[str, str]]]:
    return st.lists(st.tuples(st.sampled_from(NAMES) | _ANY, values), max_size=6) | st.just([])


def _encoded(pairs: list[tuple[str, str]]) -> str:
    return "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs)


_HEADERS: Final = st.fixed_dictionaries(
    {},
    optional={
        "Accept": st.sampled_from(
            ["*/*", "image/*", "application/problem+json", "", "image/gif;q=0", "a" * 500]
        ),
        "Origin": st.sampled_from(["https://shop.example", "null", "https://evil.example"]),
        "Authorization": st.sampled_from(
            ["Basic MDAwMDA6eA==", "Basic %%%", "Basic ", "Bearer x", "Basic w7w="]
        ),
        "Content-Type": st.sampled_from(
            [
                "application/x-www-form-urlencoded",
                "text/plain",
                "text/plain;charset=UTF-8",
                "application/json",
                "a" * 99,
            ]
        ),
        "Content-Encoding": st.sampled_from(["identity", "gzip", "br"]),
        "Expect": st.just("100-continue"),
        "Access-Control-Request-Headers": st.just("authorization"),
    },
)


def _mostly(right: list[str], wrong: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Draw right values nine times of ten, so that requests pass the first check."""
    return st.sampled_from([*right * 9, *[""] * len(right)]).flatmap(
        lambda text: st.just(text) if text else wrong
    )


@st.composite
def tracker_requests(draw: st.DrawFn) -> Request:
    """Draw a request of the tracker paths: mostly right, partly wrong, or with noise as its target."""
    method = draw(st.sampled_from(["GET", "GET", "GET", "POST", "HEAD", "OPTIONS", "DELETE"]))
    headers = draw(_HEADERS)
    body = b""
    if method == "POST":
        body = draw(_params(_VALUES).map(_encoded).map(str.encode) | st.binary(max_size=40) | st.just(b""))
    elif "Expect" in headers:
        del headers["Expect"]
    if draw(st.integers(0, 9)) == 0:
        target = draw(
            st.sampled_from(["/", "/api/00000/click/", "/api/00000/rendered/u/1/", "/api/"])
        ) + draw(_RAW)
        return Request(method, target.replace(" ", "+"), headers, body)
    event = draw(_mostly([*TRACKER_EVENTS, *ALIASES], _ANY))
    user = draw(_mostly(["u", "max@example.org", "not_defined", "a/b"], _VALUES))
    itemtype = draw(_mostly(["1", "5"], _VALUES))
    item = draw(_mostly(["5", "128,129,155", "a b"], _VALUES))
    rest = [user] if event == "triggeropened" else [user, itemtype, item]
    if event in ("login", "transfer"):
        rest = [user, item]
    rest = rest[: draw(st.sampled_from([len(rest)] * 9 + [0, 1, 2]))] + draw(
        st.sampled_from([[]] * 9 + [["x"], [""]])
    )
    prefix = draw(_mostly(sorted(PREFIXES), st.sampled_from(["v1", ""])))
    segments = [prefix, draw(_mostly([*CUSTOMERS], _VALUES)), event, *rest]
    target = "/" + "/".join(quote(segment, safe=draw(st.sampled_from([",", ""]))) for segment in segments)
    query = draw(
        _params(_VALUES).map(_encoded) | _RAW.map(lambda text: text.replace(" ", "+")) | st.just("rating=50")
    )
    return Request(method, f"{target}?{query}" if query else target, headers, body)


_WORDS: Final = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=12
).filter(lambda text: text not in ABSENT)
_IDS: Final = _WORDS.filter(lambda text: "\\" not in text)
_SINGLE: Final = _IDS.filter(lambda text: "," not in text)
_USERS: Final = _IDS.filter(lambda text: normal_id(text) not in NO_PROFILE_IDS)
_CLOCKS: Final = st.integers(1_600_000_000_000, 1_800_000_000_000)
_PRICES: Final = st.tuples(st.decimals(0, 10**9, places=2).map(abs), st.sampled_from(sorted(CURRENCIES)))
_QUANTITIES: Final = st.integers(1, MAX_QUANTITY) | st.decimals(Decimal("0.000001"), MAX_QUANTITY, places=6)
_COMMON: Final[dict[str, tuple[str, st.SearchStrategy[Any]]]] = {
    # field of the event: (parameter, values)
    "eid": ("eid", _WORDS),
    "experiment": ("experiment", _WORDS),
    "variant": ("variant", _WORDS),
    "row": ("row", st.integers(0, MAX_POSITION)),
    "rank": ("rank", st.integers(0, MAX_POSITION)),
    "lang": ("lang", _WORDS),
    "store_view_id": ("storeViewId", _WORDS),
    "segments": ("segments", _WORDS),
    "created_ms": ("created", _CLOCKS),
}
_CATEGORY: Final = {"categorypath": ("categorypath", _WORDS.map(lambda text: text.strip("/")).filter(bool))}
_RECOMMENDATION: Final = {
    "scenario": ("scenario", _WORDS),
    "modelid": ("modelid", _WORDS),
    "request_id": ("requestuuid", _WORDS),
}
_OWN: Final[dict[str, dict[str, tuple[str, st.SearchStrategy[Any]]]]] = {
    "clickrecommended": _RECOMMENDATION,
    "rendered": {**_RECOMMENDATION, "image": ("image", _WORDS)},
    "viewed": _RECOMMENDATION,
    "consume": {"percentage": ("percentage", st.integers(0, 100))},
    "buy": {"quantity": ("quantity", _QUANTITIES)},
    "triggeropened": {"triggername": ("triggername", _WORDS)},
    "clicktriggered": {"triggername": ("triggername", _WORDS)},
    "owns": {"quantity": ("quantity", _QUANTITIES)},
    "rate": {"rating": ("rating", st.integers(0, 100))},
}
_PRICED: Final = ("buy", "owns", "basket", "wishlist")
_NEEDED: Final = {"rate": {"rating"}}


@st.composite
def events(draw: st.DrawFn, name: str) -> tuple[list[str], dict[str, str], dict[str, Any]]:
    """Draw an event: the path segments after its name, its parameters, and the fields it must then have (``user`` raw)."""
    user = draw(_USERS)
    if name == "login":
        target = draw(_USERS)
        segments, said = [user, target], {"user": user, "target": target}
        known = _COMMON
    elif name == "triggeropened":
        segments, said = [user], {"user": user}
        known = {**_COMMON, **_OWN[name]}
    else:
        itemtype = draw(st.integers(1, 5))
        said = {"user": user, "itemtype": itemtype}
        if name in ITEM_LISTS:
            said["items"] = tuple(draw(st.lists(_SINGLE, min_size=1, max_size=5)))
        else:
            said["item"] = draw(_IDS)
        segments = [user, str(itemtype), ",".join(said["items"]) if name in ITEM_LISTS else said["item"]]
        known = {**_COMMON, **_CATEGORY, **_OWN.get(name, {})}
    params: dict[str, str] = {}
    for each, (parameter, values) in known.items():
        if each in _NEEDED.get(name, ()) or draw(st.booleans()):
            said[each] = draw(values)
            params[parameter] = str(said[each])
    if name in _PRICED and draw(st.booleans()):
        price, currency = draw(_PRICES)
        said |= {"price": price, "currency": currency}
        params["price" if name == "wishlist" and draw(st.booleans()) else "fullprice"] = f"{price}{currency}"
    free = draw(st.dictionaries(st.sampled_from(["title", "url", "x"]), _WORDS, max_size=2))
    if free:
        said["properties"] = free
        params |= free
    return segments, params, said
