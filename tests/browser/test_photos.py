"""Files that visitors bring: hostile ones are told off in a sentence, pictures go from tab to tab and come back whole."""

import base64
import re
import struct
import zlib
from io import BytesIO
from pathlib import Path

import PIL.Image
import PIL.ImageChops
import pillow_heif
import pytest
from playwright.sync_api import Page, expect

from pipelines import inputs
from pipelines.errors import text

from .conftest import Visit, choose, finished, open_options, run_example

SEED = str(2**64 - 1)
PHOTO = Path(__file__).parent.parent.parent / "assets" / "examples" / "cat.jpg"


def _huge_png() -> bytes:
    """A header that promises 400 megapixels, and hardly anything behind it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


HOSTILE = {
    "a text named png": (b"I am no picture.", "image/png", text("errors.photo_unknown")),
    "a truncated jpeg": (PHOTO.read_bytes()[:3000], "image/jpeg", text("errors.photo_broken")),
    "400 megapixels": (_huge_png(), "image/png", text("errors.photo_too_large", megapixels=400, limit=64)),
    "an empty file": (b"", "image/png", text("errors.photo_empty")),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_told_off_and_the_next_one_works(page: Page, name: str) -> None:
    data, kind, sentence = HOSTILE[name]
    _upload(page, "classify", f"photo.{kind.split('/')[1]}", kind, data)
    expect(page.locator("#classify-status")).to_have_text(sentence)
    run_example(page, "Classify", 1)
    expect(page.locator("#classify-status")).to_have_text(re.compile(rf"{text('page.result')}a cat: \d+ %"))  # is heard


def test_a_result_is_marked_once_another_photo_takes_the_place_of_its_own(page: Page) -> None:
    run_example(page, "Caption")
    card, old = page.locator("#caption-tab .card"), page.locator("#caption-made .old")
    expect(old).to_be_hidden()
    _upload(page, "caption", "cat.jpg", "image/jpeg", PHOTO.read_bytes())
    expect(old).to_be_visible()
    expect(card).to_have_class(re.compile("stale"))
    page.locator("#caption-run").click()
    expect(old).to_be_hidden()


@pytest.mark.parametrize(("name", "kind"), [("photo.heic", "image/heic"), ("photo.jpg", "image/jpeg")])
def test_a_heic_photo_is_shown_and_runs(page: Page, name: str, kind: str) -> None:
    file = BytesIO()
    pillow_heif.from_pillow(PIL.Image.open(PHOTO)).save(file)
    _upload(page, "classify", name, kind, file.getvalue())
    expect(page.locator("#classify-photo img")).to_have_attribute("src", re.compile(r"\.png"))
    page.locator("#classify-run").click()
    finished(page, "Classify")


def test_a_dropped_file_of_a_kind_that_the_browser_does_not_know_is_a_photo(page: Page) -> None:
    script = """(text) => { const files = new DataTransfer(), bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt());
      files.items.add(new File([bytes], "photo")); return files; }"""
    dropped = page.evaluate_handle(script, base64.b64encode(PHOTO.read_bytes()).decode())
    page.locator("#classify-photo button").first.dispatch_event("drop", {"dataTransfer": dropped})
    expect(page.locator("#classify-photo img")).to_be_visible()
    page.locator("#classify-run").click()
    finished(page, "Classify")


def test_an_address_on_this_machine_is_refused(page: Page) -> None:
    page.locator("#classify-address input, #classify-address textarea").fill("http://127.0.0.1:1/photo.jpg")
    page.keyboard.press("Enter")
    expect(page.locator("#classify-status")).to_have_text(text("errors.url_private", host="127.0.0.1"))


def test_a_dropped_picture_restores_its_settings_and_its_pixels(visit: Visit, tmp_path: Path) -> None:
    page = visit("Generate")
    open_options(page, "Generate")
    page.locator("#generate-prompt textarea").fill("a yellow star")
    page.locator("#generate-negative textarea, #generate-negative input").fill("dark")
    page.locator("#generate-seed textarea, #generate-seed input").fill(SEED)
    page.locator("#generate-steps input[type=number]").fill("3")
    page.locator("#generate-run").click()
    finished(page, "Generate")
    first = _download(page, tmp_path / "first.png")
    recipe = inputs.read_recipe(first)
    assert recipe and str(recipe["seed"]) == SEED
    assert [recipe[name] for name in ("prompt", "negative", "steps")] == ["a yellow star", "dark", 3]

    other = visit("Generate")
    _drop(other, first.read_bytes())
    expect(other.locator("#generate-status")).to_have_text(text("generate.restored"))
    open_options(other, "Generate")
    for name, value in (("prompt", "a yellow star"), ("negative", "dark"), ("seed", SEED)):
        expect(other.locator(f"#generate-{name} textarea, #generate-{name} input")).to_have_value(value)
    expect(other.locator("#generate-steps input[type=number]")).to_have_value("3")
    other.locator("#generate-run").click()
    finished(other, "Generate")
    again = _download(other, tmp_path / "again.png")
    assert PIL.ImageChops.difference(PIL.Image.open(first), PIL.Image.open(again)).getbbox() is None

    _drop(other, PHOTO.read_bytes())
    expect(other.locator("#generate-status")).to_have_text(text("errors.recipe_missing"))


def test_a_drawn_picture_goes_to_another_tab_and_on(visit: Visit) -> None:
    page = visit("Generate")
    page.locator("#generate-send-caption").click()
    expect(page.locator("#generate-status")).to_have_text(text("errors.nothing_to_send"))
    run_example(page, "Generate")
    page.locator("#generate-send-caption").click()
    expect(page.locator("#caption-photo img")).to_be_visible()
    page.locator("#caption-run").click()
    finished(page, "Caption")
    page.locator("#caption-send-classify").click()
    expect(page.locator("#classify-photo img")).to_be_visible()
    page.locator("#classify-run").click()
    finished(page, "Classify")


def test_what_a_seed_draws_in_place_of_the_prompt_is_said_beside_it(visit: Visit) -> None:
    page = visit("Generate")
    open_options(page, "Generate")
    page.locator("#generate-prompt textarea").fill("a tree")
    page.locator("#generate-seed textarea, #generate-seed input").fill("1")
    page.locator("#generate-steps input[type=number]").fill("1")
    page.locator("#generate-run").click()
    finished(page, "Generate")
    expect(page.locator("#generate-detail")).to_contain_text("Seed 1 (an evergreen tree)")


def _upload(page: Page, task: str, name: str, kind: str, data: bytes) -> None:
    field = page.locator(f"#{task}-photo input[type=file]").first
    field.set_input_files({"name": name, "mimeType": kind, "buffer": data})


def _download(page: Page, path: Path) -> Path:
    with page.expect_download() as waiting:
        page.locator("#generate-download").click()
    waiting.value.save_as(path)
    return path


def _drop(page: Page, data: bytes) -> None:
    """Drops a file on the middle of the Generate tab."""
    choose(page, "Generate")
    transfer = page.evaluate_handle(
        """(data) => {
            const files = new DataTransfer();
            const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
            files.items.add(new File([bytes], "picture.png", { type: "image/png" }));
            return files;
        }""",
        base64.b64encode(data).decode(),
    )
    page.locator("#generate-tab .card").dispatch_event("drop", {"dataTransfer": transfer})
