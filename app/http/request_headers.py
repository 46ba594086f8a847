"""Header fields that several of our servers read in the same way."""

import re
from typing import Final

_REFUSED: Final = re.compile(r";q=0(\.0*)?(;|$)")


def accepted(header: str) -> list[str]:
    """Return the names that ``Accept`` or ``Accept-Encoding`` lists, in lower case. A weight of 0 refuses a name."""
    parts = (part.lower().replace(" ", "").replace("\t", "") for part in header.split(","))
    return [part.partition(";")[0] for part in parts if not _REFUSED.search(part)]


def names_tag(if_none_match: str, etag: str) -> bool:
    """Return whether ``If-None-Match`` says that the client has the content: it names the tag, strong or weak, or ``*``."""
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in tags or tags == ["*"]
