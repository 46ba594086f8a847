"""One real Apache Kafka on this machine, as a child process: for `uptake up`, the demo and the tests.

The broker dies with its owner, even if the owner is killed with -9 (app/local/child_process.py). It keeps its log in its data directory,
and is ready when it answers a metadata request.
"""

import base64
import fcntl
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Final

from app.base.errors import NoBrokerError, PortTakenError
from app.kafka.probe import cluster_at
from app.local.child_process import require_main_thread, spawn
from app.local.kafka_jars import Report, Runtime, locate
from app.local.tcp_ports import free_port, is_free

_CLUSTER: Final = "cluster.id="
HOST: Final = "127.0.0.1"
_LOG4J: Final = Path(__file__).with_name("log4j2.properties")
# Options for a short start (1.7 s on 2 cores): the C1 compiler only, and the serial garbage collector.
_JVM: Final = (
    "-Xms128m",
    "-Xmx512m",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Djava.awt.headless=true",
)


class LocalBroker:
    """One node on loopback, broker and controller in one.

    ``data_dir`` keeps topics between runs; a lock on it admits one owner. The port stays the same after ``stop`` or ``kill`` and
    ``start``. ``properties`` overrides lines of server.properties. Start it from the main thread (app/local/child_process.py says why).
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        runtime: Runtime | None = None,
        properties: Mapping[str, str] | None = None,
        report: Report = lambda _line: None,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self._is_port_chosen = port is not None
        self.port = port if port is not None else free_port(HOST)
        self._controller_port = free_port(HOST)
        self._runtime = runtime
        self._properties = dict(properties or {})
        self._report = report
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None
        self._cluster = ""

    @property
    def bootstrap(self) -> str:
        """``host:port`` for clients."""
        return f"{HOST}:{self.port}"

    @property
    def log_path(self) -> Path:
        """The broker's log file."""
        return self.data_dir / "broker.log"

    @property
    def pid(self) -> int:
        """The process id of the running broker."""
        if self._process is None:
            raise RuntimeError("the broker is not started")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process runs; it may be frozen, or not ready yet."""
        return self._process is not None and self._process.poll() is None

    def start(self, timeout_ms: int = 60_000) -> str:
        """Launch the broker, wait until it is ready and return its bootstrap address.

        Raise NoBrokerError if it ends, or is not ready within ``timeout_ms``.
        """
        self.launch()
        deadline = time.monotonic() + timeout_ms / 1000
        while not self.is_ready():
            if time.monotonic() > deadline:
                self.kill()
                raise NoBrokerError(f"Kafka did not answer within {timeout_ms} ms; its log: {self.log_path}")
            time.sleep(0.05)
        return self.bootstrap

    def launch(self) -> None:
        """Start the process without waiting until it is ready. The first start formats the directory, which takes 0.8 s."""
        require_main_thread()
        if self.is_running:
            raise RuntimeError("the broker is running already")
        runtime = self._runtime = self._runtime or locate(self._report)
        if not is_free(HOST, self.port):
            raise PortTakenError(HOST, self.port, "local Kafka")
        if not is_free(HOST, self._controller_port):
            self._controller_port = free_port(HOST)
        self._take_lock()
        try:
            config = self._write_config()
            if not (self.data_dir / "logs" / "meta.properties").is_file():
                self._format(runtime, config)
            self._cluster = self._formatted_cluster()
            with (self.data_dir / "broker.out").open("wb") as out:
                self._process = spawn(
                    self._java(runtime, "kafka.Kafka", str(config)), stdout=out.fileno(), cwd=self.data_dir
                )
        except BaseException:
            self._release_lock()
            raise

    def is_ready(self) -> bool:
        """Return whether the broker answers; raise NoBrokerError if its process has ended.

        Another program may have taken the port since ``launch`` looked. So the answer must name this broker's cluster.
        """
        if not self.is_running:
            raise NoBrokerError(f"Kafka ended while starting: {self.last_words()}; its log: {self.log_path}")
        return cluster_at(HOST, self.port) == self._cluster

    def _formatted_cluster(self) -> str:
        """Return the id of the cluster, which the data directory was formatted with."""
        lines = (self.data_dir / "logs" / "meta.properties").read_text(encoding="utf-8").splitlines()
        return next(line.removeprefix(_CLUSTER) for line in lines if line.startswith(_CLUSTER))

    @property
    def status(self) -> int | None:
        """The exit status of a broker that has ended, else None."""
        return self._process.poll() if self._process is not None else None

    def terminate(self) -> None:
        """Ask the broker to end, without waiting until it has."""
        if self._process is not None:
            self._process.terminate()
            self.thaw()  # a frozen process does not handle signals

    def stop(self, timeout_ms: int = 15_000) -> None:
        """Ask the broker to end, and kill it after ``timeout_ms``. Do nothing if it does not run."""
        if self._process is None:
            return
        self.terminate()
        try:
            self._process.wait(timeout_ms / 1000)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._forget()

    def kill(self) -> None:
        """Kill the broker with -9. ``start`` starts it again with its data, on the same port."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._forget()

    def freeze(self) -> None:
        """Freeze the process with SIGSTOP: connections stay open, but get no answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process continue."""
        if self.is_running:
            os.kill(self.pid, signal.SIGCONT)

    def destroy(self) -> None:
        """Kill the broker and delete its data."""
        self.kill()
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def __enter__(self) -> "LocalBroker":
        """Start the broker."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the broker."""
        self.stop()

    def _java(self, runtime: Runtime, main: str, *arguments: str) -> list[str]:
        logs = [f"-Dlog4j2.configurationFile={_LOG4J}", f"-Duptake.log={self.log_path}"]
        return [str(runtime.java), *_JVM, *logs, "-cp", runtime.classpath, main, *arguments]

    def _write_config(self) -> Path:
        lines = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{HOST}:{self._controller_port}",
            "listeners": f"PLAINTEXT://{HOST}:{self.port},CONTROLLER://{HOST}:{self._controller_port}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self.data_dir / "logs"),
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "share.coordinator.state.topic.num.partitions": "1",
            # After kill -9, the node can register again only when its previous session has expired: 9 s by default.
            "broker.session.timeout.ms": "2000",
            "broker.heartbeat.interval.ms": "500",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            "log.cleaner.dedupe.buffer.size": "4194304",
            "num.network.threads": "2",
            "num.io.threads": "2",
            "num.recovery.threads.per.data.dir": "1",
            **self._properties,
        }
        path = self.data_dir / "server.properties"
        path.write_text("".join(f"{name}={value}\n" for name, value in lines.items()), encoding="utf-8")
        return path

    def _format(self, runtime: Runtime, config: Path) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # With `=`: an id that begins with "-" would be read as an option.
        argv = self._java(runtime, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}")
        argv += ["--config", str(config)]
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False
        )
        if done.returncode != 0:
            shutil.rmtree(self.data_dir / "logs", ignore_errors=True)
            raise NoBrokerError(
                f"Kafka could not format {self.data_dir}:\n{(done.stdout + done.stderr).strip()}"
            )

    def _take_lock(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        lock = (self.data_dir / "owner").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "?"
            lock.close()
            raise NoBrokerError(
                f"{self.data_dir} is in use by the Kafka of another uptake (process {owner}); stop that one, or choose "
                f"another directory with --data-dir"
            ) from None
        lock.seek(0)
        lock.truncate()
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    def _release_lock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _forget(self) -> None:
        self._process = None
        self._release_lock()

    def last_words(self) -> str:
        """Return the last line that the broker wrote."""
        for path in (self.data_dir / "broker.out", self.log_path):
            if path.is_file():
                lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                if lines:
                    return lines[-1]
        return "it wrote nothing"
