"""Consent: what becomes of an event with and without it, in every dialect, and what its record may hold."""

from typing import Any

import pytest

from events.codec import encode
from events.json_events import Reader
from events.model import EVENTS, NO_PROFILE_USER, EventBase
from events.presentation import clicked_element, shown_element
from events.pseudonym import journal_key
from events.rules import Rules
from events.seal import seal
from events.target import build_target
from events.tracker import TRACKER_EVENTS, Accepted
from tests.support import builders
from tests.support.tracker import RECEIVED_MS, RULES, code_of, event_of, rules

REQUIRED = rules(consent_required=True, previous_key_id="k0", previous_pseudonym_key=b"x" * 32)
CONSENTS = [
    (RULES, None, True),
    (RULES, "yes", True),
    (RULES, "none", False),
    (REQUIRED, None, False),
    (REQUIRED, "yes", True),
    (REQUIRED, "none", False),
]


def of_json(element: dict[str, Any], rules: Rules, *, is_plain: bool = False) -> EventBase:
    outcome = Reader(rules, RECEIVED_MS, is_plain=is_plain).read(element)
    assert isinstance(outcome, Accepted), outcome
    return outcome.event


def tracked(name: str, rules: Rules, consent: str | None) -> EventBase:
    segments = {"login": ("max", "anna"), "triggeropened": ("max",)}.get(name, ("max", "1", "5"))
    params = {"rating": "7"} if name == "rate" else {}
    params |= {} if consent is None else {"consent": consent}
    return event_of(build_target("00000", name, segments, params), rules=rules)


def an_event(name: str) -> EventBase:
    fields = {"user": "max"} | ({"target": "anna"} if name == "login" else {})
    made: EventBase = getattr(builders, f"{'an' if name[0] in 'aeiou' else 'a'}_{name}")(**fields)
    return made


def check(event: EventBase, rules: Rules, *, may_profile: bool) -> None:
    """Compare users, and look for pseudonyms in the record and in its key."""
    assert event.user == (rules.user("max") if may_profile else NO_PROFILE_USER)
    record = encode(event) + journal_key(event, 5)
    for raw in ("max", "anna"):
        for pseudonym in (rules.user(raw), rules.previous_user(raw)):
            assert may_profile or pseudonym is None or pseudonym.encode() not in record
    assert b"consent" not in record
    if event.__struct_config__.tag == "login":
        target = rules.user("anna") if may_profile else NO_PROFILE_USER
        assert (event.target, event.is_junk_target) == (target, not may_profile)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("rules", "consent", "may_profile"), CONSENTS)
@pytest.mark.parametrize("name", TRACKER_EVENTS)
def test_tracker_event_builds_a_profile_only_with_consent(
    name: str, rules: Rules, consent: str | None, may_profile: bool
) -> None:
    check(tracked(name, rules, consent), rules, may_profile=may_profile)


@pytest.mark.parametrize(("rules", "consent", "may_profile"), CONSENTS)
@pytest.mark.parametrize("name", EVENTS)
def test_producers_event_builds_a_profile_only_with_consent(
    name: str, rules: Rules, consent: str | None, may_profile: bool
) -> None:
    sealed = seal(an_event(name), rules, consent)
    assert isinstance(sealed, EventBase)
    check(sealed, rules, may_profile=may_profile)


@pytest.mark.parametrize("is_plain", [False, True])
@pytest.mark.parametrize(("rules", "consent", "may_profile"), CONSENTS)
def test_json_event_builds_a_profile_only_with_consent(
    rules: Rules, consent: str | None, may_profile: bool, is_plain: bool
) -> None:
    for element in (
        {"type": "click", "item": "5"},
        {"type": "rendered", "items": ["5"]},
        {"type": "login", "target": "anna"},
        {"type": "recommended", "request_id": "r"},
    ):
        given = {} if consent is None else {"consent": consent}
        event = of_json({**element, "user": "max", **given}, rules, is_plain=is_plain)
        check(event, rules, may_profile=may_profile)
        assert event.properties is None


@pytest.mark.parametrize(("rules", "consent", "may_profile"), CONSENTS)
def test_video_page_states_consent_once_for_all_elements(
    rules: Rules, consent: str | None, may_profile: bool
) -> None:
    page = {} if consent is None else {"consent": consent}
    for element in (
        shown_element({"video_id": 5}, page, "max", rules),
        shown_element({"video_id": 5, **page}, {"consent": "yes"} if page else {}, "max", rules),
        clicked_element({"item": "5", **page}, "max", rules),
    ):
        event = of_json(element, rules)
        check(event, rules, may_profile=may_profile)
        assert not event.properties


def test_json_of_one_user_may_give_and_refuse_consent() -> None:
    reader = Reader(RULES, RECEIVED_MS, is_plain=True)
    users = [
        reader.read({"type": "click", "user": "max", "item": "5", **given}).event.user  # type: ignore[union-attr]
        for given in ({}, {"consent": "none"}, {"consent": "yes"}, {"consent": None}, {"consent": ""})
    ]
    known = RULES.user("max")
    assert users == [known, NO_PROFILE_USER, known, known, known]


@pytest.mark.parametrize("consent", ["maybe", "no", "YES", "1"])
def test_other_word_is_refused(consent: str) -> None:
    assert code_of(f"/api/00000/click/u/1/5?consent={consent}") == "bad_parameter"
    outcome = Reader(RULES, RECEIVED_MS).read({"type": "click", "user": "u", "item": "5", "consent": consent})
    assert outcome.code == "bad_parameter"  # type: ignore[union-attr]


def test_absent_words_state_nothing() -> None:
    for consent in ("", "null", "undefined"):
        assert event_of(f"/api/00000/click/u/1/5?consent={consent}").user == RULES.user("u")
