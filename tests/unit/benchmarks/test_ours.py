"""Log lines of our processes that benchmarks wait for: their present wording and that of older checkouts."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.customers.customer import CTR_DIMENSIONS
from app.customers.customer_registry import Customers, create_customers_file
from benchmarks.checkouts import ROOT
from benchmarks.ours import READY, TAKES, TAKING_UP, Ours
from benchmarks.processes import Words

SOURCES = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "app").rglob("*.py")))


@pytest.mark.parametrize("words", [TAKING_UP, READY, TAKES])
def test_first_wording_is_the_present_one(words: Words) -> None:
    assert words[0] in SOURCES, "put the new wording in front of the old one: --against needs both"


@pytest.mark.parametrize(
    ("words", "wording"),
    [
        (TAKING_UP, "taking up partitions 0, 1"),
        (READY, "ready: partitions 0, 1"),
        (TAKES, "Kafka at 127.0.0.1:9092 answers, all topics are there"),
    ],
)
def test_wordings_of_older_checkouts_stay(words: Words, wording: str) -> None:
    assert any(word in wording for word in words)


def test_customers_file_without_dimensions_is_read_with_the_others(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    create_customers_file(file, "00000")
    ours: Any = SimpleNamespace(customers_file=file)
    without = Ours.customers_without(ours, ("item", "users"))
    assert Customers.load(without)["00000"].ctr_dimensions == {"position", "image"}
    assert Customers.load(file)["00000"].ctr_dimensions == set(CTR_DIMENSIONS)
