"""Writing trained models where they ship from, with their cards and plots: `ml/artefacts` and `docs/models`."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from ml import plots
from ml.cards import card_markdown
from ml.class_training import TrainedClasses
from ml.registry import CARD_FILE, EMBEDDING, ENCODER_FILE, EVALUATION_FILE, MODEL_FILE, Shipped
from ml.report import Report, shown
from ml.training import Trained
from schema.vocabulary import InterfaceKind

ENCODER_FOLDER = "slab_encoder"
RELEASE = 4
"""Version of the pair models, for people."""


def as_shipped(trained: Trained | TrainedClasses) -> Shipped:
    """A trained pair model in the form in which models are registered and written."""
    model = trained.model
    return Shipped(
        target=model.target,
        domain=model.domain_name,
        family=model.family,
        name=f"{folder_name(model.target, model.domain_name)} v{RELEASE}",
        split=trained.split,
        artefact=trained.artefact,
        data_digest=trained.data_digest,
        metrics=trained.metrics,
        card=trained.card,
        reports=trained.reports,
    )


def folder_name(target: str, domain: str) -> str:
    """Name of a model's folder and card: the target, and the domain where it is not the homobilayers."""
    return target if domain == InterfaceKind.HOMOBILAYER else f"{target}-{domain}"


def write(model: Shipped, artefacts: Path, docs: Path | None = None) -> Path:
    """Write artefact and card of a model.

    Args:
        model: what to write.
        artefacts: folder of the artefacts; the model's own folder is made in it.
        docs: folder for the Markdown card and, in a folder of its name, the plots; None for none.

    Returns:
        The model's folder.
    """
    encoder = model.target == EMBEDDING
    folder = artefacts / (ENCODER_FOLDER if encoder else folder_name(model.target, model.domain))
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
    reports = [report.as_json() for report in model.reports]
    if reports:
        (folder / EVALUATION_FILE).write_bytes(orjson.dumps(reports) + b"\n")
    if docs is not None:
        write_card({**content, "reports": reports}, docs, folder.name)
    return folder


def write_card(content: Mapping[str, Any], docs: Path, name: str) -> Path:
    """Write a model's card and the plots that it shows.

    Args:
        content: of the card (see `ml.cards.card_markdown`), evaluations included.
        docs: folder for the card; the plots go to `docs/name`.
        name: of the card, without ending.

    Returns:
        The card.
    """
    docs.mkdir(parents=True, exist_ok=True)
    drawn: list[str] = []
    drawn_from = shown([Report.from_json(one) for one in content["reports"]])
    if drawn_from is not None:
        drawn = [file.stem for file in plots.write(drawn_from, docs / name)]
    card = docs / f"{name}.md"
    card.write_text(card_markdown(content, {plot: f"{name}/{plot}.svg" for plot in drawn}), encoding="utf-8")
    return card
