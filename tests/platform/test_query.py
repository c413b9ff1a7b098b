"""The query API, on a real Postgres with a small published run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_rows import screened_engine  # noqa: F401 - a fixture
from sqlalchemy import Connection, Engine, text

from schema.engine import make_engine
from stackscreen.query import candidates, detail, pictures
from stackscreen.query.candidates import NoPublishedRunError, Order, Run, published_run
from stackscreen.query.conditions import where
from stackscreen.query.criteria import Criteria, CriteriaError, Operator, condition
from stackscreen.query.export import header, pair_csv, rows_csv
from stackscreen.query.fields import FIELDS, FieldKind
from stackscreen.query.overview import overview
from stackscreen.query.reading import DatabaseUnavailableError, QueryTooSlowError, reading
from stackscreen.query.stacks import stack_of

names = st.text(st.characters(codec="utf-8", exclude_characters=",\x00", exclude_categories=["Z", "C"]), min_size=1)
elements = st.sampled_from(["H", "C", "S", "Mo", "Se", "W", "Au"])


def _values(field: str) -> st.SearchStrategy[dict[str, object]]:
    known = FIELDS[field]
    if known.kind is FieldKind.NUMBER:
        ends = st.tuples(*[st.none() | st.floats(allow_nan=False, allow_infinity=False, width=64)] * 2)
        ordered = ends.map(lambda two: two if None in two else tuple(sorted(two)))
        return ordered.map(lambda two: {k: v for k, v in zip(("min", "max"), two, strict=True) if v is not None})
    if known.kind is FieldKind.TEXT:
        return st.lists(names, min_size=1, max_size=3).map(lambda words: {"has": " ".join(words)[:200].strip()})
    choices = {
        FieldKind.WORD: (("in",), st.sampled_from(known.words or ("",))),
        FieldKind.ELEMENTS: (("all", "none"), elements),
        FieldKind.LAYERS: (("either", "both"), names),
    }
    operators, one = choices[known.kind]
    return st.dictionaries(st.sampled_from(operators), st.lists(one, min_size=1, max_size=4))


@st.composite
def criteria(draw: st.DrawFn) -> Criteria:
    fields = draw(st.lists(st.sampled_from(list(FIELDS)), unique=True, max_size=5))
    values = {field: draw(_values(field)) for field in fields}
    return Criteria.of(condition(field, op, value) for field, ops in values.items() for op, value in ops.items())


@settings(deadline=None)
@given(criteria())
def test_criteria_come_back_from_an_address_and_from_json_as_they_were(one: Criteria) -> None:
    assert Criteria.from_query(one.to_query()) == one
    assert Criteria.from_json(one.to_json()) == one


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("gap.min=wide", "not a number"),
        ("gap.min=nan", "not a number"),
        ("gap.min=1e999", "not a number"),
        ("gap.in=1", "not a filter"),
        ("gap=1", "gap is not a filter"),
        ("nonsense=1", "'nonsense' is not a field"),
        ("nonsense", "'nonsense' is no condition"),
        ("colour.in=red", "not a field"),
        ("alignment.in=IV", "not known"),
        ("elements.all=Xx", "not an element"),
        ("gap.min=2&gap.max=1", "above"),
        ("gap.min=1&gap.min=2", "twice"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused_in_a_sentence(query: str, says: str) -> None:
    with pytest.raises(CriteriaError, match=says):
        Criteria.from_query(query)


@pytest.mark.parametrize("document", [None, [], {"all": 1}, {"all": [{"field": "gap"}]}, {"all": [{"x": 1}]}])
def test_saved_criteria_of_another_form_are_refused(document: object) -> None:
    with pytest.raises(CriteriaError, match="form of saved criteria"):
        Criteria.from_json(document)


def test_every_numeric_field_has_a_unit_and_a_meaning() -> None:
    for field in FIELDS.values():
        assert field.meaning, field.key
        assert (field.unit == "") == (field.kind is not FieldKind.NUMBER), field.key
    assert FIELDS["binding_energy"].header == "Binding energy (meV/Å²)"
    assert FIELDS["strain"].header == "Misfit (%)"


@pytest.fixture
def connection(screened_engine: Engine) -> Iterator[Connection]:  # noqa: F811
    with reading(screened_engine) as connection:
        yield connection


@pytest.fixture
def run(connection: Connection) -> Run:
    return published_run(connection)


def _rows(connection: Connection, run: Run, query: str, order: str = "-score") -> list[dict]:
    return candidates.page(connection, run, Criteria.from_query(query), Order.parse(order), limit=1000).rows


def test_conditions_select_what_they_say(connection: Connection, run: Run) -> None:
    every = _rows(connection, run, "")
    assert len(every) == run.n_candidates

    def selected(query: str, rule: object) -> None:
        found = _rows(connection, run, query)
        assert found == [row for row in every if rule(row)]  # type: ignore[operator]
        assert 0 < len(found) < len(every), query
        assert candidates.count(connection, run, Criteria.from_query(query)) == len(found)

    def both(row: dict) -> set[str]:
        return {row["bottom_formula"], row["top_formula"]}

    gaps = sorted(row["gap"] for row in every if row["gap"])
    middle = gaps[len(gaps) // 2]
    selected(f"gap.min={middle}", lambda row: row["gap"] is not None and row["gap"] >= middle)
    selected(f"gap.max={middle}", lambda row: row["gap"] is not None and row["gap"] <= middle)
    selected("alignment.in=II", lambda row: row["alignment"] == "II")
    selected("alignment.in=I,metal", lambda row: row["alignment"] in {"I", "metal"})
    selected("kind.in=2d-on-bulk", lambda row: row["kind"] == "2d-on-bulk")
    selected("layers.either=mos2", lambda row: "MoS2" in both(row))
    selected("layers.both=MoS2,WSe2", lambda row: both(row) <= {"MoS2", "WSe2"})
    selected(
        f"layers.either={every[0]['top_uid']}", lambda row: every[0]["top_uid"] in {row["top_uid"], row["bottom_uid"]}
    )
    selected("layers.either=Au(111)", lambda row: "Au" in both(row))
    selected("elements.all=Mo", lambda row: any("Mo" in formula for formula in both(row)))
    selected("elements.none=S,Au", lambda row: not any(f in {"MoS2", "WS2", "HfS2", "Au"} for f in both(row)))
    selected("text.has=au(1 mos2", lambda row: both(row) == {"Au", "MoS2"})
    selected("n_atoms.max=30&strain.max=0.001", lambda row: row["n_atoms"] <= 30 and row["strain"] <= 0.001)


def test_a_limit_equal_to_a_stored_value_includes_it(connection: Connection, run: Run) -> None:
    row = next(row for row in _rows(connection, run, "") if row["strain"] > 0)
    for end in ("min", "max"):
        found = _rows(connection, run, f"strain.{end}={row['strain']!r}")
        assert row in found


def test_a_formula_is_found_however_its_elements_are_ordered(connection: Connection, run: Run) -> None:
    for written in ("layers.either=MoS2", "text.has=MoS2"):
        assert _rows(connection, run, written.replace("MoS2", "S2Mo")) == _rows(connection, run, written) != []


def test_search_text_is_never_a_pattern(connection: Connection, run: Run) -> None:
    assert _rows(connection, run, "text.has=%25") == []
    assert _rows(connection, run, "text.has=_____") == []
    assert _rows(connection, run, "text.has='; DROP TABLE candidate --") == []


@pytest.mark.parametrize("order", ["-score", "gap", "-gap", "alignment", "-alignment", "-binding_energy_width"])
def test_pages_by_key_give_the_whole_list_once_and_in_order(connection: Connection, run: Run, order: str) -> None:
    whole = _rows(connection, run, "", order)
    collected: list[dict] = []
    after = None
    while True:
        one = candidates.page(connection, run, Criteria(), Order.parse(order), limit=5, after=after)
        collected += one.rows
        after = one.after
        if after is None:
            break
    assert collected == whole
    skipped = candidates.page(connection, run, Criteria(), Order.parse(order), limit=5, offset=7)
    assert skipped.rows == whole[7:12]


@pytest.mark.parametrize("after", ["x", "1~2", "1~2~x", "1~2~inf"])
def test_the_end_of_no_page_is_refused(connection: Connection, run: Run, after: str) -> None:
    with pytest.raises(CriteriaError, match="not the end of a page"):
        candidates.page(connection, run, Criteria(), Order("gap"), limit=5, after=after)


def test_the_scatter_shows_the_filter_and_says_when_it_is_a_sample(connection: Connection, run: Run) -> None:
    one = Criteria.from_query("alignment.in=II")
    found = pictures.scatter(connection, run, one, "binding_energy", "gap")
    rows = [row for row in _rows(connection, run, "alignment.in=II") if row["gap"] is not None]
    assert not found.sampled
    assert found.total == len(found.points) == len(rows)
    sample = pictures.scatter(connection, run, Criteria(), "binding_energy", "gap", points=8)
    again = pictures.scatter(connection, run, Criteria(), "binding_energy", "gap", points=8)
    assert sample.sampled
    assert 0 < len(sample.points) <= 16
    assert sample == again


def test_a_histogram_counts_every_candidate(connection: Connection, run: Run) -> None:
    found = pictures.histogram(connection, run, Criteria(), "gap", bins=10)
    assert sum(found.counts) + found.unknown == run.n_candidates
    assert len(found.edges) == len(found.counts) + 1


def test_every_number_of_a_pair_has_a_unit_and_an_origin(connection: Connection, run: Run) -> None:
    row = next(row for row in _rows(connection, run, "") if row["bottom_formula"] == row["top_formula"] == "MoS2")
    found = detail.pair(connection, run, row["bottom_uid"], row["top_uid"])
    assert found.row == row
    assert found.bottom.facts
    for fact in (*found.bottom.facts, *found.top.facts):
        assert fact.source
        assert fact.external_id
        assert fact.citation
        assert fact.unit or isinstance(fact.value, str)
    assert [fact.value for fact in found.known[0].facts] == [20.4]
    assert found.models[0].target == "gap"
    table = list(csv.DictReader(io.StringIO(pair_csv(found))))
    assert all(line["origin"] for line in table)
    assert any(line["quantity"] == "binding_energy" and line["value"] == "20.4" for line in table)


def test_a_pair_is_found_whichever_way_round_it_is_named(connection: Connection, run: Run) -> None:
    row = next(row for row in _rows(connection, run, "") if row["bottom_uid"] != row["top_uid"])
    straight = detail.pair(connection, run, row["bottom_uid"], row["top_uid"])
    turned = detail.pair(connection, run, row["top_uid"], row["bottom_uid"])
    assert turned.turned
    assert not straight.turned
    assert turned.row == straight.row


def test_a_pair_that_is_no_candidate_is_said_to_be_none(connection: Connection, run: Run) -> None:
    with pytest.raises(detail.UnknownPairError, match="not among the candidates"):
        detail.pair(connection, run, "MoS2-nothere", "Au-nothere(111)")


def test_the_stack_of_every_candidate_has_its_atoms_and_its_misfit(connection: Connection, run: Run) -> None:
    for row in _rows(connection, run, ""):
        stack = stack_of(connection, run, row)
        assert len(stack.structure) == row["n_atoms"]
        assert stack.cell.max_strain == pytest.approx(row["strain"], abs=1e-5)


def test_the_exported_list_is_the_list(screened_engine: Engine, connection: Connection, run: Run) -> None:  # noqa: F811
    one = Criteria.from_query("alignment.in=II")
    lines = list(csv.reader(io.StringIO("".join(rows_csv(screened_engine, one, Order())))))
    assert lines[0] == header()
    assert "binding_energy [meV/Å²]" in lines[0]
    rows = _rows(connection, run, "alignment.in=II")
    assert [line[0] for line in lines[1:]] == [row["bottom_uid"] for row in rows]


def test_the_overview_counts_what_is_there(connection: Connection) -> None:
    found = overview(connection)
    assert found.counts["monolayers"] > 0
    assert found.counts["quarantined records"] == sum(line["records"] for line in found.quarantine)
    assert [line["state"] for line in found.runs if line["state"] == "published"] == ["published"]


def test_without_a_published_run_the_next_step_is_named(engine: Engine) -> None:
    with reading(engine) as connection, pytest.raises(NoPublishedRunError) as caught:
        published_run(connection)
    assert "stackscreen" in caught.value.hint


def test_a_run_that_is_not_published_is_never_seen(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO screening_run (state, inputs_digest, engine_version, n_monolayers, n_surfaces, n_pairs,"
                " max_strain, max_area, max_atoms, candidate_rule)"
                " VALUES ('running', decode(repeat('00', 32), 'hex'), '1', 1, 0, 1, 0.02, 400, 200, '{}')"
            )
        )
    with reading(engine) as connection, pytest.raises(NoPublishedRunError):
        published_run(connection)


def test_the_reading_connection_cannot_write_and_is_stopped_at_its_limit(database_url: str) -> None:
    engine = make_engine(database_url, read_only=True, statement_timeout_ms=100)
    try:
        with pytest.raises(Exception, match="read-only"), reading(engine) as connection:
            connection.execute(text("DELETE FROM candidate"))
        with pytest.raises(QueryTooSlowError, match="time limit"), reading(engine) as connection:
            connection.execute(text("SELECT pg_sleep(5)"))
    finally:
        engine.dispose()


def test_a_database_that_is_down_is_a_sentence() -> None:
    engine = make_engine("postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(DatabaseUnavailableError, match="does not answer"), reading(engine):
        pass


def test_an_alternative_in_sql_is_bound_and_not_spelt(run: Run) -> None:
    rendered = str(where(Criteria.of([condition("layers", Operator.EITHER, ["x'); DROP"])]), run.key))
    assert "DROP" not in rendered


def test_only_columns_that_may_be_unknown_are_told_where_unknown_values_go(run: Run) -> None:
    # Said of the score, which is never unknown, it would keep Postgres from reading the list off its index.
    statements = {
        key: str(candidates.listing(run, Criteria(), candidates.Order.parse(key))) for key in ("-score", "-gap", "gap")
    }
    assert {key: "NULLS LAST" in statement for key, statement in statements.items()} == {
        "-score": False,
        "-gap": True,
        "gap": True,
    }
