"""The boundary compared with published values, with scipy, and with the martingale that it comes from."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import lambertw
from scipy.stats import norm

from app.experiments.confidence_sequences import Boundary, tightest_at

ALPHA = st.floats(1e-6, 0.5)
GROWTH = st.floats(0.01, 1_000)
SCORE = st.floats(0, 30)


def test_the_boundary_has_the_values_of_confseq() -> None:
    """From the tests of github.com/gostevehoward/confseq, whose authors took them from an implementation in R.

    At intrinsic time 100 with rho 12.60056, the bound is 30.35209, and the log of the mixture at a sum of 10 is -0.6510052. This log is
    a line in the squared score, so both values fix it at any other score.
    """
    published = Boundary(0.05, 12.60056)
    reach = published.standard_errors(100)
    assert reach * math.sqrt(100) == pytest.approx(30.35209, abs=1e-5)
    slope = (math.log(1 / 0.05) + 0.6510052) / (3.035209**2 - 1)
    for score in (3.5, 4.0, 8.0):
        expected = -0.6510052 + slope * (score**2 - 1)
        assert -math.log(published.p_value(score, 100)) == pytest.approx(expected, rel=1e-5)
    assert published.p_value(1.0, 100) == 1.0


@given(ALPHA, st.floats(1, 1e7), st.integers(1, 10**7))
def test_the_boundary_is_the_asymptotic_confidence_sequence(alpha: float, planned: float, users: int) -> None:
    """The margin as the paper's Theorem 2.2 writes it, with its rho, over the standard error 1 / sqrt(t)."""
    boundary = tightest_at(planned, alpha)
    rho2 = 1 / boundary.mixing_users
    grown = users * rho2 + 1
    margin = math.sqrt(2 * grown / (users**2 * rho2) * math.log(math.sqrt(grown) / alpha))
    assert boundary.standard_errors(users) == pytest.approx(margin * math.sqrt(users))


@given(ALPHA, st.floats(1, 1e7))
def test_the_best_mixture_is_that_of_lamberts_w(alpha: float, planned: float) -> None:
    expected = -lambertw(-(alpha**2) / math.e, -1).real - 1
    assert planned / tightest_at(planned, alpha).mixing_users == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.01, 0.001])
def test_the_boundary_is_tightest_where_it_is_planned(alpha: float) -> None:
    found = minimize_scalar(
        lambda log_mixing: Boundary(alpha, math.exp(log_mixing)).standard_errors(10_000),
        bounds=(0, 20),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert tightest_at(10_000, alpha).standard_errors(10_000) == pytest.approx(found.fun, rel=1e-9)


@given(GROWTH, st.floats(0, 8))
def test_the_p_value_is_that_of_a_mixture_of_normal_alternatives(growth: float, score: float) -> None:
    """1 / p is the likelihood ratio of the score, averaged over true effects that are normal around 0."""
    effects = np.linspace(-12, 20, 16_001)  # effects beyond explain no score of 0 to 8
    ratio = np.exp(score * effects - effects**2 / 2) * norm.pdf(effects, scale=math.sqrt(growth))
    evidence = ratio.sum() * (effects[1] - effects[0])
    p_value = Boundary(0.05, 1_000.0 / growth).p_value(score, 1_000)
    assert p_value == pytest.approx(min(1.0, 1 / evidence), rel=1e-6)


@given(ALPHA, st.floats(10, 1e7), st.integers(1, 10**8), SCORE)
def test_p_is_alpha_or_less_exactly_beyond_the_boundary(
    alpha: float, planned: float, users: int, score: float
) -> None:
    boundary = tightest_at(planned, alpha)
    reach = boundary.standard_errors(users)
    assert boundary.p_value(reach * 1.000001, users) <= alpha <= boundary.p_value(reach * 0.999999, users)
    assert (boundary.p_value(score, users) <= alpha) == (score >= reach) or score == pytest.approx(reach)


@given(ALPHA, st.floats(10, 1e7), st.integers(1, 10**8))
def test_looking_at_all_times_costs_more_than_looking_once(alpha: float, planned: float, users: int) -> None:
    assert tightest_at(planned, alpha).standard_errors(users) > norm.isf(alpha / 2)


@given(st.floats(10, 1e7), st.integers(1, 10**7))
def test_the_interval_shrinks_with_users(planned: float, users: int) -> None:
    boundary = tightest_at(planned, 0.05)
    width = boundary.standard_errors(users) / math.sqrt(users)
    assert boundary.standard_errors(2 * users) / math.sqrt(2 * users) < width


def test_without_users_everything_is_possible() -> None:
    assert tightest_at(10_000, 0.05).standard_errors(0) == math.inf


@pytest.mark.parametrize(("users", "alpha"), [(0, 0.05), (100, 0), (100, 1), (-1, 0.05)])
def test_a_boundary_without_sense_is_refused(users: float, alpha: float) -> None:
    with pytest.raises(ValueError, match="a boundary needs"):
        tightest_at(users, alpha)
