"""Sums over the users of one variant, from which its rate and the variance of this rate follow.

The unit is the user, because a variant is assigned to a user. The items shown to one user are not independent: each user has
a click rate of their own. docs/decisions/0021 has the method.
"""

from collections.abc import Iterable

import msgspec


class UserSums(msgspec.Struct, frozen=True):
    """Sums over users who each have a value, such as clicks, and a weight, such as items shown. The rate is values / weights.

    In a rate per user, such as the share of users who clicked, each weight is 1. Sums of partitions add up.
    """

    users: int = 0
    values: float = 0
    squared_values: float = 0
    weights: float = 0
    squared_weights: float = 0
    products: float = 0

    @classmethod
    def per_user(cls, users: int, values: float, squared_values: float) -> "UserSums":
        """Return the sums of a rate per user: each weight is 1."""
        return cls(users, values, squared_values, users, users, values)

    @classmethod
    def of(cls, pairs: Iterable[tuple[float, float]]) -> "UserSums":
        """Return the sums of (value, weight) pairs, one for each user."""
        users, values, squared_values, weights, squared_weights, products = 0, 0.0, 0.0, 0.0, 0.0, 0.0
        for value, weight in pairs:
            users += 1
            values += value
            squared_values += value * value
            weights += weight
            squared_weights += weight * weight
            products += value * weight
        return cls(users, values, squared_values, weights, squared_weights, products)

    def __add__(self, other: "UserSums") -> "UserSums":
        return UserSums(
            self.users + other.users,
            self.values + other.values,
            self.squared_values + other.squared_values,
            self.weights + other.weights,
            self.squared_weights + other.squared_weights,
            self.products + other.products,
        )

    @property
    def rate(self) -> float | None:
        """Return values / weights, or None without a weight."""
        return self.values / self.weights if self.weights > 0 else None

    @property
    def variance(self) -> float | None:
        """Return the variance of the rate, or None if there is no rate or only one user.

        The delta method: to first order, a user moves the rate by ``(value - rate * weight) / weights``. These contributions are
        independent between users, whatever they are within one. In a rate per user, this is the sample variance of a mean.
        """
        rate = self.rate
        if rate is None or self.users < 2:
            return None
        residuals = self.squared_values - 2 * rate * self.products + rate * rate * self.squared_weights
        return self.users / (self.users - 1) * max(0.0, residuals) / self.weights**2

    @property
    def contributors(self) -> float:
        """Return how many users carry the rate, by Kish's effective size: ``values ** 2 / squared_values``.

        In a share of users, this is the number of users who did it, or of those who did not, whichever is smaller. It is less than the
        number of buyers if a few of them have most of the revenue.
        """
        if self.squared_values <= 0:
            return 0.0
        if self.weights == self.squared_weights == self.users and self.values == self.squared_values:
            return min(self.values, self.users - self.values)
        return self.values**2 / self.squared_values
