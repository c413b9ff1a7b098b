"""The declarative base: one naming convention, one way to write an enumeration, one way to write a digest."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import Enum, LargeBinary, MetaData
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeEngine

# Every constraint has a predictable name, so that a migration can address it and an error message can be read.
NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Base of every table of Stackscreen."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


def enum_column(enumeration: type[StrEnum], name: str) -> TypeEngine[Any]:
    """A text column restricted to the values of `enumeration`.

    Text with a CHECK, not a native Postgres enum: a value is then added in one transaction and read by any client.

    Args:
        enumeration: the closed list of values.
        name: name of the CHECK constraint, unique within the table.
    """
    return Enum(
        enumeration,
        name=name,
        native_enum=False,
        create_constraint=True,
        length=32,
        values_callable=lambda members: [member.value for member in members],
    )


Digest = LargeBinary(32)
"""A SHA-256 digest, 32 bytes."""
