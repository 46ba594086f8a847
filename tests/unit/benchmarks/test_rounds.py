"""Runs become ratios: ours / theirs for each round, then the median; null for a peer that miscounted."""

from benchmarks.ingest import PEERS
from benchmarks.ours import OURS
from benchmarks.rounds import Run, order, ratios_of

PAIRS = {f"vs_{peer}": (OURS, peer) for peer in PEERS}


def a_round(ours: float, theirs: float, void: str | None = None) -> dict[str, Run]:
    """Return a round in which every peer used ``theirs`` CPU-seconds for 100 events; ``void`` voids the first peer."""
    runs = {peer: Run(peer, 100, cpu_seconds=theirs, wall_seconds=1.0) for peer in PEERS}
    runs[PEERS[0]].void = void
    return {OURS: Run(OURS, 100, cpu_seconds=ours, wall_seconds=1.0), **runs}


def rate(run: Run) -> float:
    return run.per_cpu_second


def test_ratio_is_the_median_over_the_rounds() -> None:
    ratios, reasons = ratios_of([a_round(1, 2), a_round(1, 9), a_round(1, 3)], PAIRS, rate)
    assert ratios == {f"vs_{peer}": 3.0 for peer in PEERS}
    assert reasons == {}


def test_one_mismatch_voids_the_ratio_and_says_why() -> None:
    ratios, reasons = ratios_of([a_round(1, 2), a_round(1, 2, void="lost 1 doubled 0")], PAIRS, rate)
    assert ratios[f"vs_{PEERS[0]}"] is None
    assert reasons == {f"vs_{PEERS[0]}": f"{PEERS[0]}: lost 1 doubled 0"}
    assert ratios[f"vs_{PEERS[1]}"] == 2.0


def test_no_round_no_ratio() -> None:
    assert ratios_of([], PAIRS, rate)[0] == {f"vs_{peer}": None for peer in PEERS}


def test_two_rounds_run_in_opposite_order() -> None:
    names = [OURS, *PEERS]
    assert order(names, 0) == names
    assert order(names, 1) == names[::-1]
    assert all(sorted(order(names, number)) == sorted(names) for number in range(8))
