"""What is every peer told? The same command line for all of them."""

import argparse
from pathlib import Path

READY = "the first event is here"
"""What a peer writes when it is given its first event: clocks start there."""


def parse() -> argparse.Namespace:
    """Return kafka, topic, name (of group and own topics), partitions, state_dir, commit_seconds and events."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--commit-seconds", type=float, required=True)
    return parser.parse_args()
