"""The benchmark of windows: the span of each ratio, and the sizes of a trial run."""

from pathlib import Path

from app.customers.customer_registry import Customers, create_customers_file
from benchmarks import windows
from benchmarks.ours import OURS
from benchmarks.rounds import Run


def run(name: str, rate: int, void: str | None = None) -> Run:
    return Run(name, count=rate, cpu_seconds=1.0, void=void)


def test_a_span_is_of_the_ratios_within_each_round() -> None:
    rounds = [
        {OURS: run(OURS, ours), "quix": run("quix", quix), "quix_final": run("quix_final", 10, void)}
        for ours, quix, void in ((300, 100, None), (200, 100, "lost 1"), (800, 200, None))
    ]
    spans = windows._spans(rounds)
    assert spans.pop("vs_quix") == [2.0, 4.0]
    assert set(spans.values()) == {None}
    assert "vs_quix_final" in spans


def test_smoke_alone_is_a_small_run_and_keeps_the_sizes_that_are_given() -> None:
    chosen = windows._parse(["--smoke", "--events", "5000"])
    assert (chosen.events, chosen.keys, chosen.rounds) == (5_000, [10], 1)
    whole = windows._parse([])
    assert (whole.events, whole.keys, whole.smoke) == (200_000, [10, 1_000, 100_000], False)


def test_customers_have_all_dimensions_or_no_further_ones(tmp_path: Path) -> None:
    path = tmp_path / "uptake.toml"
    create_customers_file(path, "00000")
    for is_plain in (True, False, True):
        windows.write_customers(path, ["00000", "00001"], is_plain=is_plain)
        customers = Customers.load(path)
        assert list(customers) == ["00000", "00001"]
        assert [bool(each.ctr_dimensions) for each in customers.values()] == [not is_plain] * 2
