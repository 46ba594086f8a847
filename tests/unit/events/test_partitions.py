"""A key has the same partition as with every other Kafka client."""

from collections import Counter

import pytest
from aiokafka.partitioner import murmur2 as murmur2_of_aiokafka
from hypothesis import given
from hypothesis import strategies as st

from events.model import user_key
from events.partitions import murmur2, partition_of
from events.pseudonym import pseudonym


@pytest.mark.parametrize(
    ("data", "signed"),
    [  # from Kafka's own UtilsTest.testMurmur2
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_hash_is_that_of_the_java_client(data: bytes, signed: int) -> None:
    assert murmur2(data) == signed % 2**32


@given(st.binary(max_size=64))
def test_hash_is_that_of_aiokafka_for_every_key(data: bytes) -> None:
    assert murmur2(data) == murmur2_of_aiokafka(data)


@given(st.binary(max_size=40), st.integers(1, 300))
def test_partition_is_one_of_those_there_are(key: bytes, partitions: int) -> None:
    assert partition_of(key, partitions) == (murmur2(key) & 0x7FFFFFFF) % partitions
    assert 0 <= partition_of(key, partitions) < partitions


def test_users_spread_over_all_partitions() -> None:
    users = (pseudonym(b"s" * 32, "k1", str(number)) for number in range(2_000))
    load = Counter(partition_of(user_key("00000", user), 8) for user in users)
    assert min(load.values()) > 180
    assert max(load.values()) < 320
