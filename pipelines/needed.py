"""Which files of a repository a model needs: configuration, tokenizer and one copy of the weights, as safetensors."""

import json
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from huggingface_hub.utils import filter_repo_objects

from pipelines.catalog import Row

SUFFIXES = (".json", ".txt", ".model", ".jinja", ".safetensors")  # none that can hold code
WEIGHTS = re.compile(
    r"(?P<library>open_clip_|diffusion_)?(?:pytorch_)?model(?:\.(?P<variant>(?!safetensors)\w+))?(?:\.safetensors)?(?:-\d+-of-\d+)?"
    r"(?:\.(?P<old_variant>(?!safetensors)\w+))?\.safetensors"  # Qwen3.5: model.safetensors-00001-of-00001.safetensors
)
KNOWN_BY = {"open_clip": "open_clip_config.json", "diffusers": "model_index.json"}
INDEX = ".safetensors.index"  # in the name of the file that says which weights are in which file


def files(row: Row, paths: Iterable[str], folder: Path) -> list[str]:
    """Those of the repository's `paths` that `row` needs. `folder` has the configuration files already."""
    safe = [path for path in paths if path.endswith(SUFFIXES)]
    if row.patterns:
        return list(filter_repo_objects(safe, allow_patterns=list(row.patterns)))
    parts = components(folder) if row.family == "diffusers" else {"."}
    near = [path for path in safe if str(PurePosixPath(path).parent) in parts]
    weights = [path for path in near if path.endswith(".safetensors")]
    wanted = {path for path in weights if variant(path) == row.variant}
    if row.family == "open_clip" and (own := {path for path in wanted if path.startswith("open_clip_")}):
        wanted = own  # beside them there may be the same weights in the layout of transformers
    return [path for path in near if path not in weights or path in wanted]


def components(folder: Path) -> set[str]:
    """The folders of a diffusers pipeline, "." included: what `model_index.json` names a class for."""
    try:
        index = json.loads((folder / "model_index.json").read_text("utf-8")).items()
    except (OSError, ValueError, AttributeError):  # it is fetched anew, or found to be damaged when it is loaded
        index = ()
    return {".", *(name for name, part in index if isinstance(part, list) and part and part[0])}


def variant(path: str) -> str | None:
    """Which copy of the weights a file holds: "", "fp16" and so on; None for a file of another name."""
    found = WEIGHTS.fullmatch(PurePosixPath(path).name)
    return (found["variant"] or found["old_variant"] or "") if found else None


def complete(row: Row, folder: Path) -> bool:
    """Whether a folder seems whole, where no listing says what belongs in it: the model's weights, all parts of them, and the
    configuration that its family is known by. Another program may have fetched another copy of it, or only a part."""
    try:
        for index in folder.rglob(f"*{INDEX}*"):
            names = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
            if not all((index.parent / name).exists() for name in names):
                return False
    except (OSError, ValueError, KeyError):
        return False
    parts = components(folder) if row.family == "diffusers" else set()
    known = any(folder.glob(KNOWN_BY.get(row.family, "*processor_config.json")))
    weights = any(variant(path.name) == row.variant for path in folder.rglob("*.safetensors"))
    return known and weights and all((folder / part).is_dir() for part in parts)
