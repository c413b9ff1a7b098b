"""`python -m benchmarks NAME ...`: run one benchmark; without a name, list them."""

from __future__ import annotations

import sys
from importlib import import_module

BENCHMARKS = {
    "blocks": "how alike the blocks of a screen are in time, cut by pairs and cut by cost",
    "delta": "one changed, withdrawn or returning material in a published screen",
    "dedupe": "which layers are the same: recall, precision and speed, beside pymatgen's StructureMatcher",
    "encoder": "the slab encoder trained on C2DB's file, and its errors on layers of compositions held out",
    "fusion": "graph-fusion heads beside the trees, on the same folds",
    "grid": "where the grids of trees come from: losses and steps, on tables that judge no model",
    "imports": "every database imported and deduplicated, twice, beside a row-wise script",
    "kills": "worker, broker and database killed at random during a run, beside an undisturbed one",
    "models": "every figure that the models are held to, from the published files",
    "nested": "trees that span their grid, beside trees whose every setting is chosen on inner folds",
    "noise": "how far two sources differ on the same layers and stacks: what no model can do better than",
    "pairs": "coincidence lattices per second, beside pymatgen's Zur-McGill search",
    "peers": "the same pairs through pymatgen's ZSL with LightGBM a row, and through ours: cost of a pair",
    "pipeline": "import, deduplicate, describe and screen whole databases, then import again",
    "queries": "twenty filters of the dashboard over all candidates of a published run, beside SQL",
    "scaling": "cost of a pair against the number of layers and the size of supercells, with a plot",
    "scan": "twenty filters over all pairs, random ones or those of a published run, counted exactly",
    "zsl": "the smallest supercells beside pymatgen's exhaustive search, and published moiré cells",
}

if len(sys.argv) < 2 or sys.argv[1] not in BENCHMARKS:
    print("Usage: python -m benchmarks NAME [options]; --help after a name explains it.\n")
    for name, what in BENCHMARKS.items():
        print(f"  {name:<15} {what}")
    sys.exit(0 if len(sys.argv) < 2 else 2)
# Only the one that is asked for: a child's peak memory is never less than that of the process that starts it.
import_module(f"benchmarks.{sys.argv[1]}").main(sys.argv[2:])
