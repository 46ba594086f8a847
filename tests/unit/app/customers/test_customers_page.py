"""docs/customers.md matches the code: fields and defaults, the example, and the signatures that openssl makes."""

import re
import tomllib
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest

from app.customers.customer_fields import EXCLUSION_FIELDS, FIELDS, CustomerEntry, read_customer
from app.customers.exclusion_rules import ExclusionRules
from events.signature import is_valid, sign_v2
from events.target import RawPath, Target, read_target, split_path
from tests.support.tracker import LICENSE_KEY

PAGE = (Path(__file__).parents[4] / "docs" / "customers.md").read_text(encoding="utf-8")
ROWS = {
    name: cells.split(" | ")[0].strip("` ")
    for names, cells in re.findall(r"^\| (`[a-z_0-9`, ]+`) \| (.+) \|$", PAGE, re.MULTILINE)
    for name in re.findall(r"`(\w+)`", names)
}
VECTORS = re.findall(r"^\| `(/api/[^`]+)` \| `(v2:[0-9a-f]{64})` \|$", PAGE, re.MULTILINE)
MINIMAL = {"key_id": "k1", "pseudonym_key": "00" * 32}


def test_every_field_is_listed_and_no_other() -> None:
    assert ROWS.keys() == {*FIELDS, *EXCLUSION_FIELDS}


@pytest.mark.parametrize("name", FIELDS)
def test_default_of_a_field_is_the_one_on_the_page(name: str) -> None:
    default = {field.name: field for field in msgspec.structs.fields(CustomerEntry)}[name]
    shown = ROWS[name]
    if default.required:
        assert shown == "required"
    elif shown == "none":
        assert default.default is None
    elif shown != "below":
        value = tomllib.loads(f"{name} = {shown}")
        assert read_customer("c", {**MINIMAL, **value}) == read_customer("c", MINIMAL)
        assert msgspec.convert({**MINIMAL, **value}, CustomerEntry) == msgspec.convert(MINIMAL, CustomerEntry)


def test_defaults_of_exclusions_are_those_on_the_page() -> None:
    shown = {name: ROWS[name] for name in EXCLUSION_FIELDS if name != "reasons"}
    text = "\n".join(f"{name} = {value}" for name, value in shown.items())
    made = read_customer("c", {**MINIMAL, "exclusions": tomllib.loads(text)})
    assert made.exclusions == ExclusionRules()
    assert ROWS["reasons"] == "all but `clicked"


def test_example_can_be_read() -> None:
    (example,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (table,) = tomllib.loads(example)["customers"].values()
    table |= {"pseudonym_key": "5e" * 32, "api_key": "r6Zr" * 4}
    customer = read_customer("00000", table)
    assert customer.exclusions_of("also_bought").reasons == {"rendered", "bought", "basket"}
    assert customer.exclusions_of("also_bought").threshold == customer.exclusions.threshold == 3


@pytest.mark.parametrize(("request_target", "signature"), VECTORS)
def test_signature_on_the_page_is_the_one_we_make(request_target: str, signature: str) -> None:
    raw_path, _, raw_query = request_target.partition("?")
    path = split_path(raw_path)
    assert isinstance(path, RawPath)
    target = read_target(path, raw_query)
    assert isinstance(target, Target)
    made = sign_v2(target.customer, target.event, target.segments, LICENSE_KEY, target.params)
    assert made == signature
    assert is_valid(target.customer, target.event, target.segments, LICENSE_KEY, target.params, signature)


def test_the_openssl_command_signs_the_first_request_on_the_page() -> None:
    assert len(VECTORS) == 5
    text = re.findall(r"^\$ text='(.+)'$", PAGE, re.MULTILINE)[0]
    assert f"stdin)= {VECTORS[0][1].removeprefix('v2:')}" in PAGE
    segments = ["00000", "buy", "maxmustermann", "1", "11", LICENSE_KEY]
    query = VECTORS[0][0].partition("?")[2]
    assert text == "&".join([quote(segment) for segment in segments] + [query])
