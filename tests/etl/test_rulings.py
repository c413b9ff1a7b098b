"""Deciding by hand: what a person ruled stands, can be taken back exactly, and needs no memory but the rulings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plain_records import Plain, layer, written
from sqlalchemy import Engine, text

from etl.api import import_file
from etl.dedupe.api import dedupe, merge, split
from etl.dedupe.by_hand import RulingError, UnknownMaterialError
from etl.dedupe.rulings import Ruled, Rulings, Ties
from etl.errors import ImportBusyError
from etl.runs import exclusive
from schema.vocabulary import Ruling

services = pytest.mark.services

BEST, WORSE = Plain("best", 10), Plain("worse", 20)

LIVE = """
    SELECT m.uid, array_agg(s.key || ':' || r.external_id ORDER BY s.key, r.external_id),
           encode(t.digest, 'hex'), l.ln_area, l.layer_group, l.thickness
    FROM material m JOIN material_member mm ON mm.material_id = m.id
    JOIN source_record r ON r.id = mm.source_record_id JOIN source s ON s.id = r.source_id
    JOIN structure t ON t.id = m.structure_id JOIN monolayer l ON l.material_id = m.id
    WHERE m.withdrawn_at IS NULL GROUP BY m.id, t.id, l.material_id ORDER BY 1
"""
EVIDENCE = """
    SELECT m.uid, s.key, r.external_id, mm.distance, mm.method, mm.evidence - 'ruling'
    FROM material_member mm JOIN material m ON m.id = mm.material_id
    JOIN source_record r ON r.id = mm.source_record_id JOIN source s ON s.id = r.source_id ORDER BY 1, 2, 3
"""
SIDES = """
    SELECT r.external_id, b.uid, t.uid FROM interface i JOIN source_record r ON r.id = i.source_record_id
    LEFT JOIN material b ON b.id = i.bottom_material_id LEFT JOIN material t ON t.id = i.top_material_id ORDER BY 1
"""


def rows(engine: Engine, statement: str, **bind: Any) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement), bind)]


def materials(engine: Engine) -> dict[str, list[str]]:
    """Records of each living material."""
    return {row[0]: row[1] for row in rows(engine, LIVE)}


def partition(engine: Engine) -> set[frozenset[str]]:
    return {frozenset(records) for records in materials(engine).values()}


def uid_of(engine: Engine, record: str) -> str:
    (uid,) = (uid for uid, records in materials(engine).items() if record in records)
    return uid


def everything(engine: Engine) -> list[list[tuple[Any, ...]]]:
    return [rows(engine, statement) for statement in (LIVE, EVIDENCE, SIDES)]


def bring(engine: Engine, source: Plain, path: Path, *records: dict[str, Any]) -> None:
    import_file(engine, source, written(path, *records))


@pytest.fixture
def polymorphs(engine: Engine, tmp_path: Path) -> Engine:
    """Two records of 2H and two of 1T."""
    bring(engine, BEST, tmp_path / "best", layer("h", gap=1.6), layer("t", "T", gap=0.1))
    bring(engine, WORSE, tmp_path / "worse", layer("h2", a=3.2, gap=1.7), layer("t2", "T", a=3.2))
    dedupe(engine)
    assert partition(engine) == {frozenset({"best:h", "worse:h2"}), frozenset({"best:t", "worse:t2"})}
    return engine


@services
def test_merged_materials_are_one_at_once_and_say_by_whom(polymorphs: Engine) -> None:
    h, t = uid_of(polymorphs, "best:h"), uid_of(polymorphs, "best:t")
    report = merge(polymorphs, t, h, author="ada", note="same sample")
    assert partition(polymorphs) == {frozenset({"best:h", "worse:h2", "best:t", "worse:t2"})}
    (kept,) = materials(polymorphs)
    assert {(m.uid, m.state) for m in report.materials} == {(kept, "kept"), (({h, t} - {kept}).pop(), "withdrawn")}
    by_hand = [row for row in rows(polymorphs, EVIDENCE) if row[4] == "by hand"]
    assert [row[2] for row in by_hand] == ["t", "t2"]
    for row in by_hand:
        assert (row[5]["author"], row[5]["note"], row[5]["merged_from"]) == ("ada", "same sample", t)
        assert set(row[5]["ruled_same"]) == {"best:h", "best:t"}
        assert 0 < row[3] < 10
    ((numbers,),) = rows(
        polymorphs,
        "SELECT array_agg(DISTINCT (evidence->>'ruling')::int) FROM material_member WHERE evidence ? 'ruling'",
    )
    assert numbers == report.rulings
    # The values of both are values of the one.
    assert rows(polymorphs, "SELECT count(*) FROM analyst.material_values WHERE uid = :u", u=kept) == [(3,)]
    assert rows(polymorphs, "SELECT n_records FROM analyst.monolayers") == [(4,)]


@services
@pytest.mark.parametrize("order", [("best:h", "worse:t"), ("worse:t", "best:h")])
def test_a_merge_keeps_the_better_sources_name_whichever_is_named_first(
    engine: Engine, tmp_path: Path, order: tuple[str, str]
) -> None:
    bring(engine, WORSE, tmp_path / "worse", layer("t", "T"))
    dedupe(engine)
    bring(engine, BEST, tmp_path / "best", layer("h"))
    dedupe(engine)
    kept = uid_of(engine, "best:h")
    merge(engine, *(uid_of(engine, record) for record in order), author="ada")
    assert list(materials(engine)) == [kept]


@services
def test_splitting_off_what_was_merged_undoes_the_merge_exactly(polymorphs: Engine) -> None:
    before = everything(polymorphs)
    h, t = uid_of(polymorphs, "best:h"), uid_of(polymorphs, "best:t")
    merge(polymorphs, h, t, author="ada")
    report = split(polymorphs, h, "best", "t", author="ben")
    assert everything(polymorphs) == before
    assert {(m.uid, m.state) for m in report.materials} == {(h, "kept"), (t, "returned")}
    # And by way of the other side of the merge.
    merge(polymorphs, h, t, author="ada")
    split(polymorphs, h, "best", "h", author="ben")
    assert everything(polymorphs) == before


@services
def test_a_record_that_is_split_off_leaves_alone_and_merging_brings_it_back(polymorphs: Engine) -> None:
    before = everything(polymorphs)
    h = uid_of(polymorphs, "best:h")
    report = split(polymorphs, h, "worse", "h2", author="ada")
    assert {(m.uid == h, m.state, *m.records) for m in report.materials} == {
        (True, "kept", "best:h"),
        (False, "new", "worse:h2"),
    }
    merge(polymorphs, uid_of(polymorphs, "worse:h2"), h, author="ada")
    assert everything(polymorphs) == before
    # The name that it had in between is its name again.
    split(polymorphs, h, "worse", "h2", author="ada")
    assert uid_of(polymorphs, "worse:h2") == next(m.uid for m in report.materials if m.state == "new")


@services
def test_a_name_stays_with_the_structure_it_stands_for_when_the_representative_is_split_off(
    polymorphs: Engine, tmp_path: Path
) -> None:
    bring(polymorphs, Plain("third", 30), tmp_path / "third", layer("h3", a=3.19))
    dedupe(polymorphs)
    h = uid_of(polymorphs, "best:h")
    before = everything(polymorphs)
    split(polymorphs, h, "best", "h", author="ada")
    assert materials(polymorphs)[h] == ["best:h"]
    assert frozenset({"worse:h2", "third:h3"}) in partition(polymorphs)
    merge(polymorphs, h, uid_of(polymorphs, "third:h3"), author="ada")
    assert everything(polymorphs) == before


@services
def test_rulings_are_honoured_by_corrected_records_and_new_ones(polymorphs: Engine, tmp_path: Path) -> None:
    h, t = uid_of(polymorphs, "best:h"), uid_of(polymorphs, "best:t")
    merge(polymorphs, h, t, author="ada")
    split(polymorphs, h, "worse", "h2", author="ada")
    alone = uid_of(polymorphs, "worse:h2")
    # Corrected, the ruled records stay where they were put; a third record of 1T finds the material through them.
    bring(polymorphs, BEST, tmp_path / "best", layer("h", gap=1.65), layer("t", "T", a=3.19, gap=0.2))
    bring(polymorphs, WORSE, tmp_path / "worse", layer("h2", a=3.185, gap=1.7), layer("t2", "T", a=3.21))
    bring(polymorphs, Plain("third", 30), tmp_path / "third", layer("t3", "T", a=3.2))
    dedupe(polymorphs)
    assert materials(polymorphs) == {h: ["best:h", "best:t", "third:t3", "worse:t2"], alone: ["worse:h2"]}
    # Even where the ruled record's new structure is neither of the two.
    bring(polymorphs, BEST, tmp_path / "best", layer("h", gap=1.65), layer("t", "T", a=3.9, gap=0.2))
    dedupe(polymorphs)
    assert {"best:h", "best:t"} <= set(materials(polymorphs)[h])
    # And a second run changes nothing.
    before = everything(polymorphs)
    dedupe(polymorphs)
    assert everything(polymorphs) == before


@services
def test_a_better_sources_record_becomes_the_face_of_a_merged_material_and_the_name_stays(
    engine: Engine, tmp_path: Path
) -> None:
    bring(engine, WORSE, tmp_path / "worse", layer("h"), layer("t", "T"))
    dedupe(engine)
    merge(engine, uid_of(engine, "worse:h"), uid_of(engine, "worse:t"), author="ada")
    name = uid_of(engine, "worse:h")
    # The better record is like the one that was merged into the other.
    bring(engine, BEST, tmp_path / "best", layer("t", "T", a=3.2))
    dedupe(engine)
    assert materials(engine) == {name: ["best:t", "worse:h", "worse:t"]}
    ((a,),) = rows(engine, "SELECT a FROM analyst.monolayers")
    assert a == pytest.approx(3.2)
    methods = {row[2]: row[4] for row in rows(engine, EVIDENCE) if row[1] == "worse"}
    assert methods == {"h": "by hand", "t": "fingerprint+matcher"}
    # Both structures are still known.
    bring(engine, Plain("third", 30), tmp_path / "third", layer("h3", a=3.17), layer("t3", "T", a=3.19))
    report = dedupe(engine)
    assert (report.created, report.materials) == (0, 1)
    split(engine, name, "worse", "h", author="ada")
    assert partition(engine) == {frozenset({"worse:h", "third:h3"}), frozenset({"best:t", "worse:t", "third:t3"})}


@services
def test_what_was_ruled_different_never_meets_again_even_by_way_of_a_third(engine: Engine, tmp_path: Path) -> None:
    bring(engine, BEST, tmp_path / "best", layer("h"))
    bring(engine, WORSE, tmp_path / "worse", layer("h2", a=3.19), layer("h3", a=3.2))
    dedupe(engine)
    uid = uid_of(engine, "best:h")
    split(engine, uid, "worse", "h2", author="ada")
    assert len(rows(engine, "SELECT 1 FROM dedupe_ruling WHERE ruling = 'different'")) == 2
    # The representative goes, and comes back corrected: not to be found in the same material as h2.
    bring(engine, BEST, tmp_path / "best", layer("h", "T"))
    dedupe(engine)
    bring(engine, BEST, tmp_path / "best", layer("h", gap=1.5))
    dedupe(engine)
    assert frozenset({"worse:h2"}) in partition(engine)


@services
def test_interfaces_follow_a_ruling_at_once_and_back(engine: Engine, tmp_path: Path) -> None:
    bring(engine, BEST, tmp_path / "best", layer("h"), layer("t", "T"), layer("w", metal="W"))
    stacks = Plain("stacks", 40, names_from="best")
    bring(engine, stacks, tmp_path / "stacks", {"id": "hh", "stack": ["h", "h"]}, {"id": "tw", "stack": ["t", "w"]},
          {"id": "wt", "stack": ["w", "t"]}, {"id": "tt", "stack": ["t", "t"]})  # fmt: skip
    dedupe(engine)
    before = everything(engine)
    h, t, w = (uid_of(engine, f"best:{name}") for name in "htw")
    kept = next(m.uid for m in merge(engine, h, t, author="ada").materials if m.state == "kept")
    assert rows(engine, SIDES) == [("hh", kept, kept), ("tt", kept, kept), ("tw", kept, w), ("wt", w, kept)]
    assert dedupe(engine).linked == 0
    split(engine, kept, "best", "t" if kept == h else "h", author="ada")
    assert everything(engine) == before


@services
def test_a_bilayer_linked_by_structure_follows_a_ruling(engine: Engine, tmp_path: Path) -> None:
    from small_files import bidb_keys, bilayer, c2db_file, dichalcogenide, write_ase

    # Its parent is not listed: only its layers' structure leads to 1T.
    stack = (bilayer(dichalcogenide("T")), bidb_keys("MoS2-000000000000-2-1_0_0_1-0_0", "MoS2-000000000000"))
    import_file(engine, "c2db", c2db_file(tmp_path))
    import_file(engine, "bidb", write_ase(tmp_path / "b.db", [stack]))
    dedupe(engine)
    before = everything(engine)
    h, t = uid_of(engine, "c2db:1MoS2-1"), uid_of(engine, "c2db:1MoS2-2")
    merge(engine, h, t, author="ada")
    kept = uid_of(engine, "c2db:1MoS2-1")
    ((_, bottom, top),) = rows(engine, SIDES)
    assert bottom == top == kept
    split(engine, kept, "c2db", "1MoS2-2", author="ada")
    assert everything(engine) == before


@services
def test_nonsense_is_refused_in_a_sentence(engine: Engine, tmp_path: Path) -> None:
    bring(engine, BEST, tmp_path / "best", layer("h"), layer("t", "T"), layer("w", metal="W"))
    dedupe(engine)
    h, t, w = (uid_of(engine, f"best:{name}") for name in "htw")
    before = everything(engine)
    with pytest.raises(RulingError, match=r"MoS2.*WS2.*cannot be one material"):
        merge(engine, h, w, author="ada")
    with pytest.raises(RulingError, match="with itself"):
        merge(engine, h, h, author="ada")
    with pytest.raises(RulingError, match="only member"):
        split(engine, h, "best", "h", author="ada")
    with pytest.raises(RulingError, match="not a member") as caught:
        split(engine, h, "best", "t", author="ada")
    assert "best:h" in caught.value.hint
    with pytest.raises(UnknownMaterialError, match="no material 'MoS2-00000000'") as caught:
        merge(engine, "MoS2-00000000", h, author="ada")
    assert h in caught.value.hint
    assert w not in caught.value.hint
    assert everything(engine) == before
    assert rows(engine, "SELECT 1 FROM dedupe_ruling") == []
    merge(engine, h, t, author="ada")
    kept, gone = (h, t) if h in materials(engine) else (t, h)
    with pytest.raises(UnknownMaterialError, match=f"{gone} was merged into {kept}"):
        merge(engine, gone, kept, author="ada")


@services
def test_a_layer_is_never_merged_with_a_crystal(engine: Engine, tmp_path: Path) -> None:
    from ase.build import bulk, graphene
    from ase.io import write
    from small_files import c2db_keys, write_ase

    folder = tmp_path / "crystals"
    folder.mkdir()
    write(folder / "C.vasp", bulk("C", "diamond", 3.57), format="vasp")
    import_file(engine, "bulk", folder)
    import_file(engine, "c2db", write_ase(tmp_path / "c.db", [(graphene(vacuum=10), c2db_keys("2C-1"))]))
    dedupe(engine)
    uids = [uid for (uid,) in rows(engine, "SELECT uid FROM material ORDER BY kind")]
    with pytest.raises(RulingError, match=r"monolayer.*bulk|bulk.*monolayer"):
        merge(engine, *uids, author="ada")


@services
def test_crystals_can_be_merged_and_split(engine: Engine, tmp_path: Path) -> None:
    from ase.build import bulk
    from ase.io import write

    folder = tmp_path / "metals"
    folder.mkdir()
    write(folder / "fcc.vasp", bulk("Fe", "fcc", 3.5), format="vasp")
    write(folder / "bcc.vasp", bulk("Fe", "bcc", 2.87), format="vasp")
    import_file(engine, "bulk", folder)
    dedupe(engine)
    what = """SELECT m.uid, b.space_group, b.volume_per_atom, m.withdrawn_at IS NULL FROM material m
              JOIN bulk_phase b ON b.material_id = m.id ORDER BY 1"""
    before = rows(engine, what)
    merge(engine, before[0][0], before[1][0], author="ada")
    ((kept,),) = rows(engine, "SELECT uid FROM analyst.bulk_phases")
    assert [r[:3] for r in rows(engine, what)] == [r[:3] for r in before]
    ((record,),) = rows(engine, "SELECT external_id FROM analyst.members WHERE method = 'by hand'")
    split(engine, kept, "bulk", record, author="ada")
    assert rows(engine, what) == before


@services
def test_a_ruling_waits_for_no_deduplication_under_way(polymorphs: Engine) -> None:
    h, t = uid_of(polymorphs, "best:h"), uid_of(polymorphs, "best:t")
    with (
        exclusive(polymorphs, "stackscreen dedupe", "busy"),
        pytest.raises(ImportBusyError, match="Another deduplication"),
    ):
        merge(polymorphs, h, t, author="ada")


@services
def test_a_polar_layer_merged_by_hand_keeps_its_faces_told_apart(engine: Engine, tmp_path: Path) -> None:
    """Janus MoSSe, and another of a lattice too large to match, drawn upside down."""
    bring(engine, BEST, tmp_path / "best", layer("up", a=3.25, chalcogen=["S", "Se"]))
    bring(engine, WORSE, tmp_path / "worse", layer("down", a=3.6, chalcogen=["Se", "S"]))
    dedupe(engine)
    merge(engine, uid_of(engine, "best:up"), uid_of(engine, "worse:down"), author="ada")
    ((flipped,),) = rows(engine, "SELECT evidence->'flipped' FROM material_member WHERE method = 'by hand'")
    assert flipped is True


RECORDS = {
    # A chain: each lattice is within the limit of the next, the first and the last are not.
    "best:1": layer("1", a=3.18), "best:2": layer("2", "T"), "best:3": layer("3", a=3.6),
    "worse:1": layer("1", a=3.19), "worse:2": layer("2", a=3.27), "worse:3": layer("3", a=3.36),
    "worse:4": layer("4", "T", a=3.2), "worse:5": layer("5", a=3.61),
    "third:1": layer("1", a=3.2), "third:2": layer("2", "T", a=3.19), "third:3": layer("3", a=4.2),
}  # fmt: skip
CHAINED = ("worse:2", "worse:3")
SOURCES = {"best": BEST, "worse": WORSE, "third": Plain("third", 30)}


def bring_all(engine: Engine, folder: Path, without: tuple[str, ...] = ()) -> None:
    for key, source in SOURCES.items():
        names = [name for name in RECORDS if name.startswith(key) and name not in without]
        bring(engine, source, folder / key, *(RECORDS[name] for name in names))
    dedupe(engine)


def start_anew(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM dedupe_ruling"))
        connection.execute(text("DELETE FROM material"))
    dedupe(engine)


def rule_at_random(engine: Engine, choices: list[tuple[bool, int, int]]) -> list[tuple[str, tuple[str, str]]]:
    """Merges and splits; gives back for each what it was and how it is taken back, by the names of records."""
    undo = []
    for is_merge, one, other in choices:
        now = materials(engine)
        uids = sorted(now)
        if is_merge and len(uids) > 1:
            first = uids[one % len(uids)]
            second = [uid for uid in uids if uid != first][other % (len(uids) - 1)]
            made = merge(engine, first, second, author="ada").materials
            gone = next(m.uid for m in made if m.state == "withdrawn")
            ((came,),) = rows(
                engine,
                "SELECT s.key || ':' || r.external_id FROM material m JOIN structure t ON t.id = m.structure_id "
                "JOIN source_record r ON r.id = t.source_record_id JOIN source s ON s.id = r.source_id "
                "WHERE m.uid = :uid",
                uid=gone,
            )
            # Where one side was a single record, it is that which leaves again.
            alone = [now[uid][0] for uid in (second, first) if len(now[uid]) == 1]
            undo.append(("split", tuple((alone or [came])[0].split(":"))))
        elif not is_merge and (several := [uid for uid in uids if len(now[uid]) > 1]):
            uid = several[one % len(several)]
            record = now[uid][other % len(now[uid])]
            made = split(engine, uid, *record.split(":", 1), author="ada").materials
            assert sum(m.state in ("new", "returned") for m in made) >= 1
            undo.append(("merge", (record, *(m.records[0] for m in made if record not in m.records))))
    return undo


choices = st.lists(st.tuples(st.booleans(), st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=6)


@services
def test_any_rulings_taken_back_in_reverse_leave_the_materials_as_they_were(engine: Engine, tmp_path: Path) -> None:
    bring_all(engine, tmp_path, without=CHAINED)
    before = rows(engine, LIVE)
    assert len(before) == 4

    @settings(max_examples=15, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(choices=choices)
    def check(choices: list[tuple[bool, int, int]]) -> None:
        start_anew(engine)
        for kind, what in reversed(rule_at_random(engine, choices)):
            if kind == "split":
                split(engine, uid_of(engine, ":".join(what)), *what, author="ben")
            else:
                first, *others = what
                for other in others:
                    merge(engine, uid_of(engine, first), uid_of(engine, other), author="ben")
        assert rows(engine, LIVE) == before

    check()


@services
def test_rulings_alone_lead_to_the_same_materials_from_scratch(engine: Engine, tmp_path: Path) -> None:
    bring_all(engine, tmp_path)

    @settings(max_examples=15, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(choices=choices)
    def check(choices: list[tuple[bool, int, int]]) -> None:
        start_anew(engine)
        rule_at_random(engine, choices)
        before = partition(engine)
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM material"))
        dedupe(engine)
        assert partition(engine) == before

    check()


keys = st.tuples(st.just("s"), st.sampled_from("abcde"))


@given(st.lists(st.tuples(keys, keys, st.sampled_from(list(Ruling))).filter(lambda r: r[0] != r[1]), max_size=12))
def test_the_newest_ruling_always_stands_and_the_order_within_a_pair_is_nothing(
    pairs: list[tuple[tuple[str, str], tuple[str, str], Ruling]],
) -> None:
    ruled = [Ruled(i, a, b, ruling, "ada", None, None) for i, (a, b, ruling) in enumerate(pairs)]  # type: ignore[arg-type]
    turned = [Ruled(r.id, r.other, r.one, r.ruling, r.author, r.note, r.ruled_at) for r in ruled]
    names = [("s", name) for name in "abcde"]
    results = []
    for each in (ruled, turned):
        ties = Ties(Rulings(each).among(names))
        results.append([(a, b, ties.root(a) == ties.root(b), ties.apart(a, [b])) for a in names for b in names])
        if each:
            newest = each[-1]
            assert ties.apart(newest.one, [newest.other]) == (newest.ruling is Ruling.DIFFERENT)
            assert (ties.root(newest.one) == ties.root(newest.other)) == (newest.ruling is Ruling.SAME)
        assert not any(together and apart for *_, together, apart in results[-1])
    assert results[0] == results[1]
