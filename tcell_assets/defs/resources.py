"""What the assets are given: the landing zone, the storage, and the one thing that runs the Transformer."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import dagster as dg
from pydantic import Field

from tcell_assets.defs.partitions import PARTITION_TAG, RANGE_TAG
from tcell_assets.defs.reading import reads_now
from tcell_assets.lake.archive import require_present
from tcell_assets.lake.marker import require_known_storage
from tcell_assets.lake.models import ModelRegistry
from tcell_assets.lake.reads import ReadLog
from tcell_assets.lake.stages import ATTRIBUTE, EXPLAIN, INGEST, REPORT, SCORE, SCREEN
from tcell_assets.lake.store import Lake
from tcell_assets.lake.tables import TABLES
from tcell_assets.system.files import is_local, locked, sweep_temporary_files, write_atomically

if TYPE_CHECKING:
    import pandas as pd
    from upath import UPath

    from tcell_assets.science.evaluation.evaluation_ladder import FitPredict
    from tcell_assets.science.model.attribution import Attribution
    from tcell_assets.science.model.compute import Compute
    from tcell_assets.science.model.expectation import TrainingExpectation
    from tcell_assets.science.model.scoring import WellScores
    from tcell_assets.science.model.trained_model import TrainedModel
    from tcell_assets.science.model.training import TrainingData, TrainingSettings

GPU_POOL = "gpu"
JOBS_OF_A_BATCH = (*(stage.name for stage in (INGEST, SCORE, ATTRIBUTE, REPORT)), "ingest_and_score")
# What runs that sum up the screen hold; no batch has a name that begins with a dot.
SCREEN_LOCK = ".screen"
# What the platform itself writes below the storage root; history and logs beside them are Dagster's.
WRITTEN_FOLDERS = ("lake", "models", "checkpoints", "archive")

# Dagster sets the storage up once for the assets and once more for the IO manager that holds it.
_RUNS_THAT_HOLD_THEIR_BATCH: set[str] = set()

# What a run of a job with the network asks of the launcher that places it, one GPU; the launcher of one machine reads
# none of it. Jobs run in the process of their run, so these are tags of the run: launchers do not read those of a step.
GPU_RUN_TAGS: dict[str, Any] = {
    "dagster-k8s/config": {"container_config": {"resources": {"limits": {"nvidia.com/gpu": 1}}}},
    "dagster-ray/config": {"num_gpus": 1},
}
GPU_OP_TAGS = {"compute": "gpu"}


class LandingZone(dg.ConfigurableResource[Any]):
    """The folder plates arrive in, one folder a screening batch."""

    folder: str = Field(description="landing zone, usually data/")

    def batch_folder(self, batch: str) -> Path:
        """Return the folder of one batch."""
        return Path(self.folder) / batch


class NoBatchError(ValueError):
    """A run was launched without the batch it works on."""


def require_batch(run: dg.DagsterRun) -> None:
    """Refuse a run of tables of a batch that was launched for no batch; Dagster names neither cause nor next step.

    Raises:
        NoBatchError: Its partition is missing.
    """
    if {PARTITION_TAG, RANGE_TAG} & set(run.tags):
        return
    of_batches = {asset for asset, table in TABLES.items() if table.partitioned}
    selected = {key.to_user_string() for key in run.asset_selection or ()}
    if selected & of_batches or (not selected and run.job_name in JOBS_OF_A_BATCH):
        what = run.job_name if run.job_name in JOBS_OF_A_BATCH else "this run"
        raise NoBatchError(
            f"{what} works on one batch and was launched for none; choose the batch as its partition in the Launchpad, "
            "or name it in the shell, as in tcell ingest tc1"
        )


def path_of(root: str) -> "UPath":
    """Return a path, local or on an object store; the library that knows both takes a tenth of the load time."""
    from upath import UPath

    return UPath(root)


class Storage(dg.ConfigurableResource[Any]):
    """The root of everything the platform writes."""

    root: str = Field(description="folder or object-store URL that holds lake/ and models/")

    def lake(self, reads: ReadLog | None = None) -> Lake:
        """Return the Parquet lake; what the step that runs now reads of it is noted, in `reads` where it is given.

        Raises:
            StorageError: The storage that was used before is not there, as when its disk is not mounted.
        """
        return Lake(self._present_root() / "lake", reads or reads_now())

    def models(self) -> ModelRegistry:
        """Return the model registry; see `lake` for what is raised."""
        return ModelRegistry(self._present_root() / "models")

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["Storage"]:
        """Hold the batch of a run for as long as it lasts, or the screen where the run sums it up.

        Two runs on one batch take turns, so that they never leave one table of each. The lock is the kernel's: it
        ends with its process, however that ends. On an object store nothing is held.

        Raises:
            ForgottenBatchError: The batch was forgotten, and nothing is made of it.
            NoBatchError: The run makes tables of a batch and was launched for none.
        """
        run = context.run
        if run is not None:
            require_batch(run)
        batch = run.tags.get(PARTITION_TAG) if run is not None else None
        sums_up = run is not None and batch is None and run.job_name in (SCREEN.name, EXPLAIN.name)
        if sums_up:
            batch = SCREEN_LOCK
        if run is None or batch is None or run.run_id in _RUNS_THAT_HOLD_THEIR_BATCH:
            yield self
            return
        with self.batch_held(batch):
            # Asked only now: it may have been forgotten while this run waited for its turn.
            if not sums_up:
                require_present(self.lake(), batch)
            _RUNS_THAT_HOLD_THEIR_BATCH.add(run.run_id)
            try:
                yield self
            finally:
                _RUNS_THAT_HOLD_THEIR_BATCH.discard(run.run_id)

    @contextmanager
    def batch_held(self, batch: str) -> Iterator[None]:
        """Keep other runs from a batch; on an object store nothing is held."""
        root = self._present_root()
        if not is_local(root):
            yield
            return
        with locked(Path(root.path) / "locks" / f"{batch}.lock"):
            yield

    def sweep(self) -> list[str]:
        """Delete what killed writers left, and return the names of what was deleted."""
        root = path_of(self.root)
        return [name for part in WRITTEN_FOLDERS for name in sweep_temporary_files(root / part)]

    def _present_root(self) -> "UPath":
        root = path_of(self.root)
        if "DAGSTER_HOME" in os.environ:
            require_known_storage(root, Path(os.environ["DAGSTER_HOME"]))
        return root

    def local_folder(self, name: str) -> Path:
        """Return a folder for files that must be local (checkpoints, figures): below the root where that is local."""
        root = path_of(self.root)
        base = Path(root.path) if root.protocol in ("", "file", "local") else Path.cwd() / "storage"
        folder = base / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def keep_figure(self, name: str, png: bytes) -> dg.MetadataValue:
        """Write a full-size figure to `figures/<name>` and return its address in the UI."""
        path = self.local_folder("figures") / name
        write_atomically(path_of(str(path)), png)
        return dg.MetadataValue.url(f"/figures/{quote(name)}")


class TransformerCompute(dg.ConfigurableResource[Any]):
    """Runs the Transformer; nothing else in the graph does."""

    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto",
        description="auto takes a GPU where there is one; a device asked for and absent is an error",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="auto takes bf16 where the device computes it in hardware"
    )
    threads: int = Field(default=0, ge=0, description="CPU threads; 0 takes every core")
    batch_size: int = Field(
        default=32, ge=1, description="wells in one scoring pass; bounds memory, changes no result"
    )
    deterministic: bool = Field(default=False, description="bit-equal reruns on a GPU, at some cost in speed")

    def resolve(self) -> "Compute":
        """Return the device and precision this machine gives."""
        from tcell_assets.science.model.compute import resolve_compute

        return resolve_compute(
            device=self.device,
            precision=self.precision,
            threads=self.threads,
            batch_size=self.batch_size,
            deterministic=self.deterministic,
        )

    def train(
        self,
        data: "TrainingData",
        settings: "TrainingSettings",
        checkpoint_folder: Path,
        on_progress: Callable[[Any], None] | None = None,
    ) -> "TrainedModel":
        """Train a model; a checkpoint of the same data and settings is continued."""
        from tcell_assets.science.model.training import train

        return train(data, settings, self.resolve(), checkpoint_folder, on_progress)

    def rung(self, settings: "TrainingSettings", seeds: Sequence[int]) -> "FitPredict":
        """Return the network as a model of the evaluation ladder: trained afresh on every fold, once a seed."""
        from tcell_assets.science.evaluation.transformer_rung import transformer_rung

        return transformer_rung(settings, self.resolve(), seeds)

    def score(
        self,
        model: "TrainedModel",
        expression: "pd.DataFrame",
        head: str | None = None,
        on_progress: Callable[[Any], None] | None = None,
    ) -> "WellScores":
        """Predict, embed and, where a head is named, attribute the wells in one pass."""
        from tcell_assets.science.model.scoring import score_wells

        return score_wells(model, expression, self.resolve(), head, on_progress)

    def score_members(self, model: "TrainedModel", expression: "pd.DataFrame") -> "dict[str, pd.DataFrame]":
        """Predict the wells with each member of a model that has several."""
        from tcell_assets.science.model.member_scoring import score_members

        return score_members(model, expression, self.resolve())

    def expect(self, data: "TrainingData", settings: "TrainingSettings") -> "TrainingExpectation":
        """Say what a training will take, from about two seconds of it."""
        from tcell_assets.science.model.expectation import expect_training

        return expect_training(data, settings, self.resolve())

    def compare_with_linear_baselines(self, data: "TrainingData", model: "TrainedModel") -> "pd.DataFrame":
        """Judge a model on its held-out wells, beside ridge and logistic regression on the same split."""
        from tcell_assets.science.evaluation.baselines import compare_with_linear_baselines

        return compare_with_linear_baselines(data, model, self.resolve())

    def attribute(
        self,
        model: "TrainedModel",
        expression: "pd.DataFrame",
        baseline: "pd.Series[float]",
        head: str,
        steps: int,
        on_progress: Callable[[int], None] | None = None,
    ) -> "Attribution":
        """Return Integrated Gradients of every well given, from `baseline`, gene by gene."""
        from tcell_assets.science.model.attribution import integrated_gradients

        return integrated_gradients(
            model,
            expression,
            baseline,
            self.resolve(),
            head=head,
            steps=steps,
            keep=expression.index,
            on_progress=on_progress,
        )
