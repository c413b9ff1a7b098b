"""What a model's card says of how it came to be, beside the figures of its evaluations."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from ml import judging, pair_features, splits
from ml.artefact import PairModel, sha256
from ml.cleaning import rule_of
from ml.models import tree_settings
from ml.models.stack import FittedStack, Stack
from ml.models.tree_ensemble import Trees
from ml.rows import InterfaceRows
from schema.quantities import QUANTITIES

if TYPE_CHECKING:
    from ml.training import Made, Task


def card_of(task: Task, model: PairModel, made: list[Made], names: tuple[str, ...]) -> dict[str, Any]:
    """The card of a model.

    Args:
        task: what was to be trained.
        model: what came of it.
        made: its states, with the registry known and without.
        names: of the layers that it learned from.
    """
    quantity = QUANTITIES[task.target]
    best = made[-1].judged.reports[0].best_baseline.method
    state = model.unknown
    return {
        "target": task.target,
        "symbol": quantity.symbol,
        "unit": quantity.unit,
        "meaning": quantity.meaning,
        "domain": model.domain_name,
        "family": model.family,
        "digest": sha256(model.to_bytes()).hex(),
        "beats_calibrated_physics": bool(state.ensemble.members),
        "physics": best.partition(", ")[0],
        "calibration": state.ensemble.baseline.as_json(),
        "states": {
            key: _state_card(task.target, rows, one)
            for key, rows, one in zip(("known", "unknown"), (task.known, task.unknown), made, strict=True)
        },
        "data": _data_card(task, names),
        "folds": {"rule": f"SHA-256 of names, version {splits.VERSION}", "number": splits.N_FOLDS},
        "features": {
            "set": f"{pair_features.KEY} v{pair_features.VERSION}",
            "names": list(state.ensemble.features),
        },
        "parameters": _parameters(task, made[-1]),
        "encoder": model.encoder,
        "versions": {name: version(name) for name in ("lightgbm", "numpy", *(["torch"] if model.encoder else []))},
    }


def _state_card(target: str, rows: InterfaceRows, made: Made) -> dict[str, Any]:
    graph, fitted = made.state.graph, made.fitted
    return {
        "source": rows.source,
        "rows": int(rows.labelled(target).sum()),
        "served": made.method,
        "trees": sum(text.count("Tree=") for text in made.state.ensemble.members),
        "physics": made.state.ensemble.baseline.as_json(),
        "half_widths": (made.state if graph is None else graph).intervals.as_json(),
        "networks": fitted.fusion.network.members if isinstance(fitted, FittedStack) else 0,
    }


def _data_card(task: Task, names: tuple[str, ...]) -> dict[str, Any]:
    seen = {rows.source: rows for rows in (task.known, task.unknown)}
    left_out: dict[str, int] = {}
    for source, rows in seen.items():
        for reason, count in rows.left_out.items():
            what, _, why = reason.rpartition(": ")
            if what in ("", task.target):
                left_out[f"{source}: {why}"] = count
    return {
        "source": " and ".join(CITATIONS.get(source, source) for source in seen),
        "rows": sum(int(rows.labelled(task.target).sum()) for rows in seen.values()),
        "materials": len(names),
        "cleaning_rule": "; ".join(f"{source}: {rule_of(source, task.target).says}" for source in seen),
        "left_out": dict(sorted(left_out.items())),
        "digest": sha256(b"".join(rows.digest for rows in seen.values())).hex(),
    }


CITATIONS = {
    "bidb": "BiDB (Pakdel et al., Nat. Commun. 15, 932 (2024)) with the isolated layers of C2DB (Haastrup et al., 2D "
    "Mater. 5, 042002 (2018); Gjerding et al., 2D Mater. 8, 044002 (2021))",
    "hetml": "HetML (Willhelm et al., ACS Appl. Mater. Interfaces 14, 25907 (2022))",
    "hetdb": "HetDB (Sauer et al., Phys. Rev. Mater. 9 (2025))",
    "hetero2d": "aiHD / Hetero2d (Boland & Singh, Comput. Mater. Sci. 207, 111238 (2022); arXiv:2502.04603)",
}
"""Who computed what, by source."""


def _parameters(task: Task, made: Made) -> dict[str, Any]:
    method = judging.judged_method(made.judged.lineup)
    trees = method.trees if isinstance(method, Stack) else method
    rows = int(task.unknown.labelled(task.target).sum())
    found = tree_settings.as_json(trees.grid(rows)) if isinstance(trees, Trees) else {}
    if isinstance(method, Stack) and isinstance(made.fitted, FittedStack):
        networks = made.fitted.fusion.network.members
        found |= {"fusion": method.fusion.fusion.value, "networks": networks, "weights": [0.5, 0.5]}
    return found
