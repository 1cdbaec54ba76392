"""Writes what the README says of models from the catalogue, and of their sizes and times from `tools/fullsize.json`."""

import json
import re
from collections.abc import Callable, Iterable

from pipelines import TASKS, catalog
from pipelines.catalog import Row, size
from pipelines.errors import text
from tools import fullsize

README = catalog.ROOT / "README.md"


def written(readme: str) -> str:
    """The README with its tables, and the models in its head, made anew."""
    for name, part in PARTS.items():
        begin, end = f"<!-- {name}: by `make readme` -->\n", f"<!-- end of {name} -->"
        found = re.search(f"{re.escape(begin)}.*?{re.escape(end)}", readme, re.DOTALL)
        assert found, f"README.md has no place for {name}"
        readme = readme.replace(found[0], f"{begin}\n{part()}\n\n{end}")
    sources = "".join(f"  - {row.source}\n" for row in catalog.rows() if row.from_hub)
    return re.sub(r"^models:\n(  - .+\n)+", f"models:\n{sources}", readme, count=1, flags=re.MULTILINE)


def _table(head: str, rows: Iterable[Iterable[str]]) -> str:
    columns = head.split(" | ")
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _models() -> str:
    head = "model | tabs | parameters | download | memory | on a CPU | licence | languages | good for"
    return _table(head, map(_model, catalog.rows()))


def _model(row: Row) -> list[str]:
    at = f"https://huggingface.co/{row.source}" if row.from_hub else f"assets/models/{row.source}"
    return [
        f"[{row.name}]({at})",
        ", ".join(text(f"{task}.tab") for task in row.tasks),
        _parameters(row),
        size(row.download_bytes) if row.from_hub else "bundled",
        size(row.memory_bytes),
        "yes" if row.cpu else "slow",
        row.licence,
        " ".join(row.languages),
        row.note,
    ]


def _parameters(row: Row) -> str:
    return f"{row.parameters / 1e6:.0f} M" if row.parameters < 1e9 else f"{row.parameters / 1e9:.1f} B"


def _presets() -> str:
    head = " | ".join(["preset", *(text(f"{task}.tab") for task in TASKS), "download", "memory for the largest"])
    return _table(head, map(_preset, catalog.PRESETS))


def _preset(preset: str) -> list[str]:
    chosen = [next((row for row in catalog.rows(task) if preset in row.presets), catalog.find(task)) for task in TASKS]
    download = sum({row.id: row.download_bytes for row in chosen}.values())
    most = max(row.memory_bytes for row in chosen)
    return [f"`{preset}`", *(row.name for row in chosen), size(download) if download else "nothing", size(most)]


def _proof() -> str:
    results = json.loads(fullsize.RESULTS.read_text("utf-8"))
    head = "model | number type | parameters | loading | a request | memory | in the catalogue"
    return _table(head, map(_case, results["cases"].values())) + f"\n\nOn {results['machine']}."


def _case(case: dict) -> list[str]:
    row = catalog.find(case["task"], case["model"])
    return [
        row.name,
        case["precision"],
        _parameters(row),
        f"{case['load_seconds']} s",
        f"{case['request_seconds']} s",
        size(case["peak_bytes"]),
        size(fullsize.catalogued(case)),
    ]


def _figures() -> str:
    """What `make eval` and `make eval-brush` measured of the bundled models, last time."""
    lines = []
    for row in filter(lambda row: row.bundled, catalog.rows()):
        found = json.loads((catalog.ROOT / "assets" / "models" / row.source / "evaluation.json").read_text("utf-8"))
        for measure, values in found.items():
            shown = ", ".join(f"{name} {value:g}" for name, value in values.items() if name != "n")
            lines.append([row.name, measure, shown, f"{values['n']:g}"])
    return _table("model | measure | figures | items", lines)


PARTS: dict[str, Callable[[], str]] = {
    "models": _models,
    "presets": _presets,
    "full sizes": _proof,
    "figures": _figures,
}

if __name__ == "__main__":
    README.write_text(written(README.read_text("utf-8")), "utf-8")
