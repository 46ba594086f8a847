"""Paths of the endpoints that are not those of the tracker."""

from typing import Final

JSON_EVENTS: Final[dict[str, str | None]] = {
    "events": None,
    "recommended": "recommended",
    "playback": "playback",
}
"""Last segment of ``/v1/{customer}/...`` -> the kind of event that it accepts; None: each element names its own."""

SHOWN: Final = "/uitracking/users/presentationtracking"
CLICKED: Final = "/uitracking/users/click"
PRESENTATIONS: Final = frozenset((SHOWN, CLICKED))
SHORT_PRESENTATIONS: Final = {path.removeprefix("/uitracking"): path for path in PRESENTATIONS}
"""Path without its first segment -> the path. Pages that have the host of the tracker in their settings send these."""

REFUSED: Final = "/v1/{customer}/refused"
