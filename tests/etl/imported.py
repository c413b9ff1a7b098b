"""What an import has left in the database."""

from __future__ import annotations

from sqlalchemy import Engine, text

TABLES = (
    "source", "source_record", "structure", "property_value", "interface", "stacking", "record_flag", "material",
    "monolayer", "bulk_phase", "material_member",
)  # fmt: skip


def counts(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return {table: connection.scalar(text(f"SELECT count(*) FROM {table}")) for table in TABLES}


def scalar(engine: Engine, statement: str, **bind: object) -> object:
    with engine.connect() as connection:
        return connection.scalar(text(statement), bind)


CONTENT = """
    SELECT s.key, r.external_id, encode(r.payload_hash, 'hex'), r.state, r.rule, r.payload::text, r.raw_text,
           encode(t.digest, 'hex'), t.formula,
           (SELECT string_agg(concat_ws(' ', p.key, v.method, v.face, v.value, v.label), ';'
                              ORDER BY p.key, v.method, v.face)
            FROM property_value v JOIN property p ON p.id = v.property_id WHERE v.source_record_id = r.id),
           (SELECT string_agg(concat_ws(' ', f.rule, f.property_key), ';' ORDER BY f.rule, f.property_key)
            FROM record_flag f WHERE f.source_record_id = r.id),
           i.bottom_name, k.top_operation::text, k.shift_a, k.shift_b, k.flip
    FROM source_record r JOIN source s ON s.id = r.source_id
    LEFT JOIN structure t ON t.source_record_id = r.id
    LEFT JOIN interface i ON i.source_record_id = r.id
    LEFT JOIN stacking k ON k.interface_id = i.id
    ORDER BY s.key, r.external_id, r.payload_hash
"""


def content(engine: Engine) -> list[tuple[object, ...]]:
    """All that an import leaves, without ids and times."""
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(CONTENT))]
