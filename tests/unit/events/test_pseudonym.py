"""Pseudonyms: stable, keyed, and without any part of the raw id."""

import base64
import hashlib
import hmac
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from events.model import NO_PROFILE_USER, Click
from events.pseudonym import journal_key, pseudonym

USERS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@pytest.mark.parametrize(
    ("raw_user", "expected"),
    [
        ("maxmustermann", "k1.g4mbtkf5pr3bqcrnwwyxhvsilm"),
        ("u", "k1.5e33ax5ejph5jk4zaiwvdf5og4"),
    ],
)
def test_pseudonym_of_a_known_key(raw_user: str, expected: str) -> None:
    """A change here would make every user of every installation a new one."""
    assert pseudonym(b"x" * 32, "k1", raw_user) == expected


@example("u" * 65, b"k" * 32)  # too long for the cache
@given(USERS, st.binary(min_size=32, max_size=64))
def test_pseudonym_is_hmac_sha256_cut_to_128_bits(raw_user: str, secret: bytes) -> None:
    name = pseudonym(secret, "k", raw_user)
    assert re.fullmatch(r"k\.[a-z2-7]{26}", name)
    digest = base64.b32decode(name.removeprefix("k.").upper() + "======")
    assert digest == hmac.new(secret, raw_user.encode(), hashlib.sha256).digest()[:16]


def test_another_key_gives_another_pseudonym() -> None:
    assert pseudonym(b"a" * 32, "k", "u") != pseudonym(b"b" * 32, "k", "u")


def test_journal_key_orders_a_user_and_spreads_nobody() -> None:
    someone, nobody = (
        Click(customer="00000", user="k1.abc", item="1"),
        Click(customer="00000", user=NO_PROFILE_USER, item="1"),
    )
    assert {journal_key(someone, spread) for spread in range(8)} == {b"00000|k1.abc"}
    assert [journal_key(nobody, spread) for spread in range(3)] == [b"00000|~0", b"00000|~1", b"00000|~2"]
