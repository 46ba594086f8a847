"""The rule of who may read the pages for operators follows from the settings of a server."""

import pytest

from app.base.settings import Settings
from app.http.operators import Operators, is_same_secret


@pytest.mark.parametrize(
    ("host", "key", "expected"),
    [
        ("127.0.0.1", None, Operators(is_private=True)),
        ("::1", None, Operators(is_private=True)),
        ("0.0.0.0", None, Operators(is_private=False)),
        ("0.0.0.0", "secret", Operators(is_private=False, key="secret")),
    ],
)
def test_rule_is_that_of_host_and_key(host: str, key: str | None, expected: Operators) -> None:
    assert Operators.of(Settings(host=host, admin_key=key, advertise="http://192.0.2.1:6067")) == expected


def test_empty_key_opens_nothing() -> None:
    assert Operators.of(Settings(host="192.0.2.1", admin_key="")).key is None


def test_key_is_shown_nowhere() -> None:
    settings = Settings(host="192.0.2.1", admin_key="never-shown")
    assert "never-shown" not in f"{settings} {settings!r} {Operators.of(settings)!r}"


def test_secrets_are_compared_whole() -> None:
    assert is_same_secret("secret", "secret")
    assert not any(map(is_same_secret, ("secre", "secrets", "", "\ud800"), ("secret",) * 4))
    assert not is_same_secret("", None)
    assert not is_same_secret("", "")
