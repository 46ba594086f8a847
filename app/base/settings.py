"""All settings of all processes, with defaults, units and descriptions.

A setting comes from the environment (``UPTAKE_`` + the upper-case name) or from the command line. Nothing is read at import.
"""

from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.base.addresses import HIGHEST_PORT, checked_host, checked_url, checked_urls
from app.base.setting_relations import broken_relation

LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
"""Hosts on which only programs of the same machine can reach a server."""

COLLECTOR_PORT: Final = 8080
WORKER_PORT: Final = 6067
DASHBOARD_PORT: Final = 7070

_Urls = Annotated[str, AfterValidator(checked_urls)]

_DAY_MS: Final = 86_400_000
_TERABYTE: Final = 1 << 40
_MEBIBYTE: Final = 1 << 20


def _checked_advertise(url: str | None) -> str | None:
    return None if url is None else checked_url(url)


class Settings(BaseSettings):
    """Settings of one process. Names end in the unit: ``_ms`` for milliseconds, ``_bytes`` for bytes.

    An empty variable counts as unset.
    """

    model_config = SettingsConfigDict(
        env_prefix="UPTAKE_", env_ignore_empty=True, extra="forbid", frozen=True
    )

    # Kafka
    kafka: str = Field("127.0.0.1:9092", min_length=1, description="bootstrap servers, host:port[,host:port]")
    app_id: str = Field(
        "uptake", min_length=1, description="consumer group, and prefix of the transactional ids"
    )
    partitions: int = Field(
        8, ge=1, le=10_000, description="partitions of the journal and of every topic that follows it"
    )
    replication: int = Field(
        1, ge=1, le=100, description="replicas of topics that are created; 3 in production"
    )
    session_timeout_ms: int = Field(
        10_000, ge=1_000, le=1_800_000, description="ms until a dead worker's partitions go to other workers"
    )
    heartbeat_ms: int = Field(
        3_000,
        ge=100,
        le=600_000,
        description="ms between a worker's heartbeats; at most a third of the session timeout",
    )
    transaction_timeout_ms: int = Field(
        60_000,
        ge=1_000,
        le=900_000,
        description="ms that a flush waits for a frozen broker before it is aborted",
    )

    # State
    data_dir: Path = Field(
        Path(".uptake"),
        description="directory of a worker's RocksDB, a collector's spool and the local Kafka",
    )
    flush_interval_ms: int = Field(
        1_000, ge=10, le=60_000, description="ms between two flushes, which make changes durable"
    )
    fetch_interval_ms: int = Field(
        50, ge=0, le=1_000, description="ms that an event may wait for the next fetch while others come"
    )
    flush_max_changes: int = Field(
        20_000,
        ge=1,
        le=10_000_000,
        description="changed rows and records to send that make a partition flush early",
    )
    cache_bytes: int | None = Field(
        None,
        ge=_MEBIBYTE,
        le=_TERABYTE,
        description="bytes of rows that a worker keeps in memory; as many again may wait for a flush. "
        "Unless set, a share of the free memory",
    )
    block_cache_bytes: int = Field(
        32 * _MEBIBYTE,
        ge=_MEBIBYTE,
        le=_TERABYTE,
        description="bytes of RocksDB's block cache, shared by all tables of a worker",
    )
    memtable_bytes: int = Field(
        48 * _MEBIBYTE,
        ge=_MEBIBYTE,
        le=_TERABYTE,
        description="bytes of RocksDB's memtables, shared by all tables of a worker",
    )
    standbys: int = Field(
        0,
        ge=0,
        le=10,
        description="other workers that keep a copy of each partition; the same for all workers",
    )
    max_stale_ms: int = Field(
        300_000,
        ge=0,
        le=86_400_000,
        description="a worker without contact with Kafka for this many ms refuses lookups",
    )

    # Windows
    grace_ms: int = Field(
        600_000,
        ge=0,
        le=7 * _DAY_MS,
        description="ms that a window waits for late events after its end; then it is final",
    )
    max_scenarios: int = Field(
        10_000,
        ge=1,
        le=1_000_000,
        description="scenario names of a customer that count by themselves in a source partition; more count as `other`",
    )
    scenario_metrics: int = Field(
        200, ge=0, le=10_000, description="scenarios of a worker that have gauges in /metrics; 0: none"
    )
    caught_up_ms: int = Field(
        10_000,
        ge=100,
        le=_DAY_MS,
        description="a partition with nothing to read for this many ms does not hold windows open",
    )

    # Alarms
    watchdog_alarm_ms: int = Field(
        60_000,
        ge=500,
        le=_DAY_MS,
        description="a partition without progress for this many ms while its lag grows raises an alarm",
    )
    watchdog_exit_ms: int = Field(
        300_000,
        ge=0,
        le=_DAY_MS,
        description="a partition without progress for this many ms ends the worker; 0: never",
    )
    poison_records: int = Field(
        1_000,
        ge=10,
        le=1_000_000,
        description="consecutive records of a source partition that poison_percent refers to",
    )
    poison_percent: int = Field(
        90,
        ge=1,
        le=99,
        description="percent; a source partition with a larger share of bad records is paused",
    )
    accept_bad: bool = Field(
        False, description="pause nothing: all records that cannot be folded go to the dead letters"
    )
    unknown_customer_ms: int = Field(
        600_000,
        ge=0,
        le=_DAY_MS,
        description="a customer that is unknown for this many ms: its records go to the dead letters",
    )

    # HTTP
    host: Annotated[str, AfterValidator(checked_host)] = Field(
        "127.0.0.1", description="address that a server listens on"
    )
    port: int | None = Field(
        None,
        ge=0,
        le=HIGHEST_PORT,
        description="port to listen on; unless set, 8080 for a collector, 6067 for a worker, 7070 for a dashboard",
    )
    advertise: Annotated[str | None, AfterValidator(_checked_advertise)] = Field(
        None, description="address of this worker for the other workers, http://host:port"
    )
    admin_key: str | None = Field(
        None, repr=False, description="key of /v1/status and /metrics where the host is not loopback"
    )
    customers_file: Path = Field(
        Path("uptake.toml"), description="file of customers and their keys, mode 600"
    )

    # Collector
    linger_ms: int = Field(
        2, ge=0, le=1_000, description="ms that an event waits for others to share its request to Kafka"
    )
    ack_timeout_ms: int = Field(
        10_000,
        ge=100,
        le=600_000,
        description="an event that Kafka has not acknowledged after this many ms is answered 504",
    )
    stall_ms: int = Field(
        2_000,
        ge=100,
        le=600_000,
        description="while an event waits for Kafka longer than this many ms, others of its partition are spooled or answered 503",
    )
    max_pending: int = Field(
        10_000, ge=1, le=10_000_000, description="events that wait for Kafka at once; more are answered 503"
    )
    spool_dir: Path | None = Field(
        None, description="directory for events while Kafka is away; unless set, spool in the data directory"
    )
    spool_bytes: int = Field(
        256 * _MEBIBYTE,
        ge=0,
        le=_TERABYTE,
        description="bytes that the spool may take; more events are answered 503. 0: no spool",
    )
    drain_per_second: int = Field(
        20_000, ge=1, le=10_000_000, description="events per second sent from the spool when Kafka is back"
    )
    max_uri_bytes: int = Field(
        8_192, ge=1_024, le=_MEBIBYTE, description="bytes of a request line; a longer one is answered 414"
    )
    max_body_bytes: int = Field(
        65_536, ge=0, le=64 * _MEBIBYTE, description="bytes of a body; a longer one is answered 413"
    )
    max_batch_bytes: int = Field(
        _MEBIBYTE,
        ge=0,
        le=1_024 * _MEBIBYTE,
        description="bytes of a body of many events as sent; a longer one is answered 413",
    )
    max_unpacked_bytes: int = Field(
        4 * _MEBIBYTE,
        ge=0,
        le=1_024 * _MEBIBYTE,
        description="bytes of a body of many events unpacked; a longer one is answered 413",
    )
    max_batch_elements: int = Field(
        5_000, ge=1, le=1_000_000, description="events in one body; a body of more is answered 413"
    )
    default_customer: str | None = Field(
        None, description="customer of presentations that name none (docs/http-api.md)"
    )
    static_dir: Path | None = Field(
        None, description="directory of tracking.js, tracking.css and other files that a collector serves"
    )
    user_cookie: str = Field(
        "uptake_user",
        pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
        description="cookie that identifies the user on a page of presentations",
    )
    max_connections: int = Field(
        4_096, ge=1, le=1_000_000, description="open connections; more are closed at once"
    )
    request_timeout_ms: int = Field(
        15_000,
        ge=100,
        le=3_600_000,
        description="a request whose head, or body, takes longer than this many ms to arrive is abandoned",
    )
    drain_ms: int = Field(
        500, ge=0, le=60_000, description="ms that idle connections may still send on a stop"
    )

    # Dashboard
    worker_urls: _Urls = Field(
        f"http://127.0.0.1:{WORKER_PORT}", description="workers that a dashboard asks, with commas between"
    )
    collector_urls: _Urls = Field(
        f"http://127.0.0.1:{COLLECTOR_PORT}",
        description="collectors that a dashboard asks, with commas between",
    )

    # Logs
    log_level: str = Field("info", description="debug, info, warning or error")
    log_json: bool = Field(False, description="one JSON object a line")

    @field_validator("*", mode="before")
    @classmethod
    def _is_not_blank(cls, value: object) -> object:
        if isinstance(value, (str, Path)) and str(value).isspace():
            raise ValueError("use a value that is not blank, or leave it empty for the default")
        return value

    @model_validator(mode="after")
    def _relations_hold(self) -> Self:
        problem = broken_relation(self.__dict__)
        if problem is not None:
            raise ValueError(problem)
        return self
