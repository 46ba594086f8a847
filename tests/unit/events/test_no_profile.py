"""Ids that mean no user: in every dialect, as source and as target of a login, and with a customer's own list."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.json_events import Reader
from events.model import NO_PROFILE_USER, EventBase
from events.no_profile import NO_PROFILE_IDS, no_profile_ids, normal_id
from events.presentation import user_of
from events.rules import Rules
from events.seal import seal
from events.target import build_target
from events.tracker import Accepted
from tests.support.builders import a_click, a_login
from tests.support.tracker import RECEIVED_MS, RULES, event_of, rules

SENT = [
    *("not_defined", "undefined", "null", "0", "-1", "NaN", "None", "nil", "[object Object]"),
    *(
        "anonymous",
        "guest",
        "Guest",
        "ANONYMOUS",
        "nan",
        " ",
        "\u00a0 ",
        '""',
        "''",
        " guest ",
        "Not_Defined",
    ),
]
USERS = ["00", "-10", "guests", "nobody", "undefined_", "0.0", '"', "maxmustermann"]


def of_json(rules: Rules = RULES, **element: Any) -> EventBase:
    outcome = Reader(rules, RECEIVED_MS).read(element)
    assert isinstance(outcome, Accepted), outcome
    return outcome.event


def users_of(raw: str, rules: Rules = RULES) -> set[str]:
    """Return the user of an event with this raw id, in every dialect."""
    sealed = seal(a_click(user=raw), rules)
    assert isinstance(sealed, EventBase)
    tracked = event_of(build_target("00000", "click", (raw, "1", "5")), rules=rules)
    plain = Reader(rules, RECEIVED_MS, is_plain=True).read({"type": "click", "user": raw, "item": "5"})
    assert isinstance(plain, Accepted)
    return {
        event.user
        for event in (tracked, sealed, of_json(rules, type="click", user=raw, item="5"), plain.event)
    }


@pytest.mark.parametrize("raw", SENT)
def test_id_that_means_no_user_has_no_pseudonym(raw: str) -> None:
    assert users_of(raw) == {NO_PROFILE_USER}
    rotating = rules(previous_key_id="k0", previous_pseudonym_key=b"x" * 32)
    assert event_of(build_target("00000", "click", (raw, "1", "5")), rules=rotating).previous_user is None


@pytest.mark.parametrize("raw", USERS)
def test_similar_id_is_a_user(raw: str) -> None:
    assert users_of(raw) == {RULES.user(raw)}


@pytest.mark.parametrize("number", [0, -1])
def test_number_in_json_may_mean_no_user(number: int) -> None:
    assert of_json(type="click", user=number, item="5").user == NO_PROFILE_USER


@pytest.mark.parametrize("raw", SENT)
def test_login_of_no_user_has_no_source_and_one_to_no_user_no_target(raw: str) -> None:
    def logins(source: str, target: str) -> list[Any]:
        return [
            event_of(build_target("00000", "login", (source, target))),
            of_json(type="login", user=source, target=target),
            seal(a_login(user=source, target=target), RULES),
        ]

    for login in logins(raw, "account"):
        assert (login.user, login.target) == (NO_PROFILE_USER, RULES.user("account"))
    for login in logins("visitor", raw):
        assert (login.user, login.target, login.is_junk_target) == (
            RULES.user("visitor"),
            NO_PROFILE_USER,
            True,
        )


def test_customer_adds_ids_and_takes_some_out() -> None:
    own = rules(no_profile_users=no_profile_ids(["Visitor", "!guest", "! Nil "]))
    for raw in ("visitor", " VISITOR", "0", "null"):
        assert users_of(raw, own) == {NO_PROFILE_USER}
    for raw in ("guest", "Guest", "nil"):
        assert users_of(raw, own) == {own.user(raw)}
    login: Any = event_of("/api/00000/login/guest/visitor", rules=own)
    assert (login.user, login.is_junk_target) == (own.user("guest"), True)


@pytest.mark.parametrize("entry", ["!not_defined", "!NULL", "!undefined", "!visitor", "!"])
def test_id_that_cannot_be_taken_out_is_named(entry: str) -> None:
    if entry == "!":  # blanks mean no user unless the customer says otherwise
        assert "" not in no_profile_ids([entry])
        return
    with pytest.raises(ValueError, match=entry):
        no_profile_ids([entry])


def test_page_names_the_first_id_that_means_a_user() -> None:
    assert user_of({"user": "0", "esn": "device"}, "guest", RULES) == "device"
    assert user_of({"user": 0, "esn": None}, None, RULES) is None
    assert user_of({"user": "u", "esn": "device"}, "cookie", RULES) == "u"


@given(st.sampled_from(sorted(NO_PROFILE_IDS)), st.sampled_from(["", " ", "\t", "\u00a0"]))
def test_case_and_blanks_mean_nothing(name: str, blank: str) -> None:
    assert normal_id(blank + name.upper() + blank) == name
