"""Tables of facts, each with its unit and its origin."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dash import html

from dashboard.components.words import column, number
from stackscreen.query.detail import Fact, Model, answering
from stackscreen.query.fields import FIELDS

TARGETS = {"gap": "gap", "binding_energy": "binding_energy", "distance": "interlayer_distance"}
"""Column of a candidate -> key of the property that the model predicts."""
_ANDERSON = "Anderson's rule on the facing faces; no charge transfer, no hybridisation"
_TURNED = "as above, over the orientations of layers whose faces differ"
_SCHOTTKY = "Schottky-Mott limit of a metal on a semiconductor; no pinning, no interface dipole; negative is ohmic"
_SOLAR = "type II: Scharber et al., Adv. Mater. 18, 789 (2006), AM1.5G, every photon absorbed; as good as the gaps are"
_LATTICE = "exact coincidence lattice; the whole misfit of both sides"
_SHARE = "by stiffness where that of both layers is known, else half; all on the film of a crystal"
_PHYSICS = {
    "gap_anderson": _ANDERSON, "gap_anderson_low": _TURNED, "gap_anderson_high": _TURNED,
    "valence_offset": _ANDERSON, "conduction_offset": _ANDERSON,
    "work_function_difference": "difference of the facing faces' work functions",
    "vacuum_step": "dipoles of the isolated layers, facing vacuum levels equal; without the dipole of the contact",
    "schottky_electron": _SCHOTTKY, "schottky_hole": _SCHOTTKY, "solar_efficiency": _SOLAR,
    "distance_vdw": "sum of van der Waals radii, Alvarez, Dalton Trans. 42, 8617 (2013)",
    "dispersion_energy": "C6 pair potential of free atoms, not calibrated",
    "strain": _LATTICE, "strain_bottom": _SHARE, "strain_top": _SHARE, "strain_von_mises": _LATTICE, "area": _LATTICE,
    "n_atoms": _LATTICE,
    "hull_energy": "larger of the two layers' energies above hull, from their records",
    "domain_distance": "distance of the layers to the models' training materials; above 1 is outside",
    "score": "ranking score of the run",
}  # fmt: skip
_BY_FUNCTIONAL = frozenset({
    "gap_anderson", "gap_anderson_low", "gap_anderson_high", "valence_offset", "conduction_offset",
    "work_function_difference", "vacuum_step", "schottky_electron", "schottky_hole", "solar_efficiency",
})  # fmt: skip
"""Columns whose value depends on the functional of the run's edges."""


def table(
    head: Sequence[Any], rows: Iterable[Sequence[Any]], *, numeric: Sequence[int] = (), caption: str = ""
) -> html.Div:
    """A plain table; columns in `numeric` are right-aligned."""
    align = {k: "numeric" if k in numeric else "" for k in range(len(head))}
    body = [html.Tr([html.Td(cell, className=align[k]) for k, cell in enumerate(row)]) for row in rows]
    return html.Div(
        html.Table(
            [
                html.Caption(caption) if caption else None,
                html.Thead(html.Tr([html.Th(cell, scope="col", className=align[k]) for k, cell in enumerate(head)])),
                html.Tbody(body),
            ],
            className="facts",
        ),
        className="table-scroll",
    )


def interval(key: str, row: Mapping[str, Any]) -> str:
    """The 90 % interval of a predicted column, or nothing."""
    lower, upper = row[f"{key}_lower"], row[f"{key}_upper"]
    return "" if lower is None or upper is None else f"{column(key, lower)} to {column(key, upper)}"


def candidate_table(row: Mapping[str, Any], models: Sequence[Model], edges: str) -> html.Div:
    """Every number of a candidate: predicted ones first, then what geometry and physics give.

    Args:
        row: the candidate.
        models: those that the run used.
        edges: functional of the run's band edges.
    """
    by_target = answering(models, row["kind"])
    rows = [_predicted_row(key, row, by_target.get(target)) for key, target in TARGETS.items()]
    rows += [
        [
            _name(key),
            column(key, row[key], 100 if FIELDS[key].per_cent else 1),
            FIELDS[key].shown_unit,
            "",
            html.Span(f"{edges}: {origin}" if key in _BY_FUNCTIONAL else origin, className="origin"),
        ]
        for key, origin in _PHYSICS.items()
    ]
    return table(["Quantity", "Value", "Unit", "90 % interval", "Origin"], rows, numeric=(1, 3))


def _name(key: str) -> html.Span:
    return html.Span(FIELDS[key].label, title=FIELDS[key].meaning)


def _predicted_row(key: str, row: Mapping[str, Any], model: Model | None) -> list[Any]:
    value = row[key]
    if value is None:
        why = "not predicted: no model is served for this kind of pair"
        return [_name(key), "—", FIELDS[key].unit, "", html.Span(why, className="origin")]
    origin = _origin(row["kind"], model)
    return [
        _name(key),
        html.Span(column(key, value), className="is-model"),
        FIELDS[key].unit,
        interval(key, row),
        html.Div(origin),
    ]


def _origin(kind: str, model: Model | None) -> list[Any]:
    physics = model.physics if model is not None else None
    if model is None:
        return [html.Span("model", className="tag-model"), " of the run"]
    if physics is not None:
        why = f"{model.name} does not beat it on this kind of pair, so it is not served there"
        return [html.Span("baseline", className="tag-baseline"), f" {physics}", html.Div(why, className="origin")]
    domain = "" if kind == model.domain else f", trained on {model.domain}s"
    parts = [html.Span("model", className="tag-model"), f" {model.name} ({model.family}{domain})"]
    error = headline(model)
    return [*parts, html.Div(error, className="origin")] if error else parts


def metric_rows(metrics: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Split, method and errors of every entry of a model's metrics, whatever their nesting."""
    if "mae" in metrics or "accuracy" in metrics:
        yield (path[0] if len(path) > 1 else "", " · ".join(path[1:] or path), metrics)
        return
    for name, below in metrics.items():
        if isinstance(below, Mapping):
            yield from metric_rows(below, (*path, name))


def headline(model: Model) -> str:
    """The error on materials that the model had not seen, beside that of the baseline it had to beat; "" if unknown.

    Where a model was judged in several ways, the worst counts. The baseline is the one that the card names, which knows
    no more than the model does, or the best one.
    """
    unit = next((FIELDS[key].unit for key, target in TARGETS.items() if target == model.target), "")
    strict = [
        (method, errors) for split, method, errors in metric_rows(model.metrics) if split and split in model.split
    ]
    ours = [entry for entry in strict if entry[0].startswith("model")]
    others = [entry for entry in strict if not entry[0].startswith("model")]
    if "baseline" in model.family:
        ours, others = others, []
    if not ours:
        return ""
    method, errors = (min if "baseline" in model.family else max)(ours, key=_mae)
    text = f"MAE {number(errors['mae'])} {unit} on unseen materials ({method})"
    if others:
        physics = [entry for entry in others if entry[0] == f"{model.card.get('physics')}, calibrated"]
        name, best = min(physics or others, key=_mae)
        text += f"; baseline, {name.replace('_', ' ')}: {number(best['mae'])} {unit}"
    return text


def _mae(entry: tuple[str, Mapping[str, Any]]) -> float:
    return float(entry[1]["mae"])


def fact_table(facts: Sequence[Fact], caption: str = "") -> html.Div:
    """Facts with method and source; where sources disagree, all are shown, the preferred one first."""
    rows = [
        [
            html.Span(
                [fact.symbol, html.Span(f" {fact.key.replace('_', ' ')}", className="muted")], title=fact.meaning
            ),
            number(fact.value) if isinstance(fact.value, str) else f"{fact.value:.4g}",
            fact.unit if fact.unit != "1" else "",
            fact.face or "",
            fact.method,
            html.Span(
                [fact.source, html.Span(f" · {fact.external_id}", className="muted"), _approximate(fact)],
                title=fact.citation,
            ),
        ]
        for fact in facts
    ]
    return table(
        ["Property", "Value", "Unit", "Face", "Method", "Source · record"], rows, numeric=(1,), caption=caption
    )


def _approximate(fact: Fact) -> html.Span | None:
    return html.Span("approximate", className="tag-starter") if fact.starter else None


def citations(facts: Iterable[Fact]) -> html.Ul:
    """What to cite for the facts shown."""
    unique = sorted({(fact.source, fact.citation) for fact in facts})
    return html.Ul([html.Li([html.B(f"{source}: "), citation]) for source, citation in unique], className="citations")
