"""Every row of the catalogue is whole, and every sentence that the code names is there."""

import math
import re
import tomllib

import pytest
from safetensors import safe_open

from pipelines import TASKS, catalog, known
from pipelines.errors import TEXTS, UserError, text
from pipelines.loaders import LABELS_FILE


@pytest.mark.parametrize("row", catalog.rows(), ids=lambda row: row.id)
def test_a_row_is_whole(row: catalog.Row) -> None:
    assert set(row.tasks) <= set(TASKS) and row.tasks
    assert row.parameters > 0 and row.memory_bytes > 0 and row.licence and row.languages and row.note
    assert {*row.notes} == {path.stem for path in TEXTS.glob("*.toml")} - {"en"}
    assert row.bundled == (row.download_bytes == 0)
    if row.bundled:
        assert (row.folder / "README.md").exists(), "a bundled model has its card"
        assert list(row.folder.rglob("*.safetensors"))
        assert not [path for path in row.folder.rglob("*") if path.suffix in (".bin", ".pt", ".pkl", ".py")]


@pytest.mark.parametrize("task", TASKS)
def test_each_task_starts_with_a_bundled_model(task: str) -> None:
    assert catalog.find(task).bundled


def test_the_environment_chooses_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARTET_CAPTION_MODEL", "nowhere")
    with pytest.raises(UserError, match="nowhere"):
        catalog.find("caption")


def test_ids_are_unique() -> None:
    ids = [row.id for row in catalog.rows()]
    assert len(ids) == len(set(ids))


def test_every_code_in_the_source_has_a_sentence() -> None:
    known = tomllib.loads((TEXTS / "en.toml").read_text("utf-8"))
    sources = [*catalog.ROOT.glob("pipelines/*.py"), *catalog.ROOT.glob("ui/*.py")]
    for source in sources:
        code = source.read_text("utf-8")
        for name in re.findall(r'UserError\(\s*"(\w+)"', code):
            assert name in known["errors"], f"{source.name}: errors.{name}"
        for name in re.findall(r'Progress\(\s*"(\w+)"', code):
            assert name in known["progress"], f"{source.name}: progress.{name}"
        for section, name in re.findall(r'[^f]\btext\("(\w+)\.(\w+)"', code):
            assert name in known[section], f"{source.name}: {section}.{name}"


def test_a_sentence_without_its_values_is_an_error() -> None:
    with pytest.raises(KeyError):
        text("errors.photo_too_large", megapixels=400)


@pytest.mark.parametrize("row", [row for row in catalog.rows() if row.bundled], ids=lambda row: row.id)
def test_the_parameters_are_those_on_disk(row: catalog.Row) -> None:
    count = 0
    for path in row.folder.rglob("*.safetensors"):
        if path.name not in (LABELS_FILE, known.FILE):  # what was computed with the model beforehand
            with safe_open(path, "np") as file:
                count += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    assert row.parameters == pytest.approx(count, rel=0.01)
