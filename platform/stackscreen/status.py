"""The state of one whole system, as numbers: services, queues, tables, screening runs, models. Changes nothing."""

from dataclasses import asdict
from typing import Any

import redis
from sqlalchemy import Connection, Table, func, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError

from schema.engine import make_engine
from schema.features import ModelVersion
from schema.migrate import current, head
from schema.models import Base
from schema.screening import PairBlock, ScreeningRun
from stackscreen.celery_app import CPU, GPU
from stackscreen.services import broker_url, database_url
from stackscreen.services.lifecycle import status as services_status
from stackscreen.services.redis_server import client_of
from stackscreen.settings import Settings
from stackscreen.settings_report import masked

_RECENT_RUNS = 5


def system_status(settings: Settings) -> dict[str, Any]:
    """Everything `stackscreen status --json` prints: JSON types only.

    Keys: `data_dir`, `services`, `queues` (tasks waiting, tasks delivered and not yet acknowledged; null when the
    broker is down), `database` (null when it is down): `revision`, `head`, `bytes`, `tables` (rows, and rows by
    state), `runs` (the newest first, with their blocks by state), `models` (those that are served).
    """
    return {
        "data_dir": str(settings.data_dir),
        "services": [asdict(service) for service in services_status(settings)],
        "queues": _queues(broker_url(settings)),
        "database": _database(database_url(settings)),
    }


def _queues(url: str) -> dict[str, int] | None:
    client = client_of(url)
    try:
        waiting = {name: int(client.llen(name)) for name in (CPU, GPU)}
        return {**waiting, "unacknowledged": int(client.hlen("unacked"))}
    except (redis.RedisError, OSError):
        return None
    finally:
        client.close()


def _database(url: str) -> dict[str, Any] | None:
    engine = make_engine(url, read_only=True, application_name="stackscreen status")
    try:
        revision = current(engine)
        with engine.connect() as connection:
            tables = set(inspect(connection).get_table_names())
            known = [table for table in Base.metadata.sorted_tables if table.name in tables]
            return {
                "url": masked(url),
                "revision": revision,
                "head": head(),
                "bytes": connection.scalar(text("SELECT pg_database_size(current_database())")),
                "tables": {table.name: _counts(connection, table) for table in known},
                "runs": _runs(connection) if ScreeningRun.__tablename__ in tables else [],
                "models": _models(connection) if ModelVersion.__tablename__ in tables else [],
            }
    except SQLAlchemyError:
        return None
    finally:
        engine.dispose()


def _counts(connection: Connection, table: Table) -> dict[str, Any]:
    if "state" not in table.columns:
        return {"rows": connection.scalar(select(func.count()).select_from(table))}
    states = _by_state(connection, table)
    return {"rows": sum(states.values()), "states": states}


def _by_state(connection: Connection, table: Any, *conditions: Any) -> dict[str, int]:
    columns = table.columns if isinstance(table, Table) else table.__table__.columns
    query = select(columns["state"], func.count()).where(*conditions).group_by(columns["state"])
    return {str(state): count for state, count in connection.execute(query)}


def _runs(connection: Connection) -> list[dict[str, Any]]:
    query = select(
        ScreeningRun.id,
        ScreeningRun.state,
        ScreeningRun.n_pairs,
        ScreeningRun.n_matched,
        ScreeningRun.n_candidates,
        ScreeningRun.created_at,
        ScreeningRun.published_at,
        ScreeningRun.error,
    ).order_by(ScreeningRun.id.desc())
    return [
        {
            **{key: value.isoformat() if hasattr(value, "isoformat") else value for key, value in row.items()},
            "state": str(row["state"]),
            "blocks": _by_state(connection, PairBlock, PairBlock.run_id == row["id"]),
        }
        for row in connection.execute(query.limit(_RECENT_RUNS)).mappings()
    ]


def _models(connection: Connection) -> list[dict[str, Any]]:
    query = (
        select(
            ModelVersion.target,
            ModelVersion.domain,
            ModelVersion.family,
            ModelVersion.name,
            ModelVersion.split,
            ModelVersion.trained_at,
        )
        .where(ModelVersion.served)
        .order_by(ModelVersion.target, ModelVersion.domain)
    )
    return [{**row, "trained_at": row["trained_at"].isoformat()} for row in connection.execute(query).mappings()]
