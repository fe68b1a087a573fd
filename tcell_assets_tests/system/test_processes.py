"""A process is known again by its boot, its namespace and its start, whatever the wall clock says."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tcell_assets.system import processes
from tcell_assets.system.processes import identity_of, is_alive, is_same

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems tell no start of a process")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def test_a_living_process_is_the_same_and_an_ended_one_is_not(sleeper: subprocess.Popen[bytes]) -> None:
    identity = identity_of(sleeper.pid)
    assert is_same(sleeper.pid, identity) is True
    sleeper.kill()
    sleeper.wait()
    assert is_same(sleeper.pid, identity) is False
    assert identity_of(sleeper.pid) == ""


def test_a_stopped_process_is_alive(sleeper: subprocess.Popen[bytes]) -> None:
    identity = identity_of(sleeper.pid)
    sleeper.send_signal(signal.SIGSTOP)
    os.waitpid(sleeper.pid, os.WUNTRACED)
    assert is_alive(sleeper.pid)
    assert is_same(sleeper.pid, identity) is True


def test_a_process_that_was_given_the_same_number_is_another(sleeper: subprocess.Popen[bytes]) -> None:
    """The one before started at another tick."""
    namespace, _, ticks = identity_of(sleeper.pid).rpartition("/")
    assert is_same(sleeper.pid, f"{namespace}/{int(ticks) - 1}") is False


def test_a_step_of_the_clock_makes_no_other_process(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's boot time moves with the clock; start ticks do not."""
    identity, boot_time = identity_of(sleeper.pid), processes._boot_time()
    monkeypatch.setattr(processes, "_boot_time", lambda: boot_time + 10)
    monkeypatch.setattr("time.time", lambda: boot_time + 1e6)
    assert is_same(sleeper.pid, identity) is True


def test_a_process_of_before_a_restart_of_the_machine_is_not_judged(
    sleeper: subprocess.Popen[bytes],
) -> None:
    boot, rest = identity_of(sleeper.pid).split("/", 1)
    assert is_same(sleeper.pid, f"{boot[::-1]}/{rest}") is None


def test_a_process_of_another_container_is_not_judged(sleeper: subprocess.Popen[bytes]) -> None:
    """Containers of one host name number their processes each for itself."""
    container = ["unshare", "--pid", "--fork", "--mount-proc"]
    if not shutil.which("unshare") or subprocess.run([*container, "true"], capture_output=True).returncode:
        pytest.skip("no namespace can be made here")
    program = (
        "from tcell_assets.system.processes import *; print(is_same(1, {!r}), is_same(1, identity_of(1)))"
    )
    said = subprocess.run(
        [*container, sys.executable, "-c", program.format(identity_of(sleeper.pid))],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split() == ["None", "True"]
