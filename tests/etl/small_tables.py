"""Small tables: V2DB's, and a group's own with the map of its columns."""

from __future__ import annotations

from pathlib import Path

from ase.io import write
from small_files import dichalcogenide

V2DB_HEADER = (
    "Material,Prototype,Band_Gap,Material_is_metallic,Heat_of_formation,VBM,Energy_above_convex_hull,CBM,"
    "Material_has_direct_gap,Magnetic_state,Material_is_magnetic,Work_function"
)
MOS2 = "MoSS,MoS2,1.61,0,-0.91,-5.9,0.01,-4.29,1,NM,0,4.8"
NBS2 = "NbSS,MoS2,0.0,1,-1.1,-5.0,0.0,-5.0,0,FM,1,6.0"


def v2db_file(folder: Path) -> Path:
    """A semiconductor and a metal."""
    path = folder / "v2db.csv"
    path.write_text("\n".join((V2DB_HEADER, MOS2, NBS2)) + "\n")
    return path


OWN_MAP = """
name = "our-dft"
database = "Layers of a group"
licence = "CC BY 4.0"
citation = "none"
method = "PBE"
subject = "monolayer"
id = "label"
[structure]
column = "file"
[columns]
gap = { column = "E_g", unit = "meV" }
"""


def own_table(folder: Path) -> Path:
    """A folder with a table, `own.csv`, and the structure file that it names; gives the table's path."""
    write(folder / "layer.xyz", dichalcogenide(), format="extxyz")
    path = folder / "own.csv"
    path.write_text("label,file,E_g\nours-1,layer.xyz,1600\nours-2,layer.xyz,1601\n")
    return path
