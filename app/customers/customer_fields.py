"""Fields of a ``[customers."..."]`` table of the customers file, and the Customer that they make.

docs/customers.md lists the fields; a test compares the page with this module.
"""

from datetime import tzinfo
from typing import Annotated, Any, Final

import msgspec

from app.customers.cors_origins import normalised_origin
from app.customers.customer import (
    CTR_DIMENSIONS,
    MAX_RATING,
    BotFilter,
    CtrDimension,
    Customer,
    RateLimit,
    RatingScale,
)
from app.customers.declared_experiments import DeclaredExperiment, ExperimentEntry, read_experiments
from app.customers.exclusion_rules import MAX_THRESHOLD, ExclusionRules, Reason, Within, parse_within
from app.customers.time_zones import find_time_zone
from events.money import CURRENCIES
from events.no_profile import no_profile_ids
from events.pseudonym import KEY_ID_PATTERN
from events.rules import Rules
from events.wire_values import MAX_ITEM_NUMBER, MAX_USER_CHARS, MAX_WORD_CHARS

KEY_BYTES: Final = 32
CUSTOMER_ID: Final = "[A-Za-z0-9._-]{1,64}"
_MAX_SCENARIOS: Final = 1_000
_MAX_EXPERIMENTS: Final = 100
_MAX_DIGITS: Final = 10  # of an item type
_Alias = Annotated[str, msgspec.Meta(pattern=rf"^{CUSTOMER_ID}\Z")]
_KeyId = Annotated[str, msgspec.Meta(pattern=rf"^{KEY_ID_PATTERN}\Z")]
_UserId = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_USER_CHARS)]
_Rating = Annotated[int, msgspec.Meta(ge=0, le=MAX_RATING)]


class FieldError(ValueError):
    """A field that is valid TOML but breaks one of our rules. The message never shows the value of a key."""


class _Exclusions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fields of ExclusionRules that a table sets; None where it leaves one out."""

    threshold: Annotated[int, msgspec.Meta(ge=1, le=MAX_THRESHOLD)] | None = None
    within: str | None = None
    consumed_at_least: Annotated[int, msgspec.Meta(ge=0, le=100)] | None = None
    reasons: tuple[Reason, ...] | None = None


class _Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    exclusions: _Exclusions = _Exclusions()


class _Scale(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    min: _Rating = 0
    max: _Rating = MAX_RATING


class _RateLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    events_per_second: Annotated[float, msgspec.Meta(gt=0, le=10_000_000)]
    burst: Annotated[int, msgspec.Meta(ge=1, le=100_000_000)] | None = None


_TrackOrScenario = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_WORD_CHARS)]


class CustomerEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ``[customers."..."]`` table, as written in the file."""

    pseudonym_key: str
    key_id: _KeyId
    previous_pseudonym_key: str | None = None
    previous_key_id: _KeyId | None = None
    license_key: Annotated[str, msgspec.Meta(min_length=8)] | None = None
    md5_signatures: bool = True
    require_credentials: bool = False
    api_key: Annotated[str, msgspec.Meta(min_length=16)] | None = None
    rate_limit: _RateLimit | None = None
    time_zone: str = "UTC"
    max_itemtype: Annotated[int, msgspec.Meta(ge=1, le=MAX_ITEM_NUMBER)] = MAX_ITEM_NUMBER
    string_items: bool = True
    consent_required: bool = False
    strict_scenario: bool = False
    scenario_of_unlabelled: _TrackOrScenario | None = None
    strict_price: bool = False
    aliases: Annotated[tuple[_Alias, ...], msgspec.Meta(max_length=100)] = ()
    no_profile_users: Annotated[tuple[_UserId, ...], msgspec.Meta(max_length=1_000)] = ()
    currency: str = "EUR"
    scenarios_of_tracks: Annotated[
        dict[_TrackOrScenario, _TrackOrScenario], msgspec.Meta(max_length=100_000)
    ] = msgspec.field(default_factory=dict)
    cors_origins: tuple[str, ...] = ("*",)
    rating_scale: _Scale = _Scale()
    rating_scales: dict[str, _Scale] = msgspec.field(default_factory=dict)
    bot_filter: BotFilter = "robots"
    showings_by_scenario: bool = False
    ctr_dimensions: tuple[CtrDimension, ...] = CTR_DIMENSIONS
    exclusions: _Exclusions = _Exclusions()
    scenarios: Annotated[dict[str, _Scenario], msgspec.Meta(max_length=_MAX_SCENARIOS)] = msgspec.field(
        default_factory=dict
    )
    experiments: Annotated[dict[str, ExperimentEntry], msgspec.Meta(max_length=_MAX_EXPERIMENTS)] = (
        msgspec.field(default_factory=dict)
    )


FIELDS: Final = CustomerEntry.__struct_fields__
"""The names of all fields of a customer in the file."""
EXCLUSION_FIELDS: Final = _Exclusions.__struct_fields__


def read_customer(customer_id: str, table: Any) -> Customer:
    """Return the customer that one table describes; raise msgspec.ValidationError or FieldError if it is not valid."""
    entry = msgspec.convert(table, CustomerEntry)
    _check_keys(entry)
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
        md5_signatures=entry.md5_signatures,
        time_zone=_time_zone(entry.time_zone),
        max_itemtype=entry.max_itemtype,
        string_items=entry.string_items,
        strict_scenario=entry.strict_scenario,
        scenario_of_unlabelled=entry.scenario_of_unlabelled,
        strict_price=entry.strict_price,
        aliases=frozenset(entry.aliases),
        currency=_currency(entry.currency),
        scenarios_of_tracks=entry.scenarios_of_tracks,
        consent_required=entry.consent_required,
        no_profile_users=_no_profile_users(entry.no_profile_users),
    )
    exclusions = _exclusions("exclusions", entry.exclusions, ExclusionRules())
    limit = entry.rate_limit
    return Customer(
        rules,
        frozenset([_origin(text) for text in entry.cors_origins]),
        exclusions,
        entry.api_key,
        entry.require_credentials,
        None if limit is None else RateLimit(limit.events_per_second, _burst(limit)),
        {
            _scenario(name): _exclusions(f"scenarios.{name}.exclusions", scenario.exclusions, exclusions)
            for name, scenario in entry.scenarios.items()
        },
        _scale("rating_scale", entry.rating_scale),
        {
            _itemtype(number, entry.max_itemtype): _scale(f"rating_scales.{number}", scale)
            for number, scale in entry.rating_scales.items()
        },
        entry.bot_filter,
        entry.showings_by_scenario,
        _experiments(entry.experiments),
        frozenset(entry.ctr_dimensions),
    )


def _check_keys(entry: CustomerEntry) -> None:
    if (entry.previous_pseudonym_key is None) != (entry.previous_key_id is None):
        raise FieldError("set both previous_pseudonym_key and previous_key_id, or neither")
    if entry.previous_key_id == entry.key_id:
        raise FieldError("previous_key_id must differ from key_id")
    if entry.require_credentials and entry.license_key is None:
        raise FieldError(
            "require_credentials needs a license_key: without one the collector would refuse every request"
        )


def _key(name: str, text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) < KEY_BYTES:
        raise FieldError(
            f"{name} must be at least {2 * KEY_BYTES} hex digits, as `openssl rand -hex {KEY_BYTES}` prints"
        )
    return key


def _time_zone(name: str) -> tzinfo:
    zone = find_time_zone(name)
    if zone is None:
        raise FieldError(f"time_zone {name!r} is not a zone of the IANA list, as in Europe/Berlin")
    return zone


def _currency(code: str) -> str:
    if code not in CURRENCIES:
        raise FieldError(f"currency {code[:40]!r} is not a code of ISO 4217, as in EUR")
    return code


def _no_profile_users(entries: tuple[str, ...]) -> frozenset[str]:
    try:
        return no_profile_ids(entries)
    except ValueError as error:
        raise FieldError(f"no_profile_users: {error}") from None


def _origin(text: str) -> str:
    """Return an origin as a browser sends it."""
    origin = normalised_origin(text)
    if origin is None:
        raise FieldError(
            f"cors_origins: {text[:80]!r} is not an origin, as in https://shop.example or http://localhost:3000; "
            "list each host, without a path and without *."
        )
    return origin


def _burst(limit: _RateLimit) -> int:
    """Return how many events may arrive at once; if the file does not say, as many as one second allows."""
    return limit.burst if limit.burst is not None else max(1, round(limit.events_per_second))


def _scenario(name: str) -> str:
    if not 0 < len(name) <= MAX_WORD_CHARS:
        raise FieldError(f"scenarios: a scenario's name has 1 to {MAX_WORD_CHARS} characters")
    return name


def _itemtype(text: str, max_itemtype: int) -> int:
    if not (
        text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS and 1 <= int(text) <= max_itemtype
    ):
        raise FieldError(
            f"rating_scales: {text[:40]!r} is not an item type from 1 to max_itemtype ({max_itemtype})"
        )
    return int(text)


def _experiments(entries: dict[str, ExperimentEntry]) -> dict[str, DeclaredExperiment]:
    try:
        return read_experiments(entries)
    except ValueError as error:
        raise FieldError(f"experiments: {error}") from None


def _scale(name: str, scale: _Scale) -> RatingScale:
    if scale.min >= scale.max:
        raise FieldError(f"{name}: min must be below max, both from 0 to {MAX_RATING}")
    return RatingScale(scale.min, scale.max)


def _exclusions(name: str, given: _Exclusions, defaults: ExclusionRules) -> ExclusionRules:
    return defaults.override(
        threshold=given.threshold,
        within=None if given.within is None else _within(f"{name}.within", given.within),
        consumed_at_least=given.consumed_at_least,
        reasons=given.reasons,
    )


def _within(name: str, text: str) -> Within:
    within = parse_within(text)
    if within is None:
        raise FieldError(f'{name} {text!r} must be a duration as in PT30M or P7D, or "session", or "ever"')
    return within
