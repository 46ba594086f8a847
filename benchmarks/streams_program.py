"""Builds the Kafka Streams peer (benchmarks/peers/kafka_streams) with Maven on first use, and starts it with the Java of the machine."""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.local.kafka_jars import MINIMUM_JAVA, find_java, java_version
from benchmarks.checkouts import ROOT

_PROJECT: Final = ROOT / "benchmarks" / "peers" / "kafka_streams"
_BUILT: Final = ROOT / "build" / "kafka_streams"
_JAR: Final = "kafka-streams-peer-1.jar"
_MAIN: Final = "streams.KafkaStreamsPeer"
_BUILD_SECONDS: Final = 600
_FLAGS: Final = ("-XX:+UseParallelGC", "-Xmx1g")
"""The collector that takes least CPU here (docs/benchmarks.md); half the heap changed nothing."""


class NoStreamsError(RuntimeError):
    """The peer cannot be built here; the message says what is missing."""


@dataclass(frozen=True)
class StreamsProgram:
    """The built peer, and the Java that runs it. ``flags`` are those of the JVM."""

    java: Path
    flags: tuple[str, ...] = ()
    root: Path = ROOT

    def command(self, arguments: Sequence[str]) -> list[str]:
        """Return the command line of the peer."""
        classpath = f"{_BUILT / _JAR}{os.pathsep}{_BUILT / 'lib'}/*"
        return [str(self.java), *self.flags, "-cp", classpath, _MAIN, *arguments]

    def environ(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of this process, with ``env`` in it."""
        return {**os.environ, **env}

    def describe(self) -> dict[str, Any]:
        """Return what a reader must know to repeat a measurement of it."""
        version = re.search(r"<kafka\.version>([^<]+)<", (_PROJECT / "pom.xml").read_text())
        return {
            "version": version[1] if version else None,
            "java": java_version(self.java),
            "flags": list(self.flags),
        }


def build_streams(say: Callable[[str], None]) -> StreamsProgram:
    """Return the peer, built if its sources changed since the last build; NoStreamsError if that is not possible."""
    java = find_java()
    if java is None:
        raise NoStreamsError(f"no Java {MINIMUM_JAVA} or newer in JAVA_HOME or PATH")
    stamp, sources = _BUILT / "sources", _checksum(_PROJECT)
    if not stamp.is_file() or stamp.read_text() != sources:
        maven = shutil.which("mvn")
        if maven is None:
            raise NoStreamsError("Maven (mvn) is not installed, and it builds the peer")
        say("building the Kafka Streams peer with Maven, once: its jars are about 75 MB")
        shutil.rmtree(_BUILT, ignore_errors=True)
        _run(maven)
        stamp.write_text(sources)
    return StreamsProgram(java, _FLAGS)


def _run(maven: str) -> None:
    command = [maven, "--batch-mode", "--quiet", "--strict-checksums", "package"]
    try:
        done = subprocess.run(
            command,
            cwd=_PROJECT,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=_BUILD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NoStreamsError(f"Maven did not build it in {_BUILD_SECONDS} s") from None
    if done.returncode != 0:
        lines = [line for line in done.stdout.splitlines() if "ERROR" in line] or [done.stderr]
        raise NoStreamsError(f"Maven could not build it: {lines[0]}")


def _checksum(project: Path) -> str:
    """Return a checksum of the names and contents of the project's files."""
    checksum = hashlib.sha256()
    for path in sorted(path for path in project.rglob("*") if path.is_file()):
        checksum.update(f"{path.relative_to(project)}\0".encode() + path.read_bytes())
    return checksum.hexdigest()
