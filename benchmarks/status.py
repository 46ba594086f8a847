"""What does a worker say of itself: its share of the partitions, and whether anything still waits?"""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any


def status_of(port: int) -> dict[str, Any]:
    """Return /v1/status of a worker on this machine; nothing when it does not answer."""
    with (
        suppress(OSError, urllib.error.URLError),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/status", timeout=5) as answer,
    ):
        status: dict[str, Any] = json.load(answer)
        return status
    return {}


def are_shared(statuses: Sequence[Mapping[str, Any]], partitions: int) -> bool:
    """Tell whether all workers are ready and have every partition once, as many each as can be."""
    owned = [set(status.get("partitions", ())) for status in statuses]
    sizes = [len(each) for each in owned]
    return (
        all(status.get("ready") for status in statuses)
        and sum(sizes) == len(set().union(*owned)) == partitions
        and max(sizes) - min(sizes) <= 1
    )


def drained(ports: Sequence[int]) -> dict[str, Any] | None:
    """Return the durable positions when all workers are ready and nothing waits, else None."""
    found: dict[str, Any] = {}
    for port in ports:
        status = status_of(port)
        if not status.get("ready") or status["lag"]:
            return None
        found.update({number: each["durable"] for number, each in status["partitions"].items()})
    return found
