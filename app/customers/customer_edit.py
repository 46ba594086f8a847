"""Edits of the customers file: add a customer or rotate a key, and keep comments and everything else.

The new file is written to the same directory (mode 600), read back and checked, synced, and renamed over the old one. A reader sees
the old file or the new one, never a mixture. Commands that run at the same time wait for each other.
"""

import fcntl
import os
import re
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import tomlkit
from tomlkit.items import Table

from app.base.durable_files import sync_directory
from app.customers.customer import Customer
from app.customers.customer_registry import (
    Customers,
    CustomersError,
    create_customers_file,
    new_api_key,
    new_license_key,
    new_pseudonym_key,
    table_text,
)

KeyName = Literal["license_key", "api_key", "pseudonym_key"]
_MAX_KEY_ID_CHARS: Final = 16
_PREVIOUS: Final = ("previous_key_id", "previous_pseudonym_key")


def add_customer(path: Path, customer_id: str) -> Customer:
    """Add a customer with fresh keys and return it; create the file if it does not exist."""
    if not path.exists():
        return create_customers_file(path, customer_id)
    with _locked(path) as file:
        if customer_id in Customers.load(file):
            raise CustomersError(path, f"customer {customer_id!r} exists already; its keys are kept")
        text = file.read_text(encoding="utf-8")
        _replace(file, f"{text.rstrip()}\n\n{table_text(customer_id)}")
        return Customers.load(file)[customer_id]


def rotate_key(path: Path, customer_id: str, key: KeyName) -> dict[str, str]:
    """Give a customer a new key; return the new fields. A replaced pseudonym key becomes the previous one.

    Raise CustomersError until an earlier rotation of the pseudonym key has ended: see ``end_rotation``.
    """

    def change(table: Table) -> dict[str, str]:
        if key != "pseudonym_key":
            return {key: new_license_key() if key == "license_key" else new_api_key()}
        if any(name in table for name in _PREVIOUS):
            raise CustomersError(
                path,
                f'[customers."{customer_id}"] still has a previous_pseudonym_key; run `uptake customers rotate-key ID --drop-previous`, '
                "which forgets users without an event since the last rotation, then rotate again",
            )
        former = str(table["key_id"])
        return {
            "previous_key_id": former,
            "previous_pseudonym_key": str(table["pseudonym_key"]),
            "key_id": next_key_id(former),
            "pseudonym_key": new_pseudonym_key(),
        }

    return _change(path, customer_id, change)


def end_rotation(path: Path, customer_id: str) -> None:
    """Forget the previous pseudonym key of a customer."""

    def change(table: Table) -> dict[str, str | None]:
        if not any(name in table for name in _PREVIOUS):
            raise CustomersError(path, f'[customers."{customer_id}"] has no previous_pseudonym_key')
        return dict.fromkeys(_PREVIOUS)

    _change(path, customer_id, change)


def next_key_id(key_id: str) -> str:
    """Return the id of the next key: ``k2`` after ``k1``. An id without a number gets a 2."""
    name, number = re.fullmatch(r"(.*?)([0-9]*)", key_id, re.DOTALL).groups()  # type: ignore[union-attr] # it always matches
    following = str(int(number) + 1) if number else "2"
    return name[: _MAX_KEY_ID_CHARS - len(following)] + following[-_MAX_KEY_ID_CHARS:]


def _change(path: Path, customer_id: str, change: Callable[[Table], Any]) -> dict[str, str]:
    """Set fields of one customer; None removes a field. Nothing else in the file changes."""
    with _locked(path) as file:
        known = Customers.load(file).get(customer_id)
        if known is None:
            raise CustomersError(path, f"there is no customer {customer_id!r}")
        customer_id = known.id  # it may be an alias
        text = file.read_text(encoding="utf-8")
        document = tomlkit.parse(text)
        tables: Any = document["customers"]
        table = tables[customer_id]
        fields: dict[str, Any] = change(table)
        for name, value in fields.items():
            if value is None:
                table.pop(name, None)
            else:
                table[name] = value
        expected = tomllib.loads(text)
        expected["customers"][customer_id] |= fields
        for name in [name for name, value in fields.items() if value is None]:
            expected["customers"][customer_id].pop(name)
        changed = tomlkit.dumps(document)
        if tomllib.loads(changed) != expected:
            raise CustomersError(path, f"cannot be changed as it is written; set {', '.join(fields)} by hand")
        _replace(file, changed)
    return fields


@contextmanager
def _locked(path: Path) -> Iterator[Path]:
    """Lock the file against other commands and yield it; ``path`` may be a link to it."""
    file = path.resolve()
    try:
        directory = os.open(file.parent, os.O_RDONLY)
    except OSError as error:
        raise CustomersError(path, f"cannot be changed: {error.strerror}") from None
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield file
    except OSError as error:
        raise CustomersError(path, f"cannot be changed: {error.strerror}") from None
    finally:
        os.close(directory)


def _replace(path: Path, text: str) -> None:
    """Replace the file, and keep its owner, after the new one was read back without an error."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)  # left by a command that was killed
    before = path.stat()
    try:
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()) and os.geteuid() == 0:
                os.fchown(handle, before.st_uid, before.st_gid)
            os.fsync(handle)
        try:
            Customers.load(new)
        except CustomersError as error:
            raise CustomersError(
                path, f"is left as it was, because the changed file would not be valid: {error.problem}"
            ) from None
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
