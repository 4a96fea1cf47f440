"""racnn by evidence: what is solved before, what learns, and when it is a plain network instead."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lookcloser.core import LookcloserError
from lookcloser.data.catalog import Catalog
from lookcloser.models import CAM, RACNN, load_model_file
from lookcloser.recognizer import Recognizer
from lookcloser.training.fit import fit, prepare_model
from lookcloser.training.options import make_options
from lookcloser.training.recipes import first_look
from lookcloser.training.recipes.first_look import begin_by_evidence, by_evidence
from tests.training.recipes.patterns import INPUT, NAMES, SIDE, scenes, write_weights


def catalog(train=60, side=SIDE):
    samples = (*scenes(train, "train", 0, side), *scenes(60, "test", 1, side))
    return Catalog(Path(), "", "classification", NAMES, samples)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp("weights") / "net.safetensors")


def options(weights, **more):
    return make_options(
        method="racnn", backbone="test_resnet", weights=weights, stride=8, size=INPUT, workers=0,
        batch_size=30, augment="none", flip=False, **{"epochs": 1, **more},
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(weights, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    fit(catalog(), options(weights, scales=2, epochs=2), folder, quiet=True)
    return folder


class TestWhoGoesByEvidence:
    def test_racnn_from_loaded_weights(self):
        chosen = by_evidence(make_options(method="racnn"), "classification")
        assert chosen.own == {"apn": "evidence"}

    @pytest.mark.parametrize(
        "asked",
        [
            {"weights": "none"}, {"scales": 3}, {"apn": "light"}, {"fusion": "descriptors"},
            {"train_mode": "alternate"}, {"source_size": 300},
        ],
    )  # fmt: skip
    def test_not_where_something_else_was_asked_for(self, asked):
        given = make_options(method="racnn", **asked)
        assert by_evidence(given, "classification") is given

    def test_nor_other_methods_and_several_processes(self):
        cam, racnn = make_options(method="cam"), make_options(method="racnn")
        assert by_evidence(cam, "classification") is cam
        assert by_evidence(racnn, "classification", processes=2) is racnn

    def test_evidence_that_was_asked_for_and_is_not_possible_is_refused(self):
        asked = make_options(method="racnn", apn="evidence", source_size=300)
        with pytest.raises(LookcloserError, match="source_size 300.*448"):
            by_evidence(asked, "classification")
        asked = make_options(method="racnn", apn="evidence")
        with pytest.raises(LookcloserError, match="devices 2"):
            by_evidence(asked, "classification", processes=2)

    @pytest.mark.parametrize("with_it", [{"scales": 3}, {"train_mode": "alternate"}])
    def test_what_does_not_go_with_evidence_is_named(self, with_it):
        (name, value), *_ = with_it.items()
        with pytest.raises(LookcloserError, match=f"{name} {value}: not with evidence"):
            make_options(method="racnn", apn="evidence", **with_it)


def test_the_box_is_on_the_pattern_and_the_first_scale_stays_as_it_was_solved(weights, run):
    model, header = load_model_file(run / "model.safetensors")
    assert isinstance(model, RACNN)
    assert model.by_evidence
    metrics = Recognizer(model, header, device="cpu").evaluate(catalog())
    assert metrics["pointing scale 2"] >= 0.3, "by chance it is 1 in 15"
    assert header.box_rule == "max", "nothing is said of what is outside the box"
    again, header = prepare_model(
        by_evidence(options(weights, scales=2), "classification"), catalog()
    )
    (solved, _), _ = begin_by_evidence(
        again, header, catalog().split("train"), options(weights, scales=2)
    )
    parts = dict(solved.named_parameters())
    for name, value in model.named_parameters():
        stands = name.startswith(("trunks.0.", "heads.0.", "proposals."))
        assert torch.equal(value, parts[name]) == stands, name


def test_the_side_of_the_view_is_that_which_images_left_out_chose(run):
    model, header = load_model_file(run / "model.safetensors")
    assert header.arguments["half_side"] == model.half_side
    assert model.half_side in (0.2, 0.26, 0.34, 0.44)
    assert header.provenance["scales"] == f"a place of {model.half_side:.0%} of the side; asked for"


def test_a_given_side_stays(weights):
    asked = by_evidence(options(weights, scales=2, half_side=0.3), "classification")
    model, header = prepare_model(asked, catalog())
    (model, header), _ = begin_by_evidence(model, header, catalog().split("train"), asked)
    assert model.half_side == header.arguments["half_side"] == model.proposals[0].half_side == 0.3


def test_a_run_goes_on_to_the_same_weights(weights, run, tmp_path):
    data, asked = catalog(), options(weights, scales=2)
    fit(data, asked, tmp_path / "run", quiet=True)
    resumed = options(weights, scales=2, epochs=2)
    fit(data, resumed, tmp_path / "run", resume=True, quiet=True)
    one, _ = load_model_file(run / "model.safetensors")
    other, _ = load_model_file(tmp_path / "run" / "model.safetensors")
    assert all(
        torch.equal(a, b)
        for a, b in zip(one.proposals.parameters(), other.proposals.parameters(), strict=True)
    )


class TestWhereItDoesNotPay:
    def test_images_without_more_pixels_get_a_plain_network_of_the_input_size(
        self, weights, tmp_path, capsys
    ):
        data = catalog(side=40)
        fit(data, options(weights), tmp_path / "run")
        model, header = load_model_file(tmp_path / "run" / "model.safetensors")
        assert isinstance(model, CAM)
        assert (header.method, header.preprocessing.size) == ("cam", (INPUT, INPUT))
        assert "40 px have little more to show" in header.provenance["scales"]
        assert "one scale; images of 40 px" in capsys.readouterr().err.replace("\n", " ")

    def test_it_is_the_network_that_cam_would_be(self, weights, tmp_path):
        data = catalog(side=40)
        fit(data, options(weights), tmp_path / "racnn", quiet=True)
        plain = make_options(**{**options(weights).to_dict(), "method": "cam"})
        fit(data, plain, tmp_path / "cam", quiet=True)
        (one, _), (other, _) = (
            load_model_file(tmp_path / name / "model.safetensors") for name in ("racnn", "cam")
        )
        assert one.state_dict().keys() == other.state_dict().keys()
        assert all(
            torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items()
        )

    def test_nor_where_images_left_out_are_answered_as_well_at_first_sight(self, weights):
        asked = by_evidence(options(weights), "classification")
        model, header = prepare_model(asked, catalog())
        found, words = begin_by_evidence(model, header, catalog().split("train"), asked)
        assert found is None, "the first look tells these patterns apart"
        assert "with a second look" in words

    def test_but_where_left_out_images_are_better_with_a_second_look_there_are_two_scales(
        self, weights, monkeypatch
    ):
        solved = first_look.solve_closer

        def unsure(*given, **named):
            """As if the first look had told nothing."""
            found = solved(*given, **named)
            return replace(found, first=replace(found.first, accuracy=0.1))

        monkeypatch.setattr(first_look, "solve_closer", unsure)
        monkeypatch.setattr(first_look, "solve", lambda *_: SimpleNamespace(accuracy=0.2))
        asked = by_evidence(options(weights), "classification")
        model, header = prepare_model(asked, catalog())
        found, words = begin_by_evidence(model, header, catalog().split("train"), asked)
        assert found is not None
        assert found[0].by_evidence
        assert words.startswith("20.0% of images left out are right in closed form")

    def test_two_scales_that_were_asked_for_and_cannot_be_solved_are_an_error(self, weights):
        asked = by_evidence(options(weights, scales=2), "classification")
        model, header = prepare_model(asked, catalog(3))
        with pytest.raises(LookcloserError, match="No class has two images"):
            begin_by_evidence(model, header, catalog(3).split("train"), asked)

    def test_one_image_a_class_cannot_tell(self, weights):
        asked = by_evidence(options(weights), "classification")
        model, header = prepare_model(asked, catalog(3))
        found = begin_by_evidence(model, header, catalog(3).split("train"), asked)
        assert found == (None, "no class has two images, so that nothing would tell if it pays")


def test_of_many_images_every_class_gives_its_share(monkeypatch):
    monkeypatch.setattr(first_look, "MOST", 12)
    chosen = first_look._evenly(catalog(60).split("train"))
    assert [sample.labels[0] for sample in chosen].count("rows") == 4
    assert len(chosen) == 12


def test_of_many_images_a_rare_class_gives_one(monkeypatch):
    monkeypatch.setattr(first_look, "MOST", 12)
    samples = [sample for sample in catalog(60).samples if sample.split == "train"]
    rare = [sample for sample in samples if sample.labels == ("rows",)][1:2]
    others = [sample for sample in samples if sample.labels != ("rows",)]
    chosen = first_look._evenly([*others, *rare])
    assert {sample.labels for sample in chosen} == {sample.labels for sample in samples}
    assert len(chosen) <= 12 + 2


def test_what_cannot_be_tried_is_said_and_stops_who_asked_for_it(weights, monkeypatch):
    def lacking(*_given, **_named):
        raise LookcloserError("no head can be solved", fix="Add images")

    monkeypatch.setattr(first_look, "collect_features", lacking)
    asked = by_evidence(options(weights), "classification")
    model, header = prepare_model(asked, catalog(3))
    train = catalog(3).split("train")
    assert begin_by_evidence(model, header, train, asked) == (None, "no head can be solved")
    forced = by_evidence(options(weights, scales=2), "classification")
    with pytest.raises(LookcloserError, match="o head can be solved"):
        begin_by_evidence(model, header, train, forced)
