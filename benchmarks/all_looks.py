"""The statistics of `app/experiments` for all looks of an experiment at once, in numpy. The benchmark compares them with the originals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.experiments.confidence_sequences import Boundary
from app.experiments.differences import LEAST_USERS
from app.experiments.sample_ratio import CONCENTRATION
from app.experiments.user_sums import UserSums

FIELDS = UserSums.__struct_fields__


@dataclass(frozen=True)
class Looks:
    """Sums of one variant after each look: an array for each field of UserSums."""

    sums: dict[str, np.ndarray]

    @classmethod
    def of_arrivals(cls, values: np.ndarray, weights: np.ndarray, belongs: np.ndarray) -> "Looks":
        """Return the sums after each user, of those who belong to the variant."""
        y, x = values * belongs, weights * belongs
        columns = (belongs.astype(float), y, y * y, x, x * x, x * y)
        return cls({name: np.cumsum(column) for name, column in zip(FIELDS, columns, strict=True)})

    @classmethod
    def of_tables(cls, values: np.ndarray, weights: np.ndarray) -> "Looks":
        """Return the sums of the columns of user x look. A user without a weight has not arrived yet."""
        tables = (weights > 0, values, values * values, weights, weights * weights, values * weights)
        return cls({name: table.sum(axis=0) for name, table in zip(FIELDS, tables, strict=True)})

    def at(self, look: int) -> UserSums:
        """Return the sums of one look as the application takes them."""
        users, *others = (self.sums[name][look].item() for name in FIELDS)
        return UserSums(int(users), *others)

    @property
    def rate(self) -> np.ndarray:
        return self.sums["values"] / self.sums["weights"]

    @property
    def variance(self) -> np.ndarray:
        s, rate = self.sums, self.rate
        residuals = s["squared_values"] - 2 * rate * s["products"] + rate**2 * s["squared_weights"]
        return s["users"] / (s["users"] - 1) * np.maximum(0, residuals) / s["weights"] ** 2


def scores(base: Looks, other: Looks, is_share: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the difference in standard errors after each look, and the expected contributors of the smaller variant.

    The latter are 0 while there are too few users.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        score = (other.rate - base.rate) / np.sqrt(base.variance + other.variance)
        both = {name: base.sums[name] + other.sums[name] for name in FIELDS}
        contributors = both["values"] ** 2 / both["squared_values"]
        if is_share:
            contributors = np.minimum(both["values"], both["users"] - both["values"])
        smaller = np.minimum(base.sums["users"], other.sums["users"])
        expected = contributors * smaller / both["users"]
    is_known = (smaller >= LEAST_USERS) & np.isfinite(score)
    return np.where(is_known, score, 0.0), np.where(is_known, expected, 0.0)


def reaches(boundary: Boundary, most_users: int) -> np.ndarray:
    """Return how many standard errors the boundary is away after 0, 1, ... users."""
    return np.array([boundary.standard_errors(users) for users in range(most_users + 1)])


class SplitLooks:
    """The evidence against an even or other split after each user."""

    def __init__(self, shares: Sequence[float], most_users: int) -> None:
        self._log_shares = [math.log(share) for share in shares]
        self._tables = [_rising(CONCENTRATION * share, most_users) for share in shares]
        self._total = _rising(CONCENTRATION, most_users)

    def log_evidence(self, in_b: np.ndarray) -> np.ndarray:
        """Return the log of the Bayes factor after each user."""
        users = np.arange(1, len(in_b) + 1)
        of_b = np.cumsum(in_b)
        counts = (users - of_b, of_b)
        known = sum(table[count] for table, count in zip(self._tables, counts, strict=True))
        plain = sum(log_share * count for log_share, count in zip(self._log_shares, counts, strict=True))
        return known - self._total[users] - plain


def _rising(start: float, most: int) -> np.ndarray:
    """Return log gamma(start + n) - log gamma(start) for n = 0, 1, ..."""
    return np.array([math.lgamma(start + n) for n in range(most + 1)]) - math.lgamma(start)
