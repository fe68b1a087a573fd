"""Where the network runs and how precisely: device, precision, threads; importable without torch."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16")

# bf16 must beat fp32 by this factor on a CPU before "auto" takes it: measured gains with AVX512-BF16 are
# 1.0 to 1.3, and a choice that timing noise could flip would cost reproducible weights.
CPU_BF16_GAIN = 1.5


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

    def wells_at_once(self, batch_size: int, genes: int) -> int:
        """Wells of a batch that are computed together: all of them, but on a CPU."""
        if self.device != "cpu":
            return batch_size
        return max(1, min(batch_size, CPU_TOKENS_AT_ONCE // genes))

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
        precision: `auto` takes bf16 on a CUDA device with native bf16, and on a CPU that has bf16
            instructions only where a short measurement shows that it pays.
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
    if not cpu_has_bf16():
        return "fp32", "fp32 because the CPU has neither AVX512-BF16 nor AMX"
    gain = cpu_bf16_gain()
    if gain >= CPU_BF16_GAIN:
        return "bf16", f"bf16 because this CPU ran it {gain:.2f} × as fast as fp32"
    return "fp32", f"fp32 because bf16 ran {gain:.2f} × as fast on this CPU (taken from {CPU_BF16_GAIN} × on)"


def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bf16 in hardware; without, bf16 training is 4 × slower than fp32 (measured)."""
    import torch

    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


@functools.cache
def cpu_has_amx() -> bool:
    """Whether the CPU has matrix tiles for bf16."""
    import torch

    return bool(torch.cpu.get_capabilities().get("amx_bf16"))


@functools.cache
def cpu_bf16_gain() -> float:
    """Seconds in fp32 over seconds in bf16 for the step that costs most: attention forward and backward.

    Interleaved, the best of three each, at 512 tokens × 4 heads × 32; about 0.1 s once a process.
    """
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    best = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    generator = torch.Generator().manual_seed(0)
    sample = torch.randn(3, 2, 4, 512, 32, generator=generator)
    for _ in range(4):
        for dtype in best:
            query, key, value = (part.to(dtype).requires_grad_() for part in sample)
            started = time.perf_counter()
            scaled_dot_product_attention(query, key, value).sum().backward()  # type: ignore[no-untyped-call]
            best[dtype] = min(best[dtype], time.perf_counter() - started)
    return best[torch.float32] / best[torch.bfloat16]
