"""Fills of profiles: how many events each user has at the end of a run, and the traffic that leads there."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.traffic import Traffic, start_ms


@dataclass(frozen=True)
class Fill:
    """Traffic with so many events for each user on average."""

    events_per_user: int
    traffic: Traffic

    @property
    def name(self) -> str:
        return f"at_{self.events_per_user}"


def fills_of(
    events_per_user: Sequence[int], users: int, most_events: int, partitions: int, seed: int
) -> list[Fill]:
    """Return the fills: of ``users`` users, or of so many fewer that no fill has more than ``most_events``."""
    fills = []
    for each in events_per_user:
        number = max(1, min(users, most_events // each))
        events = number * each
        fills.append(Fill(each, Traffic(events, number, partitions, seed, start_ms(events))))
    return fills


def numbers(text: str) -> tuple[int, ...]:
    """Return the numbers of an option, separated by commas, each once."""
    try:
        found = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        found = ()
    if not found or min(found) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers above 0, such as 25,100")
    return found
