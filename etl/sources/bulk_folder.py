"""Bulk phases from a folder, or a zip archive, of POSCAR and CIF files: one phase a file, named by its file."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from etl.errors import ImportFileError, RecordError
from etl.records import Atoms, RawFailure, Record
from etl.source import Raw, Row, Source, SourceInfo, register
from schema.vocabulary import Subject

_MAX_BYTES = 10 << 20
"""A POSCAR or CIF of one crystal is far smaller."""


@register("bulk")
class BulkFolder(Source):
    """A folder or .zip of POSCAR (VASP 5) and .cif files."""

    info = SourceInfo(
        key="bulk",
        database="Bulk crystals",
        release="own files",
        method="as stated in the files",
        licence="as stated with the files",
        citation="the origin of the files",
        precedence=50,
    )
    version = "1"

    def check(self, path: Path) -> int:
        """See `Source.check`."""
        if not path.exists():
            raise ImportFileError(f"There is no {path}.", hint="Give a folder or .zip of POSCAR or CIF files.")
        if path.is_file() and not zipfile.is_zipfile(path) and not _is_structure(path.name):
            raise ImportFileError(
                f"{path} is neither a folder, nor a .zip, nor a POSCAR or CIF file.",
                hint="Give a folder of POSCAR or CIF files.",
            )
        names = [name for name, _ in _files(path)]
        if not names:
            raise ImportFileError(
                f"{path} holds no POSCAR or CIF file.", hint="Name them *.cif, *.vasp, *.poscar, POSCAR* or *POSCAR."
            )
        return len(names)

    def cut(self, path: Path) -> Iterator[Raw | RawFailure]:
        """See `Source.cut`."""
        for name, content in _files(path):
            if content is None:
                yield RawFailure(name, "unparsable", f"{name} is too large for one crystal.", raw_text="(not kept)")
                continue
            yield Raw(name, {"file": name, "content": content.decode("utf-8", errors="replace")})

    def name(self, row: Row) -> str:
        """File name without ending."""
        return _stem(row.position)

    def record(self, row: Row) -> Record:
        """One crystal."""
        text = row.content["content"]
        name = row.content["file"]
        atoms = _from_cif(text) if name.lower().endswith(".cif") else _from_poscar(text)
        return Record(_stem(name), Subject.BULK, row.content, atoms)


def _is_structure(name: str) -> bool:
    lowered = name.lower()
    return not lowered.startswith(".") and (
        lowered.endswith((".cif", ".vasp", ".poscar", "poscar")) or lowered.startswith(("poscar", "contcar"))
    )


def _stem(name: str) -> str:
    for ending in ("-POSCAR", "_POSCAR", ".poscar", ".vasp", ".cif"):
        if name.lower().endswith(ending.lower()) and len(name) > len(ending):
            return name[: -len(ending)]
    return name


def _files(path: Path) -> Iterator[tuple[str, bytes | None]]:
    """Names and contents of the structure files, sorted by name; None for one that is too large."""
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.is_file() and _is_structure(p.name)):
            name = file.relative_to(path).as_posix()
            yield name, file.read_bytes() if file.stat().st_size <= _MAX_BYTES else None
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for entry in sorted(archive.infolist(), key=lambda e: e.filename):
                if not entry.is_dir() and _is_structure(Path(entry.filename).name):
                    yield entry.filename, archive.read(entry) if entry.file_size <= _MAX_BYTES else None
    else:
        yield path.name, path.read_bytes() if path.stat().st_size <= _MAX_BYTES else None


def _from_poscar(text: str) -> Atoms:
    from pymatgen.io.vasp import Poscar

    structure = Poscar.from_str(text).structure
    return Atoms(
        np.array([site.specie.Z for site in structure], np.int64),
        np.array(structure.cart_coords, float),
        np.array(structure.lattice.matrix, float),
    )


def _from_cif(text: str) -> Atoms:
    from pymatgen.io.cif import CifParser

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        structures = CifParser(io.StringIO(text)).parse_structures(primitive=False)
    structure = structures[0]
    if not structure.is_ordered:
        raise RecordError("mass_or_charge_nonsense", "A site of the structure is partly occupied or mixed.")
    return Atoms(
        np.array([site.specie.Z for site in structure], np.int64),
        np.array(structure.cart_coords, float),
        np.array(structure.lattice.matrix, float),
    )
