"""The files for clusters: what they run is run here, as far as one machine can."""

import json
import re
import shlex
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from PIL import Image

from lookcloser.cli import main
from lookcloser.core.header import ModelHeader
from lookcloser.core.preprocessing import Preprocessing
from lookcloser.data import Catalog, Sample, write_shards
from lookcloser.models import build_model, save_model_file

FOLDER = Path(__file__).parents[2] / "examples" / "cluster"


def load(name):
    return list(yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")))


@pytest.fixture
def program(monkeypatch, capsys):
    def run(words):
        monkeypatch.setattr(sys, "argv", words)
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        return left.value.code or 0, capsys.readouterr().err

    return run


@pytest.fixture
def disk(tmp_path):
    """/data and /models of the pods, with a model under both names that the files use."""
    samples = []
    for number in range(30):
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (8, 8), (number, 0, 0)).save(path)
        samples.append(Sample(path.name, path, (str(number % 2),)))
    catalog = Catalog(tmp_path, "files", "classification", ("0", "1"), tuple(samples))
    write_shards(catalog, tmp_path / "data" / "shards", per_shard=10)
    model = build_model("cam", {"num_classes": 2, "backbone": "test_resnet", "stride": 8})
    header = ModelHeader("cam", {"num_classes": 2, "backbone": "test_resnet", "stride": 8},
                         "classification", ("0", "1"), Preprocessing((32, 32)))  # fmt: skip
    save_model_file(tmp_path / "models" / "birds" / "model.safetensors", model.state_dict(), header)
    return tmp_path


def words_of(text, disk, **variables):
    """The command as a shell would give it to the program, with the folders of the test."""
    for name, value in variables.items():
        text = text.replace(name, value)
    text = re.sub(r"\|\|.*", "", text.replace("\\\n", " "))
    return [re.sub(r"^/(data|models)", rf"{disk}/\1", word) for word in shlex.split(text)]


def test_pods_that_share_a_source_answer_all_of_it(disk, program):
    (job,) = load("predict-job.yaml")
    spec = job["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    (text,) = container["args"]
    count = spec["completions"]
    assert f"/{count} " in text, "as many shares as pods"
    for index in reversed(range(count)):
        words = words_of(
            text, disk, **{"$((JOB_COMPLETION_INDEX + 1))": str(index + 1), "parquet": "jsonl"}
        )
        words = [word.replace("birds.onnx", "birds") for word in words]
        code, err = program([*words, "--part-images", "3"])
        assert code == 0, err
    files = (disk / "data" / "answers").glob("part-*.jsonl")
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert Counter(row["index"] for row in rows) == Counter(range(30))
    assert json.loads((disk / "data" / "answers" / "summary.json").read_text())["parts"] == 10


def test_the_job_of_ray_is_a_command_of_the_program(disk, program):
    (job,) = load("ray-job.yaml")
    words = words_of(job["spec"]["entrypoint"], disk)
    code, err = program([*words, "--dry-run"])
    if find_spec("ray") is None:  # all else is right
        assert (code, "--engine ray needs ray, which is not installed" in err) == (1, True)
        at = words.index("--engine")
        code, err = program([*words[:at], *words[at + 4 :], "--dry-run"])
    assert code == 0, err
    assert "Would answer 30 images" in err
    cluster = job["spec"]["rayClusterSpec"]
    (group,) = cluster["workerGroupSpecs"]
    (container,) = group["template"]["spec"]["containers"]
    (head,) = cluster["headGroupSpec"]["template"]["spec"]["containers"]
    assert container["volumeMounts"] == head["volumeMounts"], "all see the same disks"


def test_the_training_is_a_command_of_the_program(disk, program):
    service, job = load("train-job.yaml")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    (text,) = container["args"]
    host = re.search(r"--master-addr (\S+)", text)[1]
    assert host == f"{job['metadata']['name']}-0.{service['metadata']['name']}"
    assert f"--nnodes {job['spec']['completions']} " in text
    processes = int(re.search(r"--nproc-per-node (\d+)", text)[1])
    assert container["resources"]["limits"]["nvidia.com/gpu"] == str(processes)
    words = words_of(text, disk)
    words = ["lookcloser", *words[words.index("lookcloser") + 1 :]]
    code, err = program([*words, "--epochs", "0"])
    assert code == 2
    assert "--epochs" in err, "all else is understood"
