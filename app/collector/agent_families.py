"""Families of clients, by User-Agent: a fixed list, so that the family holds nothing of what a client sent."""

from typing import Final

_UNNAMED: Final = "none"
_OTHER: Final = "other"
_FAMILIES: Final = (
    # Browsers name others that they resemble, so the most special one comes first.
    ("Edge", ("edg/", "edge/", "edga/", "edgios/")),
    ("Opera", ("opr/", "opera")),
    ("Samsung Internet", ("samsungbrowser/",)),
    ("Firefox", ("firefox/", "fxios/")),
    ("robot", ("bot", "crawl", "spider", "headless")),
    ("Chrome", ("chrome/", "chromium/", "crios/")),
    ("Safari", ("safari/", "applewebkit/")),
    ("curl", ("curl/", "libcurl")),
    ("Wget", ("wget/",)),
    ("PHP", ("guzzle", "php", "wordpress", "magento", "symfony")),
    ("Python", ("python", "aiohttp", "httpx")),
    ("Java", ("java/", "okhttp", "apache-httpclient", "jersey")),
    ("Go", ("go-http-client",)),
    ("Node", ("node", "axios", "undici")),
    ("Ruby", ("ruby", "faraday")),
)
_MAX_CHARS: Final = 512


def agent_family(user_agent: str) -> str:
    """Return the family of a User-Agent: one of a few names, ``other``, or ``none`` if it is empty."""
    if not user_agent:
        return _UNNAMED
    lowered = user_agent[:_MAX_CHARS].lower()
    for family, marks in _FAMILIES:
        if any(mark in lowered for mark in marks):
            return family
    return _OTHER
