"""The Faust app of the peers, in its best form, which is the same for all of them.

RocksDB through rocksdict, raw keys and values, the Cython parts with their repaired fast paths, no web server, no standbys.
"""

from typing import Any

import faust


def create_app(arguments: Any, **more: Any) -> faust.App:
    """Return an app without agents. ``more`` holds settings of one peer only."""
    return faust.App(
        arguments.name,
        broker=f"kafka://{arguments.kafka}",
        store="rocksdb://",
        datadir=arguments.state_dir,
        topic_partitions=arguments.partitions,
        topic_replication_factor=1,
        broker_commit_interval=arguments.commit_seconds,
        consumer_auto_offset_reset="earliest",
        table_standby_replicas=0,
        web_enabled=False,
        cython_optimizations=True,
        **more,
    )


def source_topic(app: faust.App, arguments: Any) -> Any:
    """Return the topic to read, with keys and values as bytes."""
    return app.topic(
        arguments.topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
    )
