"""Kafka's default partitioner (murmur2), equal to that of the Java client, kcat and aiokafka."""

from struct import unpack_from
from typing import Final

_M: Final = 0x5BD1E995
_SEED: Final = 0x9747B28C
_MASK: Final = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Return the 32-bit murmur2 hash of Kafka's default partitioner, unsigned."""
    length = len(data)
    words = length // 4
    h = _SEED ^ length
    for word in unpack_from(f"<{words}I", data):
        k = (word * _M) & _MASK
        h = (h * _M ^ (k ^ k >> 24) * _M) & _MASK
    tail = data[words * 4 :]
    if tail:
        for index in range(len(tail) - 1, -1, -1):
            h ^= tail[index] << (8 * index)
        h = (h * _M) & _MASK
    h ^= h >> 13
    h = (h * _M) & _MASK
    return h ^ (h >> 15)


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of a record with this key, 0 to ``partitions - 1``."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
