"""`tcell run`: what the published script did, on the files it read and wrote, through the assets."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tcell_assets.commands.settings import setting_option
from tcell_assets.installation.configuration import Configuration
from tcell_assets.installation.progress import terminal_progress
from tcell_assets.science.model.settings import TrainingSettings

if TYPE_CHECKING:
    from upath import UPath

    from tcell_assets.commands.platform import Platform

# The published script's name of the model file; here weights are safetensors with the same stems.
PUBLISHED_MODEL_SUFFIXES = (".pt", ".pth")


@click.command(
    "run", epilog="Example:\n\n  tcell run --data-dir data --out-dir results --epochs 50 --use-zscore"
)
@click.option("--data-dir", "--data_dir", type=click.Path(path_type=Path), default="data", show_default=True,
              help="Folder with expr_mat.csv, scores_3_z.csv, labels_cls.csv, meta_id.csv, well_id.csv.")  # fmt: skip
@click.option("--out-dir", "--out_dir", type=click.Path(path_type=Path), default="results", show_default=True,
              help="Where the published output files go; the tables behind them lie in OUT_DIR/storage.")  # fmt: skip
@setting_option(TrainingSettings, "epochs", "--epochs")
@setting_option(TrainingSettings, "batch_size", "--batch-size", "--batch_size")
@click.option("--use-zscore", "--use_zscore", is_flag=True, help="Scale each gene by the training wells.")
@setting_option(TrainingSettings, "seed", "--seed")
@click.option("--num-threads", "--num_threads", type=click.IntRange(1), default=10, show_default=True,
              help="CPU threads; never more than there are cores.")  # fmt: skip
@click.option("--skip-train", "--skip_train", is_flag=True, help="Use the saved model, train nothing.")
@click.option("--model-path", "--model_path", type=click.Path(path_type=Path), default=None,
              help="Model for --skip-train.  [default: OUT_DIR/model.safetensors]")  # fmt: skip
@click.option("--gi-batch-size", "--gi_batch_size", type=click.IntRange(1), default=32, show_default=True,
              help="Wells a scoring pass; bounds memory, changes no result.")  # fmt: skip
@setting_option(TrainingSettings, "preset", "--preset")
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True
)
def run_command(
    data_dir: Path,
    out_dir: Path,
    epochs: int,
    batch_size: int,
    use_zscore: bool,
    seed: int,
    num_threads: int,
    skip_train: bool,
    model_path: Path | None,
    gi_batch_size: int,
    preset: str,
    device: str,
) -> None:
    """Train on a published-layout folder, score it and write the published output files.

    OUT_DIR becomes an installation of its own: `TCELL_HOME=OUT_DIR tcell ui` shows its assets and runs.
    """
    from tcell_assets.commands.platform import open_platform, trained_version
    from tcell_assets.defs.resources import TransformerCompute
    from tcell_assets.exports.published import write_published_outputs
    from tcell_assets.landing.importing import import_published_folder
    from tcell_assets.science.model.trained_model import load_model

    out_dir = out_dir.resolve()
    saved = saved_model(model_path or out_dir / "model.safetensors") if skip_train else None
    home = Configuration(out_dir, out_dir / "data", str(out_dir / "storage"), out_dir / "storage")
    out_dir.mkdir(parents=True, exist_ok=True)
    imported = import_published_folder(data_dir, home.data, replace=True)
    compute = TransformerCompute(
        device=device,  # type: ignore[arg-type]  # click has checked the choice
        threads=min(num_threads, os.cpu_count() or 1),
        batch_size=gi_batch_size,
    )
    training: dict[str, Any] = {"preset": preset, "epochs": epochs, "batch_size": batch_size, "seed": seed}
    if use_zscore:
        training["use_zscore"] = True
    with open_platform(home, {"compute": compute}) as platform, terminal_progress():
        platform.register_landed_batches()
        platform.forget_other_batches(imported.batches)
        for batch in imported.batches:
            platform.run("ingest", batch)
        if saved is None:
            version = trained_version(
                platform.run("train", config={"ops": {"train_model": {"config": training}}})
            )
            _make_current(platform, version, why="trained by this run")
        else:
            _register(platform, saved)
        score_and_sum_up(platform, imported.batches)
        registry = platform.storage.models()
        version = registry.resolve(None)
        files = write_published_outputs(
            platform.storage.lake(),
            load_model(registry.folder(version)),
            registry.folder(version),
            imported.batches,
            imported.well_ids,
            out_dir,
            trained=not skip_train,
        )
    click.echo(f"model {version}; {len(files)} files in {out_dir}:")
    for file in files:
        click.echo(f"  {file.name}")


def score_and_sum_up(platform: Platform, batches: Sequence[str]) -> None:
    """Score every batch, then measure distances as published: to all DMSO wells of the screen, each in its centre."""
    from tcell_assets.lake.stages import SCORE
    from tcell_assets.lake.tables import tables_made_by
    from tcell_assets.lake.tables.scoring import NETWORK_TABLES

    for batch in batches:
        platform.run("score", batch, selection=list(NETWORK_TABLES))
    distances = {"ops": {"dmso_distances": {"config": {"reference": "screen", "leave_one_out": False}}}}
    others = [asset for asset in tables_made_by(SCORE) if asset not in NETWORK_TABLES]
    for batch in batches:
        platform.run("score", batch, distances, selection=others)
    platform.run("screen")


def saved_model(path: Path) -> Path:
    """Return the model folder that a `--model-path` means: the folder itself, or the one a weights file came from.

    Raises:
        click.ClickException: There is no model there, or not one that says its genes and scaler.
    """
    from tcell_assets.science.model.trained_model import LAST_WEIGHTS, MANIFEST, WEIGHTS

    if (path / MANIFEST).exists():
        return path
    if path.suffix in PUBLISHED_MODEL_SUFFIXES:
        if path.exists() and not path.with_suffix(".safetensors").exists():
            raise click.ClickException(
                f"{path}: bare weights of the published script name neither genes nor scaler, so nothing can check "
                "that they fit. Train once without --skip-train and use the model.safetensors this writes."
            )
        path = path.with_suffix(".safetensors")
    if not path.is_file():
        raise click.ClickException(f"{path}: no saved model there; train once without --skip-train")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    for manifest in (path.parent / "storage" / "models").glob(f"*/{MANIFEST}"):
        files = json.loads(manifest.read_text())["files"]
        if files[WEIGHTS] == digest:
            return manifest.parent
        if files[LAST_WEIGHTS] == digest:
            raise click.ClickException(
                f"{path}: the last epoch's weights are kept for comparison; score with the best, "
                f"{path.with_name('model_best.safetensors')}"
            )
    raise click.ClickException(
        f"{path}: its genes, scaler and split lie in {path.parent}/storage/models, and no model there has these "
        "weights. Name the model's folder (storage/models/<version>) instead."
    )


def _register(platform: Platform, saved: Path) -> None:
    """Add the saved model to this installation's registry and make it current."""
    from tcell_assets.science.model.gene_summary import load_reference, save_reference
    from tcell_assets.science.model.trained_model import load_model, save_model

    model = load_model(saved)
    reference = load_reference(saved)

    def save(folder: UPath) -> None:
        if reference is not None:
            save_reference(reference, folder)
        save_model(model, folder)

    platform.storage.models().add(model.version, save)
    _make_current(platform, model.version, why=f"--skip-train with {saved}")


def _make_current(platform: Platform, version: str, why: str) -> None:
    """Make a model current whatever its checks say: the results of this run are to be this model's."""
    models = platform.storage.models()
    if models.current() != version:
        models.promote(version, who="tcell run", why=why)
