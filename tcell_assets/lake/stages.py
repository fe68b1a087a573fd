"""The stages of the flow: each is a job and a command of one name, and makes the tables that name it as `made_by`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One stage of the flow.

    Attributes:
        name: Name of its job.
        command: What makes its tables from the shell.
        is_routine: Nights, sensors and backfills keep its tables current; those of others are made when asked for.
        again: What makes its tables as they were, where that is another command.
    """

    name: str
    command: str
    is_routine: bool = False
    again: str = ""


INGEST = Stage("ingest", "tcell ingest", is_routine=True)
# Trained again with the current model's settings the same batches give the same model.
TRAIN = Stage("train", "tcell train", again="tcell train --again")
EVALUATE = Stage("evaluate", "tcell evaluate")
ENSEMBLE = Stage("ensemble", "tcell ensemble")
SCORE = Stage("score", "tcell score", is_routine=True)
SCREEN = Stage("screen", "tcell screen", is_routine=True)
ATTRIBUTE = Stage("attribute", "tcell attribute")
EXPLAIN = Stage("explain", "tcell explain")
REPORT = Stage("report", "tcell report")

STAGES = (INGEST, TRAIN, EVALUATE, ENSEMBLE, SCORE, SCREEN, ATTRIBUTE, EXPLAIN, REPORT)
