"""Shared parts of the benchmark commands: options, a broker, progress lines and the printed result."""

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
    """Return a parser with the options of all benchmarks, without ``--rounds`` if ``rounds`` is None."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=question)
    parser.add_argument("--json", action="store_true", help="print only the JSON object on standard output")
    parser.add_argument(
        "--partitions", type=int, default=8, help="partitions of each topic (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="the same seed gives the same traffic (default: %(default)s)"
    )
    if rounds is not None:
        parser.add_argument(
            "--rounds", type=int, default=rounds, help="how often each contestant runs (default: %(default)s)"
        )
    return parser


def say(line: str) -> None:
    """Print a progress line to standard error."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def own_kafka(directory: Path, name: str = "kafka", **properties: str) -> Iterator[LocalBroker]:
    """Yield a local broker, and delete it with its data afterwards."""
    # A new topic has no leader for a moment, and aiokafka logs this.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    broker = LocalBroker(directory / name, report=say, properties=properties)
    try:
        broker.start()
        yield broker
    finally:
        broker.destroy()


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """Yield a directory, and delete it afterwards."""
    with tempfile.TemporaryDirectory(prefix=f"uptake-{name}-") as directory:
        yield Path(directory)


def finish(name: str, result: Mapping[str, Any], *, is_json: bool) -> int:
    """Print the result, with one JSON object as the last line; return 0 if no ratio is void, else 1."""
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
