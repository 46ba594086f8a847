"""Any data arrives as one event, also with line breaks, which would begin a new field."""

import pytest

from app.http.event_format import event_part


def received(part: bytes) -> dict[str, str]:
    """Read one event as the specification says: CR, LF and CR LF end a line; the lines of data are joined by LF."""
    text = part.decode()
    assert text.endswith("\n\n")
    fields: dict[str, str] = {}
    for line in text.removesuffix("\n\n").replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        name, _, value = line.partition(": ")
        fields[name] = f"{fields[name]}\n{value}" if name in fields else value
    return fields


@pytest.mark.parametrize("data", [b"", b"{}", b"a\nb\r\nc\rid: 7\n\nd", b"\nevent: x\n", "é".encode()])
def test_data_arrives_as_it_was_with_each_line_break_as_one(data: bytes) -> None:
    expected = data.decode().replace("\r\n", "\n").replace("\r", "\n")
    assert received(event_part("ctr", data, "5")) == {"id": "5", "event": "ctr", "data": expected}
    assert received(event_part("problem", data)) == {"event": "problem", "data": expected}
