"""Now / before: pairs that alternate, the median of their ratios with its interval, and null for what counted wrong."""

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as command
from benchmarks import against, collector, ingest
from benchmarks.against import BEFORE, HIGHER, LOWER, NOW, Measure, Trial, evaluate, figure, parse, rates
from benchmarks.checkouts import ROOT, Checkout
from benchmarks.rounds import Run, order, play

NOTHING: Callable[[Run, Checkout], None] = lambda run, checkout: None  # noqa: E731 - these are not run


def a_pair(now_cpu: float, before_cpu: float, void: str | None = None) -> dict[str, Run]:
    """Return a pair that took so many CPU-seconds for 100 events; ``void`` is that of the one before."""
    return {
        NOW: Run(NOW, 100, cpu_seconds=now_cpu, wall_seconds=1.0, peak_mib=50.0, figures={"p99": now_cpu}),
        BEFORE: Run(BEFORE, 100, before_cpu, 1.0, 100.0, void=void, figures={"p99": before_cpu}),
    }


def trial(*measures: Measure) -> Trial:
    return Trial("trial", NOTHING, measures or rates())


def test_pairs_alternate() -> None:
    assert [order((NOW, BEFORE), number)[0] for number in range(5)] == [NOW, BEFORE, NOW, BEFORE, NOW]
    ran: list[str] = []
    play((NOW, BEFORE), 3, lambda run: ran.append(run.contestant), lambda _line: None, "events")
    assert ran == [NOW, BEFORE, BEFORE, NOW, NOW, BEFORE]


def test_half_the_cpu_is_a_ratio_of_two() -> None:
    found = evaluate(trial(), [a_pair(1.0, 2.0)] * 7)
    assert found["ratios"] == {
        "events_per_cpu_second": 2.0,
        "events_per_wall_second": 1.0,
        "peak_mib": 0.5,
    }
    assert found["better"] == {
        "events_per_cpu_second": HIGHER,
        "events_per_wall_second": HIGHER,
        "peak_mib": LOWER,
    }


def test_median_interval_and_every_pair_are_told() -> None:
    found = evaluate(trial(), [a_pair(1.0, cpu) for cpu in (1.1, 0.9, 1.0, 1.3, 1.05, 0.95, 1.2)])
    name = "events_per_cpu_second"
    assert found["ratios"][name] == 1.05
    assert found["intervals"][name] == [0.9, 1.3]
    assert found["coverage"][name] == 0.9844
    assert found["pairs"][name] == [1.1, 0.9, 1.0, 1.3, 1.05, 0.95, 1.2]
    assert found["void"] == {}


def test_figure_of_a_benchmark_is_a_measure() -> None:
    found = evaluate(trial(figure("p99", LOWER)), [a_pair(30.0, 60.0)] * 7, "with_lookups.")
    assert found["ratios"] == {"with_lookups.p99": 0.5}
    assert found["better"] == {"with_lookups.p99": LOWER}


def test_one_void_run_voids_the_ratio_and_says_why() -> None:
    found = evaluate(trial(), [*([a_pair(1.0, 2.0)] * 6), a_pair(1.0, 2.0, void="lost 1 doubled 0")])
    name = "events_per_cpu_second"
    assert found["ratios"][name] is None
    assert found["intervals"][name] is None
    assert found["void"][name] == "before: lost 1 doubled 0"
    assert found["pairs"][name] == [2.0] * 6 + [None]


def test_run_without_a_rate_is_void() -> None:
    found = evaluate(trial(), [a_pair(0.0, 2.0)] * 7)
    assert found["void"]["events_per_cpu_second"] == "now: it measured nothing"
    assert found["ratios"]["events_per_wall_second"] == 1.0


def parsed(*argv: str, trials: tuple[str, ...] = ()) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=("ours",))
    return parse(parser, argv, trials)


@pytest.mark.parametrize(
    ("argv", "pairs"),
    [
        (["--against", "x"], 7),
        (["--against", "x", "--pairs", "9"], 9),
        (["--against", "x", "--smoke"], 1),
        (["--against", "x", "--smoke", "--pairs", "2"], 2),
    ],
)
def test_seven_pairs_unless_said_otherwise(argv: list[str], pairs: int) -> None:
    assert parsed(*argv).pairs == pairs


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["--against", "x", "--pairs", "6"], "--pairs is 7 or more"),
        (["--against", "x", "--smoke", "--pairs", "0"], "--pairs is 7 or more"),
        (["--pairs", "7"], "belong to --against"),
        (["--smoke"], "belong to --against"),
        (["--against", "x", "--rounds", "2"], "--rounds is about peers"),
        (["--against", "x", "--only", "quix"], "--only is about peers"),
        (["--against", "x", "--trials", "none"], "invalid choice"),
    ],
)
def test_wrong_options_are_refused(
    argv: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed(*argv, trials=("single", "batch"))
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


def test_path_that_is_no_checkout_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"--against: .* is not a git checkout"):
        ingest.main(["--against", str(tmp_path)])


def work(run: Run, checkout: Checkout) -> None:
    run.count, run.cpu_seconds, run.wall_seconds, run.peak_mib = 100, 1.0, 1.0, 10.0


def checkouts(monkeypatch: pytest.MonkeyPatch, *, is_changed: bool = False) -> dict[Path, Checkout]:
    """Let every path be a checkout; return those that are opened."""
    opened: dict[Path, Checkout] = {}

    def open_any(path: Path) -> Checkout:
        code = "0" if is_changed else ""
        return opened.setdefault(
            path, Checkout(path, Path("python"), commit="c0ffee", given=str(path), code=code)
        )

    monkeypatch.setattr(Checkout, "open", open_any)
    monkeypatch.setattr("benchmarks.checkouts._checksum", lambda _root: "")
    return opened


def measured(
    capsys: pytest.CaptureFixture[str], chosen: argparse.Namespace, *trials: Trial
) -> dict[str, Any]:
    @contextmanager
    def prepared(_chosen: argparse.Namespace) -> Iterator[tuple[Trial, ...]]:
        yield trials

    status = against.run("ingest", chosen, prepared)
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert status == (1 if result["void"] else 0)
    return result


def test_each_side_runs_its_own_checkout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checkouts(monkeypatch)
    ran: list[tuple[str, Path]] = []

    def run(run: Run, checkout: Checkout) -> None:
        ran.append((run.contestant, checkout.root))
        work(run, checkout)

    chosen = parsed("--against", "../other", "--json")
    result = measured(capsys, chosen, Trial("trial", run, rates()))
    assert set(ran) == {(NOW, ROOT), (BEFORE, Path("../other"))}
    assert [side for side, _ in ran[:4]] == [NOW, BEFORE, BEFORE, NOW]
    assert len(ran) == 14
    assert result["benchmark"] == "ingest"
    assert result["is_smoke"] is False
    assert result["ratios"]["events_per_cpu_second"] == 1.0
    assert result["intervals"]["events_per_cpu_second"] == [1.0, 1.0]
    assert result["before"]["commit"] == "c0ffee"
    assert result["options"] == {"json": True, "against": "../other", "pairs": 7, "smoke": False}
    assert result["runs"]["trial"][NOW]["count"] == 100


def test_smoke_is_marked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    checkouts(monkeypatch)

    result = measured(capsys, parsed("--against", "x", "--smoke", "--json"), Trial("trial", work, rates()))
    assert result["is_smoke"] is True
    assert result["intervals"]["events_per_cpu_second"] is None


def test_only_the_trials_that_are_chosen_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checkouts(monkeypatch)

    chosen = parsed("--against", "x", "--smoke", "--json", "--trials", "batch", trials=("single", "batch"))
    both = [Trial(name, work, rates()) for name in ("single", "batch")]
    assert measured(capsys, chosen, *both)["runs"].keys() == {"batch"}


@pytest.mark.parametrize(
    "error", [KeyError("rendered"), ValueError("a row of another format"), RuntimeError("ended")]
)
def test_results_of_another_form_are_void(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checkouts(monkeypatch)

    def run(run: Run, checkout: Checkout) -> None:
        raise error

    result = measured(capsys, parsed("--against", "x", "--json"), Trial("trial", run, rates()))
    assert set(result["ratios"].values()) == {None}
    assert str(error) in result["void"]["events_per_cpu_second"]


def test_code_that_changes_meanwhile_voids_everything(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checkouts(monkeypatch, is_changed=True)

    result = measured(capsys, parsed("--against", "x", "--json"), Trial("trial", work, rates()))
    assert set(result["ratios"].values()) == {None}
    assert all("changed while it was measured" in reason for reason in result["void"].values())


def test_unknown_benchmark_is_refused_and_the_others_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["injest", "--against", "x"]) == 2
    complaint = capsys.readouterr().err
    assert "there is no benchmark injest" in complaint
    assert all(name in complaint for name in command.BENCHMARKS)


def test_against_needs_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--against=x"]) == 2
    assert command.main(["--against", "x"]) == 2
    assert "needs the name of a benchmark" in capsys.readouterr().err


def test_help_names_every_benchmark_and_runs_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in command.BENCHMARKS)
    assert "--against CHECKOUT" in shown


@pytest.mark.parametrize("name", [name for name in command.BENCHMARKS if name != "experiments"])
def test_every_benchmark_of_processes_has_now_and_before(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main([name, "--help"])
    assert ended.value.code == 0
    assert "--against CHECKOUT" in capsys.readouterr().out


def test_collector_may_be_measured_in_parts(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        collector.main(["--help"])
    assert "--trials {single,batch}" in capsys.readouterr().out
