"""A small published run through the real models: eight well-known layers and Au(111), matched by the real engine.

Lattice constants and band edges are rounded literature values; "predictions" are simple functions of the physics, which
is all that a test of reading, filtering and drawing needs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from ase.data import atomic_numbers
from sqlalchemy import Engine, make_url, select, text
from sqlalchemy.orm import Session

from ml.descriptors.band_alignment import anderson
from schema import (
    BulkPhase,
    Candidate,
    ImportRun,
    Interface,
    Material,
    MaterialMember,
    ModelVersion,
    Monolayer,
    PairBlock,
    PairTile,
    Property,
    PropertyValue,
    ScreeningMember,
    ScreeningRun,
    ScreeningRunModel,
    Source,
    SourceRecord,
    Stacking,
    Structure,
    Surface,
)
from schema.engine import make_engine
from schema.migrate import upgrade
from schema.plane_lattice import PlaneLattice
from stackscreen.pairs import PairLimits, ShapeTable, match_row
from stackscreen.screening.packing import NO_MATCH, STRAIN_UNIT
from stackscreen.screening.score import geometric_score

MAX_ATOMS = 80
"""Of a candidate of two layers: a pair with more is a pair all the same."""
H2, T1, FLAT = "2H", "1T", "flat"
# formula, symbols, stacking, a (Å), height of the outer atoms (Å), VBM and CBM against vacuum (eV; metals: equal)
LAYERS = (
    ("MoS2", ("Mo", "S", "S"), H2, 3.18, 1.56, -5.95, -4.28),
    ("WS2", ("W", "S", "S"), H2, 3.18, 1.57, -5.75, -3.95),
    ("MoSe2", ("Mo", "Se", "Se"), H2, 3.32, 1.67, -5.24, -3.90),
    ("WSe2", ("W", "Se", "Se"), H2, 3.32, 1.68, -5.04, -3.60),
    ("HfS2", ("Hf", "S", "S"), T1, 3.65, 1.45, -6.60, -5.35),
    ("ZrSe2", ("Zr", "Se", "Se"), T1, 3.79, 1.55, -5.90, -5.20),
    ("BN", ("B", "N"), FLAT, 2.51, 0.0, -5.84, -1.21),
    ("C", ("C", "C"), FLAT, 2.46, 0.0, -4.50, -4.50),
)
SITES = {
    H2: ((0, 0, 0), (1 / 3, 2 / 3, 1), (1 / 3, 2 / 3, -1)),
    T1: ((0, 0, 0), (1 / 3, 2 / 3, 1), (2 / 3, 1 / 3, -1)),
    FLAT: ((1 / 3, 2 / 3, 0), (2 / 3, 1 / 3, 0)),
}


def _digest(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()


def _hexagonal(a: float) -> np.ndarray:
    return np.array([[a, 0.0], [-a / 2, a * 3**0.5 / 2]])


def _cell(plane: np.ndarray, height: float) -> list[float]:
    return [float(x) for x in (*plane[0], 0, *plane[1], 0, 0, 0, height)]


class _Filler:
    def __init__(self, session: Session) -> None:
        self.session = session
        self.properties = {row.key: row.id for row in session.scalars(select(Property))}
        self.source = self._add(
            Source(key="starter-test", database="C2DB", release="starter", method="approximate literature values",
                   licence="CC-BY-4.0", reader="c2db", citation="Haastrup et al., 2D Mater. 5, 042002 (2018)")
        )  # fmt: skip
        self.imported = self._add(
            ImportRun(source_id=self.source.id, file_name="starter.db", file_sha256=_digest("file"), file_bytes=1,
                      reader_version="1", state="finished", finished_at=datetime.now(UTC), n_read=1, n_quarantined=1)
        )  # fmt: skip
        self.sides: list[dict[str, Any]] = []

    def _add(self, row: Any) -> Any:
        self.session.add(row)
        self.session.flush()
        return row

    def record(self, name: str, subject: str | None, **more: Any) -> SourceRecord:
        return self._add(
            SourceRecord(source_id=self.source.id, external_id=name, subject=subject, payload={"uid": name},
                         payload_hash=_digest(name), import_run_id=self.imported.id, **{"state": "accepted"} | more)
        )  # fmt: skip

    def value(self, record: SourceRecord, key: str, value: float, method: str = "PBE") -> None:
        self._add(
            PropertyValue(property_id=self.properties[key], source_record_id=record.id, method=method, value=value)
        )

    def layer(
        self, formula: str, symbols: tuple[str, ...], kind: str, a: float, h: float, vbm: float, cbm: float
    ) -> None:
        plane = _hexagonal(a)
        sites = np.array(SITES[kind], float)
        positions = np.column_stack([sites[:, :2] @ plane, sites[:, 2] * h])
        record = self.record(f"1{formula}-1", "monolayer")
        material = self._material(record, formula, symbols, _cell(plane, 2 * h + 20), positions, 2)
        lattice = PlaneLattice.from_vectors(*plane)
        self._add(
            Monolayer(material_id=material.id, ln_area=lattice.ln_area, tau_re=lattice.tau.real,
                      tau_im=lattice.tau.imag, basis=lattice.basis.ravel().tolist(), thickness=2 * h, polar=False)
        )  # fmt: skip
        for key, number in (("gap", cbm - vbm), ("vbm", vbm), ("cbm", cbm), ("hull_energy", 0.0)):
            self.value(record, key, number)
        self.sides.append({"material": material, "surface": None, "uid": material.uid, "lattice": lattice, "atoms":
                           len(symbols), "vbm": vbm, "cbm": cbm, "hull": 0.0})  # fmt: skip

    def gold(self) -> None:
        a = 4.08
        cell = [0.0, a / 2, a / 2, a / 2, 0.0, a / 2, a / 2, a / 2, 0.0]
        record = self.record("Au_mp-81", "bulk")
        material = self._material(record, "Au", ("Au",), cell, np.zeros((1, 3)), 3)
        self.value(record, "work_function", 5.3, "experiment")
        self._add(BulkPhase(material_id=material.id, space_group=225, volume_per_atom=a**3 / 4))
        plane, step = _hexagonal(a / 2**0.5), a / 3**0.5
        lattice = PlaneLattice.from_vectors(*plane)
        slab = np.array([[*(k * (2 / 3 * plane[0] + 1 / 3 * plane[1])), -k * step] for k in range(3)])
        surface = self._add(
            Surface(material_id=material.id, miller_h=1, miller_k=1, miller_l=1, ln_area=lattice.ln_area,
                    tau_re=lattice.tau.real, tau_im=lattice.tau.imag, basis=lattice.basis.ravel().tolist(),
                    cell=_cell(plane, 2 * step + 20), numbers=[79] * 3, positions=slab.ravel().tolist(), n_atoms=3)
        )  # fmt: skip
        uid = f"{material.uid}(111)"
        self.sides.append({"material": material, "surface": surface.id, "uid": uid, "lattice": lattice, "atoms": 3,
                           "vbm": -5.3, "cbm": -5.3, "hull": None})  # fmt: skip

    def _material(
        self,
        record: SourceRecord,
        formula: str,
        symbols: tuple[str, ...],
        cell: list[float],
        positions: np.ndarray,
        n: int,
    ) -> Material:
        structure = self._add(
            Structure(source_record_id=record.id, formula=formula, formula_anonymous="AB2", n_atoms=len(symbols),
                      periodicity=n, cell=cell, numbers=[atomic_numbers[s] for s in symbols],
                      positions=positions.ravel().tolist(), digest=_digest(formula))
        )  # fmt: skip
        material = self._add(
            Material(uid=f"{formula}-{_digest(formula).hex()[:8]}", kind="monolayer" if n == 2 else "bulk",
                     formula=formula, formula_anonymous="AB2", elements=sorted(set(symbols)), n_atoms=len(symbols),
                     structure_id=structure.id)
        )  # fmt: skip
        self._add(MaterialMember(source_record_id=record.id, material_id=material.id, distance=0.0,
                                 method="representative", version="1"))  # fmt: skip
        return material

    def known_bilayer(self) -> None:
        record = self.record("1MoS2-1-2-1_0_0_1-Iz-0.33_0.67", "interface")
        material = self.sides[0]["material"]
        interface = self._add(
            Interface(source_record_id=record.id, kind="homobilayer", bottom_material_id=material.id,
                      top_material_id=material.id, bottom_name="1MoS2-1", top_name="1MoS2-1")
        )  # fmt: skip
        self._add(Stacking(interface_id=interface.id, bottom_matrix=[1, 0, 0, 1], top_matrix=[1, 0, 0, 1], flip=True))
        self.value(record, "binding_energy", 20.4, "PBE-D3")

    def run(self) -> None:
        sides, layers = self.sides, sum(side["surface"] is None for side in self.sides)
        run = self._add(
            ScreeningRun(state="published", inputs_digest=_digest("run"), engine_version="1", n_monolayers=layers,
                         n_surfaces=len(sides) - layers, n_pairs=44, max_strain=0.02, max_area=400, max_atoms=160,
                         candidate_rule={"max_strain": 0.02}, published_at=datetime.now(UTC))
        )  # fmt: skip
        model = self._add(
            ModelVersion(target="gap", domain="homobilayer", family="lightgbm-residual", name="gap-1", artefact=b"tree",
                         artefact_digest=_digest("gap"), data_digest=_digest("data"), card={}, code_version="0.1",
                         split="leave-material-out-v1, 4 folds", served=True, metrics={"leave-material-out": {
                             "model, registry unknown": {"mae": 0.16, "n": 9, "r2": 0.9, "coverage": 0.9},
                             "smaller gap, calibrated": {"mae": 0.165, "n": 9, "r2": 0.9}}})
        )  # fmt: skip
        self._add(ScreeningRunModel(run_id=run.id, model_version_id=model.id))
        for number, side in enumerate(sides):
            material, edges = side["material"], {}
            for face in ("bottom", "top"):
                edges |= {f"vbm_{face}": side["vbm"], f"cbm_{face}": side["cbm"]}
                edges[f"work_function_{face}"] = -(side["vbm"] + side["cbm"]) / 2
            self._add(
                ScreeningMember(run_id=run.id, since=run.id, member=number, material_id=material.id,
                                surface_id=side["surface"], uid=side["uid"], formula=material.formula,
                                elements=material.elements, n_atoms=side["atoms"],
                                ln_area=side["lattice"].ln_area, polar=False,
                                tau_re=side["lattice"].tau.real, tau_im=side["lattice"].tau.imag,
                                gap=side["cbm"] - side["vbm"], hull_energy=side["hull"],
                                inputs_digest=_digest(number), fingerprint=number, **edges)
            )  # fmt: skip
        block = self._add(
            PairBlock(run_id=run.id, block=0, row_from=0, row_to=len(sides), col_from=0, col_to=layers, state="done",
                      n_pairs=44, n_matched=0, n_candidates=0, digest=_digest("block"))
        )  # fmt: skip
        table = ShapeTable.build(
            np.array([side["lattice"].ln_area for side in sides]), np.array([side["lattice"].tau for side in sides]),
            np.array([side["atoms"] for side in sides]), PairLimits(0.02, 400.0, 160),
        )  # fmt: skip
        for row in range(len(sides)):
            columns = np.arange(row if row < layers else 0, layers)
            found = match_row(table, row, columns)
            atoms = found.n * sides[row]["atoms"] + found.m * np.array([sides[j]["atoms"] for j in columns])
            matched = found.n > 0
            score = np.where(matched, np.rint(65535 * geometric_score(np.nan_to_num(found.strain), atoms)), 0)
            strain = np.where(matched, np.rint(np.nan_to_num(found.strain) / STRAIN_UNIT), NO_MATCH)
            self._add(
                PairTile(run_id=run.id, row=row, col_from=int(columns[0]), block=0, n_pairs=columns.size,
                         n=found.n.astype("u1").tobytes(), m=found.m.astype("u1").tobytes(),
                         strain=strain.astype("<u2").tobytes(), score=score.astype("<u2").tobytes())
            )  # fmt: skip
            block.n_matched += int(matched.sum())
            for k in np.flatnonzero(matched & ((atoms <= MAX_ATOMS) | (row >= layers))):
                self.candidate(run.id, row, int(columns[k]), int(found.n[k]), int(found.m[k]), float(found.strain[k]))
                block.n_candidates += 1
        run.n_candidates, run.n_matched = block.n_candidates, block.n_matched

    def candidate(self, run_id: int, i: int, j: int, n: int, m: int, strain: float) -> None:
        low, high = self.sides[i], self.sides[j]
        bands = anderson(low["vbm"], low["cbm"], high["vbm"], high["cbm"])
        predicted = low["surface"] is None
        gap = max(0.9 * float(bands.gap) - 0.05, 0.0)
        energy, width = 16.0 + 3.0 * np.cos(7 * i + 3 * j), 2.0 + 0.3 * (i + j)
        numbers = {
            "gap": gap, "gap_lower": max(gap - 0.3, 0.0), "gap_upper": gap + 0.3, "binding_energy": energy,
            "binding_energy_lower": energy - width, "binding_energy_upper": energy + width, "distance": 3.2,
            "distance_lower": 2.9, "distance_upper": 3.5, "domain_distance": 0.5,
        } if predicted else {}  # fmt: skip
        atoms = n * low["atoms"] + m * high["atoms"]
        self._add(
            Candidate(run_id=run_id, since=run_id, bottom=i, top=j, block=0, n=n, m=m, strain=strain,
                      strain_von_mises=strain * 2 / 3,
                      kind="2d-on-bulk" if not predicted else "homobilayer" if i == j else "heterobilayer",
                      area=n * low["lattice"].area, n_atoms=atoms, gap_anderson=float(bands.gap),
                      alignment={1: "I", 2: "II", 3: "III", 4: "metal"}[int(bands.kind)], distance_vdw=3.4,
                      valence_offset=float(bands.vbo), conduction_offset=float(bands.cbo), hull_energy=0.0,
                      score=float(np.exp(-strain / 0.02 - atoms / 100)), **numbers)
        )  # fmt: skip


def fill(engine: Engine) -> None:
    """Fill a migrated, empty database."""
    with Session(engine) as session:
        filler = _Filler(session)
        filler.record("broken", None, state="quarantined", rule="overlapping-atoms", reason="Mo and S lie 0.3 Å apart.")
        for layer in LAYERS:
            filler.layer(*layer)
        filler.gold()
        filler.known_bilayer()
        filler.run()
        session.commit()


@pytest.fixture(scope="session")
def screened_engine(server_url: str) -> Iterator[Engine]:
    """An engine on a database with a small published run, shared by all tests that only read."""
    name = f"known_rows_{uuid4().hex}"
    admin = make_engine(server_url)
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    admin.dispose()
    engine = make_engine(make_url(server_url).set(database=name).render_as_string(hide_password=False))
    upgrade(engine)
    fill(engine)
    yield engine
    engine.dispose()
