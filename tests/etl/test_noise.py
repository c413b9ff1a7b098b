"""Two calculations of one thing differ by what was put in; types are lost to noise only where there is some."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from small_hetml import layer, stack, write_layers, write_stacks

from benchmarks import noise
from etl.starter import paths
from ml.rows import InterfaceRows
from schema.quantities import GAP, INTERLAYER_DISTANCE

SHIFT = 0.25
"""eV that is added to every other gap of the second source."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The starter set's C2DB, and its 2DMatPedia with half of the gaps moved."""
    root = tmp_path_factory.mktemp("published")
    for key, file in (("c2db", paths().c2db), ("2dmatpedia", paths().twodmatpedia)):
        place = root / noise.FILES[key]
        place.parent.mkdir()
        shutil.copy(file, place)
    place = root / noise.FILES["2dmatpedia"]
    lines = [json.loads(line) for line in place.read_text(encoding="utf-8").splitlines()]
    for line in lines[::2]:
        line["bandgap"] += SHIFT
    place.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return root


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_layers_are_paired_by_structure_and_their_gaps_differ_by_what_was_put_in(folder: Path) -> None:
    c2db, other = noise.layers_of(folder, "c2db"), noise.layers_of(folder, "2dmatpedia")
    pairs = noise.same(other, c2db)
    n = len(other)
    assert len(pairs) == n > 10
    assert all(c2db[b].structure.formula == other[a].structure.formula for a, b in pairs.items())
    (line,) = noise.layer_lines("2dmatpedia", other, c2db, pairs)
    what, quantity, count, mean, _, size, root = cells(line)
    moved = (n + 1) // 2 / n
    assert (what, quantity, int(count)) == ("2dmatpedia against c2db", "gap, eV", n)
    assert float(mean) == float(size) == pytest.approx(SHIFT * moved, abs=6e-4)
    assert float(root) == pytest.approx(SHIFT * np.sqrt(moved), abs=6e-4)


def test_a_source_that_is_not_there_has_no_layers(folder: Path) -> None:
    assert noise.layers_of(folder, "mc2d") == {}


def rows_of(source: str, bottom: list[str], top: list[str], gap: list[float], distance: list[float]) -> InterfaceRows:
    ids = [str(k) for k in range(len(gap))]
    targets = {GAP.key: np.array(gap), INTERLAYER_DISTANCE.key: np.array(distance)}
    features = np.zeros((len(gap), 1), np.float32)
    return InterfaceRows("heterobilayer", source, ids, bottom, top, bottom, top, features, ("none",), targets)


def test_stacks_of_one_pair_are_compared_whichever_layer_lies_below() -> None:
    moire = rows_of("hetdb", ["A", "C"], ["B", "D"], [1.0, 2.0], [3.0, np.nan])
    single = rows_of("hetml", ["b", "b", "x"], ["a", "a", "y"], [1.2, 1.6, 5.0], [3.1, 3.5, 9.0])
    lines = noise.stack_lines({"hetdb": moire, "hetml": single}, {"a": "A", "b": "B"})
    found = {tuple(cells(line)[:2]): cells(line)[2:] for line in lines}
    against, beside = "hetml (mean of its registries) against hetdb (moiré)", "hetml, AA against AB of one pair"
    for quantity, mean, apart in ((f"{GAP.key}, eV", 0.4, -0.4), (f"{INTERLAYER_DISTANCE.key}, Å", 0.3, -0.4)):
        assert found[against, quantity][:2] == ["1", f"{mean:+.3f}"]
        assert found[beside, quantity][:2] == ["1", f"{apart:+.3f}"]


def test_types_survive_no_noise_and_not_all_of_them_much_noise(tmp_path: Path) -> None:
    # The stack's valence edge is the lower layer's, its conduction edge the upper one's.
    place = tmp_path / noise.FILES["hetml"]
    place.mkdir()
    write_layers(place, layer(1, vbm=-0.9, cbm=1.5), layer(2, "W", vbm=-2.5, cbm=-0.2))
    write_stacks(place, stack(), stack("huid-1-AB"))
    for spread, low, high in ((0.0, 100.0, 100.0), (3.0, 5.0, 95.0)):
        lines = noise.alignment_lines(tmp_path, np.random.default_rng(0), spread)
        assert [float(cells(line)[0]) for line in lines] == list(noise.MARGINS)
        assert all(cells(line)[1] == "2" for line in lines)
        kept = [float(cells(line)[2].removesuffix(" %")) for line in lines]
        assert all(low <= share <= high for share in kept)
