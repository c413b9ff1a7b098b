"""Taking typed values out of a record whose types cannot be trusted."""

from __future__ import annotations

import math
from typing import Any


def number(keys: dict[str, Any], name: str) -> float | None:
    """The number under `name`, None where absent or null; NaN for what is no number, so that validation flags it."""
    value = keys.get(name)
    if value is None:
        return None
    if isinstance(value, (bool, dict, list)):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def word(keys: dict[str, Any], *names: str) -> str | None:
    """The first non-empty text under one of `names`."""
    for name in names:
        value = keys.get(name)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return None
