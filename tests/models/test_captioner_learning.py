"""A captioner with attention learns what is where, and looks there; on made-up features."""

import pytest
import torch
from torch.nn import functional as F

from lookcloser.data.vocabulary import END, SPECIALS, START
from lookcloser.models import build_model

COLORS = ("red", "green", "blue", "pink")
LEFT, RIGHT, ABOVE, BELOW = range(8, 12)
TURNED = {LEFT: RIGHT, RIGHT: LEFT, ABOVE: BELOW, BELOW: ABOVE}
SIDE, WIDTH = 6, 96


def scenes(count, seed):
    """Noise with two marked cells; "red left of blue" from either side, by lot; their places."""
    generator = torch.Generator().manual_seed(seed)
    # Levels of the channels, as a backbone has them, or layer norm would blow up the noise.
    levels = torch.linspace(-2, 2, WIDTH)[:, None, None]
    features = levels + 0.1 * torch.randn(count, WIDTH, SIDE, SIDE, generator=generator)
    captions, places = [], []
    for row in range(count):
        colors = torch.randperm(len(COLORS), generator=generator)[:2]
        dy = dx = 0
        while abs(dy) == abs(dx):
            cells = torch.randint(SIDE, (2, 2), generator=generator)
            dy, dx = (cells[0] - cells[1]).tolist()
        for color, (y, x) in zip(colors, cells.tolist(), strict=True):
            features[row, color, y, x] += 2.0
        across, down = (LEFT if dx < 0 else RIGHT), (ABOVE if dy < 0 else BELOW)
        first, second = (4 + colors).tolist()
        captions.append([START, first, across if abs(dx) > abs(dy) else down, second, END])
        places.append(dict(zip((first, second), map(tuple, cells.tolist()), strict=True)))
    return features, torch.tensor(captions), places


def turned(sentence):
    first, relation, second = sentence
    return [second, TURNED[relation], first]


@pytest.fixture(scope="module")
def learned():
    """The answers to unseen scenes after 600 steps, with the scenes."""
    torch.manual_seed(0)
    model = build_model(
        "lstm",
        {
            "num_classes": len(SPECIALS) + len(COLORS) + len(TURNED),
            "backbone": "test_resnet",
            "attend": True,
            "embed_size": 16,
            "hidden_size": 32,
            "max_length": 3,
        },
    ).train()
    features, captions, _ = scenes(2000, seed=0)
    other_side = captions.clone()
    other_side[:, 1:4] = torch.tensor([turned(row) for row in captions[:, 1:4].tolist()])
    head = [p for name, p in model.named_parameters() if not name.startswith("backbone")]
    optimizer = torch.optim.Adam(head, lr=1e-2)
    for _ in range(600):
        rows = torch.randint(len(features), (64,))
        sides = torch.where(torch.rand(64, 1) < 0.5, captions[rows], other_side[rows])
        loss = model.losses(model.describe(features[rows]), sides, F.cross_entropy)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    unseen = scenes(300, seed=1)
    return model.eval().write(unseen[0]), *unseen


def test_it_says_what_is_where(learned):
    output, _, captions, _ = learned
    truths = captions[:, 1:4].tolist()
    right = [
        said in (truth, turned(truth))
        for said, truth in zip(output.tokens.tolist(), truths, strict=True)
    ]
    assert sum(right) / len(right) > 0.5, "a quarter without remembering what it saw"


def test_it_looks_at_what_it_names(learned):
    output, _, _, places = learned
    hits = [
        divmod(int(output.maps[row, step].argmax()), SIDE) == place[word]
        for row, place in enumerate(places)
        for step, word in enumerate(output.tokens[row].tolist())
        if word in place
    ]
    assert len(hits) > 500
    assert sum(hits) / len(hits) > 0.8, "by chance it would be 1 in 36"
