"""Distribution-free confidence interval of a median, from the order statistics of a sample.

Each value lies below the true median with probability 1/2, whatever the distribution. So the k-th smallest and the k-th largest of n
independent values enclose the median with probability 1 - 2 P(X < k). Here X is binomial with n trials of probability 1/2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import Final

CONFIDENCE: Final = 0.95


@dataclass(frozen=True)
class MedianInterval:
    """Two values of a sample, and the probability that the median lies between them."""

    low: float
    high: float
    coverage: float


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> MedianInterval | None:
    """Return the narrowest interval that covers the median with at least this confidence.

    None if the sample is too small: 95 % needs six values. With six to eight values, the interval is the range of all of them.
    """
    ordered = sorted(values)
    count = len(ordered)
    for rank in range((count + 1) // 2, 0, -1):
        coverage = 1 - 2 * sum(comb(count, below) for below in range(rank)) / 2**count
        if coverage >= confidence:
            return MedianInterval(ordered[rank - 1], ordered[-rank], coverage)
    return None
