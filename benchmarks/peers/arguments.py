"""Command line of the peers: the same arguments for all of them."""

import argparse
from pathlib import Path

READY = "the first event is here"
"""What a peer writes when it receives its first event: the clocks start."""
ASSIGNED = "partitions are assigned"
"""What a peer that restores writes when it knows its partitions: the clocks start."""
RECOVERED = "every table is recovered"
"""What it writes when it has restored all tables: the clocks stop."""


def parse() -> argparse.Namespace:
    """Return kafka, topic, name (of group and own topics), partitions, state_dir, commit_seconds, tables, guarantee and live."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--commit-seconds", type=float, required=True)
    parser.add_argument("--tables", nargs="*", default=[], help="tables to restore")
    parser.add_argument("--guarantee", default="at-least-once", help="of Quix Streams: or exactly-once")
    parser.add_argument("--live", action="store_true", help="publish windows while they are open")
    return parser.parse_args()
