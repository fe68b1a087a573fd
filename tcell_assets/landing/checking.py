"""Reads any folder as an ingest would, writes nothing, and says what was understood and what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tcell_assets.landing.batch import LandedBatch, read_batch
from tcell_assets.landing.columns import columns_of
from tcell_assets.landing.files import LandingFile, list_files
from tcell_assets.landing.fingerprint import list_batches
from tcell_assets.landing.names import alike
from tcell_assets.landing.problems import LandingError, ProblemCollector, quoted
from tcell_assets.landing.published import is_published
from tcell_assets.landing.questions import yaml_value
from tcell_assets.landing.screen_file import settings_of
from tcell_assets.landing.screen_settings import LandingSettings
from tcell_assets.landing.spreadsheets import read_table
from tcell_assets.landing.wells import canonical_plate

EXAMPLE_COLUMNS = "columns: {metabolite: Compound name, concentration: Dose (uM)}"
PLATE_MAP_STEM = "plate_map."


@dataclass(frozen=True)
class CheckedBatch:
    """One batch folder, read.

    Attributes:
        folder: Where it lies.
        batch: What was read, or None where it was refused.
        error: Why it was refused, or None.
    """

    folder: Path
    batch: LandedBatch | None
    error: LandingError | None

    @property
    def lines(self) -> list[str]:
        """What was understood, also of a refused batch where reading came that far."""
        if self.batch is not None:
            return self.batch.understood.lines()
        return list(self.error.understood) if self.error is not None else []


def check_folder(folder: Path) -> list[CheckedBatch]:
    """Read a batch folder, or every batch folder of a data folder.

    Args:
        folder: Nothing is written into it.

    Returns:
        One a batch, in the order of their names.

    Raises:
        LandingError: The folder does not exist or holds no batch.
    """
    problems = ProblemCollector(folder.name)
    if not folder.is_dir():
        problems.add(
            "missing files", str(folder), "", "is not a folder", "Name a batch folder or a data folder"
        )
    problems.raise_if_any()
    folder = folder.resolve()
    folders = batch_folders(folder)
    if not folders:
        problems.add("missing files", str(folder), "", "holds no batch", "Add a matrix and a plate map")
    problems.raise_if_any()
    return [_checked(each) for each in folders]


def batch_folders(folder: Path) -> list[Path]:
    """The folder itself where it is a batch, else the batch folders in it."""
    if is_batch(folder):
        return [folder]
    return [folder / name for name in list_batches(folder).batches]


def is_batch(folder: Path) -> bool:
    """Whether a folder is one batch and no folder of batches.

    A batch holds its files itself, or one folder a plate; a plate's map names no other plate.
    """
    problems, settings = ProblemCollector(folder.name), LandingSettings()
    files = list_files(folder, folder.parent, settings.limits, problems)
    if is_published(files) or any(file.name.partition("/")[0].endswith(".zarr") for file in files):
        return True
    here = [
        file for file in files if "/" not in file.name and not file.name.endswith((".yaml", ".txt", ".md"))
    ]
    if here:
        return True
    maps = [
        file
        for file in files
        if file.name.count("/") == 1 and file.name.rpartition("/")[2].startswith(PLATE_MAP_STEM)
    ]
    return bool(maps) and all(_is_of_one_plate(file, settings) for file in maps)


def _is_of_one_plate(file: LandingFile, settings: LandingSettings) -> bool:
    table = read_table(file, settings.limits, ProblemCollector(file.name), [])
    if table is None:
        return False
    roles = columns_of(table, settings, ProblemCollector(file.name)).roles
    if "plate" not in roles:
        return "well_id" not in roles or "well" in roles
    try:
        plates = {canonical_plate(cell) for cell in table.column(roles["plate"])}
    except ValueError:
        return False
    return plates == {file.name.split("/")[0]}


def _checked(folder: Path) -> CheckedBatch:
    try:
        return CheckedBatch(folder, read_batch(folder), None)
    except LandingError as error:
        return CheckedBatch(folder, None, error)


def spelled_otherwise(checked: list[CheckedBatch]) -> list[str]:
    """Compounds that two batches seem to spell in different ways, a sentence each; they would be no replicates."""
    batch_of: dict[str, str] = {}
    for each in checked:
        if each.batch is not None:
            for compound in each.batch.understood.compounds:
                batch_of.setdefault(compound, each.batch.name)
    return [
        f"{' and '.join(f'{quoted(name)} (batch {batch_of[name]})' for name in group)} may be one compound: say so "
        "under names in the screen.yaml beside the batches"
        for group in alike(batch_of)
        if len({batch_of[name] for name in group}) > 1
    ]


def proposed_settings(folder: Path, checked: list[CheckedBatch]) -> str:
    """The `screen.yaml` that maps what was recognised, with comments, for a person to correct.

    Args:
        folder: What was checked; settings that hold already are kept.
        checked: Its batches.
    """
    settings = settings_of(checked[0].folder, ProblemCollector(folder.name))
    understood = [each.batch.understood for each in checked if each.batch is not None]
    errors = [each.error for each in checked if each.error is not None]
    lines = [
        "# How this screen is written down. Everything here was recognised; correct what is wrong and delete the rest.",
        "",
    ]
    roles: dict[str, str] = dict(settings.columns)
    for each in understood:
        for _, role, column in each.columns:
            if not role.startswith("factor "):
                roles.setdefault(role, column)
    if roles:
        lines += ["# Which column holds what.", "columns:"]
        lines += [f"  {role}: {yaml_value(column)}" for role, column in roles.items()]
    else:
        lines += [
            "# Which column holds what, such as",
            f"# {EXAMPLE_COLUMNS}",
        ]
    lines += [
        "",
        "# Further columns whose values tell conditions apart.",
        f"factors: [{', '.join(map(yaml_value, settings.factors))}]",
        "# Columns that play no part, even where they differ between replicates.",
        f"ignore_columns: [{', '.join(map(yaml_value, settings.ignore_columns))}]",
        "",
        "# Names of the vehicle; their usual spellings (dmso, DMSO 0.1 %) count too.",
        f"control_names: [{', '.join(map(yaml_value, settings.control_names))}]",
        f"positive_control_names: [{', '.join(map(yaml_value, settings.positive_control_names))}]",
    ]
    formats = {each.plate_format for each in understood}
    if len(formats) == 1:
        lines += ["", "# Wells of a full plate; edges are judged by it.", f"plate_format: {formats.pop()}"]
    kinds = {each.batch.value_kind for each in checked if each.batch is not None}
    if len(kinds) == 1:
        lines += ["", "# What was measured: counts or vst.", f"value_kind: {kinds.pop()}"]
    if errors:
        lines += ["", "# Still to be answered:"]
        lines += [f"#   {text}" for error in errors for text in _to_answer(error)]
    return "\n".join(lines) + "\n"


def _to_answer(error: LandingError) -> list[str]:
    """Each question by itself, since each has its own line; of other problems a sentence a cause."""
    questions = [str(problem) for problem in error.problems if "Say in screen.yaml" in problem.mend]
    return questions + [cause for cause in error.causes() if "Say in screen.yaml" not in cause]
