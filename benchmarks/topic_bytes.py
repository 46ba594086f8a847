"""Bytes that were written into topics, from the log directory of a local broker that deletes nothing (`KEEPS_ALL`)."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

KEEPS_ALL: Final = {"log.cleaner.enable": "false"}
"""Properties of a broker whose logs only grow, so that their size is what was written."""
_PARTITION: Final = re.compile(r"(.+)-\d+")


def topic_bytes(broker: Path, is_counted: Callable[[str], bool]) -> dict[str, int]:
    """Return the bytes in the logs of each topic, control records and headers of batches included, compressed as they were sent."""
    found: Counter[str] = Counter()
    for directory in (broker / "logs").iterdir():
        partition = _PARTITION.fullmatch(
            directory.name
        )  # a deleted topic has another name until its files are gone
        if partition is not None and is_counted(partition[1]):
            found[partition[1]] += sum(segment.stat().st_size for segment in directory.glob("*.log"))
    return dict(found)
