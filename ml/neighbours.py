"""The computed interfaces that lie nearest to a pair, with their values: what a prediction leans on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from ml.domain import Domain
from ml.feature_store import load_table
from ml.interface_store import SOURCES
from ml.rows import InterfaceRows

_LABELLED = text("""
    SELECT i.bottom_material_id AS bottom, i.top_material_id AS top, min(b.uid) AS bottom_uid, min(t.uid) AS top_uid,
           avg(v.value) AS mean, min(v.value) AS smallest, max(v.value) AS largest, count(*) AS stackings,
           min(s.key) AS source
    FROM interface i
    JOIN source_record r ON r.id = i.source_record_id AND r.state = 'accepted'
    JOIN source s ON s.id = r.source_id AND s.key = ANY(:sources)
    JOIN material b ON b.id = i.bottom_material_id
    JOIN material t ON t.id = i.top_material_id
    JOIN property_value v ON v.source_record_id = r.id AND v.value IS NOT NULL
    JOIN property p ON p.id = v.property_id AND p.key = :target
    WHERE i.kind = :kind
    GROUP BY i.bottom_material_id, i.top_material_id
    ORDER BY i.bottom_material_id, i.top_material_id
""")


@dataclass(frozen=True)
class Neighbour:
    """Computed interfaces of one pair of materials.

    Attributes:
        bottom_uid, top_uid: the materials; of a layer on a substrate what its source calls the two.
        distance: of the farther of the two layers from its counterpart, 1 = the edge of the training domain.
        mean, smallest, largest: calculated values of the stackings, in the target's unit.
        stackings: how many.
        source: key of their source.
    """

    bottom_uid: str
    top_uid: str
    distance: float
    mean: float
    smallest: float
    largest: float
    stackings: int
    source: str


@dataclass(frozen=True)
class ClassNeighbour:
    """Computed interfaces of one pair of layers, of which a class is known.

    Attributes:
        bottom_uid, top_uid, distance, source: as of a `Neighbour`.
        classes: number of stackings in each class.
    """

    bottom_uid: str
    top_uid: str
    distance: float
    classes: dict[int, int]
    source: str


def nearest(
    connection: Connection, domain: Domain, kind: str, target: str, bottom_id: int, top_id: int, *, count: int = 5
) -> list[Neighbour]:
    """The nearest labelled interfaces of a pair of monolayers.

    Args:
        connection: to read with.
        domain: of the model, whose features and scale make the distance.
        kind: of the interfaces that the model learned from.
        target: quantity key.
        bottom_id, top_id: material ids of the pair; which lies below does not matter.
        count: how many.

    Returns:
        The nearest first; none if the database holds no such interface, or a layer has no features.
    """
    rows = connection.execute(_LABELLED, {"sources": list(SOURCES[kind]), "kind": kind, "target": target}).all()
    wanted = {bottom_id, top_id, *(row.bottom for row in rows), *(row.top for row in rows)}
    table = load_table(connection, only=sorted(wanted))
    asked = table.rows(np.array([bottom_id, top_id]))
    if not rows or (asked < 0).any():
        return []
    below, above = (table.rows(np.array([getattr(row, side) for row in rows])) for side in ("bottom", "top"))
    points = domain.points(table.values)
    distance = pair_distance(points, asked, below, above)
    distance[(below < 0) | (above < 0)] = np.nan
    order = [k for k in np.argsort(distance, kind="stable") if np.isfinite(distance[k])][:count]
    return [
        Neighbour(
            rows[k].bottom_uid,
            rows[k].top_uid,
            float(distance[k]),
            float(rows[k].mean),
            float(rows[k].smallest),
            float(rows[k].largest),
            int(rows[k].stackings),
            rows[k].source,
        )
        for k in order
    ]


def nearest_on_bulk(
    tables: Iterable[InterfaceRows], domain: Domain, target: str, sides: NDArray[np.floating], *, count: int = 5
) -> list[Neighbour]:
    """The nearest labelled layers on substrates.

    Args:
        tables: what models of layers on substrates learn from (`ml.interface_store.load_rows`).
        domain: of the model, whose features and scale make the distance.
        target: quantity key.
        sides: material features of the substrate's face and of the layer, shape (2, len(ml.features.NAMES)).
        count: how many.

    Returns:
        The nearest kinds of substrate and layer first, called as their source calls them.
    """
    return [
        Neighbour(
            bottom, top, apart, float(np.mean(values)), min(values), max(values), len(values), source
        )
        for apart, bottom, top, values, source in _ranked(tables, domain, target, sides, count, either_way=False)
    ]  # fmt: skip


def nearest_classes(
    tables: Iterable[InterfaceRows], domain: Domain, target: str, sides: NDArray[np.floating], *, count: int = 5
) -> list[ClassNeighbour]:
    """The nearest bilayers whose class has been calculated.

    Args:
        tables: what the model learned from (`ml.interface_store.load_rows`).
        domain: of the model, whose features and scale make the distance.
        target: quantity key of a class.
        sides: material features of the two layers, shape (2, len(ml.features.NAMES)); which lies below does not matter.
        count: how many.

    Returns:
        The nearest pairs of layers first.
    """
    return [
        ClassNeighbour(bottom, top, apart, dict(sorted(Counter(round(value) for value in values).items())), source)
        for apart, bottom, top, values, source in _ranked(tables, domain, target, sides, count, either_way=True)
    ]


def _ranked(
    tables: Iterable[InterfaceRows],
    domain: Domain,
    target: str,
    sides: NDArray[np.floating],
    count: int,
    *,
    either_way: bool,
) -> list[tuple[float, str, str, list[float], str]]:
    """Distance, names, calculated values and source of the nearest labelled pairs, the nearest first."""
    asked = domain.points(sides)
    found = []
    for rows in tables:
        if rows.layers is None:
            continue
        points, at = np.vstack([asked, domain.points(rows.layers.features)]), rows.layers.row
        values: dict[tuple[str, str], list[float]] = {}
        for k in np.flatnonzero(rows.labelled(target)):
            values.setdefault((rows.bottom[k], rows.top[k]), []).append(float(rows.targets[target][k]))
        if not values:
            continue
        below, above = (np.array([at[pair[side]] for pair in values]) + 2 for side in (0, 1))
        apart = pair_distance(points, np.array([0, 1]), below, above, either_way=either_way)
        known = zip(apart.tolist(), values.items(), strict=True)
        found += [(far, bottom, top, many, rows.source) for far, ((bottom, top), many) in known if np.isfinite(far)]
    return sorted(found, key=lambda near: near[:3])[:count]


def pair_distance(
    points: NDArray[np.float64],
    asked: NDArray[np.integer],
    below: NDArray[np.integer],
    above: NDArray[np.integer],
    *,
    either_way: bool = True,
) -> NDArray[np.float64]:
    """Distance of one pair from others: the farther of two counterparts, either way round, whichever is nearer.

    Args:
        points: of materials, shape (materials, dimensions).
        asked: the pair's two rows in `points`.
        below, above: rows of the other pairs' layers, shape (pairs,).
        either_way: whether the two sides may change places; a substrate and its layer may not.

    Returns:
        Shape (pairs,), in the unit of `points`.
    """

    def between(a: int, others: NDArray[np.integer]) -> NDArray[np.float64]:
        return np.asarray(np.sqrt(((points[others] - points[a]) ** 2).sum(axis=1)), float)

    a, b = int(asked[0]), int(asked[1])
    straight = np.maximum(between(a, below), between(b, above))
    if not either_way:
        return straight
    crossed = np.maximum(between(a, above), between(b, below))
    return np.minimum(straight, crossed)
