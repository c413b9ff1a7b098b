"""The `data` of an ASE row: results with numpy arrays in them, decoded without ASE, pickle or evaluation.

ASE writes them in two ways. In a database: eight bytes with the offset of a JSON text (little-endian), the arrays one
after the other, then the JSON text, in which an array is `{"__ndarray__": [shape, dtype, offset]}`. In a JSON file, and
in databases before version 9: the JSON text alone, in which an array is `{"__ndarray__": [shape, dtype, numbers]}`.
An object (a path through the Brillouin zone, a cell) is a dictionary with its kind under `__ase_objtype__`, and stays
one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from etl.payload import load_json

_DTYPES = {"float32": "<f4", "float64": "<f8", "int32": "<i4", "int64": "<i8"}
"""Kinds of numbers that a spectrum may hold, as ASE names them, little-endian."""
_MAX_DIMENSIONS = 6


class AseData:
    """The results that came with one row, by file name.

    Args:
        attachment: the bytes of the `data` column, or JSON text. Arrays are views of these bytes: nothing is
            allocated that a file only announces.

    Raises:
        ValueError: it is neither.
    """

    def __init__(self, attachment: bytes) -> None:
        self._bytes = memoryview(attachment)
        offset = int.from_bytes(attachment[:8], "little")
        binary = 8 <= offset < len(attachment) and attachment[offset : offset + 1] == b"{"
        try:
            self._results = load_json(attachment[offset:] if binary else attachment)
        except RecursionError as error:
            raise ValueError("it is nested beyond reason") from error
        if not isinstance(self._results, dict):
            raise ValueError("it holds no named results")

    def result(self, name: str) -> dict[str, Any] | None:
        """One result, with whatever class ASR wrapped around it taken off; None where there is none.

        Raises:
            ValueError: it is not a dictionary.
        """
        found = self._results.get(name)
        if found is None:
            return None
        if isinstance(found, str):
            # A result file kept as text.
            found = load_json(found)
        if isinstance(found, dict) and isinstance(found.get("kwargs"), dict):
            found = found["kwargs"].get("data")
        if not isinstance(found, dict):
            raise ValueError(f"{name} is not a dictionary")
        return found

    def array(self, node: Any, *shape: int | None) -> NDArray[np.floating[Any]]:
        """A numeric array of a result.

        Args:
            node: what stands in its place: a described array, or nested lists.
            shape: its length along each dimension, None for any.

        Returns:
            float32 where the source kept that, else float64.

        Raises:
            ValueError: it is no array of numbers of that shape, or lies outside the bytes.
        """
        array = self._described(*node["__ndarray__"]) if isinstance(node, dict) else np.array(node, float)
        fits = array.ndim == len(shape) and all(
            want is None or want == have for want, have in zip(shape, array.shape, strict=True)
        )
        if not fits:
            wanted = " × ".join("any" if length is None else str(length) for length in shape)
            raise ValueError(f"an array of {' × '.join(map(str, array.shape))} numbers stands where {wanted} belong")
        return array if array.dtype.kind == "f" else array.astype(float)

    def _described(self, shape: Any, dtype: Any, content: Any) -> NDArray[Any]:
        if dtype not in _DTYPES:
            raise ValueError(f"an array holds {dtype!r}, and not numbers")
        kind = np.dtype(_DTYPES[dtype])
        whole = isinstance(shape, list) and all(
            isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in shape
        )
        if not whole or len(shape) > _MAX_DIMENSIONS:
            raise ValueError("an array has no proper shape")
        # Python's integers: the product cannot overflow.
        count = math.prod(shape)
        if isinstance(content, list):
            return np.array(content, kind).reshape(shape)
        if not isinstance(content, int) or not 0 <= content <= len(self._bytes) - count * kind.itemsize:
            raise ValueError("an array lies outside the data")
        return np.frombuffer(self._bytes, kind, count, offset=content).reshape(shape)
