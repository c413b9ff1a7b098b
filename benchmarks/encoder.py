"""The slab encoder, trained on C2DB's published file and judged on layers whose composition it has not seen.

    python -m benchmarks encoder --data FOLDER [--write] [--checkpoint FILE] [--device cpu]

FOLDER holds `c2db/c2db.db`. `--write` puts weights and card where they ship from. The same file gives the same weights
on a CPU; `stackscreen train --encoder` does the same with the monolayers of a database.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks.model_data import records, slab_of
from ml import shelf
from ml.descriptors.slab import NotASlabError
from ml.encoder_training import collect, train_encoder
from ml.features import Layer
from ml.models.encoder_fit import EPOCHS
from schema.vocabulary import Method


def layers_of(folder: Path) -> dict[str, Layer]:
    """All layers of C2DB with every number that PBE gives of them, by uid."""
    out = {}
    for record in records(folder, "c2db"):
        if record.atoms is None:
            continue
        known = {
            (fact.quantity.key, fact.face): float(fact.value)
            for fact in record.facts
            if fact.method is Method.PBE and not isinstance(fact.value, str)
        }
        try:
            out[record.external_id] = Layer(slab_of(record.atoms), known)
        except NotASlabError:
            continue
    return out


def main(arguments: list[str]) -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks encoder", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--checkpoint", type=Path, help="written after every epoch, resumed from if it is there")
    parser.add_argument("--device", choices=["cpu", "cuda", "auto"], default="cpu")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    options = parser.parse_args(arguments)
    data = collect(layers_of(options.data))
    print(f"{len(data.uids)} layers, {int(data.test.sum())} of them held out")
    start, cpu = time.perf_counter(), time.process_time()
    shipped = train_encoder(
        data,
        epochs=options.epochs,
        device=options.device,
        checkpoint=options.checkpoint,
        on_epoch=lambda epoch, loss: print(f"  epoch {epoch + 1}: loss {loss:.4f}", flush=True),
    )
    print(f"trained in {time.perf_counter() - start:.0f} s, {time.process_time() - cpu:.0f} s of processor time")
    for task, values in shipped.metrics["held out"].items():
        print(f"  {task:<20} {values}")
    if options.write:
        root = Path(__file__).parents[1]
        print(f"wrote {shelf.write(shipped, root / 'ml' / 'artefacts', root / 'docs' / 'models')}")
