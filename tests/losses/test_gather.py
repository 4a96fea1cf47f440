import os
import subprocess
from pathlib import Path

import torch

from lookcloser.losses import gather_across_ranks, mamc_loss

# Two processes, with 3 and 5 of 8 images. Each writes what it
# gathered and its gradient of the shared weight.
PROCESSES = """
import os, sys
import torch
from lookcloser.losses import gather_across_ranks, mamc_loss
folder, child = sys.argv[1], os.fork()
rank = 0 if child else 1
torch.distributed.init_process_group(
    "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
)
images, labels, weight = torch.load(f"{folder}/batch.pt")
part = slice(0, 3) if rank == 0 else slice(3, 8)
weight.requires_grad_()
features = (images[part] @ weight).unflatten(1, (2, 3))
gathered, classes = gather_across_ranks(features, labels[part])
mamc_loss(gathered, classes).backward()
torch.save((gathered.detach(), classes, weight.grad), f"{folder}/{rank}.pt")
torch.distributed.destroy_process_group()
if child:
    sys.exit(os.waitpid(child, 0)[1])
"""


def test_two_processes_have_the_gradient_of_the_whole_batch(
    warm_python: str, tmp_path: Path
) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(8, 4, generator=generator, dtype=torch.double)
    weight = torch.randn(4, 6, generator=generator, dtype=torch.double)
    labels = torch.tensor([0, 1, 0, 1, 2, 2, 0, 2])
    torch.save((images, labels, weight), tmp_path / "batch.pt")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [warm_python, "-c", PROCESSES, str(tmp_path)]
    subprocess.run(command, env=environment, check=True, timeout=600)

    weight.requires_grad_()
    features = (images @ weight).unflatten(1, (2, 3))
    mamc_loss(features, labels).backward()
    results = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for gathered, classes, _ in results:
        torch.testing.assert_close(gathered, features.detach())
        assert torch.equal(classes, labels)
    # DistributedDataParallel takes the mean over the processes.
    torch.testing.assert_close((results[0][2] + results[1][2]) / 2, weight.grad)


def test_without_processes_nothing_changes() -> None:
    features, labels = torch.randn(2, 2, 3), torch.tensor([0, 1])
    gathered, classes = gather_across_ranks(features, labels)
    assert gathered is features
    assert classes is labels
