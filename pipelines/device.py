"""Which device and number type to compute in, and the reason in words."""

import functools
import gc
import os
import time
from dataclasses import dataclass

import psutil
import torch

from pipelines.catalog import Row
from pipelines.errors import Sentence, UserError, later

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# How RuntimeErrors say that memory is used up: CUDA, the CPU on Linux and on Windows, MPS, cuBLAS; and Windows as a file is read.
FULL = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "Invalid buffer size",
    "ALLOC_FAILED",
    "os error 1455",
)
FASTER = 1.3  # bf16 must beat fp32 by this factor to be worth its rounding


@dataclass(frozen=True)
class Device:
    """`kind`: cuda, mps or cpu; `precision`: fp32, bf16 or fp16; `reason`: why, in the words of whoever asks `str` for it."""

    kind: str
    precision: str
    reason: Sentence | str

    @property
    def dtype(self) -> torch.dtype:
        return DTYPES[self.precision]

    def __str__(self) -> str:
        return f"{self.kind}, {self.precision}"


@functools.cache
def pick() -> Device:
    """The device to compute on; `QUARTET_DEVICE` and `QUARTET_PRECISION` override the choice. Measures once."""
    kind = os.environ.get("QUARTET_DEVICE") or _best_kind()
    precision = os.environ.get("QUARTET_PRECISION")
    if kind not in ("cuda", "mps", "cpu") or precision not in (None, "", *DTYPES):
        raise UserError("device_unknown", device=kind, precision=precision or "")
    if kind != "cpu" and not _there(kind):
        raise UserError("device_missing", device=kind)
    if precision == "fp16" and kind == "cpu":
        raise UserError("device_fp16_cpu")
    if precision:
        return Device(kind, precision, later("device.chosen", precision=precision))
    if kind == "cuda":
        precision = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
        return Device(kind, precision, later("device.cuda", name=torch.cuda.get_device_name(), precision=precision))
    if kind == "mps":
        return Device(kind, "fp16", later("device.mps"))
    ratio = bf16_speedup()
    if ratio >= FASTER:
        return Device(kind, "bf16", later("device.bf16_fast", ratio=f"{ratio:.1f}"))
    return Device(kind, "fp32", later("device.bf16_slow", ratio=f"{ratio:.2g}"))


def for_row(row: Row) -> Device:
    """The device that a model computes on: a row may want a precision of its own (`cpu_precision` and so on)."""
    device = pick()
    precision = row.options.get(f"{device.kind}_precision")
    return Device(device.kind, precision, device.reason) if precision else device


def free(kind: str) -> int:
    """The bytes that are free on the device."""
    if kind == "cuda":
        return torch.cuda.mem_get_info()[0]
    if kind == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return psutil.virtual_memory().available


def clear(kind: str) -> None:
    """Gives what nobody uses any more back to the device."""
    gc.collect()
    if kind == "cuda":
        torch.cuda.empty_cache()
    elif kind == "mps":
        torch.mps.empty_cache()


def is_full(error: BaseException) -> bool:
    """Whether an error says that the memory is used up; only CUDA has a class of its own for that."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError | OSError) and any(sign in str(error) for sign in FULL)


def check_finite(numbers: torch.Tensor, row: Row) -> None:
    """Raises `UserError` where a model's numbers grew beyond what its precision holds: what follows would be black or empty."""
    if bool((numbers.isnan() | (numbers == torch.inf)).any()):  # -inf stands for a word that is forbidden
        raise UserError("overflowed", model=row.name, precision=for_row(row).precision)


def _there(kind: str) -> bool:
    return torch.cuda.is_available() if kind == "cuda" else torch.backends.mps.is_available()


def _best_kind() -> str:
    return next((kind for kind in ("cuda", "mps") if _there(kind)), "cpu")


def bf16_speedup() -> float:
    """How many times as fast as fp32 this processor multiplies bf16 matrices (as little as 1/400 on some).

    One thread and its own CPU time are measured, since other programs may be at work, too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    best = {torch.float32: 1.0, torch.bfloat16: 1.0}  # seconds
    for i in range(20):
        for dtype in best:
            a, b = torch.ones(256, 512, dtype=dtype), torch.ones(512, 512, dtype=dtype)
            start = time.thread_time()
            a @ b
            best[dtype] = min(best[dtype], time.thread_time() - start)
        if i >= 2 and best[torch.bfloat16] > 5 * best[torch.float32]:
            break  # so slow that there is nothing more to find out
    torch.set_num_threads(threads)
    return best[torch.float32] / best[torch.bfloat16]
