import csv
import shutil

import pytest
import yaml

import lookcloser as lc
from lookcloser.core import LookcloserError
from lookcloser.recognizer import read_config, run_training
from lookcloser.training import fit as fitting


def test_resume_takes_data_and_options_from_the_run(squares, quick, tmp_path):
    run_training(squares, out=tmp_path / "run", quiet=True, **quick)
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    lc.train(resume=tmp_path / "run", quiet=True)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before


def test_config_holds_every_option_and_comes_back(squares, quick, tmp_path):
    run_training(squares, out=tmp_path / "run", quiet=True, **{**quick, "mean": (0.1, 0.2, 0.3)})
    data, options = read_config(tmp_path / "run")
    assert data == str(squares)
    assert options.mean == (0.1, 0.2, 0.3)
    assert options.epochs == 3
    stored = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["options"]
    assert stored == options.to_dict()


def test_the_threshold_from_val_is_stored_with_the_model(squares, quick, tmp_path):
    result = run_training(squares, out=tmp_path / "run", quiet=True, **quick)
    assert lc.load(tmp_path / "run").header == result.recognizer.header


def test_latest_points_at_the_last_run(squares, quick, tmp_path):
    for name in ("a", "b"):
        run_training(squares, out=tmp_path / name, quiet=True, **{**quick, "epochs": 1})
    assert (tmp_path / "latest").resolve() == tmp_path / "b"


def test_a_folder_of_the_users_called_latest_is_left_alone(squares, quick, tmp_path):
    (tmp_path / "latest").mkdir()
    run_training(squares, out=tmp_path / "a", quiet=True, **{**quick, "epochs": 1})
    assert not (tmp_path / "latest").is_symlink()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "No data given"),
        ({"resume": "nowhere"}, "nowhere: no such run"),
        (
            {"resume": ".", "epochs": 3, "out": "x", "batch_size": 2},
            "a resumed run keeps its data.* Leave out --out, --batch-size",
        ),
        ({"data": ".", "resume": "."}, "Leave out DATA"),
    ],
)
def test_wrong_calls_are_named(arguments, message):
    with pytest.raises(LookcloserError, match=message):
        lc.train(**arguments)


def test_a_folder_that_is_no_run_cannot_be_resumed(tmp_path):
    with pytest.raises(LookcloserError, match=r"no readable config\.yaml"):
        lc.train(resume=tmp_path)


@pytest.fixture
def failing(monkeypatch):
    """Training fails in its first epoch."""

    def fail(*arguments, **named):
        raise MemoryError("too much")

    monkeypatch.setattr(fitting.pl.Trainer, "fit", fail)


@pytest.mark.usefixtures("failing")
def test_a_training_that_fails_at_once_leaves_nothing(squares, quick, tmp_path):
    with pytest.raises(MemoryError):
        lc.train(squares, out=tmp_path / "runs" / "a", quiet=True, **quick)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("failing")
def test_a_failed_training_leaves_its_neighbors_and_latest(squares, quick, tmp_path):
    (tmp_path / "before").mkdir()
    (tmp_path / "latest").symlink_to("before")
    with pytest.raises(MemoryError):
        lc.train(squares, out=tmp_path / "a", quiet=True, **quick)
    assert (tmp_path / "latest").resolve() == tmp_path / "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["before", "latest"]


@pytest.mark.usefixtures("failing")
def test_a_folder_that_was_there_before_a_failed_training_is_empty_again(squares, quick, tmp_path):
    (tmp_path / "mine").mkdir()
    for _ in range(2):  # what is left must not be in the way of the next try
        with pytest.raises(MemoryError):
            lc.train(squares, out=tmp_path / "mine", quiet=True, **quick)
        assert list((tmp_path / "mine").iterdir()) == []


def test_a_resumed_run_is_not_removed(squares, quick, tmp_path, monkeypatch):
    lc.train(squares, out=tmp_path / "mine", quiet=True, **{**quick, "epochs": 1})
    (tmp_path / "mine" / "last.ckpt").unlink()
    (tmp_path / "mine" / "model.safetensors").unlink()

    def fail(*arguments, **named):
        raise MemoryError("too much")

    monkeypatch.setattr(fitting.pl.Trainer, "fit", fail)
    with pytest.raises(MemoryError):
        lc.train(resume=tmp_path / "mine", quiet=True)
    assert (tmp_path / "mine" / "config.yaml").is_file()


def test_a_run_with_an_epoch_in_it_stays_when_training_fails(squares, quick, tmp_path, monkeypatch):
    real = fitting.pl.Trainer.fit

    def fail(trainer, *arguments, **named):
        real(trainer, *arguments, **named)
        raise MemoryError("too much")

    monkeypatch.setattr(fitting.pl.Trainer, "fit", fail)
    with pytest.raises(MemoryError):
        lc.train(squares, out=tmp_path / "a", quiet=True, **{**quick, "epochs": 1})
    assert (tmp_path / "a" / "last.ckpt").is_file()


def test_a_used_folder_is_not_written_over(squares, quick, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(LookcloserError, match="exists already and is not empty. Choose another"):
        lc.train(squares, out=tmp_path, **quick)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_more_epochs_go_on_from_the_last(squares, quick, tmp_path):
    lc.train(squares, out=tmp_path / "run", quiet=True, **{**quick, "epochs": 2})
    result = run_training(resume=tmp_path / "run", epochs=4, quiet=True)
    assert result.epochs == 4
    assert read_config(tmp_path / "run")[1].epochs == 4
    rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    rates = [float(row["lr"]) for row in csv.DictReader(rows)]
    assert len(rates) == 4
    assert rates[2] > rates[1], "the cosine is that of four epochs now, which is not at its end"
    assert rates[3] == 0
    with pytest.raises(LookcloserError, match=r"--epochs 3: .*run was started for 4.*more epochs"):
        lc.train(resume=tmp_path / "run", epochs=3, quiet=True)


def changed(data, how):
    if how == "a class is renamed":
        for split in ("train", "val", "test"):
            (data / split / "red").rename(data / split / "zred")
    elif how == "a class is new":
        shutil.copytree(data / "train" / "red", data / "train" / "fox")
    elif how == "images are gone":
        for number in (1, 2):
            (data / "train" / "red" / f"{number}.png").unlink()
    elif how == "an image is another":
        shutil.copy(data / "val" / "red" / "0.png", data / "val" / "red" / "1.png")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (
            "a class is renamed",
            r"3 classes, were 3; gone: 1 class \('red'\); new: 1 class \('zred'\)",
        ),
        (
            "a class is new",
            r"data has changed .*4 classes, were 3; new: 1 class \('fox'\).*--weights",
        ),
    ],
)
def test_other_classes_end_a_resumed_run(squares, quick, tmp_path, how, message):
    data = shutil.copytree(squares, tmp_path / "data")
    (data / "boxes.csv").unlink()
    lc.train(data, out=tmp_path / "run", quiet=True, **{**quick, "epochs": 1})
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    changed(data, how)
    with pytest.raises(LookcloserError, match=message):
        lc.train(resume=tmp_path / "run", epochs=2, quiet=True)
    (tmp_path / "run" / "data.json").unlink()  # as a run of an older version
    with pytest.raises(LookcloserError, match="data has changed"):
        lc.train(resume=tmp_path / "run", epochs=2, quiet=True)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("images are gone", "(train: 46 images, were 48)"),
        ("an image is another", "(val: as many images, but other files or labels)"),
        ("nothing", ""),
    ],
)
def test_other_images_are_said(squares, quick, tmp_path, capsys, how, said):
    data = shutil.copytree(squares, tmp_path / "data")
    (data / "boxes.csv").unlink()
    lc.train(data, out=tmp_path / "run", quiet=True, **{**quick, "epochs": 1})
    changed(data, how)
    lc.train(resume=tmp_path / "run")
    shown = capsys.readouterr().err
    assert ("The data has changed since the run was started" in shown) == bool(said)
    assert said in shown
