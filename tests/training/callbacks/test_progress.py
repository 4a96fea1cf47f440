"""What a training says: one line an epoch, and a bar that leaves nothing behind."""

import io
import itertools
import signal
from types import SimpleNamespace

import pytest
from rich.console import Console

from lookcloser.data import read_data
from lookcloser.training import fit as fitting
from lookcloser.training import pace
from lookcloser.training.callbacks.progress import epoch_words
from lookcloser.training.callbacks.run_files import RunWriter
from lookcloser.training.callbacks.stopping import STOPPING
from lookcloser.training.options import make_options

ROW = {
    "epoch": 3, "train_loss": 0.3214, "val_loss": 0.5, "val_acc": 0.81, "seconds": 4.2,
    "images_per_second": 532.4, "data_wait": 0.034,
}  # fmt: skip


def test_the_words_of_an_epoch():
    assert "  ".join(epoch_words(ROW, 30, "val_acc", "top-1")) == (
        "epoch 3/30  loss 0.321  val loss 0.500, top-1 81.0%  4 s  532 img/s  waiting for data 3%"
    )
    unvalidated = {name: value for name, value in ROW.items() if not name.startswith("val")}
    assert epoch_words(unvalidated, 30, "val_acc", "top-1")[2] == "4 s"


@pytest.fixture
def said(monkeypatch):
    """Train with a console of some width, a terminal or not; returns what it shows."""

    def run(data, options, folder, *, width=80, terminal=False, resume=False):
        text = io.StringIO()
        console = Console(file=text, width=width, force_terminal=terminal, color_system=None)
        monkeypatch.setattr(fitting, "Console", lambda **_: console)
        fitting.fit(read_data(data), make_options(**options), folder, resume=resume)
        return text.getvalue()

    return run


@pytest.fixture
def slow(monkeypatch):
    """A clock that goes on by so many seconds whenever it is looked at."""

    def pass_by(seconds):
        ticks = itertools.count(step=seconds)
        monkeypatch.setattr(pace, "time", SimpleNamespace(monotonic=lambda: next(ticks)))

    return pass_by


def on_screen(text, width):
    """The lines of a terminal after ``text``, which uses the few controls that bars need."""
    import re

    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[[?0-9;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", text):
        if part == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif part == "\r":
            column = 0
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part == "\x1b[1A":
            row = max(0, row - 1)
        elif not part.startswith("\x1b"):
            assert column + len(part) <= width or "\n" not in part
            lines[row] = lines[row][:column].ljust(column) + part
            column += len(part)
    return [line.rstrip() for line in lines if line.strip()]


def test_without_a_terminal_there_is_a_line_for_each_epoch(squares, quick, tmp_path, said):
    lines = said(squares, quick, tmp_path / "run").splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert all("top-1" in line and "waiting for data" in line for line in lines)


def test_how_long_it_takes_is_said_once_after_the_first_batches(
    squares, quick, tmp_path, said, slow
):
    slow(6)
    lines = said(squares, {**quick, "batch_size": 12, "epochs": 4}, tmp_path / "a").splitlines()
    # Of 4 batches an epoch the first does not count; 12 s for the two after it.
    assert lines[0] == "About 24 s per epoch, 78 s left"
    assert [line.split("  ")[0] for line in lines[1:]] == [f"epoch {n}/4" for n in (1, 2, 3, 4)]
    slow(1000)
    longer = {**quick, "epochs": 5, "patience": 4}
    lines = said(squares, longer, tmp_path / "b").splitlines()
    assert lines[0] == "About 50 min per epoch, at most 3.6 h left"


def test_what_is_soon_done_has_no_estimate(squares, quick, tmp_path, said, slow):
    slow(6)
    assert "left" not in said(squares, {**quick, "epochs": 2}, tmp_path / "run")


def test_epochs_that_are_short_are_counted_by_the_first_of_them(
    squares, quick, tmp_path, said, slow, monkeypatch
):
    real = RunWriter.on_train_epoch_end

    def took_two_seconds(self, *rest):
        real(self, *rest)
        self.history[-1]["seconds"] = 2.0

    monkeypatch.setattr(RunWriter, "on_train_epoch_end", took_two_seconds)
    slow(0)
    options = {**quick, "epochs": 100, "patience": 1, "lr": 1e-12}
    lines = said(squares, options, tmp_path / "run").splitlines()
    assert lines[1] == "About 2 s per epoch, at most 3 min left"
    assert not any("left" in line for line in lines[2:])


@pytest.mark.parametrize("width", [60, 80, 160])
def test_on_a_terminal_the_bar_goes_and_the_lines_stay(squares, quick, tmp_path, said, width):
    shown = said(squares, quick, tmp_path / "run", width=width, terminal=True)
    assert "━" in shown
    lines = on_screen(shown, width)
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert all("top-1" in line and len(line) <= width for line in lines)


def test_stopping_is_said_while_the_bar_is_there(squares, quick, tmp_path, said, monkeypatch):
    real = RunWriter.on_train_batch_start

    def presses(self, *rest):
        signal.raise_signal(signal.SIGINT)
        return real(self, *rest)

    monkeypatch.setattr(RunWriter, "on_train_batch_start", presses)
    lines = on_screen(said(squares, quick, tmp_path / "run", terminal=True), 80)
    assert lines == [STOPPING]


def test_a_resumed_run_says_where_it_goes_on(squares, quick, tmp_path, said):
    said(squares, {**quick, "epochs": 1}, tmp_path / "run")
    longer = said(squares, {**quick, "epochs": 2}, tmp_path / "run", resume=True)
    assert longer.startswith("Resumed in epoch 2 of 2\nepoch 2/2  ")
    done = said(squares, {**quick, "epochs": 2}, tmp_path / "run", resume=True)
    assert done == "All 2 epochs were done already; --epochs N goes on to N\n"


def test_early_stopping_is_said_with_the_best_epoch(squares, quick, tmp_path, said):
    options = {**quick, "lr": 1e-12, "epochs": 30, "patience": 1}
    lines = said(squares, options, tmp_path / "run").splitlines()
    assert len(lines) == 3
    assert lines[-1].startswith("Stopped early: no better top-1 in 1 epoch; the best was epoch ")
    longer = said(squares, {**options, "epochs": 31}, tmp_path / "run", resume=True)
    assert "Resumed in epoch 3 of 31" in longer, "more epochs begin the count anew"
