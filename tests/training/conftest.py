"""Weights of a backbone in a file, which trainings begin with."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A .safetensors file for ``test_resnet``, the same in every process."""
    import torch
    from safetensors.torch import save_file

    from lookcloser.models import Backbone

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_file(Backbone("test_resnet").net.state_dict(), path)
    return str(path)
