"""How often was what was shown also clicked, and how sure is that: rates with their denominators and Wilson intervals.

The rules are SEMANTICS "CTR windows": a rate is never given without its denominator, and nothing is divided by zero.
"""

from functools import cache
from math import sqrt
from statistics import NormalDist
from typing import Final

import msgspec

from tables.ctr.panes import Counts

_CONFIDENCE: Final = 0.95


class ClickRate(msgspec.Struct, frozen=True, omit_defaults=True):
    """One rate. ``value``, or the interval, is null when it does not exist, and then ``reason`` says why."""

    value: float | None
    numerator: int
    denominator: int
    low: float | None
    high: float | None
    reason: str | None = None


def wilson(successes: int, n: int, confidence: float = _CONFIDENCE) -> tuple[float, float] | None:
    """Return the Wilson score interval of a share; None where it does not exist (no trial, or more successes than trials).

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927); without
    continuity correction, as scipy's ``proportion_ci(method="wilson")`` and statsmodels have it.
    """
    if not 0 <= successes <= n or n == 0:
        return None
    z = _z(confidence)
    share = successes / n
    scale = 1 + z * z / n
    middle = (share + z * z / (2 * n)) / scale
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / scale
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == n else min(1.0, middle + half)
    return low, high


@cache
def _z(confidence: float) -> float:
    """Return how many standard deviations either side of the mean hold this share of a normal distribution."""
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def rate(numerator: int, denominator: int, of: str, by: str) -> ClickRate:
    """Return numerator / denominator with its 95 % interval. ``of`` and ``by`` name the two counters for people."""
    if denominator <= 0:
        return ClickRate(None, numerator, denominator, None, None, f"{by} is 0")
    interval = wilson(numerator, denominator)
    value = numerator / denominator
    if interval is None:
        reason = f"{of} exceeds {by}, so there is no interval"
        return ClickRate(value, numerator, denominator, None, None, reason)
    return ClickRate(value, numerator, denominator, *interval)


def rates(counts: Counts) -> dict[str, ClickRate]:
    """Return ``ctr_rendered`` (attributed clicks / items shown) and ``ctr_calls`` (clicks / recommendation calls)."""
    return {
        "ctr_rendered": rate(counts.attributed_clicks, counts.rendered, "attributed_clicks", "rendered"),
        "ctr_calls": rate(counts.clicks, counts.calls, "clicks", "calls"),
    }
