"""Whether users reached the variants in the declared ratio: a sequential test of the assignment, valid at every look.

M. Lindon, A. Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022. The test holds exactly, for every number of
users. Its evidence is a Bayes factor: how much better a Dirichlet prior around the declared shares explains the counts than the
shares themselves.
"""

from collections.abc import Sequence
from math import exp, lgamma, log
from typing import Final

import msgspec

SPLIT_ALPHA: Final = 0.01
"""How often a correct assignment may be called wrong, over all looks. Lower than that of rates: this verdict voids all others."""
CONCENTRATION: Final = 1_000.0
"""Weight of the declared shares in the prior, in users. The test is most sensitive at about ten times as many users."""
_LARGEST_SHARE_OF_SEVERAL: Final = 0.01
_LEAST_OF_SEVERAL: Final = 10


class SplitCheck(msgspec.Struct, frozen=True):
    """Result of the test. ``of_several`` counts the users who saw more than one variant; they belong to no variant."""

    expected: tuple[float, ...]
    found: tuple[float, ...]
    p_value: float
    users: int
    of_several: int

    @property
    def is_ratio_wrong(self) -> bool:
        """Whether the counts contradict the declared shares."""
        return self.p_value <= SPLIT_ALPHA

    @property
    def has_several(self) -> bool:
        """Whether too many users saw more than one variant: at least 10, and more than 1 % of all."""
        seen = self.users + self.of_several
        return self.of_several >= _LEAST_OF_SEVERAL and self.of_several > _LARGEST_SHARE_OF_SEVERAL * seen


def check_split(users: Sequence[int], weights: Sequence[float], of_several: int = 0) -> SplitCheck:
    """Test the numbers of users per variant against the weights of their assignment."""
    if len(users) != len(weights) or not users or min(weights) <= 0 or min(users) < 0:
        raise ValueError(f"each variant needs users >= 0 and a weight > 0, not {users} and {weights}")
    shares = [weight / sum(weights) for weight in weights]
    total = sum(users)
    return SplitCheck(
        expected=tuple(shares),
        found=tuple(count / total if total else 0.0 for count in users),
        p_value=min(1.0, exp(-max(0.0, _log_bayes_factor(users, shares)))),
        users=total,
        of_several=of_several,
    )


def _log_bayes_factor(users: Sequence[int], shares: Sequence[float]) -> float:
    """Return the log of the likelihood of the counts under the prior over that under the declared shares."""
    prior = [CONCENTRATION * share for share in shares]
    mixed = sum(lgamma(weight + count) - lgamma(weight) for weight, count in zip(prior, users, strict=True))
    mixed -= lgamma(sum(prior) + sum(users)) - lgamma(sum(prior))
    return mixed - sum(count * log(share) for count, share in zip(users, shares, strict=True))
