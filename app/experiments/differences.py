"""The difference and the relative lift of two variants with confidence sequences, and the users that are still needed.

The interval of the lift is Fieller's: it holds every lift that the difference ``rate - (1 + lift) * base rate`` does not contradict.
So lift, difference and p-value never contradict each other; intervals of the lift by the delta method may. docs/decisions/0021.
"""

from math import sqrt
from statistics import NormalDist
from typing import Final

import msgspec

from app.experiments.confidence_sequences import Boundary
from app.experiments.user_sums import UserSums

LEAST_USERS: Final = 100
"""Users of each variant before anything is claimed."""
LEAST_CONTRIBUTORS: Final = 25
"""Contributors of each variant before anything is claimed, if both had the same rate (docs/decisions/0021 has the validation)."""
_MOST_USERS: Final = 10**12


class Estimate(msgspec.Struct, frozen=True):
    """A value with its confidence sequence at this look."""

    value: float
    low: float
    high: float


class Difference(msgspec.Struct, frozen=True):
    """What a variant has more than the baseline. ``lift`` is null if the baseline's rate may be 0."""

    absolute: Estimate
    lift: Estimate | None
    p_value: float
    standard_error: float
    users: int


def too_few(sums: UserSums, both: UserSums) -> str | None:
    """Return why a variant cannot be compared yet, or None. ``both`` adds the sums of the two variants.

    The normal limit needs contributors in each variant. They are counted as expected under equal rates, so that a variant without a
    single click is found bad instead of too early.
    """
    if sums.users < LEAST_USERS:
        return f"{sums.users:,} of {LEAST_USERS} users"
    expected = both.contributors * sums.users / both.users
    if expected < LEAST_CONTRIBUTORS:
        return f"results of about {int(expected)} of {LEAST_CONTRIBUTORS} users"
    return None


def difference(base: UserSums, other: UserSums, boundary: Boundary) -> Difference | None:
    """Compare two variants. Return None if one of them has no rate, or if neither varies between users."""
    base_rate, base_variance, rate, variance = base.rate, base.variance, other.rate, other.variance
    if base_rate is None or base_variance is None or rate is None or variance is None:
        return None
    error = sqrt(base_variance + variance)
    if error == 0:
        return None
    users = base.users + other.users
    reach = boundary.standard_errors(users)
    gap = rate - base_rate
    return Difference(
        absolute=Estimate(gap, gap - reach * error, gap + reach * error),
        lift=_lift(base_rate, base_variance, rate, variance, reach),
        p_value=boundary.p_value(gap / error, users),
        standard_error=error,
        users=users,
    )


def _lift(
    base_rate: float, base_variance: float, rate: float, variance: float, reach: float
) -> Estimate | None:
    """Return rate / base_rate - 1 with Fieller's interval, or None if the interval has no end."""
    room = base_rate**2 - reach**2 * base_variance
    if base_rate <= 0 or room <= 0:
        return None
    half = reach * sqrt(variance * room + rate**2 * base_variance)
    low, high = ((base_rate * rate + side) / room - 1 for side in (-half, half))
    return Estimate(rate / base_rate - 1, max(-1.0, low), high)


def users_needed(boundary: Boundary, variance_per_user: float, gap: float, power: float) -> int | None:
    """Return after how many users in all a true difference ``gap`` is found with probability ``power``, or None above 10**12.

    The variance of the difference is ``variance_per_user / users``. Looks before count too, so this number errs on the safe side.
    """
    if gap <= 0 or variance_per_user <= 0:
        return None
    extra = NormalDist().inv_cdf(power)

    def is_enough(users: int) -> bool:
        return (boundary.standard_errors(users) + extra) ** 2 * variance_per_user <= gap**2 * users

    low, high = 0, 1
    while not is_enough(high):
        low, high = high, high * 2
        if low > _MOST_USERS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high
