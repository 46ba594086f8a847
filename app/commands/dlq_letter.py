"""One dead letter with key and value: as JSON, as text, or its value as a file."""

import os
import sys
from pathlib import Path
from typing import Any

from app.base.errors import UptakeError
from app.deadletters.dead_letters import FoundLetters, Letter, as_dict, printable, utc

FullLetter = tuple[Letter, bytes | None, bytes | None]
"""(letter, key, value)"""


def letter_as_dict(
    found: FoundLetters, letter: Letter, key: bytes | None, value: bytes | None
) -> dict[str, Any]:
    """Return a letter for JSON."""
    return {
        **as_dict(letter),
        "is_replayed": found.is_replayed(letter),
        "key": None if key is None else printable(key, None),
        "value": None if value is None else printable(value, None),
    }


def print_letter(found: FoundLetters, letter: Letter, key: bytes | None, value: bytes | None) -> None:
    """Print a letter, one line for each part of it."""
    lines = {
        "record": f"{letter.source}, written {utc(letter.source_ms)}",
        "letter": f"{letter.place}, written {utc(letter.written_ms)}",
        "reason": f"{letter.reason}: {letter.detail}",
        "key": printable(key),
        "value": printable(value),
    }
    if letter.is_cut:
        lengths = [
            f"{name} had {size:,} bytes"
            for name, size in (("key", letter.key_bytes), ("value", letter.value_bytes))
            if size is not None
        ]
        lines["cut"] = ", ".join(lengths)
    lines["replay"] = "was replayed" if found.is_replayed(letter) else letter.refusal or "can be replayed"
    for name, text in lines.items():
        print(f"{name:<7} {text if name in ('key', 'value') else printable(text.encode(), None)}")
    print()


def write_value(path: Path, full: FullLetter) -> None:
    """Write the value of a letter to a new file that only its owner can read."""
    letter, _, value = full
    if value is None:
        raise UptakeError(f"the value of {letter.source} is null, so there is nothing to write")
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise UptakeError(f"the value cannot be written to {path}: {error.strerror}") from None
    with os.fdopen(handle, "wb") as file:
        file.write(value)
    print(f"{len(value):,} bytes written to {path}", file=sys.stderr)
