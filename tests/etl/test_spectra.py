"""Spectra: from the bytes of real and made-up files to tables, on the right scale and in the right units."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.db import connect
from ase.db.core import object_to_bytes
from asr_results import EVAC, asr_data, asr_keys
from hypothesis import given, settings
from hypothesis import strategies as st
from small_files import dichalcogenide, matpedia_line, structure_dict
from sqlalchemy import Engine, text

from etl.api import import_file
from etl.dedupe.api import dedupe
from etl.records import RawFailure, Record
from etl.source import get_source
from etl.sources.ase_data import AseData
from etl.sources.asr_spectra import spectra_of
from etl.spectra import BandStructure, DensityOfStates, PhononSpectrum, StiffnessTensor, fault_of
from etl.validate import RULES, validate
from schema.spectra import unpack
from schema.vocabulary import EnergyReference, Method


def layer_file(path: Path, data: dict[str, Any], layer: Atoms | None = None, **keys: Any) -> Path:
    """An ASE database of one layer with `data`."""
    with connect(path, serial=True) as database:
        database.write(layer or dichalcogenide(), key_value_pairs=asr_keys("1MoS2-1", **keys), data=data)
    return path


def only(reader: str, path: Path) -> Record:
    (record,) = get_source(reader).records(path)
    assert isinstance(record, Record), record
    return record


def of(record: Record, kind: type, **want: Any) -> Any:
    """The one spectrum of that kind and those attributes."""
    (found,) = [
        s
        for s in record.spectra
        if isinstance(s, kind) and all(getattr(s, name) == value for name, value in want.items())
    ]
    return found


def edges(bands: BandStructure) -> tuple[float, float]:
    """Highest energy below the Fermi level and lowest above it, eV."""
    energies = bands.energies.ravel()
    return float(energies[energies <= bands.fermi_energy].max()), float(energies[energies > bands.fermi_energy].min())


def test_every_result_becomes_a_spectrum_on_the_calculations_own_scale(tmp_path: Path) -> None:
    record = only("c2db", layer_file(tmp_path / "c.db", asr_data(dichalcogenide())))
    assert record.doubts == []
    bands = of(record, BandStructure, method=Method.PBE, spin_orbit=True)
    assert edges(bands) == pytest.approx((-1.0, 0.6), abs=1e-6)
    assert (bands.reference, bands.vacuum_level, bands.fermi_energy) == (EnergyReference.CALCULATION, EVAC, -0.2)
    assert bands.energies.shape == (1, 31, 4)
    assert bands.labels == [(0, "G"), (10, "M"), (20, "K"), (30, "G")]
    np.testing.assert_allclose(bands.wave_vectors[20], [1 / 3, 1 / 3, 0])
    without = of(record, BandStructure, method=Method.PBE, spin_orbit=False)
    assert without.energies.shape == (1, 31, 2)
    assert edges(without)[0] == pytest.approx(-1.05)
    assert without.fermi_energy == pytest.approx(-0.19)
    assert edges(of(record, BandStructure, method=Method.HSE06)) == pytest.approx((-1.3, 0.3), abs=1e-6)
    assert of(record, StiffnessTensor).tensor[2, 2] == pytest.approx(98.0 / 2), "Voigt: (C11 - C12)/2"


def test_a_single_spin_channel_counts_both_spins_and_two_count_one_each(tmp_path: Path) -> None:
    layer = dichalcogenide()
    single = of(only("c2db", layer_file(tmp_path / "1.db", asr_data(layer))), DensityOfStates, spin_orbit=False)
    double = of(
        only("c2db", layer_file(tmp_path / "2.db", asr_data(layer, spins=2))), DensityOfStates, spin_orbit=False
    )
    assert {(p.element, p.orbital) for p in single.projections} == {("Mo", "s"), ("Mo", "p"), ("S", "s"), ("S", "p")}
    assert single.projections[0].values.shape == (1, 50)
    assert single.projections[0].values.max() == pytest.approx(2 * 0.5)
    assert double.projections[0].values.max(axis=1) == pytest.approx([0.5, 1.0])
    assert single.total is None


def test_the_fermi_level_with_spin_orbit_coupling_is_the_rows(tmp_path: Path) -> None:
    record = only("c2db", layer_file(tmp_path / "c.db", asr_data(dichalcogenide())))
    assert of(record, DensityOfStates, spin_orbit=True).fermi_energy == pytest.approx(-0.2)
    assert of(record, DensityOfStates, spin_orbit=False).fermi_energy == pytest.approx(-0.19)


def test_phonons_are_in_mev_and_imaginary_ones_negative(tmp_path: Path) -> None:
    record = only("c2db", layer_file(tmp_path / "c.db", asr_data(dichalcogenide(), unstable=True)))
    exact = of(record, PhononSpectrum, interpolated=False)
    assert exact.energies.shape == (4, 9)
    assert (exact.energies.min(), exact.energies.max()) == pytest.approx((-30.0, 50.0))
    assert of(record, PhononSpectrum, interpolated=True).energies.min() == pytest.approx(-4.0)


def test_data_kept_as_json_text_gives_what_bytes_give() -> None:
    from ase.io.jsonio import encode

    data = asr_data(dichalcogenide())
    in_bytes, _ = spectra_of(object_to_bytes(data), asr_keys("x"), 3)
    in_text, doubts = spectra_of(encode(data).encode(), asr_keys("x"), 3)
    assert doubts == []
    assert len(in_bytes) == len(in_text) == 8
    for one, other in zip(in_bytes, in_text, strict=True):
        assert type(one) is type(other)
        if isinstance(one, BandStructure):
            np.testing.assert_array_equal(one.energies, other.energies)
            assert one.labels == other.labels


@pytest.mark.parametrize(
    ("file", "breakage", "kind"),
    [
        ("pdos", lambda d: d["pdos_soc"].update(energies=np.ones(7)), "density_of_states"),
        ("pdos", lambda d: d["pdos_nosoc"].update(pdos_syl="?"), "density_of_states"),
        ("bandstructure", lambda d: d["bs_soc"].update(energies=np.ones((3, 5))), "band_structure"),
        ("bandstructure", lambda d: d["bs_soc"].update(energies=np.full((4, 31), np.nan)), "band_structure"),
        ("bandstructure", lambda d: d["bs_soc"].update(energies=np.full((4, 31), 1e300)), "band_structure"),
        ("bandstructure", lambda d: d["bs_soc"].update(path={"kpts": 1}), "band_structure"),
        ("phonons", lambda d: d.update(omega_kl=np.ones((4, 8))), "phonons"),
        ("stiffness", lambda d: d.update(stiffness_tensor=[[1, 2], [3, 4]]), "stiffness"),
        ("stiffness", lambda d: d.update(stiffness_tensor="soft"), "stiffness"),
    ],
)
def test_a_broken_spectrum_is_doubted_and_costs_nothing_else(
    tmp_path: Path, file: str, breakage: Any, kind: str
) -> None:
    whole = validate(only("c2db", layer_file(tmp_path / "whole.db", asr_data(dichalcogenide()))))
    data = asr_data(dichalcogenide())
    result = data[f"results-asr.{file}.json"]
    breakage(result.get("kwargs", {"data": result})["data"])
    accepted = validate(only("c2db", layer_file(tmp_path / "broken.db", data)))
    assert {(d.rule, d.property_key) for d in accepted.doubts} == {("unreadable_spectrum", kind)}
    assert "unreadable_spectrum" in RULES
    assert accepted.facts == whole.facts
    assert len(whole.spectra) - 2 <= len(accepted.spectra) < len(whole.spectra)


def test_data_of_the_wrong_length_is_doubted_and_the_layer_is_used(tmp_path: Path) -> None:
    path = layer_file(tmp_path / "c.db", asr_data(dichalcogenide()))
    with closing(sqlite3.connect(path)) as connection:
        data = connection.execute("SELECT data FROM systems").fetchone()[0]
        connection.execute("UPDATE systems SET data = ?", (data[: len(data) // 2],))
        connection.commit()
    record = only("c2db", path)
    assert [(d.rule, d.property_key) for d in record.doubts] == [("unreadable_spectrum", "spectra")]
    assert record.facts
    assert not record.spectra


def test_data_beyond_the_limit_stay_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etl.sources.ase_sqlite.MAX_DATA", 1000)
    record = only("c2db", layer_file(tmp_path / "c.db", asr_data(dichalcogenide())))
    assert [d.rule for d in record.doubts] == ["unreadable_spectrum"]
    assert record.payload["data"].keys() == {"bytes"}
    assert record.facts
    assert not record.spectra


@pytest.mark.parametrize(
    "described",
    [
        [[10**12], "float64", 8],
        [[2**62, 4], "float64", 8],
        [[-1, -8], "float64", 8],
        [[2], "float64", -16],
        [[2], "object", 8],
        [[2], "complex128", 8],
        [[2], "U9", 8],
        [[True], "float64", 8],
        [[2.0], "float64", 8],
        [[1] * 40, "float64", 8],
        [[2], "float64", [1.0]],
        [[2], "float64", "8"],
    ],
)
def test_an_array_that_a_file_only_announces_is_refused(described: list[Any]) -> None:
    head = json.dumps({"r": {"a": {"__ndarray__": described}}}).encode()
    data = AseData((8 + 16).to_bytes(8, "little") + bytes(16) + head)
    with pytest.raises((ValueError, TypeError)):
        data.array(data.result("r")["a"], None)


@given(st.binary(max_size=400), st.integers(0, 20_000), st.integers(0, 255))
@settings(max_examples=150, deadline=None)
def test_no_bytes_do_harm(junk: bytes, place: int, byte: int) -> None:
    good = bytearray(object_to_bytes(asr_data(dichalcogenide())))
    good[place % len(good)] = byte
    for attachment in (junk, bytes(good)):
        spectra, doubts = spectra_of(attachment, asr_keys("x"), 3)
        assert spectra or doubts or attachment == junk
        for spectrum in spectra:
            fault_of(spectrum)


def detail(layer: Atoms, spins: int = 1) -> dict[str, Any]:
    """A detail record of 2DMatPedia: one site-resolved density of states."""
    grid = np.linspace(-5, 5, 21).tolist()
    names = ("1", "-1")[:spins]

    def curve(height: float) -> dict[str, Any]:
        return {"densities": {name: [height * (i + 1)] * 21 for i, name in enumerate(names)}}

    sites = [{"s": curve(1), "px": curve(2), "py": curve(2), "pz": curve(2), "dxy": curve(4)} for _ in layer]
    dos = {"@class": "CompleteDos", "energies": grid, "efermi": -0.5, **curve(40), "pdos": sites,
           "structure": structure_dict(layer)}  # fmt: skip
    return {"material_id": "2dm-7", "dos": dos, "structure": structure_dict(layer)}


@pytest.mark.parametrize("indent", [None, 4])
def test_a_detail_record_of_2dmatpedia_is_read_on_one_line_or_several(tmp_path: Path, indent: int | None) -> None:
    path = tmp_path / "record.json"
    path.write_text(json.dumps(detail(dichalcogenide(), spins=2), indent=indent))
    assert get_source("2dmatpedia").check(path) == 1
    record = only("2dmatpedia", path)
    dos = of(record, DensityOfStates, method=Method.PBE)
    assert fault_of(dos) is None
    assert (dos.total[:, 0].tolist(), dos.fermi_energy) == ([40, 80], -0.5)
    by_name = {(p.element, p.orbital): p.values[:, 0].tolist() for p in dos.projections}
    assert by_name["S", "p"] == [2 * 3 * 2, 2 * 2 * 3 * 2], "two S atoms, three p orbitals"
    assert by_name["Mo", "d"] == [4, 8]
    assert record.payload["dos"].keys() == {"bytes", "sha256"}


def test_a_broken_density_of_states_leaves_the_rest_of_2dmatpedias_record(tmp_path: Path) -> None:
    whole = json.loads(matpedia_line("2dm-1", dichalcogenide()))
    (tmp_path / "db.json").write_text(json.dumps({**whole, "dos": {"energies": [1, 2]}}) + "\n")
    record = only("2dmatpedia", tmp_path / "db.json")
    assert [(d.rule, d.property_key) for d in record.doubts] == [("unreadable_spectrum", "density_of_states")]
    assert record.facts
    assert record.external_id == "2dm-1"


def test_a_first_line_that_is_broken_still_leaves_the_others(tmp_path: Path) -> None:
    (tmp_path / "db.json").write_text("{broken\n" + matpedia_line("2dm-1", dichalcogenide()) + "\n")
    broken, good = get_source("2dmatpedia").records(tmp_path / "db.json")
    assert isinstance(broken, RawFailure)
    assert isinstance(good, Record)


@pytest.mark.services
def test_spectra_lie_beside_their_material_and_are_read_in_sql(engine: Engine, tmp_path: Path) -> None:
    path = layer_file(tmp_path / "c.db", asr_data(dichalcogenide(), spins=2))
    report = import_file(engine, "c2db", path)
    assert (report.accepted, report.flagged) == (1, 0)
    (tmp_path / "db.json").write_text(matpedia_line("2dm-7", dichalcogenide(vacuum=20)))
    (tmp_path / "detail.json").write_text(json.dumps(detail(dichalcogenide(vacuum=20))))
    import_file(engine, "2dmatpedia", tmp_path / "db.json")
    later = import_file(engine, "2dmatpedia", tmp_path / "detail.json")
    assert (later.accepted, later.superseded) == (1, 0), "a detail record takes nothing from the record of db.json"
    dedupe(engine)
    expected = only("c2db", path)
    with engine.connect() as connection:
        uid = connection.scalar(text("SELECT uid FROM analyst.monolayers"))
        rows = connection.execute(text("SELECT * FROM analyst.densities_of_states ORDER BY source, spin_orbit")).all()
        assert [(r.uid, r.source, r.spin_orbit) for r in rows] == [
            (uid, "2dmatpedia", False), (uid, "c2db", False), (uid, "c2db", True)]  # fmt: skip
        assert len(rows[0].total[0]) == rows[0].n_energies == 21
        projections = dict(
            connection.execute(
                text("SELECT element || orbital, density FROM analyst.dos_projections WHERE source = '2dmatpedia'")
            ).all()
        )
        assert projections["Sp"][0][0] == pytest.approx(12)
        bands = connection.execute(
            text("SELECT * FROM analyst.band_structures WHERE method = 'PBE' AND NOT spin_orbit")
        ).one()
        wanted = of(expected, BandStructure, method=Method.PBE, spin_orbit=False)
        np.testing.assert_array_equal(np.array(bands.energies, np.float32), wanted.energies)
        assert (bands.n_spins, bands.n_wave_vectors, bands.n_bands) == wanted.energies.shape
        assert list(zip(bands.label_positions, bands.label_names, strict=True)) == [
            (place + 1, name) for place, name in wanted.labels]  # fmt: skip
        listed = connection.execute(
            text("SELECT spin, k, band, energy FROM analyst.bands_of(:uid) WHERE method = 'PBE' AND NOT spin_orbit"),
            {"uid": uid},
        ).all()
        assert len(listed) == wanted.energies.size
        for spin, k, band, energy in listed[::7]:
            assert energy == wanted.energies[spin - 1, k - 1, band - 1]
        lowest = connection.execute(text("SELECT interpolated, lowest FROM analyst.phonons ORDER BY 1")).all()
        assert [(exact, pytest.approx(value, abs=1e-4)) for exact, value in lowest] == [(False, 0.0), (True, -4.0)]
        assert connection.execute(text("SELECT c_11, c_66 FROM analyst.stiffness")).one() == (131.0, 49.0)
        sent = connection.scalar(text("SELECT array_send(energies) FROM band_structure WHERE method = 'HSE06'"))
        np.testing.assert_array_equal(unpack(sent), of(expected, BandStructure, method=Method.HSE06).energies)
    again = import_file(engine, "c2db", path)
    assert (again.unchanged, again.accepted) == (1, 0)


@pytest.mark.services
def test_a_doubted_spectrum_is_flagged_in_the_database(engine: Engine, tmp_path: Path) -> None:
    data = asr_data(dichalcogenide())
    data["results-asr.stiffness.json"]["stiffness_tensor"] = np.full((3, 3), np.inf)
    report = import_file(engine, "c2db", layer_file(tmp_path / "c.db", data))
    assert (report.accepted, report.flags) == (1, {"unreadable_spectrum": 1})
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM stiffness_tensor")) == 0
        assert connection.scalar(text("SELECT count(*) FROM band_structure")) == 3


# -- real rows ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def genuine(shared_data: Path) -> dict[str, Record]:
    """The three rows of 2021 with all their results, as they came."""
    files = ("asr_rows_MoS2_H_T.db", "asr_rows_BN.db")
    records = [r for name in files for r in get_source("c2db").records(shared_data / "c2db" / name)]
    assert all(isinstance(r, Record) and not r.doubts for r in records)
    return {r.external_id: r for r in records if isinstance(r, Record)}


def test_real_rows_hold_what_was_counted_in_them(genuine: dict[str, Record]) -> None:
    kinds = {
        name: sorted(f"{type(s).__name__} {s.method} {getattr(s, 'spin_orbit', '')}".strip() for s in record.spectra)
        for name, record in genuine.items()
    }
    whole = [f"BandStructure {m} {soc}" for m in ("G0W0", "HSE06", "PBE") for soc in (False, True)]
    common = ["DensityOfStates PBE False", "DensityOfStates PBE True", "PhononSpectrum PBE", "PhononSpectrum PBE",
              "StiffnessTensor PBE"]  # fmt: skip
    assert kinds["MoS2-b3b4685fb6e1"] == kinds["BN-4a5edc763604"] == [*whole, *common]
    assert kinds["MoS2-249ca8711314"] == [*whole[2:4], *common], "the metal was not given PBE bands, nor G0W0"
    assert all(fault_of(s) is None for record in genuine.values() for s in record.spectra)


@pytest.mark.parametrize("name", ["MoS2-b3b4685fb6e1", "BN-4a5edc763604"])
@pytest.mark.parametrize(("method", "suffix"), [(Method.PBE, ""), (Method.HSE06, "_hse"), (Method.G0W0, "_gw")])
def test_gap_and_edges_of_a_real_row_follow_from_its_bands(
    genuine: dict[str, Record], name: str, method: Method, suffix: str
) -> None:
    keys = genuine[name].payload["key_value_pairs"]
    vbm, cbm = edges(of(genuine[name], BandStructure, method=method, spin_orbit=True))
    # The edges were found on denser grids than the path passes through: at most 4 meV.
    assert vbm == pytest.approx(keys[f"vbm{suffix}"], abs=4e-3)
    assert cbm == pytest.approx(keys[f"cbm{suffix}"], abs=4e-3)
    assert cbm - vbm == pytest.approx(keys[f"gap{suffix}"], abs=7e-3)


def test_levels_of_a_real_row_are_those_of_its_keys(genuine: dict[str, Record]) -> None:
    for record in genuine.values():
        keys = record.payload["key_value_pairs"]
        for spectrum in record.spectra:
            if not isinstance(spectrum, (DensityOfStates, BandStructure)):
                continue
            assert spectrum.vacuum_level == keys["evac"]
            if spectrum.method is Method.PBE and spectrum.spin_orbit:
                assert spectrum.fermi_energy == pytest.approx(keys["efermi"], abs=1e-6)
                assert spectrum.vacuum_level - spectrum.fermi_energy == pytest.approx(keys["workfunction"], abs=1e-6)


def test_the_gap_without_spin_orbit_coupling_follows_too(genuine: dict[str, Record]) -> None:
    for name in ("MoS2-b3b4685fb6e1", "BN-4a5edc763604"):
        keys = genuine[name].payload["key_value_pairs"]
        vbm, cbm = edges(of(genuine[name], BandStructure, method=Method.PBE, spin_orbit=False))
        assert cbm - vbm == pytest.approx(keys["gap_nosoc"], abs=7e-3)


def test_the_density_of_states_of_a_real_row_is_empty_in_the_gap_alone(genuine: dict[str, Record]) -> None:
    for record in genuine.values():
        keys = record.payload["key_value_pairs"]
        for spin_orbit in (False, True):
            dos = of(record, DensityOfStates, spin_orbit=spin_orbit)
            total = sum(p.values[0] for p in dos.projections)
            at_fermi = float(np.interp(dos.fermi_energy, dos.energies, total))
            if keys["gap"] > 0:
                # 0.1 eV of room for the Mo valence band, split by spin-orbit coupling.
                inside = (dos.energies > keys["vbm"] + 0.1) & (dos.energies < keys["cbm"] - 0.1)
                assert total[inside].max() == 0
                assert total[~inside].max() > 1
                assert at_fermi == 0
            else:
                assert at_fermi > 0.5


def test_the_projections_of_a_real_row_count_both_spins(genuine: dict[str, Record], shared_data: Path) -> None:
    """States below the gap per band and spin are those that the band's own projections add up to, within a third."""
    for file, name in (("asr_rows_MoS2_H_T.db", "MoS2-b3b4685fb6e1"), ("asr_rows_BN.db", "BN-4a5edc763604")):
        with closing(sqlite3.connect(shared_data / "c2db" / file)) as connection:
            data = AseData(connection.execute("SELECT data FROM systems WHERE id = 1").fetchone()[0])
        projected = data.result("results-asr.projected_bandstructure.json")
        weights = data.array(projected["weight_skni"], 1, None, None, None)[0].sum(axis=-1)
        bands = of(genuine[name], BandStructure, method=Method.PBE, spin_orbit=False)
        dos = of(genuine[name], DensityOfStates, spin_orbit=False)
        here = (bands.energies[0] > dos.energies[0]) & (bands.energies[0] < bands.fermi_energy)
        below = dos.energies < dos.fermi_energy
        total = sum(p.values[0] for p in dos.projections)
        states = np.trapezoid(total[below], dos.energies[below])
        assert states / (2 * here.sum(axis=1).mean()) == pytest.approx(weights[here].mean(), rel=0.34)


def test_dynamic_stability_of_a_real_row_follows_from_its_phonons(genuine: dict[str, Record]) -> None:
    for record in genuine.values():
        keys = record.payload["key_value_pairs"]
        exact = of(record, PhononSpectrum, interpolated=False)
        unstable = exact.energies.min() < -1.0
        assert unstable == (keys["minhessianeig"] < -0.01) == (keys["dynamic_stability_phonons"] == "low")
        np.testing.assert_allclose(np.sort(exact.energies[0])[:3], 0, atol=1e-3)
    # Largest phonon energies, meV; experiment: 169 at Γ of h-BN, 58 (471 cm⁻¹) in MoS2.
    highest = {n: of(r, PhononSpectrum, interpolated=False).energies.max() for n, r in genuine.items()}
    assert highest["BN-4a5edc763604"] == pytest.approx(169, rel=0.02)
    assert highest["MoS2-b3b4685fb6e1"] == pytest.approx(58, rel=0.03)
    # What interpolation between the few exact wave vectors makes of a stable layer.
    assert of(genuine["BN-4a5edc763604"], PhononSpectrum, interpolated=True).energies.min() < -15


def test_the_stiffness_tensor_of_a_real_row_is_that_of_its_keys_and_isotropic(genuine: dict[str, Record]) -> None:
    for record in genuine.values():
        keys = record.payload["key_value_pairs"]
        c = of(record, StiffnessTensor).tensor
        assert (c[0, 0], c[1, 1], c[0, 1]) == pytest.approx((keys["c_11"], keys["c_22"], keys["c_12"]))
        # A trigonal or hexagonal layer is isotropic in plane.
        assert c[2, 2] == pytest.approx((c[0, 0] - c[0, 1]) / 2, rel=0.03)


def test_the_real_detail_record_holds_14_electrons_below_its_gap(shared_data: Path) -> None:
    record = only("2dmatpedia", shared_data / "2dmatpedia" / "record_with_dos_2dm-3594.json")
    assert (record.external_id, record.names) == ("2dm-3594/dos", ["2dm-3594"])
    dos = of(record, DensityOfStates, method=Method.PBE)
    assert fault_of(dos) is None
    below = dos.energies <= dos.fermi_energy
    # WSe2 has 6 + 2 · 6 valence electrons; the Se 4s, four of them, lie below the grid.
    assert np.trapezoid(dos.total[0][below], dos.energies[below]) == pytest.approx(14, abs=0.2)
    raw = json.loads((shared_data / "2dmatpedia" / "record_with_dos_2dm-3594.json").read_text())["dos"]
    for orbital in "spd":
        ours = sum(p.values[0] for p in dos.projections if p.orbital == orbital)
        np.testing.assert_allclose(ours, raw["spd_dos"][orbital]["densities"]["1"], atol=1e-12)
    for element in ("W", "Se"):
        ours = sum(p.values[0] for p in dos.projections if p.element == element)
        np.testing.assert_allclose(ours, raw["atom_dos"][element]["densities"]["1"], atol=1e-12)


@pytest.mark.services
def test_the_real_rows_are_stored_compactly(engine: Engine, shared_data: Path) -> None:
    for name in ("asr_rows_MoS2_H_T.db", "asr_rows_BN.db"):
        assert import_file(engine, "c2db", shared_data / "c2db" / name).flagged == 0
    with engine.connect() as connection:
        stored = sum(
            connection.scalar(text(f"SELECT pg_total_relation_size('{table}')"))
            for table in (
                "density_of_states",
                "dos_projection",
                "band_structure",
                "phonon_spectrum",
                "stiffness_tensor",
            )
        )
    in_file = sum((shared_data / "c2db" / n).stat().st_size for n in ("asr_rows_MoS2_H_T.db", "asr_rows_BN.db"))
    assert stored < in_file / 4
