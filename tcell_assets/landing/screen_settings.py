"""How a screen's folders are read: names, formats and limits, with a default for everything."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tcell_assets.landing.wells import PlateFormat

ValueKind = Literal["vst", "counts"]


@dataclass(frozen=True)
class LandingLimits:
    """What a landing folder may claim before it is refused.

    Attributes:
        max_files: Files in one batch folder.
        max_file_bytes: Bytes of one file as it lies on the disk.
        max_unpacked_bytes: Bytes of one file after decompression, and of one matrix in memory.
        max_compression_ratio: Unpacked to packed bytes. Sparse count tables reach about 30; a bomb 1 000.
        max_wells: Rows of one matrix or table.
        max_genes: Columns of one matrix.
        max_open_seconds: Time to open one AnnData file, which is done in a process of its own.
        max_name_length: Characters of a metabolite's or gene's name.
        max_target: Magnitude of a score; beyond it lie codes for missing values and misread columns.
    """

    max_files: int = 10_000
    max_file_bytes: int = 2**31
    max_unpacked_bytes: int = 2**31
    max_compression_ratio: float = 300.0
    max_wells: int = 100_000
    max_genes: int = 200_000
    max_open_seconds: float = 300.0
    max_name_length: int = 256
    max_target: float = 1000.0


@dataclass(frozen=True)
class LandingSettings:
    """What may differ from screen to screen.

    Attributes:
        control_names: Metabolites that are the vehicle control; compared exactly after stripping.
        positive_control_names: Metabolites that are positive controls.
        plate_format: 96, 384 or 1536; None takes the smallest that holds every well of the batch.
        well_pattern: How wells are written, from `wells.well_pattern`; None reads ``E12`` and its usual spellings.
        columns: Column names of the plate map by what they hold, e.g. ``{"metabolite": "Compound name"}``; columns
            not named here are recognised by their usual spellings.
        factors: Further columns whose values tell conditions apart, e.g. ``("stimulation",)``.
        ignore_columns: Columns that play no part, even where they vary between replicates.
        dose_unit: Unit of doses whose sheet gives none.
        time_unit: Unit of times whose sheet gives none.
        names: What a name, cell line or donor is called by how it is written; a name that stands for itself is meant as
            it is, however much it looks like another.
        value_kind: ``vst`` or ``counts``; None detects it.
        concentration_in_name: Whether the concentration is part of the metabolite's name; None does so where a
            treatment comes in several concentrations. False takes wells of a treatment for replicates whatever their
            dose.
        unmapped_wells: What happens to rows of a matrix that are no well of the plate map: ``refuse`` the batch, or
            ``drop`` them (aligners write every barcode they know).
        duplicates: What happens to wells that hold what another well of the screen held before: ``count_once`` leaves
            them out everywhere, ``allow`` counts them as wells of their own.
        missing_wells: What happens to wells of the plate map that no matrix measures: ``refuse`` the batch, or ``drop``
            them (wells that failed before sequencing).
        limits: See `LandingLimits`.
    """

    control_names: tuple[str, ...] = ("DMSO",)
    positive_control_names: tuple[str, ...] = ()
    plate_format: PlateFormat | None = None
    well_pattern: re.Pattern[str] | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    factors: tuple[str, ...] = ()
    ignore_columns: tuple[str, ...] = ()
    dose_unit: str = ""
    time_unit: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    value_kind: ValueKind | None = None
    concentration_in_name: bool | None = None
    unmapped_wells: Literal["refuse", "drop"] = "refuse"
    duplicates: Literal["count_once", "allow"] = "count_once"
    missing_wells: Literal["refuse", "drop"] = "refuse"
    limits: LandingLimits = LandingLimits()
