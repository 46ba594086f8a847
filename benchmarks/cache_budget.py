"""Memory for caches that our worker and a peer get alike."""

from dataclasses import dataclass
from typing import Final

from app.base.settings import Settings

WORKER_BYTES: Final = 96 * 1_048_576
"""What our worker gets for rows. Without a setting it takes a share of the free memory, and figures would follow from the machine."""


@dataclass(frozen=True)
class CacheBudget:
    """Bytes of caches. ``is_given``: the command line says them, else they are those that our worker gets in all benchmarks."""

    rows: int
    """Of rows in memory that are durable. Our worker may keep as many bytes again of rows that wait for a flush."""
    blocks: int
    """Of RocksDB's block cache."""
    memtables: int
    is_given: bool

    @property
    def written_and_waiting(self) -> int:
        """Bytes of a cache that holds both kinds of rows, as that of Kafka Streams does."""
        return 2 * self.rows

    @property
    def env(self) -> dict[str, str]:
        """The settings of our worker; none if they are its own."""
        if not self.is_given:
            return {}
        return {"UPTAKE_CACHE_BYTES": str(self.rows), "UPTAKE_BLOCK_CACHE_BYTES": str(self.blocks)}

    def describe(self) -> dict[str, int | bool]:
        """Return what a result says of it."""
        return {
            "rows_bytes": self.rows,
            "waiting_rows_bytes": self.rows,
            "block_cache_bytes": self.blocks,
            "memtable_bytes": self.memtables,
            "is_given": self.is_given,
        }


def budget_of(cache_bytes: int | None) -> CacheBudget:
    """Return the budget of ``--cache-bytes``: so much for rows, and blocks in proportion. None: what our worker gets in all benchmarks."""
    own = Settings()
    if cache_bytes is None:
        return CacheBudget(WORKER_BYTES, own.block_cache_bytes, own.memtable_bytes, is_given=False)
    blocks = cache_bytes * own.block_cache_bytes // WORKER_BYTES
    return CacheBudget(cache_bytes, blocks, own.memtable_bytes, is_given=True)
