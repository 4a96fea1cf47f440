"""Signals and patience, without a training."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from lookcloser.training.callbacks import stopping
from lookcloser.training.callbacks.stopping import (
    STOPPING,
    GracefulStop,
    Patience,
    TrainingInterruptedError,
)
from lookcloser.training.parallel import processes

NOBODY: Any = None


class TestSignals:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_the_first_stops_after_the_batch(
        self, capfd: pytest.CaptureFixture[str], number: signal.Signals
    ) -> None:
        stop = GracefulStop()
        with stop.listening():
            stop.leave()  # nobody has asked
            signal.raise_signal(number)
            assert stop.asked == number
            assert not stop.left
            with pytest.raises(TrainingInterruptedError):
                stop.leave()
        assert stop.left
        assert stop.terminated == (number == signal.SIGTERM)
        said = f"\n{STOPPING}\n" if number == signal.SIGINT else ""
        assert capfd.readouterr().err == said

    def test_the_second_is_for_who_listened_before(
        self, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        heard: list[int] = []
        before = signal.signal(signal.SIGINT, lambda number, _frame: heard.append(number))
        stop = GracefulStop()
        try:
            with stop.listening():
                signal.raise_signal(signal.SIGINT)
                with pytest.raises(KeyboardInterrupt):
                    signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.signal(signal.SIGINT, before)
        assert heard == [signal.SIGINT] * 2, "and afterwards again"
        assert capfd.readouterr().err == f"\n{STOPPING}\n\nstopped at once\n"

    def test_told_to_end_twice_the_process_ends_at_once(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sent: list[tuple[int, int]] = []
        monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
        stop = GracefulStop()
        with stop.listening():
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        assert sent == [(os.getpid(), signal.SIGTERM)]

    def test_a_bar_says_it_itself(self, capfd: pytest.CaptureFixture[str]) -> None:
        stop = GracefulStop()
        stop.is_shown = True
        with stop.listening():
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert capfd.readouterr().err == ""

    def test_handlers_are_put_back_whatever_happens(self) -> None:
        numbers = signal.SIGINT, signal.SIGTERM
        before = [signal.getsignal(number) for number in numbers]
        stop = GracefulStop()
        with pytest.raises(ValueError, match="failed"), stop.listening():
            raise ValueError("failed")
        assert [signal.getsignal(number) for number in numbers] == before

    def test_another_thread_hears_none_and_changes_nothing(self) -> None:
        before, inside = signal.getsignal(signal.SIGTERM), []
        stop = GracefulStop()

        def train() -> None:
            with stop.listening():
                stop.on_train_start()  # Lightning's own handler is none of this thread's
                inside.append(signal.getsignal(signal.SIGTERM))

        thread = threading.Thread(target=train)
        thread.start()
        thread.join()
        assert inside == [before]

    def test_lightnings_handler_is_replaced_when_training_starts(self) -> None:
        stop = GracefulStop()
        with stop.listening():
            signal.signal(signal.SIGTERM, lambda *_: None)  # as Lightning does
            stop.on_train_start()
            signal.raise_signal(signal.SIGTERM)
            assert stop.asked == signal.SIGTERM
            for moment in (stop.on_train_start, stop.on_validation_batch_end):
                with pytest.raises(TrainingInterruptedError):
                    moment()

    def test_what_another_process_was_told_counts_here(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stop = GracefulStop()
        monkeypatch.setattr(processes, "any_of", lambda flag: True)
        assert stop.is_wanted()
        assert stop.terminated
        with pytest.raises(TrainingInterruptedError):
            stop.leave()
        assert not stop.asked

    @pytest.mark.parametrize("stderr", [None, io.StringIO(), "closed"])
    def test_there_need_be_nobody_to_tell(
        self, monkeypatch: pytest.MonkeyPatch, stderr: Any
    ) -> None:
        if stderr == "closed":
            stderr = open(os.devnull, "w")  # noqa: SIM115 - it is closed
            stderr.close()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", stderr)
            stopping._write_error("hello")


class TestPatience:
    def stopped(self, now: int, checkpoint: dict[str, Any]) -> tuple[Patience, Any]:
        """One that stopped in epoch 4, resumed for ``now`` epochs."""
        patience, trainer = Patience("val_acc", 2), SimpleNamespace(max_epochs=now, should_stop=0)
        asked: Any = trainer
        patience.stopped_epoch, patience.wait_count = 4, 2
        patience.on_load_checkpoint(asked, NOBODY, checkpoint)
        patience.on_train_start(asked, NOBODY)
        return patience, trainer

    @pytest.mark.parametrize("checkpoint", [{"epochs": 9}, {}])
    def test_a_run_that_had_stopped_stays_stopped(self, checkpoint: dict[str, Any]) -> None:
        patience, trainer = self.stopped(9, checkpoint)
        assert trainer.should_stop
        assert patience.stopped_epoch == 4

    def test_for_more_epochs_the_count_starts_over(self) -> None:
        patience, trainer = self.stopped(12, {"epochs": 9})
        assert not trainer.should_stop
        assert (patience.stopped_epoch, patience.wait_count) == (0, 0)

    def test_a_new_run_is_not_stopped(self) -> None:
        trainer: Any = SimpleNamespace(max_epochs=3, should_stop=False)
        Patience("val_acc", 2).on_train_start(trainer, NOBODY)
        assert not trainer.should_stop
