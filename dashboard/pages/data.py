"""Where the data and the models stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dash import html
from sqlalchemy import Engine

from dashboard.components.notices import notice, starter_banner
from dashboard.components.tables import metric_rows, table
from dashboard.components.words import number
from schema.quantities import QUANTITIES
from stackscreen.query.overview import Overview, holds_starter_data, overview
from stackscreen.query.reading import reading


def layout(engine: Engine) -> html.Div:
    """The page.

    Raises:
        StackscreenError: the database does not answer.
    """
    with reading(engine) as connection:
        found = overview(connection)
        starter = holds_starter_data(connection)
    return html.Div(
        [
            starter_banner() if starter else None,
            html.H1("Data"),
            html.Div([_count(name, value) for name, value in found.counts.items()], className="counts"),
            _models(found),
            _runs(found),
            _section("Sources", _sources(found)),
            _section("Last imports", _imports(found)),
            _section("Quarantine by rule", _quarantine(found)),
            _section("Doubted values", _flags(found)) if found.flags else None,
        ],
        className="page",
    )


def _count(name: str, value: int) -> html.Div:
    return html.Div([html.Div(f"{value:,}", className="figure"), html.Div(name, className="muted")], className="card")


def _section(title: str, *content: Any) -> html.Section:
    return html.Section([html.H2(title), *content], className="card")


def _time(value: datetime | None) -> str:
    return value.strftime("%Y-%m-%d %H:%M %Z") if value is not None else ""


def _cells(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> list[list[Any]]:
    return [
        [
            _time(row[key]) if isinstance(row[key], datetime) else number(row[key]) if row[key] is not None else ""
            for key in keys
        ]
        for row in rows
    ]


_MODEL_HEAD = ("Target", "Model", "", "Split", "Method", "MAE", "Unit", "R²", "90 % interval: of rows", "of materials")


def _models(found: Overview) -> html.Section:
    if not found.models:
        return notice("No models yet", "Predictions come from trained models.", ("stackscreen train",))
    strict = [row for model in found.models for row in _metrics(model, strict=True)]
    others = [row for model in found.models for row in _metrics(model, strict=False)]
    numeric = (5, 7, 8, 9)
    more = html.Details(
        [html.Summary("Easier and harder splits, and other models"), table(_MODEL_HEAD, others, numeric=numeric)]
    )
    title = "Models beside their baselines, on materials that they had not seen"
    return _section(title, table(_MODEL_HEAD, strict, numeric=numeric), more if others else None)


def _metrics(model: Mapping[str, Any], *, strict: bool) -> list[list[Any]]:
    """Rows of one model: those of the split it was judged by if it is served, or all others."""
    unit = QUANTITIES[model["target"]].unit if model["target"] in QUANTITIES else ""
    entries = list(metric_rows(model["metrics"]))
    judged = [entry for entry in entries if model["served"] and entry[0] and entry[0] in model["split"]]
    chosen = judged if strict else [entry for entry in entries if entry not in judged]
    rows = []
    for place, (split, method, errors) in enumerate(sorted(chosen, key=lambda entry: (entry[0], _error(entry[2])))):
        first = place == 0
        state = "served" if model["served"] else "not served"
        rows.append(
            [
                model["target"].replace("_", " ") if first else "",
                f"{model['name']} ({model['family']}), {model['domain']}" if first else "",
                html.Span(state, className="badge badge-kind") if first else "",
                html.Span(split or model["split"], className="nowrap"),
                html.Span(method.replace("_", " "), className="is-model" if method.startswith("model") else ""),
                number(errors["mae"]) if "mae" in errors else f"{100 * errors['accuracy']:.1f} % right",
                html.Span(unit, className="nowrap"),
                number(errors.get("r2"), 2),
                *(
                    f"{100 * errors[key]:.0f} %" if errors.get(key) is not None else ""
                    for key in ("coverage", "coverage_by_material")
                ),
            ]
        )
    return rows


def _error(errors: Mapping[str, Any]) -> float:
    """What is to be small: the mean absolute error, or of classes the share named wrongly."""
    return float(errors["mae"] if "mae" in errors else 1.0 - errors["accuracy"])


def _runs(found: Overview) -> html.Section:
    if not found.runs:
        return notice("No screening run yet", "A run matches and scores every pair.", ("stackscreen screen",))
    keys = (
        "id", "state", "n_monolayers", "n_surfaces", "n_pairs", "n_matched", "n_candidates", "max_strain", "max_area",
        "max_atoms", "published_at", "error",
    )  # fmt: skip
    head = [
        "Run", "State", "Layers", "Surfaces", "Pairs", "Matched", "Candidates", "Max. misfit (1)", "Max. area (Å²)",
        "Max. atoms", "Published", "Error",
    ]  # fmt: skip
    return _section("Screening runs", table(head, _cells(found.runs, keys), numeric=range(2, 10)))


def _sources(found: Overview) -> html.Div:
    keys = ("key", "database", "release", "method", "licence", "citation", "records")
    return table(
        ["Source", "Database", "Release", "Method", "Licence", "Citation", "Records"],
        _cells(found.sources, keys),
        numeric=(6,),
    )


def _imports(found: Overview) -> html.Div:
    keys = (
        "source", "file_name", "state", "finished_at", "n_read", "n_accepted", "n_flagged", "n_quarantined",
        "n_unchanged", "error",
    )  # fmt: skip
    head = [
        "Source", "File", "State", "Finished", "Read", "Accepted", "Flagged", "Quarantined", "Unchanged", "Error",
    ]  # fmt: skip
    return table(head, _cells(found.imports, keys), numeric=range(4, 9))


def _quarantine(found: Overview) -> Any:
    if not found.quarantine:
        return html.P("Nothing is quarantined.", className="muted")
    return table(
        ["Source", "Rule", "Records", "Example"],
        _cells(found.quarantine, ("source", "rule", "records", "example")),
        numeric=(2,),
    )


def _flags(found: Overview) -> html.Div:
    return table(
        ["Rule", "Property", "Values", "Example"],
        _cells(found.flags, ("rule", "property", "values", "example")),
        numeric=(2,),
    )
