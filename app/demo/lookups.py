"""Exclusion lookups of the demo: which items two visitors must not see again, compared with the files."""

from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from yarl import URL

from app.demo.file_counts import Question
from app.demo.measured_counts import get_json

_SHOWN_ITEMS: Final = 12


@dataclass(frozen=True, slots=True)
class Lookup:
    """A question, the URL at which it was asked, and the answer."""

    question: Question
    url: str
    answer: dict[str, Any]

    @property
    def items(self) -> frozenset[str]:
        """The excluded items."""
        return frozenset(entry["item"] for entry in self.answer["excluded"])

    @property
    def is_right(self) -> bool:
        """Whether the files give the same items."""
        return self.items == self.question.items

    @property
    def curl(self) -> str:
        """The command that makes this lookup."""
        return f"curl '{self.url}'"


def _lookup_url(worker: str, customer: str, question: Question) -> URL:
    """Return the URL of a question."""
    return (URL(worker) / "v1" / customer / "users" / question.user / "exclusions").with_query(
        itemtype="1",
        threshold=str(question.threshold),
        within=question.within,
        reasons="rendered",
        as_of_ms=str(question.as_of_ms),
    )


async def ask(session: aiohttp.ClientSession, worker: str, customer: str, question: Question) -> Lookup:
    """Ask a worker and return the lookup with its answer."""
    url = _lookup_url(worker, customer, question)
    return Lookup(question, str(url), await get_json(session, url))


def sentence(lookup: Lookup) -> str:
    """Return the result for people: the items, and whether the files say the same."""
    names = sorted(lookup.items)
    more = f" and {len(names) - _SHOWN_ITEMS} more" if len(names) > _SHOWN_ITEMS else ""
    found = ", ".join(names[:_SHOWN_ITEMS]) or "none"
    if lookup.is_right:
        return f"items {found}{more}; the files say the same"
    return f"items {found}{more}; but the files say {', '.join(sorted(lookup.question.items)) or 'none'}"
