"""Commands that edit the customers file keep all other content, never leave half a file, and print no key but a new one."""

import json
import re
import stat
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from app.base.errors import UptakeError
from app.commands.customers import customers as command
from app.customers.customer_edit import add_customer, end_rotation, next_key_id, rotate_key
from app.customers.customer_fields import CustomerEntry
from app.customers.customer_registry import Customers, CustomersError, create_customers_file

FILE = f"""# whom we serve
[customers."00000"] # the first
key_id   =   "k1"  # spaces are kept
pseudonym_key = "{"ab" * 32}"
license_key = "8695-1828" # old
api_key = "an-api-key-of-00000"

[customers."00000".exclusions]
threshold = 3

# the other
[customers.other]
pseudonym_key = '{"cd" * 32}'
key_id = "main"
# the end"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "uptake.toml"
    file.write_text(FILE, encoding="utf-8")
    file.chmod(0o600)
    return file


def run(path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(command, [*arguments], env={"UPTAKE_CUSTOMERS_FILE": str(path)})


def comments(text: str) -> list[str]:
    return re.findall(r"#.*", text)


@pytest.mark.parametrize("key", ["license_key", "api_key", "pseudonym_key"])
@pytest.mark.parametrize("customer", ["00000", "other"])
def test_a_rotated_key_is_new_and_all_else_is_as_it_was(path: Path, customer: str, key: str) -> None:
    before = tomllib.loads(FILE)["customers"]
    changed = rotate_key(path, customer, key)  # type: ignore[arg-type]
    text = path.read_text()
    after = tomllib.loads(text)["customers"]
    assert {name: after[customer][name] for name in changed} == changed
    assert changed[key] != before[customer].get(key)
    for name in changed:
        after[customer].pop(name)
        before[customer].pop(name, None)
    assert after == before
    assert comments(text) == comments(FILE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
    Customers.load(path)


def test_a_rotated_pseudonym_key_leaves_the_former_as_the_previous(path: Path) -> None:
    former = Customers.load(path)["00000"].rules
    rotate_key(path, "00000", "pseudonym_key")
    now = Customers.load(path)["00000"].rules
    assert (now.previous_key_id, now.previous_pseudonym_key) == (former.key_id, former.pseudonym_key)
    assert now.previous_user("maxmustermann") == former.user("maxmustermann")
    assert (now.key_id, now.pseudonym_key != former.pseudonym_key) == ("k2", True)


def test_a_rotation_must_be_over_before_the_next(path: Path) -> None:
    rotate_key(path, "00000", "pseudonym_key")
    text = path.read_text()
    with pytest.raises(CustomersError, match="still has a previous_pseudonym_key"):
        rotate_key(path, "00000", "pseudonym_key")
    assert path.read_text() == text
    end_rotation(path, "00000")
    assert Customers.load(path)["00000"].rules.previous_key_id is None
    assert comments(path.read_text()) == comments(FILE)
    rotate_key(path, "00000", "pseudonym_key")
    assert Customers.load(path)["00000"].rules.key_id == "k3"
    with pytest.raises(CustomersError, match="has no previous"):
        end_rotation(path, "other")


@pytest.mark.parametrize(
    ("key_id", "following"),
    [("k1", "k2"), ("k9", "k10"), ("main", "main2"), ("2026-03", "2026-4"), ("a" * 16, "a" * 15 + "2")],
)
def test_keys_are_named_one_after_the_other(key_id: str, following: str) -> None:
    assert next_key_id(key_id) == following


@given(st.from_regex(r"[A-Za-z0-9_-]{1,16}", fullmatch=True))
def test_a_next_key_id_can_be_read_and_differs(key_id: str) -> None:
    following = next_key_id(key_id)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,16}", following)
    assert following != key_id


def test_an_added_customer_has_keys_of_its_own_and_nothing_else_changes(path: Path) -> None:
    added = add_customer(path, "shop.2")
    assert path.read_text().startswith(FILE)
    loaded = Customers.load(path)
    assert list(loaded) == ["00000", "other", "shop.2"]
    assert loaded["shop.2"] == added
    assert added.rules.pseudonym_key != loaded["00000"].rules.pseudonym_key
    with pytest.raises(CustomersError, match="exists already"):
        add_customer(path, "shop.2")


def test_the_first_customer_makes_the_file(tmp_path: Path) -> None:
    assert add_customer(tmp_path / "new.toml", "shop").id == "shop"
    assert stat.S_IMODE((tmp_path / "new.toml").stat().st_mode) == 0o600


@pytest.mark.parametrize("customer", ["a|b", "", 'x"]\n[y', "ü"])
def test_an_id_that_cannot_be_is_refused_and_the_file_left(path: Path, customer: str) -> None:
    with pytest.raises(CustomersError):
        add_customer(path, customer)
    assert path.read_text() == FILE
    assert list(path.parent.iterdir()) == [path]


def test_an_unknown_customer_has_no_key_to_rotate(path: Path) -> None:
    with pytest.raises(CustomersError, match="there is no customer 'shop'"):
        rotate_key(path, "shop", "api_key")


def test_a_file_written_in_another_form_is_changed_or_left_as_it_was(path: Path) -> None:
    inline = f'customers = {{ "1" = {{ key_id = "k1", pseudonym_key = "{"ab" * 32}" }} }}\n'
    path.write_text(inline)
    rotate_key(path, "1", "pseudonym_key")
    assert Customers.load(path)["1"].rules.key_id == "k2"
    path.write_text(inline)
    with pytest.raises(CustomersError, match="is left as it was"):
        add_customer(path, "2")
    assert path.read_text() == inline


def test_a_link_to_the_file_stays_a_link(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.toml"
    link.symlink_to(path)
    rotate_key(link, "00000", "api_key")
    assert link.is_symlink()
    assert Customers.load(path)["00000"].api_key != "an-api-key-of-00000"


def test_commands_at_the_same_time_take_turns(path: Path) -> None:
    threads = [threading.Thread(target=add_customer, args=(path, f"c{number}")) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Customers.load(path)) == 10


def test_what_a_killed_command_left_is_in_nobodys_way(path: Path) -> None:
    (path.parent / f".{path.name}.new").write_text("half")
    add_customer(path, "shop")
    assert list(path.parent.iterdir()) == [path]


# --- the command ----------------------------------------------------------------------------------------------------------------------


def secrets_of(path: Path) -> Iterator[str]:
    for table in tomllib.loads(path.read_text())["customers"].values():
        yield from (value for name, value in table.items() if name.endswith("key"))


def test_without_a_subcommand_the_ids_are_listed(path: Path) -> None:
    assert run(path).stdout == "00000\nother\n"


def test_create_writes_a_first_file_and_leaves_one_that_is_there(tmp_path: Path, path: Path) -> None:
    assert run(path, "--create", "shop").stdout == "00000\nother\n"
    assert path.read_text() == FILE
    assert run(tmp_path / "new.toml", "--create", "shop").stdout.endswith("shop\n")


@pytest.mark.parametrize("as_json", [False, True])
def test_a_list_shows_every_customer_and_no_key(path: Path, as_json: bool) -> None:
    rotate_key(path, "other", "pseudonym_key")
    shown = run(path, "list", *(["--json"] if as_json else [])).stdout
    assert [key for key in secrets_of(path) if key in shown] == []
    assert "main2" in shown
    if as_json:
        assert [entry["customer"] for entry in json.loads(shown)] == ["00000", "other"]
    else:
        assert len(shown.splitlines()) == 3


def test_a_new_key_is_printed_and_no_other(path: Path) -> None:
    former = set(secrets_of(path))
    result = run(path, "rotate-key", "00000", "--license-key")
    key = Customers.load(path)["00000"].rules.license_key
    assert result.stdout == f"license_key = {key}\n"
    assert [old for old in former if old in result.output] == []
    result = run(path, "rotate-key", "00000", "--pseudonym-key")
    assert result.stdout.splitlines()[0] == "key_id = k2"
    assert [old for old in former if old in result.output] == []


def test_an_added_customers_keys_are_printed(path: Path) -> None:
    result = run(path, "add", "shop")
    added = Customers.load(path)["shop"]
    assert result.stdout == f"license_key = {added.rules.license_key}\napi_key = {added.api_key}\n"


@pytest.mark.parametrize("options", [[], ["--license-key", "--api-key"], ["--api-key", "--drop-previous"]])
def test_exactly_one_key_is_rotated(path: Path, options: list[str]) -> None:
    result = run(path, "rotate-key", "00000", *options)
    assert isinstance(result.exception, UptakeError)
    assert path.read_text() == FILE


def test_a_file_may_be_named_before_or_after_the_subcommand(path: Path, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere.toml"
    for arguments in (
        ["--customers-file", str(path), "list", "--json"],
        ["list", "--customers-file", str(path), "--json"],
    ):
        assert len(json.loads(run(nowhere, *arguments).stdout)) == 2


def test_every_key_of_a_created_file_is_one_that_a_customer_has(tmp_path: Path) -> None:
    create_customers_file(tmp_path / "c.toml", "c")
    (table,) = tomllib.loads((tmp_path / "c.toml").read_text())["customers"].values()
    assert table.keys() <= set(CustomerEntry.__struct_fields__)


def test_a_key_is_rotated_under_an_alias_of_its_customer(path: Path) -> None:
    path.write_text(path.read_text().replace('key_id = "main"', 'key_id = "main"\naliases = ["0ther"]'))
    new = rotate_key(path, "0ther", "license_key")["license_key"]
    assert Customers.load(path)["other"].rules.license_key == new
