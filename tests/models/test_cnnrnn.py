"""The model against a slow one in NumPy that knows nothing of batches, caches or decoders."""

import copy
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch

from lookcloser.core import LookcloserError
from lookcloser.data import Catalog, Sample
from lookcloser.explain import deconvnet, gradcam, occlusion
from lookcloser.losses import label_path_loss
from lookcloser.models import CNNRNN, build_model
from lookcloser.models.cnnrnn import model as cnnrnn_model
from lookcloser.models.cnnrnn.orders import label_ranks, training_paths
from lookcloser.models.cnnrnn.paths import LabelPaths
from lookcloser.scratch.cnnrnn import cnnrnn_step_forward

LABELS = 4
END, START = LABELS, LABELS + 1
ORDERS = ("frequent", "rare", "fixed", "shuffled", "easy", "minimal", "predicted")


def network(seed=0, **options):
    torch.manual_seed(seed)
    chosen = {"embed_size": 6, "hidden_size": 7, "tied": True, "gate": "sigmoid", **options}
    return LabelPaths(LABELS, 5, **chosen).double()


def model(seed=0, size=8, **options):
    """Small; the image says more than at first initialization, so that images differ."""
    torch.manual_seed(seed)
    chosen = {"embed_size": size, "hidden_size": 12, **options}
    made = CNNRNN(LABELS, CNNRNN.Options("test_resnet", stride=8, **chosen)).eval()
    made.paths.image.weight.data *= 10
    return made


def talkative(ends=0.2):
    """A model whose greedy paths differ in length; the lower ``ends``, the later its paths end."""
    made = model(seed=3)
    made.paths.embedding.weight.data[END] *= ends
    return made


def endless(**options):
    """A model whose paths do not end by themselves."""
    made = model(tied=False, **options)
    made.paths.rows.bias.data[END] = -100.0
    return made


SETS = ([0, 1], [2], [1, 2, 3], [], [0, 3], [3])


@pytest.fixture(scope="module")
def taught():
    """A model that knows the `SETS` of six pictures by heart; its backbone is as it was."""
    made = model(size=16, label_order="rare", label_counts=[1, 2, 3, 4]).train()
    for norm in made.backbone.modules():
        norm.eval()
    targets = torch.zeros(6, LABELS)
    for row, labels in enumerate(SETS):
        targets[row, labels] = 1
    optimizer = torch.optim.Adam(made.paths.parameters(), lr=0.02)
    features = made(pictures(6))
    features = features._replace(features=features.features.detach())
    for _ in range(120):
        optimizer.zero_grad()
        made.losses(features, targets, criterion=None)["loss"].backward()
        optimizer.step()
    return made.eval()


def pictures(count=3, seed=0):
    """Noise on planes of different colors."""
    generator = torch.Generator().manual_seed(seed)
    planes = 4 * torch.randn(count, 3, 1, 1, generator=generator)
    return planes + torch.randn(count, 3, 32, 32, generator=generator)


def assert_alike(found, expected, scale=None):
    """Equal but for float32: to 1e-5 of the largest value, or of what the values come from."""
    largest = (expected if scale is None else scale).abs().max().item()
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5 * largest)


def counted(paths):
    """The rows of every step that decoders take from now on."""
    rows, follow = [], paths.cell.follow

    def counting(x, prepared):
        rows.append(len(x))
        return follow(x, prepared)

    paths.cell.follow = counting
    return rows


def described(made, images):
    """(features, image's share of the projection)."""
    with torch.no_grad():
        features = made.backbone(images)
        return features, made.paths.image(features.mean(dim=(2, 3)))


def slow_log_probs(paths, image, path):
    """After START and after each label of ``path``, for one image (E,), in NumPy."""
    weight = {name: value.detach().numpy() for name, value in paths.named_parameters()}
    r = np.zeros((1, paths.cell.hidden_size))
    found = []
    for label in [START, *path]:
        x = weight["embedding.weight"][label][None]
        cell = (weight["cell.weight_x"].T, weight["cell.weight_h"].T, weight["cell.bias"])
        r, out, _ = cnnrnn_step_forward(x, r, *cell, gate=paths.cell.gate)
        projected = np.maximum(out[0] @ weight["recurrent.weight"].T + np.asarray(image), 0)
        if paths.rows is None:
            scores = weight["embedding.weight"][: LABELS + 1] @ projected
        else:
            scores = weight["rows.weight"] @ projected + weight["rows.bias"]
        found.append(scores - np.log(np.exp(scores).sum()))
    return np.array(found)


def enumerated(paths, image, largest=LABELS):
    """Every path without repeats that ends, with its log-probability; repeats are not rescaled."""
    found = {}
    for size in range(largest + 1):
        for path in permutations(range(LABELS), size):
            steps = slow_log_probs(paths, image, path)
            found[path] = sum(steps[i, label] for i, label in enumerate([*path, END]))
    return found


class TestNetwork:
    @pytest.mark.parametrize("tied", [True, False])
    @pytest.mark.parametrize("gate", ["sigmoid", "relu"])
    def test_projection_and_scores_are_those_of_the_paper(self, tied, gate):
        paths = network(tied=tied, gate=gate)
        image = torch.randn(2, 6, dtype=torch.float64)
        given = torch.tensor([[2, 0, 3], [1, -1, -1]])
        with torch.no_grad():
            found = paths.log_probs(paths.project(image, given)).numpy()
        np.testing.assert_allclose(found[0], slow_log_probs(paths, image[0], [2, 0, 3]))
        np.testing.assert_allclose(found[1, :2], slow_log_probs(paths, image[1], [1]))

    def test_the_image_is_outside_the_recurrence(self):
        paths = network()
        seen = counted(paths)
        generator = torch.Generator().manual_seed(0)
        step, state = paths.cache(torch.randn(50, 6, dtype=torch.float64, generator=generator))
        with torch.no_grad():
            first, state = step(state, torch.full((50,), START))
            second, _ = step(state, torch.arange(50) % 2)
        assert seen == [1, 2], "one state for START, one for each label, whatever the images"
        assert len(step) == 3
        assert len({tuple(row) for row in first.round(decimals=9).tolist()}) == 50
        assert second.shape == (50, LABELS + 1)

    def test_the_cache_gives_what_whole_sequences_give(self):
        paths = network()
        image = torch.randn(3, 6, dtype=torch.float64)
        step, state = paths.cache(image)
        with torch.no_grad():
            expected = paths.log_probs(paths.project(image, torch.tensor([[3, 1]] * 3)))
            for place, label in enumerate((START, 3, 1)):
                found, state = step(state, torch.full((3,), label))
                torch.testing.assert_close(found, expected[:, place])

    def test_the_output_is_the_embedding_with_end_and_without_start(self):
        paths = network()
        assert paths.label_rows.shape == (LABELS + 1, 6)
        assert paths.label_rows.data_ptr() == paths.embedding.weight.data_ptr()
        assert paths.embedding.num_embeddings == LABELS + 2
        assert paths.rows is None

    def test_an_untied_output_is_its_own(self):
        paths = network(tied=False)
        paths.project(torch.zeros(1, 6, dtype=torch.float64), torch.zeros(1, 0, dtype=torch.long))
        assert paths.label_rows.data_ptr() != paths.embedding.weight.data_ptr()
        assert paths.label_rows.shape == (LABELS + 1, 6)

    def test_following_goes_to_the_most_probable_label_left(self):
        paths = network()
        image = torch.randn(2, 6, dtype=torch.float64)
        allowed = torch.tensor([[True, False, True, True], [False, True, False, False]])
        found = paths.follow(image, allowed)
        assert found[1].tolist() == [1, -1, -1]
        path, left = [], {0, 2, 3}
        while left:
            scores = slow_log_probs(paths, image[0], path)[-1]
            path.append(max(left, key=lambda label: scores[label]))
            left.remove(path[-1])
        assert found[0].tolist() == path


class TestTraining:
    @pytest.mark.parametrize("order", ORDERS)
    def test_the_loss_is_that_of_the_wanted_paths_end_included(self, order):
        paths, ranks = network(), label_ranks(order, torch.tensor([3.0, 9, 1, 4]))
        image = torch.randn(3, 6, dtype=torch.float64)
        targets = torch.tensor([[1.0, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]])
        torch.manual_seed(1)
        log_probs, wanted = training_paths(order, ranks, paths, image, targets)
        for row, labels in enumerate([{0, 2, 3}, set(), {1}]):
            path = [label for label in wanted[row].tolist() if label >= 0]
            assert set(path) == labels
            fed = path
            if order in ("minimal", "predicted"):
                fed = paths.follow(image, torch.ones(3, LABELS, dtype=torch.bool))[row].tolist()
            steps = slow_log_probs(paths, image[row], fed[: len(path)])
            found = log_probs[row, : len(path) + 1].detach().numpy()
            np.testing.assert_allclose(found, steps)

    def test_orders_by_count(self):
        counts = torch.tensor([3.0, 9, 1, 4])
        targets, image = torch.ones(1, LABELS), torch.zeros(1, 6, dtype=torch.float64)

        paths = network()

        def wanted(order):
            ranks = label_ranks(order, counts)
            return training_paths(order, ranks, paths, image, targets)[1][0].tolist()

        assert wanted("frequent") == [1, 3, 0, 2]
        assert wanted("rare") == [2, 0, 3, 1]
        assert wanted("fixed") == wanted("fixed")
        drawn = set()
        for seed in range(40):
            torch.manual_seed(seed)
            drawn.add(tuple(wanted("shuffled")))
        assert len(drawn) > 15, "of 24"

    def test_minimal_alignment_is_no_dearer_than_predicted(self):
        paths, image = network(3), torch.randn(8, 6, dtype=torch.float64)
        targets = (torch.rand(8, LABELS, generator=torch.Generator().manual_seed(2)) < 0.6).float()

        def loss(order):
            log_probs, wanted = training_paths(order, torch.zeros(LABELS), paths, image, targets)
            chosen = log_probs[:, :-1].gather(2, wanted.clamp(min=0)[..., None])[..., 0]
            return -(chosen * (wanted >= 0)).sum(dim=1)

        assert (loss("minimal") <= loss("predicted") + 1e-12).all()
        assert (loss("minimal") < loss("predicted") - 1e-6).any()

    def test_the_models_loss_is_the_mean_over_images(self):
        made = model(label_counts=[1, 2, 3, 4]).train()
        targets = torch.tensor([[1.0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]])
        output = made(pictures())
        terms = made.losses(output, targets, criterion=None)
        image = made.paths.image(output.features).detach().double().numpy()
        made.double()
        expected = 0.0
        for row, path in enumerate([[1, 0], [3], []]):
            steps = slow_log_probs(made.paths, image[row], path)
            expected -= sum(steps[i, label] for i, label in enumerate([*path, END]))
        assert list(terms) == ["loss"]
        assert terms["loss"].item() == pytest.approx(expected / 3, rel=1e-5)

    @pytest.mark.parametrize("order", ORDERS)
    def test_a_set_that_depends_on_two_labels_together_is_learned(self, order):
        """Label 2 or 3 by the exclusive or of 0 and 1: no sum over labels tells which."""
        torch.manual_seed(0)
        seen = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]])
        odd = (seen.sum(dim=1) == 1).float()[:, None]
        targets = torch.cat([seen, odd, 1 - odd], dim=1)
        paths = LabelPaths(LABELS, 2, embed_size=16, hidden_size=32, tied=True, gate="sigmoid")
        optimizer = torch.optim.Adam(paths.parameters(), lr=0.01)
        ranks = label_ranks(order, targets.sum(dim=0))
        for _ in range(250):
            image = paths.image(seen)
            log_probs, wanted = training_paths(order, ranks, paths, image, targets)
            optimizer.zero_grad()
            label_path_loss(log_probs, wanted, END).backward()
            optimizer.step()
        image = paths.image(seen).detach().double()
        paths.double()
        for row, truth in enumerate(targets):
            found = enumerated(paths, image[row].numpy())
            best = max(found, key=found.get)
            assert set(best) == set(truth.nonzero()[:, 0].tolist())


class TestAnswer:
    @pytest.mark.parametrize("decoder", ["beam", "exact"])
    def test_the_most_probable_path_of_all(self, decoder):
        made = model(decoder=decoder, beam=30)
        with torch.no_grad():
            tokens = made.answer(pictures(6), 1).tokens
        _, image = described(made, pictures(6))
        made.double()
        for row in range(6):
            found = enumerated(made.paths, image[row].double().numpy())
            best = max(found, key=found.get)
            assert tuple(label for label in tokens[row].tolist() if label >= 0) == best

    def test_what_was_learned_is_answered_in_the_order_it_was_learned(self, taught):
        with torch.no_grad():
            tokens = taught.answer(pictures(6), 1).tokens
        found = [[label for label in row if label >= 0] for row in tokens.tolist()]
        assert found == list(SETS)

    def test_exact_search_is_certified(self):
        made = model(decoder="exact")
        with torch.no_grad():
            step, state = made.paths.cache(described(made, pictures())[1])
            assert all(found.certified for found in made.decode(step, state))

    def test_a_search_that_ran_out_of_budget_says_so(self, monkeypatch):
        monkeypatch.setattr("lookcloser.models.cnnrnn.model.NODE_BUDGET", 1)
        made = talkative()
        made.decoder = "exact"
        with torch.no_grad():
            step, state = made.paths.cache(described(made, pictures(8))[1])
            found = made.decode(step, state)
        assert not all(result.certified for result in found)
        assert all(result.bound > result.log_prob for result in found if not result.certified)

    def test_an_answer_says_what_is_proved(self, monkeypatch):
        made = talkative()
        with torch.no_grad():
            assert made.answer(pictures(8), 1).certified is None, "a beam proves nothing"
            made.decoder = "exact"
            assert made.answer(pictures(8), 1).certified.tolist() == [True] * 8
            monkeypatch.setattr("lookcloser.models.cnnrnn.model.NODE_BUDGET", 1)
            found = made.decode(*made.paths.cache(described(made, pictures(8))[1]))
            proved = made.answer(pictures(8), 1).certified.tolist()
        assert proved == [result.certified for result in found]
        assert not all(proved)

    def test_scores_are_the_marginals_over_all_paths(self, monkeypatch):
        monkeypatch.setattr("lookcloser.models.cnnrnn.model.SCORED_PATHS", 1000)
        made = model()
        with torch.no_grad():
            output = made.answer(pictures(), 1)
        _, image = described(made, pictures())
        made.double()
        for row in range(3):
            expected = np.zeros(LABELS)
            for size in range(LABELS + 1):  # the last place may hold a label too
                for path in permutations(range(LABELS), size):
                    steps = slow_log_probs(made.paths, image[row].double().numpy(), path)
                    reach = np.exp(sum(steps[i, label] for i, label in enumerate(path)))
                    others = [label for label in range(LABELS) if label not in path]
                    expected[others] += reach * np.exp(steps[-1][others])
            found = output.logits[row].double().sigmoid().numpy()
            np.testing.assert_allclose(found, expected, rtol=1e-4)
            kept = output.tokens[row][output.tokens[row] >= 0]
            shown = output.token_scores[row][: len(kept)]
            np.testing.assert_allclose(shown, expected[kept.numpy()], rtol=1e-4)

    def test_no_label_twice_and_no_more_than_the_largest_set(self):
        made = endless(max_labels=2, beam=2)
        with torch.no_grad():
            tokens = made.answer(pictures(20), 1).tokens
        for row in tokens.tolist():
            labels = [label for label in row if label >= 0]
            assert len(labels) == len(set(labels)) == 2

    def test_beyond_the_largest_set_no_score_is_counted(self, monkeypatch):
        monkeypatch.setattr("lookcloser.models.cnnrnn.model.SCORED_PATHS", 1000)
        made = endless(max_labels=2)
        with torch.no_grad():
            low, full = made(pictures(20)).logits, made.answer(pictures(20), 1).logits
        assert (low <= full + 1e-4).all(), "a path of forward has no step more than one of answer"

    def test_an_image_without_labels(self):
        made = model(tied=False)
        made.paths.rows.bias.data[END] = 50.0
        with torch.no_grad():
            output = made.answer(pictures(2), 1)
        assert output.tokens.tolist() == [[-1], [-1]]
        assert output.token_scores.tolist() == [[0.0], [0.0]]
        assert not output.maps.any()
        assert torch.isfinite(output.logits).all()

    def test_images_share_the_states_of_prefixes(self):
        made = model()
        seen = counted(made.paths)
        with torch.no_grad():
            made.answer(pictures(1).expand(40, -1, -1, -1), 1)
        alone = sum(seen)
        seen.clear()
        with torch.no_grad():
            made.answer(pictures(1), 1)
        assert alone == sum(seen), "forty times the same image costs no more"


class TestSession:
    def batches(self, made, session):
        with torch.no_grad():
            for batch in pictures(12).split(3):
                with session:
                    yield made.answer(batch, 1), made(batch)

    def test_batches_share_the_states_and_answer_the_same(self):
        made = talkative()
        seen = counted(made.paths)
        apart = list(self.batches(made, nullcontext()))
        steps = sum(seen)
        seen.clear()
        together = list(self.batches(made, made.session()))
        assert sum(seen) < steps / 3
        for expected, found in zip(apart, together, strict=True):
            assert torch.equal(found[0].tokens, expected[0].tokens)
            torch.testing.assert_close(found[0].logits, expected[0].logits)
            torch.testing.assert_close(found[1].logits, expected[1].logits)

    def test_what_depends_on_a_state_alone_is_computed_once_for_it(self):
        made = model()
        prepared, prepare = [], made.paths.cell.prepare
        made.paths.cell.prepare = lambda state: prepared.append(len(state[0])) or prepare(state)
        step, state = made.paths.cache(described(made, pictures(8))[1])
        with torch.no_grad():
            _, state = step(state, torch.full((8,), START))
            step(state, torch.arange(8) % LABELS)
        assert prepared == [1, 1], "of START, then of the state that four labels follow"
        assert len(step) == 1 + LABELS

    def test_a_new_session_knows_new_weights(self):
        made = talkative()
        before = [output.logits for output, _ in self.batches(made, made.session())]
        with torch.no_grad():
            made.paths.embedding.weight.mul_(-1)
        after = [output.logits for output, _ in self.batches(made, made.session())]
        expected = [output.logits for output, _ in self.batches(made, nullcontext())]
        assert not torch.allclose(before[0], after[0])
        torch.testing.assert_close(after, expected)

    def test_it_ends_where_its_block_ends_whatever_happens(self):
        paths, image = network(), torch.zeros(1, 6, dtype=torch.float64)
        session = paths.session()
        with session:
            first = paths.cache(image)[0]
            with paths.session():
                assert paths.cache(image)[0] is not first, "the inner one counts"
            assert paths.cache(image)[0] is first
        with pytest.raises(ZeroDivisionError), session:
            _ = 1 / 0
        assert paths.cache(image)[0] is not paths.cache(image)[0]

    def test_it_belongs_to_its_network_and_its_thread(self):
        paths, other, image = network(), network(1), torch.zeros(1, 6, dtype=torch.float64)
        with paths.session(), other.session(), ThreadPoolExecutor(1) as pool:
            mine = paths.cache(image)[0]
            assert other.cache(image)[0] is not mine
            assert paths.cache(image)[0] is mine
            assert pool.submit(paths.cache, image).result()[0] is not mine
            assert paths.cache(image.float())[0] is not mine, "other numbers"

    def test_it_forgets_before_it_fills_the_memory(self, monkeypatch):
        monkeypatch.setattr("lookcloser.models.cnnrnn.paths.MOST_PREFIXES", 3)
        paths, image = network(), torch.zeros(LABELS, 6, dtype=torch.float64)
        with paths.session(), torch.no_grad():
            step, state = paths.cache(image)
            _, state = step(state, torch.full((LABELS,), START))
            assert paths.cache(image)[0] is step
            step(state, torch.arange(LABELS))
            assert paths.cache(image)[0] is not step


class TestForward:
    def slow_scores(self, made, image):
        """Along the greedy path: Σ_t P(path up to t) P(label | path up to t)."""
        path, reach, scores = [], 1.0, np.zeros(LABELS)
        while True:
            steps = np.exp(slow_log_probs(made.paths, image, path)[-1])
            steps[path] = 0.0
            scores += reach * steps[:LABELS]
            best = int(steps.argmax())
            if best == END:
                return path, scores
            reach *= steps[best]
            path.append(best)

    def ready(self, images):
        made = talkative()
        _, image = described(made, images)
        return made, image.double().numpy()

    def test_logits_are_those_of_the_greedy_path(self):
        made, image = self.ready(pictures(12))
        with torch.no_grad():
            logits = made(pictures(12)).logits.double().sigmoid()
        made.double()
        lengths = set()
        for row in range(12):
            path, expected = self.slow_scores(made, image[row])
            lengths.add(len(path))
            np.testing.assert_allclose(logits[row].numpy(), expected, rtol=1e-4)
        assert len(lengths) > 1

    def test_they_bound_the_answers_scores_from_below(self, monkeypatch):
        monkeypatch.setattr("lookcloser.models.cnnrnn.model.SCORED_PATHS", 1000)
        made, _ = self.ready(pictures(8))
        with torch.no_grad():
            low, full = made(pictures(8)).logits, made.answer(pictures(8), 1).logits
        assert (low <= full + 1e-4).all()
        assert (low < full - 1e-2).any()

    def test_gradients_pass_through_the_steps_and_not_through_the_path_before_them(self):
        made, _ = self.ready(pictures(1))
        made.double()
        output = made(pictures(1).double())
        share = made.paths.image(output.features).detach().requires_grad_()
        path, _ = self.slow_scores(made, share[0].detach().numpy())
        assert len(path) > 1
        steps = made.paths.log_probs(made.paths.project(share, torch.tensor([path])))[0].exp()
        score, reach = 0.0, 1.0
        for place, label in enumerate(path):
            score = score + reach * steps[place, path[-1]]
            reach = reach * steps[place, label].item()
        (expected,) = torch.autograd.grad(score.logit(), share)
        (slope,) = torch.autograd.grad(output.logits[0, path[-1]], output.features)
        torch.testing.assert_close(slope, expected @ made.paths.image.weight)

    def test_sure_scores_keep_finite_logits_with_a_gradient(self):
        made = model(tied=False)
        made.paths.rows.bias.data = torch.tensor([30.0, 0.0, 0.0, 0.0, 0.0])
        output = made(pictures(2))
        assert (output.logits[:, 0] > 20).all()
        assert torch.isfinite(output.logits).all()
        slopes = torch.autograd.grad(output.logits[:, 0].sum(), output.features)[0]
        assert slopes.abs().sum() > 0

    def test_in_training_the_path_is_start_alone(self):
        made = model().train()
        output = made(pictures())
        assert output.maps is None
        assert output.features.shape == (3, made.backbone.width)
        steps = made.paths.log_probs(
            made.paths.project(
                made.paths.image(output.features), torch.zeros(3, 0, dtype=torch.long)
            )
        )
        assert_alike(output.logits.sigmoid(), steps[:, 0, :LABELS].exp())

    def test_half_precision(self):
        made = model()
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            output, answer = made(pictures()), made.answer(pictures(), 1)
        assert torch.isfinite(output.logits).all()
        assert torch.isfinite(answer.maps).all()


class TestMaps:
    def slow_gradcam(self, made, features, path, place, label):
        """Autograd Grad-CAM of the score of one label at one step, without bias of the output."""
        features = features.clone().requires_grad_()
        image = made.paths.image(features.mean(dim=(2, 3)))
        projected = made.paths.project(image, path)[:, place]
        score = projected @ made.paths.label_rows[label]
        (slopes,) = torch.autograd.grad(score.sum(), features)
        return torch.einsum("bd,bdhw->bhw", slopes.mean(dim=(2, 3)), features).relu().detach()

    def test_of_an_answer_they_are_grad_cam_of_each_step(self, taught):
        made, images = taught, pictures(6)
        with torch.no_grad():
            output = made.answer(images, 1)
        features, _ = described(made, images)
        assert (output.tokens >= 0).sum() == sum(map(len, SETS))
        area = features.shape[2] * features.shape[3]
        for row in range(6):
            for place, label in enumerate(output.tokens[row].tolist()):
                if label < 0:
                    assert not output.maps[row, place].any()
                    continue
                expected = self.slow_gradcam(
                    made, features[row : row + 1], output.tokens[row : row + 1], place, label
                )[0]
                found = output.maps[row, place].relu() / area
                assert_alike(found, expected, scale=output.maps / area)

    def test_the_evidence_shifts_from_step_to_step(self, taught):
        made, images = taught, pictures(6)
        with torch.no_grad():
            maps = made.answer(images, 1).maps
            forward = made(images).maps
        assert not torch.allclose(maps[:, 0], maps[:, 1])
        assert forward.shape[:2] == (6, LABELS)

    def test_of_the_forward_pass_they_are_of_the_step_that_most_probably_names_the_label(
        self, taught
    ):
        made, images = taught, pictures(4)
        features, image = described(made, images)
        with torch.no_grad():
            every = made(images)
            chosen = made(images, targets=torch.tensor([[1, 3]] * 4))
            best = made(images, top=2)
        rows = torch.arange(4)[:, None]
        assert torch.equal(best.tokens, every.logits.topk(2).indices)
        assert_alike(best.maps, every.maps[rows, best.tokens])
        assert_alike(chosen.maps, every.maps[:, [1, 3]])
        area = features.shape[2] * features.shape[3]
        slow = TestForward()
        double = copy.deepcopy(taught).double()
        for row in range(4):
            path, _ = slow.slow_scores(double, image[row].double().numpy())
            steps = np.exp(slow_log_probs(double.paths, image[row].double().numpy(), path))
            for label in range(LABELS):
                last = path.index(label) + 1 if label in path else len(path) + 1
                reach = [np.prod([steps[j, path[j]] for j in range(i)]) for i in range(last)]
                place = int(np.argmax([reach[i] * steps[i, label] for i in range(last)]))
                expected = self.slow_gradcam(
                    made,
                    features[row : row + 1],
                    torch.tensor([path], dtype=torch.long),
                    place,
                    label,
                )[0]
                found = every.maps[row, label].relu() / area
                assert_alike(found, expected, scale=every.maps / area)

    def test_the_views_of_any_network_look_at_the_logits(self, taught):
        maps = gradcam(taught, pictures(2), targets=torch.tensor([[0], [2]]))
        assert maps.shape[:2] == (2, 1)
        assert torch.isfinite(maps).all()
        assert maps.any()


class TestFollowing:
    def test_a_label_of_the_path_is_judged_at_its_step(self):
        made = talkative()
        _, image = described(made, pictures(3))
        with torch.no_grad():
            found = made.following(torch.tensor([2, 0, -1]))(pictures(3)).double().sigmoid()
        made.double()
        for row in range(3):
            steps = np.exp(slow_log_probs(made.paths, image[row].double().numpy(), [2, 0]))
            assert found[row, 2].item() == pytest.approx(steps[0, 2], rel=1e-4)
            assert found[row, 0].item() == pytest.approx(steps[1, 0], rel=1e-4)
            reach = np.array([1.0, steps[0, 2], steps[0, 2] * steps[1, 0]])
            for label in (1, 3):
                place = int((reach * steps[:, label]).argmax())
                assert found[row, label].item() == pytest.approx(steps[place, label], rel=1e-4)

    def test_an_empty_answer_is_judged_after_start(self):
        made = talkative()
        with torch.no_grad():
            found = made.following(torch.tensor([-1]))(pictures(2)).sigmoid()
            image = described(made, pictures(2))[1]
            steps = made.paths.project(image, torch.zeros(2, 0, dtype=torch.long))
            expected = made.paths.log_probs(steps)[:, 0, :LABELS].exp()
        assert_alike(found, expected)

    @pytest.mark.parametrize("view", [gradcam, deconvnet, occlusion])
    def test_views_show_each_label_at_its_step_in_one_call(self, taught, view):
        images = pictures(6)[2:3]
        with torch.inference_mode():
            tokens = taught.answer(images, 1).tokens[0]
        assert tokens.tolist() == SETS[2]
        maps = view(taught.following(tokens), images, targets=tokens[None])
        assert maps.shape[:2] == (1, 3)
        for place, label in enumerate(SETS[2]):
            # Of a path that ends with the label, nothing that comes after it can be seen.
            alone = taught.following(torch.tensor(SETS[2][: place + 1]))
            expected = view(alone, images, targets=label)
            # Occlusion subtracts logits: what is lost of them does not shrink with the difference.
            with torch.no_grad():
                assert_alike(maps[:, place], expected, scale=alone(images))
        assert not torch.allclose(maps[0, 0] / maps[0, 0].max(), maps[0, 1] / maps[0, 1].max())

    def test_grad_cam_is_that_of_the_log_odds_of_the_step(self, taught):
        images, path = pictures(6)[2:3], torch.tensor([SETS[2]])
        features, _ = described(taught, images)
        for place, label in enumerate(SETS[2]):
            own = features.clone().requires_grad_()
            image = taught.paths.image(own.mean(dim=(2, 3)))
            steps = taught.paths.log_probs(taught.paths.project(image, path).double())
            (slopes,) = torch.autograd.grad(steps[0, place, label].exp().logit(eps=1e-15), own)
            expected = torch.einsum("bd,bdhw->bhw", slopes.mean(dim=(2, 3)), features).relu()
            found = gradcam(taught.following(path[0]), images, label)
            assert_alike(found, expected.detach())

    def test_the_model_is_left_as_it_was(self, taught):
        before = {name: value.clone() for name, value in taught.state_dict().items()}
        deconvnet(taught.following(torch.tensor([1])), pictures(1), 1)
        assert not taught.training
        assert all(torch.equal(before[name], value) for name, value in taught.state_dict().items())
        assert all(parameter.grad is None for parameter in taught.backbone.parameters())


class TestArguments:
    def catalog(self):
        names = ("ant", "bee", "cat", "dog")
        rows = [("train", ("bee",)), ("train", ("bee", "ant", "dog")), ("train", ()),
                ("test", names), ("val", ("cat",))]  # fmt: skip
        samples = tuple(
            Sample(str(number), Path(str(number)), labels, split=split)
            for number, (split, labels) in enumerate(rows)
        )
        return Catalog(Path(), "", "multilabel", names, samples)

    def test_counts_and_sizes_come_from_training_alone(self):
        found = CNNRNN.data_arguments(self.catalog())
        assert found == {"label_counts": [1, 2, 0, 1], "max_labels": 3}

    def test_arguments_are_json(self):
        arguments = {
            "num_classes": LABELS,
            "backbone": "test_resnet",
            "label_order": "rare",
            **CNNRNN.data_arguments(self.catalog()),
        }
        again = build_model("cnnrnn", json.loads(json.dumps(arguments)))
        assert again.ranks.tolist() == [1, 2, 0, 1]
        assert again.max_labels == 3

    def test_ranks_are_no_weights(self):
        assert "ranks" not in model(label_counts=[1, 2, 3, 4]).state_dict()

    def test_label_embeddings(self):
        made = model()
        assert torch.equal(made.label_embeddings(), made.paths.embedding.weight[:LABELS])
        assert not made.label_embeddings().requires_grad

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"label_order": "frequnt"}, "frequnt: unknown label_order. Close: frequent"),
            ({"decoder": "greedy"}, "greedy: unknown decoder"),
            ({"gate": "tanh"}, "tanh: unknown gate"),
            ({"beam": 0}, "beam 0: not possible. Allowed: 1 or more"),
            ({"label_counts": [1, 2]}, "counts of the 4 labels"),
        ],
    )
    def test_what_does_not_fit_is_named(self, options, message):
        with pytest.raises(LookcloserError, match=message):
            CNNRNN(LABELS, CNNRNN.Options("test_resnet", **options))


def test_easy_order_takes_the_likeliest_true_label_at_each_place():
    """By a loop over the places, asking the network after each prefix."""
    labels = network(seed=5)
    labels.image.weight.data *= 5
    targets = torch.zeros(len(SETS), LABELS).double()
    for row, members in enumerate(SETS):
        targets[row, members] = 1
    image = labels.image(
        torch.randn(len(SETS), 5, generator=torch.Generator().manual_seed(2)).double()
    )
    orders = torch.zeros(LABELS)  # not looked at
    log_probs, wanted = training_paths("easy", orders, labels, image, targets)
    differs = False
    for row, members in enumerate(SETS):
        left, path = set(members), []
        while left:
            prefix = torch.tensor([path], dtype=torch.long)
            scores = labels.log_probs(labels.project(image[row : row + 1], prefix))[0, -1].tolist()
            best = max(left, key=lambda label: scores[label])
            differs |= best != min(left)
            path.append(best)
            left.remove(best)
        assert wanted[row].tolist() == path + [-1] * (wanted.shape[1] - len(path))
    assert differs, "it is not the order of the numbers by chance"
    torch.testing.assert_close(log_probs, labels.log_probs(labels.project(image, wanted)))


@pytest.mark.parametrize("order", ["easy", "rare"])
def test_the_model_trains_on_the_paths_of_its_order(order):
    """What its loss is of, against the paths of each order for the same image features."""
    torch.manual_seed(3)
    model = CNNRNN(LABELS, CNNRNN.Options("test_resnet", label_order=order)).double().eval()
    targets = torch.zeros(len(SETS), LABELS).double()
    for row, members in enumerate(SETS):
        targets[row, members] = 1
    images = torch.randn(len(SETS), 3, 32, 32, dtype=torch.double)
    given = []
    original = cnnrnn_model.training_paths

    def note(asked, *arguments):
        given.append((asked, original(asked, *arguments)[1]))
        return original(asked, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cnnrnn_model, "training_paths", note)
        model.losses(model(images), targets, torch.nn.functional.cross_entropy)
    ((asked, wanted),) = given
    assert asked == order
    for row, members in enumerate(SETS):
        assert sorted(index for index in wanted[row].tolist() if index >= 0) == sorted(members)
