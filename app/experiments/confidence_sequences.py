"""The boundary that an estimate crosses by chance with probability alpha at most, at whichever of all looks.

H. Robbins, "Statistical methods related to the law of the iterated logarithm", Annals of Mathematical Statistics 41 (1970): for a sum
of n independent values of mean 0 and variance 1, and any m > 0,

    P(|S_n| >= sqrt((n + m) * (log(1 + n / m) + 2 * log(1 / alpha))) for some n >= 1) <= alpha

I. Waudby-Smith, D. Arbour, R. Sinha, E. H. Kennedy, A. Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences",
Annals of Statistics 52 (2024), show that it holds in the limit for values that are not normal and whose variance is estimated.
"""

from math import exp, inf, log, log1p, sqrt
from typing import Final

import msgspec

_PRECISION: Final = 1e-12


class Boundary(msgspec.Struct, frozen=True):
    """A boundary for the distance between estimate and truth, in standard errors of this look. ``mixing_users`` is the m of Robbins."""

    alpha: float
    mixing_users: float

    def standard_errors(self, users: int) -> float:
        """Return how many standard errors the truth may be away when so many users have been seen."""
        if users <= 0:
            return inf
        growth = users / self.mixing_users
        return sqrt((1 + 1 / growth) * (log1p(growth) - 2 * log(self.alpha)))

    def p_value(self, standard_errors: float, users: int) -> float:
        """Return the always-valid p-value of an estimate that is so far from the hypothesis.

        It is alpha or less exactly if the estimate is beyond the boundary. If the hypothesis is true, it falls to alpha at any look with
        probability alpha at most, for each alpha. So the smallest one of all looks is valid too.
        """
        growth = users / self.mixing_users
        return min(1.0, exp((log1p(growth) - growth / (1 + growth) * standard_errors**2) / 2))


def tightest_at(users: float, alpha: float) -> Boundary:
    """Return the boundary of level alpha that is narrowest when so many users have been seen. Choose this number before the start.

    The best growth n / m solves ``growth = log(1 + growth) + 2 * log(1 / alpha)``, as setting the derivative to 0 shows.
    """
    if not 0 < alpha < 1 or users <= 0:
        raise ValueError(f"a boundary needs 0 < alpha < 1 and users > 0, not {alpha} and {users}")
    growth, former = 1.0, inf
    while abs(growth - former) > _PRECISION * growth:
        growth, former = log1p(growth) - 2 * log(alpha), growth
    return Boundary(alpha, users / growth)
