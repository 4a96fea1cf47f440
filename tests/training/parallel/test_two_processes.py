"""Two processes as torchrun starts them: sharded weights, and one that is killed.

They are started once for all tests here, and train on gloo without GPUs.
"""

import json
import os
import signal
import subprocess
import time

import pytest
import torch
from safetensors.torch import load_file
from torch.distributed import TCPStore

from lookcloser.core import LookcloserError
from lookcloser.data import read_data
from lookcloser.training.fit import fit, prepare_model
from lookcloser.training.options import make_options
from lookcloser.training.parallel import launch
from lookcloser.training.parallel.sharding import blocks_of

# No batch norm, whose statistics are those of each process, and no Adam, which makes steps of what
# rounding leaves of a gradient that is 0.
OPTIONS = {
    "backbone": "test_vit", "weights": "none", "size": 32, "epochs": 2, "batch_size": 12,
    "lr": 0.02, "workers": 0, "augment": "shift", "erase": 0.2, "optimizer": "sgd", "clip": 0.5,
    "recipe": "fine-tune", "save_every": 3,
}  # fmt: skip
LEAST = 20_000  # parameters of a block that is sharded on its own, for so small a network
BOUND = 120  # seconds on a busy machine until the process that is left has ended

# Stopped in its second epoch, resumed, and at last trained by the command line, until the second
# process is killed in the second epoch.
PROCESS = """
import json, os, signal, sys
from pathlib import Path
from lookcloser.data import read_data
from lookcloser.training.callbacks.run_files import RunWriter
from lookcloser.training.fit import fit_here
from lookcloser.training.options import make_options
from lookcloser.training.parallel import processes, sharding
from lookcloser.training.parallel.launch import outer_group

data, out, options = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
sharding.LEAST = int(sys.argv[4])
real, ends = RunWriter.on_train_batch_end, {}

def breaks(self, trainer, *rest):
    real(self, trainer, *rest)
    if (trainer.global_step, processes.rank()) in ends:
        os.kill(os.getpid(), ends.pop((trainer.global_step, processes.rank())))

RunWriter.on_train_batch_end = breaks
with outer_group():
    catalog, sharded = read_data(data), make_options(**options, strategy="fsdp")
    ends[6, 0] = signal.SIGINT
    stopped = fit_here(catalog, sharded, out / "sharded", quiet=True)
    if processes.rank() == 0:
        (out / "stopped").mkdir()
        (out / "stopped" / "last.ckpt").write_bytes((out / "sharded" / "last.ckpt").read_bytes())
    done = fit_here(catalog, sharded, out / "sharded", quiet=True, resume=True)
    (out / f"{processes.rank()}.json").write_text(
        json.dumps({"interrupted": [stopped.interrupted, done.interrupted]})
    )
    ends[7, 1] = signal.SIGKILL
    words = [[f"--{name.replace('_', '-')}", str(value)] for name, value in options.items()]
    sys.argv = ["lookcloser", "train", data, "--out", str(out / "killed"), *sum(words, [])]
    from lookcloser.cli import main
    main()
"""


@pytest.fixture(scope="module")
def pair(squares, warm_python, tmp_path_factory):
    """Where two processes have trained; what became of each is in ``ends``."""
    folder = tmp_path_factory.mktemp("pair")
    # As torchrun does it, the starter holds the store: no port is given away to be taken later.
    store = TCPStore(launch.HOST, 0, 2, is_master=True, wait_for_workers=False)
    started, ends = [], []
    for rank in range(2):
        own = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
        own |= {"MASTER_ADDR": launch.HOST, "MASTER_PORT": store.port}
        own |= {"TORCHELASTIC_USE_AGENT_STORE": "True"}
        given = [str(squares), str(folder), json.dumps(OPTIONS), str(LEAST)]
        started.append(
            subprocess.Popen(
                [warm_python, "-c", PROCESS, *given],
                env=os.environ | {name: str(value) for name, value in own.items()},
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        killed, left = started[1], started[0]
        said = killed.communicate(timeout=600)[1]
        ends.append((killed.returncode, said))
        at = time.monotonic()
        said = left.communicate(timeout=BOUND)[1]
        ends.insert(0, (left.returncode, said))
        print(f"the other ended after {time.monotonic() - at:.1f} s")
    finally:
        for process in started:
            process.kill()
    (folder / "ends.json").write_text(json.dumps(ends))
    return folder


@pytest.fixture(scope="module")
def alone(squares, tmp_path_factory):
    """The weights of the same training in one process, undisturbed."""
    folder = tmp_path_factory.mktemp("alone")
    fit(read_data(squares), make_options(**OPTIONS), folder, quiet=True)
    return load_file(folder / "model.safetensors")


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        scale = float(weight.abs().max()) if weight.is_floating_point() else 0
        torch.testing.assert_close(found[name], weight, rtol=0, atol=1e-4 * scale)


def test_sharded_stopped_and_resumed_it_ends_as_one_process_does(pair, alone):
    for rank in range(2):
        notes = json.loads((pair / f"{rank}.json").read_text())
        assert notes["interrupted"] == [True, False]
    assert_same(load_file(pair / "sharded" / "model.safetensors"), alone)


def test_what_sharding_saved_can_be_resumed_without_it(squares, pair, alone):
    """It is one whole file, with the names and the optimizer's state of every other training."""
    ours = torch.load(pair / "stopped" / "last.ckpt", weights_only=True)
    assert all(type(value) is torch.Tensor for value in ours["state_dict"].values())
    (state,) = ours["optimizer_states"]
    sizes = [tuple(each["momentum_buffer"].shape) for each in state["state"].values()]
    options = make_options(**OPTIONS)
    model, _ = prepare_model(options, read_data(squares))
    names = dict(model.named_parameters())
    assert len(sizes) == len(names)
    assert sorted(sizes) == sorted(tuple(weight.shape) for weight in names.values())
    assert fit(read_data(squares), options, pair / "stopped", quiet=True, resume=True).epochs == 2
    assert_same(load_file(pair / "stopped" / "model.safetensors"), alone)


def test_blocks_are_sharded_each_on_its_own(squares, monkeypatch):
    model, _ = prepare_model(make_options(**OPTIONS), read_data(squares))
    assert list(blocks_of(model)) == [], "none is large"
    monkeypatch.setattr("lookcloser.training.parallel.sharding.LEAST", LEAST)
    found = list(blocks_of(model))
    assert {type(block).__name__ for block in found} == {"Block"}
    assert len(found) == len(model.backbones[0].net.blocks)


def test_when_a_process_is_killed_the_other_ends_with_a_sentence(pair):
    (code, said), (killed, _) = json.loads((pair / "ends.json").read_text())
    assert killed == -signal.SIGKILL
    assert code == 1
    assert said.count("Error: ") == 1
    assert "Error: Another process of this training has ended" in said
    assert "--resume" in said
    assert "Traceback" not in said


def test_and_the_run_is_resumed_to_the_weights_of_an_undisturbed_one(pair, alone):
    from lookcloser.recognizer import train

    folder = pair / "killed"
    before = torch.load(folder / "last.ckpt", weights_only=True)
    assert before["next"] == [1, 2], "the checkpoint within the second epoch"
    train(resume=folder, quiet=True)
    assert_same(load_file(folder / "model.safetensors"), alone)


def test_without_gpus_sharding_is_refused_with_a_reason(squares, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    options = make_options(**OPTIONS, strategy="fsdp")
    with pytest.raises(LookcloserError, match=r"strategy fsdp: there is no GPU.*auto or ddp"):
        fit(read_data(squares), options, tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()
