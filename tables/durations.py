"""How long is ``PT30M``: ISO 8601 durations of fixed length, to and from milliseconds.

Years and months are refused, because their length depends on the calendar.
"""

import re
from fractions import Fraction
from typing import Final

MAX_DURATION_MS: Final = 36_525 * 86_400_000  # a century: more is a slip of the pen

_UNITS_MS: Final = {"W": 604_800_000, "D": 86_400_000, "H": 3_600_000, "M": 60_000, "S": 1_000}
_NUMBER: Final = r"[0-9]{1,12}(?:[.,][0-9]{1,9})?"
_DURATION: Final = re.compile(
    rf"P(?:(?P<W>{_NUMBER})W)?(?:(?P<D>{_NUMBER})D)?"
    rf"(?:T(?=[0-9])(?:(?P<H>{_NUMBER})H)?(?:(?P<M>{_NUMBER})M)?(?:(?P<S>{_NUMBER})S)?)?"
)


class DurationError(ValueError):
    """The text is no duration we take; the message is a sentence for people."""


def parse_ms(text: str) -> int:
    """Return the milliseconds of an ISO 8601 duration, above 0: ``PT30M``, ``P1DT12H``, ``P2W``, ``PT0.5S``.

    Only the smallest unit may have a fraction, as the standard says.
    """
    match = _DURATION.fullmatch(text)
    given = {unit: value for unit, value in match.groupdict().items() if value} if match else {}
    if not given or any("." in value or "," in value for value in list(given.values())[:-1]):
        raise DurationError(
            f"{text[:40]!r} is not a duration: write ISO 8601 in weeks, days, hours, minutes and seconds, "
            f"such as PT30M, PT1H, P1D or P1DT12H"
        )
    total = sum(Fraction(value.replace(",", ".")) * _UNITS_MS[unit] for unit, value in given.items())
    if total.denominator != 1:
        raise DurationError(f"{text[:40]!r} is finer than a millisecond")
    if not 0 < total <= MAX_DURATION_MS:
        raise DurationError(f"{text[:40]!r} must be longer than nothing and at most a century")
    return int(total)


def format_ms(duration_ms: int) -> str:
    """Return the ISO 8601 duration of milliseconds above 0, weeks only when they are whole: ``P1W``, ``P1DT12H``."""
    if duration_ms <= 0:
        raise ValueError("a duration is above 0")
    if duration_ms % _UNITS_MS["W"] == 0:
        return f"P{duration_ms // _UNITS_MS['W']}W"
    days, rest_ms = divmod(duration_ms, _UNITS_MS["D"])
    hours, rest_ms = divmod(rest_ms, _UNITS_MS["H"])
    minutes, rest_ms = divmod(rest_ms, _UNITS_MS["M"])
    seconds, millis = divmod(rest_ms, 1_000)
    date = f"{days}D" if days else ""
    time = (f"{hours}H" if hours else "") + (f"{minutes}M" if minutes else "")
    if seconds or millis:
        time += f"{seconds}" + (f".{millis:03d}".rstrip("0") if millis else "") + "S"
    return f"P{date}" + (f"T{time}" if time else "")
