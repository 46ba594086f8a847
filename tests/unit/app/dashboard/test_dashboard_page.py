"""docs/dashboard.md has the dashboard's addresses, options, parameters and fields, and no others."""

import inspect
import re
from pathlib import Path

import pytest
from multidict import MultiDict

from app.commands.dashboard import dashboard
from app.dashboard.ctr_stream import SPANS, CtrQuestion
from app.dashboard.server import Upstreams, create_dashboard_app
from app.dashboard.sessions import SESSION_SECONDS
from app.http.operators import Operators
from events.rejections import RefusedError
from tests.support.dashboard import Client, customers
from tests.unit.app.dashboard.conftest import Start

PAGE = (Path(__file__).parents[4] / "docs" / "dashboard.md").read_text(encoding="utf-8")
SPAN = re.compile(r"`([^`\n]+)`")


def first_cells(title: str) -> list[str]:
    """Return the words in back quotes of the first column of a table."""
    found: list[str] = []
    for table in re.split(r"\n\n", PAGE):
        if table.startswith(f"| {title} |"):
            found += [word for row in table.splitlines()[2:] for word in SPAN.findall(row.split("|")[1])]
    assert found, title
    return found


def test_page_has_the_addresses_and_no_other() -> None:
    app = create_dashboard_app(customers(), Upstreams(["http://a"], ["http://b"]), Operators(True))
    routes = {
        f"{route.method} {route.resource.canonical.replace('{name}', '...')}"
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert set(first_cells("address")) == routes - {"GET /favicon.ico"}


def test_page_has_the_options_and_no_other() -> None:
    options = {f"--{name.replace('_', '-')}" for name in inspect.signature(dashboard).parameters}
    assert set(first_cells("option")) == options - {"--log-level", "--log-json"}


def test_page_has_the_parameters_of_a_stream_and_no_other() -> None:
    with pytest.raises(RefusedError) as refused:
        CtrQuestion("00000", MultiDict({"nonsense": "1"}))
    known = refused.value.rejection.sentence.partition("there are: ")[2].split(", ")
    assert set(first_cells("parameter")) == set(known)
    row = next(line for line in PAGE.splitlines() if line.startswith("| `span` |"))
    assert set(SPAN.findall(row)) == {"span", *SPANS}


async def test_page_has_the_fields_of_the_health_and_no_other(start: Start) -> None:
    client: Client = await start()
    health = await (await client.get("/dashboard/health")).json()
    assert set(first_cells("field")) == health.keys()


async def test_page_has_what_a_session_says(start: Start) -> None:
    client: Client = await start()
    session = await (await client.get("/dashboard/session")).json()
    row = next(line for line in PAGE.splitlines() if line.startswith("| `GET /dashboard/session` |"))
    assert set(SPAN.findall(row)) - {"GET /dashboard/session"} == session.keys()


def test_page_says_how_long_a_session_lasts() -> None:
    assert f"A session lasts {SESSION_SECONDS // 3_600} hours." in PAGE
