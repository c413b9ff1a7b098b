"""Spectra in the database: nonsense is refused, arrays are read in SQL and in numpy alike."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from sqlalchemy import Engine, Enum, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError

from schema import Base
from schema.spectra import pack, unpack

_DOS = {"n_spins": 1, "n_energies": 3, "energies": [0, 1, 2], "total": [[1, 2, 3]]}
_PROJECTION = {"element": "Mo", "orbital": "d", "n_spins": 1, "n_energies": 3, "density": [[1, 2, 3]]}
_BANDS = {"wave_vectors": [[0, 0, 0], [0.5, 0, 0]], "energies": [[[0, 1], [0, 1]]],
          "label_positions": [1, 2], "label_names": ["G", "M"]}  # fmt: skip
_PHONONS = {**_BANDS, "energies": [[0, 0, 0], [1, 2, 3]]}
_STIFFNESS = {"tensor": np.eye(3).tolist()}


def _literal(value: object) -> str:
    """A value as Postgres reads it in a parameter of text."""
    if isinstance(value, list):
        return "{" + ",".join(map(_literal, value)) + "}"
    return "NULL" if value is None else str(value)


def insert(engine: Engine, table: str, **values: object) -> int:
    """Insert one row with its levels of theory filled in; gives back its id."""
    also: dict[str, object] = {"method": "PBE"}
    if table in {"density_of_states", "band_structure"}:
        also |= {"spin_orbit": False, "reference": "calculation"}
    elif table == "phonon_spectrum":
        also |= {"interpolated": False}
    with engine.begin() as connection:
        if table == "dos_projection":
            also = {"density_of_states_id": connection.scalar(text("SELECT max(id) FROM density_of_states"))}
        else:
            also["source_record_id"] = connection.scalar(text("SELECT max(id) FROM source_record"))
        row = {**also, **values}
        columns, places = (
            ", ".join(row),
            ", ".join(f"CAST(CAST(:{name} AS text) AS {_type(table, name)})" for name in row),
        )
        bind = {name: None if value is None else _literal(value) for name, value in row.items()}
        return connection.scalar(text(f"INSERT INTO {table} ({columns}) VALUES ({places}) RETURNING id"), bind)


def _type(table: str, column: str) -> str:
    return Base.metadata.tables[table].c[column].type.compile(dialect=postgresql.dialect())


@pytest.fixture
def record(engine: Engine) -> Engine:
    """A database with one source record in it."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO source (key, database, release, method, licence, citation, precedence, reader) "
                "VALUES ('s', 's', '1', 'PBE', '', '', 1, 'c2db')"
            )
        )
        connection.execute(
            text(
                "INSERT INTO import_run (source_id, file_name, file_sha256, file_bytes, reader_version) "
                "SELECT id, 'f', '\\x00', 1, '1' FROM source"
            )
        )
        connection.execute(
            text(
                "INSERT INTO source_record "
                "(source_id, external_id, subject, payload, payload_hash, state, import_run_id) "
                "SELECT s.id, 'x', 'monolayer', '{}', '\\x00', 'accepted', i.id FROM source s, import_run i"
            )
        )
    return engine


@pytest.mark.services
@pytest.mark.parametrize(
    ("table", "good", "wrong"),
    [
        ("density_of_states", _DOS, {"energies": [0, 1]}),
        ("density_of_states", _DOS, {"energies": [2, 1, 0]}),
        ("density_of_states", _DOS, {"energies": [0, 1, "NaN"]}),
        ("density_of_states", _DOS, {"energies": [0, None, 2]}),
        ("density_of_states", _DOS, {"energies": []}),
        ("density_of_states", _DOS, {"total": [1, 2, 3]}),
        ("density_of_states", _DOS, {"total": [[1, 2, 3], [1, 2, 3]]}),
        ("density_of_states", _DOS, {"total": [[1, "Infinity", 3]]}),
        ("density_of_states", _DOS, {"n_spins": 3, "total": None}),
        ("density_of_states", _DOS, {"reference": "sea level"}),
        ("band_structure", _BANDS, {"energies": [[[0, 1]]]}),
        ("band_structure", _BANDS, {"energies": [[0, 1], [0, 1]]}),
        ("band_structure", _BANDS, {"energies": [[[0, 1], [0, "-Infinity"]]]}),
        ("band_structure", _BANDS, {"wave_vectors": [[0, 0], [0.5, 0]]}),
        ("band_structure", _BANDS, {"wave_vectors": []}),
        ("band_structure", _BANDS, {"label_names": ["G"]}),
        ("phonon_spectrum", _PHONONS, {"energies": [[0, 0], [1, 2]]}),
        ("phonon_spectrum", _PHONONS, {"energies": [[0, 0, 0]]}),
        ("stiffness_tensor", _STIFFNESS, {"tensor": [[1, 0], [0, 1]]}),
        ("stiffness_tensor", _STIFFNESS, {"tensor": [[1, 0, 0], [0, 1, 0], [0, 0, "NaN"]]}),
    ],
)
def test_a_spectrum_of_the_wrong_shape_or_not_finite_is_refused(
    record: Engine, table: str, good: dict[str, object], wrong: dict[str, object]
) -> None:
    with pytest.raises(IntegrityError):
        insert(record, table, **{**good, **wrong})
    insert(record, table, **good)
    with pytest.raises(IntegrityError):
        insert(record, table, **good)


@pytest.mark.services
@pytest.mark.parametrize(
    "wrong",
    [{"n_energies": 2, "density": [[1, 2]]}, {"n_spins": 2, "density": [[1, 2, 3], [1, 2, 3]]}, {"element": "mo"},
     {"orbital": "px"}, {"density": [[1, 2, "NaN"]]}],
)  # fmt: skip
def test_a_projection_has_the_shape_of_its_density_of_states(record: Engine, wrong: dict[str, object]) -> None:
    insert(record, "density_of_states", **_DOS)
    with pytest.raises(IntegrityError):
        insert(record, "dos_projection", **{**_PROJECTION, **wrong})
    insert(record, "dos_projection", **_PROJECTION)
    with pytest.raises(IntegrityError):
        insert(record, "dos_projection", **_PROJECTION)


@pytest.mark.services
def test_spectra_go_with_their_record(record: Engine) -> None:
    tables = {"density_of_states": _DOS, "dos_projection": _PROJECTION, "band_structure": _BANDS,
              "phonon_spectrum": _PHONONS, "stiffness_tensor": _STIFFNESS}  # fmt: skip
    for table, row in tables.items():
        insert(record, table, **row)
    with record.begin() as connection:
        connection.execute(text("DELETE FROM source_record"))
        for table in tables:
            assert connection.scalar(text(f"SELECT count(*) FROM {table}")) == 0


@pytest.mark.services
def test_an_array_is_the_same_in_sql_and_in_numpy(record: Engine) -> None:
    energies = np.arange(24, dtype=np.float32).reshape(1, 4, 6) / 7
    insert(record, "band_structure", wave_vectors=[[0, 0, 0]] * 4, energies=energies.tolist(),
           label_positions=[], label_names=[])  # fmt: skip
    with record.connect() as connection:
        sent = connection.scalar(text("SELECT array_send(energies) FROM band_structure"))
        one = connection.scalar(text("SELECT energies[1][3][5] FROM band_structure"))
        labels = connection.scalar(text("SELECT array_send(label_positions) FROM band_structure"))
    np.testing.assert_array_equal(unpack(sent), energies)
    assert unpack(sent).dtype == np.float32
    assert one == energies[0, 2, 4]
    assert bytes(sent) == pack(energies)
    assert bytes(labels) == pack(np.array([], np.int32))
    assert unpack(labels).shape == (0,)


@given(st.sampled_from([np.float32, np.float64, np.int16, np.int32, np.int64]).flatmap(
    lambda dtype: arrays(dtype, array_shapes(max_dims=4, max_side=5))))  # fmt: skip
def test_what_is_packed_is_unpacked(array: np.ndarray) -> None:
    back = unpack(pack(array))
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


def test_what_is_no_array_of_numbers_is_refused() -> None:
    good = pack(np.ones((2, 2), np.float32))
    for bad in (b"", good[:5], good[:-3], good[:8] + b"\0\0\0\x19" + good[12:], b"\0\0\0\x63" + good[4:]):
        with pytest.raises(ValueError):
            unpack(bad)


@pytest.mark.services
def test_every_word_of_the_vocabulary_is_allowed_where_it_belongs(engine: Engine) -> None:
    """A word added to an enumeration needs a migration: a CHECK's content is compared by nothing else."""
    with engine.connect() as connection:
        checks = dict(
            connection.execute(
                text("SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c'")
            ).all()
        )
    for table in Base.metadata.tables.values():
        for column in table.columns:
            if isinstance(column.type, Enum):
                allowed = set(re.findall(r"'([^']*)'::", checks[f"ck_{table.name}_{column.type.name}"]))
                assert allowed == set(column.type.enums), f"{table.name}.{column.name}"
