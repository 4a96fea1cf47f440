import csv

import pytest
import torch
from torch.nn import functional as F

from lookcloser.core import LookcloserError
from lookcloser.data import read_data
from lookcloser.data.scenes import write_scenes
from lookcloser.data.vocabulary import END, NULL, SPECIALS, START, longest_caption, with_vocabulary
from lookcloser.models import build_model, load_model_file
from lookcloser.training.fit import fit, prepare_model
from lookcloser.training.loaders import make_loaders
from lookcloser.training.options import make_options
from lookcloser.training.tasks.captioning import CaptioningModule

TINY = {"method": "gru", "hidden_size": 24, "embed_size": 12}


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "scenes"
    return read_data(write_scenes(folder, "captions", train=24, val=6, test=6, size=48))


@pytest.fixture
def options(quick):
    return {**quick, **TINY}


def module(**options):
    torch.manual_seed(0)
    model = build_model("gru", {"num_classes": 8, "backbone": "test_resnet", "hidden_size": 16})
    trained = CaptioningModule(
        model, make_options(method="gru", **options), None, total_steps=4, warmup_steps=0
    )
    trained.log_dict = lambda *_args, **_kwargs: None
    return trained


CAPTIONS = torch.tensor(
    [[START, 4, 5, 6, 7, END], [START, 7, END, NULL, NULL, NULL], [START, 6, 5, 4, END, NULL]]
)


def images(count=3):
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_judge_is_the_mean_over_words_then_over_images():
    trained = module(label_smoothing=0.3).eval()
    output = trained.model(images())
    losses, right = [], []
    for row, caption in enumerate(CAPTIONS.tolist()):
        sentence = caption[: caption.index(END) + 1]
        logits = trained.model.word_logits(
            output.features[row : row + 1], torch.tensor([sentence[:-1]])
        )[0]
        words = torch.tensor(sentence[1:])
        losses.append(F.cross_entropy(logits, words).item())
        right.append((logits.argmax(dim=1) == words).float().mean().item())
    found = trained.judge(output, CAPTIONS)
    assert found["val_loss"].item() == pytest.approx(sum(losses) / 3, rel=1e-5)
    assert found["val_acc"].item() == pytest.approx(sum(right) / 3)


def test_the_loss_is_smoothed_cross_entropy_of_the_words_that_count():
    trained = module(label_smoothing=0.2)
    logits = torch.randn(10, 8, generator=torch.Generator().manual_seed(0))
    words = torch.arange(10) % 8
    log_p = logits.log_softmax(dim=1)
    expected = -(0.8 * log_p[torch.arange(10), words] + 0.2 * log_p.mean(dim=1)).mean()
    torch.testing.assert_close(trained.criterion(logits, words), expected)


def test_own_words_rise_linearly_to_the_share_asked_for():
    trained = module(epochs=5)
    trained.model.scheduled_sampling = 0.4
    shares = []
    for epoch in range(5):
        trained.trainer = type("Trainer", (), {"current_epoch": epoch})()
        trained.on_train_epoch_start()
        shares.append(trained.model.own_words)
    assert shares == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize("option", [{"mixup": 0.2}, {"cutmix": 1.0}, {"balance": "sampling"}])
def test_options_of_classes_are_refused(option):
    name = next(iter(option))
    with pytest.raises(LookcloserError, match=f"--{name} .*: not for captions"):
        module(**option)


def test_the_vocabulary_of_the_training_captions_names_the_model(catalog, options):
    words = {
        word for sample in catalog.split("train") for c in sample.captions for word in c.split()
    }
    model, header = prepare_model(make_options(**options), catalog)
    assert header.names[:4] == SPECIALS
    assert set(header.names[4:]) == words
    assert header.task == "captioning"
    assert header.arguments["num_classes"] == len(header.names) == len(model.word_bias)
    assert header.arguments["max_length"] == longest_caption(catalog) == 10
    assert header.arguments["hidden_size"] == 24
    few, smaller = prepare_model(make_options(**options, max_words=5, max_length=6), catalog)
    assert len(smaller.names) == 9
    assert few.max_length == 6
    rare, _ = prepare_model(make_options(**options, min_count=10), catalog)
    assert 4 < len(rare.word_bias) < len(model.word_bias)


def test_options_of_captioners_belong_to_them(catalog, quick):
    with pytest.raises(LookcloserError, match="attend True: not an option of the method cam"):
        prepare_model(make_options(**quick, attend=True), read_classes(catalog))


def read_classes(catalog):
    from dataclasses import replace

    return replace(catalog, task="classification", names=("a", "b"))


def test_batches_hold_words_and_images_are_not_mirrored(catalog, options):
    named = with_vocabulary(catalog)
    chosen = make_options(**options, max_length=9)
    _, header = prepare_model(chosen, named)
    train, val = make_loaders(named, chosen, header.preprocessing, pairs=False)
    for loader in (train, val):
        for batch in loader:
            assert batch.targets.shape == (len(batch.images), 11)
            assert (batch.targets[:, 0] == START).all()
    assert "Flip" not in str(train.dataset.transform)
    mirrored = make_options(**options, flip=True)
    train, _ = make_loaders(named, mirrored, header.preprocessing, pairs=False)
    assert "Flip" in str(train.dataset.transform)


def test_training_draws_captions_anew_and_validation_does_not(catalog, options):
    named = with_vocabulary(catalog)
    _, header = prepare_model(make_options(**options), named)
    train, val = make_loaders(named, make_options(**options), header.preprocessing, pairs=False)
    two = next(i for i, s in enumerate(train.dataset.samples) if len(s.captions) == 2)
    drawn = {tuple(train.dataset[epoch, two].target.tolist()) for epoch in range(20)}
    assert len(drawn) == 2
    two = next(i for i, s in enumerate(val.dataset.samples) if len(s.captions) == 2)
    assert len({tuple(val.dataset[epoch, two].target.tolist()) for epoch in range(20)}) == 1


@pytest.mark.parametrize("attend", [False, True])
def test_a_training_learns_and_writes_a_run(catalog, options, attend, tmp_path):
    chosen = make_options(**options, attend=attend, scheduled_sampling=0.5, drop_rate=0.1)
    fit(catalog, chosen, tmp_path / "run", quiet=True)
    with (tmp_path / "run" / "metrics.csv").open() as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    assert rows[-1]["val_loss"] < rows[0]["val_loss"]
    assert 0 <= rows[-1]["val_acc"] <= 1
    model, header = load_model_file(tmp_path / "run" / "model.safetensors")
    assert header.arguments["attend"] == attend
    assert len(header.names) == header.arguments["num_classes"]
    assert (model.attention is not None) == attend


def test_a_resumed_training_ends_like_an_undisturbed_one(catalog, options, tmp_path):
    """Drawn captions, own words and dropout depend on nothing that a break could change."""
    from lookcloser.training.callbacks.run_files import RunWriter

    chosen = make_options(**options, scheduled_sampling=0.9, drop_rate=0.2)
    fit(catalog, chosen, tmp_path / "whole", quiet=True)
    whole = load_model_file(tmp_path / "whole" / "model.safetensors")[0].state_dict()
    after = RunWriter.on_train_epoch_end

    def stop(self, trainer, module):
        after(self, trainer, module)
        if trainer.current_epoch == 1:
            raise SystemExit

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunWriter, "on_train_epoch_end", stop)
        with pytest.raises(SystemExit):
            fit(catalog, chosen, tmp_path / "broken", quiet=True)
    fit(catalog, chosen, tmp_path / "broken", resume=True, quiet=True)
    resumed = load_model_file(tmp_path / "broken" / "model.safetensors")[0].state_dict()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
