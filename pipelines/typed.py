"""A model that is not in the catalogue: what its own files say, in a folder or on the hub, becomes a row."""

import contextlib
import json
import re
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

from huggingface_hub.repocard import metadata_load

from pipelines import catalog, hub, needed
from pipelines.catalog import LOCAL, Helper, Row
from pipelines.errors import UserError, text
from pipelines.results import Progress

NAME = re.compile(r"(?P<source>\w[\w.-]*/\w[\w.-]*)(?:@(?P<revision>\w[\w./-]*))?")
LICENCE = re.compile(r"[\w.+-]{1,40}")  # as the hub abbreviates them
OVERHEAD = 1.2  # memory of a loaded model for each byte of its weights

# The tasks of a family and what it needs to know, where the model's own files do not say it.
FAMILIES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "open_clip": (("classify",), {}),
    "blip": (("caption", "ask"), {}),
    "florence2": (("caption",), {"details": {"short": "<CAPTION>", "detailed": "<DETAILED_CAPTION>"}}),
    "chat": (("caption", "ask"), {"details": {"short": "Describe the photo in one sentence."}}),
    "diffusers": (("generate",), {}),
}
# A class of BLIP does one task.
BLIP = {"BlipForConditionalGeneration": ("caption",), "BlipForQuestionAnswering": ("ask",)}


def row(task: str, name: str) -> Generator[Progress, None, Row]:
    """The row of "organisation/name", "organisation/name@revision" or a folder under the model folder. Asks the hub
    about a model that is not on disk. Raises `UserError`."""
    root = catalog.model_folder().resolve()
    with contextlib.suppress(OSError):  # a name that is too long for a folder's
        folder = (root / name).resolve()
        if folder.is_dir() and root in folder.parents:
            sizes = hub.sizes(folder)
            width = hub.number_bytes(folder, sizes)
            return _row(task, name, str(folder.relative_to(root)), LOCAL, folder, sizes, width)
    found = NAME.fullmatch(name)
    if not found:
        known = ", ".join(row.id for row in catalog.rows(task))
        raise UserError("model_unknown", model=name, task=task, known=known)
    source, revision = found["source"], found["revision"] or "main"
    if kept := hub.kept(source, revision):
        with contextlib.suppress(UserError):
            row = _row(task, name, source, revision, *kept, hub.number_bytes(*kept))
            if hub.on_disk(row):
                return row
    return _row(task, name, source, revision, *(yield from hub.look(source, revision)))


def _row(task: str, name: str, source: str, revision: str, folder: Path, sizes: dict[str, int], width: int) -> Row:
    """`width`: bytes of a number of the weights."""
    config = _read(folder / "config.json")
    family, tasks = _family(name, folder, config)
    if task not in tasks:
        raise UserError("model_other_task", model=name, task=task, tasks=", ".join(tasks))
    weights = [path for path in sizes if needed.variant(path) is not None]
    kinds = {needed.variant(path) or "" for path in weights}
    made = Row(
        id=name,
        name=name,
        tasks=tasks,
        family=family,
        source=source,
        revision=revision,
        parameters=0,
        download_bytes=0,
        memory_bytes=0,
        licence=_licence(folder),
        languages=(),
        note=text("page.typed"),
        cpu=True,
        variant="" if not kinds or "" in kinds else min(kinds),
        helpers=_helpers(folder),
        defaults=_defaults(folder) if family == "diffusers" else {},
        options=FAMILIES[family][1],
    )
    wanted = needed.files(made, sizes, folder)
    stored = sum(sizes[path] for path in wanted if path.endswith(".safetensors"))
    parameters = stored // width
    return replace(
        made,
        parameters=parameters,
        download_bytes=sum(sizes[path] for path in wanted),
        memory_bytes=int(parameters * 4 * OVERHEAD),
        cpu=parameters < 1e9,
    )


def _family(name: str, folder: Path, config: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The family by its configuration files, and the tasks of the model."""
    if (folder / "open_clip_config.json").exists():
        return "open_clip", FAMILIES["open_clip"][0]
    if (folder / "model_index.json").exists():
        return "diffusers", FAMILIES["diffusers"][0]
    classes = [*config.get("architectures", ()), ""]
    if classes[0] in BLIP:
        return "blip", BLIP[classes[0]]
    if classes[0] == "Florence2ForConditionalGeneration":
        return "florence2", FAMILIES["florence2"][0]
    # A model that writes, with an image encoder: what AutoModelForImageTextToText takes.
    if "vision_config" in config and classes[0].endswith("ForConditionalGeneration"):
        return "chat", FAMILIES["chat"][0]
    raise UserError("family_unknown", model=name, known=", ".join(FAMILIES))


def _helpers(folder: Path) -> tuple[Helper, ...]:
    """The repository of an open_clip model's text tower, of which only the configuration is needed."""
    tower = _read(folder / "open_clip_config.json").get("model_cfg", {}).get("text_cfg", {}).get("hf_model_name")
    return (Helper(tower, "main", ("config.json",)),) if tower else ()


def _defaults(folder: Path) -> dict[str, Any]:
    """The usual settings of a pipeline's kind: Stable Diffusion 1 and 2 draw 512 pixels, later ones 1024; PRX says how many."""
    index = _read(folder / "model_index.json")
    kind, size = str(index.get("_class_name")), index.get("default_sample_size")
    pixels = 512 if kind in ("StableDiffusionPipeline", "LatentConsistencyModelPipeline") else 1024
    if kind.startswith("PRX") and isinstance(size, int):
        pixels = size
    return {"steps": 25, "guidance": 5.0, "width": pixels, "height": pixels}


def _licence(folder: Path) -> str:
    try:
        named = str((metadata_load(folder / "README.md") or {})["license"])
    except Exception:  # whatever is wrong with a card: it names no licence
        named = ""
    return named if LICENCE.fullmatch(named) else text("page.licence_unknown")


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
