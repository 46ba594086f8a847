"""The facts that folding uses of customers follow the customers file, also after a reload."""

import asyncio
from pathlib import Path

import pytest

from agents.registry import Partitions
from app.customers.customer_registry import Customers
from app.worker.customers_file import FoldedCustomers, FollowFile
from events.codec import UndecodableError

TABLE = """
[customers.%s]
key_id = "k1"
pseudonym_key = "{}"
""".format("00" * 32)


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


@pytest.fixture
def customers(tmp_path: Path) -> Customers:
    return Customers.load(written(tmp_path / "c.toml", TABLE % "a" + 'aliases = ["alias"]\n'))


def test_alias_is_no_customer_of_a_record(customers: Customers) -> None:
    folded = FoldedCustomers(customers, 0)
    assert not folded.unknown.is_missing("a", 0)
    for name in ("alias", "b"):
        with pytest.raises(UndecodableError):
            folded.unknown.is_missing(name, 0)


NO_ITEMS = 'ctr_dimensions = ["position"]\n'


def test_declared_experiments_between_scenarios_follow_the_file(customers: Customers) -> None:
    folded = FoldedCustomers(customers, 0)
    contests = folded.contests
    assert contests == {}
    assert customers.path is not None
    for scenarios, expected in (('["s", "t"]', {"s": "e", "t": "e"}), ('["s", "u"]', {"s": "e", "u": "e"})):
        written(customers.path, TABLE % "a" + f"[customers.a.experiments.e]\nscenarios = {scenarios}\n")
        assert customers.refresh(even_unchanged=True)
        folded.refresh()
        assert (contests, folded.contests) == ({"a": expected}, {"a": expected})
    written(customers.path, TABLE % "a")
    assert customers.refresh(even_unchanged=True)
    folded.refresh()
    assert contests == {}


async def test_reload_adds_and_takes_away(customers: Customers) -> None:
    folded = FoldedCustomers(customers, 0)
    keepers = folded.scenario_keepers
    switched_off = folded.switched_off
    assert keepers == set()
    assert switched_off == {}
    assert customers.path is not None
    forgotten = asyncio.Event()

    class Spied(Partitions):
        def forget_verified(self) -> None:
            forgotten.set()

    service = FollowFile(customers, folded, Spied(1.0))
    await service.start()
    try:
        written(customers.path, TABLE % "a" + "showings_by_scenario = true\n" + TABLE % "b" + NO_ITEMS)
        await asyncio.wait_for(forgotten.wait(), 20)
        assert (keepers, folded.scenario_keepers) == ({"a"}, {"a"})
        assert not folded.unknown.is_missing("b", 0)
        assert switched_off == {"b": {"item", "image", "users"}}
    finally:
        await service.stop()
