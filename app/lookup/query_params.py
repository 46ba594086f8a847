"""Query parameters of one lookup: each is taken once, and an unknown one is refused."""

from multidict import MultiMapping

from events import tracker_fields
from events.rejections import RefusedError


class Params:
    """The query parameters of one request. It refuses a parameter that is given twice or that the route does not know."""

    def __init__(self, query: MultiMapping[str]) -> None:
        self._left: dict[str, str] = {}
        for name, value in query.items():
            if name in self._left:
                raise RefusedError("duplicate_parameter", f"{name[:40]}: give it once", name[:40])
            self._left[name] = value
        self._taken: list[str] = []

    def take(self, name: str) -> str | None:
        """Return a parameter; None if it is absent or empty."""
        self._taken.append(name)
        return self._left.pop(name, None) or None

    def integer(self, name: str, least: int, greatest: int) -> int | None:
        """Return a whole number within bounds; None if it is absent or empty."""
        text = self.take(name)
        if text is None:
            return None
        number = tracker_fields.integer(text, greatest)
        if number is None:
            raise bad_value(name, f"must be a whole number from {least} to {greatest}", text)
        return bounded(name, number, least, greatest)

    def done(self) -> None:
        """Refuse every parameter that was not taken: a mistyped one must not change an answer silently."""
        for name in self._left:
            known = ", ".join(self._taken) or "none"
            raise RefusedError(
                "bad_parameter", f"{name[:40]!r} is not a parameter here; there are: {known}", name[:40]
            )


def read_flag(params: Params, name: str) -> bool:
    """Return a parameter that is 1 or 0; 0 if it is absent."""
    text = params.take(name)
    if text not in (None, "0", "1"):
        raise RefusedError("bad_parameter", f"{name} takes 1 or 0", name, text)
    return text == "1"


def bounded(name: str, number: int, least: int, greatest: int) -> int:
    """Return a number; raise RefusedError if it is not within its bounds."""
    if not least <= number <= greatest:
        raise bad_value(name, f"must be a whole number from {least} to {greatest}", str(number))
    return number


def bad_value(name: str, takes: str, value: str) -> RefusedError:
    """Return the refusal of a value, with a sentence that says what the parameter takes."""
    return RefusedError("bad_parameter", f"{name} {takes}, not {value[:40]!r}", name, value)
