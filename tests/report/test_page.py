"""The finished file: complete in itself, escaped, deterministic, with the right sections."""

import base64
import dataclasses
import hashlib
import json
import re

import numpy as np
import pytest

from lookcloser.core import Answer, Evaluation, Label, LookcloserError, Prediction, Region
from lookcloser.core.results.scores import Score
from lookcloser.report import write_report
from lookcloser.report.sources import breakable, gallery_colors

HISTORY = [{"epoch": i, "train_loss": 2.0 / (i + 1), "val_acc": 0.1 * i} for i in range(5)]
ABOUT = {"method": "cam", "command": "lookcloser train birds/ --seed 0"}
HOSTILE = [
    "</script><script>alert(1)</script>",
    "\"><img src=x onerror='alert(2)'>",
    "{{ 7 * 7 }}{% raw %}",
    "日本語 <b>&amp; ünï\u2028",
    "<!-- <script>",
    "x" * 60,
]


def scored(name, value):
    return (Score(name, value, higher_is_better=True),)


@pytest.fixture
def write(tmp_path, parse):
    def write_and_parse(evaluation, name="report.html", **kwargs):
        path = write_report(tmp_path / name, evaluation, **kwargs)
        return parse(path.read_text(encoding="utf-8"))

    return write_and_parse


def data_of(page):
    return json.loads(page.scripts[0])


def sections(page):
    return {found["id"] for tag, found in page.tags if tag == "section"}


class TestContents:
    def test_everything_is_there(self, write, evaluation):
        page = write(evaluation, history=HISTORY, about=ABOUT, title="Three animals")
        assert sections(page) == {
            *("summary", "evidence", "confusion", "classes", "localization"),
            *("calibration", "learning", "data", "about", "limits"),
        }
        assert not page.open, "every tag is closed"
        for expected in [
            "Three animals",
            "Top-1 accuracy 50.0\u202f% 95 %: 25.0–75.0\u202f%",
            "MaxBoxAcc @ 0.5 75.0\u202f% center box 25.0\u202f%",
            "lookcloser train birds/ --seed 0",
            "broken.jpg: truncated",
            "0.2 of the maximum, chosen on val",
            "Wrong answers, highest loss first.",
        ]:
            assert expected in page.text

    def test_links_lead_to_sections(self, write, evaluation):
        page = write(evaluation, history=HISTORY, about=ABOUT)
        targets = {found["href"].removeprefix("#") for tag, found in page.tags if tag == "a"}
        assert targets == sections(page) - {"summary"}

    def test_missing_material_leaves_its_section_out(self, write, bare):
        assert sections(write(bare)) == {"summary", "data", "limits"}

    @pytest.mark.parametrize(
        ("change", "missing"),
        [
            ({"confusion": None}, "confusion"),
            ({"per_class": {}}, "classes"),
            ({"calibration": ()}, "calibration"),
            ({"answers": ()}, "evidence"),
        ],
    )
    def test_one_missing_part(self, write, evaluation, change, missing):
        whole = sections(write(evaluation))
        assert whole - sections(write(dataclasses.replace(evaluation, **change))) == {missing}

    def test_no_boxes_no_localization_and_no_box_controls(self, write, evaluation):
        answers = tuple(
            dataclasses.replace(answer, boxes=(), iou=None) for answer in evaluation.answers
        )
        scores = (Score("top1", 0.5, higher_is_better=True),)
        page = write(dataclasses.replace(evaluation, answers=answers, scores=scores))
        assert "localization" not in sections(page)
        assert not page.having(name="true_boxes")
        assert not page.having(value="misplaced")

    def test_the_worst_mistake_comes_first(self, write, evaluation):
        page = write(evaluation)
        assert data_of(page)["galleries"]["worst"] == [2, 1]
        first = next(found for _, found in page.tags if found.get("class") == "card")
        assert first["data-card"] == "2"
        chosen = [found["value"] for found in page.having(name="gallery") if "checked" in found]
        assert chosen == ["worst"]

    def test_a_image_in_several_galleries_is_stored_once(self, write, evaluation):
        page = write(evaluation)
        galleries = data_of(page)["galleries"]
        assert sum(map(len, galleries.values())) > 4
        shown = [found["data-card"] for found in page.having(class_="card")]
        assert sorted(shown) == ["0", "1", "2", "3"]
        assert len([1 for tag, _ in page.tags if tag == "img"]) == 4

    def test_what_an_answer_does_not_know_is_shown(self, write, evaluation, evil):
        first = evaluation.answers[0]
        doubted = dataclasses.replace(first.prediction, refusal=evil)
        answers = (dataclasses.replace(first, prediction=doubted), *evaluation.answers[1:])
        page = write(dataclasses.replace(evaluation, answers=answers))
        assert page.text.count(f"perhaps none of these: {evil}") == 1
        assert "perhaps none" not in write(evaluation).text

    def test_data_audit(self, write, bare):
        data = {
            "layout": "class folders",
            "splits": {"train": {"pictures": 1500}, "test": {"pictures": 1452}},
            "duplicates": [f"a{i} = b{i}" for i in range(60)],
        }
        text = write(bare, data=data).text
        assert "layout class folders" in text
        assert "splits pictures train 1\u202f500 test 1\u202f452" in text
        assert "a49 = b49" in text
        assert "a50 = b50" not in text
        assert "and 10 more" in text


class TestOtherTasks:
    def test_tags(self, write, photos):
        labels = (Label("dog", 0.8, 0), Label("cat", 0.3, 1))
        heatmap = np.ones((4, 4), np.float32)
        regions = tuple(
            Region("step", label.name, label.score, None, heatmap, step)
            for step, label in enumerate(labels)
        )
        prediction = Prediction("multilabel", labels, regions, (400, 300), photos[0])
        answers = (Answer(prediction, ("dog", "sofa"), loss=1.0),)
        names = ("dog", "cat", "sofa")
        page = write(Evaluation("multilabel", "test", names, scored("mAP", 0.6), answers))
        assert "✓ step 1: dog 80.0\u202f%" in page.text
        assert "✗ step 2: cat 30.0\u202f%" in page.text
        assert "✓ sofa missed" in page.text
        assert not page.having(name="of"), "there is no rival class to switch to"

    def test_every_label_of_a_set_is_an_answer(self, write, photos):
        labels = tuple(Label(f"tag{i}", 0.9 - i / 10, i) for i in range(8))
        prediction = Prediction("multilabel", labels, (), (400, 300), photos[0])
        answers = (Answer(prediction, ("tag0",), iou=0.25),)
        page = write(Evaluation("multilabel", "test", (), scored("exact", 0.5), answers))
        # Once beside the picture and once among the details.
        assert page.text.count("tag7 20.0\u202f%") == 2
        assert "0.25, mean over the true labels" in page.text
        assert "Exact set" in page.text

    def test_labels_nearby(self, write, photos):
        near = {"<b>dog</b>": (("cat", 0.91), ("sofa", -0.1)), "cat": ()}
        evaluation = Evaluation("multilabel", "test", (), (), (), neighbors=near)
        page = write(evaluation)
        assert page.having(href="#neighbors")
        assert "<b>dog</b> cat 0.91 sofa -0.10" in page.text
        assert not write(dataclasses.replace(evaluation, neighbors={})).having(href="#neighbors")

    def test_captions(self, write, photos):
        words = ("a", "small", "dog")
        regions = tuple(
            Region("word", word, 0.5, None, np.ones((4, 4), np.float32), step)
            for step, word in enumerate(words)
        )
        prediction = Prediction(
            "captioning", (), regions, (400, 300), photos[0], caption="a small dog"
        )
        other = dataclasses.replace(prediction, regions=())
        answers = (Answer(prediction, ("the puppy",)), Answer(other, ("the puppy",)))
        page = write(Evaluation("captioning", "test", (), scored("BLEU-4", 0.3), answers))
        buttons = [found for found in page.having(type="button") if "data-region" in found]
        assert [found["class"] for found in buttons] == ["region region-word"] * 3
        assert len(page.having(class_="caption")) == 1, "the buttons of the words say it already"
        assert "the puppy reference" in page.text
        assert set(data_of(page)["galleries"]) == {"worst", "random"}


class TestSafety:
    def hostile(self, evaluation, photos, tmp_path):
        weird = tmp_path / "<img src=x>.jpg"
        weird.write_bytes(photos[0].read_bytes())
        answers = []
        for index, answer in enumerate(evaluation.answers):
            name = HOSTILE[index]
            region = dataclasses.replace(answer.prediction.regions[0], label=name)
            prediction = dataclasses.replace(
                answer.prediction, labels=(Label(name, 0.9, 0),), regions=(region,), path=weird
            )
            answers.append(dataclasses.replace(answer, prediction=prediction, truth=(HOSTILE[0],)))
        return dataclasses.replace(
            evaluation,
            names=tuple(HOSTILE[:3]),
            answers=tuple(answers),
            split=HOSTILE[0],
            scores=(
                *evaluation.scores,
                *scored(HOSTILE[0], 0.5),
                Score(HOSTILE[1], 3.0, None, {HOSTILE[3]: 1.0}, higher_is_better=False),
            ),
            per_class={name: {HOSTILE[0]: 0.5, "count": 3} for name in HOSTILE},
            settings={HOSTILE[0]: HOSTILE[1]},
            skipped=((HOSTILE[1], HOSTILE[0]),),
        )

    @pytest.fixture
    def page(self, write, evaluation, photos, tmp_path):
        return write(
            self.hostile(evaluation, photos, tmp_path),
            history=[{"epoch": i, HOSTILE[0]: float(i), HOSTILE[1]: 1.0} for i in range(3)],
            about={HOSTILE[0]: HOSTILE[1], "command": HOSTILE[0]},
            data={HOSTILE[0]: {HOSTILE[1]: {HOSTILE[0]: HOSTILE[1]}}, HOSTILE[1]: HOSTILE[:1]},
            title=HOSTILE[0],
        )

    def test_names_are_text_everywhere(self, page):
        assert [tag for tag, _ in page.tags].count("script") == 2
        assert len(page.scripts) == 2
        assert not page.open
        for tag, attributes in page.tags:
            assert not any(name.startswith("on") for name in attributes), tag
            assert attributes.get("src", "data:").startswith("data:"), tag
        assert "alert(1)" not in page.scripts[1]
        assert HOSTILE[0] in page.words
        assert HOSTILE[2] in page.words, "templates in names are not run"

    def test_embedded_data_keeps_the_names(self, write, evaluation, photos, tmp_path):
        many = self.hostile(evaluation, photos, tmp_path)
        names = tuple(HOSTILE) * 6
        confusion = np.eye(36, dtype=np.int64)
        page = write(dataclasses.replace(many, names=names, confusion=confusion))
        assert data_of(page)["names"] == list(names)
        assert "<" not in page.scripts[0]

    def test_nothing_is_fetched(self, tmp_path, write, evaluation):
        page = write(evaluation, history=HISTORY, about=ABOUT)
        text = (tmp_path / "report.html").read_text(encoding="utf-8")
        assert "://" not in text
        assert not re.search(r"url\(|@import|\bfetch\(|XMLHttpRequest|import\s*\(", text)
        for tag, attributes in page.tags:
            assert tag not in {"link", "iframe", "object", "embed", "base"}
            for name in ("src", "href", "action", "data", "poster", "srcset"):
                assert attributes.get(name, "#").startswith(("#", "data:image/jpeg;base64,")), tag

    def test_the_policy_allows_this_script_only(self, page):
        (policy,) = page.having(**{"http-equiv": "Content-Security-Policy"})
        digest = base64.b64encode(hashlib.sha256(page.scripts[1].encode()).digest()).decode()
        assert policy["content"] == (
            f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
            f"script-src 'sha256-{digest}'"
        )

    def test_file_names_that_are_not_utf8(self, write, evaluation):
        skipped = (("caf\udce9.jpg", "truncated"),)
        page = write(dataclasses.replace(evaluation, skipped=skipped))
        assert "truncated" in page.text


class TestFile:
    def test_the_same_input_gives_the_same_bytes(self, tmp_path, evaluation):
        paths = [tmp_path / "a.html", tmp_path / "b.html"]
        for path in paths:
            assert write_report(path, evaluation, history=HISTORY, about=ABOUT) == path
        assert paths[0].read_bytes() == paths[1].read_bytes()

    def test_a_large_evaluation_stays_small(self, tmp_path, photos, make_answer):
        rng = np.random.default_rng(0)
        names = tuple(f"class_number_{i:03d}_of_two_hundred" for i in range(200))
        answers, confusion = [], np.zeros((200, 200), np.int64)
        for index in range(1452):
            true, guess = rng.integers(200), rng.integers(200)
            true = guess if rng.random() < 0.8 else true
            confusion[true, guess] += 1
            answers.append(
                make_answer(
                    photos[index % 8], names[guess], names[true], grid=(14, 14),
                    score=rng.random(), loss=rng.random() * 5, iou=rng.random(),
                    boxes=((10.0, 10.0, 200.0, 200.0),),
                )
            )  # fmt: skip
        per_class = {name: {"count": 7, "accuracy": 0.8, "f1": 0.8} for name in names}
        evaluation = Evaluation(
            "classification", "test", names, scored("top1", 0.8), tuple(answers),
            per_class=per_class, confusion=confusion,
        )  # fmt: skip
        path = write_report(tmp_path / "report.html", evaluation)
        assert 1e6 < path.stat().st_size < 3e6
        few = write_report(tmp_path / "few.html", evaluation, max_images=4)
        assert few.stat().st_size < path.stat().st_size / 3

    def test_images_that_are_gone_leave_a_blank_card(self, write, evaluation, tmp_path):
        answers = tuple(
            dataclasses.replace(
                answer, prediction=dataclasses.replace(answer.prediction, path=tmp_path / "no.jpg")
            )
            for answer in evaluation.answers
        )
        page = write(dataclasses.replace(evaluation, answers=answers))
        assert page.text.count("image not found") == 4

    def test_folders_are_made(self, tmp_path, bare):
        path = write_report(tmp_path / "new" / "folder" / "report.html", bare)
        assert path.read_text(encoding="utf-8").startswith("<!doctype html>")

    def test_a_refused_write_keeps_the_old_file(self, tmp_path, bare):
        (tmp_path / "file").write_text("old")
        with pytest.raises(LookcloserError, match="could not be written"):
            write_report(tmp_path / "file" / "report.html", bare)
        assert (tmp_path / "file").read_text() == "old"


def test_names_break_after_their_joints_and_are_escaped():
    assert breakable("a_b-<i>") == "a_<wbr>b-<wbr>&lt;i&gt;"


def test_gallery_colorss_are_those_of_matplotlib():
    table = gallery_colors("viridis")
    assert len(table) == 33
    assert table[0] == (68, 1, 84)
    assert table[-1] == (253, 231, 37)


def test_an_audit_gets_a_section_a_gallery_and_a_sentence(evaluation, photos, make_audit, evil,
                                                          tmp_path, parse):  # fmt: skip
    found = make_audit(("cat", 2.0, photos[0]), (evil, 0.2, photos[1]))
    path = write_report(tmp_path / "a.html", evaluation, audit=found)
    page = parse(path.read_text(encoding="utf-8"))
    assert page.having(id="audit")
    assert page.having(href="#audit")
    assert page.text.count("1 of 2 classes may be right for the wrong reason: cat.") == 2
    assert len(page.having(class_="suspect is-flagged")) == 1
    assert "A reason <b>." in page.text
    assert page.having(value="suspicious"), "the gallery"
    assert evil in page.text
    assert len(page.scripts) == 2, "its own only"


def test_without_an_audit_there_is_no_trace_of_one(evaluation, tmp_path, parse):
    page = parse(write_report(tmp_path / "a.html", evaluation).read_text(encoding="utf-8"))
    assert not page.having(id="audit")
    assert not page.having(value="suspicious")
    assert "suspicious" not in page.text.lower()


def test_the_boxes_that_thresholds_have_seen_are_said_beside_the_scores(
    evaluation, tmp_path, parse
):
    words = "boxes of 3 images <of val>"
    settings = {"supervision of the thresholds": words}
    found = dataclasses.replace(evaluation, settings=settings)
    page = parse(write_report(tmp_path / "a.html", found).read_text(encoding="utf-8"))
    assert f"What chose the thresholds: {words}" in page.text
    plain = parse(write_report(tmp_path / "b.html", evaluation).read_text(encoding="utf-8"))
    assert "thresholds have seen" not in plain.text


def test_random_maps_are_explained_where_there_are_some(evaluation, tmp_path, parse):
    found = dataclasses.replace(
        evaluation,
        scores=(
            Score(
                "MaxBoxAcc@0.5",
                0.75,
                None,
                {"random map": 0.125},
                higher_is_better=True,
                of_evidence=True,
            ),
        ),
    )
    page = parse(write_report(tmp_path / "a.html", found).read_text(encoding="utf-8"))
    assert "Random maps of the same resolution" in page.text
    assert "12.5\u202f%" in page.text
