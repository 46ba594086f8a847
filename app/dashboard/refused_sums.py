"""The refused requests of one customer, added up over all collectors."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import aiohttp

from app.customers.customer import Customer
from app.dashboard.answers import UpstreamError
from app.dashboard.upstream import CONNECT_SECONDS, SilentError, ask, json_object

_LAST: Final = 100
_TIMEOUT: Final = aiohttp.ClientTimeout(total=5.0, connect=CONNECT_SECONDS)


async def refused_requests(
    session: aiohttp.ClientSession, collectors: Sequence[str], customer: Customer
) -> dict[str, Any]:
    """Return the page of a customer over all collectors that answer; raise UpstreamError if none does."""
    pages = await asyncio.gather(*(_page(session, url, customer) for url in collectors))
    found = [page for page in pages if page is not None]
    if not found:
        raise UpstreamError(503, "unavailable", "no collector answers; ask again in 1 s")
    return sum_of_pages(customer.id, found, asked=len(pages))


def sum_of_pages(customer_id: str, pages: Sequence[Mapping[str, Any]], *, asked: int) -> dict[str, Any]:
    """Return the sums of the pages of several collectors, and their last requests, newest first."""
    last = [entry for page in pages for entry in page.get("last", ())]
    return {
        "customer": customer_id,
        "since_ms": min(page["since_ms"] for page in pages),
        "refused": _sum(page.get("refused", {}) for page in pages),
        "recorded_without": _sum(page.get("recorded_without", {}) for page in pages),
        "last": sorted(last, key=lambda entry: -entry["time_ms"])[:_LAST],
        "collectors": {"asked": asked, "answered": len(pages)},
    }


async def _page(session: aiohttp.ClientSession, url: str, customer: Customer) -> Mapping[str, Any] | None:
    path = f"/v1/{quote(customer.id, safe='')}/refused"
    try:
        answer = await ask(session, url, path, customer.api_key, timeout=_TIMEOUT)
    except SilentError:
        return None
    page = json_object(answer.body)
    return page if answer.status == 200 and "since_ms" in page else None


def _sum(counts: Any) -> dict[str, int]:
    added: Counter[str] = Counter()
    for each in counts:
        added.update(each)
    return dict(added.most_common())
