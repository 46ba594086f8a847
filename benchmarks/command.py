"""What does every benchmark share as a command: its options, a broker for its time, its progress lines and its last line?"""

import argparse
import json
import logging
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from app.local.broker import LocalBroker
from benchmarks.imported import versions_of

VERSIONS: Final = (
    "faust-streaming",
    "quixstreams",
    "aiokafka",
    "aiohttp",
    "fastapi",
    "uvicorn",
    "msgspec",
    "rocksdict",
    "uvloop",
)


def options(name: str, question: str | None, *, rounds: int | None = 3) -> argparse.ArgumentParser:
    """Return the parser of a benchmark with the options that all take; ``rounds=None``: it has none."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=question)
    parser.add_argument("--json", action="store_true", help="only the JSON object on standard output")
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    if rounds is not None:
        parser.add_argument("--rounds", type=int, default=rounds)
    return parser


def say(line: str) -> None:
    """Tell how far it is, on standard error."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def own_kafka(directory: Path, name: str = "kafka", **properties: str) -> Iterator[LocalBroker]:
    """Yield a broker that is thrown away afterwards."""
    # new topics have no leader for a moment, and aiokafka says so
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    broker = LocalBroker(directory / name, report=say, properties=properties)
    try:
        broker.start()
        yield broker
    finally:
        broker.destroy()


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """Yield a directory that is thrown away afterwards."""
    with tempfile.TemporaryDirectory(prefix=f"uptake-{name}-") as directory:
        yield Path(directory)


def finish(name: str, result: Mapping[str, Any], *, is_json: bool) -> int:
    """Print the result; the last line is one JSON object. Return 0 when no ratio is void."""
    whole = {
        "benchmark": name,
        **result,
        "cores": os.cpu_count(),
        "versions": {
            "python": platform.python_version(),
            **versions_of(VERSIONS),
        },
    }
    if not is_json:
        print(json.dumps(whole, indent=2))
    print(json.dumps(whole))
    return 0 if not whole["void"] else 1
