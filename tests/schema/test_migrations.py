"""The migrations lead to the models, and back to nothing."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import ProgrammingError

from schema import Base
from schema.engine import make_engine
from schema.migrate import current, downgrade, head, upgrade
from schema.quantities import QUANTITIES
from schema.roles import ANALYST_ROLE

pytestmark = pytest.mark.services


def test_up_down_and_up_again_ends_where_the_models_are(empty_database_url: str) -> None:
    engine = make_engine(empty_database_url)
    assert current(engine) is None
    upgrade(engine)
    assert current(engine) == head()
    downgrade(engine, "base")
    assert current(engine) is None
    assert set(inspect(engine).get_table_names()) <= {"alembic_version"}
    upgrade(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_upgrading_twice_changes_nothing(engine: Engine) -> None:
    with engine.connect() as connection:
        before = connection.execute(text("SELECT id, key FROM property ORDER BY id")).all()
    upgrade(engine)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT id, key FROM property ORDER BY id")).all() == before


def test_the_check_constraints_of_the_models_are_in_the_database(engine: Engine) -> None:
    # Autogeneration does not compare CHECKs, so they are compared here, by name.
    modelled = {
        constraint.name
        for table in Base.metadata.tables.values()
        for constraint in table.constraints
        if constraint.name and str(constraint.name).startswith("ck_")
    }
    with engine.connect() as connection:
        real = set(
            connection.execute(
                text("SELECT conname FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace")
            ).scalars()
        )
    assert modelled == real


def test_every_column_of_the_views_is_commented(engine: Engine) -> None:
    with engine.connect() as connection:
        silent = connection.execute(
            text(
                "SELECT c.relname, a.attname FROM pg_class c "
                "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 "
                "WHERE c.relnamespace = 'analyst'::regnamespace AND c.relkind = 'v' AND c.relname <> 'homobilayers' "
                "AND col_description(c.oid, a.attnum) IS NULL"
            )
        ).all()
        unnamed = connection.execute(
            text(
                "SELECT relname FROM pg_class WHERE relkind = 'v' AND relnamespace = 'analyst'::regnamespace "
                "AND obj_description(oid) IS NULL"
            )
        ).all()
    assert silent == []
    assert unnamed == []


def test_the_database_knows_every_quantity_with_its_unit(engine: Engine) -> None:
    with engine.connect() as connection:
        rows = dict(connection.execute(text("SELECT key, unit FROM analyst.properties")).all())
    assert rows == {key: quantity.unit for key, quantity in QUANTITIES.items()}


def test_an_analyst_reads_the_views_and_can_write_nothing(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text(f"SET ROLE {ANALYST_ROLE}"))
        for view in ("monolayers", "candidates", "interfaces", "imports", "quarantine", "model_metrics"):
            assert connection.execute(text(f"SELECT count(*) FROM analyst.{view}")).scalar() == 0
        assert connection.execute(text("SELECT count(*) FROM analyst.pairs_of('MoS2')")).scalar() == 0
    for forbidden in (
        "SELECT * FROM material",
        "DELETE FROM candidate",
        "CREATE TABLE public.mine (id int)",
        "INSERT INTO analyst.properties (key) VALUES ('x')",
    ):
        with engine.connect() as connection:
            connection.execute(text(f"SET ROLE {ANALYST_ROLE}"))
            with pytest.raises(ProgrammingError, match="permission denied"):
                connection.execute(text(forbidden))


def test_a_database_of_the_first_release_keeps_its_records_and_gains_their_names(empty_database_url: str) -> None:
    engine = make_engine(empty_database_url)
    upgrade(engine, "0001")
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO source (key, database, release, method, licence, citation) VALUES "
                "('c2db', 'C2DB', '2021', 'PBE', 'CC', 'x'), ('starter-bidb', 'BiDB', 'starter', 'PBE', 'CC', 'x')"
            )
        )
        connection.execute(
            text(
                "INSERT INTO import_run (source_id, file_name, file_sha256, file_bytes, reader_version) "
                "SELECT id, 'f', sha256('f'), 1, '1' FROM source WHERE key = 'c2db'"
            )
        )
        connection.execute(
            text(
                "INSERT INTO source_record (source_id, external_id, payload, payload_hash, state, import_run_id) "
                "SELECT source_id, '1MoS2-1', CAST(:payload AS jsonb), sha256('p'), 'accepted', id FROM import_run"
            ),
            {"payload": '{"key_value_pairs": {"olduid": "MoS2-b3b4685fb6e1"}}'},
        )
    upgrade(engine)
    with engine.connect() as connection:
        readers = connection.execute(text("SELECT key, reader, names_from FROM source ORDER BY key")).all()
        assert [tuple(row) for row in readers] == [("c2db", "c2db", None), ("starter-bidb", "bidb", "c2db")]
        assert connection.execute(text("SELECT name FROM record_name")).scalars().all() == ["MoS2-b3b4685fb6e1"]
    downgrade(engine, "0001")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM source_record")).scalar() == 1
    engine.dispose()
