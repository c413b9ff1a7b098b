"""Raw payloads as the database keeps them: canonical JSON, hashed; what JSON or Postgres cannot hold is spelt out."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import numpy as np
import orjson

_INT_RANGE = 2**63
_NUL = "\x00"


def _plain(value: Any) -> Any:  # noqa: PLR0911 - one return a kind of value
    """The same value with non-finite floats, huge integers, NUL and lone surrogates made representable."""
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": str(value)}
    if isinstance(value, str):
        if _NUL in value:
            value = value.replace(_NUL, "\\u0000")
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if -_INT_RANGE <= value < _INT_RANGE else {"$int": str(value)}
    if isinstance(value, dict):
        return {str(_plain(str(key))): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "iu" or (value.dtype.kind == "f" and np.isfinite(value).all()):
            return value.tolist()
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    return str(value)


def canonical_json(payload: dict[str, Any]) -> bytes:
    """UTF-8 JSON with sorted keys: equal payloads give equal bytes, whatever order they were read in."""
    return orjson.dumps(_plain(payload), option=orjson.OPT_SORT_KEYS)


def as_read(kept: Any) -> Any:
    """A kept payload with its non-finite and huge numbers as they were read; the inverse of `canonical_json`."""
    if isinstance(kept, dict):
        if len(kept) == 1:
            ((key, value),) = kept.items()
            if key == "$float" and isinstance(value, str):
                return float(value)
            if key == "$int" and isinstance(value, str):
                return int(value)
        return {key: as_read(value) for key, value in kept.items()}
    if isinstance(kept, list):
        return [as_read(value) for value in kept]
    return kept


def digest(content: bytes) -> bytes:
    """SHA-256, 32 bytes."""
    return hashlib.sha256(content).digest()


def clean_text(text: str) -> str:
    """Text that Postgres can hold: NUL and lone surrogates spelt out."""
    cleaned: str = _plain(text)
    return cleaned


def load_json(text: str | bytes) -> Any:
    """Parse JSON as databases write it, NaN and Infinity included.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is nested beyond reason.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)
