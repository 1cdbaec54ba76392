"""Models that are typed in: the family by their files, what is refused, and where names may be typed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import torch
from safetensors.torch import save_file

import app
from pipelines import TASKS, catalog, inputs
from pipelines.errors import UserError
from pipelines.generate import BINNED
from ui import generate

FILES: dict[str, dict[str, Any]] = {
    "clip": {"open_clip_config.json": {"model_cfg": {"text_cfg": {"hf_model_name": "someone/tower"}}}},
    "draws": {"model_index.json": {"_class_name": "StableDiffusionXLPipeline", "unet": ["diffusers", "UNet"]}},
    "captions": {"config.json": {"architectures": ["BlipForConditionalGeneration"], "vision_config": {}}},
    "answers": {"config.json": {"architectures": ["BlipForQuestionAnswering"], "vision_config": {}}},
    "florence": {"config.json": {"architectures": ["Florence2ForConditionalGeneration"], "vision_config": {}}},
    "chats": {"config.json": {"architectures": ["Idefics3ForConditionalGeneration"], "vision_config": {}}},
    "stickers": {"model_index.json": {"_class_name": "PRXPixelPipeline", "default_sample_size": 256}},
    "writes": {"config.json": {"architectures": ["LlamaForCausalLM"]}},
    "broken": {},
    "draws-bf16": {"model_index.json": {"_class_name": "FluxPipeline", "unet": ["diffusers", "UNet"]}},
}
WEIGHTS = {
    "clip/open_clip_model.safetensors": torch.float32,
    "draws/unet/diffusion_pytorch_model.fp16.safetensors": torch.float16,
    "draws-bf16/unet/diffusion_pytorch_model.safetensors": torch.bfloat16,
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A model folder with one model of each kind."""
    for name, files in FILES.items():
        (tmp_path / "models" / name / "unet").mkdir(parents=True)
        for file, content in files.items():
            (tmp_path / "models" / name / file).write_text(json.dumps(content))
    for path, kind in WEIGHTS.items():
        save_file({"a": torch.zeros(10_000, dtype=kind)}, tmp_path / "models" / path)
    (tmp_path / "models" / "chats" / "README.md").write_text("---\nlicense: mit\n---\n")
    (tmp_path / "outside").mkdir()
    monkeypatch.setenv("QUARTET_MODELS", str(tmp_path / "models"))
    monkeypatch.delenv("QUARTET_ANY_MODEL", raising=False)
    yield tmp_path


@pytest.mark.parametrize(
    ("name", "task", "family"),
    [
        ("clip", "classify", "open_clip"),
        ("draws", "generate", "diffusers"),
        ("captions", "caption", "blip"),
        ("answers", "ask", "blip"),
        ("florence", "caption", "florence2"),
        ("chats", "caption", "chat"),
        ("chats", "ask", "chat"),
    ],
)
def test_the_family_is_found_by_the_files(name: str, task: str, family: str) -> None:
    row = catalog.find(task, name)
    assert (row.family, row.revision) == (family, "local") and row.folder.name == name


def test_a_row_says_what_the_files_say() -> None:
    clip, draws = catalog.find("classify", "clip"), catalog.find("generate", "draws")
    assert (clip.helpers[0].source, clip.variant) == ("someone/tower", "")
    assert (draws.variant, draws.defaults["width"], draws.options) == ("fp16", 1024, {})
    assert catalog.find("generate", "stickers").defaults["width"] == 256 < BINNED <= draws.defaults["width"]
    assert (catalog.find("ask", "chats").licence, clip.licence) == ("mit", "licence not named")


@pytest.mark.parametrize(("task", "name"), [("classify", "clip"), ("generate", "draws"), ("generate", "draws-bf16")])
def test_the_weights_say_how_many_numbers_they_hold(task: str, name: str) -> None:
    row = catalog.find(task, name)
    assert row.parameters == pytest.approx(10_000, rel=0.01) and row.memory_bytes == int(row.parameters * 4 * 1.2)


@pytest.mark.parametrize(
    ("task", "name", "code"),
    [
        ("ask", "captions", "model_other_task"),
        ("ask", "writes", "family_unknown"),
        ("ask", "broken", "family_unknown"),
        ("ask", "nowhere", "model_unknown"),
        ("ask", "../outside", "model_unknown"),
        ("ask", "a/b/c", "model_unknown"),
        ("ask", "https://example.org/model", "model_unknown"),
        ("ask", ".", "model_unknown"),
        ("ask", "n" * 300, "model_unknown"),
        ("ask", "a..b/c", "model_not_there"),
        ("ask", "a\0b", "words_control"),
        ("ask", 5, "words_text"),
    ],
)
def test_what_cannot_be_loaded_is_refused(task: str, name: Any, code: str) -> None:
    with pytest.raises(UserError) as refused:
        catalog.find(task, name)
    assert refused.value.code == code and refused.value.sentence()


def test_an_unknown_family_is_told_the_known_ones() -> None:
    with pytest.raises(UserError, match="open_clip, blip, florence2, chat, diffusers"):
        catalog.find("caption", "writes")


def test_the_name_of_a_row_on_the_hub_is_that_row() -> None:
    for row in catalog.rows():
        if row.from_hub:
            for name in (row.source, f"{row.source}@{row.revision}", f" {row.source} "):
                assert catalog.find(row.tasks[0], name) is row


@pytest.mark.parametrize(
    ("flags", "environment", "allowed"),
    [
        ([], {}, True),
        (["--host", "localhost"], {}, True),
        (["--host", "::1"], {}, True),
        (["--host", "0.0.0.0"], {}, False),
        (["--share"], {}, False),
        ([], {"SPACE_ID": "someone/quartet"}, False),
        (["--share", "--any-model"], {}, True),
        (["--host", "0.0.0.0"], {"QUARTET_ANY_MODEL": "1"}, True),
        ([], {"QUARTET_ANY_MODEL": "0"}, False),
    ],
)
def test_strangers_may_not_type_names(
    monkeypatch: pytest.MonkeyPatch, flags: list[str], environment: dict[str, str], allowed: bool
) -> None:
    monkeypatch.delenv("SPACE_ID", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert app.any_model(app.settings(flags)) == allowed


def test_where_names_may_not_be_typed_only_rows_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARTET_ANY_MODEL", "0")
    for name in ("clip", "someone/clip", "nowhere"):
        with pytest.raises(UserError) as refused:
            catalog.find("classify", name)
        assert refused.value.code == "model_typed"
    assert catalog.find("classify", "quartet-clip").bundled


@pytest.mark.parametrize(
    ("model", "allowed", "taken"),
    [("someone/draws", "1", True), ("someone/draws", "0", False), ("quartet-brush", "0", True)],
)
def test_a_recipe_obeys_the_same_rule(
    folder: Path, monkeypatch: pytest.MonkeyPatch, model: str, allowed: str, taken: bool
) -> None:
    monkeypatch.setenv("QUARTET_ANY_MODEL", allowed)
    picture = folder / "made.png"
    inputs.save_png(PIL.Image.new("RGB", (8, 8)), {"prompt": "an apple", "model": model}, picture)
    *_, chosen, said = generate._restored(str(picture))
    assert (chosen == model) == taken
    assert ("is not offered here" in said) != taken


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("preset", catalog.PRESETS)
def test_a_preset_sets_every_default(monkeypatch: pytest.MonkeyPatch, task: str, preset: str) -> None:
    monkeypatch.setenv("QUARTET_PRESET", preset)
    row = catalog.find(task)
    assert row.bundled if preset == "bundled" else preset in row.presets
    monkeypatch.setenv(f"QUARTET_{task.upper()}_MODEL", catalog.rows(task)[0].id)
    assert catalog.find(task) == catalog.rows(task)[0]


def test_an_unknown_preset_is_told_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARTET_PRESET", "huge")
    with pytest.raises(UserError, match="bundled, cpu, gpu"):
        catalog.find("ask")
