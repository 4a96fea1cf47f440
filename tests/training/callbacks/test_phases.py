"""Phases: their order and length, what stands still, and that a killed run goes on in its phase."""

import csv
import itertools
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from lookcloser.data import read_data
from lookcloser.models import CAM, RACNN
from lookcloser.models.base import Phase
from lookcloser.training.callbacks.phases import PhaseClock, let_learn
from lookcloser.training.callbacks.run_files import RunWriter
from lookcloser.training.fit import fit
from lookcloser.training.options import make_options
from lookcloser.training.tasks.module import TrainingModule

THREE = (Phase("a", ("x",), 0.2), Phase("b", ("y",), 0.3), Phase("a", ("x",)))


def run_clock(clock, losses):
    """The phase of every step."""
    seen = []
    for step, loss in enumerate(losses, start=1):
        seen.append(clock.index)
        clock.tick(step, loss)
    return seen


def test_each_phase_lasts_its_share_while_its_loss_falls():
    falling = [100.0 - step for step in range(100)]
    assert run_clock(PhaseClock(THREE, 100), falling) == [0] * 20 + [1] * 30 + [2] * 50


def test_a_phase_whose_loss_does_not_fall_ends_sooner_and_the_last_one_takes_the_rest():
    # b: 300 steps; its window is 30, and the average must reach a new low within 90.
    losses = [1000.0 - step for step in range(200)] + [5.0] * 800
    seen = run_clock(PhaseClock(THREE, 1000), losses)
    assert seen == [0] * 200 + [1] * (30 + 90) + [2] * (800 - 120)


def test_in_a_short_phase_a_few_batches_do_not_decide():
    rising = [float(step) for step in range(60)]
    assert run_clock(PhaseClock(THREE, 60), rising) == [0] * 12 + [1] * 18 + [2] * 30
    seen = run_clock(PhaseClock(THREE, 150), [float(step) for step in range(150)])
    assert seen.count(0) == 10 + 20, "the shortest window and the shortest patience"


def test_a_lucky_batch_does_not_end_a_phase_and_neither_does_an_unlucky_one():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1000, generator=generator).tolist()
    # Falls by a third of the noise of a batch over the phase: batches say nothing, averages do.
    losses = [3 - step / 300 + 0.3 * jump for step, jump in enumerate(noise)]
    losses[40] = -100.0  # the lowest by far, at once; a patience on batches would wait for less
    clock = PhaseClock((Phase("a", ("x",), 0.9), Phase("b", ("y",))), 1000)
    seen = run_clock(clock, losses)
    assert seen.count(0) > 300
    losses[40] = 3.0
    seen = run_clock(PhaseClock((Phase("a", ("x",), 0.9), Phase("b", ("y",))), 1000), losses)
    assert seen.count(0) == 900


RESTARTED = (
    Phase("a", ("x",), 0.2),
    Phase("b", ("y",), 0.3, restarts=True),
    Phase("c", ("x",), 0.1),
    Phase("d", ("x",), restarts=True),
)


def schedules(clock, losses):
    """First step and length of the rate's schedule, at every step."""
    seen = []
    for step, loss in enumerate(losses, start=1):
        seen.append(clock.schedule)
        clock.tick(step, loss)
    return seen


def test_a_schedule_lasts_from_one_restart_to_the_next():
    seen = schedules(PhaseClock(RESTARTED, 100), [100.0 - step for step in range(100)])
    assert seen == [(0, 20)] * 20 + [(20, 40)] * 40 + [(60, 40)] * 40
    assert PhaseClock(THREE, 100).schedule == (0, 100), "without restarts there is one"


def test_a_schedule_begins_when_its_phase_does_and_the_last_one_takes_what_is_left():
    # b ends after 30 + 90 of its 300 steps, c after its own 10 + 30 of 100.
    losses = [1000.0 - step for step in range(200)] + [5.0] * 800
    seen = schedules(PhaseClock(RESTARTED, 1000), losses)
    assert seen == [(0, 200)] * 200 + [(200, 400)] * 160 + [(360, 640)] * 640


def test_the_state_is_plain_and_continues():
    losses = [5 - 0.01 * step + (step % 3) for step in range(100)]
    undisturbed = run_clock(PhaseClock(THREE, 100), losses)
    for death in (1, 19, 20, 33, 70):
        first = PhaseClock(THREE, 100)
        seen = run_clock(first, losses[:death])
        second = PhaseClock(THREE, 100)
        second.load_state_dict(first.state_dict())
        for step, loss in enumerate(losses[death:], start=death + 1):
            seen.append(second.index)
            second.tick(step, loss)
        assert seen == undisturbed
        assert all(isinstance(value, int | float) for value in first.state_dict().values())


def small(**arguments):
    torch.manual_seed(0)
    options = {"size": 16, "scales": 2, "train_mode": "alternate", **arguments}
    return RACNN(3, RACNN.Options("test_resnet", stride=8, **options))


def test_what_does_not_learn_has_no_gradient_and_is_in_evaluation_mode():
    model = small()
    for phase in model.phases:
        let_learn(model, phase)
        assert model.phase == phase.name
        assert model.training, "the model as a whole is training, unlike in validation"
        for name, part in model.named_modules():
            learns = any(name == own or name.startswith(f"{own}.") for own in phase.learns)
            if name and not list(part.children()):
                assert part.training == learns, (phase.name, name)
                assert all(p.requires_grad == learns for p in part.parameters()), name


def test_frozen_batch_norms_keep_their_statistics_and_do_not_use_the_batch():
    model, images = small(), torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    model(images)  # statistics that are not those of a fresh norm
    phase = next(phase for phase in model.phases if phase.name == "proposals")
    let_learn(model, phase)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    together = model(images).scale_logits
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    alone = torch.cat([model(image[None]).scale_logits for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


# In the training


OPTIONS = {
    "method": "racnn", "scales": 2, "backbone": "test_resnet", "weights": "none", "stride": 8,
    "size": 16, "source_size": 32, "epochs": 6, "batch_size": 12, "lr": 3e-3, "workers": 0,
    "augment": "shift", "drop_rate": 0.1, "warmup": 0.5, "train_mode": "alternate",
}  # fmt: skip


def train(squares, folder, resume=False, **options):
    catalog = read_data(squares)
    fit(catalog, make_options(**{**OPTIONS, **options}), folder, quiet=True, resume=resume)


@pytest.fixture
def diary(monkeypatch):
    """(phase, names of the parameters that moved) of every step."""
    rows, weights = [], {}
    real = TrainingModule.on_train_batch_end

    def note(self, *rest):
        now = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        moved = {name for name, p in now.items() if not torch.equal(p, weights.get(name, p + 1))}
        rows.append((self.model.phase, moved))
        real(self, *rest)
        weights.update({n: p.detach().clone() for n, p in self.model.named_parameters()})

    monkeypatch.setattr(TrainingModule, "on_train_batch_end", note)
    return rows


def test_phases_come_in_the_order_of_the_paper_and_only_what_learns_moves(squares, tmp_path, diary):
    train(squares, tmp_path / "run", epochs=10)
    order = [phase for phase, _ in diary]
    changes = [b for a, b in zip([None, *order], order, strict=False) if a != b]
    turns = ["classifiers", "proposals"] * 3
    assert changes == ["warm-up", "pointing", *turns, "classifiers"]
    learns = {phase.name: phase.learns for phase in small().phases}
    for phase, moved in diary[1:]:
        stray = [name for name in moved if not name.startswith(learns[phase])]
        assert stray == [], phase
        assert moved, phase


def test_the_rate_rises_and_falls_anew_for_the_pointing_and_for_the_finer_scales(
    squares, tmp_path, monkeypatch
):
    rows = []
    real = TrainingModule.on_train_batch_end

    def note(self, *rest):  # after the step: Lightning has set the next one's rate already
        real(self, *rest)
        group = self.optimizers().param_groups[0]
        rows.append((self.model.phase, group["lr"] / self.lr_schedulers().base_lrs[0]))

    monkeypatch.setattr(TrainingModule, "on_train_batch_end", note)
    train(squares, tmp_path / "run", epochs=20, train_mode="joint", warmup=2.0)
    starts = [0, *(n for n in range(1, len(rows)) if rows[n][0] != rows[n - 1][0])]
    names = [rows[start][0] for start in starts]
    assert names == ["warm-up", "pointing", "classifiers", "joint"]
    for begin, end in itertools.pairwise([*starts[:3], len(rows) - 1]):
        rates = [rate for _, rate in rows[begin:end]]
        assert rates[0] < 0.5, "the warm-up, a tenth of the schedule"
        assert max(rates) > 0.9
        assert rates[-1] < 0.25
    joint = starts[3]
    assert rows[joint][1] == pytest.approx(rows[joint - 1][1], abs=0.1), "within one schedule"


@pytest.mark.parametrize(("fusion", "also"), [("mean", set()), ("descriptors", {"fusion"})])
def test_joint_training_moves_everything_after_the_start(squares, tmp_path, diary, fusion, also):
    train(squares, tmp_path / "run", train_mode="joint", fusion=fusion)
    assert [phase for phase, _ in diary][-1] == "joint"
    moved = diary[-1][1]
    assert {name.split(".")[0] for name in moved} == {"trunks", "heads", "proposals"} | also


def test_the_finer_scales_start_from_the_first_when_it_is_warm():
    model = small()
    with torch.no_grad():
        model.trunks[0].net.conv1[0].weight.add_(1.0)
    model.begin(model.phases[0])
    assert not torch.equal(model.heads[0].weight, model.heads[1].weight)
    model.begin(model.phases[1])
    for parts in (model.trunks, model.heads):
        first, second = (part.state_dict() for part in parts)
        assert all(torch.equal(first[name], second[name]) for name in first)


class Died(BaseException):
    pass


@pytest.mark.parametrize("epoch", [1, 2, 4], ids=["pointing", "turns", "later"])
def test_a_killed_run_goes_on_in_its_phase_to_the_same_result(
    squares, tmp_path, monkeypatch, epoch
):
    train(squares, tmp_path / "undisturbed")
    real = RunWriter.on_train_batch_start

    def dies(self, trainer, *rest):
        if trainer.current_epoch == epoch:
            raise Died
        return real(self, trainer, *rest)

    monkeypatch.setattr(RunWriter, "on_train_batch_start", dies)
    with pytest.raises(Died):
        train(squares, tmp_path / "run")
    monkeypatch.undo()
    train(squares, tmp_path / "run", resume=True)
    first, second = (
        load_file(tmp_path / name / "model.safetensors") for name in ("undisturbed", "run")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    states = [
        torch.load(tmp_path / name / "last.ckpt", weights_only=True)
        for name in ("undisturbed", "run")
    ]
    assert states[0]["phase"] == states[1]["phase"]
    assert states[0]["phase"]["steps"] == 6 * 4
    assert history(tmp_path / "undisturbed") == history(tmp_path / "run")


def history(folder):
    rows = csv.DictReader((folder / "metrics.csv").read_text().splitlines())
    timeless = ("train", "val", "lr")
    return [{key: row[key] for key in row if key.startswith(timeless)} for row in rows]


def test_a_phase_begins_after_a_whole_update_when_gradients_are_summed(squares, tmp_path, diary):
    train(squares, tmp_path / "run", accumulate=2, epochs=12)
    steps = [(phase, bool(moved)) for phase, moved in diary[1:]]
    for (before, _), (after, moved) in itertools.pairwise(steps):
        if before != after:
            assert not moved, "the first batch of a phase is the first of two, without an update"


def test_models_without_phases_have_no_clock(squares, quick, tmp_path):
    catalog = read_data(squares)
    fit(catalog, make_options(**{**quick, "epochs": 1}), tmp_path / "run", quiet=True)
    assert "phase" not in torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert CAM(3, CAM.Options("test_resnet")).phases == ()
    assert replace(THREE[0], share=0.5).learns == ("x",)
