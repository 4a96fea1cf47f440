"""Fine-tuning begins with a head in closed form."""

import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lookcloser.closed_form import Memory
from lookcloser.core.images import load_image
from lookcloser.data import read_data
from lookcloser.data.transforms import evaluation_transform
from lookcloser.models import load_model_file, read_header, save_model_file
from lookcloser.models.solved import learnable
from lookcloser.recognizer import run_training
from lookcloser.training.callbacks.run_files import RunWriter
from lookcloser.training.fit import fit, prepare_model
from lookcloser.training.options import make_options
from lookcloser.training.recipes.closed_form import solve
from lookcloser.training.recipes.features import collect_features
from lookcloser.training.recipes.start import HEAD_SHARE, as_before, with_solved_head
from lookcloser.training.tasks.module import parameter_groups

OPTIONS = {
    "recipe": "fine-tune", "backbone": "test_resnet", "size": 32, "epochs": 2, "batch_size": 16,
    "workers": 0, "augment": "shift", "drop_rate": 0.2,
}  # fmt: skip


@pytest.fixture(scope="module")
def catalog(squares):
    return read_data(squares)


OTHERS = {
    "osme": {"part_width": 32, "images_per_class": 4},
    "feedback": {},
    "sigmoid": {},
}


@pytest.fixture(scope="module")
def tagged(catalog):
    """The same images, each with its class for a tag; every other one says "colored", too."""
    samples = tuple(
        replace(s, labels=(*s.labels, "colored") if n % 2 else s.labels, boxes=())
        for n, s in enumerate(catalog.samples)
    )
    names = tuple(sorted((*catalog.names, "colored")))
    return replace(catalog, task="multilabel", names=names, samples=samples)


def begun(catalog, **options):
    made = make_options(**{"method": "cam", **OPTIONS, **options})
    return with_solved_head(*prepare_model(made, catalog), catalog, made), made


def inputs(catalog, header, split="train"):
    transform = evaluation_transform(header.preprocessing)
    return torch.stack([transform(load_image(s.source)) for s in catalog.split(split)])


class TestStart:
    def test_the_first_answers_are_those_of_the_closed_form_of_train(self, catalog, weights):
        (model, header), _ = begun(catalog, weights=weights)
        given = header.names, "classification", header.preprocessing
        found = collect_features(model, catalog.split("train"), *given, workers=0)
        head = solve(Memory.of(found.values, found.labels), "classification")
        scores = torch.from_numpy(found.values @ head.weight.T + head.bias)
        wanted = scores.numpy() / learnable(scores, head.calibration.temperature, 0.1)
        with torch.no_grad():
            logits = model.eval()(inputs(catalog, header)).logits.numpy()
        scale = np.abs(wanted).max()
        np.testing.assert_allclose(logits / scale, wanted / scale, atol=1e-3)
        assert (logits.argmax(axis=1) == found.labels.argmax(axis=1)).mean() > 0.6

    def test_everything_is_there_to_learn(self, catalog, weights):
        (model, header), options = begun(catalog, weights=weights)
        assert model.training
        assert all(weight.requires_grad for weight in model.parameters())
        assert header.arguments["rooted"]
        assert header.provenance["head"] == "began in closed form"
        rates = {group["lr"] for group in parameter_groups(model, options)}
        assert rates == {options.lr * options.backbone_share, options.lr * HEAD_SHARE}

    @pytest.mark.parametrize(
        "options", [{"weights": "none"}, {"method": "racnn", "scales": 2}], ids=str
    )
    def test_random_backbones_and_other_methods_begin_as_ever(self, catalog, weights, options):
        made = make_options(**{"method": "cam", **OPTIONS, "weights": weights, **options})
        model, header = prepare_model(made, catalog)
        same, same_header = with_solved_head(model, header, catalog, made)
        assert same is model
        assert same_header is header

    def test_images_that_are_all_right_by_far_leave_something_to_learn(self, catalog, weights):
        """Their own temperature is next to 0, and would make logits of millions."""
        alike = {s.labels: s.source for s in catalog.split("train")}
        samples = tuple(replace(s, source=alike[s.labels]) for s in catalog.samples)
        alike = replace(catalog, samples=samples)
        (model, header), options = begun(alike, weights=weights)
        with torch.no_grad():
            logits = model.eval()(inputs(catalog, header, "test")).logits
            own = model(inputs(alike, header)).logits
        assert float((logits.amax(dim=1) - logits.mean(dim=1)).mean()) < 40
        # Nor is the first thing to learn that all should be said more softly.
        truth = torch.tensor([alike.names.index(s.labels[0]) for s in alike.split("train")])

        def loss(scale):
            smoothing = options.label_smoothing
            return float(F.cross_entropy(scale * own, truth, label_smoothing=smoothing))

        assert loss(1.0) < 1.05 * min(loss(scale) for scale in np.geomspace(0.05, 5, 50))

    def test_a_class_without_an_image_to_learn_from(self, catalog, weights):
        samples = tuple(
            replace(s, split="val") if s.labels == ("red",) else s for s in catalog.samples
        )
        (model, header), _ = begun(replace(catalog, samples=samples), weights=weights)
        assert not header.arguments["rooted"]
        assert model.root is None


class TestRuns:
    def test_a_run_says_so_and_answers_as_it_did_in_training(self, squares, weights, tmp_path):
        result = run_training(
            squares, out=tmp_path / "run", quiet=True, **{**OPTIONS, "weights": weights}
        )
        header = result.recognizer.header
        assert header.arguments["rooted"]
        assert header.arguments["kept"] == 0
        right = result.recognizer.evaluate(squares, split="val")["top1"]
        assert right == pytest.approx(header.scores["val_acc"])

    @pytest.mark.parametrize(
        ("method", "epoch"), [("cam", 0), ("cam", 1), *((method, 1) for method in OTHERS)]
    )
    def test_resuming_gives_the_undisturbed_result(
        self, catalog, tagged, weights, tmp_path, monkeypatch, method, epoch
    ):
        catalog = tagged if method == "sigmoid" else catalog
        own = {"method": method, "batch_size": 12, **OTHERS.get(method, {})}
        options = make_options(**{**OPTIONS, "weights": weights, "save_every": 1, **own})
        fit(catalog, options, tmp_path / "whole", quiet=True)
        broken = tmp_path / "broken"
        real = RunWriter.on_train_batch_end

        def stopped(self, trainer, *rest):
            if trainer.current_epoch == epoch and trainer.global_step == 4 * epoch + 2:
                signal.raise_signal(signal.SIGINT)
            return real(self, trainer, *rest)

        monkeypatch.setattr(RunWriter, "on_train_batch_end", stopped)
        assert fit(catalog, options, broken, quiet=True).interrupted
        monkeypatch.undo()
        fit(catalog, options, broken, resume=True, quiet=True)
        first, second = (load_model_file(f / "model.safetensors")[0].state_dict()
                         for f in (tmp_path / "whole", broken))  # fmt: skip
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)
        assert read_header(broken / "model.safetensors").provenance["head"]

    def test_a_run_from_before_there_was_such_a_start_resumes_as_it_began(
        self, catalog, weights, tmp_path, monkeypatch
    ):
        import lookcloser.training.fit as module

        options = make_options(**{**OPTIONS, "weights": weights})
        monkeypatch.setattr(module, "with_solved_head", lambda model, header, *_: (model, header))
        fit(catalog, options, tmp_path, quiet=True)
        monkeypatch.undo()
        state = torch.load(tmp_path / "last.ckpt", weights_only=True)
        del state["rooted"], state["solved"]
        torch.save(state, tmp_path / "last.ckpt")
        fit(catalog, replace(options, epochs=3), tmp_path, resume=True, quiet=True)
        assert not read_header(tmp_path / "model.safetensors").arguments["rooted"]


class TestOtherMethods:
    def data(self, method, catalog, tagged):
        return tagged if method == "sigmoid" else catalog

    @pytest.mark.parametrize("method", OTHERS)
    def test_their_heads_are_solved_from_what_they_read(self, method, catalog, tagged, weights):
        data = self.data(method, catalog, tagged)
        (model, header), options = begun(data, method=method, weights=weights, **OTHERS[method])
        assert model.training
        assert header.method == method
        assert header.provenance["head"] == "began in closed form"
        rates = {group["lr"] for group in parameter_groups(model, options)}
        assert rates == {options.lr * options.backbone_share, options.lr * HEAD_SHARE}
        given = header.names, data.task, header.preprocessing
        with torch.no_grad():
            logits = model.eval()(inputs(data, header)).logits.numpy()
        found = collect_features(model, data.split("train"), *given, workers=0)
        if method == "sigmoid":
            ours = ((logits > 0) == found.labels)[:, 1:]  # each but the one that says nothing
            assert ours.mean() > 0.8
            assert np.abs(logits).max() < 20
        else:
            assert (logits.argmax(axis=1) == found.labels.argmax(axis=1)).mean() > 0.6
        if method != "feedback":  # whose features depend on its head
            head = solve(Memory.of(found.values, found.labels), data.task)
            scores = found.values @ head.weight.T + head.bias
            related = np.corrcoef(scores.ravel(), logits.ravel())[0, 1]
            assert related > 0.999

    def test_where_nothing_can_be_solved_the_head_is_random(self, catalog, weights):
        samples = tuple(
            replace(s, split="val") if s.labels == ("red",) else s for s in catalog.samples
        )
        data = replace(catalog, samples=samples)
        (model, header), _ = begun(data, method="osme", weights=weights, **OTHERS["osme"])
        assert model.training
        assert not model.solved
        assert "head" not in header.provenance


@pytest.fixture(scope="module")
def solved(squares, weights, tmp_path_factory):
    folder = tmp_path_factory.mktemp("solved") / "run"
    options = {**OPTIONS, "recipe": "closed-form", "weights": weights}
    return run_training(squares, out=folder, quiet=True, **options)


class TestFromOwnModels:
    def test_a_solved_head_keeps_its_meaning(self, solved, catalog):
        (model, header), _ = begun(catalog, weights=str(solved.folder))
        pixels = inputs(catalog, header, "test")
        with torch.no_grad():
            found = model.eval()(pixels).logits
            device = solved.recognizer.engine.device
            wanted = solved.recognizer.model(pixels.to(device)).logits.cpu()
        memory = solved.recognizer.model.solution.memory()
        head = solved.recognizer.model.head
        scores = head(torch.from_numpy(memory.features).to(device)).detach().cpu()
        wanted = wanted / learnable(scores, solved.recognizer.header.calibration.temperature, 0.1)
        assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))
        assert header.provenance["weights"].startswith("all of")

    def test_a_run_that_took_a_head_over_goes_on_without_a_solved_one(
        self, solved, catalog, tmp_path
    ):
        given = {**OPTIONS, "epochs": 1, "weights": str(solved.folder)}
        options = make_options(method="cam", **given)
        fit(catalog, options, tmp_path, quiet=True)
        model, _ = as_before(*prepare_model(options, catalog), tmp_path / "last.ckpt")
        assert model.root is not None
        assert (model.solved, model.head_share, model.blend) == (False, 1, 1)

    def test_a_head_that_was_trained_is_not_solved_again(self, catalog, tmp_path):
        options = make_options(method="cam", **OPTIONS, weights="none")
        trained, header = prepare_model(options, catalog)
        path = tmp_path / "m.safetensors"
        save_model_file(path, trained.state_dict(), header)
        (again, found), _ = begun(catalog, weights=str(path))
        assert torch.equal(again.head.weight, trained.head.weight)
        assert not found.arguments["rooted"]

    def test_of_a_model_of_other_classes_the_backbone_is_taken_and_a_head_solved(
        self, solved, catalog
    ):
        renamed = {"red": "crimson", "green": "green", "blue": "blue"}
        samples = tuple(
            replace(s, labels=(renamed[s.labels[0]],), boxes=()) for s in catalog.samples
        )
        other = replace(catalog, names=("blue", "crimson", "green"), samples=samples)
        (model, header), _ = begun(other, weights=str(solved.folder))
        assert header.provenance["weights"].startswith("the backbone of")
        assert header.provenance["head"] == "began in closed form"
        with torch.no_grad():
            logits = model.eval()(inputs(other, header)).logits
        truth = torch.tensor([other.names.index(s.labels[0]) for s in other.split("train")])
        assert (logits.argmax(dim=1) == truth).float().mean() > 0.6
