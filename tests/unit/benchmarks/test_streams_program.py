"""A machine that cannot build the Kafka Streams peer gets a sentence, and a built one is not built again."""

from pathlib import Path

import pytest

from benchmarks import ingest
from benchmarks import streams_program as module
from benchmarks.streams_program import NoStreamsError, build_streams


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Let the project and what is built from it be in a directory of the test, and a Java be there."""
    project, built = tmp_path / "project", tmp_path / "built"
    project.mkdir()
    (project / "pom.xml").write_text("<project/>")
    monkeypatch.setattr(module, "_PROJECT", project)
    monkeypatch.setattr(module, "_BUILT", built)
    monkeypatch.setattr(module, "find_java", lambda: Path("java17"))
    return project


def test_missing_java_is_said(monkeypatch: pytest.MonkeyPatch, places: Path) -> None:
    monkeypatch.setattr(module, "find_java", lambda: None)
    with pytest.raises(NoStreamsError, match="no Java 17 or newer"):
        build_streams(lambda _line: None)


def test_missing_maven_is_said_and_the_peers_are_left_out(
    monkeypatch: pytest.MonkeyPatch, places: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module.shutil, "which", lambda _name: None)
    program, left_out = ingest._streams(["ours", "quix", "kafka_streams"])
    assert program is None
    assert left_out == {"kafka_streams": "Maven (mvn) is not installed, and it builds the peer"}
    assert "without Kafka Streams: Maven (mvn) is not installed" in capsys.readouterr().err


def test_error_of_maven_is_said(monkeypatch: pytest.MonkeyPatch, places: Path) -> None:
    maven = places.parent / "mvn"
    maven.write_text("#!/bin/sh\necho '[INFO] x'\necho '[ERROR] no such artifact'\nexit 1\n")
    maven.chmod(0o755)
    monkeypatch.setattr(module.shutil, "which", lambda _name: str(maven))
    with pytest.raises(NoStreamsError, match=r"could not build it: \[ERROR\] no such artifact"):
        build_streams(lambda _line: None)


def test_peer_is_built_again_only_after_a_change(monkeypatch: pytest.MonkeyPatch, places: Path) -> None:
    built: list[str] = []

    def build(maven: str) -> None:
        built.append(maven)
        module._BUILT.mkdir()

    monkeypatch.setattr(module.shutil, "which", lambda name: name)
    monkeypatch.setattr(module, "_run", build)
    program = build_streams(lambda _line: None)
    build_streams(lambda _line: None)
    assert built == ["mvn"]
    (places / "pom.xml").write_text("<project></project>")
    build_streams(lambda _line: None)
    assert built == ["mvn", "mvn"]
    command = program.command(["--topic", "t"])
    assert command[0] == "java17"
    assert command[-3:] == ["streams.KafkaStreamsPeer", "--topic", "t"]


def test_contestants_without_kafka_streams_build_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "build_streams", lambda _say: pytest.fail("it was built"))
    assert ingest._streams(["ours", "bare_loop"]) == (None, {})
