"""Which tables the step that runs now has read, and which batches its run sums up: its outputs name both."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import dagster as dg

from tcell_assets.lake.reads import ReadLog

_Found = TypeVar("_Found")

# Steps of one process follow each other, so what a former run left is dropped when the next one begins.
_LOGS: dict[tuple[str, str, int], ReadLog] = {}
_FOUND: dict[str, object] = {}


def reads_of(run_id: str, step: str, attempt: int = 0) -> ReadLog:
    """Return what a step of a run has read so far in this attempt."""
    for key in [key for key in _LOGS if key[0] != run_id]:
        del _LOGS[key]
    return _LOGS.setdefault((run_id, step, attempt), ReadLog())


def reads_of_input(context: dg.InputContext) -> ReadLog:
    """Return what the step that loads an input has read."""
    step = context.step_context
    return reads_of(step.run_id, step.step.key, step.previous_attempt_count)


def reads_of_output(context: dg.OutputContext) -> ReadLog:
    """Return what the step that writes an output has read."""
    return reads_of(context.run_id, context.step_key, context.step_context.previous_attempt_count)


def reads_now() -> ReadLog | None:
    """Return what the step whose asset function runs now has read, or None outside of one."""
    try:
        context = dg.AssetExecutionContext.get().op_execution_context
        step = context.get_step_execution_context()
    except dg.DagsterError:
        return None
    return reads_of(step.run_id, step.step.key, step.previous_attempt_count)


def fixed_for_run(run_id: str, find: Callable[[], _Found]) -> _Found:
    """Return what was found the first time in this run, so that all its tables speak of the same batches."""
    if run_id not in _FOUND:
        _FOUND.clear()
        _FOUND[run_id] = find()
    return cast(_Found, _FOUND[run_id])
