"""Every model that the page can offer: reads `catalog.toml`, a row of data each."""

import functools
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.errors import UserError

ROOT = Path(__file__).parent.parent
BUNDLED = "bundled"


@dataclass(frozen=True)
class Helper:
    """Another hub repository that a model needs (a tokenizer, a tiny decoder), with the files to take of it."""

    source: str
    revision: str
    patterns: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One model. `source` is a folder under `assets/models` (where `revision` is "bundled") or a hub name.

    `parameters` counts weights; `download_bytes` (helpers included) and `memory_bytes` are bytes, the latter loaded in
    fp32 on a CPU. `patterns` says which files of the repository are needed (none: what the family reads), `variant`
    which of diffusers' copies of the weights. A task's default in a preset is its first row with that preset.
    `defaults` holds the settings that the model wants, by the argument names of its task's `stream`;
    `options` what its family needs to know (templates, calibration, prompts)."""

    id: str
    name: str
    tasks: tuple[str, ...]
    family: str
    source: str
    revision: str
    parameters: int
    download_bytes: int
    memory_bytes: int
    licence: str
    languages: tuple[str, ...]
    note: str
    cpu: bool
    patterns: tuple[str, ...] = ()
    variant: str = ""
    presets: tuple[str, ...] = ()
    helpers: tuple[Helper, ...] = ()
    defaults: dict[str, Any] = field(default_factory=dict, hash=False)
    options: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def bundled(self) -> bool:
        return self.revision == BUNDLED

    @property
    def folder(self) -> Path:
        """Where a bundled model's files lie (`QUARTET_MODELS` or `assets/models`)."""
        return Path(os.environ.get("QUARTET_MODELS") or ROOT / "assets" / "models") / self.source


@functools.cache
def _all() -> tuple[Row, ...]:
    with open(Path(__file__).with_suffix(".toml"), "rb") as file:
        entries = tomllib.load(file)["model"]
    return tuple(map(_row, entries))


def _row(entry: dict[str, Any]) -> Row:
    lists = {name: tuple(entry.get(name, ())) for name in ("tasks", "languages", "patterns", "presets")}
    helpers = (Helper(**one | {"patterns": tuple(one["patterns"])}) for one in entry.get("helpers", ()))
    return Row(**entry | lists | {"helpers": tuple(helpers)})


def rows(task: str | None = None) -> tuple[Row, ...]:
    """The rows of `task` (all without one), in the order of the file: bundled models first."""
    return tuple(row for row in _all() if task is None or task in row.tasks)


def find(task: str, model: str | None = None) -> Row:
    """The row of a model id; `None` is the default: `QUARTET_CLASSIFY_MODEL` and so on, else the first row.

    Raises `UserError("model_unknown")`."""
    offered = rows(task)
    wanted = model or os.environ.get(f"QUARTET_{task.upper()}_MODEL") or offered[0].id
    for row in offered:
        if row.id == wanted:
            return row
    raise UserError("model_unknown", model=wanted, task=task, known=", ".join(row.id for row in offered))
