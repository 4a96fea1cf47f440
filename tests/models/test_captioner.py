import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lookcloser import scratch
from lookcloser.core import LookcloserError
from lookcloser.core.header import ModelHeader
from lookcloser.data.vocabulary import END, NULL, START, UNKNOWN
from lookcloser.models import Captioner, build_model, load_model_file, save_model_file
from lookcloser.models.captioner.attention import SoftAttention

METHODS = ("rnn", "lstm", "gru")
FORMS = [(method, attend) for method in METHODS for attend in (False, True)]
V, WIDTH = 9, 96
CAPTIONS = torch.tensor(
    [
        [START, 4, 5, 6, END, NULL],
        [START, 7, END, NULL, NULL, NULL],
        [START, 8, 8, 4, END, NULL],
    ]
)


def build(method: str = "lstm", seed: int = 0, **options: object) -> Captioner:
    """A small captioner whose random weights are large enough to have opinions."""
    torch.manual_seed(seed)
    sizes = {"embed_size": 12, "hidden_size": 16, "max_length": 7}
    model = build_model(
        method, {"num_classes": V, "backbone": "test_resnet", **sizes, **options}
    ).eval()
    assert isinstance(model, Captioner)
    for name, parameter in model.named_parameters():
        if not name.startswith("backbone"):
            torch.nn.init.normal_(parameter, std=0.6)
    return model


def maps(count: int = 3, size: tuple[int, int] = (2, 3), seed: int = 1) -> torch.Tensor:
    return torch.randn(count, WIDTH, *size, generator=torch.Generator().manual_seed(seed))


def mean_loss(model: Captioner, features: torch.Tensor, captions: torch.Tensor) -> torch.Tensor:
    return model.losses(model.describe(features), captions, F.cross_entropy)["loss"]


class TestLoss:
    @pytest.mark.parametrize("method", METHODS)
    def test_equals_the_numpy_captioner_on_the_same_weights(self, method: str) -> None:
        words = {"<NULL>": 0, "<START>": 1, "<END>": 2, **{f"w{i}": i for i in range(3, V)}}
        other = scratch.CaptioningRNN(words, WIDTH, 12, 16, method, dtype=np.float64, seed=3)
        p = {name: 3 * value for name, value in other.params.items()}
        other.params = p
        model = build(method).double()
        model.cell.load_scratch(p["Wx"], p["Wh"], p["b"])
        with torch.no_grad():
            model.embedding.weight.copy_(torch.tensor(p["W_embed"]))
            model.first.weight.copy_(torch.tensor(p["W_proj"].T))
            model.first.bias.copy_(torch.tensor(p["b_proj"]))
            model.word_weight.copy_(torch.tensor(p["W_vocab"].T))
            model.word_bias.copy_(torch.tensor(p["b_vocab"]))
        features = maps().mean(dim=(2, 3)).double()
        expected, grads = other.loss(features.numpy(), CAPTIONS.numpy())
        words_said = (CAPTIONS[:, 1:] != NULL).sum()
        # The course divides by images, this by words: the same but for a factor.
        loss = mean_loss(model, features, CAPTIONS) * words_said / len(CAPTIONS)
        assert loss.item() == pytest.approx(expected, rel=1e-12)
        loss.backward()
        np.testing.assert_allclose(
            model.first.weight.grad.T, grads["W_proj"], rtol=1e-9, atol=1e-12
        )
        np.testing.assert_allclose(
            model.word_weight.grad.T, grads["W_vocab"], rtol=1e-9, atol=1e-12
        )
        np.testing.assert_allclose(
            model.embedding.weight.grad, grads["W_embed"], rtol=1e-9, atol=1e-12
        )

    @pytest.mark.parametrize(("method", "attend"), FORMS)
    def test_each_word_is_scored_after_the_true_ones_before_it(
        self, method: str, attend: bool
    ) -> None:
        """Sentence by sentence and word by word: inputs lack the last, targets the first token."""
        model, features = build(method, attend=attend).double(), maps().double()
        losses = []
        for image, caption in zip(features, CAPTIONS.tolist(), strict=True):
            sentence = caption[: caption.index(END) + 1]
            for position in range(1, len(sentence)):
                read = torch.tensor([sentence[:position]])
                logits = model.word_logits(image[None], read)[0, -1]
                losses.append(-logits.log_softmax(0)[sentence[position]].item())
        assert len(losses) == 4 + 2 + 4, "END counts, NULL does not"
        assert mean_loss(model, features, CAPTIONS).item() == pytest.approx(
            np.mean(losses), rel=1e-5
        )

    def test_padding_changes_nothing(self) -> None:
        model, features = build(), maps()
        padded = F.pad(CAPTIONS, (0, 5), value=NULL)
        expected = mean_loss(model, features, CAPTIONS)
        torch.testing.assert_close(mean_loss(model, features, padded), expected)
        expected.backward()
        gradient = model.embedding.weight.grad
        assert not gradient[[NULL, END, UNKNOWN]].any(), "never read before a word that counts"
        assert gradient[[START, 4, 5, 6, 7, 8]].abs().sum(dim=1).all()

    def test_the_last_token_is_never_read_and_the_first_never_wanted(self) -> None:
        model, features = build(), maps()
        seen = []

        def spy(logits: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
            seen.append((logits.shape, words.tolist()))
            return F.cross_entropy(logits, words)

        model.losses(model.describe(features), CAPTIONS, spy)
        ((shape, words),) = seen
        assert words == [4, 5, 6, END, 7, END, 8, 8, 4, END]
        assert shape == (10, V)

    def test_captions_that_were_cut_have_no_end(self) -> None:
        model, features = build(), maps(1)
        cut = torch.tensor([[START, 4, 5]])
        logits = model.word_logits(features, cut[:, :-1])[0]
        expected = F.cross_entropy(logits, cut[0, 1:])
        torch.testing.assert_close(mean_loss(model, features, cut), expected)


class TestCaptions:
    @pytest.mark.parametrize(("method", "attend"), FORMS)
    def test_greedy_words_by_hand(self, method: str, attend: bool) -> None:
        model = build(method, seed=7, attend=attend, beam=1).double()
        features = maps(6).double()
        output = model.write(features)
        lengths = set()
        for row, image in enumerate(features):
            said: list[int] = []
            scores: list[float] = []
            while len(said) < model.max_length:
                logits = model.word_logits(image[None], torch.tensor([[START, *said]]))[0, -1]
                possible = logits.clone()
                possible[[NULL, START, UNKNOWN]] = -math.inf
                word = int(possible.argmax())
                if word == END:
                    break
                said.append(word)
                scores.append(logits.softmax(0)[word].item())
            width = output.tokens.shape[1]
            assert output.tokens[row].tolist() == said + [-1] * (width - len(said))
            np.testing.assert_allclose(
                output.token_scores[row], scores + [0.0] * (width - len(said)), atol=1e-5
            )
            lengths.add(len(said))
        assert len(lengths) > 1, "sentences of several lengths are in one batch"

    @pytest.mark.parametrize(("method", "attend"), FORMS)
    def test_the_beam_finds_the_best_caption_of_all(self, method: str, attend: bool) -> None:
        """As wide as there are captions, it must find what trying all of them finds."""
        model = build(method, seed=2, attend=attend, beam=400, max_length=3)
        features = maps(4)
        output = model.write(features)
        for row, image in enumerate(features):
            ended = every_caption(model, image[None], model.max_length)
            best = max(ended, key=ended.__getitem__)
            assert tuple(t for t in output.tokens[row].tolist() if t >= 0) == best

    def test_an_image_alone_gets_the_caption_it_gets_in_a_batch(self) -> None:
        model, features = build("gru", seed=4, attend=True), maps(6)
        together = model.write(features)
        for row in range(6):
            alone = model.write(features[row : row + 1])
            width = alone.tokens.shape[1]
            assert torch.equal(alone.tokens[0], together.tokens[row, :width])
            assert (together.tokens[row, width:] == -1).all()
            torch.testing.assert_close(
                alone.maps[0], together.maps[row, :width], rtol=1e-3, atol=1e-5
            )
            assert not together.maps[row, width:].any()

    @pytest.mark.parametrize("beam", [1, 3])
    def test_there_is_a_caption_even_where_none_ends(self, beam: int) -> None:
        model = build(beam=beam)
        with torch.no_grad():
            model.word_bias[END] = -1e4
        output = model.write(maps(2))
        assert output.tokens.shape == (2, model.max_length)
        assert (output.tokens > END).all()

    def test_the_empty_caption(self) -> None:
        model = build()
        with torch.no_grad():
            model.word_bias[END] = 1e4
        output = model.write(maps(2))
        assert output.tokens.tolist() == [[-1], [-1]]
        assert output.token_scores.tolist() == [[0.0], [0.0]]
        assert not output.maps.any()

    def test_padding_start_and_unknown_are_never_said(self) -> None:
        model = build()
        with torch.no_grad():
            model.word_bias[[NULL, START, UNKNOWN]] = 1e4
        for temperature in (0.0, 1.0):
            model.temperature = temperature
            said = model.write(maps(4)).tokens
            assert set(said.flatten().tolist()) <= {-1, *range(4, V)}

    def test_random_captions(self) -> None:
        model, features = build(temperature=1.0), maps(8)
        drawn = model.write(features).tokens
        assert torch.equal(model.write(features).tokens, drawn), "the same for the same batch"
        same = model.write(features[:1].expand(30, -1, -1, -1)).tokens
        assert len({tuple(row) for row in same.tolist()}) > 5
        model.top_p = 1e-6
        likeliest = model.write(features).tokens
        model.temperature, model.beam = 0.0, 1
        assert torch.equal(model.write(features).tokens, likeliest)

    def test_first_scores_are_the_logits(self) -> None:
        model, features = build(), maps()
        expected = model.word_logits(features, torch.full((3, 1), START))[:, 0]
        torch.testing.assert_close(model.describe(features).logits, expected)
        torch.testing.assert_close(model.write(features).logits, expected)


def every_caption(
    model: Captioner, image: torch.Tensor, longest: int
) -> dict[tuple[int, ...], float]:
    """Log-probability of every ended caption of at most ``longest`` words."""
    ended = {}
    paths: dict[tuple[int, ...], float] = {(): 0.0}
    for length in range(longest + 1):
        read = torch.tensor([[START, *path] for path in paths])
        with torch.no_grad():
            logits = model.word_logits(image.expand(len(paths), -1, -1, -1), read)[:, -1]
        longer = {}
        for (path, total), row in zip(paths.items(), logits.log_softmax(1), strict=True):
            ended[path] = total + row[END].item()
            if length < longest:
                longer |= {(*path, w): total + row[w].item() for w in range(4, V)}
        paths = longer
    return ended


class TestEvidence:
    def test_attention_weights_are_the_maps(self) -> None:
        model, features = build(attend=True), maps(2)
        output = model.write(features)
        assert output.maps.shape == (*output.tokens.shape, 2, 3)
        said = output.tokens >= 0
        sums = output.maps.sum(dim=(2, 3))
        torch.testing.assert_close(sums, said.float())
        read = torch.cat([torch.full((2, 1), START), output.tokens[:, :-1].clamp(min=0)], dim=1)
        state = model.cell.initial_state(model.first(features.mean((2, 3))))
        context, hidden = torch.zeros(2, 16), []
        for words in model.embedding(read).unbind(1):
            out, state = model.cell(torch.cat([words, context], dim=1), state)
            context, _ = model.attention(out, model.attention.places(features))
            hidden.append(out)
        for row, step, y, x in [(0, 0, 0, 0), (1, 0, 1, 2), (0, 1, 0, 1)]:
            scores = []
            for cell_y, cell_x in np.ndindex(2, 3):
                where = torch.tensor([(2 * cell_x + 1) / 3 - 1, (2 * cell_y + 1) / 2 - 1])
                seen = model.attention.norm(features[row, :, cell_y, cell_x])
                key = model.attention.key(torch.cat([seen, where]))
                scores.append(4 * key @ model.attention.query(hidden[step][row]) / len(key) ** 0.5)
            expected = torch.stack(scores).softmax(0)[y * 3 + x] * said[row, step]
            torch.testing.assert_close(output.maps[row, step, y, x], expected)

    def test_attention_looks_where_the_query_points(self) -> None:
        attention = SoftAttention(4, 5, size=4)
        features = torch.zeros(1, 4, 3, 3)
        features[0, 2, 1, 0] = 10.0
        with torch.no_grad():
            attention.key.weight.zero_()
            attention.key.weight[0, 2] = 1.0
            attention.query.weight.zero_()
            attention.query.bias.copy_(torch.tensor([4.0, 0, 0, 0]))
            attention.context.weight.zero_()
            attention.context.weight[0, 4] = 1.0  # the column it looked at
            attention.context.weight[1, 5] = 1.0  # and the row
            attention.context.bias.zero_()
            context, weights = attention(torch.zeros(1, 5), attention.places(features))
        assert weights.argmax() == 3, "second row, first column, counted row by row"
        assert context[0, 0] == pytest.approx(-2 / 3, abs=1e-3)
        assert context[0, 1] == pytest.approx(0.0, abs=1e-3)

    def test_the_scale_of_features_does_not_matter(self) -> None:
        attention, features = SoftAttention(6, 5), maps(2)[:, :6]
        places = attention.places(features)
        torch.testing.assert_close(attention.places(100 * features), places, rtol=1e-3, atol=1e-3)

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
    def test_maps_of_the_plain_form_are_grad_cam_of_every_word(self, method, mode) -> None:
        # In double precision: what float32 rounds differs from processor to processor.
        model, features = build(method, seed=4).double(), maps(3).double()
        with mode():
            output = model.write(features.clone())
        for row, step in (output.tokens >= 0).nonzero().tolist():
            leaf = features[row : row + 1].clone().requires_grad_()
            read = torch.tensor([[START, *output.tokens[row, :step].tolist()]])
            score = model.word_logits(leaf, read)[0, -1, output.tokens[row, step]]
            (gradient,) = torch.autograd.grad(score, leaf)
            weights = gradient.sum(dim=(2, 3), keepdim=True)  # 1/Z of Grad-CAM, times Z
            expected = (weights * leaf).sum(dim=1)[0]
            torch.testing.assert_close(output.maps[row, step], expected.detach())
        assert all(parameter.grad is None for parameter in model.parameters())

    def test_pooled_features_have_no_places(self) -> None:
        model, features = build(), maps()
        pooled = model.write(features.mean(dim=(2, 3)))
        assert pooled.maps is None
        assert torch.equal(pooled.tokens, model.write(features).tokens)


class TestFeatures:
    @pytest.mark.parametrize("attend", [False, True])
    def test_features_take_the_place_of_images(self, attend: bool) -> None:
        model = build(attend=attend)
        images = torch.randn(3, 3, 64, 96, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            features = model.backbone(images)
        by_image, by_feature = model(images), model.describe(features)
        torch.testing.assert_close(by_image.logits, by_feature.logits)
        torch.testing.assert_close(
            model.losses(by_image, CAPTIONS, F.cross_entropy)["loss"],
            mean_loss(model, features, CAPTIONS),
        )
        with torch.inference_mode():
            answered, written = model.answer(images, top=1), model.write(features)
        assert torch.equal(answered.tokens, written.tokens)
        torch.testing.assert_close(answered.maps, written.maps)

    def test_training_on_features_leaves_the_backbone_alone(self) -> None:
        model = build()
        mean_loss(model, maps(), CAPTIONS).backward()
        assert all(weight.grad is None for weight in model.backbone.parameters())
        assert model.first.weight.grad.abs().sum() > 0

    @pytest.mark.parametrize(
        ("attend", "shape", "allowed"),
        [
            (True, (2, 96), r"\(B, 96, h, w\), of the backbone test_resnet"),
            (False, (2, 32), r"\(B, 96, h, w\) or \(B, 96\), of the backbone test_resnet"),
            (False, (2, 3, 64, 64), r"Features of shape \(2, 3, 64, 64\)"),
            (False, (2, 96, 3), r"Features of shape \(2, 96, 3\)"),
        ],
    )
    def test_other_shapes(self, attend: bool, shape: tuple[int, ...], allowed: str) -> None:
        with pytest.raises(LookcloserError, match=allowed):
            build(attend=attend).describe(torch.zeros(shape))


class TestOptions:
    def test_tied_scores_are_products_with_the_words_own_vectors(self, tmp_path) -> None:
        model, features = build(tied=True, attend=True), maps()
        hidden, _ = model.states(features, CAPTIONS[:, :2])
        expected = hidden @ model.narrow.weight.T @ model.embedding.weight.T + model.word_bias
        torch.testing.assert_close(model.word_scores(hidden), expected)
        assert model.word_weight is None
        names = ("<NULL>", "<START>", "<END>", "<UNK>", *"abcde")
        arguments = {"num_classes": V, "backbone": "test_resnet", "tied": True, "attend": True}
        arguments |= {"embed_size": 12, "hidden_size": 16, "max_length": 7}
        header = ModelHeader("lstm", arguments, "captioning", names)
        loaded, header = load_model_file(
            save_model_file(tmp_path / "m.safetensors", model.state_dict(), header)
        )
        assert header.names == names
        assert torch.equal(loaded.write(features).tokens, model.write(features).tokens)

    @pytest.mark.parametrize(("method", "attend"), FORMS)
    def test_half_precision(self, method: str, attend: bool) -> None:
        model, features = build(method, attend=attend).train(), maps()
        exact = mean_loss(model, features, CAPTIONS)
        model.own_words = 1e-9
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = mean_loss(model, features, CAPTIONS)
            tokens = model.eval().write(features).tokens
        torch.testing.assert_close(loss, exact, rtol=0.15, atol=0.05)
        assert len(tokens) == 3

    def test_dropout_in_training_only(self) -> None:
        model, features = build(drop_rate=0.5), maps()
        before = mean_loss(model, features, CAPTIONS)
        assert torch.equal(mean_loss(model, features, CAPTIONS), before)
        model.train()
        assert mean_loss(model, features, CAPTIONS) != before

    @pytest.mark.parametrize("attend", [False, True])
    def test_scheduled_sampling_reads_the_models_own_words(self, attend: bool) -> None:
        model, features = build(seed=4, attend=attend), maps(3)
        with torch.no_grad():
            model.word_weight.mul_(20000)  # so sure that drawing a word is choosing the best
        model.train()
        teacher = mean_loss(model, features, CAPTIONS)
        model.own_words = 1.0
        own = mean_loss(model, features, CAPTIONS)
        expected, differs = [], False
        for image, caption in zip(features, CAPTIONS.tolist(), strict=True):
            read = [START]
            for word in caption[1 : caption.index(END) + 1]:
                logits = model.word_logits(image[None], torch.tensor([read]))[0, -1]
                expected.append(-logits.log_softmax(0)[word].item())
                possible = logits.clone()
                possible[[NULL, START, UNKNOWN]] = -math.inf
                read.append(int(possible.argmax()))
            differs |= read[1:] != caption[1 : len(read)]
        assert differs, "or the test would say nothing"
        assert own.item() == pytest.approx(np.mean(expected), rel=1e-4)
        assert own.item() != pytest.approx(teacher.item(), rel=1e-3)
        model.eval()
        torch.testing.assert_close(mean_loss(model, features, CAPTIONS), teacher)

    def test_a_share_of_own_words(self) -> None:
        model, features = build(), maps(1).expand(400, -1, -1, -1)
        inputs = torch.tensor([[START, 4, NULL]]).expand(400, -1)
        with torch.no_grad():
            model.word_bias[5] = 1e4
        model.own_words = 0.25
        torch.manual_seed(0)
        mixed = model._own_inputs(features, inputs)
        assert (mixed[:, 0] == START).all()
        assert (mixed[:, 2] == NULL).all(), "padding stays padding"
        assert (mixed[:, 1] == 5).float().mean().item() == pytest.approx(0.25, abs=0.06)
        assert torch.equal(inputs, torch.tensor([[START, 4, NULL]]).expand(400, -1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam": 0}, "beam 0"),
        ({"max_length": 0}, "max_length 0"),
        ({"temperature": -1.0}, "temperature -1"),
        ({"temperature": 1.0, "top_p": 5.0}, "top_p 5"),
        ({"scheduled_sampling": 3.0}, "scheduled_sampling 3"),
        ({"top_p": 0.9}, "top_p 0.9: not without a temperature"),
    ],
)
def test_numbers_out_of_range_are_named_before_any_training(options, message):
    with pytest.raises(LookcloserError, match=message):
        build_model("lstm", {"num_classes": 8, "backbone": "test_resnet", **options})
