"""Build the starter set's containers from the literature tables: `python -m etl.starter.build [FOLDER]`."""

import argparse
from pathlib import Path

from etl.starter import RELEASE, StarterFiles, paths
from etl.starter.containers import write_ase_db, write_json_lines, write_json_object
from etl.starter.records import bidb_pairs, c2db_pairs, hetero2d_record, poscar, twodmatpedia_records
from etl.starter.stacks import bilayer
from etl.starter.tables import bilayers, interfaces, metals, monolayers

NOTICE = {
    "title": "Stackscreen starter set",
    "release": RELEASE,
    "description": "Approximate, rounded literature values for trying out Stackscreen. Not for publication.",
}


def build(folder: Path | None = None) -> StarterFiles:
    """Write the four containers and the metals' POSCAR files, replacing what is there.

    Args:
        folder: where to write; the package's own `data` folder if not given.

    Returns:
        The paths written. The same tables give the same contents.
    """
    files = paths(folder)
    files.metals.mkdir(parents=True, exist_ok=True)
    layers = {layer.uid: layer for layer in monolayers()}
    structures = {uid: layer.atoms() for uid, layer in layers.items()}
    stacks = bilayers()
    stacked = [(stack, bilayer(structures[stack.monolayer_uid], stack)) for stack in stacks]
    by_symbol = {metal.symbol: metal for metal in metals()}

    write_ase_db(
        files.c2db,
        ((uid, structures[uid], c2db_pairs(layer, structures[uid])) for uid, layer in layers.items()),
        NOTICE,
    )
    write_ase_db(
        files.bidb,
        ((stack.uid, atoms, bidb_pairs(stack, layers[stack.monolayer_uid], atoms)) for stack, atoms in stacked),
        NOTICE,
    )
    write_json_lines(files.twodmatpedia, twodmatpedia_records(layers, stacks))
    write_json_object(
        files.hetero2d,
        {each.id: hetero2d_record(each, layers[each.film_uid], by_symbol[each.substrate]) for each in interfaces()},
    )
    for metal in by_symbol.values():
        (files.metals / f"{metal.symbol}_{metal.structure}.POSCAR").write_text(poscar(metal), encoding="utf-8")
    return files


def main() -> None:
    """Build from the command line and say what was written."""
    parser = argparse.ArgumentParser(description="Build the starter set from its literature tables.")
    parser.add_argument("folder", nargs="?", type=Path, help="where to write (default: the package's data folder)")
    files = build(parser.parse_args().folder)
    print(f"Starter set written to {files.c2db.parent}")


if __name__ == "__main__":
    main()
