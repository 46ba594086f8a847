"""What does plain Faust do after a lost disk? Tables as its documentation teaches them, restored by its own recovery.

Best form: as in plain_faust.py: RocksDB by rocksdict, raw keys and values, uvloop, the Cython parts with their repaired fast paths, no
web server, no debug records, no standbys. It says when its partitions were assigned, and when each table was recovered.
"""

import logging
from typing import Any

import faust
import uvloop

from benchmarks.peers.arguments import ASSIGNED, RECOVERED, parse


def create_app(arguments: Any) -> faust.App:
    app = faust.App(
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
    )
    source = app.topic(
        arguments.topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
    )
    waiting = set(arguments.tables)
    tables = {name: app.Table(name, key_type=bytes, value_type=bytes) for name in arguments.tables}

    @app.on_partitions_assigned.connect
    async def given(_app: Any, assigned: Any, **_: Any) -> None:
        if assigned:
            print(ASSIGNED)

    for name, table in tables.items():

        @table.on_recover
        async def recovered(name: str = name) -> None:
            waiting.discard(name)
            if not waiting:
                print(RECOVERED)

    @app.agent(source)
    async def remember(stream: Any) -> None:
        async for key, value in stream.items():
            tables[arguments.tables[0]][key] = value

    return app


if __name__ == "__main__":
    logging.disable(logging.INFO)  # Faust makes a record of each debug line, though none is written
    uvloop.install()
    create_app(parse()).Worker(loglevel="WARNING", redirect_stdouts=False).execute_from_commandline()
