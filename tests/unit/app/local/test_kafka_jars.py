"""The search for Java and the Kafka jars, and the messages if they are missing."""

from pathlib import Path

import pytest

from app.base.errors import NoBrokerError
from app.local import kafka_jars


def a_java(path: Path, version: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-01-01' >&2\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without Java, Maven and jars."""
    monkeypatch.setattr(kafka_jars, "_home", lambda: tmp_path / "kafka")
    monkeypatch.setattr(kafka_jars.importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("version", "number"), [("17.0.15", 17), ("25", 25), ("1.8.0_452", 8), ("strange", None)]
)
def test_java_version_is_read(tmp_path: Path, version: str, number: int | None) -> None:
    java = a_java(tmp_path / "java", version)
    assert kafka_jars.java_version(java) == number


def test_java_home_comes_before_path_and_an_old_java_is_passed_over(
    nothing_here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kafka_jars.find_java() is None
    on_path = a_java(nothing_here / "bin" / "java", "21.0.1")
    assert kafka_jars.find_java() == on_path
    of_home = a_java(nothing_here / "jdk" / "bin" / "java", "17")
    monkeypatch.setenv("JAVA_HOME", str(nothing_here / "jdk"))
    assert kafka_jars.find_java() == of_home
    a_java(of_home, "11.0.2")
    assert kafka_jars.find_java() == on_path


def test_without_java_the_message_names_three_ways_out(nothing_here: Path) -> None:
    with pytest.raises(NoBrokerError) as missing:
        kafka_jars.locate()
    assert all(
        way in str(missing.value) for way in ("no Java 17", "--kafka host:port", "Maven", "docker compose up")
    )


def test_without_maven_the_message_names_three_ways_out(nothing_here: Path) -> None:
    a_java(nothing_here / "bin" / "java", "17")
    with pytest.raises(NoBrokerError, match="Maven \\(mvn\\) is not installed") as missing:
        kafka_jars.locate()
    assert "docker compose up" in str(missing.value)


def test_failed_maven_leaves_nothing_behind_and_says_why(nothing_here: Path) -> None:
    a_java(nothing_here / "bin" / "java", "17")
    maven = nothing_here / "bin" / "mvn"
    maven.write_text("#!/bin/sh\necho '[INFO] scanning'\necho '[ERROR] no network'\nexit 1\n")
    maven.chmod(0o755)
    with pytest.raises(NoBrokerError, match="no network"):
        kafka_jars.locate()
    assert kafka_jars.find_lib() is None
    assert [path.name for path in (nothing_here / "kafka").iterdir()] == ["fetch.lock"]


def test_fetched_jars_are_found_without_maven(nothing_here: Path) -> None:
    a_java(nothing_here / "bin" / "java", "17")
    maven = nothing_here / "bin" / "mvn"
    maven.write_text(
        "#!/bin/sh\nfor word; do case $word in -DoutputDirectory=*) lib=${word#*=};; esac; done\n"
        f"/bin/mkdir -p $lib && : > $lib/kafka_2.13-{kafka_jars.kafka_version()}.jar\n"
    )
    maven.chmod(0o755)
    lines: list[str] = []
    runtime = kafka_jars.locate(lines.append)
    assert runtime.lib == nothing_here / "kafka" / "lib"
    assert any("fetching Kafka" in line for line in lines)
    maven.unlink()
    assert kafka_jars.locate(offline=True) == runtime
