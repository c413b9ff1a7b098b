"""Bulk phases from a folder, or a zip archive, of POSCAR and CIF files: one phase a file, named by its file."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from etl.errors import ImportFileError, RecordError
from etl.records import RawFailure, Record
from etl.source import Raw, Row, Source, SourceInfo, register
from etl.sources.structure_text import atoms_from_text, format_of, stem, structure_files
from schema.vocabulary import Subject

_FORMATS = ("poscar", "cif")


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
        if path.is_file() and not zipfile.is_zipfile(path) and format_of(path.name) not in _FORMATS:
            raise ImportFileError(
                f"{path} is neither a folder, nor a .zip, nor a POSCAR or CIF file.",
                hint="Give a folder of POSCAR or CIF files.",
            )
        count = sum(1 for _ in structure_files(path, _FORMATS))
        if not count:
            raise ImportFileError(
                f"{path} holds no POSCAR or CIF file.", hint="Name them *.cif, *.vasp, *.poscar, POSCAR* or *POSCAR."
            )
        return count

    def cut(self, path: Path) -> Iterator[Raw | RawFailure]:
        """See `Source.cut`."""
        for name, content in structure_files(path, _FORMATS):
            if content is None:
                yield RawFailure(name, "unparsable", f"{name} is too large for one crystal.", raw_text="(not kept)")
                continue
            yield Raw(name, {"file": name, "content": content.decode("utf-8", errors="replace")})

    def name(self, row: Row) -> str:
        """File name without ending."""
        return stem(row.position)

    def record(self, row: Row) -> Record:
        """One crystal."""
        text = row.content["content"]
        name = row.content["file"]
        form = format_of(Path(name).name)
        if form is None:
            raise RecordError("unparsable", f"{name} is neither a POSCAR nor a CIF file.")
        return Record(stem(name), Subject.BULK, row.content, atoms_from_text(text, form))
