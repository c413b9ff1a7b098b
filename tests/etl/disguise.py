"""Disguises at random, for tests of what no disguise may change."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from benchmarks.disguise import BASES, Disguise, disguised, rotation

__all__ = ["Disguise", "disguised", "disguises", "rotation"]

disguises = st.builds(
    Disguise,
    vacuum=st.floats(12, 40),
    shift=st.tuples(*[st.floats(-1, 1)] * 3),
    angles=st.tuples(*[st.floats(0, 2 * np.pi)] * 3),
    base=st.integers(0, len(BASES) - 1),
    repeat=st.just((1, 1)),
    tilt=st.tuples(*[st.floats(-0.5, 0.5)] * 2),
    axis=st.integers(0, 2),
    seed=st.integers(0, 2**31),
    turned=st.booleans(),
    left_handed=st.booleans(),
)
