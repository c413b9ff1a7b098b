"""Reading the computed interfaces that deduplication compares, and writing which of them are one stack."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from psycopg.types.json import Jsonb
from pymatgen.core import Composition
from sqlalchemy import Connection, Row, delete, select, text

from etl.copying import copy_rows, driver_cursor
from etl.dedupe.registry import StackGeometry, stack_geometry
from etl.source import get_source, source_names
from schema.interfaces import InterfaceMember

VERSION = "1"
"""Raised whenever a decision could come out differently: everything is then judged anew."""
MATERIALS = "materials"
"""Key of the evidence: the two materials whose stacks an interface was compared with."""
_SHIFT_DIGITS = 2
"""Decimals of a stated registry shift, fraction of the cell, that sources agree on."""


@dataclass(frozen=True, slots=True, order=True)
class BlockKey:
    """Interfaces that can be one stack at all: one kind, and the same two materials, whichever is below."""

    kind: str
    low: int
    high: int


@dataclass(frozen=True, slots=True, eq=False)
class Stacked:
    """A living computed interface.

    Attributes:
        key: (precedence of the source, its key, external id): the order in which interfaces are judged.
        surface: Miller plane of the substrate.
        geometry: its structure; None if the source gives none.
        stated: what the source says of the registry in words and numbers, where it gives no structure; None if it
            says nothing.
    """

    interface_id: int
    key: tuple[int, str, str]
    surface: str | None
    geometry: StackGeometry | None
    stated: tuple[Any, ...] | None


@dataclass(frozen=True, slots=True)
class Membership:
    """The row of `interface_member` that an interface should have."""

    interface_id: int
    representative_id: int
    distance: float
    method: str
    evidence: dict[str, Any]


_LIVING = """
    SELECT i.id, i.kind, least(i.bottom_material_id, i.top_material_id) AS low,
           greatest(i.bottom_material_id, i.top_material_id) AS high
    FROM interface i
    JOIN source_record r ON r.id = i.source_record_id AND r.state = 'accepted'
    WHERE i.bottom_material_id IS NOT NULL AND i.top_material_id IS NOT NULL
"""

# An interface that has left a block is named in it, so that its row can go and another representative be elected.
_TOUCHED = text(f"""
    WITH living AS ({_LIVING}), judged AS (
        SELECT m.interface_id, i.kind, m.version,
               (m.evidence -> '{MATERIALS}' ->> 0)::bigint AS low, (m.evidence -> '{MATERIALS}' ->> 1)::bigint AS high
        FROM interface_member m JOIN interface i ON i.id = m.interface_id
    )
    SELECT l.kind, l.low, l.high, NULL AS gone
    FROM living l LEFT JOIN judged j ON j.interface_id = l.id
    WHERE j.interface_id IS NULL OR j.version <> :version OR (j.low, j.high) IS DISTINCT FROM (l.low, l.high)
    UNION ALL
    SELECT j.kind, j.low, j.high, j.interface_id
    FROM judged j LEFT JOIN living l ON l.id = j.interface_id
    WHERE l.id IS NULL OR (j.low, j.high) IS DISTINCT FROM (l.low, l.high)
""")  # noqa: S608 - put together from constants

_STACKED = text(f"""
    SELECT l.id, l.kind, l.low, l.high, i.bottom_material_id = l.low AS upright, i.surface,
           s.precedence, s.key, s.reader, r.external_id, b.formula AS bottom, t.formula AS top,
           st.numbers, st.positions, st.cell,
           g.bottom_matrix, g.top_matrix, g.top_operation, g.flip, g.shift_a, g.shift_b, g.twist,
           CASE WHEN st.id IS NULL THEN r.payload END AS payload
    FROM ({_LIVING} AND i.bottom_material_id = ANY(:materials)) l
    JOIN unnest(CAST(:kinds AS text[]), CAST(:lows AS bigint[]), CAST(:highs AS bigint[])) w (kind, low, high)
      ON (w.kind, w.low, w.high) = (l.kind, l.low, l.high)
    JOIN interface i ON i.id = l.id
    JOIN source_record r ON r.id = i.source_record_id
    JOIN source s ON s.id = r.source_id
    JOIN material b ON b.id = i.bottom_material_id
    JOIN material t ON t.id = i.top_material_id
    LEFT JOIN stacking g ON g.interface_id = i.id
    LEFT JOIN structure st ON st.id = i.structure_id AND st.periodicity = 2
    ORDER BY l.id
""")  # noqa: S608 - put together from constants


def touched_blocks(connection: Connection) -> dict[BlockKey, list[int]]:
    """Blocks with an interface not judged yet, judged by an older rule or gone; with the ids of those that are gone."""
    blocks: dict[BlockKey, list[int]] = defaultdict(list)
    for kind, low, high, gone in connection.execute(_TOUCHED, {"version": VERSION}):
        left = blocks[BlockKey(kind, low, high)]
        if gone is not None:
            left.append(gone)
    return dict(sorted(blocks.items()))


def load_stacks(connection: Connection, keys: Sequence[BlockKey]) -> dict[BlockKey, list[Stacked]]:
    """The living interfaces of some blocks."""
    blocks: dict[BlockKey, list[Stacked]] = {key: [] for key in keys}
    bind = {
        "kinds": [key.kind for key in keys],
        "lows": [key.low for key in keys],
        "highs": [key.high for key in keys],
        "materials": sorted({side for key in keys for side in (key.low, key.high)}),
    }
    for row in connection.execute(_STACKED, bind):
        blocks[BlockKey(row.kind, row.low, row.high)].append(
            Stacked(
                row.id, (row.precedence, row.key, row.external_id), row.surface, _geometry(row), _stated(row)
            )
        )  # fmt: skip
    return blocks


@lru_cache(maxsize=4096)
def _units(formula: str) -> tuple[tuple[int, int], ...]:
    return tuple((element.Z, round(count)) for element, count in Composition(formula).items())


def _geometry(row: Row[Any]) -> StackGeometry | None:
    if row.numbers is None:
        return None
    return stack_geometry(
        np.array(row.numbers, np.int64),
        np.array(row.positions, float).reshape(-1, 3),
        np.array(row.cell, float).reshape(3, 3),
        dict(_units(row.bottom)),
        dict(_units(row.top)),
    )


def _stated(row: Row[Any]) -> tuple[Any, ...] | None:
    """What the source says of the registry, if it says enough: the shift, or its own word for the stacking."""
    if row.numbers is not None:
        return None
    label = get_source(row.reader).stacking_label(row.payload or {}) if row.reader in source_names() else None
    if label is None and (row.shift_a is None or row.shift_b is None):
        return None
    operation = None if row.top_operation is None else tuple(round(x, _SHIFT_DIGITS) for x in row.top_operation)
    # A shift of one whole cell is none.
    shift = tuple(None if x is None else round(x % 1.0, _SHIFT_DIGITS) % 1.0 for x in (row.shift_a, row.shift_b))
    twist = None if row.twist is None else round(row.twist, _SHIFT_DIGITS)
    # Seen from below, the same words can mean another registry: which side is below is part of the statement.
    return (row.upright, tuple(row.bottom_matrix), tuple(row.top_matrix), operation, row.flip, *shift, twist, label)


def save_members(connection: Connection, wanted: Iterable[Membership], gone: Sequence[int]) -> None:
    """Write the rows that are new or changed, and remove those of interfaces that left their block for nowhere."""
    rows = {w.interface_id: w for w in wanted}
    held = select(InterfaceMember).where(InterfaceMember.interface_id.in_([*rows, *gone]))
    stale = []
    for row in connection.execute(held.with_only_columns(*InterfaceMember.__table__.columns)):
        now = rows.get(row.interface_id)
        if now is None:
            stale.append(row.interface_id)
        elif row.version == VERSION and now == Membership(
            row.interface_id, row.representative_id, row.distance, row.method, row.evidence
        ):
            del rows[row.interface_id]
        else:
            stale.append(row.interface_id)
    connection.execute(delete(InterfaceMember).where(InterfaceMember.interface_id.in_(stale)))
    copy_rows(
        driver_cursor(connection),
        "interface_member",
        ("interface_id", "representative_id", "distance", "method", "version", "evidence"),
        (
            (m.interface_id, m.representative_id, m.distance, m.method, VERSION, Jsonb(m.evidence))
            for m in rows.values()
        ),
    )
