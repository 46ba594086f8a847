"""A producer refuses invalid events before it sends anything, and names what is missing."""

import pytest

from app.base.errors import NoBrokerError
from app.journal.producer import EventRefusedError, NotSentError, Producer
from app.local.tcp_ports import free_port
from events.rules import Rules
from tests.support.builders import a_click

RULES = Rules("00000", "k1", bytes(32))


def a_closed_port() -> str:
    return f"127.0.0.1:{free_port('127.0.0.1')}"


async def test_no_broker_is_told_with_its_address() -> None:
    address = a_closed_port()
    with pytest.raises(NoBrokerError, match=address):
        async with Producer(address, [RULES], connect_timeout_ms=500):
            pass


async def test_producer_that_is_not_open_sends_nothing() -> None:
    with pytest.raises(NotSentError, match="async with"):
        await Producer(a_closed_port(), [RULES]).send(a_click())


@pytest.mark.parametrize(
    ("event", "words"),
    [(a_click(customer="1"), "no keys of customer '1'; it knows 00000"), (a_click(item=""), "missing_item")],
)
def test_refused_event_names_the_rule(event: object, words: str) -> None:
    with pytest.raises(EventRefusedError, match=words):
        Producer(a_closed_port(), [RULES])._sealed(event)  # type: ignore[arg-type] # the rule alone, without a broker
