"""The result of one check of the doctor."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check. ``cure`` says what to do if it is not ok."""

    name: str
    level: Level
    finding: str
    cure: str = ""
