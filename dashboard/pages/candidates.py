"""The list of candidates, or of all pairs: filter, grid and pictures, all of one address."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from dash import ALL, ClientsideFunction, Dash, Input, Output, State, ctx, dcc, html, no_update
from sqlalchemy import Connection, Engine

from dashboard.address import Subject, View
from dashboard.components.filter_panel import CONTROL, control_values, criteria_of, filter_panel
from dashboard.components.grid import GRID, list_grid
from dashboard.components.notices import error_notice, nothing_published, starter_banner
from dashboard.components.scatter import histogram_figure, scatter_figure
from dashboard.components.words import aria
from schema.errors import StackscreenError
from stackscreen.query.candidates import NoPublishedRunError, Order, Run, are_candidates, published_run
from stackscreen.query.criteria import Criteria, CriteriaError
from stackscreen.query.detail import material_names
from stackscreen.query.overview import holds_starter_data
from stackscreen.query.reading import reading
from stackscreen.scan.reader import LISTED, Reader

X, Y = "binding_energy", "gap"
_GRAPH: Any = {"displaylogo": False, "displayModeBar": False}
_SUBJECTS = {Subject.CANDIDATES: "Candidates", Subject.PAIRS: "All pairs"}


def layout(engine: Engine, search: str | None, page_size: int) -> Any:
    """The page for one address."""
    try:
        view = View.read(search)
        problem = None
    except CriteriaError as error:
        view, problem = View(), error_notice(error)
    with reading(engine) as connection:
        try:
            run = published_run(connection)
        except NoPublishedRunError:
            return html.Div(nothing_published(), className="page")
        names = material_names(connection, run)
        starter = holds_starter_data(connection)
    formulas = sorted({formula for _, formula in names}, key=str.lower)
    elements = sorted({symbol for formula in formulas for symbol in _symbols(formula)})
    pictures = [_picture("scatter", "scatter-note"), _picture("histogram", "histogram-note")]
    return html.Div(
        [
            dcc.Location(id="list-address", refresh=False),
            dcc.Store(id="agreed", data=view.criteria.to_query()),
            filter_panel(view, formulas, elements),
            html.Div(
                [
                    starter_banner() if starter else None,
                    problem,
                    html.Div(
                        [
                            html.Div(_waiting(view), id="summary", className="summary", role="status"),
                            html.Div([_switch(view), _links(view.subject)], className="links"),
                        ],
                        className="summary-row",
                    ),
                    html.Div(pictures, className="pictures", hidden=view.subject is Subject.PAIRS),
                    html.Div(list_grid(view, page_size), className="grid-box"),
                ],
                className="results",
            ),
        ],
        className="list-page",
    )


def _symbols(formula: str) -> list[str]:
    return re.findall("[A-Z][a-z]?", formula)


def _waiting(view: View) -> str:
    """What the summary says until it counts."""
    if view.subject is Subject.CANDIDATES:
        return ""
    return "Looking at all pairs. The first time after a new run they are copied to the data folder: up to a minute …"


def _switch(view: View) -> html.Nav:
    """Candidates or all pairs: two addresses, which follow the filter."""
    return html.Nav(
        [
            html.A(
                name,
                id=f"to-{subject}",
                href=f"/{view.turned_to(subject).write()}",
                **(aria(current="page") if subject is view.subject else {}),
            )
            for subject, name in _SUBJECTS.items()
        ],
        className="switch",
        **aria(label="What is listed"),
    )


def _links(subject: Subject) -> html.Div:
    listed = f"The best {LISTED:,} pairs" if subject is Subject.PAIRS else "The whole filtered list"
    return html.Div(
        [
            html.A("CSV", id="csv-link", href=f"/api/{subject}.csv", title=listed),
            html.A("JSON", id="json-link", href=f"/api/{subject}.json", title="The first page of the filtered list"),
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


def register(app: Dash, engine: Engine, reader: Reader) -> None:
    """The callbacks of the page."""
    _register_filter(app)
    _register_grid(app, engine, reader)
    _register_summary(app, engine, reader)
    _register_pictures(app, engine, reader)
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
            view = View.read(search)
        except CriteriaError as error:
            view = View()
            if from_address:
                return untouched, no_update, no_update, str(error)
        given = view.criteria
        if from_address:
            if given.to_query() == agreed:
                return untouched, no_update, no_update, ""
            return control_values(given, keys), no_update, given.to_query(), ""
        if ctx.triggered_id == "clear-filter":
            return control_values(Criteria(), keys), replace(view, criteria=Criteria()).write(), "", ""
        try:
            wanted = criteria_of(dict(zip(keys, values, strict=True)))
        except CriteriaError as error:
            return untouched, no_update, no_update, str(error)
        address = no_update if wanted == given else replace(view, criteria=wanted).write()
        return untouched, address, wanted.to_query(), ""

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
            view = View.read(search)
        except CriteriaError:
            return no_update
        wanted = Order(chosen["colId"], chosen["sort"] == "desc")
        return no_update if wanted == view.order else replace(view, order=wanted).write()


def _register_grid(app: Dash, engine: Engine, reader: Reader) -> None:
    @app.callback(
        Output(GRID, "getRowsResponse"), Input(GRID, "getRowsRequest"), State("list-address", "search"),
        prevent_initial_call=True,
    )  # fmt: skip
    def rows(request: dict[str, Any] | None, search: str | None) -> Any:
        """The rows that the grid has scrolled to."""
        if not request:
            return no_update
        try:
            view = View.read(search)
            if request.get("sortModel"):
                first = request["sortModel"][0]
                view = replace(view, order=Order(first["colId"], first["sort"] == "desc"))
                view.check()
            start, end = int(request["startRow"]), int(request["endRow"])
            with reading(engine) as connection:
                run = published_run(connection)
                if view.subject is Subject.PAIRS:
                    return _best_pairs(connection, run, reader, view, start, end)
                found = reader.page(connection, run, view.criteria, view.order, limit=end - start, offset=start)
            return {"rowData": found.rows, "rowCount": reader.count(run, view.criteria)}
        except StackscreenError:
            # What is wrong stands above the grid; an empty list keeps the grid from asking again and again.
            return {"rowData": [], "rowCount": 0}


def _best_pairs(
    connection: Connection, run: Run, reader: Reader, view: View, start: int, end: int
) -> dict[str, list[dict[str, Any]] | int]:
    found = reader.scan(run, view.criteria, view.order)
    shown = found.rows[start:end]
    listed = are_candidates(connection, run, [(row["bottom_uid"], row["top_uid"]) for row in shown])
    # Only candidates have a page of their own.
    data = [row | {"is_candidate": one} for row, one in zip(shown, listed, strict=True)]
    return {"rowData": data, "rowCount": len(found.rows)}


def _register_summary(app: Dash, engine: Engine, reader: Reader) -> None:
    @app.callback(
        Output("summary", "children"),
        Output("csv-link", "href"),
        Output("json-link", "href"),
        *(Output(f"to-{subject}", "href") for subject in Subject),
        Input("list-address", "search"),
    )
    def describe(search: str | None) -> Any:
        """Count and links of the filter."""
        try:
            view = View.read(search)
            with reading(engine) as connection:
                run = published_run(connection)
            if view.subject is Subject.PAIRS:
                found = reader.scan(run, view.criteria, view.order)
                listed = f"; the best {len(found.rows):,} are listed" if found.count > len(found.rows) else ""
                summary = [html.B(f"{found.count:,}"), f" of {found.pairs:,} pairs with a coincidence lattice{listed} "]
                if found.note:
                    summary.append(html.Span(f"({found.note}) "))
            else:
                share = f" of {run.n_candidates:,}" if run.n_candidates and view.criteria.conditions else ""
                summary = [html.B(f"{reader.count(run, view.criteria):,}"), f"{share} candidates "]
        except StackscreenError as error:
            return error_notice(error), *[no_update] * 4
        words = [html.Span(text, className="condition") for text in view.criteria.describe()]
        query = replace(view, subject=Subject.CANDIDATES).write()  # the path of the twin names the subject
        others = (f"/{view.turned_to(subject).write()}" for subject in Subject)
        return [*summary, *words], f"/api/{view.subject}.csv{query}", f"/api/{view.subject}.json{query}", *others


def _register_pictures(app: Dash, engine: Engine, reader: Reader) -> None:
    @app.callback(
        Output("scatter", "figure"),
        Output("scatter-note", "children"),
        Output("histogram", "figure"),
        Output("histogram-note", "children"),
        Input("list-address", "search"),
    )
    def draw(search: str | None) -> Any:
        """Pictures of the filter's candidates; the quantities that they show are not known of every pair."""
        try:
            view = View.read(search)
            if view.subject is Subject.PAIRS:
                return [no_update] * 4
            with reading(engine) as connection:
                run = published_run(connection)
                cloud = reader.scatter(connection, run, view.criteria, X, Y)
                spread = reader.histogram(connection, run, view.criteria, Y)
        except StackscreenError:
            return [no_update] * 4  # the summary says what is wrong
        shown = len(cloud.points)
        note = f"Even sample: {shown:,} of {cloud.total:,} pairs" if cloud.sampled else f"All {cloud.total:,} pairs"
        return (
            scatter_figure(cloud, X, Y),
            f"{note} with both values predicted. Click a point to open the pair.",
            histogram_figure(spread, Y),
            f"Predicted gap, all candidates of the filter; {spread.unknown:,} without.",
        )
