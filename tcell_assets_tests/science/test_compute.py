"""Device and precision are chosen by what the machine can do, and never silently."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from tcell_assets.science.model import compute as compute_module
from tcell_assets.science.model.compute import Compute, ComputeError, resolve_compute

no_cuda_here = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
cuda_here = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")


@no_cuda_here
def test_cuda_asked_for_and_absent_is_an_error_not_a_cpu_run() -> None:
    with pytest.raises(ComputeError, match="'cuda' was asked for"):
        resolve_compute(device="cuda")


@no_cuda_here
def test_auto_takes_the_cpu_where_there_is_no_gpu_and_says_so() -> None:
    chosen = resolve_compute(precision="fp32")
    assert (chosen.device, chosen.precision) == ("cpu", "fp32")
    assert "no CUDA device is visible" in chosen.reason


@cuda_here
def test_auto_takes_the_gpu_where_there_is_one() -> None:
    assert resolve_compute().device == "cuda"


@pytest.mark.parametrize(
    ("argument", "value"), [("device", "tpu"), ("precision", "fp16"), ("threads", -1), ("batch_size", 0)]
)
def test_an_argument_out_of_range_is_named(argument: str, value: object) -> None:
    with pytest.raises(ComputeError, match=argument):
        resolve_compute(**{argument: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(("has_amx", "precision"), [(False, "fp32"), (True, "bf16")])
def test_auto_goes_by_what_the_cpu_is_so_that_a_busy_machine_gives_the_same_weights(
    monkeypatch: pytest.MonkeyPatch, has_amx: bool, precision: str
) -> None:
    monkeypatch.setattr(compute_module, "cpu_has_amx", lambda: has_amx)
    chosen = resolve_compute(device="cpu")
    assert chosen.precision == precision
    assert "AMX" in chosen.reason


def test_a_session_sets_the_threads_and_puts_them_back() -> None:
    before = torch.get_num_threads()
    with Compute(threads=before + 1).session():
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_a_deterministic_session_ends_with_its_block() -> None:
    with Compute(deterministic=True).session():
        assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_cpu_computes_in_pieces_that_do_not_grow_with_the_batch() -> None:
    assert Compute().wells_at_once(32, 2_541) == Compute().wells_at_once(3_200, 2_541)
    assert Compute().wells_at_once(32, 1_000_000) == 1


def test_a_gpu_computes_whole_batches() -> None:
    assert Compute(device="cuda").wells_at_once(32, 2_541) == 32


def test_settings_compute_and_model_files_are_importable_without_torch() -> None:
    modules = ", ".join(
        f"tcell_assets.science.model.{name}" for name in ("settings", "compute", "trained_model")
    )
    check = f"import sys, {modules}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_a_session_does_not_load_pytorchs_compiler() -> None:
    """It takes 4 s a process, and putting determinism back by itself would load it."""
    code = (
        "import sys\nfrom tcell_assets.science.model.compute import Compute\n"
        "with Compute(threads=1).session(): pass\nassert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
