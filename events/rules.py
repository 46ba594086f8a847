"""Per-customer rules for parsing and pseudonyms."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo

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

    def user(self, raw_user: str) -> str:
        """Return the pseudonym of a raw user id."""
        return pseudonym(self.pseudonym_key, self.key_id, raw_user)

    def previous_user(self, raw_user: str) -> str | None:
        """Return the pseudonym under the key that is being replaced, or None while no key is being replaced."""
        if self.previous_pseudonym_key is None or self.previous_key_id is None:
            return None
        return pseudonym(self.previous_pseudonym_key, self.previous_key_id, raw_user)
