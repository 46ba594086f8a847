"""The ratios of a fill: ours / each peer, second halves apart, and how the second half compares with the first."""

from benchmarks.ingest import ratios_of_fill
from benchmarks.progress import SECOND_HALF, SECOND_VS_FIRST
from benchmarks.rounds import Run


def a_run(name: str, cpu_seconds: float, second_half: float, void: str | None = None) -> Run:
    figures = {SECOND_HALF: second_half, SECOND_VS_FIRST: 0.8}
    return Run(name, 100, cpu_seconds=cpu_seconds, wall_seconds=1.0, figures=figures, void=void)


def test_warm_ratio_is_that_of_the_second_halves() -> None:
    rounds = [
        {
            "ours": a_run("ours", 1.0, 90.0),
            "quix": a_run("quix", 4.0, 20.0),
            "kafka_streams": a_run("kafka_streams", 2.0, 100.0),
        }
    ]
    found = ratios_of_fill(rounds, ["ours", "quix", "kafka_streams"])
    assert found["ratios"] == {
        "vs_quix": 4.0,
        "vs_kafka_streams": 2.0,
        "vs_kafka_streams_warm": 0.9,
        SECOND_VS_FIRST: 0.8,
    }
    assert found["void"] == {}


def test_void_run_of_a_peer_voids_both_of_its_ratios() -> None:
    rounds = [
        {
            "ours": a_run("ours", 1.0, 90.0),
            "kafka_streams": a_run("kafka_streams", 2.0, 100.0, void="lost 1 doubled 0"),
        }
    ]
    found = ratios_of_fill(rounds, ["ours", "kafka_streams"])
    assert found["ratios"]["vs_kafka_streams"] is found["ratios"]["vs_kafka_streams_warm"] is None
    assert set(found["void"]) == {"vs_kafka_streams", "vs_kafka_streams_warm"}


def test_void_run_of_ours_voids_everything() -> None:
    rounds = [{"ours": a_run("ours", 1.0, 90.0)}, {"ours": a_run("ours", 1.0, 90.0, void="lost 1 doubled 0")}]
    found = ratios_of_fill(rounds, ["ours"])
    assert found["ratios"] == {SECOND_VS_FIRST: None}
    assert found["void"] == {SECOND_VS_FIRST: "ours: lost 1 doubled 0"}


def test_peers_alone_have_no_ratios() -> None:
    assert ratios_of_fill([{"quix": a_run("quix", 4.0, 20.0)}], ["quix"])["ratios"] == {}
