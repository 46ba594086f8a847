"""The recipe "Adding a table" of CONTRIBUTING.md, tried in a copy of the packages: one module, one line, and the rest follows."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

MODULE = '''
"""How often a user has shared an item.

Key: user. Value: item -> times shared. Expires: beyond 2,000 items.
"""

from typing import Final

import msgspec

from tables.base.table_spec import TableSpec


class SharedState(msgspec.Struct, array_like=True, gc=False):
    """Times shared, by item."""

    items: dict[str, int] = msgspec.field(default_factory=dict)


def merge(into: SharedState | None, other: SharedState) -> SharedState:
    """Add what a login moved."""
    into = SharedState() if into is None else into
    for item, times in other.items.items():
        into.items[item] = into.items.get(item, 0) + times
    return into


TABLE: Final = TableSpec(
    "shared",
    SharedState,
    key="user",
    value="item -> times shared",
    expiry="when all is 0",
    merge=merge,
    has_expired=lambda _key, state, _now_ms: not any(state.items.values()),
)
'''

LAW = """
import asyncio

from agents.overlay import Overlay
from agents.sweep import Sweeper
from events.model import Login, user_key
from tables.declare import CHANGELOGS, MOVED_TABLES, STORED, TOPICS
from tables.fold.fold_event import fold
from tables.fold.fold_identity import fold_transfer
from tables.transfers import decode, encode
from tables.user import shared
from tests.support.memory_store import MemoryStore

assert CHANGELOGS["shared"] == "uptake.shared.changelog"
assert "shared" in STORED
assert shared.TABLE in MOVED_TABLES
assert any(topic.name == "uptake.shared.changelog" and topic.cleanup == "compact" for topic in TOPICS)

sent = []


class Spied(Overlay):
    def transfer(self, transfer):
        sent.append(decode(encode(transfer)))


source, target = user_key("c", "k1.a"), user_key("c", "k1.b")
overlay = Spied(MemoryStore(), 0, 1)
overlay.rows[shared.TABLE].put(source, shared.SharedState({"1/7": 2}))
overlay.rows[shared.TABLE].put(target, shared.SharedState({"1/7": 3}))
fold(overlay, source, Login(customer="c", user="k1.a", target="k1.b", time_ms=5, received_ms=5))
assert overlay.rows[shared.TABLE].get(source) is None
assert fold_transfer(overlay, sent[0])
assert overlay.rows[shared.TABLE].get(target).items == {"1/7": 5}

changes, _ = overlay.encode_changes()
assert dict(changes["shared"])[target] == shared.TABLE.encode(shared.SharedState({"1/7": 5}))

store = MemoryStore()
store.write({"shared": [(b"old", shared.TABLE.encode(shared.SharedState({"1/7": 0})))]}, {})
overlay = Overlay(store, 0, 1)
assert asyncio.run(Sweeper().sweep_due(overlay, lambda: True)) == 1
print("the new table is everywhere")
"""


def test_new_table_touches_one_module_and_one_list(tmp_path: Path) -> None:
    for package in ("compiled", "events", "tables", "agents"):
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "built")
        )
    (tmp_path / "tests" / "support").mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "support" / "memory_store.py", tmp_path / "tests" / "support")
    (tmp_path / "tables" / "user" / "shared.py").write_text(MODULE.lstrip())
    listed = tmp_path / "tables" / "declare.py"
    text = listed.read_text()
    text = text.replace("    impressions.TABLE,\n", "    shared.TABLE,\n    impressions.TABLE,\n", 1)
    listed.write_text(text.replace("    seen,\n", "    seen,\n    shared,\n", 1))
    law = tmp_path / "law.py"
    law.write_text(LAW)
    ran = subprocess.run([sys.executable, str(law)], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ran.stdout == "the new table is everywhere\n", ran.stderr
