"""What can be given beside the path of a network, and what not."""

from __future__ import annotations

from pathlib import Path

import pytest

import lookcloser
from lookcloser.core.errors import UsageError

from ..batch.conftest import write_network


@pytest.mark.parametrize("given", [{"weights": "none"}, {"model_kwargs": {"pad_type": "same"}}])
def test_what_is_of_stock_networks_is_not_left_out(
    tmp_path: Path, given: dict[str, object]
) -> None:
    network = write_network(tmp_path / "a.onnx")
    with pytest.raises(UsageError, match=r"a\.onnx: has its own weights.*timm:NAME"):
        lookcloser.load(network, **given)
    (option,) = given
    with pytest.raises(UsageError, match=f"^{option} .*: only for timm:NAME"):
        lookcloser.load(tmp_path / "run", **given)
    assert lookcloser.load(network, weights="pretrained", model_kwargs={}).names


def test_a_device_is_not_left_out_either(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cuda: not for an exported file"):
        lookcloser.load(write_network(tmp_path / "a.onnx"), device="cuda")
