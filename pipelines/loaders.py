"""From the files of a model to the model on its device: one function a family, the same for bundled and hub models."""

import json
import logging
import os
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from pipelines.catalog import Row
from pipelines.device import DTYPES, Device
from pipelines.errors import UserError

log = logging.getLogger("quartet.loaders")
LABELS_FILE = "label_embeddings.safetensors"


@dataclass
class Loaded:
    """A model ready to use. `model` and `processor` are the library's own objects; `memo` keeps what was computed
    with this model and is dropped with it (text embeddings)."""

    row: Row
    device: Device
    model: Any
    processor: Any = None
    tokenizer: Any = None
    memo: OrderedDict[Any, Any] = field(default_factory=OrderedDict)


def load(row: Row, folder: Path, device: Device) -> Loaded:
    """Loads the model whose files lie in `folder`. Raises `UserError("model_broken")` where they can't be read."""
    if precision := row.options.get(f"{device.kind}_precision"):
        device = Device(device.kind, precision, device.reason)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        return FAMILIES[row.family](row, folder, device)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        log.exception("could not load %s", row.id)
        raise UserError("model_broken", model=row.name) from error


def _open_clip(row: Row, folder: Path, device: Device) -> Loaded:
    import open_clip

    name = f"local-dir:{folder}"
    model, preprocess = open_clip.create_model_from_pretrained(name, device=device.kind)
    model = model.to(dtype=DTYPES[device.precision]).eval().requires_grad_(False)
    loaded = Loaded(row, device, model, preprocess, open_clip.get_tokenizer(name))
    if (folder / LABELS_FILE).exists():
        with safe_open(folder / LABELS_FILE, "pt") as file:
            meta, vectors = file.metadata(), file.get_tensor("embeddings").float()
        templates = tuple(json.loads(meta["templates"]))
        for label, vector in zip(json.loads(meta["labels"]), vectors, strict=True):
            loaded.memo[templates, label] = torch.nn.functional.normalize(vector, dim=0)
    return loaded


def _image_text(row: Row, folder: Path, device: Device) -> Loaded:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model = AutoModelForImageTextToText.from_pretrained(
        folder, dtype=device.dtype, local_files_only=True, use_safetensors=True
    )
    processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
    return Loaded(row, device, model.to(device.kind).eval().requires_grad_(False), processor, processor.tokenizer)


def _diffusers(row: Row, folder: Path, device: Device) -> Loaded:
    from diffusers import DiffusionPipeline

    pipe = DiffusionPipeline.from_pretrained(folder, dtype=device.dtype, local_files_only=True, use_safetensors=True)
    pipe.set_progress_bar_config(disable=True)
    return Loaded(row, device, pipe.to(device.kind), tokenizer=pipe.tokenizer)


FAMILIES = {"open_clip": _open_clip, "chat": _image_text, "diffusers": _diffusers}
