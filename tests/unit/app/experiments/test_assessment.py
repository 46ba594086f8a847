"""Whole assessments: claims, missing users, several variants, and what they look like as JSON."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.experiments.assessment import Assessment, ExperimentPlan, ObservedVariant, assess
from app.experiments.confidence_sequences import tightest_at
from app.experiments.user_sums import UserSums
from app.experiments.verdicts import VerdictCode


def share(name: str, users: int, clicked: int, weight: float = 1.0) -> ObservedVariant:
    return ObservedVariant(name, UserSums.per_user(users, clicked, clicked), weight)


def test_a_better_variant_is_called_better() -> None:
    found = assess([share("A", 5_000, 1_000), share("B", 5_000, 1_200)])
    assert found.verdict is VerdictCode.BETTER
    assert found.sentence == "B is better than A by 20 % (7 % to 35 %); you may stop."
    assert found.differences[0].p_value == pytest.approx(0.0001, rel=0.5)
    rate = found.variants[0]
    assert rate.low is not None
    assert rate.high is not None
    half = tightest_at(5_000, 0.05).standard_errors(5_000) * (0.2 * 0.8 / 4_999) ** 0.5
    assert (rate.rate, rate.low, rate.high) == pytest.approx((0.2, 0.2 - half, 0.2 + half))


def test_equal_variants_need_more_users() -> None:
    found = assess([share("A", 500, 100), share("B", 500, 100)])
    assert found.verdict is VerdictCode.TOO_EARLY
    one = found.differences[0]
    assert one.users_needed is not None
    assert one.users_missing == one.users_needed - 1_000
    assert f"about {one.users_missing:,} more users" in found.sentence
    assert one.absolute is not None
    assert one.absolute.value == 0
    assert one.p_value == 1.0


def test_after_many_users_equal_variants_do_not_differ() -> None:
    found = assess([share("A", 500_000, 100_000), share("B", 500_000, 100_000)])
    assert found.verdict is VerdictCode.NO_DIFFERENCE


@pytest.mark.parametrize("users", [0, 1, 99])
def test_few_users_are_too_early_however_far_apart(users: int) -> None:
    found = assess([share("A", users, 0), share("B", users, users)])
    assert (found.verdict, found.differences[0].p_value) == (VerdictCode.TOO_EARLY, None)
    assert found.sentence == f"Too early: B has {users} of 100 users."
    assert found.variants[1].low is None
    assert found.variants[1].reason is not None


def test_a_variant_that_is_never_clicked_is_found_worse() -> None:
    found = assess([share("A", 2_000, 100), share("B", 2_000, 0)])
    assert found.verdict is VerdictCode.WORSE
    assert found.variants[1].reason == "an interval needs 100 users and results of 25"


def test_users_with_one_result_are_too_early() -> None:
    found = assess([share("A", 200, 200), share("B", 200, 200)])
    assert found.verdict is VerdictCode.TOO_EARLY


def test_revenue_without_variation_is_too_early() -> None:
    sums = UserSums.per_user(200, 1_000.0, 5_000.0)
    found = assess([ObservedVariant("A", sums), ObservedVariant("B", sums)])
    assert found.sentence == "Too early: all users have the same result."


def test_a_wrong_split_comes_before_any_claim() -> None:
    found = assess([share("A", 5_600, 1_000), share("B", 4_400, 2_200)])
    assert found.verdict is VerdictCode.SPLIT_WRONG
    assert found.sentence.startswith("The split is wrong: look at the assignment.")
    weighted = assess([share("A", 5_600, 1_000, 56), share("B", 4_400, 2_200, 44)])
    assert weighted.verdict is VerdictCode.BETTER


def test_most_users_in_both_variants_are_a_wrong_split() -> None:
    found = assess([share("A", 1_000, 100), share("B", 1_000, 300)], of_several=5_000)
    assert found.verdict is VerdictCode.SPLIT_WRONG
    assert "5,000 of 7,000 users (71 %) saw more than one variant" in found.sentence


def test_each_of_several_variants_is_compared_with_the_first() -> None:
    found = assess([share("A", 5_000, 1_000), share("B", 5_000, 1_200), share("C", 5_000, 1_000)])
    assert [(each.baseline, each.name) for each in found.differences] == [("A", "B"), ("A", "C")]
    assert found.verdict is VerdictCode.BETTER
    assert "C over A" in found.sentence


def test_more_comparisons_make_each_claim_harder() -> None:
    """Four comparisons have a fourth of alpha each; the p-value says so too, so it is still compared with alpha."""
    two = [share("A", 5_000, 1_000), share("B", 5_000, 1_120)]
    five = [*two, *(share(name, 5_000, 1_000) for name in "CDE")]
    alone, among = assess(two).differences[0], assess(five).differences[0]
    assert alone.absolute is not None
    assert among.absolute is not None
    assert among.absolute.low < alone.absolute.low
    assert alone.p_value is not None
    assert among.p_value is not None
    assert among.p_value > alone.p_value


@given(st.integers(100, 20_000), st.integers(100, 20_000), st.data(), st.integers(2, 4))
def test_a_claim_and_a_p_value_of_alpha_are_the_same(
    one: int, other: int, data: st.DataObject, of: int
) -> None:
    variants = [
        share(
            name,
            users,
            data.draw(st.integers(0, users)),
            users,  # the declared split is the one found, so that it is right
        )
        for name, users in zip("ABCD", [one, other, one, other][:of], strict=False)
    ]
    for each in assess(variants).differences:
        claims = each.finding.verdict in (VerdictCode.BETTER, VerdictCode.WORSE)
        assert claims == (each.p_value is not None and each.p_value <= 0.05)


def test_one_variant_or_none() -> None:
    assert assess([share("A", 1_000, 300)]).verdict is VerdictCode.ONE_VARIANT
    with pytest.raises(ValueError, match="each variant needs"):
        assess([])


def test_a_plan_moves_where_the_interval_is_tightest() -> None:
    variants = [share("A", 5_000, 1_000), share("B", 5_000, 1_100)]

    def width(planned_users: int) -> float:
        absolute = assess(variants, ExperimentPlan(planned_users=planned_users)).differences[0].absolute
        assert absolute is not None
        return absolute.high - absolute.low

    assert width(10_000) < min(width(1_000), width(100_000))


def test_an_assessment_is_json() -> None:
    found = assess([share("A", 5_000, 1_000), share("B", 5_000, 1_200)], of_several=3)
    text = msgspec.json.encode(found)
    assert msgspec.json.decode(text, type=Assessment) == found
    assert msgspec.json.decode(text)["verdict"] == "better"
