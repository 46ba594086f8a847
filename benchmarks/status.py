"""Reads the status of workers: whether they share the partitions, and whether they have any lag."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any


def status_of(port: int) -> dict[str, Any]:
    """Return /v1/status of a worker on this machine; empty if it does not answer."""
    with (
        suppress(OSError, urllib.error.URLError),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/status", timeout=5) as answer,
    ):
        status: dict[str, Any] = json.load(answer)
        return status
    return {}


def are_shared(statuses: Sequence[Mapping[str, Any]], partitions: int) -> bool:
    """Whether all workers are ready and share the partitions evenly, each partition owned once."""
    owned = [set(status.get("partitions", ())) for status in statuses]
    sizes = [len(each) for each in owned]
    return (
        all(status.get("ready") for status in statuses)
        and sum(sizes) == len(set().union(*owned)) == partitions
        and max(sizes) - min(sizes) <= 1
    )


def drained(ports: Sequence[int]) -> dict[str, Any] | None:
    """Return the durable positions if all workers are ready and have no lag, else None."""
    found: dict[str, Any] = {}
    for port in ports:
        status = status_of(port)
        if not status.get("ready") or status["lag"]:
            return None
        found.update({number: each["durable"] for number, each in status["partitions"].items()})
    return found
