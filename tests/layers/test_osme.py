import numpy as np
import pytest
import torch

from lookcloser.core import LookcloserError
from lookcloser.layers import OSME, merge_attentions

HEADS = ("pooled", "flattened")


def build(head: str, attentions: int = 2) -> tuple[OSME, torch.Tensor]:
    torch.manual_seed(0)
    module = OSME(8, (3, 4), attentions=attentions, width=5, reduction=4, head=head).double()
    return module, torch.randn(2, 8, 3, 4, dtype=torch.double)


def weights(layer: torch.nn.Module) -> tuple[np.ndarray, np.ndarray]:
    return layer.weight.detach().numpy(), layer.bias.detach().numpy()


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("attentions", [1, 3])
def test_features_are_the_formula(head: str, attentions: int) -> None:
    module, features = build(head, attentions)
    result = module(features).detach().numpy()
    assert result.shape == (2, attentions, 5)
    for b, image in enumerate(features.numpy()):
        z = np.array([channel.sum() / 12 for channel in image])
        for p in range(attentions):
            (w1, b1), (w2, b2) = weights(module.excite[p][0]), weights(module.excite[p][2])
            w3, b3 = weights(module.project[p])
            gate = 1 / (1 + np.exp(-(w2 @ np.maximum(w1 @ z + b1, 0) + b2)))
            assert w1.shape == (2, 8)  # C / reduction
            attended = np.stack([g * channel for g, channel in zip(gate, image, strict=True)])
            vector = attended.mean((1, 2)) if head == "pooled" else attended.reshape(-1)
            np.testing.assert_allclose(result[b, p], w3 @ vector + b3, atol=1e-12)
            np.testing.assert_allclose(module.gates(features)[b, p].detach(), gate, atol=1e-12)


@pytest.mark.parametrize("head", HEADS)
def test_mean_of_the_evidence_is_the_share_of_the_logit(head: str) -> None:
    module, features = build(head)
    classifier = torch.nn.Linear(2 * 5, 6, bias=False).double()
    logits = classifier(merge_attentions(module(features)))
    maps = module.evidence(features, classifier.weight.unflatten(1, (2, 5)))
    assert maps.shape == (2, 6, 2, 3, 4)
    bias = torch.cat([project.bias for project in module.project])
    torch.testing.assert_close(maps.mean((3, 4)).sum(2), logits - classifier(bias))
    # and attention by attention
    part = torch.nn.functional.linear(module(features)[:, 1] - bias[5:], classifier.weight[:, 5:])
    torch.testing.assert_close(maps[:, :, 1].mean((2, 3)), part)


@pytest.mark.parametrize("head", HEADS)
def test_evidence_is_where_the_features_are(head: str) -> None:
    module, _ = build(head)
    features = torch.zeros(1, 8, 3, 4, dtype=torch.double)
    features[:, :, 1, 2] = 1
    maps = module.evidence(features, torch.ones(1, 2, 5, dtype=torch.double))
    assert maps[0, 0, 0, 1, 2].abs() > 1e-3
    assert maps[0, 0].abs().sum() == maps[0, 0, :, 1, 2].abs().sum()


@pytest.mark.parametrize("head", HEADS)
def test_directions_of_each_image_give_what_shared_ones_give(head: str) -> None:
    module, features = build(head)
    rows = torch.randn(6, 2, 5, dtype=torch.double)
    every = module.evidence(features, rows)
    chosen = torch.tensor([[4, 0, 1], [2, 2, 5]])
    own = module.evidence(features, rows[chosen])
    torch.testing.assert_close(own, every[torch.arange(2)[:, None], chosen])


def test_attentions_are_separate() -> None:
    torch.manual_seed(0)
    module, features = OSME(8, (3, 4), attentions=3, width=5, reduction=1), torch.randn(2, 8, 3, 4)
    module(features)[:, 1].sum().backward()
    for p in range(3):
        touched = [w.grad is not None and bool(w.grad.any()) for w in module.excite[p].parameters()]
        assert touched == [p == 1] * 4


def test_pooled_head_takes_any_grid() -> None:
    module, _ = build("pooled")
    assert module(torch.rand(1, 8, 9, 2, dtype=torch.double)).shape == (1, 2, 5)


def test_weights_at_448_pixels() -> None:
    with torch.device("meta"):
        paper = OSME(2048, (14, 14), head="flattened")
        pooled = OSME(2048, (14, 14))
    assert paper.project[0].weight.numel() == pytest.approx(411e6, rel=0.001)
    assert sum(p.numel() for p in pooled.parameters()) < 6e6


def test_merge() -> None:
    features = torch.arange(12.0).reshape(2, 3, 2)
    assert merge_attentions(features).tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    assert merge_attentions(features, "sum").tolist() == [[6, 9], [24, 27]]


def test_unknown_names() -> None:
    with pytest.raises(LookcloserError, match="flat: unknown OSME head"):
        OSME(8, (3, 4), head="flat")
    with pytest.raises(LookcloserError, match="add: unknown way to merge"):
        merge_attentions(torch.zeros(1, 2, 3), "add")
