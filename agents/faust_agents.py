"""The Faust agents. Each one only passes the chunks of its topics to the partition that owns them."""

from collections.abc import Callable
from typing import Any, Final

import faust

from agents.fold_journal import fold_history, fold_live
from agents.fold_partials import fold_partials
from agents.fold_transfers import fold_transfer_record
from agents.partition import FoldOne
from agents.ports import Chunk
from agents.registry import Partitions
from events.topics import HISTORY, JOURNAL, PARTIALS, TRANSFERS

AGENTS: Final[dict[str, dict[str, FoldOne]]] = {
    "events": {JOURNAL: fold_live, HISTORY: fold_history},
    "transfers": {TRANSFERS: fold_transfer_record},
    "ctr": {PARTIALS: fold_partials},
}
"""Agent -> its topics, each with the function that folds one record."""


def attach(app: faust.App, partitions: Partitions, on_failed: Callable[[BaseException], None]) -> None:
    """Register the agents with a Faust app. An unexpected error of a fold goes to ``on_failed`` and stops the agent."""
    for name, folds in AGENTS.items():
        topic = app.topic(*folds, key_serializer="raw", value_serializer="raw")
        agent = _agent(folds, partitions, on_failed)
        agent.__module__, agent.__qualname__ = __name__, name  # its name in Faust's log
        app.agent(topic, name=name)(agent)


def _agent(
    folds: dict[str, FoldOne], partitions: Partitions, on_failed: Callable[[BaseException], None]
) -> Callable[[Any], Any]:
    async def remember(stream: Any) -> None:
        chunk: Chunk
        async for chunk in stream:
            partition = partitions.get(chunk.partition)
            if partition is None or chunk.epoch < partition.epoch:
                continue  # fetched before the last seek to the position
            try:
                await partition.fold(chunk.topic, chunk.records, folds[chunk.topic])
            except Exception as error:
                on_failed(error)
                raise

    return remember
