"""Runs the benchmarks as one command: ``python -m benchmarks [NAME ...] [OPTIONS]``."""

import importlib
import sys
from typing import Final

from benchmarks.against import PAIRS

BENCHMARKS: Final = {
    "ingest": "rendered events that a worker folds and makes durable",
    "mixed": "events of all kinds, with and without lookups",
    "steady": "events at a steady rate, compared with the same events from a backlog",
    "users": "the same number of events from ten times as many users",
    "scale": "two workers instead of one",
    "recovery": "records that a worker restores after it lost its disk",
    "freshness": "time from an accepted event to the lookup that shows it",
    "state": "disk and memory per user",
    "soak": "memory of a worker over half an hour",
    "collector": "events over HTTP, one by one and in batches",
    "lookup": "exclusions, filters and pages that a worker answers, compared with FastAPI and Redis",
    "loop_lag": "how long each kind of lookup keeps other requests waiting",
    "windows": "shown and clicked items counted in windows of a minute, compared with Quix Streams",
    "page": "time from an accepted event to its number on the page, and how many open pages one process serves",
    "experiments": "false claims and power of experiments that are looked at after each user",
}
"""Name -> what the benchmark measures."""

HELP: Final = f"""usage: python -m benchmarks [NAME ...] [OPTIONS]
       python -m benchmarks NAME --against CHECKOUT [--pairs N] [OPTIONS]

The first form runs benchmarks together with their peers: those that are named, or all.
The second form compares this checkout with another one, a git worktree or clone, in {PAIRS} pairs of runs or more.
It needs no peers. docs/benchmarks.md says what is measured.

Progress goes to standard error. The last line on standard output is one JSON object for each benchmark.

benchmarks:
{{names}}

Options go to every benchmark that is named. Each has a help: python -m benchmarks NAME --help

examples:
  python -m benchmarks ingest --rounds 1 --only ours bare_loop
  python -m benchmarks ingest --against ../before --json
  python -m benchmarks collector --against ../before --trials single --smoke
"""


def main(argv: list[str]) -> int:
    """Run the named benchmarks, or all, one after the other with the same options; return the worst exit status."""
    named = argv[: next((at for at, word in enumerate(argv) if word.startswith("-")), len(argv))]
    unknown = [name for name in named if name not in BENCHMARKS]
    if unknown:
        return _refuse(f"there is no benchmark {unknown[0]}; choose from {', '.join(BENCHMARKS)}")
    names = [argument for argument in argv if argument in BENCHMARKS]
    options = [argument for argument in argv if argument not in BENCHMARKS]
    if not names and {"-h", "--help"} & set(options):
        print(
            HELP.format(names="\n".join(f"  {name:<11} {what}" for name, what in BENCHMARKS.items())), end=""
        )
        return 0
    if not names and any(option.partition("=")[0] == "--against" for option in options):
        return _refuse(f"--against needs the name of a benchmark: {', '.join(BENCHMARKS)}")
    return max(importlib.import_module(f"benchmarks.{name}").main(options) for name in names or BENCHMARKS)


def _refuse(complaint: str) -> int:
    print(f"python -m benchmarks: {complaint}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
