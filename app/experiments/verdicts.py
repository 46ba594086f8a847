"""Verdicts in words. Each says what is known and what to do: stop, wait, or look at the assignment."""

from collections.abc import Sequence
from enum import StrEnum
from math import floor, log10
from typing import Final

import msgspec

from app.experiments.differences import Estimate
from app.experiments.sample_ratio import SplitCheck

_LOOK: Final = "The split is wrong: look at the assignment."


class VerdictCode(StrEnum):
    """What an experiment has shown so far, for programs."""

    SPLIT_WRONG = "split_wrong"
    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE = "no_difference"
    TOO_EARLY = "too_early"
    ONE_VARIANT = "one_variant"


_STRONGEST_FIRST: Final = (
    VerdictCode.BETTER,
    VerdictCode.TOO_EARLY,
    VerdictCode.WORSE,
    VerdictCode.NO_DIFFERENCE,
)


class Finding(msgspec.Struct, frozen=True):
    """A verdict with its sentence for people."""

    verdict: VerdictCode
    sentence: str


def of_split(names: Sequence[str], split: SplitCheck) -> Finding | None:
    """Return what is wrong with the assignment of users, or None."""
    if split.has_several:
        seen = split.users + split.of_several
        share = _percent(split.of_several / seen)
        found = f"{split.of_several:,} of {seen:,} users ({share}) saw more than one variant."
        return Finding(VerdictCode.SPLIT_WRONG, f"{_LOOK} {found}")
    if split.is_ratio_wrong:
        parts = ", ".join(
            f"{name} has {_percent(found)} of the users instead of {_percent(expected)}"
            for name, found, expected in zip(names, split.found, split.expected, strict=True)
        )
        return Finding(VerdictCode.SPLIT_WRONG, f"{_LOOK} {parts}.")
    return None


def of_difference(
    base: str, other: str, absolute: Estimate, lift: Estimate | None, effect: float, missing: int | None
) -> Finding:
    """Return what a difference says. ``effect`` is the smallest lift that matters; ``missing`` users would show it."""
    for verdict, sign in ((VerdictCode.BETTER, 1), (VerdictCode.WORSE, -1)):
        if min(sign * absolute.low, sign * absolute.high) > 0:
            amount = _amount(absolute, sign) if lift is None else _relative(lift, sign)
            return Finding(verdict, f"{other} is {verdict} than {base} by {amount}; you may stop.")
    if lift is None:
        return too_early(f"{base} may have a rate of 0")
    span = f"({_percent(lift.low)} to {_percent(lift.high)})"
    if max(-lift.low, lift.high) < effect:
        sentence = f"{other} and {base} differ by less than {_percent(effect)} {span}; you may stop."
        return Finding(VerdictCode.NO_DIFFERENCE, sentence)
    known = f"the lift of {other} over {base} is {_percent(lift.value)} {span}"
    if missing is None:
        return too_early(known)
    if missing == 0:
        return too_early(f"{known}; a lift of {_percent(effect)} would probably have shown by now")
    return too_early(f"{known}; about {missing:,} more users would show a lift of {_percent(effect)}")


def too_early(reason: str) -> Finding:
    """Return that nothing can be said yet, and why."""
    return Finding(VerdictCode.TOO_EARLY, f"Too early: {reason}.")


def of_all(findings: Sequence[Finding]) -> Finding:
    """Return the verdict on all variants: better if one is, too early while one is undecided; and all sentences."""
    if not findings:
        return Finding(
            VerdictCode.ONE_VARIANT, "There is only one variant so far, so there is nothing to compare."
        )
    strongest = min((each.verdict for each in findings), key=_STRONGEST_FIRST.index)
    return Finding(strongest, " ".join(each.sentence for each in findings))


def _relative(lift: Estimate, sign: int) -> str:
    low, high = sorted((sign * lift.low, sign * lift.high))
    return f"{_percent(sign * lift.value)} ({_percent(low)} to {_percent(high)})"


def _amount(absolute: Estimate, sign: int) -> str:
    low, high = sorted((sign * absolute.low, sign * absolute.high))
    return f"{sign * absolute.value:.3g} ({low:.3g} to {high:.3g})"


def _percent(share: float) -> str:
    """Return a share in percent: whole from 10 % on, two significant digits below."""
    percent = round(100 * share, 6) + 0.0  # no negative zero
    size = abs(percent)
    decimals = 0 if size >= 10 or size == 0 else 1 - floor(log10(size))
    text = f"{percent:.{decimals}f}"
    return f"{text.rstrip('0').rstrip('.') if decimals else text} %"
