"""A collector as in production: a process of its own in front of a real Kafka. Sends raw requests and reads the topics."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient

from app.base.settings import Settings
from app.kafka.topics import ensure_topics
from app.local.child_process import spawn
from app.local.tcp_ports import free_port
from events.topics import HISTORY, JOURNAL
from tests.support.kafka_reader import end_of, read_committed

TOPICS = (JOURNAL, HISTORY)
# As in the other tests that share a Kafka: they create the topics with this count.
PARTITIONS = 8
READY_SECONDS = 60
ANSWER_SECONDS = 30


@dataclass(frozen=True)
class Answer:
    """An HTTP answer as it came over the wire. ``status`` 0: the connection was closed without an answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


@dataclass(frozen=True)
class Record:
    """A record of the topics, as confluent-kafka reads it."""

    topic: str
    partition: int
    key: bytes
    value: dict[str, Any]
    timestamp_ms: int


class LiveCollector:
    """The process. It writes into the topics of the deployment; ``records`` reads those since its start."""

    def __init__(self, kafka: str, directory: Path, customers_toml: Path, env: Mapping[str, str]) -> None:
        self.kafka, self.port, self.host = kafka, free_port("127.0.0.1"), "127.0.0.1"
        directory.mkdir(parents=True, exist_ok=True)
        customers_file = directory / "uptake.toml"
        shutil.copyfile(customers_toml, customers_file)
        customers_file.chmod(0o600)
        self._places = _partitions(kafka)
        self.partitions = max(number for _, number in self._places) + 1
        self._ends = {place: end_of(kafka, *place) for place in self._places}
        self.log = directory / "collector.log"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("UPTAKE_")}
        with self.log.open("ab") as log:
            self.process: subprocess.Popen[bytes] = spawn(
                [sys.executable, "-m", "app", "collector", "--port", str(self.port)],
                env={
                    **inherited,
                    "UPTAKE_KAFKA": kafka,
                    "UPTAKE_PARTITIONS": str(self.partitions),
                    "UPTAKE_CUSTOMERS_FILE": str(customers_file),
                    "UPTAKE_DATA_DIR": str(directory / "data"),
                    **env,
                },
                cwd=Path.cwd(),
                stdout=log,
            )

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def wait_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if self.ask("GET /health/ready").status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"the collector is not ready; its log:\n{self.log.read_text(errors='replace')}")

    def ask(
        self,
        request: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        host: str = "uptake.example",
    ) -> Answer:
        """Send ``METHOD target`` as written, over a connection of its own."""
        head = [f"{request} HTTP/1.1", f"Host: {host}", "Connection: close"]
        head += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body:
            head.append(f"Content-Length: {len(body)}")
        text = "\r\n".join(head) + "\r\n\r\n"
        return self.send(text.encode("utf-8", "surrogateescape") + body)

    def send(self, request: bytes) -> Answer:
        """Send bytes over a connection of its own, and read until the server closes it."""
        with socket.create_connection((self.host, self.port), timeout=ANSWER_SECONDS) as connection:
            # The server may refuse a request before it has read all of it; sending the rest may then fail.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(request)
            answer = b""
            while piece := connection.recv(65_536):
                answer += piece
        return parse_answer(answer)

    def records(self) -> list[Record]:
        """Return all records since the start of this collector, in order of receipt."""
        found = [
            Record(*place, message.key(), json.loads(message.value()), message.timestamp()[1])
            for place in self._places
            for message in read_committed(self.kafka, *place, self._ends[place])
        ]
        return sorted(found, key=lambda record: record.timestamp_ms)

    def stop(self) -> int:
        """End the process as a supervisor does; return its exit status."""
        self.process.terminate()
        return self.process.wait(30)


class KeptConnection:
    """Sends requests one after another over one connection, for as long as the collector keeps it open."""

    def __init__(self, collector: LiveCollector) -> None:
        self._collector = collector
        self._socket: socket.socket | None = None
        self._read = b""

    def __enter__(self) -> "KeptConnection":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def ask(self, request: bytes, *, has_no_body: bool = False) -> Answer:
        """Send a complete request and read its answer. Status 0: closed without an answer.

        ``has_no_body``: the answer to a HEAD request.
        """
        if self._socket is None:
            self._socket = socket.create_connection(
                (self._collector.host, self._collector.port), timeout=ANSWER_SECONDS
            )
        with suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(request)
        head = self._until_head()
        while head.startswith(b"HTTP/1.1 100"):
            head = self._until_head()
        answer = parse_answer(head)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        length = 0 if has_no_body else int(headers.get("content-length", "0"))
        while len(self._read) < length and self._more():
            pass
        body, self._read = self._read[:length], self._read[length:]
        if not head or head.startswith(b"HTTP/1.0") or headers.get("connection", "").lower() == "close":
            self._close()
        return Answer(answer.status, answer.headers, body)

    def _until_head(self) -> bytes:
        while b"\r\n\r\n" not in self._read:
            if not self._more():
                return b""
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        return head + b"\r\n\r\n"

    def _more(self) -> bool:
        assert self._socket is not None
        try:
            piece = self._socket.recv(65_536)
        except ConnectionResetError:
            piece = b""
        self._read += piece
        return bool(piece)

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket, self._read = None, b""


def parse_answer(answer: bytes) -> Answer:
    """Parse the bytes of one answer."""
    if not answer:
        return Answer(0, {}, b"")
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *others = head.decode("latin-1").split("\r\n")
    headers = {name: value.strip() for name, _, value in (line.partition(":") for line in others) if name}
    return Answer(int(first.split(" ", 2)[1]), headers, body)


@contextmanager
def live_collector(kafka: str, directory: Path, customers_toml: Path, **env: str) -> Iterator[LiveCollector]:
    """Start a collector, wait until it is ready, and stop it in the end."""
    collector = LiveCollector(kafka, directory, customers_toml, env)
    try:
        collector.wait_ready()
        yield collector
    finally:
        if collector.process.poll() is None:
            collector.process.terminate()
            try:
                collector.process.wait(20)
            except subprocess.TimeoutExpired:
                collector.process.kill()
                collector.process.wait()


def _partitions(kafka: str) -> list[tuple[str, int]]:
    """Return the partitions of the topics that a collector writes; create missing topics."""
    admin = AdminClient({"bootstrap.servers": kafka})
    if JOURNAL not in admin.list_topics(timeout=20).topics:
        asyncio.run(ensure_topics(Settings(kafka=kafka, partitions=PARTITIONS), wait_ms=20_000))
    topics = admin.list_topics(timeout=20).topics
    return [(name, number) for name in TOPICS for number in sorted(topics[name].partitions)]
