"""From rows to a model that may be served: what competes, what is kept, and what its card says."""

from dataclasses import replace

import pytest
import torch
from ml_helpers import dichalcogenide

from ml import training
from ml.artefact import PairModel
from ml.cards import card_markdown
from ml.features import Layer
from ml.heads import HOMO
from ml.interfaces import Interface, LayerTable, assemble
from ml.models import fusion, slab_encoder
from ml.rows import InterfaceRows
from ml.shelf import as_shipped
from schema.quantities import BINDING_ENERGY, INTERLAYER_DISTANCE
from schema.vocabulary import InterfaceKind

TARGET = BINDING_ENERGY.key


@pytest.fixture(scope="module")
def rows() -> InterfaceRows:
    """Four stackings each of sixty dichalcogenides, bound the more strongly the heavier they are."""
    slabs = {
        f"{metal}-{below}-{above}": dichalcogenide(metal, below, above, 3.0 + 0.01 * metal / 10, 3.1)
        for metal in (22, 23, 24, 40, 41, 42, 72, 73, 74, 75)
        for below, above in ((16, 16), (34, 34), (52, 52), (16, 34), (16, 52), (34, 52))
    }
    table = LayerTable.of({name: Layer(slab) for name, slab in slabs.items()}, dict.fromkeys(slabs, "AB2"))
    interfaces = [
        Interface(
            f"{name}-{k}",
            name,
            name,
            {TARGET: 20.0 + 0.05 * slab.numbers.sum() + 0.1 * k, INTERLAYER_DISTANCE.key: 3.0},
        )
        for name, slab in slabs.items()
        for k in range(4)
    ]
    found = assemble(HOMO, "bidb", interfaces, table)
    return replace(found, targets={TARGET: found.targets[TARGET]})


@pytest.fixture(scope="module")
def trained(rows) -> training.Trained:
    with pytest.MonkeyPatch.context() as patch:
        # Here it is told whether a network takes its place, and not how well it does there.
        patch.setattr(fusion, "MIN_STEPS", 30)
        patch.setattr(fusion, "MAX_STEPS", 30)
        torch.manual_seed(1)
        said: list[str] = []
        encoder = slab_encoder.SlabEncoder().eval()
        (found,) = training.train({"bidb": rows}, encoder, on_step=said.append)
        assert 0.8 * training.steps({"bidb": rows}, encoder) < len(said) <= training.steps({"bidb": rows}, encoder)
    return found


def test_trees_fusion_and_stack_are_in_every_report_and_the_stack_is_judged(trained) -> None:
    assert trained.reports
    for report in trained.reports:
        assert report.method == "stack, registry unknown"
        assert {"trees", "fusion, low-rank", "stack", "mean"} <= {figure.method for figure in report.figures}


def test_a_stack_that_wins_is_served_with_intervals_of_both_kinds(trained) -> None:
    assert trained.reports[0].beats_baseline
    model = PairModel.from_bytes(trained.artefact)
    assert model.family == "trees-and-graph"
    for state in model.states:
        assert state.graph is not None
        assert state.graph.intervals != state.intervals
    assert model.known.ensemble == model.unknown.ensemble
    assert model.known.graph.head == model.unknown.graph.head


def test_the_card_says_what_both_halves_are_and_how_either_is_explained(trained) -> None:
    shipped = as_shipped(trained)
    assert trained.card["encoder"] == trained.model.encoder
    assert trained.card["states"]["known"]["networks"] == fusion.MEMBERS_OF_FEW
    content = {
        **{key: getattr(shipped, key) for key in ("target", "domain", "family", "name", "card")},
        "reports": [report.as_json() for report in shipped.reports],
    }
    page = card_markdown(content)
    assert "one half of what is given" in page
    assert trained.card["encoder"][:12] in page
    assert "what each element of either layer adds" in page


def test_without_an_encoder_trees_alone_are_trained(rows) -> None:
    assert training.tasks({"bidb": rows}) == [(InterfaceKind.HOMOBILAYER.value, TARGET)]
    assert training.steps({"bidb": rows}) < training.steps({"bidb": rows}, slab_encoder.SlabEncoder().eval())
