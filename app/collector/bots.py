"""Recognises requests that no person made: those of robots, and of browsers that fetch a page before anyone looks at it.

Nothing of the User-Agent is stored or logged.
"""

import re
from functools import lru_cache
from typing import Final, Literal

from aiohttp import hdrs, web
from crawleruseragents import is_crawler
from multidict import istr

from app.collector.gate import Gate
from app.customers.customer import Customer

BotKind = Literal["robot", "prefetch"]

_PURPOSES: Final = (istr("Sec-Purpose"), istr("Purpose"), istr("X-Moz"))
_AHEAD: Final = frozenset(("prefetch", "prerender"))
_MAX_CHARS: Final = 512  # of a User-Agent; robots name themselves before
_RECENT: Final = (
    8_192  # User-Agents whose verdict is cached, 3 MB: to match one against the list takes 250 us
)
_PROGRAM: Final = re.compile(
    r"(?:curl|wget|python|aiohttp|httpx|go-http-client|java|apache-httpclient|ahc|okhttp|ktor|dart|axios|node|undici|got|guzzlehttp|php|"
    r"symfony|ruby|faraday|libwww-perl|lwp|postmanruntime|insomnia|httpie|restsharp|rest-client|k6|jmeter|amazon cloudfront)\b",
    re.IGNORECASE,
)
"""Begins the User-Agent of a program or library that back ends use, or of a proxy. The list of robots has some of them."""


class Bots:
    """Decides whether a request counts as one of a bot, by the customer's ``bot_filter``."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def kind_of(self, request: web.BaseRequest, customer: Customer) -> BotKind | None:
        """Return what made the request if that was no person, else None.

        A sender with the customer's license key is a back end, whatever its User-Agent.
        """
        if customer.bot_filter == "off":
            return None
        headers = request.headers
        for name in _PURPOSES:
            purpose = headers.get(name)
            if purpose is not None and not _AHEAD.isdisjoint(re.split(r"[;,\s]+", purpose.lower())):
                return "prefetch"
        agent = headers.get(hdrs.USER_AGENT)
        if agent is None or not _is_robot(agent[:_MAX_CHARS], with_programs=customer.bot_filter == "all"):
            return None
        is_owner = self._gate.has_credentials(customer, headers.get(hdrs.AUTHORIZATION))
        return None if is_owner else "robot"


@lru_cache(maxsize=_RECENT)
def _is_robot(agent: str, *, with_programs: bool) -> bool:
    if _PROGRAM.match(agent) is not None:
        return with_programs
    return bool(is_crawler(agent))
