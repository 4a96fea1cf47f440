"""The job of docs/scale.md on a cluster of two nodes, each a raylet with one core of this machine.

A head without cores, as in examples/cluster/ray-job.yaml, and two nodes that join it by its
address, so that one actor runs on each. `lookcloser predict --engine ray --ray-address` is given
twice: undisturbed, and with a node that is taken away once a part is there. Counted is how often
each image is answered, and how many answers differ from those of one process without Ray.

python benchmarks/ray_nodes.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from _harness import arguments, machine, report
from batch import write_images, write_network
from ray.cluster_utils import Cluster

PART = 50


def predict(network: Path, source: Path, out: Path, *more: str) -> subprocess.Popen[bytes]:
    """`lookcloser predict`, started."""
    words = ["predict", str(network), str(source), "--out", str(out), "--part-images", str(PART)]
    return subprocess.Popen([sys.executable, "-m", "lookcloser", *words, *more])


def answers(out: Path) -> list[dict[str, Any]]:
    """Every answer that was written."""
    files = sorted(out.glob("part-*"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def run(network: Path, source: Path, out: Path, count: int, *, lose_a_node: bool) -> dict[str, Any]:
    """The job on a new cluster."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        cluster.wait_for_nodes()
        start = time.monotonic()
        words = ("--engine", "ray", "--ray-address", cluster.address)
        with predict(network, source, out, *words) as process:
            while lose_a_node and process.poll() is None and not answers(out):
                time.sleep(0.2)
            if lose_a_node:
                cluster.remove_node(nodes[1], allow_graceful=False)
        seconds, code = time.monotonic() - start, process.returncode
    finally:
        cluster.shutdown()
    found = Counter(row["index"] for row in answers(out))
    return {
        "cluster": "two nodes, one taken away" if lose_a_node else "two nodes",
        "exit code": code,
        "images": count,
        "answered once": sum(1 for times in found.values() if times == 1),
        "lost": count - len(found),
        "doubled": sum(1 for times in found.values() if times > 1),
        "seconds": seconds,
    }


def main() -> None:
    parser = arguments("ray_nodes", __doc__)
    parser.add_argument("--images", type=int, default=1000)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = write_images(folder / "images", options.images, (64, 48))
        network = write_network(folder / "network.onnx", "test_resnet", 32)
        predict(network, source, folder / "plain").wait()
        expected = {row["index"]: row for row in answers(folder / "plain")}
        for lose_a_node in (False, True):
            out = folder / f"out{lose_a_node}"
            row = run(network, source, out, options.images, lose_a_node=lose_a_node)
            row["other answers"] = sum(one != expected[one["index"]] for one in answers(out))
            rows.append(row)
            print(row, flush=True)
    report(options.json, machine("onnxruntime", "ray") | {"load": os.getloadavg()}, {"runs": rows})


if __name__ == "__main__":
    main()
