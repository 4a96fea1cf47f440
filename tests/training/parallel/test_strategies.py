"""Which strategy a training takes, and what sharding is refused with."""

import re

import pytest
from lightning.pytorch.strategies import DDPStrategy

from lookcloser.core import LookcloserError
from lookcloser.core.errors import UsageError
from lookcloser.data import read_data
from lookcloser.training.fit import fit_here
from lookcloser.training.options import make_options
from lookcloser.training.parallel import processes
from lookcloser.training.parallel.sharding import Sharded
from lookcloser.training.parallel.strategies import trainer_arguments
from lookcloser.training.recipes.choice import planned_recipe


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ema": 0.9}, "--ema 0.9: not with --strategy fsdp.*second whole network"),
        ({"compile": True}, "--compile.*not with --strategy fsdp"),
        ({"precision": "16-mixed"}, "16-mixed: not with --strategy fsdp.*bf16-mixed"),
        ({"precision": "64-true"}, "64-true: not with --strategy fsdp"),
        ({"recipe": "closed-form"}, "closed-form: not with --strategy fsdp"),
    ],
)
def test_what_needs_a_whole_network_is_refused(options, words):
    make_options(**options)
    with pytest.raises(UsageError) as refused:
        make_options(**options, strategy="fsdp")
    assert re.search(words, refused.value.for_the_command_line())


def test_another_name_is_refused_with_the_names():
    with pytest.raises(LookcloserError, match="unknown strategy. There are: auto, ddp, fsdp"):
        make_options(strategy="deepspeed")


def test_methods_whose_parts_learn_in_turns_are_refused(squares, tmp_path):
    options = make_options(
        method="racnn", backbone="test_resnet", weights="none", size=32, strategy="fsdp"
    )
    with pytest.raises(LookcloserError, match="parts of racnn learn in turns"):
        fit_here(read_data(squares), options, tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_sharding_means_fine_tuning():
    assert planned_recipe(make_options(method="cam"), "classification") == "auto"
    sharded = make_options(method="cam", strategy="fsdp")
    assert planned_recipe(sharded, "classification") == "fine-tune"


def test_one_process_has_no_strategy_but_where_it_shards(monkeypatch):
    assert trainer_arguments(make_options()) == {"devices": 1}
    assert trainer_arguments(make_options(strategy="ddp")) == {"devices": 1}
    assert isinstance(trainer_arguments(make_options(strategy="fsdp"))["strategy"], Sharded)


def test_several_processes_hold_the_whole_network_unless_asked(monkeypatch):
    monkeypatch.setattr(processes, "world_size", lambda: 4)
    monkeypatch.setattr(processes, "local_world_size", lambda: 2)
    for strategy in ("auto", "ddp"):
        given = trainer_arguments(make_options(strategy=strategy))
        assert isinstance(given["strategy"], DDPStrategy)
        assert (given["devices"], given["num_nodes"]) == (2, 2)
    assert isinstance(trainer_arguments(make_options(strategy="fsdp"))["strategy"], Sharded)
