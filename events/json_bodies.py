"""Reads the JSON values of a body: an array, or one value per line.

The reader is strict: UTF-8 without lone surrogates, no NaN, no number out of range. No object may name a key twice, because
the sender may mean either of them. Where possible, an invalid value is refused alone and the others are read.
"""

import json
import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from events.rejections import Rejection

_decoder: Final = msgspec.json.Decoder()
_pieces: Final = msgspec.json.Decoder(list[msgspec.Raw])
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_BLANKS: Final = (b" :", b"\t:", b"\n:", b"\r:")
_NOT_PLAIN: Final = (b"\\", b"\x7f", b'""', b"null", b"undefined")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_ARRAY: Final = re.compile(rb"[ \t\r\n]*\[")
_NO_OBJECT: Final = Rejection("bad_json", "the body must be a JSON array of events, or one event a line")

Element = Any
"""A JSON value as Python's own types, or the Rejection of a value that is not valid."""


def is_plain(body: bytes) -> bool:
    """Return True if no text in a JSON body can hold a control character, and no value can mean "absent".

    JSON escapes all control characters except DEL, so ASCII without escapes and DEL has none.
    """
    return body.isascii() and not any(part in body for part in _NOT_PLAIN)


def read(body: bytes, most: int, *, is_lines: bool) -> tuple[list[Element], bool] | Rejection:
    """Return the values of a body, at most ``most``, and whether the body is a single object.

    Set ``is_lines`` if the sender declared one value per line. Otherwise the body may be an array, a single object, or one
    value per line. Return a Rejection for any other body.
    """
    body = body.removeprefix(_BYTE_ORDER_MARK)
    if is_lines:
        values = _read_lines(body, most)
        return values if isinstance(values, Rejection) else (values, False)
    if _ARRAY.match(body):
        values = read_array(body, most)
        return values if isinstance(values, Rejection) else (values, False)
    one = _judged(body)
    if type(one) is dict or (isinstance(one, Rejection) and one.code != "bad_json"):
        return [one], True
    values = _read_lines(body, most)
    if isinstance(values, Rejection):
        return values
    if not any(_is_object(value) for value in values):
        return one if isinstance(one, Rejection) else _NO_OBJECT
    return values, False


def _is_object(value: Element) -> bool:
    return type(value) is dict or (isinstance(value, Rejection) and value.code != "bad_json")


def read_array(body: bytes, most: int) -> list[Element] | Rejection:
    """Return the values of a JSON array, at most ``most``. A body that is not an array is refused as a whole."""
    try:
        values = _decoder.decode(body)
    except _UNREADABLE as error:
        return _unreadable(error)
    if type(values) is not list:
        return _NO_OBJECT
    if len(values) > most:
        return too_many(most)
    if _names_each_key_once(body, values):
        return values
    return [_judged(bytes(piece)) for piece in _pieces.decode(body)]


def _read_lines(body: bytes, most: int) -> list[Element] | Rejection:
    """Return the values of a body with one JSON value per line, at most ``most`` lines. An invalid line is refused alone."""
    if body.count(b"\n") > most:
        return too_many(most)
    lines = [line for line in body.split(b"\n") if line and not line.isspace()]
    if len(lines) > most:
        return too_many(most)
    try:
        values = [*map(_decoder.decode, lines)]  # not decode_lines, which ignores line breaks
    except _UNREADABLE:
        return [_judged(line) for line in lines]
    if _names_each_key_once(body, values):
        return values
    return [_judged(line) for line in lines]


def _judged(piece: bytes) -> Element:
    try:
        value = _decoder.decode(piece)
    except _UNREADABLE as error:
        return _unreadable(error)
    if _names_each_key_once(piece, [value]):
        return value
    try:
        json.loads(piece, object_pairs_hook=_once)
    except _TwiceError as twice:
        key = str(twice)
        return Rejection("duplicate_parameter", f"an object names the key {key!r} more than once", key)
    except (ValueError, RecursionError):
        return Rejection("bad_json", "this is not JSON that can be read: it is nested too deeply")
    return value


def repeated_key(body: bytes) -> str | None:
    """Return a key that an object in a JSON body names more than once; None if it has no such key, or is not JSON."""
    value = _judged(body)
    if isinstance(value, Rejection) and value.code == "duplicate_parameter":
        return value.parameter
    return None


class _TwiceError(Exception):
    """An object names a key more than once; carries the key."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for key, value in pairs:
        if key in read:
            raise _TwiceError(key[:40])
        read[key] = value
    return read


def _names_each_key_once(text: bytes, values: list[Any]) -> bool:
    """Return True if no object can name a key twice. If False, the caller must check each key.

    Each key in the text ends with ``":``, and other texts may hold these characters too. If as many keys were read as there are
    such places, no key came twice. To check each key takes longer than to decode the text.
    """
    places = text.count(b'":')
    if places != text.count(b":") and any(blank in text for blank in _BLANKS):
        return False  # there may be blanks between a key and its colon, so there may be more keys than places
    if text.count(b"{") == len(values) and all(type(value) is dict for value in values):
        return sum(map(len, values)) == places  # no nested object
    return _keys(values) == places


def _keys(values: Iterable[Any]) -> int:
    """Return how many keys all objects within the values have.

    It does not recurse: msgspec reads deeper nesting than Python's call stack allows.
    """
    count = 0
    waiting = [values]
    while waiting:
        for value in waiting.pop():
            if type(value) is dict:
                count += len(value)
                waiting.append(value.values())
            elif type(value) is list:
                waiting.append(value)
    return count


def _unreadable(error: Exception) -> Rejection:
    if isinstance(error, RecursionError):
        return Rejection("bad_json", "this is not JSON that can be read: it is nested too deeply")
    if isinstance(error, UnicodeDecodeError):
        return Rejection("bad_json", "this is not JSON that can be read: it is not UTF-8")
    return Rejection("bad_json", f"this is not JSON that can be read: {error}")


def too_many(most: int) -> Rejection:
    """Return the rejection of a body with more than ``most`` values."""
    return Rejection("too_many_elements", f"a batch takes at most {most} elements")
