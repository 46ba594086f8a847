"""Builds the Faust app of a worker: our transport, assignor, table manager and agents on Faust's group and consumer."""

from collections.abc import Callable
from typing import Final

import faust
from yarl import URL

from agents.faust_agents import attach
from agents.registry import Partitions
from app.base.settings import Settings
from app.worker.assignor import CopyingAssignor
from app.worker.contact import Contact
from app.worker.recovery import table_manager
from app.worker.restore import Restorer
from app.worker.standby import Standbys
from app.worker.transport import ChunkTransport

_METADATA_MAX_AGE_MS: Final = 10_000
"""The longest time until a consumer notices a new topic. Until then no partition of the topic is assigned."""
_POLL_RECORDS: Final = 8_000
"""Records of one fetch: about 10 MB. Another 10 MB may wait in the agents' queues."""


def create_faust_app(
    settings: Settings,
    url: str,
    partitions: Partitions,
    restorer: Restorer,
    standbys: Standbys,
    on_failed: Callable[[BaseException], None],
    contact: Contact,
) -> faust.App:
    """Return the Faust app with our transport, assignor, table manager and agents."""
    brokers = [URL(f"kafka://{server}") for server in settings.kafka.split(",")]
    app = faust.App(
        settings.app_id,
        broker=brokers,
        canonical_url=url,
        datadir=settings.data_dir,
        store="memory://",
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_buffer_maxsize=4,
        stream_wait_empty=False,
        broker_max_poll_records=_POLL_RECORDS,
        broker_commit_interval=2.0,
        consumer_metadata_max_age_ms=_METADATA_MAX_AGE_MS,
        broker_session_timeout=settings.session_timeout_ms / 1000,
        broker_heartbeat_interval=settings.heartbeat_ms / 1000,
        broker_request_timeout=max(40.0, settings.session_timeout_ms / 1000),
        PartitionAssignor=CopyingAssignor,
        table_standby_replicas=settings.standbys,
        TableManager=table_manager(
            partitions, restorer, standbys, reopen_pause_seconds=2 * settings.heartbeat_ms / 1000
        ),
    )
    app.transport = ChunkTransport(brokers, app, partitions, on_failed, contact, settings.fetch_interval_ms)
    attach(app, partitions, on_failed)
    return app
