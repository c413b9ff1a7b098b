"""One pair: its stack in 3D, its bands, and every number with its origin."""

from __future__ import annotations

from typing import Any

from dash import dcc, html
from sqlalchemy import Connection, Engine

from dashboard.components.band_diagram import band_figure
from dashboard.components.notices import error_notice, starter_banner
from dashboard.components.structure_view import structure_figure
from dashboard.components.tables import candidate_table, citations, fact_table, interval, table
from dashboard.components.why import why
from dashboard.components.words import ALIGNMENT_NAMES, KIND_NAMES, column, number, pair_path, side_name, signed
from schema.errors import StackscreenError
from schema.vocabulary import EdgeMethod, StackSide
from stackscreen.query.candidates import Run, published_run
from stackscreen.query.detail import KnownInterface, Pair, Side, pair
from stackscreen.query.explain import Explained, UnknownLayerError, explain_pair
from stackscreen.query.reading import reading
from stackscreen.query.stacks import stack_of
from stackscreen.structure_files import misfit_words
from stackscreen.structures import Stack

_GRAPH: Any = {"displaylogo": False, "displayModeBar": False}


def layout(engine: Engine, bottom_uid: str, top_uid: str) -> Any:
    """The page of one candidate.

    Raises:
        StackscreenError: nothing is published, or the run holds no such candidate.
    """
    with reading(engine) as connection:
        run = published_run(connection)
        found = pair(connection, run, bottom_uid, top_uid)
        stack: Stack | StackscreenError
        try:
            stack = stack_of(connection, run, found.row)
        except StackscreenError as error:
            stack = error
        explained = _explained(connection, run, found)
    edges = run.edges
    facts = [*found.bottom.facts, *found.top.facts, *(fact for one in found.known for fact in one.facts)]
    return html.Div(
        [
            starter_banner() if any(fact.starter for fact in facts) else None,
            _title(found),
            html.Div([_structure(stack), html.Div([_headline(found), _bands(found, edges)])], className="pair-top"),
            _section("Predicted, and what geometry and physics say", candidate_table(found.row, found.models, edges)),
            _section("Why these numbers", why(explained)) if explained else None,
            _section("The two sides", html.Div([_side(found.bottom, "Bottom"), _side(found.top, "Top")],
                                               className="two-sides")),
            _known(found.known),
            _similar(found),
            _section("Cite", citations(facts)) if facts else None,
        ],
        className="page pair-page",
    )  # fmt: skip


def _explained(connection: Connection, run: Run, found: Pair) -> list[Explained]:
    """Explanations of the predictions; none for a layer on a surface, or where the layers have no features."""
    if found.bottom.is_surface or found.top.is_surface:
        return []
    try:
        return explain_pair(connection, found.bottom.uid, found.top.uid, run_id=run.id)
    except UnknownLayerError:
        return []


def _section(title: str, *content: Any) -> html.Section:
    return html.Section([html.H2(title), *content], className="card")


def _title(found: Pair) -> html.Div:
    bottom, top = found.bottom, found.top
    path = f"/api{pair_path(bottom.uid, top.uid)}"
    alignment = found.row["alignment"] or "unknown"
    downloads = [
        html.A(name, href=f"{path}.{ending}", id=f"download-{ending}", className="button", download="")
        for name, ending in (
            ("CIF", "cif"),
            ("POSCAR", "poscar"),
            ("extXYZ", "extxyz"),
            ("CSV", "csv"),
            ("JSON", "json"),
        )
    ]
    return html.Div(
        [
            html.Div(
                [
                    html.A("← Candidates", href="/", className="back"),
                    html.H1(f"{side_name(bottom.formula, bottom.uid)} / {side_name(top.formula, top.uid)}"),
                    html.Div(
                        [
                            html.Span(ALIGNMENT_NAMES[alignment], className=f"badge badge-{alignment}"),
                            html.Span(KIND_NAMES[found.row["kind"]], className="badge badge-kind"),
                            html.Code(bottom.uid),
                            " below ",
                            html.Code(top.uid),
                        ],
                        className="subtitle",
                    ),
                ]
            ),
            html.Div([html.Span("Download", className="muted"), *downloads], className="downloads"),
        ],
        className="pair-title",
    )


def _structure(stack: Stack | StackscreenError) -> html.Section:
    if isinstance(stack, StackscreenError):
        return html.Section([html.H2("Stacked supercell"), error_notice(stack)], className="card")
    lattice = stack.structure.lattice
    cell = stack.cell
    large, small = (100 * strain for strain in cell.strains)
    turned = " The upper layer is turned over." if cell.flips[1] else ""
    return html.Section(
        [
            html.H2("Stacked supercell"),
            dcc.Graph(id="structure", figure=structure_figure(stack.structure), config=_GRAPH, className="structure"),
            html.P(
                [
                    html.B("Generated, not relaxed. "),
                    f"{len(stack.structure)} atoms, a = {lattice.a:.2f} Å, b = {lattice.b:.2f} Å, "
                    f"γ = {lattice.gamma:.1f}°; twist {cell.twist:.2f}°; principal misfit {signed(large)} and "
                    f"{signed(small)} %, {misfit_words(cell)}; interlayer distance {stack.gap.distance:.2f} Å "
                    f"({stack.gap.origin}). Registry not optimised.{turned}",
                ],
                className="picture-note",
            ),
        ],
        className="card",
    )


def _headline(found: Pair) -> html.Section:
    row = found.row
    figures = [
        html.Div(
            [
                html.Div(label, className="figure-label"),
                html.Div([column(key, row[key]), html.Span(f" {unit}", className="unit")], className="figure is-model"),
                html.Div(interval(key, row) or "no model served", className="muted"),
            ]
        )
        for key, label, unit in (
            ("gap", "Gap", "eV"),
            ("binding_energy", "Binding energy", "meV/Å²"),
            ("distance", "Interlayer distance", "Å"),
        )
    ]
    outside = row["domain_distance"] is not None and row["domain_distance"] > 1
    return html.Section(
        [
            html.H2(["Predicted ", html.Span("model or baseline, 90 % interval", className="tag-model")]),
            html.Div(figures, className="figures"),
            html.P(
                "Outside the models' applicability domain: no training material resembles these layers.",
                className="warning",
            )
            if outside
            else None,
        ],
        className="card",
    )


def _bands(found: Pair, edges: EdgeMethod) -> html.Section:
    row = found.row
    figure = band_figure(found.bottom, found.top)
    alignment = ALIGNMENT_NAMES[row["alignment"] or "unknown"]
    if figure is None:
        return _section("Band alignment", html.P("The band edges of neither side are known.", className="muted"))
    said = [
        f"Isolated layers' {edges} edges of the facing faces, vacuum levels aligned (Anderson's rule). Charge transfer "
        "and hybridisation are left out" + ("; PBE gaps are too small." if edges is EdgeMethod.PBE else ".")
    ]
    if row["electron_donor"] is not None:
        giver = found.bottom if row["electron_donor"] == StackSide.BOTTOM else found.top
        said.append(
            f"By the work functions, electrons would leave {side_name(giver.formula, giver.uid)}; between two "
            "semiconductors that is the sense of the interface's dipole at most."
        )
    if row["alignments"] is not None:
        as_is, bottom, top, both = row["alignments"].split(" ")
        said.append(
            f"The faces differ: as they lie type {as_is}; with the lower layer turned over {bottom}, the upper {top}, "
            f"both {both}."
        )
    return html.Section(
        [
            html.H2(["Band alignment ", html.Span(alignment, className="muted")]),
            dcc.Graph(id="bands", figure=figure, config=_GRAPH, className="bands"),
            html.P(" ".join(said), className="picture-note"),
        ],
        className="card",
    )


def _side(side: Side, title: str) -> html.Div:
    a, b, gamma = side.lattice
    about = [f"a = {a:.3f} Å, b = {b:.3f} Å, γ = {gamma:.1f}°"]
    if side.thickness is not None:
        about.append(f"thickness {side.thickness:.2f} Å")
    if side.layer_group is not None:
        about.append(f"layer group {side.layer_group}")
    if side.polar:
        about.append("polar: its faces differ")
    return html.Div(
        [
            html.H3(f"{title}: {side_name(side.formula, side.uid)}"),
            html.P([html.Code(side.uid), " · ", "; ".join(about)], className="muted"),
            fact_table(side.facts) if side.facts else html.P("No record gives a property.", className="muted"),
        ]
    )


def _known(known: list[KnownInterface]) -> html.Section:
    title = "Computed interfaces of these two materials"
    if not known:
        return _section(
            title, html.P("None is known: nothing here has been checked by a calculation.", className="muted")
        )
    rows = []
    for one in known:
        stacking = f"twist {one.twist:.1f}°" if one.twist is not None else ""
        stacking += ", upper layer turned over" if one.flip else ""
        values = ", ".join(f"{fact.symbol} = {number(fact.value)} {fact.unit} ({fact.method})" for fact in one.facts)
        source = f"{one.facts[0].source} · {one.facts[0].external_id}" if one.facts else ""
        surface = f"({one.surface})" if one.surface else ""
        rows.append(
            [KIND_NAMES[one.kind], f"{one.bottom_name}{surface} / {one.top_name}", stacking.strip(", "), values, source]
        )
    return _section(
        title, table(["Kind", "Bottom / top, as the source names them", "Stacking", "Values", "Source"], rows)
    )


def _similar(found: Pair) -> html.Section | None:
    if not any(found.similar.values()):
        return None
    rows = [
        [html.Code(of), html.Code(uid), side_name(formula, uid), f"{distance:.3f}"]
        for of, neighbours in found.similar.items()
        for uid, formula, distance in neighbours
    ]
    return _section(
        "Similar layers, as the encoder sees them",
        table(["Of", "Layer", "Formula", "Distance (dimensionless)"], rows, numeric=(3,)),
    )
