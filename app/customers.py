"""Whom do we serve, and under which keys: the customers of ``uptake.toml``, read once when a process starts.

The file holds secrets, so it must be readable by its owner only (mode 600).
"""

import os
import re
import secrets
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

import msgspec

from app.errors import UptakeError
from events.duration import parse_duration_ms
from events.fields import MAX_ITEM_NUMBER
from events.rules import Rules

KEY_BYTES: Final = 32
_KEY_ID: Final = r"^[A-Za-z0-9_-]{1,16}\Z"
_CUSTOMER: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SESSION: Final = "session"


class CustomersError(UptakeError):
    """The customers file cannot be used. The message says what is wrong with it and what to do."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


@dataclass(frozen=True, slots=True)
class ExclusionDefaults:
    """What an exclusion lookup uses when the caller names no threshold or duration. ``within_ms`` None: the session."""

    threshold: int = 2
    within_ms: int | None = 30 * 60_000


@dataclass(frozen=True, slots=True)
class Customer:
    """One customer: the rules for its events, and how it is answered."""

    rules: Rules
    cors_origins: frozenset[str] = frozenset(("*",))
    exclusions: ExclusionDefaults = field(default_factory=ExclusionDefaults)
    api_key: str | None = field(default=None, repr=False)
    """What a lookup must bring where the worker does not listen on loopback; without one it is refused there."""

    @property
    def id(self) -> str:
        """The customer's id, a string: ``00000`` is not ``0``."""
        return self.rules.customer


class Customers(Mapping[str, Customer]):
    """All customers of this process, by id."""

    def __init__(self, customers: Mapping[str, Customer]) -> None:
        self._customers = dict(customers)

    @classmethod
    def load(cls, path: Path) -> "Customers":
        """Read a customers file; raise CustomersError when it is missing, open to others, or wrong in a field."""
        return cls({customer.id: customer for customer in _read_file(path)})

    def __getitem__(self, customer_id: str) -> Customer:
        return self._customers[customer_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._customers)

    def __len__(self) -> int:
        return len(self._customers)


def create_customers_file(path: Path, customer_id: str, license_key: str | None = None) -> Customer:
    """Write a new customers file (mode 600) with one customer and fresh random keys; return that customer.

    Raises CustomersError when the file is there already: keys that are lost cannot be made again, and with them every
    pseudonym would change.
    """
    text = _TEMPLATE.format(
        customer=customer_id,
        license_key=license_key or "-".join(secrets.token_hex(4) for _ in range(4)),
        pseudonym_key=secrets.token_hex(KEY_BYTES),
        api_key=secrets.token_urlsafe(KEY_BYTES),
    )
    if _CUSTOMER.fullmatch(customer_id) is None:
        raise CustomersError(
            path, f"customer id {customer_id!r} must be 1-64 letters, digits, '.', '_' or '-'"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise CustomersError(
            path, "is there already; it is not overwritten, it holds the only copy of its keys"
        ) from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return Customers.load(path)[customer_id]


_TEMPLATE: Final = """\
# The customers of this Uptake. Secret: keep this file at mode 600, and keep a copy: a new pseudonym_key makes every user a new one.
[customers."{customer}"]
license_key = "{license_key}"
key_id = "k1"
pseudonym_key = "{pseudonym_key}"
api_key = "{api_key}" # what lookups bring where a worker does not listen on loopback: Authorization: Bearer ...
"""


class _Exclusions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    threshold: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 2
    within: str = "PT30M"


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ``[customers."..."]`` table of the file, as written."""

    pseudonym_key: str
    key_id: Annotated[str, msgspec.Meta(pattern=_KEY_ID)]
    previous_pseudonym_key: str | None = None
    previous_key_id: Annotated[str, msgspec.Meta(pattern=_KEY_ID)] | None = None
    license_key: Annotated[str, msgspec.Meta(min_length=8)] | None = None
    api_key: Annotated[str, msgspec.Meta(min_length=16)] | None = None
    time_zone: str = "UTC"
    max_itemtype: Annotated[int, msgspec.Meta(ge=1, le=MAX_ITEM_NUMBER)] = 5
    string_items: bool = True
    strict_scenario: bool = False
    cors_origins: tuple[str, ...] = ("*",)
    exclusions: _Exclusions = _Exclusions()


def _read_file(path: Path) -> Iterator[Customer]:
    for customer_id, table in _read_tables(path).items():
        if _CUSTOMER.fullmatch(customer_id) is None:
            raise CustomersError(
                path, f"customer id {customer_id!r} must be 1-64 letters, digits, '.', '_' or '-'"
            )
        try:
            yield _customer(customer_id, msgspec.convert(table, _Entry))
        except (msgspec.ValidationError, _FieldError) as error:
            raise CustomersError(path, f'[customers."{customer_id}"]: {error}') from None


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


class _FieldError(ValueError):
    """A field that is well-formed TOML but breaks a rule of ours. Never shows the value of a key."""


def _customer(customer_id: str, entry: _Entry) -> Customer:
    if (entry.previous_pseudonym_key is None) != (entry.previous_key_id is None):
        raise _FieldError("previous_pseudonym_key and previous_key_id go together")
    if entry.previous_key_id == entry.key_id:
        raise _FieldError("previous_key_id must differ from key_id")
    rules = Rules(
        customer=customer_id,
        key_id=entry.key_id,
        pseudonym_key=_key("pseudonym_key", entry.pseudonym_key),
        previous_key_id=entry.previous_key_id,
        previous_pseudonym_key=(
            None
            if entry.previous_pseudonym_key is None
            else _key("previous_pseudonym_key", entry.previous_pseudonym_key)
        ),
        license_key=entry.license_key,
        time_zone=_time_zone(entry.time_zone),
        max_itemtype=entry.max_itemtype,
        string_items=entry.string_items,
        strict_scenario=entry.strict_scenario,
    )
    defaults = ExclusionDefaults(entry.exclusions.threshold, _within_ms(entry.exclusions.within))
    return Customer(rules, frozenset(entry.cors_origins), defaults, entry.api_key)


def _key(name: str, text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) < KEY_BYTES:
        raise _FieldError(
            f"{name} must be at least {2 * KEY_BYTES} hex digits, as `openssl rand -hex {KEY_BYTES}` prints"
        )
    return key


def _time_zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise _FieldError(f"time_zone {name!r} is not a zone of the IANA list, as in Europe/Berlin") from None


def _within_ms(text: str) -> int | None:
    if text == _SESSION:
        return None
    duration_ms = parse_duration_ms(text)
    if duration_ms is None:
        raise _FieldError(f'exclusions.within {text!r} must be a duration as in PT30M or P7D, or "session"')
    return duration_ms
