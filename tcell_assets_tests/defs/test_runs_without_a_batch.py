"""A run of a batch's tables that was launched for no batch ends in one sentence that says what to choose."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tcell_assets.commands.platform import Platform, RunFailedError, open_platform
from tcell_assets.defs.resources import JOBS_OF_A_BATCH
from tcell_assets_tests.small_screen import configuration_in


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    configuration = configuration_in(tmp_path_factory.mktemp("without"))
    configuration.data.mkdir(parents=True, exist_ok=True)
    with open_platform(configuration) as platform:
        yield platform


@pytest.mark.parametrize("job", JOBS_OF_A_BATCH)
def test_a_job_of_a_batch_launched_for_none_says_what_to_choose(platform: Platform, job: str) -> None:
    with pytest.raises(RunFailedError, match=f"{job} works on one batch and was launched for none; choose"):
        platform.run(job)


def test_every_job_of_a_batch_is_known_as_one(platform: Platform) -> None:
    jobs = platform.definitions.resolve_all_job_defs()
    of_batches = {job.name for job in jobs if job.partitions_def is not None and job.name[0] != "_"}
    assert of_batches == set(JOBS_OF_A_BATCH)
