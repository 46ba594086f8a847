"""A loop without a framework: aiokafka's `getmany`, msgspec, whole rows, and once a second WriteBatch and `send_batch`.

It is the limit of what this Python can do. It has no group protocol of its own, no transactions, fences, slices, bounded memory, dead
letters or lookups. Rows stay in a plain dictionary; panes and counts of items come from our tallies, in all dimensions. It keeps the
panes, and drops the counts of items, because no partition merges them. A flush encodes the changed rows, and the loop continues while
the producer sends them. When the broker has them, the loop writes to RocksDB and commits the offsets.
"""

import asyncio
import gc
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec
import rocksdict
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.peers.arguments import READY, parse
from benchmarks.peers.whole_rows import IMPRESSIONS, RENDERED, WholeTable, remember, show
from events.model import Event, Rendered
from tables.ctr import panes
from tables.ctr.item_tally import ItemTally
from tables.ctr.panes import Tally
from tables.ctr.window_keys import UNKNOWN_SCENARIO

S = TypeVar("S")
PANES = WholeTable(panes.TABLE.name, panes.TABLE.encode, panes.TABLE.decode)
TABLES = (RENDERED, IMPRESSIONS, PANES)
BATCH_BYTES = 900_000


class Rows(Generic[S]):
    """A table of one partition: every row that was touched, and which of them changed."""

    def __init__(self, database: Any, table: WholeTable) -> None:
        self._database = database
        self.encode, self._decode = table.encode, table.decode
        self._rows: dict[bytes, S | None] = {}
        self.changed: dict[bytes, S | None] = {}

    def get(self, key: bytes) -> S | None:
        try:
            return self._rows[key]
        except KeyError:
            raw = self._database.get(key)
            row = self._rows[key] = None if raw is None else self._decode(raw)
            return row

    def put(self, key: bytes, state: S | None) -> None:
        self._rows[key] = self.changed[key] = state

    def encode_changes(self) -> list[tuple[bytes, bytes]]:
        changed, self.changed = self.changed, {}
        encode = self.encode
        return [(key, encode(state)) for key, state in changed.items()]


class Tables:
    """The rows and tallies of one partition."""

    def __init__(self, database: Any) -> None:
        self.rows: dict[WholeTable, Rows[Any]] = {
            table: Rows(database.get_column_family(table.name), table) for table in TABLES
        }
        self._shown, self._logged = self.rows[RENDERED], self.rows[IMPRESSIONS]
        self.tally = Tally()
        self.items = ItemTally(self.tally)

    def fold(self, key: bytes, event: Rendered) -> None:
        self.items.count_list(
            "rendered",
            event.customer,
            event.scenario,
            event.variant,
            event.time_ms,
            event.row,
            event.rank,
            event.itemtype,
            event.items,
            event.user,
        )
        self._shown.put(key, show(self._shown.get(key), event))
        self._logged.put(key, remember(self._logged.get(key), event))


class BareLoop:
    """All partitions in one process, one producer, one database."""

    def __init__(self, arguments: Any) -> None:
        self._arguments = arguments
        options = rocksdict.Options(raw_mode=True)
        options.create_missing_column_families(True)
        families = {table.name: rocksdict.Options(raw_mode=True) for table in TABLES}
        self._database = rocksdict.Rdict(str(arguments.state_dir), options, column_families=families)
        self._handles = {table: self._database.get_column_family_handle(table.name) for table in TABLES}
        self._tables = {number: Tables(self._database) for number in range(arguments.partitions)}
        self._next: dict[TopicPartition, int] = {}
        self._newest_ms = 0
        self._sent: asyncio.Task[None] | None = None

    async def run(self) -> None:
        arguments = self._arguments
        self._producer = AIOKafkaProducer(
            bootstrap_servers=arguments.kafka, acks="all", max_batch_size=BATCH_BYTES
        )
        self._consumer = AIOKafkaConsumer(
            arguments.topic,
            bootstrap_servers=arguments.kafka,
            group_id=arguments.name,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        await self._producer.start()
        await self._consumer.start()
        decode: Callable[[bytes], Event] = msgspec.json.Decoder(Event).decode
        clock = asyncio.get_running_loop().time
        is_first, due = True, clock() + arguments.commit_seconds
        while True:
            fetched = await self._consumer.getmany(timeout_ms=100)
            if fetched and is_first:
                is_first = False
                print(READY)
            for tp, records in fetched.items():
                tables = self._tables[tp.partition]
                for record in records:
                    event = decode(record.value)
                    assert isinstance(event, Rendered)
                    tables.fold(record.key, event)
                self._newest_ms = max(self._newest_ms, event.received_ms)
                self._next[tp] = records[-1].offset + 1
            if clock() >= due:
                due = clock() + arguments.commit_seconds
                await self._flush()

    async def _flush(self) -> None:
        """Encode what changed and hand it to the producer; the loop continues while it waits for durability."""
        if self._sent is not None:
            await self._sent
        deliveries: list[Any] = []
        batch = rocksdict.WriteBatch(raw_mode=True)
        for number, tables in self._tables.items():
            kept = tables.rows[PANES]
            tables.items.count_places()
            for key, pane in tables.tally.drain(
                lambda key, kept=kept: kept.get(key.encode()), self._newest_ms
            ).items():
                kept.put(key.encode(), pane)
            tables.items.drain(lambda _customer, scenario: scenario or UNKNOWN_SCENARIO)
            for table, rows in tables.rows.items():
                changes = rows.encode_changes()
                for key, value in changes:
                    batch.put(key, value, self._handles[table])
                deliveries += await self._send(
                    f"{self._arguments.name}-{table.name}-changelog", number, changes
                )
        offsets, self._next = self._next, {}
        self._sent = asyncio.create_task(self._settle(deliveries, batch, offsets))

    async def _send(self, topic: str, partition: int, changes: list[tuple[bytes, bytes]]) -> list[Any]:
        deliveries = []
        batch = self._producer.create_batch()
        for key, value in changes:
            if batch.append(key=key, value=value, timestamp=None) is None:
                deliveries.append(await self._producer.send_batch(batch, topic, partition=partition))
                batch = self._producer.create_batch()
                batch.append(key=key, value=value, timestamp=None)
        if batch.record_count():
            deliveries.append(await self._producer.send_batch(batch, topic, partition=partition))
        return deliveries

    async def _settle(
        self, deliveries: list[Any], batch: rocksdict.WriteBatch, offsets: dict[TopicPartition, int]
    ) -> None:
        await asyncio.gather(*deliveries)
        self._database.write(batch)
        if offsets:
            await self._consumer.commit(offsets)


if __name__ == "__main__":
    # Millions of rows stay in memory, and looking for cycles among them took a quarter of the CPU. These are the worker's thresholds.
    gc.set_threshold(50_000, 100, 1_000)
    uvloop.run(BareLoop(parse()).run())
