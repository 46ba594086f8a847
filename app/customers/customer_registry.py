"""The customers of ``uptake.toml``, reloaded when the file changes.

The file holds secrets, so only its owner may read it (mode 600).
"""

import os
import re
import secrets
import stat
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from app.base.errors import UptakeError
from app.customers.customer import Customer
from app.customers.customer_fields import CUSTOMER_ID, KEY_BYTES, FieldError, read_customer

_CUSTOMER: Final = re.compile(CUSTOMER_ID)


class CustomersError(UptakeError):
    """The customers file cannot be used. The message names the problem and the remedy."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class Customers(Mapping[str, Customer]):
    """All customers of this process, by id; an alias finds its customer, too. ``refresh`` reloads those that a file defines."""

    def __init__(self, customers: Mapping[str, Customer], path: Path | None = None) -> None:
        """``path`` is the file that defines the customers; without one they never change."""
        self._replace(customers)
        self.path = path
        self.problem: str | None = None
        """Why this process does not serve the file as it is now; None while it does."""
        self.reloads = 0
        self.failed_reloads = 0
        self._stamp: _Stamp | None = None

    @classmethod
    def load(cls, path: Path) -> "Customers":
        """Read a customers file; raise CustomersError if it is missing, others may read it, or a field is not valid."""
        stamp = _stamp_of(path)  # before the read: a change during it causes another read
        customers = cls(_read_file(path), path)
        customers._stamp = stamp
        return customers

    def warnings(self) -> list[str]:
        """Return sentences for the operator: one if this process does not serve the file as it is now, else none."""
        if self.problem is None:
            return []
        return [
            f"the customers file changed and is not valid; the previous customers stay active: {self.problem}"
        ]

    def refresh(self, *, even_unchanged: bool = False) -> bool | None:
        """Read the file again if it changed, and replace all customers at once.

        Return True if the new file is served now, False if it is not valid and the previous customers stay, None if nothing
        changed. A request in progress keeps the customer that it has.
        """
        if self.path is None:
            return None
        stamp = _stamp_of(self.path)
        if stamp == self._stamp and not even_unchanged:
            return None
        self._stamp = stamp
        try:
            self._replace(_read_file(self.path))
        except CustomersError as error:
            self.problem = str(error)
            self.failed_reloads += 1
            return False
        self.problem = None
        self.reloads += 1
        return True

    def _replace(self, customers: Mapping[str, Customer]) -> None:
        aliases = {alias: each for each in customers.values() for alias in each.rules.aliases}
        self._customers, self._by_name = dict(customers), {**aliases, **customers}

    def __getitem__(self, customer_id: str) -> Customer:
        return self._by_name[customer_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._customers)

    def __len__(self) -> int:
        return len(self._customers)


def create_customers_file(path: Path, customer_id: str, license_key: str | None = None) -> Customer:
    """Write a new customers file (mode 600) with one customer and fresh random keys; return that customer.

    Raise CustomersError if the file exists. Lost keys cannot be made again, and with new keys every pseudonym would change.
    """
    text = _FILE_HEAD + table_text(customer_id, license_key)
    _check_id(path, customer_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise CustomersError(
            path, "exists already; it is not overwritten, because it holds the only copy of its keys"
        ) from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return Customers.load(path)[customer_id]


_FILE_HEAD: Final = """\
# The customers of this Uptake; docs/customers.md describes every field. Secret: keep this file at mode 600.
# Keep a copy of it: with a new pseudonym_key every user becomes a new user.
"""
_TABLE: Final = """\
[customers."{customer}"]
license_key = "{license_key}"
key_id = "k1"
pseudonym_key = "{pseudonym_key}"
api_key = "{api_key}" # for lookups at workers that do not listen on loopback: Authorization: Bearer ...
"""


def new_license_key() -> str:
    """Return a license key: 128 random bits, in groups that are easy to read aloud."""
    return "-".join(secrets.token_hex(4) for _ in range(4))


def new_pseudonym_key() -> str:
    """Return a pseudonym key, as hex digits."""
    return secrets.token_hex(KEY_BYTES)


def new_api_key() -> str:
    """Return an API key."""
    return secrets.token_urlsafe(KEY_BYTES)


def table_text(customer_id: str, license_key: str | None = None) -> str:
    """Return the table of a new customer, with fresh keys."""
    return _TABLE.format(
        customer=customer_id,
        license_key=license_key or new_license_key(),
        pseudonym_key=new_pseudonym_key(),
        api_key=new_api_key(),
    )


_Stamp = tuple[int, int, int, int]


def _stamp_of(path: Path) -> _Stamp | None:
    """Return values that change when the file changes; None if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino, stat.S_IMODE(found.st_mode)


def _read_file(path: Path) -> dict[str, Customer]:
    customers: dict[str, Customer] = {}
    for customer_id, table in _read_tables(path).items():
        _check_id(path, customer_id)
        try:
            customers[customer_id] = read_customer(customer_id, table)
        except (msgspec.ValidationError, FieldError) as error:
            raise CustomersError(path, f'[customers."{customer_id}"]: {error}') from None
    _check_aliases(path, customers)
    return customers


def _check_aliases(path: Path, customers: Mapping[str, Customer]) -> None:
    names = dict.fromkeys(customers, "a customer")
    for customer_id, customer in customers.items():
        for alias in sorted(customer.rules.aliases):
            if alias in names:
                raise CustomersError(
                    path, f'[customers."{customer_id}"]: aliases: {alias!r} is already {names[alias]}'
                )
            names[alias] = f"an alias of {customer_id!r}"


def _check_id(path: Path, customer_id: str) -> None:
    if _CUSTOMER.fullmatch(customer_id) is None:
        raise CustomersError(
            path, f"customer id {customer_id!r} must be 1-64 letters, digits, '.', '_' or '-'"
        )


def _read_tables(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise CustomersError(
                    path, f"its mode is {mode:o}, others may read the keys; run: chmod 600 {path}"
                )
            document = tomllib.load(file)
    except FileNotFoundError:
        raise CustomersError(
            path,
            "there is no such file; `uptake customers --create 00000` writes one, or set UPTAKE_CUSTOMERS_FILE to yours",
        ) from None
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CustomersError(path, f"cannot be read: {error}") from None
    tables = document.pop("customers", None)
    if document:
        raise CustomersError(path, f'knows only [customers."..."], not {", ".join(sorted(document))}')
    if not isinstance(tables, dict) or not tables:
        raise CustomersError(path, 'names no customer; it needs a table [customers."00000"]')
    return tables
