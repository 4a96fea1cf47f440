"""Rollout and gradient-weighted attention against loops over weights seen in another way."""

import copy

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import VisionTransformer

from lookcloser.core import LookcloserError
from lookcloser.explain import attention_relevance, attention_rollout
from lookcloser.explain.attention import AttentionWeights

IMAGES = torch.randn(2, 3, 160, 160, generator=torch.Generator().manual_seed(1)).double()


def vit(pool):
    torch.manual_seed(0)
    options = {"num_classes": 4, "global_pool": pool, "class_token": pool != "map"}
    model = timm.create_model("test_vit", **options).double().eval()
    for block in model.blocks:  # fresh weights attend to everything alike
        block.attn.qkv.weight.data *= 20
    nn.init.normal_(model.head.weight, std=1.0)
    return model


def unfused(model, images):
    """Weights of each block, by switching fused attention off in a copy and hooking its dropout."""
    model, seen = copy.deepcopy(model), []
    for block in model.blocks:
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_hook(lambda *call: seen.append(call[-1]))
    logits = model(images)
    return logits, seen


def rows_of(pool, matrix):
    """(N, N) -> the patches of the rows that the answer reads, as a 10 × 10 grid."""
    rows = matrix[1:] if pool == "avg" else matrix[:1]
    return rows.mean(dim=0)[-100:].reshape(10, 10)


@pytest.mark.parametrize("pool", ["token", "avg"])
def test_rollout_multiplies_the_mixed_weights(pool):
    model = vit(pool)
    _, seen = unfused(model, IMAGES)
    for image, found in enumerate(attention_rollout(model, IMAGES)):
        joint = torch.eye(seen[0].shape[-1], dtype=torch.float64)
        for weights in seen:
            mixed = sum(head.double() for head in weights[image].detach()) / weights.shape[1]
            mixed = 0.5 * mixed + 0.5 * torch.eye(len(mixed))
            joint = (mixed / mixed.sum(dim=1, keepdim=True)) @ joint
        torch.testing.assert_close(found, rows_of(pool, joint).float(), rtol=1e-4, atol=1e-8)
        assert found.std() > 0.01 * found.mean()


@pytest.mark.parametrize("pool", ["token", "avg"])
def test_relevance_adds_up_the_positive_weighted_attention(pool):
    model = vit(pool)
    logits, seen = unfused(model, IMAGES)
    targets = torch.tensor([[3, 0], [1, 2]])
    found = attention_relevance(model, IMAGES, targets)
    for image in range(2):
        for number, target in enumerate(targets[image]):
            slopes = torch.autograd.grad(logits[image, target], seen, retain_graph=True)
            start = torch.eye(seen[0].shape[-1], dtype=torch.float64)
            joint = start
            for weights, slope in zip(seen, slopes, strict=True):
                product = (weights[image] * slope[image]).detach().double().clamp(min=0)
                joint = joint + product.mean(dim=0) @ joint
            expected = rows_of(pool, joint - start).float()
            torch.testing.assert_close(found[image, number], expected, rtol=1e-4, atol=1e-8)
            assert expected.max() > 0


def test_a_pooling_attention_is_the_last_step():
    model = vit("map")
    seen = []

    def see(weights):
        seen.append(weights.detach().clone())
        return weights

    with torch.no_grad(), AttentionWeights(see):
        model(IMAGES)
    *blocks, pooling = (weights.mean(dim=1) for weights in seen)
    assert pooling.shape[1] == 1
    joint = torch.eye(pooling.shape[2], dtype=torch.float64).expand(2, -1, -1)
    for weights in blocks:
        joint = 0.5 * (weights + torch.eye(weights.shape[-1])) @ joint
    expected = (pooling @ joint)[:, 0, -100:].reshape(2, 10, 10).float()
    torch.testing.assert_close(attention_rollout(model, IMAGES), expected)
    relevance = attention_relevance(model, IMAGES, torch.tensor([[0, 1], [0, 1]]))
    assert (relevance.flatten(2).amax(dim=2) > 0).all()


@pytest.mark.parametrize("view", [attention_rollout, attention_relevance])
def test_fused_attention_stays_fused_and_gives_the_same_maps(view):
    model = vit("token")
    slow = copy.deepcopy(model)
    for block in slow.blocks:
        block.attn.fused_attn = False
    torch.testing.assert_close(view(model, IMAGES, 1), view(slow, IMAGES, 1))
    assert all(block.attn.fused_attn for block in model.blocks)
    assert not any(block.attn.fused_attn for block in slow.blocks)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": 0.3},
        {"is_causal": True},
        {"attn_mask": torch.randn(7, 7, generator=torch.Generator().manual_seed(3))},
        {"attn_mask": torch.eye(7, dtype=torch.bool).logical_not()},
    ],
    ids=["plain", "scale", "causal", "added mask", "boolean mask"],
)
def test_written_out_attention_gives_what_fused_attention_gives(options):
    generator = torch.Generator().manual_seed(2)
    query, key, value = torch.randn(3, 2, 3, 7, 5, generator=generator)
    seen = []
    expected = F.scaled_dot_product_attention(query, key, value, **options)
    with AttentionWeights(lambda weights: seen.append(weights) or weights):
        found = F.scaled_dot_product_attention(query, key, value, **options)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(seen[0].sum(dim=-1), torch.ones(2, 3, 7))


def test_grouped_queries_share_their_values():
    generator = torch.Generator().manual_seed(2)
    query = torch.randn(2, 4, 7, 5, generator=generator)
    key, value = torch.randn(2, 2, 2, 7, 5, generator=generator)
    expected = F.scaled_dot_product_attention(query, key, value, enable_gqa=True)
    with AttentionWeights(lambda weights: weights):
        found = F.scaled_dot_product_attention(query, key, value, enable_gqa=True)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_multi_head_attention_gives_its_own_output_and_weights(batch_first, bias):
    torch.manual_seed(0)
    module = nn.MultiheadAttention(12, 3, bias=bias, batch_first=batch_first).eval()
    tokens = torch.randn(2, 7, 12) if batch_first else torch.randn(7, 2, 12)
    output, weights = module(tokens, tokens, tokens, average_attn_weights=False)
    seen = []
    with AttentionWeights(lambda found: seen.append(found) or found):
        for average in (True, False):
            again, returned = module(tokens, tokens, tokens, average_attn_weights=average)
            torch.testing.assert_close(again, output)
            torch.testing.assert_close(returned, weights.mean(dim=1) if average else weights)
        alone, nothing = module(tokens, tokens, tokens, need_weights=False)
    torch.testing.assert_close(alone, output)
    assert nothing is None
    torch.testing.assert_close(seen[0], weights)


def test_masked_multi_head_attention_is_refused():
    module, tokens = nn.MultiheadAttention(12, 3).eval(), torch.randn(7, 2, 12)
    with (
        AttentionWeights(lambda weights: weights),
        pytest.raises(LookcloserError, match="with a mask"),
    ):
        module(tokens, tokens, tokens, attn_mask=torch.zeros(7, 7))


@pytest.mark.parametrize("view", [attention_rollout, attention_relevance])
def test_torchvision_transformers_work_and_keep_their_fast_path(view):
    torch.manual_seed(0)
    model = VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=4).eval()
    nn.init.normal_(model.heads.head.weight)
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        expected = model(images)
    maps = view(model, images, 2)
    assert maps.shape == (3, 4, 4)
    assert (maps.flatten(1).amax(dim=1) > 0).all()
    with torch.no_grad():
        assert torch.equal(model(images), expected)


@pytest.mark.parametrize("view", [attention_rollout, attention_relevance])
def test_other_networks_are_told_why_not(view, model, images):
    with pytest.raises(
        LookcloserError, match="Gap has no attention over the patches.*vision transformers have it"
    ):
        view(model, images)
    swin = timm.create_model(
        "swin_tiny_patch4_window7_224", img_size=56, embed_dim=8, num_heads=(1, 2, 4, 8)
    )
    with pytest.raises(LookcloserError, match="do not all see the same tokens"):
        view(swin, torch.zeros(1, 3, 56, 56))


@pytest.mark.parametrize("view", [attention_rollout, attention_relevance])
def test_other_image_sizes_have_other_grids(view):
    model = timm.create_model("test_vit", num_classes=4, dynamic_img_size=True)
    assert view(model, torch.randn(1, 3, 96, 64), 0).shape == (1, 6, 4)
    assert view(model, torch.randn(1, 3, 64, 96), 0).shape == (1, 4, 6)
