"""The list of candidates or pairs: rows come from the server as they are scrolled to."""

from __future__ import annotations

from typing import Any, Final

import dash_ag_grid as dag

from dashboard.address import Subject, View, sorted_by
from dashboard.components.words import DIGITS
from stackscreen.query.candidates import Order
from stackscreen.query.fields import FIELDS

GRID: Final = "candidates"
MODELLED: Final = frozenset({"gap", "binding_energy", "distance"})
"""Columns that a model predicts: they carry an interval, and look different."""
_SHOWN: Final = (
    "score", "gap", "binding_energy", "distance", "strain", "n_atoms", "gap_anderson", "valence_offset",
    "conduction_offset", "area", "strain_von_mises", "hull_energy", "domain_distance",
)  # fmt: skip
_WIDTHS: Final = {
    "gap": 138,
    "binding_energy": 142,
    "distance": 140,
    "score": 96,
    "n_atoms": 92,
    "conduction_offset": 118,
    "work_function_difference": 136,
}


_OF_PAIRS: Final = (
    "score", "strain", "n_atoms", "gap_anderson", "valence_offset", "conduction_offset", "work_function_difference",
    "area", "n", "m", "hull_energy",
)  # fmt: skip
_GEOMETRIC: Final = {
    "headerName": "Geometric score",
    "width": 136,
    "headerTooltip": "small misfit and few atoms, 0 to 1; the ranking score is known of candidates only",
}


def list_grid(view: View, page_size: int) -> dag.AgGrid:
    """The list of one view."""
    order, of_pairs = view.order, view.subject is Subject.PAIRS
    numbers = [_number_column(key, order) for key in (_OF_PAIRS if of_pairs else _SHOWN)]
    if of_pairs:
        numbers[0] |= _GEOMETRIC
    columns: list[dict[str, Any]] = [
        {
            "headerName": "Pair (bottom / top)", "field": "pair", "cellRenderer": "PairLink", "sortable": False,
            "pinned": "left", "width": 214,
        },
        {
            "headerName": "Alignment", "field": "alignment", "cellRenderer": "AlignmentBadge", "width": 108,
            "headerTooltip": FIELDS["alignment"].meaning, **_sorted("alignment", order),
        },
        *numbers,
        {"headerName": "Kind", "field": "kind", "width": 118, **_sorted("kind", order)},
    ]  # fmt: skip
    for column in columns[1:]:
        column["sortable"] = column["field"] in sorted_by(view.subject)
    return dag.AgGrid(
        id=GRID,
        columnDefs=columns,
        defaultColDef={
            "resizable": True, "sortable": True, "sortingOrder": ["desc", "asc"], "wrapHeaderText": True,
            "autoHeaderHeight": True, "suppressHeaderMenuButton": True, "suppressMovable": False,
        },
        rowModelType="infinite",
        dashGridOptions={
            "cacheBlockSize": page_size, "maxBlocksInCache": 20, "infiniteInitialRowCount": 1, "rowHeight": 30,
            "suppressMultiSort": True, "blockLoadDebounceMillis": 50, "enableCellTextSelection": True,
            "theme": {"function": "stackscreenTheme(theme)"},
            "localeText": {"noRowsToShow": f"No {'pair' if of_pairs else 'candidate'} passes this filter."},
        },
        className="candidate-grid",
        style={"height": "100%", "width": "100%"},
    )  # fmt: skip


def _sorted(key: str, order: Order) -> dict[str, str]:
    return {"sort": "desc" if order.descending else "asc"} if order.field == key else {}


def _number_column(key: str, order: Order) -> dict[str, Any]:
    field = FIELDS[key]
    factor = 100 if field.per_cent else 1
    modelled = key in MODELLED
    look = " is-model" if modelled else ""
    origin = " (model, or the baseline that it did not beat, with 90 % interval)" if modelled else ""
    column = {
        "headerName": field.header,
        "field": key,
        "headerTooltip": f"{field.meaning}{origin}",
        "width": _WIDTHS.get(key, 102),
        "cellClass": f"ag-right-aligned-cell{look}",
        "headerClass": f"ag-right-aligned-header{look}",
        **_sorted(key, order),
    }
    if modelled:
        return column | {"cellRenderer": "Interval", "cellRendererParams": {"digits": DIGITS[key]}}
    return column | {"valueFormatter": {"function": f"stackscreenNumber(params.value, {DIGITS[key]}, {factor})"}}
