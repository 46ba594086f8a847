"""Cookies of sessions: only what this process signed is read, until it is over or the key changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dashboard.sessions import SESSION_SECONDS, Sessions
from tests.support.dashboard import SetClock
from tests.support.lookups import NOW

KEY = b"k" * 32


def read(cookie: str | None, secret: str | None = "secret", clock: SetClock | None = None) -> str | None:
    session = Sessions("customer", clock or SetClock(), KEY).read(cookie, lambda _: secret)
    return None if session is None else session.holder


def issued() -> str:
    return Sessions("customer", SetClock(), KEY).issue("a.b-c", "secret")


def test_a_session_names_its_holder_and_its_end() -> None:
    session = Sessions("customer", SetClock(), KEY).read(issued(), lambda _: "secret")
    assert session == ("a.b-c", NOW + SESSION_SECONDS * 1_000)


@pytest.mark.parametrize("secret", [None, "", "another"])
def test_a_session_of_another_secret_is_none(secret: str | None) -> None:
    assert read(issued(), secret) is None


def test_a_session_of_another_scope_or_key_is_none() -> None:
    assert Sessions("operator", SetClock(), KEY).read(issued(), lambda _: "secret") is None
    assert Sessions("customer", SetClock()).read(issued(), lambda _: "secret") is None


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a_changed_part_is_none(part: int) -> None:
    parts = issued().split(".", 2)
    parts[part] = ("1" if parts[part][0] != "1" else "2") + parts[part][1:]
    assert read(".".join(parts)) is None


@pytest.mark.parametrize(
    "cookie", [None, "", ".", "..", "a.b.c", "9" * 400, "²." + "0" * 64 + ".a", "1.\udcff.a"]
)
def test_text_that_is_no_cookie_is_none(cookie: str | None) -> None:
    assert read(cookie) is None


@given(st.text(max_size=300))
def test_no_text_is_a_session(text: str) -> None:
    assert read(text) is None
