"""Where the network runs and how precisely: device, precision, threads; importable without torch."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

    from tcell_assets.science.model.settings import NetworkSettings

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16")


class ComputeError(RuntimeError):
    """The device or precision asked for does not exist on this machine."""


# On a CPU a batch is computed in pieces of about this many tokens (2 wells of 2 541 genes) whose gradients add
# up: buffers that stay in the allocator's pool and the cache. Measured against whole batches of 8 wells:
# training 10 %, scoring 5 % faster, and memory independent of the batch size.
CPU_TOKENS_AT_ONCE = 2 * 2_541


@dataclass(frozen=True)
class Compute:
    """A resolved choice of device and precision.

    Attributes:
        device: Device that runs the network.
        precision: Of the encoder; pooling, latent MLP, heads and losses are always fp32.
        threads: CPU threads; 0 leaves PyTorch's own choice.
        batch_size: Wells a scoring forward.
        deterministic: Ask PyTorch for deterministic kernels (CPU kernels already are).
        reason: Why this device and precision, in words, for metadata.
    """

    device: Literal["cpu", "cuda", "mps"] = "cpu"
    precision: Literal["fp32", "bf16"] = "fp32"
    threads: int = 0
    batch_size: int = 32
    deterministic: bool = False
    reason: str = ""

    def for_network(self, settings: NetworkSettings) -> Compute:
        """As this, with one thread for the programme network on a CPU unless a number was asked for.

        Its products are too small to share: on two busy cores two threads trained 133 wells a second, one 1,832.
        """
        if self.device == "cpu" and not self.threads and settings.architecture == "programmes":
            return replace(self, threads=1)
        return self

    def wells_at_once(self, batch_size: int, tokens: int) -> int:
        """Wells of a batch that are computed together: all of them, but on a CPU by the tokens that each takes."""
        if self.device != "cpu":
            return batch_size
        return max(1, min(batch_size, CPU_TOKENS_AT_ONCE // tokens))

    @contextmanager
    def session(self) -> Iterator[torch.device]:
        """Threads and determinism set for the block and put back after it; yields the torch device."""
        import torch

        threads_before = torch.get_num_threads()
        deterministic_before = torch.are_deterministic_algorithms_enabled()
        try:
            if self.threads:
                torch.set_num_threads(self.threads)
            if self.deterministic:
                # cuBLAS repeats its sums in one order only with a fixed workspace, and reads this when it starts.
                os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
                torch.use_deterministic_algorithms(True)
            yield torch.device(self.device)
        finally:
            torch.set_num_threads(threads_before)
            # The first call in a process imports PyTorch's compiler: 4 s; a small network scores a plate in 0.02 s.
            if self.deterministic:
                torch.use_deterministic_algorithms(deterministic_before)


def resolve_compute(
    device: str = "auto",
    precision: str = "auto",
    threads: int = 0,
    batch_size: int = 32,
    deterministic: bool = False,
) -> Compute:
    """Choose device and precision by what this machine can do.

    Args:
        device: `auto` takes CUDA where there is one, else the CPU; a named device must be there.
        precision: `auto` takes bf16 on a CUDA device with native bf16, and on a CPU with AMX.
        threads: CPU threads; 0 leaves PyTorch's own choice.
        batch_size: Wells a scoring forward.
        deterministic: Ask PyTorch for deterministic kernels.

    Raises:
        ComputeError: The device is absent, or an argument is out of range.
    """
    if device not in DEVICES:
        raise ComputeError(f"device is {device!r}; choose one of {', '.join(DEVICES)}")
    if precision not in PRECISIONS:
        raise ComputeError(f"precision is {precision!r}; choose one of {', '.join(PRECISIONS)}")
    if threads < 0:
        raise ComputeError(f"threads is {threads}; it must be 0 (PyTorch's own choice) or more")
    if batch_size < 1:
        raise ComputeError(f"batch_size is {batch_size}; it must be at least 1")

    chosen_device, device_reason = _choose_device(device)
    chosen_precision, precision_reason = _choose_precision(precision, chosen_device)
    return Compute(
        device=chosen_device,
        precision=chosen_precision,
        threads=threads,
        batch_size=batch_size,
        deterministic=deterministic,
        reason=f"{device_reason}; {precision_reason}",
    )


def _choose_device(device: str) -> tuple[Literal["cpu", "cuda", "mps"], str]:
    import torch

    if device == "cpu":
        return "cpu", "cpu as asked"
    if device == "mps":
        if not torch.backends.mps.is_available():
            raise ComputeError(
                "device 'mps' was asked for, but this machine has no Apple GPU; use 'auto' or 'cpu'"
            )
        return "mps", "mps as asked"
    cuda_is_there = torch.cuda.is_available()
    if device == "cuda" and not cuda_is_there:
        build = (
            "this PyTorch is built without CUDA"
            if torch.version.cuda is None
            else "no CUDA device is visible"
        )
        raise ComputeError(
            f"device 'cuda' was asked for, but {build}; use 'auto' or 'cpu', or mend the installation"
        )
    if cuda_is_there:
        return "cuda", f"cuda {'as asked' if device == 'cuda' else 'found'} ({torch.cuda.get_device_name()})"
    return "cpu", "cpu because no CUDA device is visible"


def _choose_precision(precision: str, device: str) -> tuple[Literal["fp32", "bf16"], str]:
    if precision == "fp32":
        return "fp32", "fp32 as asked"
    if precision == "bf16":
        return "bf16", "bf16 as asked"
    if device == "cuda":
        import torch

        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16", "bf16 because the GPU computes it natively"
        return "fp32", "fp32 because the GPU has no native bf16"
    if device == "mps":
        return "fp32", "fp32 because bf16 is not validated on mps"
    # By what the CPU is, not by a stopwatch: on one busy CPU the measured gain was 0.57 to 1.23 ×, and a choice that
    # turns gives other weights. Without AMX's tiles bf16 gains 1.0 to 1.3 × (AVX512-BF16) or loses 4 × (neither).
    if cpu_has_amx():
        return "bf16", "bf16 because the CPU has AMX"
    return "fp32", "fp32 because the CPU has no AMX"


@functools.cache
def cpu_has_amx() -> bool:
    """Whether the CPU has matrix tiles for bf16."""
    import torch

    return bool(torch.cpu.get_capabilities().get("amx_bf16"))
