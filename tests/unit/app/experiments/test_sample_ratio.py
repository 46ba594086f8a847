"""The test of the split compared with scipy's Dirichlet-multinomial, and how often it is wrong when looked at after each user."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import dirichlet_multinomial, multinomial

from app.experiments.sample_ratio import CONCENTRATION, SPLIT_ALPHA, check_split

COUNTS = st.lists(st.integers(0, 5_000), min_size=2, max_size=5)


@given(COUNTS, st.data())
def test_the_p_value_is_one_over_the_bayes_factor(users: list[int], data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.floats(0.1, 10), min_size=len(users), max_size=len(users)))
    shares = np.array(weights) / sum(weights)
    mixed = dirichlet_multinomial.logpmf(users, CONCENTRATION * shares, sum(users))
    plain = multinomial.logpmf(users, sum(users), shares)
    expected = min(1.0, math.exp(-max(0.0, mixed - plain)))
    assert check_split(users, weights).p_value == pytest.approx(expected, rel=1e-5, abs=1e-300)


def test_the_evidence_of_one_user_is_nothing() -> None:
    """The predictive share of the first user is the declared share, so the Bayes factor is 1."""
    assert check_split([1, 0], [1, 3]).p_value == pytest.approx(1.0)
    assert check_split([0, 0], [1, 3]).p_value == 1.0


@given(COUNTS)
def test_the_order_of_variants_does_not_matter(users: list[int]) -> None:
    weights = [index + 1.0 for index in range(len(users))]
    one = check_split(users, weights)
    assert check_split(users[::-1], weights[::-1]).p_value == pytest.approx(one.p_value, rel=1e-6)


def test_a_right_split_looked_at_after_each_user_is_rarely_called_wrong() -> None:
    """Exact bound: alpha. 300 tests of 3,000 looks each; 3 are expected at most, and 11 have probability 0.0003."""
    random = np.random.default_rng(11)
    log_gamma = np.array([math.lgamma(CONCENTRATION / 2 + n) for n in range(3_001)])
    log_total = np.array([math.lgamma(CONCENTRATION + n) for n in range(3_001)])
    looks = np.arange(1, 3_001)
    wrong = 0
    for _ in range(300):
        in_a = np.cumsum(random.integers(0, 2, 3_000))
        evidence = log_gamma[in_a] + log_gamma[looks - in_a] - 2 * log_gamma[0]
        evidence += log_total[0] - log_total[looks] + looks * math.log(2)
        wrong += bool((evidence >= -math.log(SPLIT_ALPHA)).any())
        last = check_split([int(in_a[-1]), 3_000 - int(in_a[-1])], [1, 1])
        assert last.p_value == pytest.approx(min(1.0, math.exp(-evidence[-1])), rel=1e-6)
    assert wrong <= 10


def test_a_wrong_split_is_found() -> None:
    assert check_split([5_300, 4_700], [1, 1]).is_ratio_wrong
    assert not check_split([5_100, 4_900], [1, 1]).is_ratio_wrong
    assert not check_split([5_300, 4_700], [53, 47]).is_ratio_wrong
    assert check_split([10_000_000, 9_980_000], [1, 1]).is_ratio_wrong


@pytest.mark.parametrize(
    ("of_several", "is_found"), [(0, False), (9, False), (10, True), (50, True)]
)  # 2 x 400 others
def test_users_of_several_variants_count_from_10_and_1_percent(of_several: int, is_found: bool) -> None:
    assert check_split([400, 400], [1, 1], of_several).has_several is is_found


def test_one_percent_of_many_users_may_see_several_variants() -> None:
    assert not check_split([49_500, 49_500], [1, 1], 1_000).has_several
    assert check_split([49_500, 49_500], [1, 1], 1_001).has_several


@pytest.mark.parametrize(("users", "weights"), [([], []), ([1], [1, 1]), ([1, -1], [1, 1]), ([1, 1], [1, 0])])
def test_counts_without_weights_are_refused(users: list[int], weights: list[float]) -> None:
    with pytest.raises(ValueError, match="each variant needs"):
        check_split(users, weights)
