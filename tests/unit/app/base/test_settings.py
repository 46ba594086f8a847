"""Settings: an empty variable is unset, and every number has a range."""

import annotated_types
import pytest
from pydantic import ValidationError

from app.base.settings import Settings

NUMBERS = [name for name, field in Settings.model_fields.items() if field.annotation in (int, int | None)]


def _bounds(name: str) -> tuple[int | None, int | None]:
    """Return the least and the greatest value of a setting."""
    least = greatest = None
    for rule in Settings.model_fields[name].metadata:
        if isinstance(rule, annotated_types.Ge):
            least = rule.ge
        if isinstance(rule, annotated_types.Le):
            greatest = rule.le
    return least, greatest  # type: ignore[return-value]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_empty_variable_is_unset(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"UPTAKE_{name.upper()}", "")
    assert getattr(Settings(), name) == Settings.model_fields[name].default


@pytest.mark.parametrize("name", Settings.model_fields)
def test_blank_variable_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"UPTAKE_{name.upper()}", " ")
    with pytest.raises(ValidationError, match=f"(?m)^{name}$"):
        Settings()


@pytest.mark.parametrize("name", NUMBERS)
def test_number_outside_its_range_is_refused(name: str) -> None:
    least, greatest = _bounds(name)
    assert least is not None
    assert greatest is not None
    for value in (least - 1, greatest + 1):
        with pytest.raises(ValidationError, match=f"(?m)^{name}$"):
            Settings(**{name: value})


@pytest.mark.parametrize(("host", "kept"), [("::1", "::1"), ("[::1]", "::1"), ("localhost", "localhost")])
def test_host_has_no_brackets(host: str, kept: str) -> None:
    assert Settings(host=host).host == kept


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host", ""),
        ("host", "a:80"),
        ("advertise", "http://0.0.0.0:1"),
        ("app_id", ""),
        ("user_cookie", "a;b"),
        ("user_cookie", ""),
    ],
)
def test_text_that_means_nothing_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValidationError, match=f"(?m)^{name}$"):
        Settings(**{name: value})


def test_settings_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValidationError, match="use at most 2000"):
        Settings(session_timeout_ms=6_000, heartbeat_ms=5_000)
