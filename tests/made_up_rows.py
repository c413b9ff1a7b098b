"""Labelled interfaces that nobody computed, for tests of splits, evaluation and intervals."""

from __future__ import annotations

import numpy as np

from ml.rows import InterfaceRows

TARGET = "binding_energy"


def made_up_rows(
    n_materials: int = 40,
    n_rows: int = 600,
    *,
    domain: str = "heterobilayer",
    seed: int = 0,
    noise: float = 0.3,
    material_effect: float = 1.0,
) -> InterfaceRows:
    """Rows whose target is a physics estimate, plus something of either layer, plus noise.

    Features: `physics`, the two layers' mean of four numbers, and a registry that only moves the target.
    """
    rng = np.random.default_rng(seed)
    a = rng.integers(0, n_materials, n_rows)
    b = a if domain == "homobilayer" else rng.integers(0, n_materials, n_rows)
    if domain == "2d-on-bulk":
        b = rng.integers(0, 5, n_rows)
    material = rng.normal(size=(n_materials, 4))
    mean = 0.5 * (material[a] + material[b])
    registry = rng.normal(size=n_rows)
    physics = 15 + 3 * mean[:, 0] + 0.2 * rng.normal(size=n_rows)
    target = physics + material_effect * (np.sin(2 * mean[:, 1]) + mean[:, 2]) + 0.5 * registry
    target += noise * rng.normal(size=n_rows)
    ids = [f"made-up:{k:05d}" for k in range(n_rows)]
    prefix = "S" if domain == "2d-on-bulk" else "M"
    return InterfaceRows(
        domain,
        "made-up",
        ids,
        [f"{prefix}{k}" + ("(111)" if prefix == "S" else "") for k in a],
        [f"M{k}" for k in b],
        [f"family-{k % 7}" for k in a],
        [f"family-{k % 7}" for k in b],
        np.column_stack([physics, mean, registry]).astype(np.float32),
        ("physics", "mean_0", "mean_1", "mean_2", "mean_3", "registry"),
        {TARGET: target},
    )
