"""Folds a transfer, which a login sent, into the rows of its target."""

from typing import Any

from agents.partition import Partition
from events.codec import UndecodableError, check_names
from events.model import user_key
from events.partitions import partition_of
from tables.fold.fold_identity import fold_transfer
from tables.transfers import decode as decode_transfer


def fold_transfer_record(partition: Partition, record: Any) -> None:
    """Fold a record of ``uptake.transfers``."""
    transfer = decode_transfer(record.value)
    check_names(transfer.customer, transfer.source)
    check_names(transfer.customer, transfer.target)
    key = user_key(transfer.customer, transfer.target)
    if partition_of(key, partition.limits.partitions) != partition.number:
        raise UndecodableError("bad_key", "the transfer's target belongs to another partition")
    if not fold_transfer(partition.overlay, transfer):
        partition.stats.repeated += 1
