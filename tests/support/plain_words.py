"""Phrases that our prose avoids, each with what to write instead, and names of documents that are not in the repository."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Phrase:
    """Words to avoid: a regular expression (a space is any white space, also a line's end) and the plain way to say it."""

    pattern: str
    instead: str

    def compiled(self) -> re.Pattern[str]:
        """Return the expression, bounded by words, for any case but where the pattern says otherwise."""
        return re.compile(rf"\b(?:{self.pattern})\b".replace(" ", r"\s+"), re.IGNORECASE)


BANNED: Final = (
    Phrase("(?:take|takes|taken|taking|took) up", "open or assign (a partition), resume (work)"),
    Phrase("(?:tell|tells|telling|told) of", "report, log, raise an alarm"),
    Phrase("(?:is|are|was|were|be|been|not|never) told(?! to\\b)", "is reported, is logged, receives"),
    Phrase("(?:stand|stands|standing|stood) still", "makes no progress, is stalled"),
    Phrase("anew", "again, from the start"),
    Phrase("(?:is|are|was|were|be) (?-i:none)", "does not exist, is missing, has no ..."),
    Phrase("nobody(?:['’]s)?", "no user, no worker, no process (name the actor)"),
    Phrase("beside", "next to, with, in addition to"),
    Phrase("(?:go|goes|going|gone|went) on from", "resume from, continue from"),
    Phrase("so long(?! ago\\b| that\\b)", "for this long, as long as"),
    Phrase("(?:go|goes|going|gone|went) by", "use, follow (or, of time: pass)"),
    Phrase("(?<!no\\s)one['’]s", "the user's, its (name the owner)"),
    Phrase("at hand", "available, cached, in memory"),
    Phrase("let off", "exempt, skipped"),
    Phrase("(?:get|gets|got) to hear", "receive"),
    Phrase("sounds", "is raised (an alarm)"),
    Phrase("what (?:is|was) not(?: \\w+){1,4} is", "name the thing: records that are not ... are"),
)

ELSEWHERE: Final = re.compile(
    r"\b(?:SEMANTICS|TRACKER_API|ATTRIBUTION\.md|STATE_LAYOUT|HOUSE\.md|STYLE\.md|FAULTS\.md|FAUST(?:_NOTES)?|ARCHITECTURE(?:\.md)?"
    r"|LOCAL_KAFKA|[Ss]eed \d{3})\b"
)
"""Documents that a reader of the repository cannot open."""


def phrases(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield each phrase to avoid in a text: its line (from 1), the words as they are there, and what to write instead."""
    for phrase in BANNED:
        for found in phrase.compiled().finditer(text):
            yield text.count("\n", 0, found.start()) + 1, " ".join(found[0].split()), phrase.instead
