"""An installation in memory for tests of one subcommand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tcell_assets.commands import platform as platform_module
from tcell_assets.commands.platform import Platform
from tcell_assets_tests.operations.small_installation import prepared_platform


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """Two ingested batches without a model; a command finds them as its own."""
    with prepared_platform(tmp_path, scored=False) as platform:

        @contextmanager
        def opened() -> Iterator[Platform]:
            yield platform

        monkeypatch.setattr(platform_module, "open_platform", opened)
        yield platform
