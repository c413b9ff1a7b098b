"""What two screening runs left in the database, compared there, byte by byte; and the books of one run."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Boolean, Connection, Engine, MetaData, Row, Table, and_, func, literal_column, select, text

from schema import Candidate, PairBlock, PairTile, PairTileLevel

_UNDISTURBED: Final = "undisturbed"
"""Schema of the copies."""


def set_aside(engine: Engine) -> None:
    """Make the runs so far another engine's, so that the next one is computed from nothing."""
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE screening_run SET engine_version = 'set aside', inputs_digest = sha256(id::text::bytea)")
        )


def published_run(engine: Engine) -> int:
    """Number of the only published run."""
    with engine.connect() as connection:
        return connection.execute(text("SELECT id FROM screening_run WHERE state = 'published'")).scalar_one()


def keep_as_undisturbed(engine: Engine, run_id: int) -> None:
    """Copy what a run left to tables of their own, which no later run empties."""
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA IF EXISTS {_UNDISTURBED} CASCADE"))
        connection.execute(text(f"CREATE SCHEMA {_UNDISTURBED}"))
        for table in ("pair_block", "pair_tile", "pair_tile_level", "candidate"):
            connection.execute(
                text(f"CREATE TABLE {_UNDISTURBED}.{table} AS SELECT * FROM {table} WHERE run_id = :r"), {"r": run_id}
            )


def differences(connection: Connection, run_id: int) -> dict[str, int]:
    """Rows of a run that are not, to the byte, those of the undisturbed one, counted by table: missing, more, other."""
    compared = {
        "blocks": (PairBlock, ("block",), ("row_from", "row_to", "col_from", "col_to", "state", "n_pairs", "n_matched",
                                           "n_candidates", "digest", "error")),
        "tiles": (PairTile, ("row", "col_from"), ("block", "n_pairs", "n", "m", "strain", "score")),
        "levels": (PairTileLevel, ("row", "col_from", "max_strain"), ("n_kept", "kept", "n", "m", "strain", "score")),
        "candidates": (Candidate, ("bottom", "top"),
                       tuple(c.name for c in Candidate.__table__.columns
                             if c.name not in ("run_id", "since", "bottom", "top"))),
    }  # fmt: skip
    return {
        name: connection.execute(_unequal(model.__table__, keys, values, run_id)).scalar_one()
        for name, (model, keys, values) in compared.items()
    }


def _unequal(table: Any, keys: tuple[str, ...], values: tuple[str, ...], run_id: int) -> Any:
    copy: Table = table.to_metadata(MetaData(), schema=_UNDISTURBED)
    names = (*keys, *values)
    before = select(*(copy.c[name] for name in names)).subquery("before")
    now = select(*(table.c[name] for name in names)).where(table.c.run_id == run_id).subquery("now")
    both = before.join(now, and_(*(before.c[key] == now.c[key] for key in keys)), full=True)
    # *= compares the bytes of two whole rows: -0.0 is not 0.0, and null is null.
    same = literal_column("before", Boolean).op("*=", is_comparison=True)(literal_column("now", Boolean))
    return select(func.count()).select_from(both).where(same.is_not(True))


def account(connection: Connection, run_id: int) -> Row[Any]:
    """The books of a run, drawn up from its tiles, candidates and ledger, not from what it says of itself.

    Columns: expected (N(N+1)/2 + S·N), pairs (in tiles), misfit_rows (whose tiles do not cover exactly the columns that
    the row meets), not_done (blocks), uncounted (blocks whose candidates are not as many as the ledger says),
    published, is_published (this run).
    """
    query = text("""
        WITH run AS (SELECT n_monolayers::bigint AS n, n_surfaces::bigint AS s FROM screening_run WHERE id = :r),
        rows AS (
            SELECT row, sum(n_pairs) AS pairs, range_agg(int4range(col_from, col_from + n_pairs)) AS columns
            FROM pair_tile WHERE run_id = :r GROUP BY row
        ),
        met AS (
            SELECT row, int4range(CASE WHEN row < n THEN row ELSE 0 END, n::int) AS columns
            FROM run, generate_series(0, (n + s - 1)::int) AS row
        )
        SELECT (SELECT n * (n + 1) / 2 + s * n FROM run) AS expected,
               (SELECT coalesce(sum(pairs), 0)::bigint FROM rows) AS pairs,
               (SELECT count(*) FROM met FULL JOIN rows USING (row)
                WHERE (rows.columns = int4multirange(met.columns)
                       AND rows.pairs = upper(met.columns) - lower(met.columns)) IS NOT TRUE) AS misfit_rows,
               (SELECT count(*) FROM pair_block WHERE run_id = :r AND state <> 'done') AS not_done,
               (SELECT count(*) FROM pair_block b WHERE run_id = :r AND n_candidates <>
                (SELECT count(*) FROM candidate c WHERE c.run_id = :r AND c.block = b.block)) AS uncounted,
               (SELECT count(*) FROM screening_run WHERE state = 'published') AS published,
               (SELECT state = 'published' FROM screening_run WHERE id = :r) AS is_published
    """)
    return connection.execute(query, {"r": run_id}).one()
