"""Structures in the text files that people exchange: POSCAR (VASP 5), CIF and extended XYZ."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from etl.errors import RecordError
from etl.records import Atoms

MAX_BYTES = 10 << 20
"""A file of one structure is far smaller."""
FORMATS = ("poscar", "cif", "extxyz")
"""Formats that `atoms_from_text` reads."""
_ENDINGS = {
    ".cif": "cif",
    ".vasp": "poscar",
    ".poscar": "poscar",
    "poscar": "poscar",
    ".xyz": "extxyz",
    ".extxyz": "extxyz",
}


def format_of(name: str) -> str | None:
    """Format of a structure file by its name; None for any other file."""
    lowered = name.lower()
    if lowered.startswith("."):
        return None
    if lowered.startswith(("poscar", "contcar")):
        return "poscar"
    return next((form for ending, form in _ENDINGS.items() if lowered.endswith(ending)), None)


def stem(name: str) -> str:
    """File name without the ending that tells its format."""
    for ending in ("-POSCAR", "_POSCAR", ".poscar", ".vasp", ".cif", ".extxyz", ".xyz"):
        if name.lower().endswith(ending.lower()) and len(name) > len(ending):
            return name[: -len(ending)]
    return name


def structure_files(path: Path, formats: tuple[str, ...] = FORMATS) -> Iterator[tuple[str, bytes | None]]:
    """Names and contents of the structure files of a folder or zip archive, or of the one file, sorted by name.

    The content is None for a file that is too large for one structure. Links that lead out of the folder are passed
    over.
    """
    if path.is_dir():
        root = path.resolve()
        for file in sorted(p for p in path.rglob("*") if p.is_file() and format_of(p.name) in formats):
            if file.resolve().is_relative_to(root):
                yield file.relative_to(path).as_posix(), _content(file)
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for entry in sorted(archive.infolist(), key=lambda e: e.filename):
                if not entry.is_dir() and format_of(Path(entry.filename).name) in formats:
                    yield entry.filename, archive.read(entry) if entry.file_size <= MAX_BYTES else None
    else:
        yield path.name, _content(path)


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.stat().st_size <= MAX_BYTES else None


def atoms_from_text(text: str, form: str) -> Atoms:
    """Atoms of one structure.

    Args:
        form: one of `FORMATS`.

    Raises:
        RecordError: a site is shared by several elements.
        ValueError: the text is not of that format (as the parsers of pymatgen and ASE raise it, among others).
    """
    return _READERS[form](text)


def _from_poscar(text: str) -> Atoms:
    from pymatgen.io.vasp import Poscar

    return _from_pymatgen(Poscar.from_str(text).structure)


def _from_cif(text: str) -> Atoms:
    from pymatgen.io.cif import CifParser

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        structures = CifParser(io.StringIO(text)).parse_structures(primitive=False)
    return _from_pymatgen(structures[0])


def _from_pymatgen(structure: Any) -> Atoms:
    if not structure.is_ordered:
        raise RecordError("mass_or_charge_nonsense", "A site of the structure is partly occupied or mixed.")
    return Atoms(
        np.array([site.specie.Z for site in structure], np.int64),
        np.array(structure.cart_coords, float),
        np.array(structure.lattice.matrix, float),
    )


def _from_extxyz(text: str) -> Atoms:
    return frame_from_extxyz(text)[0]


def frame_from_extxyz(text: str) -> tuple[Atoms, dict[str, Any]]:
    """Atoms of one frame of extended XYZ, and what its comment line says beside the cell.

    Raises:
        ValueError: it is no such frame, or has no cell.
    """
    from ase.io.extxyz import read_xyz

    frame = next(read_xyz(io.StringIO(text), index=0))
    if not frame.cell.any():
        raise ValueError("the frame has no Lattice")
    periodic = [bool(flag) for flag in frame.pbc]
    atoms = Atoms(
        frame.numbers.astype(np.int64),
        np.array(frame.positions, float),
        np.array(frame.cell.array, float),
        (periodic[0], periodic[1], periodic[2]),
    )
    info = {str(key): value for key, value in frame.info.items()}
    if frame.calc is not None:
        # ASE moves energies and the like of the comment line into a calculator.
        info.update({str(k): v for k, v in frame.calc.results.items() if np.ndim(v) == 0})
    return atoms, info


_READERS = {"poscar": _from_poscar, "cif": _from_cif, "extxyz": _from_extxyz}
