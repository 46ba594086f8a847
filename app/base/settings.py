"""Every setting of every process, with its default, unit and reason: one list.

A setting is read from the environment (``UPTAKE_`` + the upper-case name) or given on the command line; nothing is read at import.
"""

from pathlib import Path
from typing import Final

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
COLLECTOR_PORT: Final = 8080
WORKER_PORT: Final = 6067
"""Hosts on which a server is reached from its own machine only."""


class Settings(BaseSettings):
    """Settings of one process. Times are milliseconds and sizes bytes, as the names say."""

    model_config = SettingsConfigDict(env_prefix="UPTAKE_", extra="forbid", frozen=True)

    # Kafka
    kafka: str = Field("127.0.0.1:9092", description="bootstrap servers, host:port[,host:port]")
    app_id: str = Field("uptake", description="consumer group, and prefix of the transactional ids")
    partitions: int = Field(8, ge=1, description="partitions of the journal and everything that follows it")
    replication: int = Field(1, ge=1, description="replicas of each topic; 3 in production")
    session_timeout_ms: int = Field(10_000, ge=1_000, description="a dead worker's users wait this long")
    heartbeat_ms: int = Field(3_000, ge=100)
    transaction_timeout_ms: int = Field(
        60_000, ge=1_000, description="a frozen broker is waited for this long"
    )

    # State
    data_dir: Path = Field(Path(".uptake"), description="RocksDB of the worker, data of the local Kafka")
    flush_interval_ms: int = Field(
        1_000, ge=10, description="how often a partition's changes are made durable"
    )
    flush_max_changes: int = Field(20_000, ge=1, description="changed rows that make a partition flush early")
    cache_rows: int = Field(
        1_000_000, ge=0, description="decoded rows a worker keeps, beside those changed since the last flush"
    )
    cache_bytes: int = Field(
        96 * 1_048_576,
        ge=1_048_576,
        description="memory that rows of a worker may take, estimated; the same again may wait for a flush",
    )
    block_cache_bytes: int = Field(
        32 * 1_048_576, description="RocksDB blocks, shared by all tables of a worker"
    )
    memtable_bytes: int = Field(
        48 * 1_048_576, description="RocksDB memtables, shared by all tables of a worker"
    )

    standbys: int = Field(
        0, ge=0, description="workers that keep a copy of each partition, beside its owner; the same for all"
    )

    # Windows
    grace_ms: int = Field(
        600_000, ge=0, description="how long after its end a window waits for late events until it is final"
    )
    caught_up_ms: int = Field(
        10_000, ge=100, description="a partition with nothing to read for so long does not hold windows open"
    )

    # Alarms
    watchdog_alarm_ms: int = Field(
        60_000, ge=500, description="a partition that stands still for so long while its lag grows is told of"
    )
    watchdog_exit_ms: int = Field(
        300_000, ge=0, description="one that stands still for so long ends the worker; 0: never"
    )
    poison_records: int = Field(
        1_000, ge=10, description="of so many records of a source partition, poison_percent may be bad"
    )
    poison_percent: int = Field(
        90, ge=1, le=99, description="a source partition with more bad records than this is paused"
    )
    accept_bad: bool = Field(
        False, description="pause nothing: all records that cannot be folded go to the dead letters"
    )

    # HTTP
    host: str = Field("127.0.0.1", description="the address a server listens on")
    port: int | None = Field(None, description="collector 8080, worker 6067 unless set")
    advertise: str | None = Field(None, description="how other workers reach this one, http://host:port")
    customers_file: Path = Field(Path("uptake.toml"), description="customers and their keys, mode 600")

    # Collector
    linger_ms: int = Field(
        2, ge=0, description="how long an event waits for others to share its request to Kafka"
    )
    ack_timeout_ms: int = Field(
        10_000, ge=100, description="an event that Kafka has not acknowledged by then is answered 504"
    )
    stall_ms: int = Field(
        2_000,
        ge=100,
        description="while an event waits longer than this for Kafka, others of its partition are spooled or answered 503",
    )
    max_pending: int = Field(
        10_000, ge=1, description="events that wait for Kafka at once; more are answered 503"
    )
    spool_dir: Path | None = Field(
        None, description="where events are kept while Kafka is away; spool in the data directory unless set"
    )
    spool_bytes: int = Field(
        256 * 1_048_576, ge=0, description="what they may take there; more are answered 503. 0: no spool"
    )
    drain_per_second: int = Field(
        20_000, ge=1, description="events sent from the spool a second, when Kafka is back"
    )
    max_uri_bytes: int = Field(8_192, ge=1_024, description="a longer request line is answered 414")
    max_body_bytes: int = Field(65_536, ge=0, description="a longer body is answered 413")
    max_batch_bytes: int = Field(
        1_048_576, ge=0, description="a longer body of many events, as it is sent, is answered 413"
    )
    max_unpacked_bytes: int = Field(
        4_194_304, ge=0, description="the same when it is unpacked: no small body may become a large one"
    )
    max_batch_elements: int = Field(5_000, ge=1, description="a body of more events is answered 413")
    default_customer: str | None = Field(
        None, description="whose the presentations are that name no customer (docs/http-api.md)"
    )
    user_cookie: str = Field(
        "uptake_user", description="the cookie that says who sees a page of presentations"
    )
    max_connections: int = Field(4_096, ge=1, description="open connections; more are closed at once")
    request_timeout_ms: int = Field(
        15_000, ge=100, description="a request whose head or body takes longer to arrive is given up"
    )
    drain_ms: int = Field(
        500, ge=0, description="on a stop, how long idle connections may still send before they are closed"
    )

    # Logs
    log_level: str = "info"
    log_json: bool = False
