"""`tcell benchmark train|score|all`: the engine against the published network on this machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

import tcell_assets
from tcell_assets.science.model.settings import PRESETS


@click.command("benchmark", epilog="Example:\n\n  tcell benchmark all --preset recommended --json")
@click.argument("what", type=click.Choice(["train", "score", "all"]), default="all")
@click.option("--preset", type=click.Choice(PRESETS), default="published", show_default=True,
              help="Settings of the engine; the network it is compared with is always the published one.")  # fmt: skip
@click.option("--genes", type=click.IntRange(1), default=2541, show_default=True)
@click.option("--batch-size", type=click.IntRange(1), default=8, show_default=True, help="Wells a step.")
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]), default="fp32", show_default=True,
              help="Of the engine; the published network is fp32.")  # fmt: skip
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--threads", type=click.IntRange(0), default=0, help="CPU threads; 0 is PyTorch's own choice.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Turns that count.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def benchmark_command(
    what: str,
    preset: str,
    genes: int,
    batch_size: int,
    precision: str,
    device: str,
    threads: int,
    rounds: int,
    as_json: bool,
) -> None:
    """Time training steps (train), evaluation and scoring (score), or all, as ratios of interleaved runs."""
    # The benchmarks are part of the source checkout, not of the installed package.
    checkout = Path(tcell_assets.__file__).parents[1]
    if not (checkout / "benchmarks" / "engine.py").is_file():
        raise click.ClickException(
            f"{checkout} holds no benchmarks folder; clone the repository, `make install` there and run this again"
        )
    numbers = {"genes": genes, "batch-size": batch_size, "threads": threads, "rounds": rounds}
    command = [sys.executable, "-m", "benchmarks.engine", what, "--preset", preset]
    command += ["--precision", precision, "--device", device]
    command += [part for name, value in numbers.items() for part in (f"--{name}", str(value))]
    command += ["--json"] if as_json else []
    finished = subprocess.run(command, cwd=checkout, check=False)
    if finished.returncode:
        raise click.exceptions.Exit(finished.returncode)
