"""Click-through rates with their denominators and Wilson intervals.

A rate always comes with its denominator. If the denominator is 0, the rate is null and has a reason (docs/topics-and-tables.md).
docs/decisions/0006 explains the choice of the interval.
"""

from functools import cache
from math import hypot, sqrt
from statistics import NormalDist
from typing import Final

import msgspec

from tables.ctr.panes import Counts

_CONFIDENCE: Final = 0.95
_UNLABELLED: Final = "clicked items were shown without a scenario"


class ClickRate(msgspec.Struct, frozen=True, omit_defaults=True):
    """One rate. If ``value`` or the interval ``low`` to ``high`` does not exist, it is null, and ``reason`` says why."""

    value: float | None
    numerator: int
    denominator: int
    low: float | None
    high: float | None
    reason: str | None = None


class RateChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """The difference of two rates with its interval, and the relative difference. What does not exist is null; ``reason`` says why."""

    difference: float | None
    low: float | None
    high: float | None
    relative: float | None
    reason: str | None = None


def wilson(successes: int, n: int, confidence: float = _CONFIDENCE) -> tuple[float, float] | None:
    """Return the Wilson score interval of a share. Return None if there is no trial, or if there are more successes than trials.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927). Without continuity correction,
    as in scipy's ``proportion_ci(method="wilson")`` and statsmodels.
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
    """Return the number of standard deviations on each side of the mean that hold this share of a normal distribution."""
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def rate(numerator: int, denominator: int, of: str, by: str) -> ClickRate:
    """Return numerator / denominator with its 95 % interval. ``of`` and ``by`` are the counters' names, for the reason.

    What is no share has no value either. Counts of one customer are shares, but for two cases: a correction by a login is on its way
    between two partitions; or there are so many scenario names that two partitions count one of them under different names.
    """
    if denominator <= 0:
        return ClickRate(None, numerator, denominator, None, None, f"{by} is 0")
    interval = wilson(numerator, denominator)
    if interval is None:
        reason = f"{of} is below 0" if numerator < 0 else f"{of} exceeds {by}"
        return ClickRate(None, numerator, denominator, None, None, reason)
    return ClickRate(numerator / denominator, numerator, denominator, *interval)


def _ratio(numerator: int, denominator: int, by: str) -> ClickRate:
    """Return numerator / denominator without an interval, because one trial may count several times."""
    if denominator <= 0:
        return ClickRate(None, numerator, denominator, None, None, f"{by} is 0")
    reason = "a ratio has no interval"
    return ClickRate(numerator / denominator, numerator, denominator, None, None, reason)


def rates(counts: Counts) -> dict[str, ClickRate]:
    """Return ``ctr_rendered`` and ``ctr_calls``, the shares of shown items and of calls that were clicked, and ``clicks_per_call``."""
    shown = rate(counts.attributed_clicks, counts.rendered, "attributed_clicks", "rendered")
    if shown.value is None and counts.unlabelled_impressions:
        shown = msgspec.structs.replace(shown, reason=f"{shown.reason}; {_UNLABELLED}")
    return {
        "ctr_rendered": shown,
        "ctr_calls": rate(counts.clicked_calls, counts.calls, "clicked_calls", "calls"),
        "clicks_per_call": _ratio(counts.clicks, counts.calls, "calls"),
    }


def rate_change(now: ClickRate, before: ClickRate) -> RateChange:
    """Return the change from one rate to another, with the 95 % interval of the difference.

    R. G. Newcombe, "Interval estimation for the difference between independent proportions", Statistics in Medicine 17 (1998), method
    10: it combines the two Wilson intervals.
    """
    if now.value is None or now.low is None or now.high is None:
        return RateChange(None, None, None, None, "this span has no rate")
    if before.value is None or before.low is None or before.high is None:
        return RateChange(None, None, None, None, "the span before has no rate")
    difference = now.value - before.value
    low = difference - hypot(now.value - now.low, before.high - before.value)
    high = difference + hypot(now.high - now.value, before.value - before.low)
    return RateChange(difference, low, high, difference / before.value if before.value else None)
