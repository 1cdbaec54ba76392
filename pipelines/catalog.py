"""Every model that the page can offer: reads `catalog.toml`, a row of data each."""

import functools
import os
import re
import tomllib
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines import inputs
from pipelines.errors import UserError, text
from pipelines.results import Progress

# Letters that are not Latin, and emoji.
FOREIGN = re.compile(r"[^\W\d_a-zA-Z\u00aa-\u02ff\u1e00-\u1eff]|[\u2600-\u27bf\U0001f000-\U0001faff]")
ROOT = Path(__file__).parent.parent
BUNDLED, LOCAL = "bundled", "local"
PRESETS = ("bundled", "cpu", "gpu")


@dataclass(frozen=True)
class Helper:
    """Another hub repository that a model needs (a tokenizer, a tiny decoder), with the files to take of it."""

    source: str
    revision: str
    patterns: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One model. `source` is a folder under `assets/models` (where `revision` is "bundled", or "local" for one of the
    visitor's own) or a hub name.

    `parameters` counts weights; `download_bytes` (helpers included) and `memory_bytes` are bytes, the latter loaded in
    fp32 on a CPU. `patterns` says which files of the repository are needed (none: what the family reads), `variant`
    which of diffusers' copies of the weights, `notes` the note in other languages. A task's default in a preset is its
    first row with that preset.
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
    notes: dict[str, str] = field(default_factory=dict, hash=False)
    presets: tuple[str, ...] = ()
    helpers: tuple[Helper, ...] = ()
    defaults: dict[str, Any] = field(default_factory=dict, hash=False)
    options: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def bundled(self) -> bool:
        return self.revision == BUNDLED

    @property
    def english_only(self) -> bool:
        return self.languages == ("en",)

    @property
    def from_hub(self) -> bool:
        return self.revision not in (BUNDLED, LOCAL)

    @property
    def folder(self) -> Path:
        """Where the files of a model that is not from the hub lie."""
        return model_folder() / self.source


def model_folder() -> Path:
    """The folder of the bundled models, and of a visitor's own: `QUARTET_MODELS` or `assets/models`."""
    return Path(os.environ.get("QUARTET_MODELS") or ROOT / "assets" / "models")


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
    """The row of a model id, or of a hub name or folder that is typed in, where that is allowed; `None` is the default:
    `QUARTET_CLASSIFY_MODEL` and so on, else the first row of `QUARTET_PRESET`. Raises `UserError`."""
    steps = choose(task, model)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def choose(task: str, model: str | None = None) -> Generator[Progress, None, Row]:
    """`find` with signs of life: it asks the hub about a name that is typed in and not on disk."""
    offered = rows(task)
    wanted = inputs.optional_words(model or os.environ.get(f"QUARTET_{task.upper()}_MODEL"), "model")
    wanted = wanted or _preset(offered).id
    for row in offered:
        if wanted == row.id or (row.from_hub and wanted in (row.source, f"{row.source}@{row.revision}")):
            return row
    if not typing_allowed():
        raise UserError("model_typed", model=wanted, known=", ".join(row.id for row in offered))
    from pipelines import typed  # which builds rows

    return (yield from typed.row(task, wanted))


def foreign(row: Row, *texts: str) -> list[str]:
    """The texts in a script that a model does not read, which reads English only."""
    return [one for one in texts if row.english_only and FOREIGN.search(one)]


def foreign_notes(row: Row, *texts: str) -> list[str]:
    """The note on these texts, where there are any."""
    strange = foreign(row, *texts)
    return [text("notes.foreign", model=row.name, words=inputs.short(", ".join(strange)))] if strange else []


def typing_allowed() -> bool:
    """Whether models that are not in the catalogue may be typed in: `QUARTET_ANY_MODEL`; strangers on a Space may not
    unless it says so, since they would fill the disk."""
    said = os.environ.get("QUARTET_ANY_MODEL")
    return said == "1" if said else "SPACE_ID" not in os.environ


def _preset(offered: tuple[Row, ...]) -> Row:
    preset = os.environ.get("QUARTET_PRESET") or PRESETS[0]
    if preset not in PRESETS:
        raise UserError("preset_unknown", preset=preset, known=", ".join(PRESETS))
    return next((row for row in offered if preset in row.presets), offered[0])


def size(count: int) -> str:
    """So many bytes, as a person reads it."""
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if count >= 0.9995 * unit:  # not "1000 MB"
            return f"{count / unit:.1f} {name}" if count < 10 * unit else f"{count / unit:.0f} {name}"
    return f"{count / 1e3:.0f} kB"
