"""Writes docs/data-model.md from the models: `python docs/make_data_model.py`."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Table

from schema import Base

PAGE = Path(__file__).with_name("data-model.md")
FAMILIES = {
    "Provenance": ("source", "import_run", "source_record", "record_name", "record_flag", "record_release"),
    "Structures and materials": (
        "structure", "material", "monolayer", "bulk_phase", "surface", "material_member", "dedupe_ruling",
    ),
    "Interfaces and properties": ("interface", "stacking", "interface_member", "property", "property_value"),
    "Spectra": ("density_of_states", "dos_projection", "band_structure", "phonon_spectrum", "stiffness_tensor"),
    "Features and models": (
        "feature_set", "feature_vector", "embedding", "model_version", "model_evaluation", "model_metric",
        "model_curve",
    ),
    "Screening": (
        "screening_run", "screening_run_model", "screening_member", "pair_block", "pair_tile", "pair_tile_level",
        "candidate",
        "saved_screen", "screen_result", "screen_change",
    ),
}  # fmt: skip


def _type(table: Table, column: str) -> str:
    name = str(table.c[column].type).split("(")[0].lower().replace(" ", "_")
    return name.replace("[]", "_array") or "text"


def _diagram(tables: tuple[str, ...]) -> list[str]:
    metadata = Base.metadata.tables
    lines = ["```mermaid", "erDiagram"]
    for name in tables:
        table = metadata[name]
        for target in sorted({key.column.table.name for key in table.foreign_keys}):
            lines.append(f"    {target} ||--o{{ {name} : has")
        lines.append(f"    {name} {{")
        for column in table.columns:
            key = " PK" if column.primary_key else " FK" if column.foreign_keys else ""
            lines.append(f"        {_type(table, column.name)} {column.name}{key}")
        lines.append("    }")
    return [*lines, "```", ""]


def _columns(name: str) -> list[str]:
    table = Base.metadata.tables[name]
    lines = [f"### `{name}`", "", f"{table.comment}.", "", "| column | meaning, unit |", "|---|---|"]
    lines += [f"| `{column.name}` | {(column.comment or '').replace('|', '/')} |" for column in table.columns]
    return [*lines, ""]


def render() -> str:
    """The page, from the models as they are."""
    lines = [
        "# The data model", "",
        "Made from the models by `python docs/make_data_model.py`. Analysts read the views of `analyst`: sql.md.", "",
    ]  # fmt: skip
    for family, tables in FAMILIES.items():
        lines += [f"## {family}", "", *_diagram(tables)]
        for name in tables:
            lines += _columns(name)
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(render())
