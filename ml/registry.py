"""Model versions in the database: what may be served, and the bytes of it.

A row holds the artefact itself, so that a worker needs nothing but the database. Nothing is read from a row whose
bytes do not have the digest on record.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import orjson
from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert

from ml import evaluation_store, feature_store
from ml.artefact import ArtefactError, check_digest, sha256
from ml.gate import judge
from ml.heads import HETERO, HOMO, SCREENED
from ml.report import Report
from schema.errors import StackscreenError
from schema.features import ModelVersion
from schema.quantities import QUANTITIES

EMBEDDING = "embedding"
"""Target under which the encoder is registered."""
ENCODER_DOMAIN = "monolayer"
MODEL_FILE = "model.json.gz"
ENCODER_FILE = "weights.safetensors"
CARD_FILE = "card.json"
EVALUATION_FILE = "evaluation.json"
BASELINE_FAMILY = "calibrated-baseline"
SHIPPED = "shipped"
"""Origin, in a model's card, of one that came with the project: a newer release replaces it."""


class UnknownModelError(StackscreenError):
    """No model goes by that name or number."""


class NotServedError(StackscreenError):
    """A model may not be served."""


@dataclass(frozen=True)
class Shipped:
    """A model that comes with the project.

    Attributes:
        target, domain, family, name, split: as in `model_version`.
        artefact: its bytes, decompressed.
        data_digest: SHA-256 of what it was trained on.
        metrics, card: as in `model_version`.
        reports: evaluations of the method that it was made by, the strict split's first.
    """

    target: str
    domain: str
    family: str
    name: str
    split: str
    artefact: bytes
    data_digest: bytes
    metrics: dict[str, Any]
    card: dict[str, Any]
    reports: tuple[Report, ...] = ()


def shipped() -> list[Shipped]:
    """The models that come with the project, their digests checked.

    Raises:
        ArtefactError: a file is not what its card says.
    """
    folder = files("ml") / "artefacts"
    names = sorted(item.name for item in folder.iterdir() if (item / CARD_FILE).is_file())
    return [
        _read(folder / name, MODEL_FILE if (folder / name / MODEL_FILE).is_file() else ENCODER_FILE) for name in names
    ]


def _read(folder: Traversable, file: str) -> Shipped:
    content = orjson.loads((folder / CARD_FILE).read_bytes())
    data = (folder / file).read_bytes()
    artefact = gzip.decompress(data) if file.endswith(".gz") else data
    check_digest(artefact, bytes.fromhex(content["card"]["digest"]), f"shipped model of {content['target']}")
    judged = folder / EVALUATION_FILE
    reports = orjson.loads(judged.read_bytes()) if judged.is_file() else []
    return Shipped(
        content["target"],
        content["domain"],
        content["family"],
        content["name"],
        content["split"],
        artefact,
        bytes.fromhex(content["data_digest"]),
        content["metrics"],
        {**content["card"], "origin": SHIPPED},
        tuple(Report.from_json(report) for report in reports),
    )


def register(connection: Connection, model: Shipped, *, serve: bool = True) -> int:
    """Enter a model version; the same artefact again changes nothing but whether it is served.

    Args:
        connection: in a transaction.
        model: what to enter.
        serve: predict with it from now on, in place of what was served for its target and domain.

    Returns:
        The version's number.
    """
    digest = sha256(model.artefact)
    connection.execute(
        insert(ModelVersion)
        .values(
            target=model.target,
            domain=model.domain,
            family=model.family,
            name=model.name,
            feature_set_id=None if model.target == EMBEDDING else feature_store.feature_set_id(connection),
            artefact=model.artefact,
            artefact_digest=digest,
            data_digest=model.data_digest,
            split=model.split,
            metrics=model.metrics,
            card=model.card,
            code_version=version("stackscreen"),
        )
        .on_conflict_do_nothing(index_elements=["target", "domain", "artefact_digest"])
    )
    same = (ModelVersion.target == model.target) & (ModelVersion.domain == model.domain)
    number = connection.execute(
        select(ModelVersion.id).where(same, ModelVersion.artefact_digest == digest)
    ).scalar_one()
    if model.reports:
        evaluation_store.replace_all(connection, model.reports, number)
    if serve:
        _serve(connection, number, model.target, model.domain)
    return int(number)


def _serve(connection: Connection, number: int, target: str, domain: str) -> None:
    same = (ModelVersion.target == target) & (ModelVersion.domain == domain)
    # Two statements, as one served version a target is a unique index that is checked row by row.
    connection.execute(update(ModelVersion).where(same, ModelVersion.id != number).values(served=False))
    connection.execute(update(ModelVersion).where(ModelVersion.id == number).values(served=True))


def promote(connection: Connection, number: int) -> str:
    """Serve a version in place of what is served for its target and domain, if the gate lets it through.

    A calibrated baseline may always be served: it is what a model has to beat.

    Args:
        connection: in a transaction.
        number: of the version.

    Returns:
        What speaks for it, in a sentence.

    Raises:
        UnknownModelError: there is no such version.
        NotServedError: it predicts no property, or it does not beat its baseline on the stored evaluations.
    """
    query = select(ModelVersion.target, ModelVersion.domain, ModelVersion.family, ModelVersion.card)
    row = connection.execute(query.where(ModelVersion.id == number)).one_or_none()
    if row is None:
        raise UnknownModelError(
            f"There is no model version {number}.", hint="See which there are: stackscreen models list"
        )
    if row.target not in QUANTITIES:
        raise NotServedError(
            f"Version {number} predicts no property but an {row.target}, which has no baseline to beat.",
            hint="Encoders are served by `stackscreen models register` and `stackscreen train --encoder`.",
        )
    if row.family == BASELINE_FAMILY:
        why = "It is the calibrated baseline itself."
    else:
        verdict = judge(evaluation_store.of_model(connection, number), row.domain, row.card.get("unit", ""))
        if not verdict.served:
            raise NotServedError(
                f"Version {number} of {row.target} ({row.domain}) is not served. {verdict.why}",
                hint="What is served stays served. Train with more interfaces (stackscreen import, then stackscreen "
                f"train --no-serve), and see where it fails: stackscreen models show {number}",
            )
        why = verdict.why
    _serve(connection, number, row.target, row.domain)
    return why


def served_versions(connection: Connection) -> dict[int, bytes]:
    """Digest of every pair model that is served for pairs of layers, by version number."""
    query = select(ModelVersion.id, ModelVersion.artefact_digest).where(
        ModelVersion.served, ModelVersion.domain.in_((HOMO, HETERO)), ModelVersion.target.in_(SCREENED)
    )
    return {row.id: bytes(row.artefact_digest) for row in connection.execute(query.order_by(ModelVersion.id))}


def served_encoder(connection: Connection) -> int | None:
    """Number of the encoder that is served, or None."""
    query = select(ModelVersion.id).where(ModelVersion.served, ModelVersion.target == EMBEDDING)
    return connection.execute(query).scalar_one_or_none()


def load_artefact(connection: Connection, version_id: int) -> bytes:
    """The bytes of a version, checked against its digest.

    Raises:
        ArtefactError: there is no such version, or its bytes have another digest.
    """
    row = connection.execute(
        select(ModelVersion.target, ModelVersion.artefact, ModelVersion.artefact_digest).where(
            ModelVersion.id == version_id
        )
    ).one_or_none()
    if row is None:
        raise ArtefactError(
            f"There is no model version {version_id}.", hint="See which there are: stackscreen models list"
        )
    check_digest(bytes(row.artefact), bytes(row.artefact_digest), f"model of {row.target}, version {version_id}")
    return bytes(row.artefact)


def served_by_own_models(connection: Connection) -> set[tuple[str, str]]:
    """Target and domain of what is served by a model trained here, not by one that came with the project."""
    own = func.coalesce(ModelVersion.card["origin"].astext, "") != SHIPPED
    query = select(ModelVersion.target, ModelVersion.domain).where(ModelVersion.served, own)
    return {(row.target, row.domain) for row in connection.execute(query)}
