"""A tracker request in one line: ``report("/api/00000/click/u/1/5")`` returns what the collector makes of it."""

from dataclasses import replace
from typing import Any

from events.model import EventBase
from events.rejections import Rejection
from events.rules import Rules
from events.target import read_target, split_path
from events.tracker import Accepted, parse

# From the example in the documentation of the tracker API.
LICENSE_KEY = "8695-1828-92810-5535-4239"
RECEIVED_MS = 1_700_000_000_000
RULES = Rules(customer="00000", key_id="k1", pseudonym_key=b"s" * 32, license_key=LICENSE_KEY)


def rules(**settings: Any) -> Rules:
    return replace(RULES, **settings)


def report(
    url: str, *, body: str = "", rules: Rules = RULES, received_ms: int = RECEIVED_MS
) -> Accepted | Rejection | None:
    raw_path, _, raw_query = url.partition("?")
    path = split_path(raw_path)
    if isinstance(path, Rejection):
        return path
    target = read_target(path, raw_query, body)
    return target if isinstance(target, Rejection) else parse(target, rules, received_ms)


def event_of(url: str, **options: Any) -> EventBase:
    outcome = report(url, **options)
    assert isinstance(outcome, Accepted), outcome
    return outcome.event


def code_of(url: str, **options: Any) -> str:
    outcome = report(url, **options)
    assert isinstance(outcome, Rejection), outcome
    assert outcome.sentence
    return outcome.code
