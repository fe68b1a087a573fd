"""Nights with a real daemon: what is out of date is made again, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tcell_assets_tests.operations.daemon import real_daemon
from tcell_assets_tests.operations.small_installation import ingest, land, score, train

pytestmark = pytest.mark.slow


def test_nights_rescore_after_a_promotion_and_a_rollback_and_skip_in_between(tmp_path: Path) -> None:
    """A night a minute: nothing to do, a new model, nothing to do, a rollback."""
    with real_daemon(
        tmp_path, TCELL_NEW_PLATES="off", TCELL_NIGHTLY="on", TCELL_NIGHTLY_CRON="* * * * *"
    ) as daemon:
        for batch in ("tc1", "tc2"):
            land(daemon.data, batch)
        ingest(daemon.platform, "tc1", "tc2")
        first = train(daemon.platform)
        for batch in ("tc1", "tc2"):
            score(daemon.platform, batch)
        daemon.start()
        daemon.wait_until(lambda: daemon.skip_reasons("nightly"), "a night has nothing to do")
        assert daemon.skip_reasons("nightly")[0].startswith("of 2 batches none has new or changed plates")
        by_hand = len(daemon.runs())

        second = train(daemon.platform, epochs=2, validation_tolerance=10.0)
        assert second != first
        daemon.wait_until(
            lambda: {daemon.model_of(b) for b in ("tc1", "tc2")} == {second}, "all are rescored"
        )
        skipped = len(daemon.skip_reasons("nightly"))
        daemon.wait_until(
            lambda: len(daemon.skip_reasons("nightly")) > skipped, "a night has nothing to do again"
        )
        assert len(daemon.runs()) == by_hand + 3, "one training and one run a batch"

        daemon.platform.storage.models().rollback(who="Ada", why="test")
        daemon.wait_until(
            lambda: {daemon.model_of(b) for b in ("tc1", "tc2")} == {first}, "all are rescored back"
        )
