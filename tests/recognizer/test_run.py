import pytest
import yaml

import lookcloser as lc
from lookcloser.core import LookcloserError
from lookcloser.recognizer import read_config, run_training
from lookcloser.recognizer.run import _new_folder
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
    assert stored.keys() == vars(options).keys()


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


def test_default_folders_are_numbered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = []
    for _ in range(3):
        folder = _new_folder(tmp_path / "birds", "cam", None)
        folder.mkdir(parents=True)
        names.append(str(folder))
    assert names == ["runs/birds-cam", "runs/birds-cam-2", "runs/birds-cam-3"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "No data given"),
        ({"resume": "nowhere"}, "nowhere: no such run"),
        (
            {"resume": ".", "epochs": 3, "out": "x", "batch_size": 2},
            "a resumed run keeps its data.* Leave out --out, --epochs, --batch-size",
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
def test_a_failed_training_leaves_its_neighbours_and_latest(squares, quick, tmp_path):
    (tmp_path / "before").mkdir()
    (tmp_path / "latest").symlink_to("before")
    with pytest.raises(MemoryError):
        lc.train(squares, out=tmp_path / "a", quiet=True, **quick)
    assert (tmp_path / "latest").resolve() == tmp_path / "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["before", "latest"]


@pytest.mark.usefixtures("failing")
def test_a_folder_that_was_there_before_a_failed_training_stays(squares, quick, tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(MemoryError):
        lc.train(squares, out=tmp_path / "mine", quiet=True, **quick)
    assert (tmp_path / "mine" / "config.yaml").is_file()
    with pytest.raises(MemoryError):
        lc.train(resume=tmp_path / "mine", quiet=True)
    assert (tmp_path / "mine" / "config.yaml").is_file(), "a resumed run is not removed"


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
    with pytest.raises(LookcloserError, match="exists already and is not empty.*--resume"):
        lc.train(squares, out=tmp_path, **quick)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
