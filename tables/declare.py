"""The one list of tables, from which column families, changelog topics and the tables that a login moves follow.

To add a table, write a module with a ``TABLE`` and add a line to TABLES. The tables that a login moves come first.
"""

from typing import Any, Final

from events.topics import POSITIONS, SHARED_TOPICS, Topic, changelog
from tables.base.table_spec import TableSpec
from tables.ctr import (
    item_windows,
    open_windows,
    panes,
    pending_additions,
    scenario_names,
    user_windows,
    watermarks,
    windows,
)
from tables.user import (
    basket,
    clicked,
    consumed,
    experiments,
    identity,
    impression_buckets,
    impressions,
    playback,
    preferences,
    purchases,
    recommended,
    rendered,
    seen,
)

TABLES: Final[tuple[TableSpec[Any], ...]] = (
    rendered.TABLE,
    clicked.TABLE,
    consumed.TABLE,
    playback.TABLE,
    basket.TABLE,
    purchases.TABLE,
    preferences.TABLE,
    impression_buckets.TABLE,
    impressions.TABLE,
    recommended.TABLE,
    identity.TABLE,
    experiments.TABLE,
    seen.TABLE,
    scenario_names.TABLE,
    panes.TABLE,
    windows.TABLE,
    open_windows.TABLE,
    watermarks.TABLE,
    pending_additions.TABLE,
    item_windows.TABLE,
    user_windows.TABLE,
)

BY_NAME: Final = {table.name: table for table in TABLES}

MOVED_TABLES: Final = tuple(table for table in TABLES if table.is_moved)
"""The tables that a login moves from one user to another."""

POSITIONS_TABLE: Final = "positions"
"""A column family that a worker keeps and restores like a table, from its own topic (agents/positions.py)."""

CHANGELOGS: Final = {**{table.name: changelog(table.name) for table in TABLES}, POSITIONS_TABLE: POSITIONS}
"""Column family -> its changelog topic."""

STORED: Final = tuple(CHANGELOGS)
"""Every column family that is restored from a changelog."""

TOPICS: Final = (
    *SHARED_TOPICS,
    *(
        Topic(
            changelog(table.name),
            "row",
            f"the table {table.name}",
            "compact",
            max_message_bytes=16 * 1_048_576,  # of a user with the longest ids: 7 MB
        )
        for table in TABLES
    ),
)
"""Every topic of a deployment."""
