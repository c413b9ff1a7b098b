"""V2DB, the virtual 2D materials database: machine-learned predictions for layers that nobody has calculated.

A row names a material (its atoms in the order of the prototype's sites, `MoSS`), a prototype of C2DB's 2018 release
(`MoS2`), and predictions of networks trained on 2,226 layers of that release. There are **no coordinates and no lattice
constants**, so a row can be neither built nor matched by lattice, and no structure is made up for it: its predictions
join a layer of C2DB's 2018-2019 release of the same formula, prototype and magnetic state, by the name that release
gave it (`MoS2-MoS2-NM`), and otherwise wait under their own name.

The authors' networks for band edges were trained on semiconductors alone, those for work functions on metals alone
(`code/ML_training/prediction.py` of their repository), but every row carries all. What lies outside the training is
kept in the payload and not taken for a property.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ase.data import atomic_numbers
from ase.formula import Formula

from etl.errors import RecordError, UnknownKeysError
from etl.records import Doubt, Fact, RawFailure, Record
from etl.source import Raw, Row, Source, SourceInfo, register
from etl.sources.csv_rows import count_rows, header, rows
from etl.sources.values import number, word
from schema import quantities as q
from schema.vocabulary import Method, Subject

_NAMES = {
    "material": ("material", "formula", "name", "compound"),
    "prototype": ("prototype", "structuretype", "structuralprototype"),
    "gap": ("bandgap", "gap", "egap"),
    "metal": ("materialismetallic", "ismetallic", "ismetal", "metallic"),
    "hform": ("heatofformation", "formationenergy", "hform", "heatform"),
    "ehull": ("energyaboveconvexhull", "energyabovehull", "ehull"),
    "vbm": ("vbm",),
    "cbm": ("cbm",),
    "direct": ("materialhasdirectgap", "hasadirectbandgap", "hasdirectgap", "hasdirectbandgap", "directgap"),
    "magnetic": ("magneticstate", "magstate"),
    "work": ("workfunction", "wf"),
}
"""What each column may be called, without case, blanks, underscores and a unit in brackets."""
_PREDICTED = ("gap", "hform", "ehull", "vbm", "cbm", "work")
_SYMBOL = re.compile(r"([A-Z][a-z]?)(\d{0,2})")
_MAGNETIC_STATES = frozenset({"NM", "FM", "AFM"})
_YES = frozenset({"1", "1.0", "true", "yes"})


@register("v2db")
class V2DB(Source):
    """V2DB, .csv: predicted layers, without structures."""

    info = SourceInfo(
        key="v2db",
        database="V2DB",
        release="2020",
        method="neural networks trained on C2DB (PBE)",
        licence="as stated on Harvard Dataverse, doi:10.7910/DVN/SNCZF4",
        citation="Sorkun et al., npj Comput. Mater. 6, 106 (2020)",
        precedence=150,
    )
    version = "1"

    def check(self, path: Path) -> int:
        """See `Source.check`."""
        names = header(path, "V2DB's .csv file")
        found = _columns(names)
        missing = [role for role in ("material", "prototype") if role not in found]
        if missing or not set(found) & set(_PREDICTED):
            raise UnknownKeysError(
                f"{path} has no column for {' and '.join(missing) or 'any prediction'}; its columns: "
                f"{', '.join(names[:12])}.",
                hint="Give V2DB's table as .csv, with its columns Material, Prototype, Band_Gap ...",
            )
        return count_rows(path)

    def cut(self, path: Path) -> Iterator[Raw | RawFailure]:
        """See `Source.cut`."""
        return rows(path)

    def name(self, row: Row) -> str:
        """Material and prototype, or the line."""
        columns = _columns(row.content)
        material = word(row.content, columns.get("material", ""))
        prototype = word(row.content, columns.get("prototype", ""))
        return f"{material}-{prototype}" if material and prototype else row.position

    def record(self, row: Row) -> Record:
        """Predictions for one layer."""
        columns = _columns(row.content)
        named = {role: word(row.content, column) for role, column in columns.items()}
        material, prototype = named.get("material"), named.get("prototype")
        if material is None or prototype is None:
            raise RecordError("unknown_keys", f"{row.position} names no material or no prototype.")
        record = Record(f"{material}-{prototype}", Subject.MONOLAYER, row.content, None)
        values = {
            role: value for role in _PREDICTED if role in columns and named[role] is not None
            for value in (number(row.content, columns[role]),)
        }  # fmt: skip
        state = named.get("magnetic")
        if state is not None and state not in _MAGNETIC_STATES:
            detail = f"the magnetic state is {state!r}, and not one of {', '.join(sorted(_MAGNETIC_STATES))}."
            record.doubts.append(Doubt("unknown_label", q.MAGNETIC_STATE.key, detail))
            state = None
        record.names.append(f"{_formula(material)}-{prototype}" + (f"-{state}" if state else ""))
        gap = values.get("gap")
        metal = (named.get("metal") or "").lower() in _YES or gap == 0
        trained = {"gap": q.GAP, "hform": q.FORMATION_ENERGY, "ehull": q.HULL_ENERGY}
        if metal:
            trained["work"] = q.WORK_FUNCTION
        elif gap is not None:
            trained |= {"vbm": q.VBM, "cbm": q.CBM}
        for role, quantity in trained.items():
            value = values.get(role)
            if value is not None:
                record.facts.append(Fact(quantity, value, Method.ML_PREDICTED))
        if gap is not None and not metal and (named.get("direct") or "").lower() in _YES:
            record.facts.append(Fact(q.GAP_DIRECT, gap, Method.ML_PREDICTED))
        if state is not None:
            record.facts.append(Fact(q.MAGNETIC_STATE, state, Method.ML_PREDICTED))
        return record


def _columns(names: list[str] | dict[str, str]) -> dict[str, str]:
    """Role of each column that has one; the first that fits wins."""
    found: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[^a-z0-9]", "", re.sub(r"[(\[].*?[)\]]", "", name.lower()))
        role = next((role for role, accepted in _NAMES.items() if plain in accepted), None)
        if role is not None:
            found.setdefault(role, name)
    return found


def _formula(material: str) -> str:
    """Formula of the cell in Hill order, as the names of C2DB's 2018 release begin.

    Raises:
        RecordError: the text is no list of elements.
    """
    parts = _SYMBOL.findall(material)
    if not parts or "".join(symbol + count for symbol, count in parts) != material:
        raise RecordError("unparsable", f"{material!r} is no formula.")
    unknown = next((symbol for symbol, _ in parts if not atomic_numbers.get(symbol)), None)
    if unknown is not None:
        raise RecordError("mass_or_charge_nonsense", f"{unknown!r} is no element.")
    counts: Counter[str] = Counter()
    for symbol, count in parts:
        counts[symbol] += int(count or 1)
    return str(Formula.from_dict(counts).format("hill"))
