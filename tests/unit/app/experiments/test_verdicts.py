"""The sentences of verdicts."""

import pytest

from app.experiments.differences import Estimate
from app.experiments.sample_ratio import check_split
from app.experiments.verdicts import Finding, VerdictCode, of_all, of_difference, of_split

ABSOLUTE = Estimate(0.012, 0.003, 0.022)


@pytest.mark.parametrize(
    ("absolute", "lift", "missing", "verdict", "sentence"),
    [
        (ABSOLUTE, Estimate(0.12, 0.03, 0.22), 0, "better", "B is better than A by 12 % (3 % to 22 %); you may stop."),
        (
            Estimate(-0.012, -0.022, -0.003),
            Estimate(-0.12, -0.22, -0.0312),
            None,
            "worse",
            "B is worse than A by 12 % (3.1 % to 22 %); you may stop.",
        ),
        (ABSOLUTE, None, None, "better", "B is better than A by 0.012 (0.003 to 0.022); you may stop."),
        (
            Estimate(0, -0.01, 0.01),
            Estimate(0.001, -0.021, 0.0489),
            77,
            "no_difference",
            "B and A differ by less than 5 % (-2.1 % to 4.9 %); you may stop.",
        ),
        (
            Estimate(0, -0.01, 0.01),
            Estimate(0.04, -0.02, 0.1),
            12_345,
            "too_early",
            "Too early: the lift of B over A is 4 % (-2 % to 10 %); about 12,345 more users would show a lift of 5 %.",
        ),
        (
            Estimate(0, -0.01, 0.01),
            Estimate(0.04, -0.02, 0.1),
            0,
            "too_early",
            "Too early: the lift of B over A is 4 % (-2 % to 10 %); a lift of 5 % would probably have shown by now.",
        ),
        (
            Estimate(-0.004, -0.01, 0.002),
            Estimate(-0.04, -0.1, 0.02),
            0,
            "too_early",
            "Too early: the lift of B over A is -4 % (-10 % to 2 %); a lift of 5 % would probably have shown by now.",
        ),
        (
            Estimate(0, -0.01, 0.01),
            Estimate(0, -1, 12.3456),
            None,
            "too_early",
            "Too early: the lift of B over A is 0 % (-100 % to 1235 %).",
        ),
        (Estimate(0, -0.01, 0.01), None, None, "too_early", "Too early: A may have a rate of 0."),
    ],
)  # fmt: skip
def test_a_difference_in_words(
    absolute: Estimate, lift: Estimate | None, missing: int | None, verdict: str, sentence: str
) -> None:
    assert of_difference("A", "B", absolute, lift, 0.05, missing) == Finding(VerdictCode(verdict), sentence)


def test_an_interval_that_ends_at_0_is_no_claim() -> None:
    found = of_difference("A", "B", Estimate(0.1, 0.0, 0.2), Estimate(1, 0.0, 2), 0.05, None)
    assert found.verdict is VerdictCode.TOO_EARLY


def test_a_wrong_split_in_words() -> None:
    found = of_split(["A", "B"], check_split([5_600, 4_400], [1, 1]))
    assert found == Finding(
        VerdictCode.SPLIT_WRONG,
        "The split is wrong: look at the assignment. A has 56 % of the users instead of 50 %, "
        "B has 44 % of the users instead of 50 %.",
    )


def test_users_of_several_variants_in_words() -> None:
    found = of_split(["A", "B"], check_split([1_000, 2_700], [1, 1], 6_300))
    assert found == Finding(
        VerdictCode.SPLIT_WRONG,
        "The split is wrong: look at the assignment. 6,300 of 10,000 users (63 %) saw more than one variant.",
    )


def test_a_right_split_needs_no_words() -> None:
    assert of_split(["A", "B"], check_split([5_050, 4_950], [1, 1], 9)) is None


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        (["worse", "better", "too_early"], "better"),
        (["worse", "too_early"], "too_early"),
        (["no_difference", "worse"], "worse"),
        (["no_difference"], "no_difference"),
    ],
)
def test_the_verdict_on_all_variants(codes: list[str], expected: str) -> None:
    findings = [Finding(VerdictCode(code), f"{code}.") for code in codes]
    assert of_all(findings) == Finding(VerdictCode(expected), " ".join(f"{code}." for code in codes))


def test_one_variant_has_nothing_to_compare() -> None:
    assert of_all([]).verdict is VerdictCode.ONE_VARIANT
