"""Twenty filters of the dashboard over all candidates of the published run, beside the same in SQL.

    python -m benchmarks queries

Run it where `stackscreen` finds a database with a published run (STACKSCREEN_DATA_DIR or STACKSCREEN_DATABASE_URL).
For each filter: its first page and the next one by its token, the exact count, the scatter with its histogram, as the
dashboard asks for them, but without what it remembers of earlier counts. The peer is what an analyst would write:
SELECT ... ORDER BY ... OFFSET ... LIMIT, and SELECT count(*), on the same table with its indexes. Everything is asked
several times; the first of them warms up and does not count.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from sqlalchemy import Connection, text

from benchmarks.hardware import describe
from stackscreen.query import candidates
from stackscreen.query.candidates import Order, Run, published_run
from stackscreen.query.criteria import Criteria
from stackscreen.query.reading import reading, reading_engine
from stackscreen.scan.candidate_list import CandidateList
from stackscreen.settings import get_settings

FILTERS = (
    ("", "-score"),
    ("text.has=MoS2", "-score"),
    ("text.has=mo se&strain.max=0.005", "strain"),
    ("layers.either=MoS2", "-score"),
    ("layers.both=MoS2,WS2,MoSe2,WSe2,MoTe2,BN", "-binding_energy"),
    ("elements.all=Mo,W", "-score"),
    ("elements.none=Pb,Cd,Hg,Tl,As", "-score"),
    ("alignment.in=II", "-score"),
    ("kind.in=2d-on-bulk", "strain"),
    ("kind.in=homobilayer", "-binding_energy"),
    ("gap.min=1.1&gap.max=1.6", "-score"),
    ("alignment.in=II&gap.min=1.1&gap.max=1.6", "-score"),
    ("binding_energy.min=20&binding_energy.max=30", "-binding_energy"),
    ("strain.max=0.005&n_atoms.max=30", "n_atoms"),
    ("gap.min=0.5&gap_width.max=1.5", "gap_width"),
    ("distance.max=3", "distance"),
    ("hull_energy.max=0.02&domain_distance.max=1", "-score"),
    ("valence_offset.min=0.3&conduction_offset.min=0.3", "-score"),
    ("area.max=60&strain_von_mises.max=0.005", "-gap"),
    ("alignment.in=II&gap.min=1&strain.max=0.01&n_atoms.max=60&hull_energy.max=0.1&elements.none=Pb,Cd,Hg", "-score"),
)
"""One or more for every kind of control of the panel, in the orders that its columns offer."""
PAGE = 100
X, Y = "binding_energy", "gap"


def timed(ask: Callable[[], Any], repeat: int) -> list[float]:
    """Milliseconds of each of `repeat` calls, after one that warms up."""
    ask()
    times = []
    for _ in range(repeat):
        began = time.perf_counter()
        ask()
        times.append(1000 * (time.perf_counter() - began))
    return times


def of_the_dashboard(
    connection: Connection, run: Run, listed: CandidateList, criteria: Criteria, order: Order, repeat: int
) -> dict[str, list[float]]:
    """Milliseconds of what the dashboard asks for."""
    after = listed.page(connection, run, criteria, order, limit=PAGE).after
    asked: dict[str, Callable[[], Any]] = {
        "first page": lambda: listed.page(connection, run, criteria, order, limit=PAGE),
        "count": lambda: listed.count(criteria),
        "scatter": lambda: listed.scatter(criteria, X, Y),
        "histogram": lambda: listed.histogram(criteria, Y),
    }
    if after:
        asked["next page"] = lambda: listed.page(connection, run, criteria, order, limit=PAGE, after=after)
    return {name: timed(ask, repeat) for name, ask in asked.items()}


def in_sql(
    connection: Connection, run: Run, criteria: Criteria, order: Order, repeat: int
) -> tuple[list[float], list[float]]:
    """Milliseconds of the second page by OFFSET, and of the count."""
    statement = candidates.listing(run, criteria, order).limit(PAGE).offset(PAGE)
    pages = timed(lambda: connection.execute(statement).all(), repeat)
    return pages, timed(lambda: candidates.count(connection, run, criteria), repeat)


def main(arguments: list[str]) -> None:
    """Time every filter and print a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks queries", description=__doc__)
    parser.add_argument("--repeat", type=int, default=9, help="times that each question is asked; the median counts")
    parser.add_argument("--sql-repeat", type=int, default=3, help="the same for SQL")
    options = parser.parse_args(arguments)
    settings = get_settings()
    engine = reading_engine(settings)
    lines = []
    worst = 0.0
    with reading(engine) as connection:
        run = published_run(connection)
        began = time.perf_counter()
        listed = CandidateList.open(connection, run, settings)
        opening = time.perf_counter() - began
        for query, order_text in FILTERS:
            criteria, order = Criteria.from_query(query), Order.parse(order_text)
            computed = time.process_time()
            times = of_the_dashboard(connection, run, listed, criteria, order, options.repeat)
            computing = 1000 * (time.process_time() - computed) / (options.repeat + 1)
            pages, counts = in_sql(connection, run, criteria, order, options.sql_repeat)
            worst = max(worst, *(max(one) for one in times.values()))
            middle = {name: median(one) for name, one in times.items()}
            found = listed.count(criteria)
            lines.append((query, order_text, found, middle, computing, median(pages), median(counts)))
        sizes = connection.execute(
            text("SELECT pg_size_pretty(pg_table_size('candidate')), pg_size_pretty(pg_indexes_size('candidate'))")
        ).one()
    engine.dispose()
    names = ("first page", "next page", "count", "scatter", "histogram")
    print(f"{describe()}\n")
    print(
        f"Run {run.id}: {run.n_candidates:,} candidates, table {sizes[0]}, indexes {sizes[1]}. "
        f"Opening the copy of the candidates (filling it, if there was none): {opening:.1f} s\n"
    )
    print(f"| filter | order | found | {', ms | '.join(names)}, ms | processor, ms | SQL page, ms | SQL count, ms |")
    print("|---|---|" + "---:|" * (len(names) + 4))
    for query, order_text, found, middle, computing, page, count in lines:
        shown = " | ".join(f"{middle[name]:.0f}" if name in middle else "" for name in names)
        others = f"{computing:.0f} | {page:.0f} | {count:.0f}"
        print(f"| `{query or '(none)'}` | `{order_text}` | {found:,} | {shown} | {others} |")
    print("\n*processor*: of the asking process, for the five questions together.")
    slowest = max(max(line[3].values()) for line in lines)
    peer = max(max(line[-2:]) for line in lines)
    print(f"\nSlowest median {slowest:.0f} ms, slowest of all {worst:.0f} ms; in SQL, slowest median {peer:.0f} ms.")
