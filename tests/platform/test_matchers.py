"""The settings choose what matches lattices, and where."""

from __future__ import annotations

import pytest
import torch
from test_pairs_dense import lattices
from typer.testing import CliRunner

from stackscreen.pairs import PairLimits, RowMatcher, ShapeIndex, ShapeTable
from stackscreen.pairs.matchers import NoDeviceError, make_matcher, resolve_device
from stackscreen.pairs.torch_match import TorchMatcher

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


@pytest.fixture(scope="module")
def index() -> ShapeIndex:
    return ShapeIndex.build(ShapeTable.build(*lattices(1, 5), PairLimits(0.02, 50.0, 200)), 5)


def test_processors_use_numba_unless_torch_is_asked_for(index: ShapeIndex) -> None:
    assert isinstance(make_matcher(index, "auto", "cpu"), RowMatcher)
    assert isinstance(make_matcher(index, "numba", "cpu"), RowMatcher)
    asked = make_matcher(index, "torch", "cpu")
    assert isinstance(asked, TorchMatcher)
    assert asked.device.type == "cpu"


@no_gpu
def test_without_a_gpu_auto_is_the_processors_and_cuda_an_error(index: ShapeIndex) -> None:
    assert resolve_device("auto") == "cpu"
    assert isinstance(make_matcher(index, "auto", "auto"), RowMatcher)
    with pytest.raises(NoDeviceError, match="finds no GPUs"):
        make_matcher(index, "auto", "cuda")


@gpu
def test_with_a_gpu_auto_is_torch_on_it(index: ShapeIndex) -> None:
    found = make_matcher(index, "auto", "auto")
    assert isinstance(found, TorchMatcher)
    assert found.device.type == "cuda"
    with pytest.raises(NoDeviceError, match="numba"):
        make_matcher(index, "numba", "cuda")
    with pytest.raises(NoDeviceError, match="cuda:99"):
        resolve_device("cuda:99")


@no_gpu
def test_a_worker_whose_device_is_not_there_says_so_before_it_takes_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    from stackscreen.cli import app
    from stackscreen.settings import get_settings

    monkeypatch.setenv("STACKSCREEN_WORKER__DEVICE", "cuda")
    get_settings.cache_clear()
    try:
        done = CliRunner().invoke(app, ["worker"])
    finally:
        get_settings.cache_clear()
    assert isinstance(done.exception, NoDeviceError)
