"""docs/lookups.md names every route, reason and parameter."""

from pathlib import Path

import pytest

from app.customers.exclusion_rules import REASONS
from app.lookup.requests import FilterBody, RotationBody
from app.lookup.server import create_lookup_app
from tables.ctr.panes import Counts
from tests.support.lookups import MemoryWorker

DOCS = Path(__file__).parents[4] / "docs" / "lookups.md"
ROUTES = sorted({resource.canonical for resource in create_lookup_app(MemoryWorker()).router.resources()})
WORDS = [*REASONS, *Counts.__struct_fields__, *FilterBody.__struct_fields__, *RotationBody.__struct_fields__]


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_is_documented(route: str) -> None:
    assert f"{route}`" in DOCS.read_text()


@pytest.mark.parametrize("word", sorted(set(WORDS)))
def test_every_reason_counter_and_field_is_documented(word: str) -> None:
    text = DOCS.read_text()
    assert f"`{word}`" in text or f'"{word}"' in text
