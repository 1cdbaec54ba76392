"""From the files of a model to the model on its device: one function a family, the same for bundled and hub models."""

import json
import logging
import os
import sys
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from pipelines import hub, known
from pipelines.catalog import Row
from pipelines.device import Device, free, is_full
from pipelines.errors import UserError

log = logging.getLogger("quartet.loaders")
LABELS_FILE = "label_embeddings.safetensors"
SAFE = {"local_files_only": True, "trust_remote_code": False}  # no network, and no code that comes with a model
MISSING = 0.01  # the share of a model's numbers that may be missing from its weights
ROOM = 2 * 10**9  # bytes of a graphics card that computing takes beside the weights


@dataclass
class Loaded:
    """A model ready to use. `model` and `processor` are the library's own objects; `memo` keeps what was computed
    with this model and is dropped with it (text embeddings); `tiny_decoder` makes previews of latents; `learned`: what
    it has learned to draw."""

    row: Row
    device: Device
    model: Any
    processor: Any = None
    tokenizer: Any = None
    tiny_decoder: Any = None
    learned: known.Known | None = None
    memo: OrderedDict[Any, Any] = field(default_factory=OrderedDict)


def load(row: Row, folder: Path, device: Device) -> Loaded:
    """Loads the model whose files lie in `folder`. Raises `UserError`: "model_broken" where they can't be read,
    "model_pickled" where the weights come in a format that can run code."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if not any(folder.rglob("*.safetensors")):
        raise UserError("model_pickled" if any(folder.glob("*")) else "model_broken", model=row.name)
    try:
        return FAMILIES[row.family](row, folder, device)
    except (OSError, ValueError, KeyError, AttributeError, ImportError, RuntimeError, SafetensorError) as error:
        if is_full(error):
            raise
        log.exception("could not load %s", row.id)
        raise UserError("model_broken", model=row.name) from error


def _open_clip(row: Row, folder: Path, device: Device) -> Loaded:
    import open_clip

    name = f"local-dir:{folder}"
    text = open_clip.get_model_config(name)["text_cfg"]
    more: dict[str, Any] = {}
    if "hf_model_name" in text:  # a text tower of transformers, which would fetch its configuration from the hub
        tower = _helper(row, text["hf_model_name"])
        more["text_cfg"] = text | {"hf_model_name": str(tower), "hf_model_pretrained": False}
    model, preprocess = open_clip.create_model_from_pretrained(name, device=device.kind, **more)
    model = model.to(dtype=device.dtype, memory_format=torch.channels_last).eval().requires_grad_(False)
    loaded = Loaded(row, device, model, preprocess, open_clip.get_tokenizer(name))
    if (folder / LABELS_FILE).exists():
        with safe_open(folder / LABELS_FILE, "pt") as file:
            meta, vectors = file.metadata(), file.get_tensor("embeddings").float()
        templates = tuple(json.loads(meta["templates"]))
        for label, vector in zip(json.loads(meta["labels"]), vectors, strict=True):
            loaded.memo[templates, label] = torch.nn.functional.normalize(vector, dim=0)
    return loaded


def _helper(row: Row, name: str) -> Path:
    """The folder of the helper repository called `name` (its owner may have been added since)."""
    for helper in row.helpers:
        if helper.source.split("/")[-1] == name.split("/")[-1]:
            return hub.helper_folder(helper)
    raise OSError(f"{row.id} needs {name}, which its row does not name as a helper")


def _blip(row: Row, folder: Path, device: Device) -> Loaded:
    from transformers import AutoConfig, BlipForConditionalGeneration, BlipForQuestionAnswering

    kinds = {kind.__name__: kind for kind in (BlipForConditionalGeneration, BlipForQuestionAnswering)}
    return _transformers(row, folder, device, kinds[AutoConfig.from_pretrained(folder, **SAFE).architectures[0]])


def _image_text(row: Row, folder: Path, device: Device) -> Loaded:
    from transformers import AutoModelForImageTextToText

    loaded = _transformers(row, folder, device, AutoModelForImageTextToText)
    if row.family == "chat" and not loaded.processor.chat_template:
        raise UserError("no_chat_template", model=row.name)
    return loaded


def _transformers(row: Row, folder: Path, device: Device, kind: Any) -> Loaded:
    from transformers import AutoProcessor

    outside = {"device_map": "auto"} if _spare(row, device) < ROOM else {}  # what the card can't hold stays outside
    model, found = kind.from_pretrained(
        folder, dtype=device.dtype, use_safetensors=True, output_loading_info=True, **SAFE, **outside
    )
    sizes = {name: tensor.numel() for name, tensor in model.named_parameters()}
    missing = sum(sizes.get(name, 0) for name in found["missing_keys"])
    if missing > MISSING * sum(sizes.values()):
        raise ValueError(
            f"{missing} numbers are missing from the weights of {row.id}, for instance {found['missing_keys']}"
        )
    if not outside:
        model.to(device.kind)
        for part in model.modules():  # a tower of convolutions takes two thirds of the time on a CPU
            if isinstance(part, torch.nn.Conv2d):
                part.to(memory_format=torch.channels_last)
    processor = AutoProcessor.from_pretrained(folder, **SAFE)
    if model.generation_config.pad_token_id is None:
        model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    return Loaded(row, device, model.eval().requires_grad_(False), processor, processor.tokenizer)


def _diffusers(row: Row, folder: Path, device: Device) -> Loaded:
    from diffusers import AutoencoderTiny, DiffusionPipeline

    files: dict[str, Any] = {"dtype": device.dtype, "local_files_only": True, "use_safetensors": True}
    pipe = DiffusionPipeline.from_pretrained(folder, variant=row.variant or None, trust_remote_code=False, **files)
    pipe.set_progress_bar_config(disable=True)
    _place(row, device, pipe)
    loaded = Loaded(row, device, pipe, tokenizer=pipe.tokenizer, learned=known.read(folder))
    if decoder := row.options.get("tiny_decoder"):
        tiny = AutoencoderTiny.from_pretrained(_helper(row, decoder), **files).to(device.kind)
        loaded.tiny_decoder = tiny.eval().requires_grad_(False)
        if device.kind == "cpu" and row.options.get("fast_decoder"):
            pipe.vae = tiny  # there the pipeline's own decoder takes longer than all steps
    return loaded


def _spare(row: Row, device: Device) -> int:
    """The bytes that stay free on a graphics card beside the model's weights."""
    return sys.maxsize if device.kind == "cpu" else free(device.kind) - row.parameters * device.dtype.itemsize


def _place(row: Row, device: Device, pipe: Any) -> None:
    """A pipeline on its device: whole where there is room, else a part at a time, and in slices."""
    spare = _spare(row, device)
    if spare < ROOM:
        pipe.enable_attention_slicing()
        vae: Any = getattr(pipe, "vae", None)
        if hasattr(vae, "enable_tiling"):
            vae.enable_tiling()
    if spare >= ROOM or device.kind != "cuda":
        pipe.to(device.kind)
    elif max(_bytes(part) for part in pipe.components.values()) + ROOM <= free(device.kind):
        pipe.enable_model_cpu_offload()
    else:
        pipe.enable_sequential_cpu_offload()


def _bytes(part: Any) -> int:
    return sum(one.nbytes for one in part.parameters()) if isinstance(part, torch.nn.Module) else 0


FAMILIES = {
    "open_clip": _open_clip,
    "blip": _blip,
    "florence2": _image_text,
    "chat": _image_text,
    "diffusers": _diffusers,
}
