"""`python -m bench` runs every benchmark; each can be run alone, with its own options, as `python -m bench.NAME`."""

from __future__ import annotations

import sys
from typing import Final

from bench import refresh

BENCHMARKS: Final = (refresh.main,)


def main() -> int:
    """Run all benchmarks, one after the other: side by side they would measure each other.

    Returns:
        The exit code: 1 when a claim does not hold.
    """
    codes = [benchmark.main(args=[], prog_name="bench", standalone_mode=False) for benchmark in BENCHMARKS]
    return 1 if any(codes) else 0


if __name__ == "__main__":
    sys.exit(main())
