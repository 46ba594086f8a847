"""The collector's answer to a batch: a result for each row, or words for people. Pure."""

from collections.abc import Sequence

import msgspec

from app.base.errors import UptakeError


class RowResult(msgspec.Struct):
    """The collector's result for one element. ``retry``: it was not taken, and may be sent again."""

    status: str
    code: str = "rejected"
    reason: str = ""
    retry: bool = False


class _Results(msgspec.Struct):
    results: list[RowResult]


def row_results(body: bytes, count: int) -> Sequence[RowResult]:
    """Return the result of each of ``count`` rows; raise UptakeError if there are more or fewer results."""
    try:
        results = msgspec.json.decode(body, type=_Results).results
    except (msgspec.DecodeError, UnicodeDecodeError):
        results = []
    if len(results) != count:
        raise UptakeError("the answer is not that of an Uptake collector: it has no result for each event")
    return results


def words(status: int, body: bytes) -> str:
    """Return status and reason in the server's own words."""
    try:
        problem = msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = body.decode("utf-8", "replace").strip()[:500]
        return f"status {status}: {text}" if text else f"status {status}"
    return f"status {status}, {problem.get('code', '')}: {problem.get('detail', '')}"
