"""Request targets: a built target is read back; any other one is read or refused, without an exception."""

from hypothesis import given
from hypothesis import strategies as st

from events.codec import decode, encode
from events.rejections import STATUS, Rejection
from events.signature import ABSENT
from events.target import Target, build_target, read_target, split_path
from events.tracker import TRACKER_EVENTS, Accepted, parse
from tests.support.tracker import RECEIVED_MS, RULES, report

# A raw & in the item segment and a backslash have special meanings. quote() encodes both; the backslash is refused.
SEGMENTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\\"), max_size=20)
VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).filter(
    lambda value: value not in ABSENT
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10)


def read(url: str) -> Target | Rejection:
    raw_path, _, raw_query = url.partition("?")
    path = split_path(raw_path)
    return path if isinstance(path, Rejection) else read_target(path, raw_query)


@given(SEGMENTS, SEGMENTS, st.lists(SEGMENTS, max_size=4), st.dictionaries(NAMES, VALUES, max_size=6))
def test_a_built_target_is_read_back(
    customer: str, event: str, segments: list[str], params: dict[str, str]
) -> None:
    assert read(build_target(customer, event, segments, params)) == Target(
        customer, event, tuple(segments), params
    )


@given(
    st.sampled_from(TRACKER_EVENTS),
    st.lists(SEGMENTS, min_size=2, max_size=3),
    st.dictionaries(
        NAMES | st.sampled_from(["rating", "fullprice", "row", "created", "sent"]), VALUES, max_size=6
    ),
)
def test_an_accepted_event_survives_the_journal(
    name: str, segments: list[str], params: dict[str, str]
) -> None:
    outcome = report(build_target("00000", name, segments, params))
    if isinstance(outcome, Accepted):
        assert decode(encode(outcome.event)) == outcome.event
    elif isinstance(outcome, Rejection):
        assert STATUS[outcome.code] in (400, 404)


@given(
    st.text(st.characters(), max_size=60),
    st.text(st.sampled_from("%&=+,/\\;aZ09\x00\n\udc80ü"), max_size=60),
    st.text(st.sampled_from("%&=+,/\\aZ09\x00\n\udcffü"), max_size=60),
)
def test_any_text_is_read_or_refused(start: str, path: str, query: str) -> None:
    for prefix in ("", "/api/00000/click/", "/api/00000/rendered/u/1/"):
        for raw_path in (start, prefix + path):
            split = split_path(raw_path)
            if isinstance(split, Rejection):
                continue
            target = read_target(split, query, start)
            if isinstance(target, Target):
                parse(target, RULES, RECEIVED_MS)


def test_stray_parameters_start_only_in_the_item_segment() -> None:
    target = read("/api/c/consume/a&b/1/55&x=1&y=%20")
    assert isinstance(target, Target)
    assert (target.segments, target.params) == (("a&b", "1", "55"), {"x": "1", "y": " "})


def test_absent_values_do_not_conflict_with_given_ones() -> None:
    target = read("/api/c/consume/u/1/5?percentage=&percentage=7&percentage=null")
    assert isinstance(target, Target)
    assert (target.params, target.conflicts) == ({"percentage": "7"}, frozenset())


def test_raw_utf8_bytes_are_read_as_such() -> None:
    raw = b"/api/c/click/\xc3\xbc/1/5".decode("ascii", "surrogateescape")
    target = read(raw)
    assert isinstance(target, Target)
    assert target.segments[0] == "ü"
