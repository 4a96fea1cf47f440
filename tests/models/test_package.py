import pytest
import torch
from safetensors.torch import load_file, save_file

from lookcloser.core import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.models import build_model, load_model_file, read_header, save_model_file
from lookcloser.models import package as module
from lookcloser.version import __version__

from ..headers import rewritten

ARGUMENTS = {"num_classes": 3, "backbone": "test_resnet", "stride": 8}


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    model = build_model("cam", ARGUMENTS)
    header = ModelHeader(
        "cam",
        ARGUMENTS,
        "classification",
        ("a", "b", "ç"),
        Preprocessing((64, 48), (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "bicubic"),
        box_threshold=0.3,
        scores={"val_acc": 0.5},
        provenance={"seed": 1},
    )
    return save_model_file(tmp_path / "m.safetensors", model.state_dict(), header), model, header


def test_the_header_comes_back_whole(saved):
    path, _, header = saved
    assert read_header(path) == header
    assert header.version == __version__


def test_weights_come_back_whole(saved):
    path, model, _ = saved
    loaded, _ = load_model_file(path)
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_the_same_model_gives_the_same_bytes(saved, tmp_path):
    path, model, header = saved
    again = save_model_file(tmp_path / "again.safetensors", model.state_dict(), header)
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("content", [b"", b"not tensors at all", b"\xff" * 64])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    with pytest.raises(LookcloserError, match=r"m\.safetensors: not a readable .safetensors file"):
        load_model_file(path)


def test_a_file_that_may_not_be_read_is_not_called_damaged(saved, monkeypatch):
    path, _, _ = saved

    def denied(self, *_given, **_named):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.open", denied)
    with pytest.raises(LookcloserError, match=r"cannot be read: Permission denied\. Ask its owner"):
        read_header(path)


def test_a_truncated_file_is_named(saved):
    path, _, _ = saved
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(LookcloserError, match="not a readable"):
        load_model_file(path)


def test_a_foreign_file_is_named_with_what_it_is_good_for(tmp_path):
    path = tmp_path / "foreign.safetensors"
    save_file({"x": torch.zeros(2)}, path)
    with pytest.raises(LookcloserError, match=r"did not write.*--weights FILE"):
        load_model_file(path)


def test_a_newer_format_asks_for_an_upgrade(saved):
    path = rewritten(saved[0], lambda values: values.update(format=99, version="9.1"))
    with pytest.raises(LookcloserError, match=r"lookcloser 9\.1 in format 99.*Upgrade"):
        load_model_file(path)


def test_a_newer_writer_of_the_same_format_is_read(saved):
    path = rewritten(saved[0], lambda values: values.update(version="9.1", something_new=1))
    assert read_header(path).version == "9.1"


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.pop("names"),
        lambda values: values.update(names=5),
        lambda values: values["preprocessing"].update(size=[0, 64]),
        lambda values: values["preprocessing"].update(size=[64, 10**9]),
        lambda values: values["preprocessing"].update(mean=[1, 2]),
        lambda values: values.update(format="one"),
    ],
)
def test_a_damaged_header_is_named(saved, change):
    with pytest.raises(LookcloserError, match=r"header is damaged|in format one"):
        read_header(rewritten(saved[0], change))


def test_weights_that_do_not_fit_are_named(saved):
    path = rewritten(
        saved[0],
        lambda values: (
            values["arguments"].update(num_classes=4),
            values.update(names=list("abcd")),
        ),
    )
    with pytest.raises(LookcloserError, match="do not fit a cam model"):
        load_model_file(path)


def test_a_header_cannot_ask_for_a_memory_that_is_not_there(saved):
    path = rewritten(saved[0], lambda values: values["arguments"].update(kept=10**9))
    with pytest.raises(LookcloserError, match="do not fit a cam model"):
        load_model_file(path)


def test_a_header_cannot_make_timm_read_files(saved):
    path = rewritten(
        saved[0],
        lambda values: values["arguments"].update(model_kwargs={"checkpoint_path": "/etc/passwd"}),
    )
    with pytest.raises(LookcloserError, match="checkpoint_path: not allowed"):
        load_model_file(path)


def test_a_header_cannot_name_a_backbone_on_a_hub(saved):
    path = rewritten(
        saved[0], lambda values: values["arguments"].update(backbone="hf-hub:evil/model")
    )
    with pytest.raises(LookcloserError, match="unknown backbone"):
        load_model_file(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(LookcloserError, match="no such file"):
        load_model_file(tmp_path / "none.safetensors")


def test_a_full_disk_keeps_the_saved_model(saved, monkeypatch):
    path, model, header = saved
    before = path.read_bytes()

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(LookcloserError, match=r"No space left.*kept"):
        save_model_file(path, model.state_dict(), header)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_tensor_with_two_names_is_kept_under_both(saved, tmp_path):
    """Networks in which parts share a module have one; the format takes no shared memory."""
    _, _, header = saved
    shared = torch.randn(3, 4)
    state = {"first": shared, "second": shared, "turned": shared.t()}
    path = save_model_file(tmp_path / "shared.safetensors", state, header)
    for name, value in load_file(path).items():
        assert torch.equal(value, state[name]), name


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_weights_that_are_not_finite_are_no_model(saved, value):
    path, model, header = saved
    state = model.state_dict()
    state["backbone.net.conv1.0.weight"].view(-1)[0] = value
    save_model_file(path, state, header)
    with pytest.raises(LookcloserError, match=r"not finite .*conv1.0.weight.*training diverged"):
        load_model_file(path)
