"""The starter set: well-known layers and metals in the four databases' own containers, for trying things out.

The numbers are rounded literature values, not a data set to publish from; see README.md in this folder.
"""

from dataclasses import dataclass
from pathlib import Path

RELEASE = "starter"
"""The release under which an import of these files is recorded."""


@dataclass(frozen=True)
class StarterFiles:
    """Where the built containers lie, one for each importer."""

    c2db: Path
    bidb: Path
    twodmatpedia: Path
    hetero2d: Path
    metals: Path
    """Folder of POSCAR files, one a metal."""
    metal_work_functions: Path
    """CSV with the metals' work functions in eV, by face: a POSCAR cannot carry them."""


def paths(folder: Path | None = None) -> StarterFiles:
    """Locate the starter containers.

    Args:
        folder: where they were built; the committed set of this package if not given.

    Returns:
        The six paths. Nothing is opened or checked.
    """
    here = Path(__file__).resolve().parent
    data = folder if folder is not None else here / "data"
    return StarterFiles(
        c2db=data / "c2db.db",
        bidb=data / "bidb.db",
        twodmatpedia=data / "2dmatpedia.json",
        hetero2d=data / "hetero2d.json",
        metals=data / "metals",
        metal_work_functions=here / "metals.csv",
    )
