"""`lookup` says what is missing, and gives no ratio where answers differ, requests fail or the worker does not keep up."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks import lookup, redis_peers, redis_server, wrk
from benchmarks.lookup import FOLDING
from benchmarks.lookup_bench import MOST_BEHIND_SECONDS, Bench, difference_of, p99_ratio
from benchmarks.lookup_servers import Server
from benchmarks.ours import OURS
from benchmarks.redis_peers import FASTAPI_REDIS, GO_REDIS, PEERS, MissingPeerError, program_of


def test_missing_wrk_is_said_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(wrk.shutil, "which", lambda _name: None)
    with pytest.raises(SystemExit, match="apt install wrk"):
        lookup.main(["--json"])
    assert capsys.readouterr().out == ""


def test_missing_redis_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(redis_server.shutil, "which", lambda _name: None)
    for peer in PEERS:
        with pytest.raises(MissingPeerError, match="apt install redis-server"):
            program_of(peer, tmp_path)


def test_missing_libraries_and_a_missing_go_are_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        redis_server.shutil, "which", lambda name: None if name == "go" else f"/usr/bin/{name}"
    )
    monkeypatch.setattr(redis_server, "find_spec", lambda _name: object())
    monkeypatch.setattr(redis_peers, "find_spec", lambda _name: None)
    with pytest.raises(MissingPeerError, match="make bench"):
        program_of(FASTAPI_REDIS, tmp_path)
    with pytest.raises(MissingPeerError, match="needs Go"):
        program_of(GO_REDIS, tmp_path)
    monkeypatch.setattr(redis_server, "find_spec", lambda _name: None)
    with pytest.raises(MissingPeerError, match="redis-py"):
        program_of(FASTAPI_REDIS, tmp_path)


def test_go_program_that_does_not_build_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho 'go: go.mod requires go >= 1.26' >&2\nexit 1\n")
    go.chmod(0o755)
    monkeypatch.setattr(redis_peers, "missing_redis", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(MissingPeerError, match=r"requires go >= 1\.26"):
        program_of(GO_REDIS, tmp_path)


class Answering:
    """A kind of lookup whose answers are given."""

    def __init__(self, answers: list[Any]) -> None:
        self._answers = answers

    async def sample(self, port: int, count: int) -> list[Any]:
        return [self._answers[port]] * count


def test_only_the_server_that_answers_otherwise_has_no_ratio() -> None:
    answers = [
        {"known": True, "excluded": []},
        {"known": True, "excluded": []},
        {"known": False, "excluded": []},
    ]
    bench = Bench({"exclusions": Answering(answers)}, 1, 1, 1)  # type: ignore[dict-item]
    for port, name in enumerate((OURS, FASTAPI_REDIS, GO_REDIS)):
        bench.compare(Server(name, port, (), Path()), ["exclusions"])
    assert list(bench._differences) == [("exclusions", GO_REDIS)]


def test_differences_and_refusals_are_told() -> None:
    assert difference_of([(1, 2), (3, 4)], [(1, 2), (3, 4)]) is None
    assert "1 of 2 answers differ, as (3, 5) and (3, 4)" in (
        difference_of([1.0, (3, 5)], [1.0, (3, 4)]) or ""
    )
    assert difference_of([503, (1, 2)], [503, (1, 2)]) == "1 of 2 lookups were refused"


def told(p99: float | None, failed: int = 0) -> dict[str, Any]:
    return {"p50": 1.0, "p99": p99, "failed": failed}


def test_ratio_of_p99_is_the_median_over_rounds() -> None:
    runs = {OURS: [told(2.0), told(9.0), told(3.0)], FASTAPI_REDIS: [told(4.0), told(3.0), told(3.0)]}
    assert p99_ratio(runs, FASTAPI_REDIS) == 1.0
    assert p99_ratio({**runs, OURS: [told(2.0, failed=1)] * 3}, FASTAPI_REDIS) is None
    assert p99_ratio({**runs, FASTAPI_REDIS: [told(None)] * 3}, FASTAPI_REDIS) is None


def measured(behind_seconds: float, failed: int = 0) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ratios": {},
        "void": {},
        "steady": {
            "100": {OURS: [told(1.0)], FASTAPI_REDIS: [told(2.0)]},
            "300": {OURS: [told(3.0, failed)], FASTAPI_REDIS: [told(4.0)]},
        },
        "folding": {**told(6.0), "behind_seconds": behind_seconds},
    }
    lookup._add_latencies(result)
    return result


def test_latencies_are_compared_at_the_same_rate() -> None:
    assert measured(1.0)["ratios"] == {
        "p99_at_100_vs_fastapi_redis": 0.5,
        "p99_at_300_vs_fastapi_redis": 0.75,
        FOLDING: 1.5,
    }


def test_worker_that_does_not_keep_up_has_no_ratio() -> None:
    found = measured(MOST_BEHIND_SECONDS + 0.1)
    assert found["ratios"][FOLDING] is None
    assert "did not keep up" in found["void"][FOLDING]


def test_failed_requests_void_their_rate_only() -> None:
    found = measured(1.0, failed=2)
    assert found["ratios"]["p99_at_100_vs_fastapi_redis"] == 0.5
    assert found["ratios"]["p99_at_300_vs_fastapi_redis"] is None
    assert set(found["void"]) == {"p99_at_300_vs_fastapi_redis"}


@pytest.mark.parametrize("argv", [["--kinds", "unknown"], ["--only", "mysql"], ["--traffic", "none"]])
def test_unknown_choices_are_refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        lookup._parse(argv)
    assert "invalid choice" in capsys.readouterr().err


def test_smoke_is_small_and_leaves_given_sizes() -> None:
    chosen = lookup._parse(["--smoke", "--seconds", "3"])
    assert (chosen.users, chosen.seconds) == (2_000, 3)
