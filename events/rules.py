"""Per-customer rules for parsing and pseudonyms."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo

from events.model import NO_PROFILE_USER
from events.no_profile import NO_PROFILE_IDS, normal_id
from events.pseudonym import pseudonym
from events.wire_values import MAX_ITEM_NUMBER


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one customer (docs/customers.md). The keys are secrets, so the repr leaves them out."""

    customer: str
    key_id: str
    pseudonym_key: bytes = field(repr=False)
    previous_key_id: str | None = None
    previous_pseudonym_key: bytes | None = field(default=None, repr=False)
    license_key: str | None = field(default=None, repr=False)
    md5_signatures: bool = True
    """Whether imports may be signed with md5, as in the tracker API. Such a signature covers neither user, customer nor event."""
    time_zone: tzinfo = UTC
    max_itemtype: int = MAX_ITEM_NUMBER
    string_items: bool = True
    strict_scenario: bool = False
    scenario_of_unlabelled: str | None = None
    """The scenario of impressions that name none and that no ``recommended`` names."""
    strict_price: bool = False
    """Whether an event whose price cannot be read is refused. Otherwise it is recorded without the price."""
    currency: str = "EUR"
    """The currency of a price that names none."""
    aliases: frozenset[str] = frozenset()
    """Other ids under which clients send events of this customer."""
    scenarios_of_tracks: Mapping[str, str] = field(default_factory=dict)
    """Track of a presentation -> its scenario. A track that is not listed is its own scenario."""
    no_profile_users: frozenset[str] = NO_PROFILE_IDS
    """Raw ids that mean no user, in the form of ``events.no_profile.normal_id``."""

    consent_required: bool = False
    """Whether an event builds a profile only with ``consent=yes``."""

    def fallback_scenario(self, scenario: str | None) -> str | None:
        """Return the customer's ``scenario_of_unlabelled`` for an impression that names no scenario (None)."""
        return self.scenario_of_unlabelled if scenario is None else None

    def may_profile(self, consent: str | None) -> bool:
        """Return whether an event with this ``consent`` (None: not given) may build a profile."""
        return consent == "yes" or (consent is None and not self.consent_required)

    def is_no_profile(self, raw_user: str) -> bool:
        """Return whether a raw id means no user: its events build no profile."""
        return normal_id(raw_user) in self.no_profile_users

    def identify(self, raw_user: str) -> tuple[str, str | None]:
        """Return ``user`` and ``previous_user`` of the events of a raw id that may build a profile."""
        # No calls between our own methods: a batch asks for each of its events.
        if normal_id(raw_user) in self.no_profile_users:
            return NO_PROFILE_USER, None
        user = pseudonym(self.pseudonym_key, self.key_id, raw_user)
        return user, None if self.previous_key_id is None else self.previous_user(raw_user)

    def identify_target(self, raw_target: str) -> tuple[str, bool]:
        """Return ``target`` and ``is_junk_target`` of a login to a raw id."""
        return (NO_PROFILE_USER, True) if self.is_no_profile(raw_target) else (self.user(raw_target), False)

    def user(self, raw_user: str) -> str:
        """Return the pseudonym of a raw user id."""
        return pseudonym(self.pseudonym_key, self.key_id, raw_user)

    def previous_user(self, raw_user: str) -> str | None:
        """Return the pseudonym under the key that is being replaced, or None while no key is being replaced."""
        if self.previous_pseudonym_key is None or self.previous_key_id is None:
            return None
        return pseudonym(self.previous_pseudonym_key, self.previous_key_id, raw_user)
