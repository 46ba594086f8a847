"""Simulated users of an experiment: 1 to 100 impressions each, a click rate of their own, and for a few a purchase."""

from dataclasses import dataclass
from typing import Final

import numpy as np

MOST_IMPRESSIONS: Final = 100
CLICK_RATE: Final = (0.5, 9.5)
"""Parameters of the beta distribution of users' click rates: mean 5 %, and most users click far less than a few."""
BUYERS: Final = 0.04
PRICE: Final = (3.0, 1.0)
"""Mean and deviation of the log of a buyer's revenue: the median is 20, and one of a hundred spends 205 or more."""
METRICS: Final = ("users_who_clicked", "clicks_per_shown", "users_who_bought", "revenue_per_user")


@dataclass(frozen=True)
class Users:
    """One experiment: for each user in order of arrival, the variant, and value and weight of each metric."""

    in_b: np.ndarray
    metrics: dict[str, tuple[np.ndarray, np.ndarray]]


def arrive(random: np.random.Generator, users: int, *, lift: float = 0.0, share_of_b: float = 0.5) -> Users:
    """Return users who arrive one after the other with all that they will do. In B, click rates and buyers are higher by ``lift``."""
    in_b = random.random(users) < share_of_b
    shown = random.integers(1, MOST_IMPRESSIONS + 1, users)
    factor = np.where(in_b, 1.0 + lift, 1.0)
    clicks = random.binomial(shown, np.minimum(1.0, random.beta(*CLICK_RATE, users) * factor))
    revenue = np.where(random.random(users) < BUYERS * factor, random.lognormal(*PRICE, users), 0.0)
    one = np.ones(users)
    return Users(
        in_b,
        {
            "users_who_clicked": ((clicks > 0).astype(float), one),
            "clicks_per_shown": (clicks.astype(float), shown.astype(float)),
            "users_who_bought": ((revenue > 0).astype(float), one),
            "revenue_per_user": (revenue, one),
        },
    )


@dataclass(frozen=True)
class Returning:
    """Users who return: impressions and clicks of each user (row) until each look (column), and the variant of each."""

    in_b: np.ndarray
    shown: np.ndarray
    clicks: np.ndarray


def come_back(random: np.random.Generator, users: int, looks: int) -> Returning:
    """Return users who arrive evenly over the time, and whose impressions spread evenly over what is left of it."""
    arrival = random.random(users)
    impressions = random.integers(1, MOST_IMPRESSIONS + 1, users)
    user = np.repeat(np.arange(users), impressions)
    time = arrival[user] + random.random(len(user)) * (1 - arrival[user])
    cell = user * looks + np.minimum(looks - 1, (time * looks).astype(np.int64))
    is_click = random.random(len(user)) < random.beta(*CLICK_RATE, users)[user]
    shown = np.bincount(cell, minlength=users * looks).reshape(users, looks)
    clicks = np.bincount(cell[is_click], minlength=users * looks).reshape(users, looks)
    return Returning(random.random(users) < 0.5, shown.cumsum(axis=1), clicks.cumsum(axis=1))
