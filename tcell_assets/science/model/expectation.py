"""What a training will take, said before it starts: time and memory from a measurement of about two seconds."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tcell_assets.science.model.settings import TrainingSettings

if TYPE_CHECKING:
    from tcell_assets.science.model.compute import Compute
    from tcell_assets.science.model.training_data import TrainingData

MEASURED_SECONDS = 2.0
# So many pieces tell as much as two seconds of them where a piece takes milliseconds.
ENOUGH_PIECES = 5
LONG_SECONDS = 3600.0
# A pass without gradients beside a training step, a well (2 541 genes, fp32: 65 of 308 ms).
EVALUATION_SHARE = 0.25

FASTER_THAN_GENES = (
    "Faster on this machine: preset=recommended; on four simulated truths its held-out R² was higher, not lower "
    "(docs/training_presets.md)"
)
FASTER_THAN_FULL_ATTENTION = (
    f"{FASTER_THAN_GENES}. Of this network attention=induced takes a quarter of the time: R² .478 against .479 at 64 "
    "genes"
)


@dataclass(frozen=True)
class TrainingExpectation:
    """What a training is expected to take on this machine.

    Attributes:
        wells: Wells with a target, those held out among them.
        genes: Genes of the network.
        device: Where it runs, with its precision.
        epochs: The most passes it makes.
        seconds: For so many epochs; early stopping only shortens it.
        memory_gib: Peak of this process (of the GPU on CUDA) after the steps measured, the data included.
        faster: Where it takes more than an hour: the setting that takes less, and its accuracy as measured.
    """

    wells: int
    genes: int
    device: str
    epochs: int
    seconds: float
    memory_gib: float
    faster: str = ""

    def line(self) -> str:
        """The expectation in one line."""
        said = (
            f"{self.wells:,} wells × {self.genes:,} genes on {self.device}: {duration(self.seconds)} expected for at "
            f"most {self.epochs} epochs, {self.memory_gib:.1f} GiB of memory"
        )
        return f"{said}. {self.faster}" if self.faster else said


def expect_training(data: TrainingData, settings: TrainingSettings, compute: Compute) -> TrainingExpectation:
    """Measure a few training steps of a network that is thrown away, and scale them to the whole training.

    No state of a training is touched: the random state is put back, and nothing is written.

    Args:
        data: As they will be trained on.
        settings: Of the training.
        compute: Device and precision.

    Raises:
        TrainingError: As `train` would raise it.
        SettingsError: As `train` would raise it.
    """
    from tcell_assets.science.model.training_data import prepare

    prepared = prepare(data, settings)
    learnt = len(prepared.parts["train"])
    judged = len(prepared.rows) - learnt
    a_well, a_step = _measured(data, settings, compute)
    steps = -(-learnt // settings.batch_size)
    seconds = settings.epochs * (a_well * (learnt + EVALUATION_SHARE * judged) + steps * a_step)
    return TrainingExpectation(
        wells=len(prepared.rows),
        genes=len(prepared.genes),
        device=f"{compute.device} ({compute.precision})",
        epochs=settings.epochs,
        seconds=seconds,
        memory_gib=peak_memory_gib(compute.device),
        faster=faster_setting(settings) if seconds > LONG_SECONDS else "",
    )


def _measured(data: TrainingData, settings: TrainingSettings, compute: Compute) -> tuple[float, float]:
    """Seconds of forward and backward a well, and of the optimizer a step."""
    import torch

    from tcell_assets.science.model.networks import new_network

    compute = compute.for_network(settings.network)
    with compute.session() as device, torch.random.fork_rng():
        network = new_network(settings.network, len(data.genes), data.targets).to(device).train()
        optimizer = torch.optim.AdamW(network.parameters(), fused=True)
        wells = min(
            compute.wells_at_once(settings.batch_size, settings.network.tokens_in_memory(len(data.genes))),
            len(data.expression),
        )
        values = torch.from_numpy(data.expression[:wells]).to(device)
        values = (values - values.mean(dim=0)) / (values.std(dim=0, correction=0) + 1e-8)
        pieces: list[float] = []
        steps: list[float] = []
        started = time.perf_counter()
        # The first piece warms up: it allocates what the others use again.
        while len(pieces) < 2 or (
            time.perf_counter() - started < MEASURED_SECONDS and len(pieces) < 1 + ENOUGH_PIECES
        ):
            optimizer.zero_grad(set_to_none=True)
            clock = time.perf_counter()
            with torch.autocast(device.type, torch.bfloat16, enabled=compute.precision == "bf16"):
                output = network(values)
            output.stacked().square().mean().backward()
            _wait_for(device)
            between = time.perf_counter()
            optimizer.step()
            _wait_for(device)
            pieces.append((between - clock) / wells)
            steps.append(time.perf_counter() - between)
    return min(pieces[1:]), min(steps[1:])


def faster_setting(settings: TrainingSettings) -> str:
    """Of a training that takes long: the setting that takes less, and what it costs in accuracy as measured."""
    if settings.network.architecture == "programmes":
        return "Fewer members or epochs take less, in proportion"
    if settings.network.attention == "full":
        return FASTER_THAN_FULL_ATTENTION
    return FASTER_THAN_GENES


def _wait_for(device: object) -> None:
    import torch

    if getattr(device, "type", "") == "cuda":
        torch.cuda.synchronize()


def peak_memory_gib(device: str) -> float:
    """Peak of this process: of its memory on a CPU, of PyTorch's allocations on a GPU."""
    if device == "cuda":
        import torch

        return float(torch.cuda.max_memory_allocated() / 2**30)
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


def duration(seconds: float) -> str:
    """Seconds, minutes or hours in words: `under a second`, `about 40 s`, `about 12 min`, `about 2.5 h`."""
    if seconds < 1:
        return "under a second"
    if seconds < 90:
        return f"about {seconds:.0f} s"
    if seconds < LONG_SECONDS:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / LONG_SECONDS:.1f} h"
