"""The models: a card each, with the error beside the baseline's on materials that it had not seen, and the plots."""

from __future__ import annotations

from typing import Any

from dash import dcc, html
from sqlalchemy import Engine

from dashboard.components.model_plots import calibration_figure, kinds_figure, learning_figure, parity_figure
from dashboard.components.notices import notice
from dashboard.components.tables import table
from dashboard.components.words import KIND_NAMES, number
from ml.class_calibration import rival
from ml.report import Figure, Report
from schema.vocabulary import PartKind
from stackscreen.query.models import ModelPage, model_page, served_models
from stackscreen.query.reading import reading

_GRAPH: Any = {"displaylogo": False, "displayModeBar": False}
_HEAD = ("Method", "Rows", "Error", "± drawn again", "R²", "90 % interval: of rows", "of materials", "Mean half-width")

_PROBABILITIES = (
    "Split", "Answered by", "Beside", "Rows", "Brier score", "of that beside it", "Log loss", "of that beside it",
    "90 % sets hold the class", "Classes in a set",
)  # fmt: skip


def index(engine: Engine) -> html.Div:
    """A card of every served model."""
    with reading(engine) as connection:
        found = served_models(connection)
    if not found:
        empty = notice("No models yet", "Predictions come from trained models.", ("stackscreen models register",))
        return html.Div(empty, className="page")
    return html.Div(
        [
            html.Div(
                [
                    html.H1("Models"),
                    html.P(
                        "What predicts each number, and how far to trust it: the error on materials that no training "
                        "row held, beside the best calibrated baseline. A model that does not beat it is not served.",
                        className="muted",
                    ),
                ]
            ),
            html.Div([_card(model) for model in found], className="model-cards"),
            html.P(html.A("The same as JSON", href="/api/models.json"), className="muted"),
        ],
        className="page",
    )


def detail(engine: Engine, version: int) -> html.Div:
    """Everything about one version.

    Raises:
        StackscreenError: there is none.
    """
    with reading(engine) as connection:
        model = model_page(connection, version)
    report = model.strict
    return html.Div(
        [
            html.Div(
                [
                    html.A("← Models", href="/models", className="back"),
                    html.H1(f"{model.target.replace('_', ' ')}, {KIND_NAMES[model.domain].lower()}s"),
                    html.Div(
                        [
                            html.Span("served" if model.served else "not served", className="badge badge-kind"),
                            f"{model.name} ({model.family}), version {model.version}",
                            html.Code(f"SHA-256 {model.artefact_sha256[:12]}"),
                            html.A("JSON", href=f"/api/models/{model.version}.json"),
                        ],
                        className="subtitle",
                    ),
                ]
            ),
            _headline(model),
            *([] if report is None else _plots(report, model)),
            *(_split(one, model) for one in model.reports),
            _probabilities(model),
            _about(model),
        ],
        className="page",
    )


def _card(model: ModelPage) -> html.A:
    return html.A(
        [
            html.H2(f"{model.target.replace('_', ' ')} · {KIND_NAMES[model.domain].lower()}"),
            *_figures(model),
            html.Div(f"{model.name} ({model.family})", className="muted"),
        ],
        href=f"/models/{model.version}",
        className="card model-card",
    )


def _figures(model: ModelPage) -> list[Any]:
    report = model.strict
    if report is None:
        return [html.P("No evaluation is kept of it: run stackscreen evaluate.", className="muted")]
    ours = report.judged
    parts: list[Any] = [
        html.Div(
            [
                html.Span(_error(ours, model.unit), className="figure is-model"),
                html.Span(f" on {ours.n:,} interfaces", className="muted"),
            ]
        )
    ]
    if report.baselines:
        best = report.best_baseline
        parts.append(
            html.Div(f"baseline, {best.method.replace('_', ' ')}: {_error(best, model.unit)}", className="muted")
        )
    covers = ""
    if ours.coverage_by_material is not None:
        covers = (
            f"; 90 % intervals cover {_share(ours.coverage)} of rows, {_share(ours.coverage_by_material)} of materials"
        )
    if ours.mae is None and ours.coverage is not None:
        covers = f"; 90 % sets hold the class of {_share(ours.coverage)}"
    return [*parts, html.Div(f"{report.split}{covers}", className="muted")]


def _headline(model: ModelPage) -> html.Section:
    return html.Section([html.P(model.meaning, className="muted"), *_figures(model)], className="card")


def _plots(report: Report, model: ModelPage) -> list[Any]:
    named = report.judged.mae is None
    figures = (
        (
            "parity",
            "Named against calculated" if named else "Predicted against calculated",
            parity_figure(report, model.symbol, model.unit),
        ),
        ("learning", "Error against training materials", learning_figure(report, model.unit)),
        (
            "calibration",
            "What probabilities are worth" if named else "What intervals cover",
            calibration_figure(report),
        ),
        ("kinds", "By family and by block of elements", kinds_figure(report, model.unit)),
    )
    drawn = [
        html.Section(
            [html.H2(title), dcc.Graph(id=f"model-{name}", figure=figure, config=_GRAPH, className="model-plot")],
            className="card",
        )
        for name, title, figure in figures
        if figure is not None
    ]
    return [html.Div(drawn, className="model-plots")] if drawn else []


def _split(report: Report, model: ModelPage) -> html.Section:
    whole = sorted((f for f in report.figures if f.part_kind == PartKind.ALL), key=lambda one: -one.error)
    rows = [
        [
            html.Span(one.method.replace("_", " "), className="is-model" if one.method == report.method else ""),
            f"{one.n:,}",
            _error(one, model.unit),
            "" if one.spread is None else number(one.spread, 2),
            "" if one.r2 is None else number(one.r2, 2),
            _share(one.coverage),
            _share(one.coverage_by_material),
            "" if one.width is None else f"{number(one.width, 3)} {model.unit}",
        ]
        for one in whole
    ]
    judged = " (decides what is served)" if report.strict else ""
    return html.Section(
        [
            html.H2([report.split, html.Span(f"{judged} · {report.folds}", className="muted")]),
            table(_HEAD, rows, numeric=range(1, 8)),
        ],
        className="card",
    )


def _probabilities(model: ModelPage) -> html.Section | None:
    """What the probabilities of a class are worth, split by split, beside the best other ones."""
    answers = model.about.get("answers")
    if not answers:
        return None
    rows = []
    for split, one in answers.items():
        other = rival(one["probabilities"], one["method"])
        ours, theirs = one["probabilities"][one["method"]], one["probabilities"][other]
        rows.append(
            [
                split,
                one["method"].replace("_", " "),
                other.replace("_", " "),
                f"{ours['n']:,}",
                *(number(scores[key]) for key in ("brier", "log_loss") for scores in (ours, theirs)),
                _share(ours["coverage"]),
                number(ours["set_size"]),
            ]
        )
    small = "Brier score (0 to 2) and log loss: small is good. Calibrated without the rows that they are judged on."
    return html.Section(
        [html.H2("Probabilities"), html.P(small, className="muted"), table(_PROBABILITIES, rows, numeric=range(3, 10))],
        className="card",
    )


def _about(model: ModelPage) -> html.Section:
    data = model.about.get("data", {})
    lines = [
        model.about.get("what_it_does"),
        f"Learned from {data['rows']:,} rows of {data['materials']:,} materials: {data['source']}." if data else None,
        f"Cleaned by {data['cleaning_rule']}." if data.get("cleaning_rule") else None,
        f"Rows SHA-256 {model.data_sha256}.",
    ]
    card = html.P(["The whole card: ", html.Code(f"stackscreen models show {model.version}")])
    return html.Section([html.H2("About"), *(html.P(line) for line in lines if line), card], className="card")


def _error(one: Figure, unit: str) -> str:
    if one.mae is not None:
        return f"{number(one.mae)} {unit}"
    return "—" if one.accuracy is None else f"{_share(one.accuracy)} right"


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"
