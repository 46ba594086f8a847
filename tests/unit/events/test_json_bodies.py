"""Bodies are read strictly: bad parts are refused, alone where possible, and nothing is guessed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import json_bodies
from events.rejections import Rejection

DEEP = b'{"a":' * 10_000 + b"1" + b"}" * 10_000


def codes(body: bytes, *, is_lines: bool = False, most: int = 100) -> Any:
    """Return the values that were read, with its code in the place of each refused one."""
    read = json_bodies.read(body, most, is_lines=is_lines)
    if isinstance(read, Rejection):
        return read.code
    return [value.code if isinstance(value, Rejection) else value for value in read[0]]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"[]", []),
        (b'[{"a":1},{"b":{"c":2}}]', [{"a": 1}, {"b": {"c": 2}}]),
        (b' \n[ {"a" : 1} ] ', [{"a": 1}]),
        (b'\xef\xbb\xbf[{"a":1}]', [{"a": 1}]),
        (b'[1,"x",null]', [1, "x", None]),
        (b'{"a":1}', [{"a": 1}]),
        (b'{\n "a": 1,\n "b": 2\n}\n', [{"a": 1, "b": 2}]),
        (b'{"a":1}\n{"b":2}', [{"a": 1}, {"b": 2}]),
        (b'{"a":1}\r\n\r\n{"b":2}\r\n', [{"a": 1}, {"b": 2}]),
        (b'{"a":1}\n{"b":\n{"c":3}', [{"a": 1}, "bad_json", {"c": 3}]),
        (b'{"a":1}{"b":2}\n{"c":3}', ["bad_json", {"c": 3}]),
        (b'{"a":1}{"b":2}\n\n{"c":3}\n{"d":\n4}', ["bad_json", {"c": 3}, "bad_json", "bad_json"]),
        (b"", "bad_json"),
        (b"null", "bad_json"),
        (b"5", "bad_json"),
        (b"abc", "bad_json"),
        (b"a\nb", "bad_json"),
        (b"[", "bad_json"),
        (b'[{"a":1}]x', "bad_json"),
        (b'[{"a":NaN}]', "bad_json"),
        (b'{"a":Infinity}', "bad_json"),
        (b'[{"a":1e400}]', "bad_json"),
        (b'[{"a":' + b"9" * 5_000 + b"}]", "bad_json"),
        (b'[{"a":123456789012345678901234567890}]', [{"a": 123456789012345678901234567890}]),
        (b'{"a":"\\ud800"}', "bad_json"),
        (b'{"a":"\\ude00\\ud83d"}', "bad_json"),
        (b'{"a":"\xed\xa0\x80"}', "bad_json"),
        (b'{"a":"\xff"}\n{"b":2}', ["bad_json", {"b": 2}]),
        (DEEP, "bad_json"),
        (b"[" + DEEP + b"]", "bad_json"),
        (b"[" * 10_000, "bad_json"),
        (DEEP + b"\n" + b'{"a":1}', ["bad_json", {"a": 1}]),
        (b'{"a":1,"a":2}', ["duplicate_parameter"]),
        (b'[{"a":1,"a":1},{"b":2}]', ["duplicate_parameter", {"b": 2}]),
        (b'[{"a":{"b":1,"b":2}}]', ["duplicate_parameter"]),
        (b'[{"a" :1,"a"\t:2}]', ["duplicate_parameter"]),
        (b'[{"a":1,"\\u0061":2}]', ["duplicate_parameter"]),
        (b'[{"a":[{"b":1},{"b":1}]}]', [{"a": [{"b": 1}, {"b": 1}]}]),
        (b'{"a":"x\\":y","b":": :"}', [{"a": 'x":y', "b": ": :"}]),
        (b'{"a":"x\\":y","a" :1}', ["duplicate_parameter"]),
        (b'{"a":1,"a":2}\n{"b":2}', ["duplicate_parameter", {"b": 2}]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_body_is_read_as_far_as_it_can_be(body: bytes, expected: Any) -> None:
    assert codes(body) == expected


def test_lines_are_lines_when_the_sender_says_so() -> None:
    assert codes(b'{"a":1}', is_lines=True) == [{"a": 1}]
    assert codes(b"[1]\n[2]", is_lines=True) == [[1], [2]]
    assert codes(b"abc", is_lines=True) == ["bad_json"]
    assert codes(b"", is_lines=True) == []
    read = json_bodies.read(b'{"a":1}', 9, is_lines=True)
    assert read == ([{"a": 1}], False)


def test_one_object_stands_for_itself() -> None:
    assert json_bodies.read(b'{\n"a":1}', 9, is_lines=False) == ([{"a": 1}], True)
    assert json_bodies.read(b'[{"a":1}]', 9, is_lines=False) == ([{"a": 1}], False)


@pytest.mark.parametrize("body", [b"[1,2,3]", b"1\n2\n3", b"\n\n\n", b"{}\n{}\n{}", b"x\ny\nz"])
def test_more_than_the_limit_is_refused_as_a_whole(body: bytes) -> None:
    assert codes(body, most=2) == "too_many_elements"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=10,
)
OBJECTS = st.lists(st.dictionaries(st.text(max_size=4), JSON, max_size=4), min_size=1, max_size=5)


@given(OBJECTS, st.sampled_from(((",", ":"), (", ", ": "), (" ,", " :"))))
def test_what_python_writes_is_read_back(objects: list[Any], separators: tuple[str, str]) -> None:
    array = json.dumps(objects, separators=separators).encode()
    lines = "\n".join(json.dumps(value, separators=separators, ensure_ascii=False) for value in objects)
    assert codes(array) == objects
    assert codes(lines.encode(), is_lines=True) == objects


@given(OBJECTS, st.text(max_size=3), JSON, st.sampled_from((":", " :", "\t:")))
def test_second_mention_of_a_key_is_always_noticed(
    objects: list[Any], key: str, value: Any, colon: str
) -> None:
    name, text = json.dumps(key), json.dumps(value)
    twice = f"{{{name}{colon}{text},{name}:{text}}}"
    body = "[" + ",".join([*map(json.dumps, objects), twice]) + "]"
    assert codes(body.encode()) == [*objects, "duplicate_parameter"]
