"""Lives of an installation, tried by a state machine: what is shown as current is, or it is said to be behind."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tcell_assets.lake.store import content_hash
from tcell_assets.lake.tables import TABLES
from tcell_assets_tests.robustness.fresh_installation import LifeError, Oracle
from tcell_assets_tests.robustness.lives import Lives

pytestmark = pytest.mark.slow


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[type[Lives]]:
    """The machine with its folders, and Dagster quiet."""
    Lives.root, Lives.broken = tmp_path, contextlib.nullcontext
    Lives.oracle = Oracle(tmp_path / "oracle", contextlib.nullcontext)
    logging.disable(logging.CRITICAL)
    yield Lives
    logging.disable(logging.NOTSET)


def test_whatever_is_shown_as_current_is_what_a_fresh_installation_makes(lives: type[Lives]) -> None:
    """Some steps of five lives; `python -m benchmarks.lives soak` tries more, and others."""
    run_state_machine_as_test(
        seed(17)(lives),
        settings=settings(
            max_examples=5,
            stateful_step_count=14,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        ),
    )
    assert sum(lives.steps.values()) > 60


def test_the_machine_notices_one_value_that_is_another(lives: type[Lives]) -> None:
    """Its own judge: a table changed by hand, footer and all, is found at the next step."""
    life = lives()
    try:
        life.begin("ingested", (0, 1))
        life.current_is_current()
        lineage = life.lake.lineage("well_qc", "tc1")
        wells = life.lake.read("well_qc", "tc1")
        wells["genes_seen"] += 1
        changed = TABLES["well_qc"].to_arrow(wells)
        life.lake.write(changed, replace(lineage, data_version=content_hash(changed)))
        with pytest.raises(
            LifeError, match="of tc1 is called current and is not what a fresh installation makes"
        ):
            life.current_is_current()
    finally:
        life.teardown()
