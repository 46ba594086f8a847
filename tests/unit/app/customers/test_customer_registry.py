"""The customers file: what it may contain; an invalid file is reported with the reason."""

import json
import os
import stat
import tomllib
from dataclasses import fields, replace
from datetime import UTC
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from app.customers.customer import RateLimit, RatingScale
from app.customers.customer_fields import EXCLUSION_FIELDS
from app.customers.customer_registry import Customers, CustomersError, create_customers_file
from app.customers.exclusion_rules import REASONS, ExclusionRules

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
    with pytest.raises(CustomersError, match="exists already"):
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
    assert (rules.max_itemtype, rules.string_items, rules.strict_scenario) == (2_147_483_647, True, False)
    assert (rules.time_zone, rules.license_key, rules.previous_key_id) == (UTC, None, None)
    assert customer.cors_origins == {"*"}
    assert (customer.exclusions.threshold, customer.exclusions.within) == (2, 1_800_000)


def test_every_setting_is_read(tmp_path: Path) -> None:
    text = (
        MINIMAL
        + f"""
previous_key_id = "k0"
previous_pseudonym_key = "{"cd" * 32}"
license_key = "8695-1828"
time_zone = "Europe/Berlin"
max_itemtype = 7
string_items = false
strict_scenario = true
scenario_of_unlabelled = "home"
cors_origins = ["https://Shop.example:443"]
strict_price = true
currency = "CHF"
md5_signatures = false
require_credentials = true
rate_limit = {{ events_per_second = 0.5, burst = 7 }}
rating_scale = {{ min = 1, max = 5 }}
rating_scales = {{ "3" = {{ min = 0, max = 10 }} }}
[customers."00000".exclusions]
threshold = 3
within = "session"
consumed_at_least = 50
reasons = ["rendered", "bought"]
[customers."00000".scenarios."also_bought".exclusions]
threshold = 5
within = "ever"
[customers."00000".scenarios."a.b/ü"]
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
    assert (customer.rules.max_itemtype, customer.rules.string_items) == (7, False)
    assert (customer.rules.strict_scenario, customer.rules.scenario_of_unlabelled) == (True, "home")
    assert (customer.rules.strict_price, customer.rules.currency) == (True, "CHF")
    assert customer.cors_origins == {"https://shop.example"}
    assert customer.rules.md5_signatures is False
    assert customer.require_credentials is True
    assert customer.rate_limit == RateLimit(0.5, 7)
    exclusions = ExclusionRules(
        threshold=3, within="session", consumed_at_least=50, reasons=frozenset(("rendered", "bought"))
    )
    assert customer.exclusions == exclusions
    assert (customer.scale_of(1), customer.scale_of(3)) == (RatingScale(1, 5), RatingScale(0, 10))
    for scenario in (None, "home", "a.b/ü"):
        assert customer.exclusions_of(scenario) == customer.exclusions
    assert customer.exclusions_of("also_bought") == replace(exclusions, threshold=5, within="ever")


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
        (f'{MINIMAL}previous_key_id = "k0"\n', "set both"),
        (f'{MINIMAL}previous_key_id = "k1"\nprevious_pseudonym_key = "{KEY}"\n', "must differ"),
        (f'{MINIMAL}time_zone = "Mars/Olympus"\n', "time_zone 'Mars/Olympus'"),
        (f'{MINIMAL}time_zone = "../../etc/passwd"\n', "time_zone"),
        (f"{MINIMAL}max_itemtype = 0\n", r"\$\.max_itemtype"),
        (f'{MINIMAL}max_itemtype = "5"\n', r"\$\.max_itemtype"),
        (f"{MINIMAL}max_itemtyp = 5\n", "max_itemtyp"),
        (f'{MINIMAL}license_key = "short"\n', r"\$\.license_key"),
        (f'{MINIMAL}[customers."00000".exclusions]\nwithin = "1 day"\n', "exclusions.within '1 day'"),
        (f'{MINIMAL}[customers."00000".exclusions]\nthreshold = 0\n', "threshold"),
        (f'{MINIMAL}[customers."00000".exclusions]\nreasons = ["seen"]\n', "reasons"),
        (f'{MINIMAL}[customers."00000".exclusions]\nconsumed_at_least = 101\n', "consumed_at_least"),
        (
            f'{MINIMAL}[customers."00000".scenarios."home".exclusions]\nwithin = "soon"\n',
            "scenarios.home.exclusions.within 'soon'",
        ),
        (f'{MINIMAL}[customers."00000".scenarios."home"]\nthreshold = 2\n', "threshold"),
        (f'{MINIMAL}[customers."00000".scenarios.""]\n', "scenario's name"),
        (f"{MINIMAL}rating_scale = {{ min = 5, max = 5 }}\n", "rating_scale: min must be below max"),
        (f"{MINIMAL}rating_scale = {{ max = 101 }}\n", r"\$\.rating_scale\.max"),
        (
            f'{MINIMAL}max_itemtype = 5\nrating_scales = {{ "6" = {{ max = 5 }} }}\n',
            "rating_scales: '6' is not an item type",
        ),
        (
            f'{MINIMAL}rating_scales = {{ "21474836470" = {{ max = 5 }} }}\n',
            "rating_scales: '21474836470' is not an item type",
        ),
        (f'{MINIMAL}rating_scales = {{ "²" = {{ max = 5 }} }}\n', "rating_scales: '²' is not an item type"),
        (f"{MINIMAL}rate_limit = 5\n", r"\$\.rate_limit"),
        (f"{MINIMAL}rate_limit = {{ events_per_second = 0 }}\n", "events_per_second"),
        (f"{MINIMAL}rate_limit = {{ events_per_second = nan }}\n", "events_per_second"),
        (f"{MINIMAL}rate_limit = {{ events_per_second = 1, burst = 0 }}\n", "burst"),
        (f"{MINIMAL}require_credentials = true\n", "needs a license_key"),
        (f'{MINIMAL}cors_origins = ["shop.example"]\n', "cors_origins"),
        (f'{MINIMAL}cors_origins = ["https://*.shop.example"]\n', r"cors_origins.*without \*\."),
        (f'{MINIMAL}currency = "eur"\n', "currency 'eur'"),
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


def test_reasons_that_the_file_may_name_are_those_of_lookups(tmp_path: Path) -> None:
    text = f'{MINIMAL}[customers."00000".exclusions]\nreasons = {json.dumps(REASONS)}\n'
    customer = Customers.load(written(tmp_path, text))["00000"]
    assert customer.exclusions.reasons == set(REASONS)


def test_the_file_may_set_every_exclusion_rule_and_no_other() -> None:
    assert tuple(field.name for field in fields(ExclusionRules)) == EXCLUSION_FIELDS


def test_burst_is_a_second_unless_it_is_said(tmp_path: Path) -> None:
    for text, burst in (("20", 20), ("0.2", 1), ("2.5", 2)):
        path = written(tmp_path, f"{MINIMAL}rate_limit = {{ events_per_second = {text} }}\n")
        limit = Customers.load(path)["00000"].rate_limit
        assert limit is not None
        assert limit.burst == burst


@pytest.mark.parametrize(
    ("scale", "rating", "percent"),
    [
        (RatingScale(), 70, 70.0),
        (RatingScale(1, 5), 1, 0.0),
        (RatingScale(1, 5), 4, 75.0),
        (RatingScale(1, 5), 0, 0.0),
        (RatingScale(1, 5), 100, 100.0),
        (RatingScale(0, 3), 1, 33.3),
    ],
)
def test_a_rating_is_read_on_its_scale(scale: RatingScale, rating: int, percent: float) -> None:
    assert scale.percent(rating) == percent


# --- the file changes -----------------------------------------------------------------------------------------------------------------


def test_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    customers = Customers.load(written(tmp_path, MINIMAL))
    assert customers.refresh() is None
    assert customers.refresh(even_unchanged=True) is True
    assert customers.reloads == 1


def test_changed_file_is_served_from_then_on(tmp_path: Path) -> None:
    customers = Customers.load(written(tmp_path, MINIMAL))
    before = customers["00000"]
    written(tmp_path, MINIMAL.replace("00000", "00001") + "max_itemtype = 7\n")
    assert list(customers) == ["00000"]
    assert customers.refresh() is True
    assert list(customers) == ["00001"]
    assert (before.rules.max_itemtype, customers["00001"].rules.max_itemtype) == (2_147_483_647, 7)
    assert customers.problem is None


def test_file_that_is_replaced_is_seen_as_changed(tmp_path: Path) -> None:
    path = written(tmp_path, MINIMAL)
    customers = Customers.load(path)
    stat_before = path.stat()
    new = tmp_path / "new"
    new.write_text(MINIMAL.replace("00000", "11111"))
    new.chmod(0o600)
    os.utime(new, ns=(stat_before.st_atime_ns, stat_before.st_mtime_ns))
    new.rename(path)
    assert customers.refresh() is True
    assert list(customers) == ["11111"]


@pytest.mark.parametrize("breakage", ["not toml", "wrong field", "gone", "open to others", "a directory"])
def test_wrong_file_changes_nothing_until_it_is_right_again(tmp_path: Path, breakage: str) -> None:
    path = written(tmp_path, MINIMAL)
    customers = Customers.load(path)
    if breakage == "not toml":
        written(tmp_path, MINIMAL[:-20])
    elif breakage == "wrong field":
        written(tmp_path, f"{MINIMAL}max_itemtype = 0\n")
    elif breakage == "open to others":
        path.chmod(0o644)
    else:
        path.unlink()
        if breakage == "a directory":
            path.mkdir(mode=0o700)
    assert customers.refresh() is False
    assert customers.refresh() is None  # reported once, not every second
    assert list(customers) == ["00000"]
    assert customers.problem is not None
    assert str(path) in customers.problem
    assert KEY not in customers.problem
    if breakage == "a directory":
        path.rmdir()
    written(tmp_path, f"{MINIMAL}max_itemtype = 9\n")
    assert customers.refresh() is True
    assert (customers.problem, customers["00000"].rules.max_itemtype) == (None, 9)
    assert (customers.reloads, customers.failed_reloads) == (1, 1)


def test_customers_of_no_file_never_change() -> None:
    assert Customers({}).refresh(even_unchanged=True) is None


def test_what_is_created_is_toml_that_names_the_page_of_its_fields(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    create_customers_file(path, "a.b-c_1")
    assert "docs/customers.md" in path.read_text()
    assert list(tomllib.loads(path.read_text())["customers"]) == ["a.b-c_1"]


TWO = (
    MINIMAL
    + f'''aliases = ["0", "x-0"]
[customers."00001"]
key_id = "k1"
pseudonym_key = "{KEY}"
'''
)


def test_alias_finds_its_customer_and_is_not_listed(tmp_path: Path) -> None:
    customers = Customers.load(written(tmp_path, TWO))
    assert customers["0"] is customers["x-0"] is customers["00000"]
    assert customers["0"].id == "00000"
    assert "0" in customers
    assert "1" not in customers
    assert (list(customers), len(customers)) == (["00000", "00001"], 2)
    assert [each.id for each in customers.values()] == ["00000", "00001"]


def test_alias_that_is_taken_out_of_the_file_is_unknown_again(tmp_path: Path) -> None:
    customers = Customers.load(written(tmp_path, TWO))
    written(tmp_path, MINIMAL)
    assert customers.refresh(even_unchanged=True) is True
    assert customers.get("0") is None


@pytest.mark.parametrize(
    ("aliases", "problem"),
    [
        ('["00000"]', "'00000' is already a customer"),
        ('["00001"]', "'00001' is already a customer"),
        ('["0"]', "'0' is already an alias of '00000'"),
        ('["a/b"]', "aliases"),
        ('[""]', "aliases"),
    ],
)
def test_alias_names_one_customer(tmp_path: Path, aliases: str, problem: str) -> None:
    with pytest.raises(CustomersError, match=problem):
        Customers.load(written(tmp_path, f"{TWO}aliases = {aliases}\n"))


def test_ids_without_a_profile_are_those_of_the_customer(tmp_path: Path) -> None:
    customers = Customers.load(written(tmp_path, f'{TWO}no_profile_users = ["Visitor", "!guest"]\n'))
    own = customers["00001"].rules
    assert [own.is_no_profile(each) for each in ("visitor", "guest", "null")] == [True, False, True]
    other = customers["00000"].rules
    assert [other.is_no_profile(each) for each in ("visitor", "guest", "null")] == [False, True, True]


@pytest.mark.parametrize("entries", ['["!null"]', '["!visitor"]', '[""]'])
def test_id_that_cannot_be_taken_out_is_refused(tmp_path: Path, entries: str) -> None:
    with pytest.raises(CustomersError, match="no_profile_users"):
        Customers.load(written(tmp_path, f"{TWO}no_profile_users = {entries}\n"))
