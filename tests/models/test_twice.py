"""Classifiers of several kinds that look again at the best places of an image."""

import pytest
import torch

from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.models import build_model, load_model_file, save_model_file
from lookcloser.models.cam.closer import cut, whole_boxes

CLASSES, VIEW, WHOLE, HEAT = 4, 32, 0.4, 2.5
LOOK = {"places": 2, "share": 0.4, "view": VIEW, "whole": WHOLE, "whole_temperature": HEAT}
METHODS = {
    "cam": {},
    "feedback": {},
    "osme": {"part_width": 16},
    "osme flattened": {"part_width": 16, "part_head": "flattened", "size": VIEW},
}


def build(case, **more):
    torch.manual_seed(0)
    arguments = {"num_classes": CLASSES, "backbone": "test_resnet", **METHODS[case], **LOOK, **more}
    made = build_model(case.split()[0], arguments).eval()
    heads = made.head, made.closer.head, made.closer.finder
    for head in heads:
        torch.nn.init.normal_(head.weight)
        torch.nn.init.normal_(head.bias)
    return made, arguments


@pytest.fixture(scope="module")
def images():
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module", params=METHODS)
def looking(request):
    return build(request.param)


def test_the_answer_is_of_the_whole_image_and_of_its_places(looking, images):
    model, _ = looking
    with torch.no_grad():
        output = model(images)
        alone = model.read(model.look(cut(images, whole_boxes(images), VIEW)))
        seen = model.closer(images, model.backbone(images), model.backbone)
    own, places = output.scale_logits[:, 0], output.scale_logits[:, 1:]
    torch.testing.assert_close(own, alone.logits / HEAT)
    torch.testing.assert_close(places, seen.logits)
    mean = (seen.weights[:, :, None] * places).sum(dim=1)
    torch.testing.assert_close(output.logits, WHOLE * own + (1 - WHOLE) * mean)
    assert output.boxes.shape == (3, 2, 4)
    assert output.part_maps is None, "attentions of one look are not what it answers by"


def test_its_maps_are_those_of_the_whole_image_and_of_the_places(looking, images):
    model, _ = looking
    with torch.no_grad():
        output = model(images)
        alone = model.read(model.look(cut(images, whole_boxes(images), VIEW))).maps / HEAT
        seen = model.closer(images, model.backbone(images), model.backbone)
        rest = model.closer.maps(seen, None, output.maps.shape[-2:], torch.zeros_like(alone))
    wanted = WHOLE * torch.nn.functional.interpolate(
        alone, output.maps.shape[-2:], mode="bilinear", align_corners=False
    )
    torch.testing.assert_close(output.maps - rest, wanted, rtol=1e-3, atol=1e-3)


def test_few_maps_are_those_of_all(looking, images):
    model, _ = looking
    with torch.no_grad():
        every = model(images)
        best = model(images, top=2)
        chosen = model(images, targets=torch.tensor([[2], [0], [3]]))
    assert best.tokens.tolist() == every.logits.topk(2, dim=1).indices.tolist()
    for row, (first, second) in enumerate(best.tokens.tolist()):
        torch.testing.assert_close(best.maps[row], every.maps[row, [first, second]])
    for row, target in enumerate((2, 0, 3)):
        torch.testing.assert_close(chosen.maps[row, 0], every.maps[row, target])


def test_saved_and_loaded(looking, images, tmp_path):
    model, arguments = looking
    header = ModelHeader(
        model.name, arguments, "classification", ("a", "b", "c", "d"), Preprocessing((64, 64))
    )
    path = save_model_file(tmp_path / "m.safetensors", model.state_dict(), header)
    loaded, _ = load_model_file(path)
    with torch.no_grad():
        torch.testing.assert_close(loaded(images).logits, model(images).logits)


@pytest.mark.parametrize("case", ["feedback", "osme"])
def test_distances_are_measured_where_there_is_a_metric(case, images):
    model, _ = build(case, rank=2)
    with torch.no_grad():
        output = model(images)
        assert output.distances.shape == (3,)
        assert output.vector is None, "readers of files take five outputs"
        assert build(case)[0](images).vector.shape == (3, model.backbone.width)


@pytest.mark.parametrize("case", METHODS)
def test_without_places_nothing_is_added(case):
    plain = build_model(
        case.split()[0], {"num_classes": CLASSES, "backbone": "test_resnet", **METHODS[case]}
    )
    names = plain.state_dict().keys()
    assert names == {name for name in build(case)[0].state_dict() if "closer" not in name and
                     "solution" not in name}  # fmt: skip
    assert (plain.closer, plain.solution) == (None, None)
