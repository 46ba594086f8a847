"""Plain Faust after a lost disk: tables as its documentation teaches them, restored by its own recovery.

Its form is that of faust_app.py, with uvloop and without debug records. It prints when its partitions are assigned, and when all tables
are recovered.
"""

import logging
from typing import Any

import faust
import uvloop

from benchmarks.peers.arguments import ASSIGNED, RECOVERED, parse
from benchmarks.peers.faust_app import create_app, source_topic


def create_peer(arguments: Any) -> faust.App:
    app = create_app(arguments)
    source = source_topic(app, arguments)
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
    # Otherwise Faust creates a record for each debug line, though none is written.
    logging.disable(logging.INFO)
    uvloop.install()
    create_peer(parse()).Worker(loglevel="WARNING", redirect_stdouts=False).execute_from_commandline()
