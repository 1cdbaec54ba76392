"""Graphics cards: what fits goes there whole, what does not is put off, and a full card is a sentence."""

import gc
import types
import weakref
from dataclasses import replace
from typing import Any

import pytest
import torch

from pipelines import catalog, device, loaders, runtime
from pipelines.device import Device
from pipelines.errors import UserError
from pipelines.loaders import Loaded

CUDA = Device("cuda", "fp16", "")
GB = 10**9
ROW = catalog.find("generate", "sdxl-turbo")


class Pipe:
    """Notes what is done with it."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.components = {"unet": torch.nn.Linear(10, 10), "scheduler": object()}
        self.vae = types.SimpleNamespace(enable_tiling=lambda: self.done.append("tiling"))

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.done.append(name)


@pytest.mark.parametrize(
    ("free", "done"),
    [
        (80 * GB, ["to"]),
        (6 * GB, ["enable_attention_slicing", "tiling", "enable_model_cpu_offload"]),
        (1 * GB, ["enable_attention_slicing", "tiling", "enable_sequential_cpu_offload"]),
    ],
)
def test_a_pipeline_is_placed_by_what_is_free(free: int, done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaders, "free", lambda kind: free)
    pipe = Pipe()
    loaders._place(ROW, CUDA, pipe)
    assert pipe.done == done


def test_a_pipeline_on_pixels_has_no_decoder_to_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaders, "free", lambda kind: 1 * GB)
    pipe = Pipe()
    del pipe.vae
    pipe.__dict__["vae"] = None
    loaders._place(ROW, CUDA, pipe)
    assert "tiling" not in pipe.done and pipe.done[-1] == "enable_sequential_cpu_offload"


@pytest.mark.parametrize("model", ["gemma4-e2b", "sana-sprint", "z-image-turbo"])
@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_what_overflows_in_fp16_computes_in_bf16(model: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "pick", lambda: Device(kind, "fp16", ""))
    assert device.for_row(next(row for row in catalog.rows() if row.id == model)).precision == "bf16"


def test_a_mac_slices_and_never_puts_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaders, "free", lambda kind: 5 * GB)
    pipe = Pipe()
    loaders._place(ROW, Device("mps", "fp16", ""), pipe)
    assert pipe.done == ["enable_attention_slicing", "tiling", "to"]


def test_a_transformers_model_is_spread_where_it_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    row = catalog.find("ask", "qwen3-vl-2b")
    monkeypatch.setattr(loaders, "free", lambda kind: 4 * GB)
    processor = types.SimpleNamespace(tokenizer=types.SimpleNamespace(pad_token_id=7))
    monkeypatch.setattr("transformers.AutoProcessor.from_pretrained", lambda *_, **__: processor)
    given: dict[str, Any] = {}

    class Model(torch.nn.Module):
        generation_config = types.SimpleNamespace(pad_token_id=None)

        @classmethod
        def from_pretrained(cls, folder: object, **named: Any) -> tuple["Model", dict[str, set[str]]]:
            given.update(named)
            return cls(), {"missing_keys": set()}

    loaded = loaders._transformers(row, catalog.ROOT, CUDA, Model)
    assert given["device_map"] == "auto" and given["dtype"] == torch.float16
    assert loaded.model.generation_config.pad_token_id == 7


class Card:
    """A graphics card of 8 GB in a machine of 16, without one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cleared: list[str] = []
        monkeypatch.setattr(device, "pick", lambda: CUDA)
        monkeypatch.setattr(device, "free", lambda kind: 8 * GB if kind == "cuda" else 16 * GB)
        monkeypatch.setattr(device, "clear", self.cleared.append)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    return Card(monkeypatch)


def row(name: str, gigabytes: float) -> catalog.Row:
    """A row whose memory is `gigabytes` in fp16."""
    return replace(ROW, id=name, name=name, memory_bytes=int(gigabytes * 2 * GB))


def loading(wanted: catalog.Row) -> Loaded:
    return Loaded(wanted, CUDA, model=object())


def test_a_model_larger_than_the_card_may_use_the_machine(card: Card) -> None:
    memory = runtime.Runtime(loading)
    with pytest.raises(UserError, match="20 GB of memory and this machine has 17 GB"):
        memory.check_fits(row("huge", 20))
    with memory.lend(row("large", 12)):
        assert memory.loaded(row("large", 12))


def test_a_second_model_takes_the_card_over(card: Card) -> None:
    memory = runtime.Runtime(loading)
    for name in ("first", "second"):
        with memory.lend(row(name, 7)):
            pass
    assert not memory.loaded(row("first", 7)) and memory.loaded(row("second", 7))


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("MPS backend out of memory")]
)
def test_a_full_card_is_a_sentence_and_the_next_request_works(card: Card, error: Exception) -> None:
    memory = runtime.Runtime(loading)
    held: list[weakref.ref] = []

    def draw() -> None:
        latents = torch.ones(4)
        held.append(weakref.ref(latents))
        raise error

    with pytest.raises(UserError, match="Lower the width and height") as refused, memory.lend(row("a", 1)):
        draw()
    gc.collect()
    assert held[0]() is None and card.cleared == ["cuda"]
    assert refused.value.__suppress_context__
    with memory.lend(row("a", 1)) as loaded:
        assert loaded.row.id == "a"


def test_a_card_that_is_full_while_loading_leaves_nothing_behind(card: Card) -> None:
    def full(wanted: catalog.Row) -> Loaded:
        raise torch.OutOfMemoryError("CUDA out of memory")

    memory = runtime.Runtime(full)
    with pytest.raises(UserError) as refused, memory.lend(row("a", 1)):
        pass
    assert refused.value.code == "memory_full_drawing" and not memory.loaded(row("a", 1))


def test_other_errors_stay_what_they_are(card: Card) -> None:
    with pytest.raises(RuntimeError, match="shape"), runtime.Runtime(loading).lend(row("a", 1)):
        raise RuntimeError("shape mismatch")


def test_a_full_machine_is_told_from_other_errors() -> None:
    assert device.is_full(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"))
    for said in (
        "DefaultCPUAllocator: not enough memory: you tried to",
        "Invalid buffer size: 12.00 GiB",
        "CUBLAS_STATUS_ALLOC_FAILED",
    ):
        assert device.is_full(RuntimeError(said))
    assert device.is_full(OSError("The paging file is too small for this operation to complete. (os error 1455)"))
    assert device.is_full(MemoryError()) and not device.is_full(ValueError("out of memory"))
