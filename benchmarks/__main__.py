"""`python -m benchmarks NAME ...`: run one benchmark; without a name, list them."""

from __future__ import annotations

import sys

from benchmarks import heterobilayers, pairs, pipeline

BENCHMARKS = {"heterobilayers": heterobilayers, "pairs": pairs, "pipeline": pipeline}

if len(sys.argv) < 2 or sys.argv[1] not in BENCHMARKS:
    print("Usage: python -m benchmarks NAME [options]; --help after a name explains it.\n")
    for name, module in BENCHMARKS.items():
        print(f"  {name:<10} {(module.__doc__ or '').splitlines()[0]}")
    sys.exit(0 if len(sys.argv) < 2 else 2)
BENCHMARKS[sys.argv[1]].main(sys.argv[2:])
