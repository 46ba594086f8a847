"""Which benchmarks are there, and how are all of them run? `python -m benchmarks [NAME ...] [OPTIONS of each]`."""

import importlib
import sys
from typing import Final

BENCHMARKS: Final = ("ingest", "mixed", "users", "scale", "recovery", "freshness", "state", "collector")


def main(argv: list[str]) -> int:
    """Run the named benchmarks, or all, one after the other; options go to each of them. Return the worst exit status."""
    names = [argument for argument in argv if argument in BENCHMARKS] or list(BENCHMARKS)
    options = [argument for argument in argv if argument not in BENCHMARKS]
    return max(importlib.import_module(f"benchmarks.{name}").main(options) for name in names)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
