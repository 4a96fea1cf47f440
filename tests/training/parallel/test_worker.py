"""The program of the other processes: its job, its words and its exit code."""

from __future__ import annotations

import io
import pickle
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lookcloser.core import LookcloserError
from lookcloser.core.errors import UsageError
from lookcloser.data import Catalog
from lookcloser.training import fit
from lookcloser.training.options import make_options
from lookcloser.training.parallel import launch, processes, worker
from lookcloser.training.parallel.launch import Job

JOB = Job(
    Catalog(Path("data"), "", "classification", ("a", "b"), ()),
    make_options(devices=2, batch_size=4), Path("run"), True, 1, 4711,
)  # fmt: skip


@pytest.fixture
def did(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the program does with the job on its standard input."""
    done: list[Any] = []

    @contextmanager
    def member(job: Job) -> Any:
        done.append(("joined", job.rank, job.port))
        yield
        done.append("left")

    def fit_here(catalog: Catalog, options: Any, folder: Path, **how: Any) -> None:
        done.append((catalog.names, options, folder, how))

    monkeypatch.setattr(worker.sys, "stdin", SimpleNamespace(buffer=io.BytesIO(pickle.dumps(JOB))))
    monkeypatch.setattr(worker, "_end_with_the_first", lambda: None)
    monkeypatch.setattr(launch, "member", member)
    monkeypatch.setattr(fit, "fit_here", fit_here)
    return done


def test_it_trains_as_the_job_says_within_the_group(did: list[Any]) -> None:
    assert worker.main() == 0
    trained = (("a", "b"), JOB.options, Path("run"), {"resume": True, "quiet": True})
    assert did == [("joined", 1, 4711), trained, "left"]


def test_what_goes_wrong_is_said_with_its_number(
    did: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise LookcloserError("the data went away", fix="Bring it back")

    monkeypatch.setattr(fit, "fit_here", fails)
    assert worker.main() == 1
    assert capsys.readouterr().err == "process 1: The data went away. Bring it back.\n"


class TestTheOthers:
    """As the first process sees them."""

    @pytest.mark.parametrize("codes", [(None, None), (0, None), (0, 0)])
    def test_who_works_or_is_done_is_no_reason_to_end(self, codes: tuple[int | None, ...]) -> None:
        launch._check_alive(list(map(other, codes)))

    @pytest.mark.parametrize(("codes", "number"), [((1, None), 1), ((0, -9), 2)])
    def test_who_broke_off_is_named(self, codes: tuple[int | None, ...], number: int) -> None:
        words = f"Process {number} of 3 ended early .exit code {codes[number - 1]}.*--devices 1"
        with pytest.raises(LookcloserError, match=words):
            launch._check_alive(list(map(other, codes)))

    def test_they_are_waited_for_until_all_are_ready(self, monkeypatch: pytest.MonkeyPatch) -> None:
        looks = iter([False, False, True])
        asked: list[Any] = []
        store: Any = SimpleNamespace(
            set_timeout=asked.append, check=lambda names: asked.append(names) or next(looks)
        )
        monkeypatch.setattr(launch.time, "sleep", lambda _seconds: None)
        launch._wait_until_ready(store, list(map(other, (None, None))))
        assert asked[1:] == [["ready 1", "ready 2"]] * 3

    def test_one_that_died_while_loading_is_not_waited_for(self) -> None:
        store: Any = SimpleNamespace(set_timeout=lambda _: None, check=lambda _names: False)
        with pytest.raises(LookcloserError, match="Process 2 of 3 ended early"):
            launch._wait_until_ready(store, list(map(other, (None, 1))))


def other(code: int | None) -> Any:
    return SimpleNamespace(poll=lambda: code, returncode=code)


class TestGroup:
    def test_one_device_needs_none(self) -> None:
        with launch.own_group(JOB.catalog, make_options(), Path("run"), resume=False):
            assert not processes.is_joined()

    def test_one_that_shards_is_a_group_of_one(self) -> None:
        options = make_options(strategy="fsdp")
        with launch.own_group(JOB.catalog, options, Path("run"), resume=False):
            assert processes.is_joined()
            assert (processes.rank(), processes.world_size()) == (0, 1)
            with launch.own_group(JOB.catalog, JOB.options, Path("run"), resume=False):
                pass  # who is in a group starts no processes
        assert not processes.is_joined()

    def test_more_devices_than_there_are_gpus_are_refused(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(launch.torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(launch.torch.cuda, "device_count", lambda: 1)
        group = launch.own_group(JOB.catalog, JOB.options, Path("run"), resume=False)
        with pytest.raises(LookcloserError, match="--devices 2: this machine has 1 GPU"), group:
            pass

    def test_lightning_is_told_the_group_as_it_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, number in (("world_size", 6), ("rank", 5), ("local_world_size", 2)):
            monkeypatch.setattr(processes, name, lambda number=number: number)
        joined = launch.Joined()
        joined.set_world_size(99)
        joined.set_global_rank(99)
        assert (joined.world_size(), joined.global_rank(), joined.node_rank()) == (6, 5, 2)
        assert joined.creates_processes_externally


class TestTheFirstDecides:
    @pytest.fixture(params=[0, 1])
    def rank(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
        """One of two processes; what the first one has is told to the second."""
        told: list[Any] = [UsageError("no", option="lr")] if request.param else []
        monkeypatch.setattr(processes, "world_size", lambda: 2)
        monkeypatch.setattr(processes, "rank", lambda: request.param)

        def broadcast(outcome: list[Any]) -> None:
            outcome[:] = pickle.loads(pickle.dumps(told or outcome))

        monkeypatch.setattr(processes.distributed, "broadcast_object_list", broadcast)
        return int(request.param)

    def test_all_get_the_same_error_with_its_option(self, rank: int) -> None:
        called: list[int] = []

        def make() -> None:
            called.append(rank)
            raise UsageError("no", option="lr")

        with pytest.raises(UsageError) as refused:
            processes.first_decides(make)
        assert (str(refused.value), refused.value.option) == ("No.", "lr")
        assert called == ([0] if rank == 0 else []), "the others do not ask"
