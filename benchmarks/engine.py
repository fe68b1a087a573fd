"""Speed and memory of the engine against the published network, interleaved, in one process tree.

`python -m benchmarks.engine train --json`, `… score` or `… all`. Two child processes hold one implementation each; the
parent lets them take turns, step by step, so that whatever else loads the machine slows both. A ratio is the median
over the rounds of published seconds over engine seconds; the peak memory is each child's own. Both see the
same random expression, since neither's speed depends on the values. The engine is driven by its public functions
alone (`train`, `score_wells`): data handling, checks and tables are in its time.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import math
import multiprocessing
import multiprocessing.connection
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from tcell_assets.science.model.compute import Compute, ComputeError, resolve_compute
from tcell_assets.science.model.settings import PRESETS, NetworkSettings, settings_for_preset

What = Literal["train", "score", "all"]
MEASURES_OF: dict[What, tuple[str, ...]] = {
    "train": ("training",),
    "score": ("evaluation", "scoring"),
    "all": ("training", "evaluation", "scoring"),
}
WARM_UP_ROUNDS = 1
# The published training step takes about 25 GB at 2 541 genes and its own 32 wells.
PUBLISHED_BYTES_A_WELL_AND_GENE_PAIR = 125.0
WELLS_OF_A_SCREEN = 768


@dataclasses.dataclass(frozen=True)
class BenchmarkSettings:
    """One comparison.

    Attributes:
        what: `train` times training steps, `score` an evaluation pass and a whole scoring, `all` the three.
        preset: Of the engine, as shipped.
        genes: Genes a well.
        batch_size: Wells a step, and a forward.
        compute: Device and precision of the engine; the published network runs in fp32 on the same device.
        rounds: Turns that count, after one that warms up.
    """

    what: What
    preset: str
    genes: int
    batch_size: int
    compute: Compute
    rounds: int


def run_engine_benchmark(
    what: What,
    genes: int = 2_541,
    batch_size: int = 8,
    precision: str = "fp32",
    device: str = "auto",
    threads: int = 0,
    rounds: int = 5,
    preset: str = "published",
) -> dict[str, Any]:
    """Compare the engine with the published network on this machine.

    Args:
        what: `train`, `score` or `all`.
        genes: Genes a well.
        batch_size: Wells a step.
        precision: Of the engine: `auto`, `fp32` or `bf16`.
        device: `auto`, `cpu` or `cuda`.
        threads: CPU threads of either; 0 leaves PyTorch's choice.
        rounds: Turns that count.
        preset: Settings of the engine; the published network is always as published.

    Returns:
        Plain values: the settings; of `training_ratio`, `evaluation_ratio` and `scoring_ratio` those measured; the
        seconds a well behind them; `peak_memory_gib` of the engine and `published_peak_memory_gib`; `cuda`, a whole
        training on the GPU or the reason why there is none.

    Raises:
        ComputeError: The device is absent.
        MemoryError: The published network would not fit into the free memory.
    """
    settings = BenchmarkSettings(
        what,
        preset,
        genes,
        batch_size,
        resolve_compute(device, precision, threads, batch_size=batch_size),
        rounds,
    )
    measures = MEASURES_OF[what]
    if settings.compute.device == "cpu" and "training" in measures:
        _require_memory_for_published(settings)
    seconds, peaks = _take_turns(settings, measures)
    result: dict[str, Any] = {
        "what": what,
        "preset": preset,
        "genes": genes,
        "batch_size": batch_size,
        "precision": settings.compute.precision,
        "device": settings.compute.device,
        "reason": settings.compute.reason,
        "rounds": rounds,
    }
    for measure in measures:
        pairs = list(zip(seconds["published"][measure], seconds["engine"][measure], strict=True))
        result[f"{measure}_ratio"] = round(
            statistics.median(published / engine for published, engine in pairs), 3
        )
        for name in ("published", "engine"):
            median = statistics.median(seconds[name][measure]) / batch_size
            result[f"{name}_{measure}_seconds_a_well"] = round(median, 4)
    result["peak_memory_gib"] = round(peaks["engine"], 3)
    result["published_peak_memory_gib"] = round(peaks["published"], 3)
    result["cuda"] = _whole_training_on_cuda(settings)
    return result


def _require_memory_for_published(settings: BenchmarkSettings) -> None:
    """The published step holds the genes × genes matrices; do not let it take the machine down."""
    needed = PUBLISHED_BYTES_A_WELL_AND_GENE_PAIR * settings.batch_size * settings.genes**2 + 2**30
    memory = Path("/proc/meminfo")
    if not memory.exists():
        return
    available = int(memory.read_text().split("MemAvailable:")[1].split()[0]) * 1024
    if needed > 0.9 * available:
        raise MemoryError(
            f"the published network needs about {needed / 2**30:.0f} GiB for {settings.batch_size} wells of "
            f"{settings.genes:,} genes and {available / 2**30:.0f} GiB are free; take a smaller batch size, or measure "
            "the engine's memory alone with `python -m benchmarks.engine memory`"
        )


def _take_turns(
    settings: BenchmarkSettings, measures: tuple[str, ...]
) -> tuple[dict[str, dict[str, list[float]]], dict[str, float]]:
    """Seconds by implementation and measure, and each child's peak memory in GiB."""
    context = multiprocessing.get_context("spawn")
    workers = {}
    for name, target in (("published", _published_worker), ("engine", _engine_worker)):
        ours, theirs = context.Pipe()
        process = context.Process(target=target, args=(settings, theirs), daemon=True)
        process.start()
        theirs.close()
        workers[name] = (process, ours)
    seconds: dict[str, dict[str, list[float]]] = {name: {m: [] for m in measures} for name in workers}
    for measure in measures:
        for turn in range(WARM_UP_ROUNDS + settings.rounds):
            for name, (_, connection) in workers.items():
                connection.send("go")
                elapsed = connection.recv()
                if turn >= WARM_UP_ROUNDS:
                    seconds[name][measure].append(elapsed)
    peaks = {name: connection.recv() for name, (_, connection) in workers.items()}
    for process, _ in workers.values():
        process.join()
    return seconds, peaks


def _timed_turns(
    connection: multiprocessing.connection.Connection, turns: int, work: Callable[[], object]
) -> None:
    for _ in range(turns):
        connection.recv()
        started = time.perf_counter()
        work()
        connection.send(time.perf_counter() - started)


def _published_worker(settings: BenchmarkSettings, connection: multiprocessing.connection.Connection) -> None:
    import torch

    from benchmarks.published_network import (
        PublishedNetwork,
        published_evaluation,
        published_scoring,
        published_training_step,
    )

    turns = WARM_UP_ROUNDS + settings.rounds
    with settings.compute.session() as device:
        network = PublishedNetwork(NetworkSettings(), settings.genes).to(device)
        expression = torch.randn(settings.batch_size, settings.genes, device=device)
        targets = torch.rand(settings.batch_size, 5, device=device).round()
        if "training" in MEASURES_OF[settings.what]:
            optimizer = torch.optim.AdamW(network.parameters())
            step = lambda: published_training_step(network, optimizer, expression, targets)  # noqa: E731
            _timed_turns(connection, turns, _synchronised(step, device.type))
        if "scoring" in MEASURES_OF[settings.what]:
            evaluate = lambda: published_evaluation(network, expression, settings.batch_size)  # noqa: E731
            score = lambda: published_scoring(network, expression, settings.batch_size)  # noqa: E731
            _timed_turns(connection, turns, _synchronised(evaluate, device.type))
            _timed_turns(connection, turns, _synchronised(score, device.type))
        connection.send(_peak_memory_gib(device.type))


def _synchronised(work: Callable[[], object], device: str) -> Callable[[], object]:
    if device != "cuda":
        return work

    import torch

    def work_and_wait() -> None:
        work()
        torch.cuda.synchronize()

    return work_and_wait


def _engine_worker(settings: BenchmarkSettings, connection: multiprocessing.connection.Connection) -> None:
    from tcell_assets.science.model.scoring import score_wells
    from tcell_assets.science.model.training import Progress, train

    turns = WARM_UP_ROUNDS + settings.rounds
    if "training" in MEASURES_OF[settings.what]:
        # One epoch with a batch a turn; the callback between two steps is where the other process has its turn.
        training = settings_for_preset(settings.preset, epochs=1, batch_size=settings.batch_size)
        share = (1 - training.validation_fraction) * (1 - training.inner_fraction)
        data = _random_screen(math.ceil((turns + 1) * settings.batch_size / share), settings.genes)
        connection.recv()
        started = time.perf_counter()
        done = 0

        def hand_over(progress: Progress) -> None:
            nonlocal started, done
            if progress.kind != "step":
                return
            done += 1
            if done <= turns:
                connection.send(time.perf_counter() - started)
            if done < turns:
                connection.recv()
                started = time.perf_counter()

        train(data, training, settings.compute, None, hand_over)
    if "scoring" in MEASURES_OF[settings.what]:
        data = _random_screen(20, settings.genes)
        model = train(data, settings_for_preset(settings.preset, epochs=1, batch_size=2), settings.compute)
        random = np.random.default_rng(1)
        expression = pd.DataFrame(
            random.normal(8, 1, (settings.batch_size, settings.genes)).astype(np.float32),
            columns=list(model.genes),
        )
        _timed_turns(connection, turns, lambda: score_wells(model, expression, settings.compute))
        _timed_turns(connection, turns, lambda: score_wells(model, expression, settings.compute, "auto"))
    connection.send(_peak_memory_gib(settings.compute.device))


def _random_screen(wells: int, genes: int) -> Any:
    from tcell_assets.science.model.training import TrainingData

    random = np.random.default_rng(0)
    scores = random.normal(size=(wells, 3))
    table = pd.DataFrame(scores, columns=["tscore", "cytotrace", "pseudotime"])
    table = table.assign(
        well_id=[f"tc1_A1_{i}" for i in range(wells)],
        batch="tc1",
        is_activated=(np.arange(wells) % 2).astype(float),
        activation_score=scores.sum(axis=1),
    )
    expression = random.normal(8, 1, size=(wells, genes)).astype(np.float32)
    return TrainingData(expression, tuple(f"gene_{i:05d}" for i in range(genes)), table, {"tc1": "random"})


def _peak_memory_gib(device: str) -> float:
    """Peak of this process: of its memory on a CPU, of PyTorch's allocations on a GPU."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated() / 2**30
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def engine_training_memory(
    genes: int, batch_size: int, precision: str, wells: int | None = None, steps: int = 2
) -> dict[str, float]:
    """Peak GiB of this process after `steps` training steps of the engine alone, and what of it the values are.

    Args:
        genes: Genes a well.
        batch_size: Wells a step.
        precision: Of the encoder.
        wells: Wells of the screen; by default those that `steps` steps and their validation take.
        steps: Steps after which it stops.
    """
    from tcell_assets.science.model.training import Progress, train

    class EnoughError(Exception):
        """So many steps were made."""

    def stop(progress: Progress) -> None:
        made.append(progress.kind == "step")
        if sum(made) >= steps:
            raise EnoughError

    made: list[bool] = []
    data = _random_screen(wells or round(steps * batch_size / 0.8), genes)
    settings = settings_for_preset("published", epochs=1, batch_size=batch_size)
    with contextlib.suppress(EnoughError):
        train(data, settings, resolve_compute("cpu", precision), on_progress=stop)
    return {
        "peak_memory_gib": round(_peak_memory_gib("cpu"), 3),
        "values_gib": round(data.expression.nbytes / 2**30, 3),
    }


def _whole_training_on_cuda(settings: BenchmarkSettings) -> dict[str, Any]:
    """Seconds of a whole 50-epoch training of a published-size screen, or why there is none."""
    if settings.compute.device != "cuda":
        return {"skipped": "no CUDA device is visible to this run"}
    if "training" not in MEASURES_OF[settings.what]:
        return {"skipped": "timed by `train`"}
    from tcell_assets.science.model.training import train

    data = _random_screen(WELLS_OF_A_SCREEN, settings.genes)
    started = time.perf_counter()
    training = settings_for_preset(settings.preset)
    train(data, training, settings.compute)
    return {
        "wells": WELLS_OF_A_SCREEN,
        "epochs": training.epochs,
        "seconds": round(time.perf_counter() - started, 2),
    }


def main() -> None:
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("train", "score", "all", "memory"))
    parser.add_argument("--preset", choices=PRESETS, default="published", help="of the engine")
    parser.add_argument("--genes", type=int, default=2_541)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="fp32")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--wells", type=int, help="wells of the screen, of `memory` alone")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = vars(parser.parse_args())
    as_json, wells = arguments.pop("json"), arguments.pop("wells")
    if arguments["what"] == "memory":
        chosen = {name: arguments[name] for name in ("genes", "batch_size", "precision")}
        result: dict[str, Any] = engine_training_memory(**chosen, wells=wells)
    else:
        try:
            result = run_engine_benchmark(**arguments)
        except (ComputeError, MemoryError) as error:
            parser.exit(1, f"error: {error}\n")
    print(json.dumps(result) if as_json else "\n".join(f"{name}: {value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
