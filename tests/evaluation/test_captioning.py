import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F
from typer.testing import CliRunner

import lookcloser as lc
from lookcloser import metrics
from lookcloser.cli.app import app
from lookcloser.core import LookcloserError
from lookcloser.core.preprocessing import input_pixels
from lookcloser.core.results.scores import flat_scores
from lookcloser.core.sizes import Grid
from lookcloser.core.types import Prediction, Region
from lookcloser.data import Sample, read_data
from lookcloser.data.scenes import write_scenes
from lookcloser.data.vocabulary import END, START, Vocabulary, tokenize
from lookcloser.evaluation import captioning
from lookcloser.metrics.captions import DocumentFrequency

QUICK = {
    "backbone": "test_resnet", "weights": "none", "stride": 8, "size": 32, "epochs": 12,
    "batch_size": 8, "lr": 1e-2, "warmup": 0.5, "workers": 0, "augment": "shift",
    "hidden_size": 24, "embed_size": 12, "label_smoothing": 0.0,
}  # fmt: skip


def as_batch(recognizer, picture):
    return recognizer.engine.images(input_pixels(picture, recognizer.header.preprocessing)[None])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "scenes"
    return write_scenes(folder, "captions", train=40, val=6, test=10, size=48)


@pytest.fixture(scope="module", params=["plain", "attend"])
def recognizer(request, data, tmp_path_factory):
    return lc.train(
        data, out=tmp_path_factory.mktemp("runs") / "captions", quiet=True, method="lstm",
        attend=request.param == "attend", **QUICK,
    )  # fmt: skip


def test_a_caption_has_a_region_for_every_word(recognizer, data):
    for answer in recognizer.predict(data / "test"):
        assert answer.task == "captioning"
        assert answer.labels == ()
        assert answer.caption == " ".join(region.label for region in answer.regions)
        assert [region.step for region in answer.regions] == list(range(len(answer.regions)))
        for region in answer.regions:
            assert region.kind == "word"
            assert 0 < region.score <= 1
            assert region.heatmap.shape == (4, 4)
            assert 0 <= region.heatmap.min() <= region.heatmap.max() <= 1
        assert not set(answer.caption.split()) & {"<NULL>", "<START>", "<END>", "<UNK>"}
        json.dumps(answer.to_dict())


def test_drawing_shows_every_word(recognizer, data):
    answer = max(recognizer.predict(data / "test"), key=lambda a: len(a.regions))
    assert len(answer.regions) > 1
    assert answer.plot().tobytes() == answer.plot(regions=len(answer.regions)).tobytes()
    assert answer.plot().width > answer.plot(regions=1).width


def test_the_name_of_the_thing(recognizer):
    words = len(recognizer.names)
    assert repr(recognizer).startswith(f"Recognizer(lstm, test_resnet, {words} words")
    assert recognizer.names[:4] == ("<NULL>", "<START>", "<END>", "<UNK>")
    again = lc.load(recognizer.folder)
    assert again.names == recognizer.names


def test_scores_are_those_of_the_captions(recognizer, data):
    found = recognizer.evaluation(data)
    catalog = read_data(data)
    said = [a.prediction.caption.split() for a in found.answers]
    references = [[tokenize(text) for text in a.truth] for a in found.answers]
    frequency = DocumentFrequency.of(
        [[tokenize(text) for text in sample.captions] for sample in catalog.split("train")]
    )
    for name, value in metrics.bleu(said, references).items():
        assert found.metrics[name] == pytest.approx(value)
    assert found.metrics["ROUGE-L"] == pytest.approx(metrics.rouge_l(said, references))
    assert found.metrics["CIDEr-D"] == pytest.approx(metrics.cider_d(said, references, frequency))
    right = [words in texts for words, texts in zip(said, references, strict=True)]
    assert [answer.correct for answer in found.answers] == right
    assert found.metrics["exact caption"] == pytest.approx(np.mean(right))
    assert found.metrics["nll"] == pytest.approx(np.mean([a.loss for a in found.answers]))
    for answer, sample in zip(found.answers, catalog.split("test"), strict=True):
        assert answer.truth == sample.captions
        assert answer.boxes == tuple(box for _, box in sample.boxes)
    with_interval = {score.name for score in found.scores if score.interval}
    assert {"ROUGE-L", "CIDEr-D", "exact caption", "nll"} == with_interval
    assert found.settings["document frequency of CIDEr-D"] == "the training captions"


def test_losses_are_those_of_all_words_of_all_references(recognizer, data):
    encode = Vocabulary(recognizer.names).encode
    for answer in recognizer.evaluation(data, batch_size=3).answers[:6]:
        picture = Image.open(answer.prediction.path).convert("RGB")
        with torch.no_grad():
            features = recognizer.model.backbone(as_batch(recognizer, picture))
        losses = []
        for text in answer.truth:
            words = torch.tensor([START, *encode(text), END], device=features.device)
            logits = recognizer.model.word_logits(features, words[None, :-1])[0]
            losses += F.cross_entropy(logits, words[1:], reduction="none").tolist()
        assert answer.loss == pytest.approx(np.mean(losses), rel=1e-4)


def test_predict_and_evaluate_agree(recognizer, data):
    by_path = {str(a.path): a.caption for a in recognizer.predict(data / "test")}
    for answer in recognizer.evaluation(data, batch_size=4).answers:
        assert by_path[str(answer.prediction.path)] == answer.prediction.caption


def test_the_pointing_game_by_hand(recognizer, data):
    found = recognizer.evaluation(data)
    words = hits = centered = 0
    samples = read_data(data).split("test")
    for answer, sample in zip(found.answers, samples, strict=True):
        for region in answer.prediction.regions:
            boxes = [np.array(box) * 32 / 48 for name, box in sample.boxes if name == region.label]
            if boxes:
                large = metrics.upsample_maps(region.heatmap[None], (32, 32))[0]
                y, x = np.unravel_index(large.argmax(), large.shape)
                flat = large.max() == large.min()
                words += 1
                hits += not flat and any(
                    b[0] <= x + 0.5 <= b[2] and b[1] <= y + 0.5 <= b[3] for b in boxes
                )
                centered += any(b[0] <= 15.5 <= b[2] and b[1] <= 15.5 <= b[3] for b in boxes)
    if words:
        assert found.metrics["pointing"] == pytest.approx(hits / words)
        assert found.metrics["pointing center box"] == pytest.approx(centered / words)
        assert found.settings["pointing"].startswith(f"{words} words said")
    else:
        assert "pointing" not in found.metrics


def planted(word: str, peak: tuple[int, int], boxes: tuple[tuple[str, tuple[float, ...]], ...]):
    heatmap = np.zeros((4, 4), np.float32)
    heatmap[peak] = 1.0
    region = Region("word", word, 0.9, heatmap=heatmap, step=0)
    sample = Sample("a", Path("a"), captions=(word,), boxes=boxes)
    prediction = Prediction("captioning", (), (region,), (80, 40), caption=word)
    return captioning.Written(sample, prediction, [[word]], 0.0)


LEFT, RIGHT = (0.0, 0.0, 20.0, 10.0), (60.0, 30.0, 80.0, 40.0)


@pytest.mark.parametrize(
    ("word", "peak", "boxes", "expected"),
    [
        ("dog", (0, 0), (("dog", LEFT),), 1.0),
        ("dog", (0, 0), (("Dog", LEFT),), 1.0),
        ("dog", (0, 0), (("dog", RIGHT),), 0.0),
        ("dog", (3, 3), (("dog", LEFT), ("dog", RIGHT)), 1.0),
        ("dog", (3, 3), (("cat", RIGHT), ("dog", LEFT)), 0.0),
        ("dog", (3, 3), (("cat", RIGHT), (None, RIGHT), ("hot dog", RIGHT)), None),
    ],
)  # fmt: skip
def test_pointing_counts_boxes_of_the_word_in_original_pixels(word, peak, boxes, expected):
    tally = captioning.PointingTally(Grid(32, 32))
    tally.add([planted(word, peak, boxes)])
    assert flat_scores(tally.scores()).get("pointing") == expected
    assert tally.count == (expected is not None)


def test_the_report_shows_caption_references_and_words(recognizer, data):
    page, found = recognizer.report(data)
    text = re.sub(r"<wbr>", "", page.read_text(encoding="utf-8"))
    assert "BLEU-4" in text
    assert "CIDEr-D" in text
    assert "Exact caption" in text
    for answer in found.answers:
        for reference in answer.truth:
            assert f"<dd>{reference}</dd>" in text
    buttons = sum(len(answer.prediction.regions) for answer in found.answers)
    assert text.count('class="region region-word"') == buttons
    assert "classes" not in text.split("<main>")[0], "a captioner has none"


def test_the_command_line(recognizer, data, tmp_path):
    run, image = str(recognizer.folder), str(data / "test" / "00000.png")
    said = recognizer.predict(image)[0].caption
    runner = CliRunner()
    done = runner.invoke(app, ["predict", run, image, "--save", str(tmp_path)])
    assert f"{image}: {said}" in done.output
    assert (tmp_path / "00000.png").is_file()
    done = runner.invoke(app, ["evaluate", run, str(data), "--json"])
    assert done.exit_code == 0
    assert '"cider_d"' in done.output
    done = runner.invoke(app, ["report", run, str(data), "--out", str(tmp_path / "r.html")])
    assert done.exit_code == 0
    assert (tmp_path / "r.html").stat().st_size > 50_000


class TestErrors:
    def test_views_are_of_classes(self, recognizer, data):
        with pytest.raises(LookcloserError, match="lstm: writes captions, .* --save FOLDER"):
            recognizer.explain(data / "test" / "00000.png")

    def test_images_that_cannot_be_read_are_listed(self, recognizer, data):
        catalog = read_data(data)
        broken = Sample("x.png", Path("nowhere.png"), captions=("a",), split="test")
        found = recognizer.evaluation(replace(catalog, samples=(broken, *catalog.samples)))
        assert len(found.answers) == 10
        assert [name for name, _ in found.skipped] == ["x.png"]
        with pytest.raises(LookcloserError, match="None of the 1 images could be read"):
            recognizer.evaluation(replace(catalog, samples=(broken,)))

    def test_images_without_a_caption(self, recognizer, data):
        catalog = read_data(data)
        silent = tuple(replace(sample, captions=()) for sample in catalog.samples)
        with pytest.raises(LookcloserError, match=r"test/00000.png: no caption to compare with"):
            recognizer.evaluation(replace(catalog, samples=silent))

    def test_data_of_another_task(self, recognizer, squares):
        with pytest.raises(LookcloserError, match="This model answers captioning"):
            recognizer.evaluation(squares)


def test_words_the_vocabulary_lacks_are_told(recognizer, data):
    catalog = read_data(data)
    strange = tuple(replace(sample, captions=("a unicorn",)) for sample in catalog.split("test"))
    found = recognizer.evaluation(replace(catalog, samples=strange))
    assert found.settings["references"].startswith("1 an image; 50.0% of their words are not")
    assert found.settings["document frequency of CIDEr-D"] == "the references"
    assert found.metrics["exact caption"] == 0
