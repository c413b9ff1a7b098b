"""Predictions for structures that were never imported: what enters them, and what must not."""

from __future__ import annotations

import csv
import json
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase.db
import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from pymatgen.io.ase import AseAtomsAdaptor
from sqlalchemy import Connection, Engine
from stacked import BN, GOLD, GRAPHENE, MOS2, WSE2, disguised, gas, moved, plain, repeated, stacks
from typer.testing import CliRunner, Result

from etl.api import import_file
from etl.dedupe.api import dedupe
from ml.descriptors.band_alignment import Alignment
from ml.features import compute
from ml.heads import HOMO, SCREENED
from ml.interface_store import load_rows
from ml.pair_features import COLUMN
from ml.registry import shipped
from schema.quantities import ALIGNMENT_TYPE, METALLIC, SLIDE_STABILITY
from schema.vocabulary import InterfaceKind
from stackscreen.build import build
from stackscreen.cli import app
from stackscreen.predict.describe import Described, describe
from stackscreen.predict.errors import NotPredictedError, PredictInputError
from stackscreen.predict.inputs import Given, from_ase, given_structures
from stackscreen.predict.output import COLUMNS
from stackscreen.predict.predictor import PROBABILITY, NotPredicted, Prediction, Predictor, rows_of
from stackscreen.predict.recognise import KnownLayers
from stackscreen.query.reading import reading
from stackscreen.settings import Settings, get_settings
from stackscreen.structure_files import FileFormat, write

MODELLED = {model.target for model in shipped() if model.domain == HOMO and model.target in SCREENED}


@pytest.fixture
def bare() -> Predictor:
    """Predictions without a database."""
    return Predictor()


@pytest.fixture
def known(screened_engine: Engine) -> Iterator[Connection]:
    """The starter set's materials."""
    with reading(screened_engine) as connection:
        yield connection


def written(path: Path, rows: list[tuple[Atoms, dict[str, Any]]]) -> Path:
    with ase.db.connect(path, serial=True) as database:
        for atoms, keys in rows:
            database.write(atoms, key_value_pairs=keys)
    return path


def homobilayers() -> list[Atoms]:
    return [stack for layer in (MOS2, BN, GRAPHENE) for stack in stacks(layer, layer, 3.3)]


def given_frames(*frames: Atoms) -> list[Given]:
    return [from_ase(str(number), atoms) for number, atoms in enumerate(frames)]


def predicted(predictor: Predictor, *frames: Atoms) -> list[dict[str, Prediction]]:
    found = list(predictor.structures(given_frames(*frames)))
    assert not [one for one in found if isinstance(one, NotPredicted)]
    return [{one.target: one for one in predictions} for predictions in found]


def command(*arguments: object, settings: Settings | None = None, monkeypatch: Any = None) -> Result:
    if settings is not None:
        for key, value in settings.as_environment().items():
            monkeypatch.setenv(key, value)
    # What another test has read is not this system, and what this one reads is not the next one's.
    get_settings.cache_clear()
    try:
        return CliRunner().invoke(app, ["predict", *map(str, arguments)])
    finally:
        get_settings.cache_clear()


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


# What must not enter


@pytest.mark.parametrize("dz", [-1.5, 1.5])
def test_moving_the_upper_layer_along_z_changes_no_byte(tmp_path: Path, dz: float) -> None:
    frames = [*homobilayers(), *stacks(MOS2, WSE2, registry="AA"), *stacks(BN, GRAPHENE, registry="AA")]
    here = written(tmp_path / "here.db", [(plain(one), {"bilayer_uid": f"x{k}"}) for k, one in enumerate(frames)])
    there = written(
        tmp_path / "there.db", [(plain(moved(one, dz)), {"bilayer_uid": f"x{k}"}) for k, one in enumerate(frames)]
    )
    for path in (here, there):
        result = command("interfaces", path, "-o", path.with_suffix(".csv"), "--no-database")
        assert result.exit_code == 0, result.output
    table = here.with_suffix(".csv").read_bytes()
    assert table == there.with_suffix(".csv").read_bytes()
    assert {row["id"] for row in rows(table.decode())} == {f"x{k}" for k in range(len(frames))}


def test_moving_the_upper_layer_changes_no_byte_of_recognised_layers_either(known: Connection) -> None:
    predictor = Predictor(known)
    for stack in [*homobilayers(), *stacks(MOS2, WSE2, registry="AA")]:
        here, up, down = predicted(predictor, plain(stack), plain(moved(stack, 1.5)), plain(moved(stack, -1.5)))
        for target, one in here.items():
            for other in (up[target], down[target]):
                assert repr(one) == repr(replace(other, id=one.id))
    assert not predictor.unrecognised


def test_labels_in_the_file_are_not_read(tmp_path: Path) -> None:
    (stack,) = stacks(MOS2, MOS2, registry="AB")
    tables = []
    for k, (energy, gap) in enumerate([(0.02, 1.2), (3.3, 0.0), (-1.0, 9.9)]):
        labelled = plain(stack)
        labelled.calc = SinglePointCalculator(labelled, energy=-100 * energy, forces=np.full((6, 3), gap))
        keys = {"bilayer_uid": "1MoS2-1-2-1_0_0_1-0.33_0.67", "monolayer_uid": "1MoS2-1", "binding_energy_gs": energy,
                "gap_pbe": gap, "interlayer_distance": 3 + gap, "slide_stability": "Stable"}  # fmt: skip
        out = tmp_path / f"{k}.csv"
        assert command("interfaces", written(tmp_path / f"{k}.db", [(labelled, keys)]), "-o", out,
                       "--no-database").exit_code == 0  # fmt: skip
        tables.append(out.read_bytes())
    assert tables[0] == tables[1] == tables[2]


def test_a_relaxed_structure_beside_the_unrelaxed_one_is_not_looked_at(tmp_path: Path) -> None:
    (stack,) = stacks(MOS2, MOS2, registry="AB")
    (other,) = stacks(MOS2, MOS2, 2.7, registry="bridge")
    before, after = (AseAtomsAdaptor.get_structure(plain(one)).as_dict() for one in (stack, other))
    found = []
    for final in (before, after):
        path = tmp_path / "x.json"
        path.write_text(json.dumps({"a": {"initial_structure": before, "final_structure": final}}), encoding="utf-8")
        found.append(list(Predictor().structures(given_structures(path))))
    # A probability has no interval, and what is not there equals nothing.
    assert repr(found[0]) == repr(found[1])


# What enters


def test_the_registry_is_taken_from_lateral_positions(bare: Predictor) -> None:
    names = [one.registry.name for one in build(MOS2, MOS2, distance=3.2, registry="all") if one.registry]
    distances = {
        name: one["interlayer_distance"].value
        for name, one in zip(names, predicted(bare, *map(plain, stacks(MOS2, MOS2))), strict=True)
    }
    # Sulfur above sulfur stands 0.5 Å higher than sulfur in the hollows: Constantinescu et al., Phys. Rev. Lett. 111,
    # 036104 (2013).
    assert distances["AA"] > distances["AB"] + 0.3
    assert distances["AB"] == pytest.approx(distances["BA"], abs=0.02)


def test_a_disguised_structure_has_the_same_predictions(bare: Predictor) -> None:
    frames = homobilayers()
    for one, other in zip(predicted(bare, *map(plain, frames)), predicted(bare, *map(disguised, frames)), strict=True):
        for target, prediction in one.items():
            assert other[target].value == pytest.approx(prediction.value, rel=0.02)


def test_a_supercell_has_the_predictions_of_its_cell(bare: Predictor) -> None:
    (stack,) = stacks(MOS2, MOS2, registry="AB")
    one, large = predicted(bare, plain(stack), repeated(stack, 2, 3))
    for target, prediction in one.items():
        assert large[target].value == pytest.approx(prediction.value, rel=1e-3)


def described(atoms: Atoms, known: KnownLayers, **names: Any) -> Described:
    (one,) = given_frames(atoms)
    return describe(Given("one", one.atoms, **names), known)


def test_layers_are_recognised_by_structure_and_bring_their_properties(known: Connection) -> None:
    world = KnownLayers(known)
    (homo,) = stacks(MOS2, MOS2, registry="AB")
    (hetero,) = stacks(MOS2, WSE2, registry="AA")
    one, two = described(disguised(homo), world), described(disguised(hetero), world)
    assert (one.kind, two.kind) == (InterfaceKind.HOMOBILAYER, InterfaceKind.HETEROBILAYER)
    assert one.bottom.name == one.top.name == two.bottom.name == world.named("1MoS2-s1").uid  # type: ignore[union-attr]
    assert two.top.name == world.named("1WSe2-s1").uid  # type: ignore[union-attr]
    assert two.top.layer.properties
    (with_gap,) = predicted(Predictor(known), disguised(homo))
    (without,) = predicted(Predictor(), disguised(homo))
    classes = {f"{one.key}{end}" for one in (METALLIC, SLIDE_STABILITY) for end in ("", PROBABILITY)}
    assert set(with_gap) == MODELLED | classes
    assert "gap" not in without
    assert 0.8 < with_gap["gap"].value < 1.7


def test_a_strained_layer_of_a_moire_is_recognised(known: Connection) -> None:
    world = KnownLayers(known)
    (hetero,) = stacks(MOS2, WSE2, registry="AA")
    strained = plain(hetero)
    strained.set_cell(strained.cell.array * np.array([[1.02], [0.99], [1.0]]), scale_atoms=True)
    strained.positions[:, 2] += 0.1 * np.sin(np.arange(len(strained)))
    found = described(strained, world)
    assert found.bottom.name.startswith("MoS2")
    assert found.top.name.startswith("WSe2")
    assert found.interface.matrices is not None


def test_a_layer_on_gold_is_a_layer_on_bulk_either_way_up(known: Connection) -> None:
    world = KnownLayers(known)
    (stack,) = stacks(GOLD, MOS2, 2.6, registry="AA")
    upside_down = plain(stack)
    upside_down.rotate(180, "x", rotate_cell=True)
    for atoms in (plain(stack), upside_down):
        found = described(atoms, world)
        assert found.kind is InterfaceKind.ON_BULK
        assert set(found.bottom.layer.slab.numbers) == {79}
        assert found.top.layer.properties


def test_a_name_in_the_file_goes_before_the_structure_but_not_against_it(known: Connection) -> None:
    world = KnownLayers(known)
    (stack,) = stacks(MOS2, MOS2, registry="AB")
    told = described(plain(stack), world, layers=("1MoS2-s2", "1MoS2-s2"))
    wrong = described(plain(stack), world, layers=("2C-s1", "2C-s1"))
    assert told.bottom.name == world.named("1MoS2-s2").uid  # type: ignore[union-attr]
    assert wrong.bottom.name == world.named("1MoS2-s1").uid  # type: ignore[union-attr]


def test_an_unknown_layer_is_described_from_its_atoms_and_lies_farther_out(known: Connection) -> None:
    strange = MOS2.copy()
    strange.numbers[:] = [92, 85, 85]
    (stack,) = stacks(strange, strange, registry="AB")
    (usual,) = stacks(MOS2, MOS2, registry="AB")
    far, near = predicted(Predictor(known), plain(stack), plain(usual))
    assert far["binding_energy"].domain_distance > 2 * near["binding_energy"].domain_distance


def test_intervals_hold_the_value_and_carry_unit_and_model(bare: Predictor) -> None:
    for predictions in predicted(bare, *map(plain, homobilayers())):
        for target, one in predictions.items():
            assert "shipped" in one.model
            if not target.endswith(PROBABILITY):
                assert one.lower <= one.value <= one.upper
        assert predictions["binding_energy"].unit == "meV/Å²"
        assert predictions["interlayer_distance"].unit == "Å"


def test_a_homobilayer_in_a_registry_slides_or_not_with_a_probability(known: Connection) -> None:
    predictor = Predictor(known, (SLIDE_STABILITY.key,))
    found = dict(zip(("AA", "AB", "BA"), predicted(predictor, *map(plain, stacks(MOS2, MOS2, 3.3))), strict=False))
    for predictions in found.values():
        named, sure = predictions[SLIDE_STABILITY.key], predictions[f"{SLIDE_STABILITY.key}{PROBABILITY}"]
        assert (named.value in {0.0, 1.0}, named.unit, sure.unit) == (True, "", "1")
        assert 0.5 <= sure.value <= 1
        assert named.lower <= named.value <= named.upper
    # Parallel MoS2 with its atoms atop each other slides away; with sulfur in the hollows it stays.
    assert (found["AA"][SLIDE_STABILITY.key].value, found["AB"][SLIDE_STABILITY.key].value) == (0.0, 1.0)


def test_a_heterobilayer_has_a_type_of_alignment_and_no_word_about_sliding(known: Connection) -> None:
    (found,) = predicted(Predictor(known), *map(plain, stacks(MOS2, WSE2, registry="AA")))
    # MoS2/WSe2 is the textbook type II.
    assert found[ALIGNMENT_TYPE.key].value == Alignment.STAGGERED
    assert found[f"{ALIGNMENT_TYPE.key}{PROBABILITY}"].value > 0.5
    assert SLIDE_STABILITY.key not in found


# Formats


def test_every_format_gives_the_same_predictions(tmp_path: Path) -> None:
    made = build(MOS2, MOS2, distance=3.2, registry="AB")[0]
    atoms = plain(stacks(MOS2, MOS2, registry="AB")[0])
    folder = tmp_path / "cifs"
    folder.mkdir()
    (folder / "one.cif").write_text(write(made, FileFormat.CIF), encoding="utf-8")
    (tmp_path / "POSCAR").write_text(write(made, FileFormat.POSCAR), encoding="utf-8")
    (tmp_path / "one.xyz").write_text(write(made, FileFormat.EXTXYZ), encoding="utf-8")
    (tmp_path / "one.json").write_text(json.dumps(AseAtomsAdaptor.get_structure(atoms).as_dict()), encoding="utf-8")
    ase.io.write(tmp_path / "rows.json", atoms, format="json")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(folder / "one.cif", "one.cif")
    written(tmp_path / "one.db", [(atoms, {})])
    found: dict[str, list[Prediction]] = {}
    for name in ("cifs", "cifs/one.cif", "POSCAR", "one.xyz", "one.json", "rows.json", "all.zip", "one.db"):
        (one,) = Predictor().structures(given_structures(tmp_path / name))
        assert isinstance(one, list), (name, one)
        found[name] = one
    values = {name: [one.value for one in predictions] for name, predictions in found.items()}
    for name, numbers in values.items():
        assert numbers == pytest.approx(values["one.db"], rel=1e-4), name
    assert {name: predictions[0].id for name, predictions in found.items()} == {
        "cifs": "one.cif", "cifs/one.cif": "one.cif", "POSCAR": "POSCAR", "one.xyz": "one.xyz", "one.json": "one.json",
        "rows.json": "1", "all.zip": "one.cif", "one.db": "1",
    }  # fmt: skip


def test_ids_are_those_of_the_file(tmp_path: Path) -> None:
    (stack,) = stacks(BN, BN, registry="AB")
    keys: list[dict[str, Any]] = [{"bilayer_uid": "b1", "uid": "u1"}, {"uid": "u2"}, {}]
    path = written(tmp_path / "x.db", [(plain(stack), one) for one in keys])
    assert [one.id for one in given_structures(path)] == ["b1", "u2", "3"]
    frames = [plain(stack), plain(stack)]
    frames[1].info["uid"] = "mine"
    ase.io.write(tmp_path / "two.extxyz", frames)
    assert [one.id for one in given_structures(tmp_path / "two.extxyz")] == ["two.extxyz", "mine"]


def test_the_layers_that_a_built_file_names_are_taken_from_it(tmp_path: Path) -> None:
    (made,) = build(MOS2, WSE2, distance=3.2, registry="AA", names=("1MoS2-s1", "1WSe2-s1"))
    for form in (FileFormat.CIF, FileFormat.EXTXYZ):
        path = tmp_path / f"x.{form.value}"
        path.write_text(write(made, form), encoding="utf-8")
        (one,) = given_structures(path)
        assert isinstance(one, Given)
        assert one.layers == ("1MoS2-s1", "1WSe2-s1")


@pytest.mark.parametrize("name", ["absent.db", "notes.txt", "empty"])
def test_a_file_of_no_format_is_said_to_be_none(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("nothing", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    with pytest.raises(PredictInputError):
        list(given_structures(tmp_path / name))


# The command


def test_bad_structures_are_reported_and_stop_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "cifs"
    folder.mkdir()
    (stack,) = stacks(MOS2, MOS2, registry="AB")
    ase.io.write(folder / "good.cif", plain(stack))
    ase.io.write(folder / "layer.cif", plain(MOS2))
    ase.io.write(folder / "gas.cif", gas())
    (folder / "broken.cif").write_text("data_nothing\n_cell_length_a 3\n", encoding="utf-8")
    result = command("interfaces", folder, "-o", tmp_path / "out.csv", "--errors", tmp_path / "bad.csv",
                     "--no-database")  # fmt: skip
    assert result.exit_code == 0
    assert {row["id"] for row in rows((tmp_path / "out.csv").read_text())} == {"good.cif"}
    assert {row["id"]: row["reason"] for row in rows((tmp_path / "bad.csv").read_text())} == {
        "broken.cif": "cannot be read",
        "gas.cif": "is not two layers on each other",
        "layer.cif": "is not two layers on each other",
    }
    assert "1 of 4 structures predicted" in result.output
    assert "is not two layers on each other (2); cannot be read (1)" in result.output


def test_a_file_without_any_prediction_is_a_failure(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "layer.cif", plain(MOS2))
    result = command("interfaces", tmp_path / "layer.cif", "--no-database")
    assert result.exit_code == 1
    assert "None of 1 structures could be predicted" in str(result.exception)


def test_only_the_targets_asked_for_come_out(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "x.cif", plain(stacks(BN, BN, registry="AB")[0]))
    result = command("interfaces", tmp_path / "x.cif", "--target", "binding_energy", "--no-database")
    assert [row["target"] for row in rows(result.stdout)] == ["binding_energy"]
    assert tuple(rows(result.stdout)[0]) == COLUMNS
    wrong = command("interfaces", tmp_path / "x.cif", "--target", "colour", "--no-database")
    assert wrong.exit_code == 1
    assert "No model predicts colour" in str(wrong.exception)


def test_the_command_reads_the_database_and_says_what_it_recognised(
    tmp_path: Path, screened_system: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "x.db", [(plain(stacks(MOS2, WSE2, registry="AA")[0]), {"bilayer_uid": "mine"})])
    result = command("interfaces", path, settings=screened_system, monkeypatch=monkeypatch)
    assert result.exit_code == 0, result.output
    found = rows(result.stdout)
    assert {row["target"] for row in found} >= MODELLED
    assert all("(version" in row["model"] for row in found)
    assert "2 recognised, 0 known by their atoms alone" in result.stderr


def test_predicting_without_a_database_starts_nothing(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "x.cif", plain(stacks(BN, BN, registry="AB")[0]))
    data = tmp_path / "data"
    done = subprocess.run(
        [str(Path(sys.executable).with_name("stackscreen")), "predict", "interfaces", "x.cif", "--no-database"],
        cwd=tmp_path, env={"PATH": "/usr/bin:/bin", "STACKSCREEN_DATA_DIR": str(data)}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.startswith("id,target,value,lower,upper,unit,model,domain_distance\nx.cif,binding_energy,")
    assert not data.exists()


# No skew between training and prediction


def _some_rows(source: Path, target: Path, keep: Callable[[dict[str, Any]], bool]) -> Path:
    """A copy of some rows of an ASE database, in its own container."""
    with closing(sqlite3.connect(f"{source.as_uri()}?mode=ro&immutable=1", uri=True)) as whole:
        schema = [sql for (sql,) in whole.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")]
        names = [row[1] for row in whole.execute("PRAGMA table_info(systems)")]
        pairs = names.index("key_value_pairs")
        rows = [row for row in whole.execute("SELECT * FROM systems") if keep(json.loads(row[pairs]))]
    with closing(sqlite3.connect(target)) as part:
        for statement in schema:
            if "sqlite_" not in statement:
                part.execute(statement)
        part.executemany(f"INSERT INTO systems VALUES ({','.join('?' * len(names))})", rows)
        part.commit()
    return target


@pytest.mark.services
def test_real_stacks_are_predicted_from_the_features_that_training_made_of_them(
    shared_data: Path, engine: Engine, tmp_path: Path
) -> None:
    whole = shared_data / "bidb" / "bidb.db"
    with closing(sqlite3.connect(f"{whole.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        keys = [json.loads(text) for (text,) in connection.execute("SELECT key_value_pairs FROM systems")]
    uids = {one["bilayer_uid"]: one["monolayer_uid"] for one in keys if one["number_of_layers"] == 2}
    chosen = set(np.random.default_rng(7).choice(sorted(uids), 200, replace=False).tolist())
    bilayers = _some_rows(whole, tmp_path / "bidb.db", lambda keys: keys.get("bilayer_uid") in chosen)
    moires = _some_rows(shared_data / "hetdb" / "hetdb.db", tmp_path / "hetdb.db", lambda keys: keys["gap"] > 0.9)
    parents = {uids[uid] for uid in chosen} | {
        uid for one in given_structures(moires) if isinstance(one, Given) for uid in one.layers or ()
    }
    layers = _some_rows(
        shared_data / "c2db" / "c2db.db",
        tmp_path / "c2db.db",
        lambda keys: bool(parents & {keys.get("uid"), keys.get("olduid")}),
    )
    for reader, path in (("c2db", layers), ("bidb", bilayers), ("hetdb", moires)):
        import_file(engine, reader, path)
    dedupe(engine)
    with engine.connect() as connection:
        known = KnownLayers(connection)
        for kind, path in ((InterfaceKind.HOMOBILAYER, bilayers), (InterfaceKind.HETEROBILAYER, moires)):
            (trained,) = load_rows(connection, kind.value, sources=[path.stem])
            row_of = {name.removeprefix(f"{path.stem}:"): row for row, name in enumerate(trained.ids)}
            mine = [describe(one, known) for one in given_structures(path) if isinstance(one, Given)]
            served = [one for one in mine if one.id in row_of]
            assert len(served) > 0.95 * len(mine)
            features = rows_of(kind, served)[0].features
            expected = trained.features[[row_of[one.id] for one in served]]
            equal = np.isclose(features, expected, rtol=1e-4, atol=1e-5, equal_nan=True).all(axis=1)
            # A moiré that repeats a smaller cell is described by that cell, which training does not look for.
            assert equal.mean() == 1 if kind is InterfaceKind.HOMOBILAYER else equal.mean() > 0.95
            registry_known = np.isfinite(features[:, COLUMN["registry_touching_distance"]])
            assert registry_known.mean() > 0.8 if kind is InterfaceKind.HOMOBILAYER else registry_known.mean() < 0.2


def test_nonsense_is_reported_and_stops_nothing(bare: Predictor) -> None:
    good = plain(stacks(BN, BN, registry="AB")[0])
    broken, strange = good.copy(), good.copy()
    broken.positions[0] = np.nan
    strange.numbers[:] = 110
    # Radon has no electronegativity: whatever the descriptors say to that, the others are predicted.
    odd = good.copy()
    odd.numbers[:] = 86
    found = list(bare.structures(given_frames(broken, good, strange, odd, good[:0], good)))
    assert [isinstance(found[k], list) for k in (1, 5)] == [True, True]
    for k in (0, 2, 4):
        one = found[k]
        assert isinstance(one, NotPredicted)
        assert isinstance(one.error, NotPredictedError)


def test_a_defect_of_one_structure_does_not_cost_the_batch(bare: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = (plain(stacks(layer, layer, registry="AB")[0]) for layer in (BN, MOS2))

    def failing(layers: Any) -> Any:
        if any(42 in layer.slab.numbers for layer in layers):
            raise ZeroDivisionError("molybdenum")
        return compute(layers)

    monkeypatch.setattr("stackscreen.predict.predictor.compute", failing)
    one, two, three = bare.structures(given_frames(good, bad, good))
    assert isinstance(one, list)
    assert isinstance(three, list)
    assert isinstance(two, NotPredicted)
    assert "molybdenum" in two.error.message
