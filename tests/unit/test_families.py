"""Each full-size row goes the whole way on a tiny network of its own classes, processor and file layout."""

import json
import math
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

import pipelines
from pipelines import catalog, device, hub, loaders, runtime
from pipelines.catalog import Helper, Row
from pipelines.device import Device
from pipelines.errors import UserError
from pipelines.results import Caption, Partial, Pictures, Progress
from tests import tiny

CAT = catalog.ROOT / "assets" / "examples" / "cat.jpg"
FULL = [row for row in catalog.rows() if not row.bundled]


def rows(task: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", [row for row in FULL if task in row.tasks], ids=lambda row: row.id)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Row], Path]:
    """The folder of a row's tiny network, built once."""
    root = tmp_path_factory.mktemp("tiny")

    def folder(row: Row) -> Path:
        return root / row.id if (root / row.id).exists() else tiny.build(row, root / row.id)

    return folder


@pytest.fixture(scope="module")
def memory() -> runtime.Runtime:
    """A memory of its own with room for all, so that models stay loaded from test to test, and go at the end."""
    return runtime.Runtime(budget=10**15)


@pytest.fixture(autouse=True)
def on_disk(
    built: Callable[[Row], Path],
    memory: runtime.Runtime,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every model is on disk, where `tiny` has written it."""
    helpers = tmp_path_factory.mktemp("helpers")

    def helper(one: Helper) -> Path:
        return tiny.build_helper(one.source, helpers / one.source)

    monkeypatch.setattr(hub, "local_folder", built)
    monkeypatch.setattr(hub, "helper_folder", helper)
    monkeypatch.setattr(hub, "on_disk", lambda row: True)
    monkeypatch.setattr(hub, "fetch", lambda row: iter(()))
    monkeypatch.setattr(hub, "revision", lambda row: "0123456")
    for name in ("lend", "loaded", "unload", "check_fits"):
        monkeypatch.setattr(runtime, name, getattr(memory, name))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.mark.parametrize("row", FULL, ids=lambda row: row.id)
def test_every_row_has_a_tiny_network(row: Row) -> None:
    assert row.id in tiny.LAYOUTS
    assert {helper.source for helper in row.helpers} <= set(tiny.HELPERS)


@pytest.mark.parametrize("row", FULL, ids=lambda row: row.id)
def test_a_row_names_what_its_family_needs(row: Row) -> None:
    assert row.source.count("/") == 1 and row.revision
    assert row.memory_bytes > 4 * row.parameters, "it holds the weights in fp32"
    assert row.download_bytes > row.parameters
    if "generate" in row.tasks:
        assert set(row.defaults) == {"steps", "guidance", "width", "height"}
        assert row.options.get("tiny_decoder") in {None, *(helper.source for helper in row.helpers)}
    if row.family in ("chat", "florence2"):
        assert list(row.options["details"]) == ["short", "detailed", "more"]
    if "classify" in row.tasks:
        assert all(template.count("{}") == 1 for template in row.options["templates"])


@rows("classify")
def test_classify(row: Row) -> None:
    labels = ["a cat", "a dog", "猫"]
    result = pipelines.task("classify").run(CAT, labels, model=row.id)
    assert result.model == row.id and result.revision == "0123456"
    assert sum(result.probability) == pytest.approx(1)
    assert all(0 < share < 1 for share in result.independent)
    assert len(set(result.cosine)) == 3


@pytest.mark.parametrize("model", ["siglip2-b16", "clip-b32"])
def test_a_sigmoid_model_answers_by_its_own_scale_and_bias(model: str) -> None:
    result = pipelines.task("classify").run(CAT, ["a cat", "a dog"], model=model)
    with runtime.lend(catalog.find("classify", model)) as loaded:
        scale = loaded.model.logit_scale.exp().item()
        bias = loaded.model.logit_bias
    first, second = result.cosine
    assert result.probability[0] == pytest.approx(1 / (1 + math.exp(scale * (second - first))), rel=1e-4)
    if bias is not None:
        assert result.independent[0] == pytest.approx(1 / (1 + math.exp(-scale * first - bias.item())), rel=1e-4)


def test_what_is_true_of_any_photo_is_even_where_a_model_has_no_calibration() -> None:
    result = pipelines.task("classify").run(CAT, ["something", "a dog"], model="clip-b32")
    assert result.independent[0] == pytest.approx(0.5, abs=1e-4) != result.independent[1]


@rows("caption")
def test_caption(row: Row) -> None:
    events = list(pipelines.task("caption").stream(CAT, model=row.id, max_words=3, prompt="a"))
    result = events[-1]
    assert isinstance(result, Caption) and result.model == row.id
    parts = [event for event in events if isinstance(event, Partial)]
    assert parts and result.text.startswith("a") and 1 <= len(result.words) <= 3
    assert all(0 < word.probability <= 1 for word in result.words) and 0 < result.confidence <= 1


@rows("caption")
def test_caption_with_beams(row: Row) -> None:
    events = list(pipelines.task("caption").stream(CAT, model=row.id, max_words=2, beams=2))
    assert any(isinstance(event, Progress) and event.code == "writing" for event in events)
    assert isinstance(events[-1], Caption)


@rows("ask")
def test_ask(row: Row) -> None:
    ask = pipelines.task("ask")
    first = ask.run(CAT, "what is it?", model=row.id, max_words=3)
    again = ask.run(CAT, "a dog?", model=row.id, max_words=3, history=[("what is it?", first.text)])
    for answer in (first, again):
        assert answer.words and 0 < answer.confidence <= 1


@rows("generate")
def test_generate(row: Row) -> None:
    size = max(256, row.options.get("size_min", 256))
    asked = {"model": row.id, "seed": 7, "width": size, "height": size}
    events = list(pipelines.task("generate").stream("a cat", **asked))
    result = events[-1]
    assert isinstance(result, Pictures) and result.pictures[0].size == (size, size)
    parts = [event for event in events if isinstance(event, Partial)]
    assert [event.step for event in parts] == list(range(1, row.defaults["steps"] + 1))
    if "tiny_decoder" in row.options:
        assert all(event.picture is not None and event.picture.size == (size, size) for event in parts)
    again = pipelines.task("generate").run("a cat", **asked)
    assert again.pictures[0].tobytes() == result.pictures[0].tobytes()


def test_a_text_tower_of_transformers_is_made_from_its_helper(built: Callable[[Row], Path]) -> None:
    helper = Helper(tiny.XLM, "main", ("config.json",))
    row = replace(catalog.find("classify", "clip-b32"), id="clip-xlm-roberta", helpers=(helper,))
    loaded = loaders.load(row, built(row), Device("cpu", "fp32", ""))
    cat, dog = loaded.model.encode_text(loaded.tokenizer(["猫", "狗"]))
    assert (cat - dog).abs().max() > 1e-4
    with pytest.raises(UserError, match="could not be read"):
        loaders.load(replace(row, helpers=()), built(row), Device("cpu", "fp32", ""))


def test_details_differ_and_an_unknown_one_is_refused() -> None:
    caption = pipelines.task("caption")
    captions = {
        caption.run(CAT, model="florence2-base", max_words=3, detail=detail).confidence for detail in ("short", "more")
    }
    assert len(captions) == 2
    with pytest.raises(UserError, match="short, detailed, more"):
        caption.run(CAT, model="florence2-base", detail="long")
    with pytest.raises(UserError) as refused:
        caption.run(CAT, model="blip-base", detail="more")
    assert refused.value.code == "detail_unknown"


def test_pickled_weights_are_refused(
    built: Callable[[Row], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = catalog.find("classify", "clip-b32")
    (tmp_path / "open_clip_config.json").write_text((built(row) / "open_clip_config.json").read_text())
    (tmp_path / "open_clip_pytorch_model.bin").write_bytes(b"cos\nsystem\n")
    monkeypatch.setattr(hub, "local_folder", lambda row: tmp_path)
    runtime.unload(row)
    with pytest.raises(UserError) as refused:
        pipelines.task("classify").run(CAT, ["a cat"], model=row.id)
    assert refused.value.code == "model_pickled"


@pytest.fixture
def chat(built: Callable[[Row], Path], tmp_path: Path) -> tuple[Row, Path]:
    """A chat model's row, and a copy of its tiny network."""
    row = catalog.find("ask", "smolvlm-256m")
    return row, Path(shutil.copytree(built(row), tmp_path / "copy"))


def test_a_chat_model_without_a_template_is_refused(chat: tuple[Row, Path]) -> None:
    row, folder = chat
    for path in folder.glob("*.json"):
        content = json.loads(path.read_text())
        if isinstance(content, dict) and content.pop("chat_template", None):
            path.write_text(json.dumps(content))
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    with pytest.raises(UserError, match="without a chat template"):
        loaders.load(row, folder, Device("cpu", "fp32", ""))


def test_weights_that_lack_a_part_are_refused(chat: tuple[Row, Path]) -> None:
    row, folder = chat
    weights = load_file(folder / "model.safetensors")
    half = dict(sorted(weights.items())[: len(weights) // 2])
    save_file(half, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match="could not be read"):
        loaders.load(row, folder, Device("cpu", "fp32", ""))


def test_code_that_comes_with_a_model_is_never_run(chat: tuple[Row, Path]) -> None:
    row, folder = chat
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModelForImageTextToText": "own.Own"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\nclass Own: pass\n")
    with pytest.raises(UserError, match="could not be read"):
        loaders.load(row, folder, Device("cpu", "fp32", ""))
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("task", "model", "request_values"),
    [
        ("classify", "siglip2-b16", {"photo": CAT, "labels": ["a cat", "a dog"]}),
        ("classify", "mobileclip2-s0", {"photo": CAT, "labels": ["a cat", "a dog"]}),
        ("caption", "blip-base", {"photo": CAT, "max_words": 2}),
        ("caption", "florence2-base", {"photo": CAT, "max_words": 2}),
        ("ask", "blip-vqa", {"photo": CAT, "question": "what is it?", "max_words": 2}),
        ("ask", "smolvlm-256m", {"photo": CAT, "question": "what is it?", "max_words": 2}),
        ("ask", "qwen3.5-0.8b", {"photo": CAT, "question": "what is it?", "max_words": 2}),
        ("generate", "sd-turbo", {"prompt": "a cat", "width": 256, "height": 256}),
        ("generate", "flux2-klein", {"prompt": "a cat", "width": 256, "height": 256}),
    ],
)
def test_both_number_types(
    task: str, model: str, request_values: dict, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "for_row", lambda row: Device("cpu", precision, ""))
    memory = runtime.Runtime(budget=10**15)
    for name in ("lend", "loaded"):
        monkeypatch.setattr(runtime, name, getattr(memory, name))
    assert pipelines.task(task).run(**request_values, model=model).device == f"cpu, {precision}"


@pytest.mark.parametrize(
    ("task", "model", "request_values"),
    [
        ("caption", "blip-base", {"photo": CAT}),
        ("caption", "florence2-base", {"photo": CAT}),
        ("ask", "smolvlm-256m", {"photo": CAT, "question": "what is it?"}),
        ("generate", "lcm-dreamshaper", {"prompt": "a cat", "width": 256, "height": 256}),
    ],
)
def test_closing_ends_the_work_within_a_step(task: str, model: str, request_values: dict) -> None:
    events = pipelines.task(task).stream(**request_values, model=model)
    first = next(event for event in events if isinstance(event, Partial))
    events.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "work"]
    assert first.step <= 1 and len(first.words) <= 1


@pytest.mark.parametrize(
    ("task", "model", "asked"),
    [
        ("classify", "clip-b32", {"photo": CAT, "labels": ["a cat"]}),
        ("ask", "gemma4-e2b", {"photo": CAT, "question": "what?"}),
        ("generate", "sd-turbo", {"prompt": "a cat", "width": 256, "height": 256}),
    ],
)
def test_numbers_that_overflow_are_a_sentence_and_no_black_picture(
    task: str, model: str, asked: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = catalog.find(task, model)
    run = pipelines.task(task).run
    run(**asked, model=model)
    with runtime.lend(row) as loaded:
        network = next(
            getattr(loaded.model, part) for part in ("unet", "visual", "model") if hasattr(loaded.model, part)
        )
        weight = max(network.parameters(), key=lambda one: one.numel())
        kept = weight.data.clone()
        weight.data.fill_(math.nan)
        with pytest.raises(UserError) as refused:
            run(**asked, model=model)
        weight.data.copy_(kept)
    assert refused.value.code == "overflowed"
    run(**asked, model=model)
