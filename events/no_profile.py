"""Ids that mean "no user": what sites send where a visitor has no id. Their events count in totals and build no profile."""

from collections.abc import Iterable
from typing import Any, Final

from events.model import NO_PROFILE_USER

_ABSENT_USERS: Final = frozenset(("not_defined", "undefined", "null"))
"""Ids that mean an absent user in the tracker API itself, so that no customer can make a user of them."""
NO_PROFILE_IDS: Final = _ABSENT_USERS | frozenset(
    ("0", "-1", "nan", "none", "nil", "[object object]", "anonymous", "guest", "", '""', "''")
)
"""Ids that mean no user unless the customer says otherwise, in the form of ``normal_id``."""

_TAKES_OUT: Final = "!"


def normal_id(raw_user: str) -> str:
    """Return an id as it is compared with these lists: case and blanks around it mean nothing."""
    return raw_user.strip().lower()


def no_profile_ids(entries: Iterable[str]) -> frozenset[str]:
    """Return the ids that mean no user for a customer: the built-in ones, changed by the entries of ``no_profile_users``.

    An entry adds an id; ``!guest`` makes the built-in ``guest`` a user. Raise ValueError if there is no such id to take out.
    """
    added: set[str] = set()
    removed: set[str] = set()
    for entry in entries:
        if not entry.startswith(_TAKES_OUT):
            added.add(normal_id(entry))
            continue
        name = normal_id(entry.removeprefix(_TAKES_OUT))
        if name in _ABSENT_USERS or name not in NO_PROFILE_IDS:
            raise ValueError(
                f"{entry!r}: only a built-in id can be taken out, and not {_listed(_ABSENT_USERS)}"
            )
        removed.add(name)
    return (NO_PROFILE_IDS - removed) | added


def forget_target(own: dict[str, Any]) -> None:
    """Replace the target of a login without consent, given the fields of an event: its record must hold no pseudonym."""
    if "target" in own:
        own["target"], own["is_junk_target"] = NO_PROFILE_USER, True


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
