"""What `torch.compile` and CUDA graphs would gain over a plain training step of the network on this device.

`python -m benchmarks.acceleration [--device cuda --precision bf16] [--json]`. The ways take turns, each on a network
and an optimizer of its own, over the same random wells. A training pays a way's first steps (compiling, capturing)
once and gains at every later one, so both are given, and what 50 epochs of a published-size screen would take. The
engine's step does more: it gathers its wells and asks whether losses and gradients are finite, which no graph hides.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tcell_assets.science.model.compute import Compute, ComputeError, resolve_compute
from tcell_assets.science.model.network import ExpressionTransformer, NetworkOutput
from tcell_assets.science.model.settings import NetworkSettings

# 768 wells, four fifths of them trained on in batches of 32, 50 times.
STEPS_OF_A_TRAINING = 50 * 20
# A compiler may trace a second time, and a graph is captured after some steps on a side stream.
FIRST_STEPS = 3


def compare(genes: int, batch_size: int, compute: Compute, steps: int, rounds: int) -> dict[str, Any]:
    """Time the ways against each other.

    Args:
        genes: Genes a well.
        batch_size: Wells a step.
        compute: Device and precision of all of them.
        steps: Steps a turn.
        rounds: Turns a way.

    Returns:
        By way `first_steps_seconds`, `seconds_a_step`, `ratio` (plain over this, the median over the rounds) and
        `training_seconds`; or `skipped` with the reason.
    """
    result: dict[str, Any] = {}
    seconds: dict[str, list[float]] = {}
    with compute.session() as device:
        torch.zeros(1, device=device)
        _wait(device)
        made: dict[str, Callable[[], None]] = {}
        for way, build in {"plain": _plain_step, "compiled": _compiled_step, "graph": _graph_step}.items():
            if way == "graph" and device.type != "cuda":
                result[way] = {"skipped": "CUDA graphs need a CUDA device"}
                continue
            started = time.perf_counter()
            made[way] = build(_training(genes, batch_size, compute, device))
            for _ in range(FIRST_STEPS):
                made[way]()
            _wait(device)
            result[way] = {"first_steps_seconds": round(time.perf_counter() - started, 2)}
            seconds[way] = []
        for _ in range(rounds):
            for way, step in made.items():
                started = time.perf_counter()
                for _ in range(steps):
                    step()
                _wait(device)
                seconds[way].append((time.perf_counter() - started) / steps)
    for way, turns in seconds.items():
        a_step = statistics.median(turns)
        ratio = statistics.median(plain / own for plain, own in zip(seconds["plain"], turns, strict=True))
        result[way] |= {
            "seconds_a_step": round(a_step, 5),
            "ratio": round(ratio, 3),
            "training_seconds": round(result[way]["first_steps_seconds"] + STEPS_OF_A_TRAINING * a_step, 1),
        }
    return result


@dataclass(frozen=True)
class _Training:
    """A network, its optimizer, and the loss of random wells by the network or a compiled form of it."""

    network: ExpressionTransformer
    optimizer: torch.optim.Optimizer
    loss: Callable[[Callable[[Tensor], NetworkOutput]], Tensor]


def _training(genes: int, batch_size: int, compute: Compute, device: torch.device) -> _Training:
    torch.manual_seed(0)
    network = ExpressionTransformer(NetworkSettings(), genes).to(device).train()
    expression = torch.randn(batch_size, genes, device=device)
    # `capturable` keeps the optimizer's step counter on the GPU, which a graph needs.
    optimizer = torch.optim.AdamW(network.parameters(), fused=True, capturable=device.type == "cuda")

    def loss(forward: Callable[[Tensor], NetworkOutput]) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=compute.precision == "bf16"):
            output = forward(expression)
        # The engine's own loss costs as little as this one.
        return output.stacked().square().mean(dim=0).sum()

    return _Training(network, optimizer, loss)


def _plain_step(training: _Training) -> Callable[[], None]:
    return _step(training, training.network)


def _compiled_step(training: _Training) -> Callable[[], None]:
    return _step(training, torch.compile(training.network))


def _step(training: _Training, forward: Callable[[Tensor], NetworkOutput]) -> Callable[[], None]:
    def step() -> None:
        training.optimizer.zero_grad(set_to_none=True)
        training.loss(forward).backward()
        training.optimizer.step()

    return step


def _graph_step(training: _Training) -> Callable[[], None]:
    """Capture a whole step, as PyTorch's notes on CUDA graphs do: a few steps on a side stream, then the capture."""
    step = _plain_step(training)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(FIRST_STEPS):
            step()
    torch.cuda.current_stream().wait_stream(side)
    # None before the capture, so that the backward pass allocates the gradients from the graph's own memory.
    training.optimizer.zero_grad(set_to_none=True)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        training.loss(training.network).backward()
        training.optimizer.step()
    # The graph owns neither weights nor optimizer state: who keeps it has to keep them.
    kept = training, graph
    return lambda: kept[1].replay()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Read the arguments, compare, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.acceleration", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--genes", type=int, default=2_541)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--steps", type=int, default=20, help="steps a turn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    try:
        compute = resolve_compute(asked.device, asked.precision)
    except ComputeError as error:
        parser.exit(1, f"error: {error}\n")
    result = compare(asked.genes, asked.batch_size, compute, asked.steps, asked.rounds)
    print(
        json.dumps(result) if asked.json else "\n".join(f"{way}: {values}" for way, values in result.items())
    )


if __name__ == "__main__":
    main()
