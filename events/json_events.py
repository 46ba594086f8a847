"""Parser of JSON elements: the structs of events/model.py as clients write them, with raw user ids.

The rules are those of the tracker requests (events/tracker.py): the same lengths, item forms, ranges, money, clocks and pseudonyms.
Pure: it takes elements, the customer's rules and the time of receipt. It returns an event of the journal, a Rejection, or None if
there is nothing to record.
"""

from typing import Any, Final

import msgspec

from events import tracker_fields
from events.event_time import drop_clocks_in_seconds, event_time, in_ms, is_in_seconds
from events.json_fields import READ, json_of, text_of
from events.json_kinds import KINDS, MONEY, PLAIN_ITEMS, PLAIN_KINDS, UNREAD, FieldSlot, Kind, Own
from events.model import NO_PROFILE_USER
from events.no_profile import forget_target
from events.rejections import RefusedError, Rejection
from events.rules import Rules
from events.signature import ABSENT
from events.tracker import CONSENT, Accepted
from events.tracker_fields import quoted
from events.wire_values import MAX_PROPERTIES, MAX_PROPERTY_CHARS, MAX_PROPERTY_NAME_CHARS

_ABSENT_USER: Final = object()


class Reader:
    """Reads the elements of one body.

    ``event``: the only event that the endpoint takes, so that elements need no ``type``. ``is_owner``: the request has the license
    key. ``is_plain``: ``events.json_bodies.is_plain`` is true of the body, so that most elements need no reading field by field.
    """

    def __init__(
        self,
        rules: Rules,
        received_ms: int,
        *,
        event: str | None = None,
        is_owner: bool = False,
        is_plain: bool = False,
    ) -> None:
        self._rules, self._received_ms, self._event, self._is_owner = rules, received_ms, event, is_owner
        has_plain_rules = (
            rules.string_items
            and not rules.strict_scenario
            and not rules.consent_required
            and rules.scenario_of_unlabelled is None
        )
        self._is_plain = is_plain and event is None and has_plain_rules
        self._stamp = {"customer": rules.customer, "time_ms": received_ms, "received_ms": received_ms}
        self._users: dict[str, tuple[str, str | None]] = {}  # a page's events are often of one user

    def read(self, element: Any) -> Accepted | Rejection | None:
        """Return the event that an element reports, the Rejection of an invalid one, or None if there is nothing to record."""
        if isinstance(element, Rejection):
            return element
        try:
            return (self._read_plain(element) if self._is_plain else None) or self._read(element)
        except RefusedError as refused:
            return refused.rejection

    def _read_plain(self, element: Any) -> Accepted | None:
        """Return the event of an element that has only valid plain fields; None if it must be read field by field.

        The types of events/model.py bound plain fields as the table does, and msgspec compares in C.
        """
        name = element.get("type") if type(element) is dict else None
        kind = PLAIN_KINDS.get(name) if type(name) is str else None
        if kind is None or not element.keys() <= kind[1]:
            return None
        is_timed = "time_ms" in element
        if is_timed and not self._is_owner:
            return None
        user, previous_user = self._user(element.get("user", _ABSENT_USER))
        fields = {**self._stamp, **element, "user": user}
        if previous_user is not None:
            fields["previous_user"] = previous_user
        try:
            event: Any = msgspec.convert(fields, kind[0])
        except msgspec.ValidationError:
            return None
        if not 1 <= event.itemtype <= self._rules.max_itemtype or not 0 < event.time_ms <= self._received_ms:
            return None
        if is_timed and is_in_seconds(event.time_ms):
            return None
        if "items" in element and not 0 < len(event.items) <= PLAIN_ITEMS:
            return None
        return Accepted(event, is_timed)

    def _read(self, element: Any) -> Accepted | None:
        if type(element) is not dict:
            raise RefusedError("bad_json", "an event must be a JSON object")
        kind = self._kind(element)
        user, previous_user = self._user(element.get("user", _ABSENT_USER))
        own, extra = _own_fields(element, kind.shape, self._rules)
        if not kind.finish(own, self._rules):
            return None
        consent = _consent_of(element, self._rules) if CONSENT in element else None
        if not self._rules.may_profile(consent):
            user, previous_user = NO_PROFILE_USER, None
            forget_target(own)
        unread = own.pop(UNREAD, None)
        if unread is not None:
            extra += [(name, element[name]) for name in MONEY if isinstance(element.get(name), str | float)]
        override_ms = self._override_ms(own.pop("time_ms", None))
        has_ignored_clock = drop_clocks_in_seconds(own)
        time_ms, is_clamped = event_time(
            self._received_ms,
            created_ms=own.get("created_ms"),
            sent_ms=own.get("sent_ms"),
            override_ms=override_ms,
        )
        if extra:
            own["properties"] = _properties(extra)
        event = kind.struct(
            customer=self._rules.customer,
            user=user,
            previous_user=previous_user,
            time_ms=time_ms,
            received_ms=self._received_ms,
            is_clamped=is_clamped,
            **own,
        )
        return Accepted(event, override_ms is not None, has_ignored_clock, unread)

    def _kind(self, element: dict[str, Any]) -> Kind:
        name = element.get("type", self._event)
        if self._event is not None and name != self._event:
            raise RefusedError(
                "unknown_event", f"only {self._event} is taken here; other events go to .../events", "type"
            )
        kind = KINDS.get(name) if type(name) is str else None
        if kind is None:
            shown = quoted(name) if type(name) is str else "that is no text"
            raise RefusedError("unknown_event", f"there is no event {shown}", "type")
        customer = element.get("customer")
        rules = self._rules
        if customer not in (None, rules.customer, *rules.aliases):
            raise RefusedError(
                "forbidden", "customer: these events go to the customer of the path only", "customer"
            )
        return kind

    def _user(self, raw: Any) -> tuple[str, str | None]:
        if raw is None:
            return NO_PROFILE_USER, None  # what a page without a user sends as the text null
        is_text = type(raw) is str
        known = self._users.get(raw) if is_text else None
        if known is None:
            text = raw if is_text else "" if raw is _ABSENT_USER else text_of("user", raw, "bad_user")
            known = self._rules.identify(tracker_fields.raw_user(text))
            self._users[text] = known
        return known

    def _override_ms(self, time_ms: int | None) -> int | None:
        if time_ms is None:
            return None
        if not self._is_owner:
            raise RefusedError(
                "unauthorized",
                "time_ms is taken only with the license key (HTTP Basic customer:licensekey); "
                "a page sends created_ms and sent_ms",
                "time_ms",
            )
        if in_ms("time_ms", time_ms, "bad_timestamp") > self._received_ms:
            raise RefusedError("bad_timestamp", "time_ms must be a time that has passed", "time_ms")
        return time_ms


def _consent_of(element: dict[str, Any], rules: Rules) -> str | None:
    value = element.get(CONSENT)
    if value is None or (type(value) is str and value in ABSENT):
        return None
    consent: str = READ[CONSENT](CONSENT, value, rules)
    return consent


def _own_fields(
    element: dict[str, Any], shape: dict[str, FieldSlot | None], rules: Rules
) -> tuple[Own, list[tuple[str, Any]]]:
    """Return the fields of the event that an element has, and its other names and values."""
    own: Own = {}
    extra: list[tuple[str, Any]] = []
    for name, value in element.items():
        is_text = type(value) is str
        if value is None or (is_text and value in ABSENT):
            if name == "target" and value != "" and name in shape:
                own[name] = "null"  # a login to no user: it is recorded and moves nothing
            continue
        try:
            place = shape[name]
        except KeyError:
            extra.append((name, value))
            continue
        if place is None:
            continue
        field, read, plain_chars = place
        is_plain = is_text and len(value) <= plain_chars and value.isprintable()
        read_value = value if is_plain else read(name, value, rules)
        if field in own and own[field] != read_value:
            raise RefusedError(
                "duplicate_parameter", f"{name} was given under two names, with different values", name
            )
        own[field] = read_value
    stated = own.pop("properties", None)
    return own, extra if stated is None else [*stated.items(), *extra]


def _properties(extra: list[tuple[str, Any]]) -> dict[str, str] | None:
    kept: dict[str, str] = {}
    for name, value in extra:
        if len(kept) == MAX_PROPERTIES:
            break
        if name and value is not None and not (type(value) is str and value in ABSENT):
            text = value if type(value) is str else json_of(name, value)
            kept[name[:MAX_PROPERTY_NAME_CHARS]] = text[:MAX_PROPERTY_CHARS]
    return kept or None
