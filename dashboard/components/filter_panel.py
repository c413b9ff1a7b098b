"""The filter as a panel of controls, and the way between controls and criteria."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import dash_mantine_components as dmc
from dash import html

from dashboard.address import Subject, View, filtered_by
from dashboard.components.words import ALIGNMENT_NAMES, DONOR_NAMES, KIND_NAMES, aria
from stackscreen.query.criteria import Criteria, condition
from stackscreen.query.fields import FIELDS, FieldKind

CONTROL: Final = "filter"
"""The `type` of the controls' ids; `key` is that of the condition, e.g. gap.min."""
MOST_USED: Final = ("gap", "binding_energy", "strain", "n_atoms", "gap_width", "binding_energy_width")
MAX_SUGGESTIONS: Final = 2000
_TYPING_MS = 400
_CANDIDATES_ONLY: Final = "Known of candidates only, not of every pair"


def control_id(key: str) -> dict[str, str]:
    """Id of the control of one condition."""
    return {"type": CONTROL, "key": key}


def control_values(criteria: Criteria, keys: Sequence[str]) -> list[Any]:
    """What the controls of `keys` show for some criteria."""
    given = {one.key: one for one in criteria.conditions}
    shown: list[Any] = []
    for key in keys:
        field = FIELDS[key.rpartition(".")[0]]
        one = given.get(key)
        if field.kind is FieldKind.NUMBER:
            number = None if one is None else float(one.value)  # type: ignore[arg-type]
            shown.append("" if number is None else _tidy(number * 100) if field.per_cent else _tidy(number))
        elif field.kind is FieldKind.TEXT:
            shown.append("" if one is None else one.value)
        else:
            shown.append([] if one is None else list(one.value))  # type: ignore[arg-type]
    return shown


def criteria_of(values: Mapping[str, Any]) -> Criteria:
    """The criteria that controls show.

    Raises:
        CriteriaError: a value that its field cannot have.
    """
    conditions = []
    for key, value in values.items():
        if value in (None, "", []):
            continue
        name, _, operator = key.rpartition(".")
        per_cent = FIELDS[name].per_cent and isinstance(value, int | float)
        conditions.append(condition(name, operator, _tidy(value / 100) if per_cent else value))
    return Criteria.of(conditions)


def _tidy(number: float) -> float | int:
    """Without the residue that going through per cent leaves."""
    tidy = float(f"{number:.12g}")
    return int(tidy) if tidy.is_integer() else tidy


def filter_panel(view: View, formulas: Sequence[str], elements: Sequence[str]) -> html.Aside:
    """The panel, showing the criteria of a view; what its subject does not know is disabled, and says so.

    Args:
        view: what to show.
        formulas: known formulas, offered while typing where they are not too many.
        elements: element symbols that occur.
    """
    criteria, known = view.criteria, filtered_by(view.subject)
    offered = list(formulas) if len(formulas) <= MAX_SUGGESTIONS else []
    value = {key: control_values(criteria, [key])[0] for key in all_keys()}
    others = [key for key, field in FIELDS.items() if field.kind is FieldKind.NUMBER and key not in MOST_USED]
    first, title, open_others = (
        list(MOST_USED),
        "More quantities",
        any(one.field in others for one in criteria.conditions),
    )
    if view.subject is Subject.PAIRS:
        # What can be used stands first; beneath it is seen what cannot.
        numbers = [*MOST_USED, *others]
        first, others = [key for key in numbers if key in known], [key for key in numbers if key not in known]
        title, open_others = "Known of candidates only", True
    return html.Aside(
        [
            html.Div(
                [
                    html.H2("Filter"),
                    dmc.Button("Clear all", id="clear-filter", variant="subtle", size="compact-xs", color="gray"),
                ],
                className="panel-title",
            ),
            html.Div(id="filter-error", role="alert"),
            dmc.TextInput(
                id=control_id("text.has"), value=value["text.has"], label="Search", placeholder="MoS2 WSe2, Au(111) …",
                debounce=_TYPING_MS, size="xs",
            ),
            _tags("layers.either", value, "Either layer is one of", "formula or uid, Enter", offered),
            _tags("layers.both", value, "Both layers are among", "formula or uid, Enter", offered),
            _elements("elements.all", value, "With elements", elements),
            _elements("elements.none", value, "Without elements", elements),
            _choice("alignment.in", value, "Band alignment (Anderson)", {
                key: {"metal": "Metal"}.get(key, key) for key in ALIGNMENT_NAMES if key != "unknown"
            }),
            _choice(
                "electron_donor.in", value, "Electrons come from", DONOR_NAMES, disabled="electron_donor" not in known
            ),
            _choice("kind.in", value, "Kind", KIND_NAMES),
            *(_range(key, value) for key in first),
            dmc.Accordion(
                dmc.AccordionItem(
                    [
                        dmc.AccordionControl(title),
                        dmc.AccordionPanel([_range(key, value, disabled=key not in known) for key in others]),
                    ],
                    value="more",
                ),
                value="more" if open_others else None, className="more", chevronPosition="left",
            ),
        ],
        className="filter-panel",
        **aria(label=f"Filter of the {view.subject}"),
    )  # fmt: skip


def all_keys() -> list[str]:
    """Keys of all controls, in the order of the panel."""
    keys = [
        "text.has", "layers.either", "layers.both", "elements.all", "elements.none", "alignment.in",
        "electron_donor.in", "kind.in",
    ]  # fmt: skip
    numbers = [key for key, field in FIELDS.items() if field.kind is FieldKind.NUMBER]
    return keys + [f"{key}.{end}" for key in numbers for end in ("min", "max")]


def _tags(key: str, value: Mapping[str, Any], label: str, placeholder: str, offered: list[str]) -> dmc.TagsInput:
    return dmc.TagsInput(
        id=control_id(key), value=value[key], label=label, placeholder="" if value[key] else placeholder, data=offered,
        limit=30, size="xs", clearable=True, acceptValueOnBlur=True,
    )  # fmt: skip


def _elements(key: str, value: Mapping[str, Any], label: str, elements: Sequence[str]) -> dmc.MultiSelect:
    return dmc.MultiSelect(
        id=control_id(key), value=value[key], label=label, data=sorted({*elements, *value[key]}), searchable=True,
        clearable=True, size="xs", hidePickedOptions=True, nothingFoundMessage="No layer has it",
    )  # fmt: skip


def _choice(
    key: str, value: Mapping[str, Any], label: str, choices: Mapping[str, str], *, disabled: bool = False
) -> dmc.InputWrapper:
    return dmc.InputWrapper(
        dmc.ChipGroup(
            [
                dmc.Chip(text, value=word, size="xs", radius="sm", variant="light", disabled=disabled)
                for word, text in choices.items()
            ],
            id=control_id(key), value=value[key], multiple=True,
        ),
        label=label, size="xs", className="choice", description=_CANDIDATES_ONLY if disabled else None,
    )  # fmt: skip


def _range(key: str, value: Mapping[str, Any], *, disabled: bool = False) -> html.Div:
    field = FIELDS[key]
    ends = [
        dmc.NumberInput(
            id=control_id(f"{key}.{end}"), value=value[f"{key}.{end}"], placeholder=end, hideControls=True, size="xs",
            debounce=_TYPING_MS, disabled=disabled, **aria(label=f"{field.header}, {word}"),
        )
        for end, word in (("min", "minimum"), ("max", "maximum"))
    ]  # fmt: skip
    unit = html.Span(field.shown_unit, className="unit") if field.shown_unit else None
    return html.Div(
        [html.Div([field.label, unit], className="range-label", title=field.meaning), *ends],
        className="range",
        title=_CANDIDATES_ONLY if disabled else None,
    )
