"""The analysts' role: reads the `analyst` schema, and nothing else."""

from __future__ import annotations

from psycopg import sql
from sqlalchemy import Connection, text

ANALYST_ROLE = "stackscreen_analyst"


def ensure_analyst_role(connection: Connection, *, statement_timeout_ms: int = 30_000) -> None:
    """Create or correct the read-only role; safe to repeat.

    The role cannot log in by itself: an administrator gives it a password, or grants it to a login
    (`GRANT stackscreen_analyst TO alice`). No password is ever set here.
    """
    # Roles belong to the whole server: another database of it may be making the same one at this moment.
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('stackscreen_analyst'))"))
    exists = connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :name"), {"name": ANALYST_ROLE}).scalar()
    role = sql.Identifier(ANALYST_ROLE)
    cursor = connection.connection.cursor()
    if not exists:
        cursor.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(role))
        cursor.execute(sql.SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(role))
        cursor.execute(
            sql.SQL("ALTER ROLE {} SET statement_timeout = {}").format(role, sql.Literal(str(statement_timeout_ms)))
        )
        cursor.execute(sql.SQL("ALTER ROLE {} SET search_path = analyst").format(role))
    cursor.execute(sql.SQL("GRANT USAGE ON SCHEMA analyst TO {}").format(role))
    cursor.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA analyst TO {}").format(role))
    cursor.execute(sql.SQL("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA analyst TO {}").format(role))
