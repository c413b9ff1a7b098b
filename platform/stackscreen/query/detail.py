"""Everything about one pair: both sides with the origin of every number, the candidate, its models, its stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, and_, func, or_, select
from sqlalchemy.orm import aliased

from schema import (
    Candidate,
    Embedding,
    Interface,
    Material,
    MaterialMember,
    ModelVersion,
    Monolayer,
    Property,
    PropertyValue,
    ScreeningMember,
    ScreeningRunModel,
    Source,
    SourceRecord,
    Stacking,
)
from schema.errors import StackscreenError
from schema.vocabulary import InterfaceKind, RecordState
from stackscreen.query.candidates import BOTTOM, COLUMNS, TOP, Run, row_values
from stackscreen.screening.spaces import of_run


class UnknownPairError(StackscreenError):
    """The published run holds no such candidate."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One number or word about one subject, with where it comes from.

    `lower` and `upper` are the ends of a 90 % interval, in `unit`, where there is one.
    """

    key: str
    symbol: str
    meaning: str
    value: float | str
    unit: str
    method: str
    face: str | None
    source: str
    external_id: str
    citation: str
    starter: bool
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a pair as the run saw it, with all facts that living records give of it.

    `edges` are those of the face that looks at the other side, eV against vacuum.
    """

    uid: str
    formula: str
    material_uid: str
    is_surface: bool
    lattice: tuple[float, float, float]
    n_atoms: int
    thickness: float | None
    layer_group: int | None
    polar: bool
    gap: float | None
    vbm: float | None
    cbm: float | None
    work_function: float | None
    facts: list[Fact]


@dataclass(frozen=True, slots=True)
class Model:
    """A model version that the run used: what it predicts, and how well it did on materials it had not seen."""

    target: str
    domain: str
    family: str
    name: str
    split: str
    metrics: dict[str, Any]
    card: dict[str, Any]
    served: bool

    @property
    def physics(self) -> str | None:
        """The physics that predicts in place of trees where no registry is single, in words; None where trees speak.

        A model that did not beat its baseline is not served: the baseline is, and readers are told.
        """
        state = self.card.get("states", {}).get("unknown", {"trees": 1})
        return None if state["trees"] else str(state["served"]).replace("_", " ")


def answering(models: Sequence[Model], kind: str) -> dict[str, Model]:
    """By target, the model that speaks of a kind of pair; of a target that has no other, the homobilayers'."""
    found = {model.target: model for model in models if model.domain == InterfaceKind.HOMOBILAYER}
    return {**found, **{model.target: model for model in models if model.domain == kind}}


@dataclass(frozen=True, slots=True)
class KnownInterface:
    """A computed interface of the same two materials."""

    kind: str
    bottom_name: str
    top_name: str
    surface: str | None
    twist: float | None
    flip: bool | None
    facts: list[Fact]


@dataclass(frozen=True, slots=True)
class Pair:
    """One candidate with its evidence. `turned` says that the address named its sides the other way round."""

    row: dict[str, Any]
    bottom: Side
    top: Side
    models: list[Model]
    known: list[KnownInterface]
    similar: dict[str, list[tuple[str, str, float]]]
    turned: bool


def pair(connection: Connection, run: Run, bottom_uid: str, top_uid: str) -> Pair:
    """Everything about one candidate.

    Args:
        connection: from `reading`.
        run: the published run.
        bottom_uid, top_uid: uids of the two sides, in either order: which lies below is the run's to say.

    Raises:
        UnknownPairError: it is not among the run's candidates.
    """
    found = _candidate(connection, run, bottom_uid, top_uid)
    turned = found is None
    if found is None:
        found = _candidate(connection, run, top_uid, bottom_uid)
    if found is None:
        raise UnknownPairError(
            f"{bottom_uid} with {top_uid} is not among the candidates of the published run.",
            hint="It may have no match within the run's limits; search the list for either layer.",
        )
    row = row_values(found)
    below = _side(connection, run, row["bottom_uid"], "top")
    above = _side(connection, run, row["top_uid"], "bottom")
    return Pair(
        row,
        below,
        above,
        models_of(connection, run),
        _known(connection, below.material_uid, above.material_uid),
        {side.uid: _similar(connection, side.material_uid) for side in (below, above)},
        turned,
    )


def _candidate(connection: Connection, run: Run, bottom_uid: str, top_uid: str) -> Any:
    return connection.execute(
        select(*(column.label(name) for name, column in COLUMNS.items()))
        .select_from(Candidate)
        .join(BOTTOM, and_(BOTTOM.run_id == Candidate.run_id, BOTTOM.member == Candidate.bottom))
        .join(TOP, and_(TOP.run_id == Candidate.run_id, TOP.member == Candidate.top))
        .where(of_run(Candidate, run.key), BOTTOM.uid == bottom_uid, TOP.uid == top_uid)
    ).first()


def _side(connection: Connection, run: Run, uid: str, face: str) -> Side:
    columns = ScreeningMember
    facing = {key: getattr(columns, f"{key}_{face}").label(key) for key in ("vbm", "cbm", "work_function")}
    row = connection.execute(
        select(
            columns.uid, columns.formula, columns.surface_id, columns.ln_area, columns.tau_re, columns.tau_im,
            columns.n_atoms, columns.polar, columns.gap, *facing.values(),
            Material.uid.label("material_uid"), Material.id.label("material_id"),
            Monolayer.thickness, Monolayer.layer_group,
        )
        .join(Material, Material.id == columns.material_id)
        .outerjoin(Monolayer, Monolayer.material_id == Material.id)
        .where(of_run(columns, run.key), columns.uid == uid)
    ).one()  # fmt: skip
    a = float(np.sqrt(np.exp(row.ln_area) / row.tau_im))
    b = a * float(np.hypot(row.tau_re, row.tau_im))
    gamma = float(np.degrees(np.arctan2(row.tau_im, row.tau_re)))
    return Side(
        row.uid, row.formula, row.material_uid, row.surface_id is not None, (a, b, gamma), row.n_atoms, row.thickness,
        row.layer_group, row.polar, row.gap, row.vbm, row.cbm, row.work_function, _facts(connection, row.material_id),
    )  # fmt: skip


_FACT = (
    Property.key, Property.symbol, Property.unit, Property.definition, PropertyValue.value, PropertyValue.label,
    PropertyValue.method, PropertyValue.face, PropertyValue.lower, PropertyValue.upper,
    Source.database, Source.release, Source.citation, SourceRecord.external_id,
)  # fmt: skip


def _fact(row: Any) -> Fact:
    return Fact(
        key=row.key,
        symbol=row.symbol,
        meaning=row.definition,
        value=row.label if row.value is None else row.value,
        unit=row.unit,
        method=row.method.value,
        face=row.face.value if row.face is not None else None,
        source=f"{row.database} {row.release}",
        external_id=row.external_id,
        citation=row.citation,
        starter=row.release == "starter",
        lower=row.lower,
        upper=row.upper,
    )


def _facts(connection: Connection, material_id: int) -> list[Fact]:
    rows = connection.execute(
        select(*_FACT)
        .join(PropertyValue, PropertyValue.property_id == Property.id)
        .join(SourceRecord, SourceRecord.id == PropertyValue.source_record_id)
        .join(Source, Source.id == SourceRecord.source_id)
        .join(MaterialMember, MaterialMember.source_record_id == SourceRecord.id)
        .where(MaterialMember.material_id == material_id, SourceRecord.state == RecordState.ACCEPTED)
        .order_by(Property.id, PropertyValue.method, PropertyValue.face, Source.precedence, SourceRecord.id)
    )
    return [_fact(row) for row in rows]


def models_of(connection: Connection, run: Run) -> list[Model]:
    """The model versions that a run predicted with."""
    names = Model.__slots__
    rows = connection.execute(
        select(*(getattr(ModelVersion, name) for name in names))
        .join(ScreeningRunModel, ScreeningRunModel.model_version_id == ModelVersion.id)
        .where(ScreeningRunModel.run_id == run.id)
        .order_by(ModelVersion.target)
    )
    return [Model(*row) for row in rows]


def _known(connection: Connection, one: str, other: str) -> list[KnownInterface]:
    below, above = aliased(Material), aliased(Material)
    interfaces = connection.execute(
        select(
            Interface.id, Interface.kind, Interface.bottom_name, Interface.top_name, Interface.surface,
            Stacking.twist, Stacking.flip,
        )
        .join(below, below.id == Interface.bottom_material_id)
        .join(above, above.id == Interface.top_material_id)
        .outerjoin(Stacking, Stacking.interface_id == Interface.id)
        .join(SourceRecord, SourceRecord.id == Interface.source_record_id)
        .where(
            SourceRecord.state == RecordState.ACCEPTED,
            or_(and_(below.uid == one, above.uid == other), and_(below.uid == other, above.uid == one)),
        )
        .order_by(Interface.id)
        .limit(50)
    ).all()  # fmt: skip
    facts: dict[int, list[Fact]] = {}
    values = connection.execute(
        select(Interface.id.label("interface"), *_FACT)
        .join(PropertyValue, PropertyValue.source_record_id == Interface.source_record_id)
        .join(Property, Property.id == PropertyValue.property_id)
        .join(SourceRecord, SourceRecord.id == Interface.source_record_id)
        .join(Source, Source.id == SourceRecord.source_id)
        .where(Interface.id.in_([row.id for row in interfaces]))
        .order_by(Property.id, PropertyValue.method)
    )
    for row in values:
        facts.setdefault(row.interface, []).append(_fact(row))
    return [
        KnownInterface(
            row.kind.value, row.bottom_name, row.top_name, row.surface, row.twist, row.flip, facts.get(row.id, [])
        )
        for row in interfaces
    ]


def _similar(connection: Connection, material_uid: str, limit: int = 6) -> list[tuple[str, str, float]]:
    """Nearest materials (uid, formula, distance) as the newest encoder sees them; empty while nothing is embedded."""
    mine = connection.execute(
        select(Embedding.model_version_id, Embedding.vector)
        .join(Material, Material.id == Embedding.material_id)
        .where(Material.uid == material_uid)
        .order_by(Embedding.model_version_id.desc())
        .limit(1)
    ).first()
    if mine is None:
        return []
    distance = Embedding.vector.l2_distance(mine.vector)
    rows = connection.execute(
        select(Material.uid, Material.formula, distance)
        .join(Embedding, Embedding.material_id == Material.id)
        .where(
            Embedding.model_version_id == mine.model_version_id,
            Material.uid != material_uid,
            Material.withdrawn_at.is_(None),
        )
        .order_by(distance)
        .limit(limit)
    )
    return [(uid, formula, float(how_far)) for uid, formula, how_far in rows]


def material_names(connection: Connection, run: Run) -> list[tuple[str, str]]:
    """Uid and formula of everything that the run could stack, for a choice list."""
    rows = connection.execute(
        select(ScreeningMember.uid, ScreeningMember.formula)
        .where(of_run(ScreeningMember, run.key))
        .order_by(func.lower(ScreeningMember.formula), ScreeningMember.uid)
    )
    return [(uid, formula) for uid, formula in rows]
