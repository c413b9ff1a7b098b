"""Writing trained models where they ship from, with their cards: `ml/artefacts` and `docs/models`."""

from __future__ import annotations

import gzip
from pathlib import Path

import orjson

from ml.cards import card_markdown
from ml.registry import CARD_FILE, EMBEDDING, ENCODER_FILE, MODEL_FILE, Shipped
from ml.training import Trained

ENCODER_FOLDER = "slab_encoder"


def as_shipped(trained: Trained) -> Shipped:
    """A trained pair model in the form in which models are registered and written."""
    model = trained.model
    return Shipped(
        target=model.target,
        domain=model.domain_name,
        family=model.family,
        name=f"{model.target} v1",
        split=trained.split,
        artefact=trained.artefact,
        data_digest=trained.data_digest,
        metrics=trained.metrics,
        card=trained.card,
    )


def write(model: Shipped, artefacts: Path, docs: Path | None = None) -> Path:
    """Write artefact and card of a model.

    Args:
        model: what to write.
        artefacts: folder of the artefacts; the model's own folder is made in it.
        docs: folder for the Markdown card, or None for none.

    Returns:
        The model's folder.
    """
    encoder = model.target == EMBEDDING
    folder = artefacts / (ENCODER_FOLDER if encoder else model.target)
    folder.mkdir(parents=True, exist_ok=True)
    if encoder:
        (folder / ENCODER_FILE).write_bytes(model.artefact)
    else:
        # No time stamp inside: the same model gives the same file.
        (folder / MODEL_FILE).write_bytes(gzip.compress(model.artefact, compresslevel=9, mtime=0))
    content = {
        "target": model.target,
        "domain": model.domain,
        "family": model.family,
        "name": model.name,
        "split": model.split,
        "data_digest": model.data_digest.hex(),
        "metrics": model.metrics,
        "card": model.card,
    }
    (folder / CARD_FILE).write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")
    if docs is not None:
        docs.mkdir(parents=True, exist_ok=True)
        (docs / f"{folder.name}.md").write_text(card_markdown(content), encoding="utf-8")
    return folder
