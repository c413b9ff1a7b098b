"""The dashboard as one Dash app: a shell, an address, and the page that the address names."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, dcc, html
from sqlalchemy import Engine

from dashboard import api
from dashboard.components.notices import error_notice, notice
from dashboard.components.words import FONT, aria
from dashboard.pages import candidates, data, models, pair
from schema.errors import StackscreenError
from stackscreen.query.reading import reading_engine
from stackscreen.scan.reader import Reader
from stackscreen.settings import Settings

_PAIR = re.compile(r"/pair/([^/]+)/([^/]+)/?")
_MODEL = re.compile(r"/models/([0-9]{1,9})/?")
_INDEX = """<!DOCTYPE html>
<html lang="en">
  <head>
    {%metas%}
    <title>{%title%}</title>
    <link rel="icon" type="image/svg+xml" href="/assets/icon.svg">
    {%css%}
  </head>
  <body>
    {%app_entry%}
    <footer>{%config%}{%scripts%}{%renderer%}</footer>
  </body>
</html>"""


def create_app(settings: Settings, engine: Engine | None = None) -> Dash:
    """The app, with everything that it needs built here and handed down.

    Args:
        settings: where the database is, and how much a page shows.
        engine: a read-only engine to use instead of the settings' own (tests).
    """
    engine = engine or reading_engine(settings)
    app = Dash(
        "dashboard",
        title="Stackscreen",
        update_title="",
        serve_locally=True,
        suppress_callback_exceptions=True,
        health_endpoint="healthz",
        index_string=_INDEX,
    )
    reader = Reader(engine, settings)
    app.server.register_blueprint(api.blueprint(engine, reader, settings.dashboard.page_size))
    app.layout = _shell()
    candidates.register(app, engine, reader)

    @app.callback(
        Output("page", "children"),
        Output("nav", "children"),
        Input("address", "pathname"),
        State("address", "search"),
    )
    def show(path: str | None, search: str | None) -> Any:
        """The page that the address names; what is wrong with it, as a sentence."""
        path = path or "/"
        try:
            return _page(engine, path, search, settings.dashboard.page_size), _navigation(path)
        except StackscreenError as error:
            return html.Div(error_notice(error), className="page"), _navigation(path)

    return app


def _page(engine: Engine, path: str, search: str | None, page_size: int) -> Any:
    named = _PAIR.fullmatch(path)
    if named:
        return pair.layout(engine, unquote(named[1]), unquote(named[2]))
    numbered = _MODEL.fullmatch(path)
    if numbered:
        return models.detail(engine, int(numbered[1]))
    if path == "/models":
        return models.index(engine)
    if path == "/data":
        return data.layout(engine)
    if path == "/":
        return candidates.layout(engine, search, page_size)
    return html.Div(
        notice("No such page", f"Nothing is at {path}. Candidates are at /, models at /models, data at /data."),
        className="page",
    )


def _shell() -> dmc.MantineProvider:
    return dmc.MantineProvider(
        [
            dcc.Location(id="address", refresh="callback-nav"),
            html.A("Skip to content", href="#page", className="skip"),
            html.Header(
                [
                    html.A(
                        [html.Img(src="/assets/icon.svg", alt="", width=24, height=24), "Stackscreen"],
                        href="/",
                        className="brand",
                    ),
                    html.Nav(id="nav", **aria(label="Pages")),
                    html.Div(
                        [html.Span("model", className="tag-model"), " predicted values are violet"], className="key"
                    ),
                ],
                className="header",
            ),
            html.Main(id="page", tabIndex=-1),
        ],
        forceColorScheme="light",
        theme={"fontFamily": FONT, "primaryColor": "blue", "defaultRadius": "sm"},
    )


def _navigation(path: str) -> list[html.A]:
    pages = (("/", "Candidates"), ("/models", "Models"), ("/data", "Data"))
    return [html.A(name, href=address, **(aria(current="page") if address == path else {})) for address, name in pages]
