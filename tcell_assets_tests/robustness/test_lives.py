"""Lives of an installation, tried by a state machine: what is shown as current is, or it is said to be behind."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

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
    """Some hundred steps of six lives; `python -m benchmarks.lives soak` tries more, and others."""
    run_state_machine_as_test(
        seed(17)(lives),
        settings=settings(
            max_examples=6,
            stateful_step_count=18,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        ),
    )
    assert sum(lives.steps.values()) > 60


def test_the_machine_notices_a_table_that_is_not_what_its_footer_says(lives: type[Lives]) -> None:
    """The oracle is held against the machine itself: one value changed by hand is found at the next step."""
    from dataclasses import replace

    from tcell_assets.lake.store import content_hash

    life = lives()
    try:
        life.begin("ingested", (0, 1))
        life.current_is_current()
        lineage = life.lake.lineage("well_qc", "tc1")
        wells = life.lake.read("well_qc", "tc1")
        wells["n_genes"] += 1
        changed = content_hash(life.lake.read_arrow("well_qc", "tc1"))
        life.lake.write(wells, replace(lineage, data_version=changed + "0"))
        with pytest.raises(
            LifeError, match="of tc1 is called current and is not what a fresh installation makes"
        ):
            life.current_is_current()
    finally:
        life.teardown()
