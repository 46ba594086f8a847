"""Query parameters and JSON bodies of lookups, parsed and checked. An invalid one raises RefusedError with a sentence."""

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from app.customers.customer import Customer
from app.customers.exclusion_rules import MAX_THRESHOLD, REASONS, ExclusionRules, Reason, Within, parse_within
from app.lookup.query_params import Params, bad_value, bounded
from app.lookup.rotation import Rotation
from events import json_bodies, tracker_fields
from events.duration import parse_duration_ms
from events.event_time import in_ms
from events.rejections import RefusedError
from events.wire_values import MAX_ITEM_CHARS, MAX_WORD_CHARS
from tables.ctr.window_keys import MAX_TIME_MS

_MAX_CANDIDATES: Final = 10_000
_MAX_USERS: Final = 1_000
_MAX_PAIRS: Final = 200_000  # users x candidates of one request: about 0.2 s of one core
_MAX_STRENGTH: Final = 0.99  # with 32 known showings the factor stays above 0

Text = Annotated[str, msgspec.Meta(max_length=MAX_ITEM_CHARS)]


class RotationBody(msgspec.Struct, forbid_unknown_fields=True):
    """``rotation`` of a filter: see ``app.lookup.exclusions.rotation_factor``."""

    half_life: str = "PT24H"
    strength: float = 0.5


class FilterBody(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON of a filter. ``users`` (raw ids) belongs only to a filter for many users.

    A field that is left out has the default of the scenario, or else of the customer.
    """

    candidates: Annotated[list[Text | int], msgspec.Meta(max_length=_MAX_CANDIDATES)]
    itemtype: int = 1
    scenario: Text | None = None
    scope: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=0)] | None = None
    exclude: list[str] | None = None
    threshold: int | None = None
    within: str | None = None
    consumed_at_least: int | None = None
    rotation: RotationBody | None = None
    as_of_ms: int | None = None
    max_stale_ms: int | None = None
    users: Annotated[list[str], msgspec.Meta(min_length=1, max_length=_MAX_USERS)] | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """A checked filter. With ``rotation`` nothing is dropped, and ``limit`` and ``rules`` do not apply."""

    candidates: list[str]
    rules: ExclusionRules
    itemtype: int
    limit: int | None
    rotation: Rotation | None
    as_of_ms: int
    users: list[str]
    max_stale_ms: int | None
    in_scenario: str | None = None
    """Only showings in this scenario count. None: all showings."""


@dataclass(frozen=True, slots=True)
class ExclusionsQuery:
    """A checked exclusions lookup. ``itemtype`` None: items of every type."""

    rules: ExclusionRules
    itemtype: int | None
    as_of_ms: int
    in_scenario: str | None = None
    """Only showings in this scenario count. None: all showings."""


def read_exclusions(params: Params, customer: Customer, now_ms: int) -> ExclusionsQuery:
    """Return the exclusions lookup that the parameters describe. Rules that are left out are the scenario's, or else the customer's."""
    itemtype = params.take("itemtype")
    reasons = params.take("reasons")
    scenario = params.take("scenario")
    if scenario is not None and len(scenario) > MAX_WORD_CHARS:
        raise bad_value("scenario", f"takes at most {MAX_WORD_CHARS} characters", scenario)
    in_scenario = _in_scenario(params.take("scope"), scenario, customer)
    rules = _rules(
        customer.exclusions_of(scenario),
        params.integer("threshold", 1, MAX_THRESHOLD),
        params.take("within"),
        params.integer("consumed_at_least", 0, 100),
        None if reasons is None else reasons.split(","),
        "reasons",
    )
    return ExclusionsQuery(
        rules,
        None if itemtype is None else tracker_fields.itemtype(itemtype, customer.rules),
        read_as_of(params, now_ms),
        in_scenario,
    )


def _in_scenario(scope: str | None, scenario: str | None, customer: Customer) -> str | None:
    """Return the scenario whose showings alone count, None if all showings count."""
    if scope is None or scope == "all":
        return None
    if scope != "scenario":
        raise bad_value("scope", "takes scenario or all", scope)
    if scenario is None:
        raise RefusedError("bad_parameter", "scope=scenario needs the parameter scenario", "scenario")
    if not customer.showings_by_scenario:
        sentence = "scope=scenario needs showings_by_scenario = true in the customers file"
        raise RefusedError("bad_parameter", sentence, "scope")
    return scenario


def read_as_of(params: Params, now_ms: int) -> int:
    """Return ``as_of_ms`` of a lookup; now if it is not given."""
    as_of_ms = params.integer("as_of_ms", 0, MAX_TIME_MS)
    return now_ms if as_of_ms is None else in_ms("as_of_ms", as_of_ms)


def read_max_stale(params: Params) -> int | None:
    """Return the greatest age of a copy that may answer; None if only the owner may answer."""
    return params.integer("max_stale_ms", 0, MAX_TIME_MS)


def read_filter(raw: bytes, customer: Customer, now_ms: int, *, is_for_many: bool) -> Filter:
    """Return the filter that a JSON body describes."""
    try:
        body = msgspec.json.decode(raw, type=FilterBody)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError("bad_body", f"the body is not the JSON of a filter: {error}") from None
    twice = json_bodies.repeated_key(raw)
    if twice is not None:
        raise RefusedError("duplicate_parameter", f"{twice}: give it once", twice)
    if is_for_many != (body.users is not None):
        hint = "name them in `users`" if is_for_many else "`users` belongs to POST /v1/{customer}/filter"
        raise RefusedError("bad_body", f"whose candidates? {hint}", "users")
    users = [tracker_fields.raw_user(user, "users") for user in body.users or ()]
    if len(users) * len(body.candidates) > _MAX_PAIRS:
        raise RefusedError(
            "bad_body", f"users x candidates is at most {_MAX_PAIRS}; split the request", "users"
        )
    itemtype = tracker_fields.itemtype(str(body.itemtype), customer.rules)
    if body.threshold is not None:
        bounded("threshold", body.threshold, 1, MAX_THRESHOLD)
    if body.consumed_at_least is not None:
        bounded("consumed_at_least", body.consumed_at_least, 0, 100)
    if body.as_of_ms is not None:
        in_ms("as_of_ms", bounded("as_of_ms", body.as_of_ms, 0, MAX_TIME_MS))
    if body.max_stale_ms is not None:
        bounded("max_stale_ms", body.max_stale_ms, 0, MAX_TIME_MS)
    rules = _rules(
        customer.exclusions_of(body.scenario),
        body.threshold,
        body.within,
        body.consumed_at_least,
        body.exclude,
        "exclude",
    )
    return Filter(
        [str(candidate) for candidate in body.candidates],
        rules,
        itemtype,
        body.limit,
        None if body.rotation is None else _rotation(body.rotation),
        now_ms if body.as_of_ms is None else body.as_of_ms,
        users,
        body.max_stale_ms,
        _in_scenario(body.scope, body.scenario, customer),
    )


def _rules(
    defaults: ExclusionRules,
    threshold: int | None,
    within: str | None,
    consumed_at_least: int | None,
    reasons: list[str] | None,
    parameter: str,
) -> ExclusionRules:
    span = None if within is None else _within(within)
    known: set[Reason] = set()
    for reason in reasons or ():
        if reason not in REASONS:
            raise bad_value(parameter, f"takes any of {', '.join(REASONS)}", reason)
        known.add(reason)
    return defaults.override(
        threshold=threshold,
        within=span,
        consumed_at_least=consumed_at_least,
        reasons=None if reasons is None else known,
    )


def _within(text: str) -> Within:
    within = parse_within(text)
    if within is None:
        raise bad_value("within", "must be a duration as in PT30M or P7D, or session, or ever", text)
    return within


def _rotation(body: RotationBody) -> Rotation:
    half_life_ms = parse_duration_ms(body.half_life)
    if half_life_ms is None:
        raise bad_value("rotation.half_life", "must be a duration as in PT24H", body.half_life)
    if not 0 < body.strength <= _MAX_STRENGTH:
        raise bad_value(
            "rotation.strength", f"must be above 0 and at most {_MAX_STRENGTH}", str(body.strength)
        )
    return Rotation(half_life_ms, body.strength)
