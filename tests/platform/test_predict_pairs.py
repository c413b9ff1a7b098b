"""Predictions for pairs that a CSV file names."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import ase.io
import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy import text as sql
from stacked import BN, GRAPHENE, MOS2, WSE2, plain, stacks
from typer.testing import CliRunner

from schema.vocabulary import InterfaceKind
from stackscreen.cli import app
from stackscreen.predict.describe import Described
from stackscreen.predict.errors import PredictInputError, Reason
from stackscreen.predict.inputs import from_ase
from stackscreen.predict.pairs import _described, _Sides, predict_pairs, read_pairs
from stackscreen.predict.predictor import NotPredicted, Prediction, Predictor
from stackscreen.query.reading import reading


@pytest.fixture
def known(screened_engine: Engine) -> Iterator[Connection]:
    """The starter set's materials."""
    with reading(screened_engine) as connection:
        yield connection


def found(folder: Path, text: str, connection: Connection | None) -> dict[str, dict[str, Prediction] | NotPredicted]:
    path = folder / "pairs.csv"
    path.write_text(text, encoding="utf-8")
    rows = list(read_pairs(path))
    answers = predict_pairs(Predictor(connection), rows, folder)
    return {
        row.id: one if isinstance(one, NotPredicted) else {p.target: p for p in one}
        for row, one in zip(rows, answers, strict=True)
    }


def values(answer: dict[str, Prediction] | NotPredicted) -> dict[str, float]:
    assert isinstance(answer, dict), answer
    return {target: one.value for target, one in answer.items()}


def test_names_formulas_and_files_name_one_material(tmp_path: Path, known: Connection) -> None:
    ase.io.write(tmp_path / "wse2.cif", plain(WSE2))
    answers = found(
        tmp_path, "id,bottom,top\nname,1MoS2-s1,1WSe2-s1\nfile,1MoS2-s1,wse2.cif\nformula,1MoS2-s1,WSe2\n", known
    )
    assert values(answers["name"]) == values(answers["file"]) == values(answers["formula"])
    assert {"binding_energy", "interlayer_distance", "gap"} <= set(values(answers["name"]))


def test_the_layers_of_a_pair_may_change_places(tmp_path: Path, known: Connection) -> None:
    answers = found(tmp_path, "id,bottom,top\na,1MoS2-s1,1WSe2-s1\nb,1WSe2-s1,1MoS2-s1\n", known)
    assert values(answers["a"]) == pytest.approx(values(answers["b"]), rel=1e-5)


def test_a_registry_that_is_given_is_that_of_the_structure(tmp_path: Path, known: Connection) -> None:
    answers = found(tmp_path, "id,bottom,top,registry\nAA,BN,BN,AA\nAB,BN,BN,AB\nnone,BN,BN,\n", known)
    (stack,) = stacks(BN, BN, registry="AA")
    (one,) = Predictor(known).structures([from_ase("x", plain(stack))])
    assert isinstance(one, list)
    assert values(answers["AA"]) == pytest.approx({p.target: p.value for p in one}, rel=1e-3)
    distances = {name: values(answer)["interlayer_distance"] for name, answer in answers.items()}
    assert distances["AA"] > distances["AB"]
    assert len(set(distances.values())) == 3


def test_turning_a_polar_layer_over_changes_the_pair_and_a_mirror_layer_not(tmp_path: Path, known: Connection) -> None:
    text = "id,bottom,top,flip_bottom,flip_top\n" + "".join(
        f"{name}{flip},{name},1WS2-s1,{flip},\n" for name in ("1MoSSe-s1", "1MoS2-s1") for flip in ("true", "false")
    )
    answers = found(tmp_path, text, known)
    assert values(answers["1MoS2-s1true"]) == pytest.approx(values(answers["1MoS2-s1false"]), rel=1e-3)
    polar = [values(answers[f"1MoSSe-s1{flip}"])["interlayer_distance"] for flip in ("true", "false")]
    assert polar[0] != pytest.approx(polar[1], rel=1e-3)


def test_a_match_may_be_given(tmp_path: Path, known: Connection) -> None:
    answers = found(
        tmp_path, "bottom,top,n,m,twist,strain,id\nC,BN,3,3,0,0.018,ok\nC,BN,3,,,,half\nC,BN,0,1,,,no\n", known
    )
    assert values(answers["ok"])
    for name in ("half", "no"):
        answer = answers[name]
        assert isinstance(answer, NotPredicted)
        assert answer.error.reason is Reason.UNREADABLE


def test_a_name_that_is_none_or_several_is_reported_and_stops_nothing(tmp_path: Path, known: Connection) -> None:
    answers = found(tmp_path, "bottom,top\n1WS2-s1,Xx9\nMoS2,1WS2-s1\n1WS2-s1,absent.cif\n1WS2-s1,1WS2-s1\n", known)
    reasons = {name: one.error.reason for name, one in answers.items() if isinstance(one, NotPredicted)}
    assert reasons == dict.fromkeys(("line 2", "line 3", "line 4"), Reason.UNKNOWN_MATERIAL)
    two = answers["line 3"]
    assert isinstance(two, NotPredicted)
    assert "may be MoS2-" in two.error.message
    assert values(answers["line 5"])


def test_the_face_of_a_crystal_is_a_substrate(tmp_path: Path, known: Connection) -> None:
    gold = known.scalar(sql("SELECT uid FROM material WHERE formula = 'Au' AND kind = 'bulk'"))
    rows = f"id,bottom,top\nface,{gold}(111),1MoS2-s1\nsome,Au,1MoS2-s1\nabove,1MoS2-s1,{gold}(111)\n"
    path = tmp_path / "pairs.csv"
    path.write_text(rows, encoding="utf-8")
    predictor = Predictor(known)
    sides = _Sides(predictor.known, tmp_path)
    face, some, above = (_described(row, sides) for row in read_pairs(path))
    assert isinstance(face, Described)
    assert face.kind is InterfaceKind.ON_BULK
    assert set(face.bottom.layer.slab.numbers) == {79}
    assert isinstance(some, NotPredicted)
    assert "(111)" in some.error.message
    assert isinstance(above, NotPredicted)
    assert "a crystal lies below" in above.error.message


def test_files_need_no_database(tmp_path: Path) -> None:
    for name, layer in (("a.cif", MOS2), ("b.cif", GRAPHENE), ("c.vasp", WSE2)):
        ase.io.write(tmp_path / name, plain(layer), format="vasp" if name.endswith("vasp") else "cif")
    (tmp_path / "pairs.csv").write_text("id,bottom,top\none,a.cif,b.cif\ntwo,a.cif,a.cif\nthree,c.vasp,a.cif\n")
    result = CliRunner().invoke(
        app, ["predict", "pairs", str(tmp_path / "pairs.csv"), "--target", "interlayer_distance", "--no-database"]
    )
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(result.stdout.splitlines()))
    assert [row["id"] for row in rows] == ["one", "two", "three"]
    assert all(2 < float(row["lower"]) < float(row["value"]) < float(row["upper"]) < 5 for row in rows)


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "bottom\nx\n", ""])
def test_a_file_without_the_two_columns_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(PredictInputError, match="columns"):
        list(read_pairs(tmp_path / "x.csv"))
