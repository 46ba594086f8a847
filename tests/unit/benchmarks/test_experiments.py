"""The benchmark of experiments: its arrays say what the application says, its users are as described, and it runs."""

import json

import numpy as np
import pytest

from app.experiments.assessment import ExperimentPlan
from app.experiments.confidence_sequences import tightest_at
from app.experiments.differences import LEAST_USERS, difference
from app.experiments.sample_ratio import check_split
from app.experiments.user_sums import UserSums
from benchmarks import experiments
from benchmarks.all_looks import Looks, SplitLooks, reaches, scores
from benchmarks.experiments import Agreement, Counted
from benchmarks.simulated_users import METRICS, arrive, come_back

LOOKS = (LEAST_USERS * 3, 700, 999)


@pytest.mark.parametrize("name", METRICS)
def test_arrays_have_the_differences_of_the_application(name: str) -> None:
    users = arrive(np.random.default_rng(3), 1_000)
    values, weights = users.metrics[name]
    looks = [Looks.of_arrivals(values, weights, belongs) for belongs in (~users.in_b, users.in_b)]
    score, _ = scores(looks[0], looks[1], is_share=False)
    for at in LOOKS:
        here = slice(at + 1)
        sums = [
            UserSums.of(zip(values[here][belongs].tolist(), weights[here][belongs].tolist(), strict=True))
            for belongs in (~users.in_b[here], users.in_b[here])
        ]
        assert looks[0].at(at).users == sums[0].users
        found = difference(sums[0], sums[1], tightest_at(10_000, 0.05))
        assert found is not None
        assert score[at] == pytest.approx(found.absolute.value / found.standard_error)


def test_the_split_after_each_user_is_that_of_the_application() -> None:
    in_b = np.random.default_rng(4).random(2_000) < 0.25
    evidence = SplitLooks((0.7, 0.3), 2_000).log_evidence(in_b)
    for at in (0, 10, *LOOKS, 1_999):
        of_b = int(in_b[: at + 1].sum())
        expected = check_split([at + 1 - of_b, of_b], [0.7, 0.3]).p_value
        assert min(1.0, np.exp(-evidence[at])) == pytest.approx(expected)


def test_returning_users_have_1_to_100_impressions_and_click_some() -> None:
    test = come_back(np.random.default_rng(5), 500, 20)
    shown, clicks = test.shown[:, -1], test.clicks[:, -1]
    assert (shown.min() >= 1, shown.max() <= 100) == (True, True)
    assert (np.diff(test.shown, axis=1) >= 0).all()
    assert 0.03 < clicks.sum() / shown.sum() < 0.07
    assert (clicks <= shown).all()


def test_a_claim_needs_contributors_and_counts_once() -> None:
    counted = Counted()
    reach = np.array([3.0, 3.0, 3.0])
    assert counted.add(np.array([4.0, 2.5, 4.0]), np.array([9.0, 30.0, 30.0]), reach) == 2
    assert counted.add(np.array([0.0, -2.5, 0.0]), np.array([9.0, 30.0, 30.0]), reach) is None
    assert (counted.tests, counted.claimed, counted.peeked, counted.fixed) == (2, 1, 2, 1)
    assert counted.with_least == {0: 1, 5: 1, 10: 1, 50: 0}
    assert counted.stopped_at == [3]


def test_the_boundary_is_that_of_the_application() -> None:
    boundary = tightest_at(1_000, 0.05)
    assert reaches(boundary, 50)[50] == boundary.standard_errors(50)


def test_the_benchmark_prints_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--tests", "3", "--users", "400", "--returning", "2", "--power-tests", "2", "--json"]
    assert experiments.main(sizes) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["false_claims"]["clicks_per_shown.0.5"]["tests"] == 3
    assert (result["void"], result["users"]) == ({}, 400)
    assert result["compared_looks"] > 0


def test_looking_after_each_user_makes_few_false_claims(capsys: pytest.CaptureFixture[str]) -> None:
    """400 A/A tests, tightest at their end: a z-test at each look is wrong in a third of them, ours in a few."""
    sizes = [
        "--tests",
        "200",
        "--users",
        "1500",
        "--planned-users",
        "1500",
        "--returning",
        "0",
        "--power-tests",
        "0",
    ]
    assert experiments.main([*sizes, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    for name in ("users_who_clicked.0.5", "clicks_per_shown.0.5"):
        found = result["false_claims"][name]
        assert found["false_claims"] <= 0.05
        assert found["fixed_test_at_each_look"] >= 0.25
    assert max(result["split_false_alarms"].values()) <= 0.015


def test_single_looks_are_compared_with_the_application() -> None:
    users = arrive(np.random.default_rng(6), 1_000)
    values, weights = users.metrics["users_who_clicked"]
    looks = [Looks.of_arrivals(values, weights, belongs) for belongs in (~users.in_b, users.in_b)]
    agreement = Agreement(ExperimentPlan())
    agreement.check((looks[0], looks[1]), 999, False)
    assert (agreement.looks, agreement.different) == (1, 0)
    agreement.check((looks[0], looks[1]), 999, True)
    assert (agreement.looks, agreement.different) == (2, 1)


def test_a_difference_between_arrays_and_application_voids_the_result(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Agreement, "check", lambda self, looks, at, claims: setattr(self, "different", 1))
    assert experiments.main(["--tests", "1", "--users", "300", "--returning", "1", "--power-tests", "1"]) == 1
    assert "application differs" in capsys.readouterr().out
