"""The customers file: what it may say, and that a wrong one says why."""

import os
import stat
from datetime import UTC
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from app.customers import Customers, CustomersError, create_customers_file

KEY = "ab" * 32
MINIMAL = f'[customers."00000"]\nkey_id = "k1"\npseudonym_key = "{KEY}"\n'


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    file = path / "uptake.toml"
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)
    return file


def test_created_file_is_private_and_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "uptake.toml"
    made = create_customers_file(path, "00000", "8695-1828-92810-5535-4239")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    read = Customers.load(path)["00000"]
    assert read == made
    assert read.rules.license_key == "8695-1828-92810-5535-4239"
    assert len(read.rules.pseudonym_key) == 32


def test_created_keys_are_never_the_same(tmp_path: Path) -> None:
    one, two = (create_customers_file(tmp_path / name, "c").rules for name in ("a.toml", "b.toml"))
    assert one.pseudonym_key != two.pseudonym_key
    assert one.license_key != two.license_key


def test_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    path = written(tmp_path, MINIMAL)
    with pytest.raises(CustomersError, match="is there already"):
        create_customers_file(path, "00000")
    assert path.read_text() == MINIMAL


def test_umask_does_not_open_the_file(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        create_customers_file(tmp_path / "c.toml", "c")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "c.toml").stat().st_mode) == 0o600


def test_defaults(tmp_path: Path) -> None:
    customer = Customers.load(written(tmp_path, MINIMAL))["00000"]
    rules = customer.rules
    assert (rules.customer, rules.key_id, rules.pseudonym_key) == ("00000", "k1", bytes.fromhex(KEY))
    assert (rules.max_itemtype, rules.string_items, rules.strict_scenario) == (5, True, False)
    assert (rules.time_zone, rules.license_key, rules.previous_key_id) == (UTC, None, None)
    assert customer.cors_origins == {"*"}
    assert (customer.exclusions.threshold, customer.exclusions.within_ms) == (2, 1_800_000)


def test_every_setting_is_read(tmp_path: Path) -> None:
    text = (
        MINIMAL
        + f"""
previous_key_id = "k0"
previous_pseudonym_key = "{"cd" * 32}"
license_key = "8695-1828"
time_zone = "Europe/Berlin"
max_itemtype = 2147483647
string_items = false
strict_scenario = true
cors_origins = ["https://shop.example"]
[customers."00000".exclusions]
threshold = 3
within = "session"
[customers."0"]
key_id = "k1"
pseudonym_key = "{"ef" * 32}"
"""
    )
    customers = Customers.load(written(tmp_path, text))
    assert list(customers) == ["00000", "0"]
    customer = customers["00000"]
    assert customer.rules.previous_pseudonym_key == bytes.fromhex("cd" * 32)
    assert customer.rules.time_zone == ZoneInfo("Europe/Berlin")
    assert (customer.rules.max_itemtype, customer.rules.string_items) == (2_147_483_647, False)
    assert customer.rules.strict_scenario is True
    assert customer.cors_origins == {"https://shop.example"}
    assert (customer.exclusions.threshold, customer.exclusions.within_ms) == (3, None)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = written(tmp_path, MINIMAL, mode)
    with pytest.raises(CustomersError, match=f"chmod 600 {path}"):
        Customers.load(path)


def test_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        CustomersError, match=r"no such file.*uptake customers --create.*UPTAKE_CUSTOMERS_FILE"
    ):
        Customers.load(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no customer"),
        ("customers = 1", "names no customer"),
        ("not toml", "cannot be read"),
        (f"{MINIMAL}\n[other]\n", "not other"),
        (f'[customers."a|b"]\nkey_id = "k"\npseudonym_key = "{KEY}"\n', r"customer id 'a\|b'"),
        (f'[customers.""]\nkey_id = "k"\npseudonym_key = "{KEY}"\n', "customer id ''"),
        (f'[customers."ü"]\nkey_id = "k"\npseudonym_key = "{KEY}"\n', "customer id"),
        (f'[customers."1"]\npseudonym_key = "{KEY}"\n', r'\[customers."1"\].*key_id'),
        (f'[customers."1"]\nkey_id = "k|"\npseudonym_key = "{KEY}"\n', r"\$\.key_id"),
        (
            '[customers."1"]\nkey_id = "k"\npseudonym_key = "abcd"\n',
            "pseudonym_key must be at least 64 hex digits",
        ),
        ('[customers."1"]\nkey_id = "k"\npseudonym_key = "secret!"\n', "pseudonym_key must be at least 64"),
        (f'{MINIMAL}previous_key_id = "k0"\n', "go together"),
        (f'{MINIMAL}previous_key_id = "k1"\nprevious_pseudonym_key = "{KEY}"\n', "must differ"),
        (f'{MINIMAL}time_zone = "Mars/Olympus"\n', "time_zone 'Mars/Olympus'"),
        (f'{MINIMAL}time_zone = "../../etc/passwd"\n', "time_zone"),
        (f"{MINIMAL}max_itemtype = 0\n", r"\$\.max_itemtype"),
        (f'{MINIMAL}max_itemtype = "5"\n', r"\$\.max_itemtype"),
        (f"{MINIMAL}max_itemtyp = 5\n", "max_itemtyp"),
        (f'{MINIMAL}license_key = "short"\n', r"\$\.license_key"),
        (f'{MINIMAL}[customers."00000".exclusions]\nwithin = "1 day"\n', "exclusions.within '1 day'"),
        (f'{MINIMAL}[customers."00000".exclusions]\nthreshold = 0\n', "threshold"),
    ],
)
def test_wrong_file_names_the_field(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(CustomersError, match=message) as caught:
        Customers.load(path)
    assert str(path) in str(caught.value)
    assert "secret!" not in str(caught.value)
    assert KEY not in str(caught.value)


def test_secrets_are_not_in_the_repr(tmp_path: Path) -> None:
    shown = repr(create_customers_file(tmp_path / "c.toml", "c", "license-key-1"))
    assert "license-key-1" not in shown
    assert "pseudonym_key=b" not in shown
