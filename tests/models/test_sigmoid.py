import pytest
import torch
from torch.nn import functional as F

from lookcloser.core import LookcloserError
from lookcloser.losses import asymmetric_loss
from lookcloser.models import CAM, Sigmoid

LABELS = 5


def model(**options):
    torch.manual_seed(0)
    made = Sigmoid(LABELS, Sigmoid.Options("test_resnet", stride=8, **options)).eval()
    made.head.weight.data *= 30
    return made


def pictures(count=6):
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_network_and_maps_are_those_of_cam():
    made, plain = model(), CAM(LABELS, CAM.Options("test_resnet", stride=8)).eval()
    plain.load_state_dict(made.state_dict())
    with torch.no_grad():
        found, expected = made(pictures(), top=2), plain(pictures(), top=2)
    for one, other in zip(found, expected, strict=True):
        assert (one is None and other is None) or torch.equal(one, other)


@pytest.mark.parametrize("threshold", [0.5, 0.3, 0.0])
def test_the_answer_is_what_scores_above_the_threshold_best_first(threshold):
    made = model(threshold=threshold)
    with torch.no_grad():  # centered, so that sets of several sizes do not hang on the draw
        made.head.bias -= made(pictures()).logits.mean()
        every, answer = made(pictures()), made.answer(pictures(), 1)
    scores = every.logits.sigmoid()
    sizes = set()
    for row in range(6):
        expected = sorted(
            (label for label in range(LABELS) if scores[row, label] > threshold),
            key=lambda label: -scores[row, label],
        )
        sizes.add(len(expected))
        tokens = answer.tokens[row].tolist()
        assert tokens == expected + [-1] * (len(tokens) - len(expected))
        for place, label in enumerate(expected):
            assert answer.token_scores[row, place] == scores[row, label]
            assert torch.equal(answer.maps[row, place], every.maps[row, label])
        assert not answer.token_scores[row, len(expected) :].any()
    assert len(sizes) > 1 or threshold < 0.5, "sets of several sizes"
    torch.testing.assert_close(answer.logits, every.logits)


def test_a_score_at_the_threshold_is_not_above_it():
    made = model()
    made.head.weight.data.zero_()
    with torch.no_grad():
        answer = made.answer(pictures(2), 1)
    assert answer.tokens.tolist() == [[-1], [-1]]


def test_losses():
    targets = torch.eye(LABELS)
    output = model()(pictures(5))

    def criterion(logits, wanted):
        return F.binary_cross_entropy_with_logits(logits, wanted, reduction="sum")

    assert model().losses(output, targets, criterion)["loss"] == criterion(output.logits, targets)
    found = model(loss="asymmetric").losses(output, targets, criterion)
    assert found["loss"] == asymmetric_loss(output.logits, targets)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "bcee"}, "bcee: unknown loss. Close: bce"),
        ({"threshold": 1.0}, "threshold 1.0"),
        ({"threshold": -0.1}, "from 0 to below 1"),
    ],
)
def test_what_does_not_fit_is_named(options, message):
    with pytest.raises(LookcloserError, match=message):
        model(**options)
