"""The list of candidates: filter, grid and pictures, all of one address."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlencode

from dash import ALL, ClientsideFunction, Dash, Input, Output, State, ctx, dcc, html, no_update
from sqlalchemy import Engine

from dashboard.components.filter_panel import CONTROL, control_values, criteria_of, filter_panel
from dashboard.components.grid import GRID, candidate_grid
from dashboard.components.notices import error_notice, nothing_published, starter_banner
from dashboard.components.scatter import histogram_figure, scatter_figure
from schema.errors import StackscreenError
from stackscreen.query.candidates import (
    NoPublishedRunError,
    Order,
    Run,
    count,
    histogram,
    page,
    published_run,
    scatter,
)
from stackscreen.query.criteria import Criteria, CriteriaError
from stackscreen.query.detail import material_names
from stackscreen.query.overview import holds_starter_data
from stackscreen.query.reading import reading

SORT = "sort"
X, Y = "binding_energy", "gap"
_GRAPH: Any = {"displaylogo": False, "displayModeBar": False}


def read_address(search: str | None) -> tuple[Criteria, Order]:
    """Filter and order of an address's query string.

    Raises:
        CriteriaError: it asks for what candidates do not have.
    """
    items = parse_qsl((search or "").removeprefix("?"))
    order = Order.parse(next((value for key, value in items if key == SORT), None))
    return Criteria.from_items((key, value) for key, value in items if key != SORT), order


def write_address(criteria: Criteria, order: Order) -> str:
    """The query string of a filter and an order; the default order is left out."""
    items = criteria.to_items() + ([(SORT, str(order))] if order != Order() else [])
    return f"?{urlencode(items, safe=',()')}" if items else ""


def layout(engine: Engine, search: str | None, page_size: int) -> Any:
    """The page for one address."""
    try:
        criteria, order = read_address(search)
        problem = None
    except CriteriaError as error:
        criteria, order, problem = Criteria(), Order(), error_notice(error)
    with reading(engine) as connection:
        try:
            run = published_run(connection)
        except NoPublishedRunError:
            return html.Div(nothing_published(), className="page")
        names = material_names(connection, run)
        starter = holds_starter_data(connection)
    formulas = sorted({formula for _, formula in names}, key=str.lower)
    elements = sorted({symbol for formula in formulas for symbol in _symbols(formula)})
    return html.Div(
        [
            dcc.Location(id="list-address", refresh=False),
            dcc.Store(id="agreed", data=criteria.to_query()),
            filter_panel(criteria, formulas, elements),
            html.Div(
                [
                    starter_banner() if starter else None,
                    problem,
                    html.Div(
                        [html.Div(id="summary", className="summary", role="status"), _links()], className="summary-row"
                    ),
                    html.Div([_picture("scatter", "scatter-note"), _picture("histogram", "histogram-note")],
                             className="pictures"),
                    html.Div(candidate_grid(order, page_size), className="grid-box"),
                ],
                className="results",
            ),
        ],
        className="list-page",
    )  # fmt: skip


def _symbols(formula: str) -> list[str]:
    return re.findall("[A-Z][a-z]?", formula)


def _links() -> html.Div:
    return html.Div(
        [
            html.A("CSV", id="csv-link", href="/api/candidates.csv", title="The whole filtered list"),
            html.A("JSON", id="json-link", href="/api/candidates.json", title="The first page of the filtered list"),
        ],
        className="links",
    )


def _picture(name: str, note: str) -> html.Figure:
    return html.Figure(
        [
            dcc.Graph(id=name, config=_GRAPH, className="picture"),
            html.Figcaption(id=note, className="picture-note"),
        ]
    )


_Count = Callable[[Run, Criteria], int]


def register(app: Dash, engine: Engine) -> None:
    """The callbacks of the page."""

    @lru_cache(maxsize=256)
    def counted(run: Run, criteria: Criteria) -> int:
        # A published run never changes, so a count stays exact for as long as the run is the published one.
        with reading(engine) as connection:
            return count(connection, run, criteria)

    _register_filter(app)
    _register_grid(app, engine, counted)
    _register_pictures(app, engine, counted)
    # A new filter empties the grid's cache; an order that the grid does not have yet (the way back) is given to it.
    app.clientside_callback(
        ClientsideFunction("stackscreen", "follow"), Input("list-address", "search"), prevent_initial_call=True
    )
    app.clientside_callback(
        ClientsideFunction("stackscreen", "openPair"), Input("scatter", "clickData"), prevent_initial_call=True
    )


def _register_filter(app: Dash) -> None:
    @app.callback(
        Output({"type": CONTROL, "key": ALL}, "value"),
        Output("list-address", "search"),
        Output("agreed", "data"),
        Output("filter-error", "children"),
        Input({"type": CONTROL, "key": ALL}, "value"),
        Input("list-address", "search"),
        Input("clear-filter", "n_clicks"),
        State({"type": CONTROL, "key": ALL}, "id"),
        State("agreed", "data"),
        prevent_initial_call=True,
    )
    def follow(values: list[Any], search: str | None, _: int | None, ids: list[dict[str, str]], agreed: str) -> Any:
        """Controls and address hold one filter: whichever changed, the other follows.

        `agreed` is the filter that they last agreed on. An address that says just that is the echo of a control, which
        somebody may be typing into at this moment: it must not be set.
        """
        keys = [one["key"] for one in ids]
        untouched = [no_update] * len(keys)
        from_address = ctx.triggered_id == "list-address"
        try:
            given, order = read_address(search)
        except CriteriaError as error:
            given, order = Criteria(), Order()
            if from_address:
                return untouched, no_update, no_update, str(error)
        if from_address:
            if given.to_query() == agreed:
                return untouched, no_update, no_update, ""
            return control_values(given, keys), no_update, given.to_query(), ""
        if ctx.triggered_id == "clear-filter":
            return control_values(Criteria(), keys), write_address(Criteria(), order), "", ""
        try:
            wanted = criteria_of(dict(zip(keys, values, strict=True)))
        except CriteriaError as error:
            return untouched, no_update, no_update, str(error)
        return untouched, no_update if wanted == given else write_address(wanted, order), wanted.to_query(), ""

    @app.callback(
        Output("list-address", "search", allow_duplicate=True),
        Input(GRID, "columnState"),
        State("list-address", "search"),
        prevent_initial_call=True,
    )
    def keep_order(columns: list[dict[str, Any]] | None, search: str | None) -> Any:
        """The address holds the order too."""
        chosen = next((column for column in columns or [] if column.get("sort")), None)
        if chosen is None:
            return no_update
        try:
            criteria, order = read_address(search)
        except CriteriaError:
            return no_update
        wanted = Order(chosen["colId"], chosen["sort"] == "desc")
        return no_update if wanted == order else write_address(criteria, wanted)


def _register_grid(app: Dash, engine: Engine, counted: _Count) -> None:
    @app.callback(
        Output(GRID, "getRowsResponse"), Input(GRID, "getRowsRequest"), State("list-address", "search"),
        prevent_initial_call=True,
    )  # fmt: skip
    def rows(request: dict[str, Any] | None, search: str | None) -> Any:
        """The rows that the grid has scrolled to."""
        if not request:
            return no_update
        try:
            criteria, order = read_address(search)
            if request.get("sortModel"):
                first = request["sortModel"][0]
                order = Order(first["colId"], first["sort"] == "desc")
            start, end = int(request["startRow"]), int(request["endRow"])
            with reading(engine) as connection:
                run = published_run(connection)
                found = page(connection, run, criteria, order, limit=end - start, offset=start)
            return {"rowData": found.rows, "rowCount": counted(run, criteria)}
        except StackscreenError:
            # What is wrong stands above the grid; an empty list keeps the grid from asking again and again.
            return {"rowData": [], "rowCount": 0}


def _register_pictures(app: Dash, engine: Engine, counted: _Count) -> None:
    @app.callback(
        Output("summary", "children"),
        Output("scatter", "figure"),
        Output("scatter-note", "children"),
        Output("histogram", "figure"),
        Output("histogram-note", "children"),
        Output("csv-link", "href"),
        Output("json-link", "href"),
        Input("list-address", "search"),
    )
    def describe(search: str | None) -> Any:
        """Count, pictures and links of the filter."""
        try:
            criteria, order = read_address(search)
            with reading(engine) as connection:
                run = published_run(connection)
                cloud = scatter(connection, run, criteria, X, Y)
                spread = histogram(connection, run, criteria, Y)
            total = counted(run, criteria)
        except StackscreenError as error:
            return error_notice(error), *[no_update] * 6
        words = [html.Span(text, className="condition") for text in criteria.describe()]
        share = f" of {run.n_candidates:,}" if run.n_candidates and criteria.conditions else ""
        summary = [html.B(f"{total:,}"), f"{share} candidates ", *words]
        shown = len(cloud.points)
        note = f"Even sample: {shown:,} of {cloud.total:,} pairs" if cloud.sampled else f"All {cloud.total:,} pairs"
        query = write_address(criteria, order)
        return (
            summary,
            scatter_figure(cloud, X, Y),
            f"{note} with both values predicted. Click a point to open the pair.",
            histogram_figure(spread, Y),
            f"Predicted gap, all candidates of the filter; {spread.unknown:,} without.",
            f"/api/candidates.csv{query}",
            f"/api/candidates.json{query}",
        )
