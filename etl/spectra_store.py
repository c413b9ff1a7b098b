"""Writing spectra: typed arrays of 32-bit floats, one row a spectrum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from etl.spectra import Spectrum


def copy_spectra(cursor: psycopg.Cursor[Any], spectra: Sequence[tuple[int, Sequence[Spectrum]]]) -> None:
    """Append the spectra of new records, within the caller's transaction.

    Args:
        cursor: of the transaction that writes the records.
        spectra: id of each record, and its spectra.
    """
