"""The formats a matrix may land in: every module of this package with a ``FORMAT`` is one.

To add one, write a module here and its test; nothing else names the formats.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from tcell_assets.landing.files import LandingFile
from tcell_assets.landing.matrices import WellMatrix
from tcell_assets.landing.problems import ProblemCollector
from tcell_assets.landing.screen_settings import LandingSettings


@dataclass(frozen=True)
class Source:
    """The files of one matrix and where it belongs.

    Attributes:
        name: What the matrix is called in problems: its file, or the folder of its files.
        files: By path inside the batch folder.
        batch: The batch.
        plate: The plate whose folder it lies in; None for a matrix of the whole batch.
    """

    name: str
    files: Mapping[str, LandingFile]
    batch: str
    plate: str | None

    @property
    def only(self) -> LandingFile:
        """The file of a matrix that is one file."""
        return next(iter(self.files.values()))


@dataclass(frozen=True)
class MatrixFormat:
    """How matrices of one format are found and read.

    Attributes:
        title: What people call it.
        matrix_of: The matrix that a file is part of, from the file's path inside the batch folder: a name that all of
            its files share, or None where the file is of another format.
        plate_folder_of: The folder, relative to the batch, that stands for the plate of a matrix of that name.
        read: The matrix as it stands in its files, or None where a problem was noted. Notes what was left out.
        holds_wells: Whether it may say what is in each well, so that no plate map is needed.
    """

    title: str
    matrix_of: Callable[[str], str | None]
    plate_folder_of: Callable[[str], str]
    read: Callable[[Source, LandingSettings, ProblemCollector, list[str]], WellMatrix | None]
    holds_wells: bool = False


def folder_of(name: str) -> str:
    """The folder of a path inside the batch folder, empty for the batch folder itself."""
    return name.rpartition("/")[0]


@cache
def matrix_formats() -> tuple[MatrixFormat, ...]:
    """Every format of this package, in the order of the modules' names."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return tuple(module.FORMAT for module in modules if hasattr(module, "FORMAT"))
