"""What people hand in: photos of every kind, labels, words, numbers, recipes, and all that is refused."""

import json
import struct
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageCms
import pytest

from pipelines import inputs
from pipelines.errors import UserError

RED, GREEN, WHITE = (255, 0, 0), (0, 255, 0), (255, 255, 255)


def saved(image: PIL.Image.Image, kind: str, **settings: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


def halves(mode: str = "RGB") -> PIL.Image.Image:
    """40 x 20: red on the left, green on the right."""
    image = PIL.Image.new("RGB", (40, 20), RED)
    image.paste(GREEN, (20, 0, 40, 20))
    return image.convert(mode)


def near(image: PIL.Image.Image, at: tuple[int, int], colour: tuple[int, ...], most: int = 16) -> bool:
    return bool(np.abs(np.array(image.getpixel(at)) - colour).max() <= most)


def code(call: Any, *arguments: Any, **named: Any) -> str:
    """The code of the refusal, whose sentence must be complete."""
    with pytest.raises(UserError) as caught:
        call(*arguments, **named)
    sentence = caught.value.sentence()
    assert sentence and "{" not in sentence.replace("{}", "")
    return caught.value.code


def header_only_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *[(kind, "RGB") for kind in ("JPEG", "PNG", "WEBP", "AVIF", "HEIF", "TIFF", "BMP", "PPM", "GIF", "JPEG2000")],
        ("PNG", "P"), ("GIF", "P"), ("PNG", "RGBA"), ("WEBP", "RGBA"), ("JPEG", "CMYK"), ("TIFF", "CMYK"), ("BMP", "P"),
        ("TIFF", "LAB"),
    ],
)  # fmt: skip
def test_formats_and_modes_become_the_right_rgb(kind: str, mode: str) -> None:
    if mode == "LAB":
        image = PIL.ImageCms.profileToProfile(
            halves(), PIL.ImageCms.createProfile("sRGB"), PIL.ImageCms.createProfile("LAB"), outputMode="LAB"
        )
        assert image
    else:
        image = halves(mode)
    photo = inputs.photo(saved(image, kind))
    assert (photo.mode, photo.size) == ("RGB", (40, 20))
    assert near(photo, (5, 10), RED) and near(photo, (35, 10), GREEN)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "RGBa", "P", "CMYK", "HSV", "YCbCr"])
def test_pil_images_are_taken_and_left_as_they_are(mode: str) -> None:
    image = halves("RGBA").convert(mode) if mode == "RGBa" else halves(mode)
    before = image.copy()
    photo = inputs.photo(image)
    assert photo.mode == "RGB" and near(photo, (5, 10), RED) and near(photo, (35, 10), GREEN)
    assert image == before and photo is not image


@pytest.mark.parametrize("mode", ["L", "LA", "PA", "1"])
def test_greyscale_becomes_grey(mode: str) -> None:
    image = PIL.Image.new("L", (10, 10), 255)
    image.paste(0, (0, 0, 5, 10))
    photo = inputs.photo(image.convert(mode))
    assert near(photo, (2, 5), (0, 0, 0)) and near(photo, (8, 5), WHITE)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.array([[0, 32896, 65535]], np.uint16), "PNG"),
        (np.array([[0, 32896, 65535]], np.uint16), "TIFF"),
        (np.array([[0, 32896, 65535]], np.int32), "TIFF"),
        (np.array([[0, 2**30, 2**31 - 1]], np.int32), "TIFF"),
        (np.array([[0, 0.5, 1]], np.float32), "TIFF"),
        (np.array([[0, 127.5, 255]], np.float32), "TIFF"),
        (np.array([[float("nan"), 500, 1000]], np.float32), None),
    ],
)
def test_deep_greyscale_is_scaled_not_clipped(values: np.ndarray, kind: str | None) -> None:
    image = PIL.Image.fromarray(values)
    photo = inputs.photo(saved(image, kind) if kind else image)
    grey = [photo.getpixel((x, 0))[0] for x in range(3)]  # type: ignore[index]
    if np.nanmax(values) == 1000:  # no known range: the largest of 65,535
        assert grey[0] == 0 and grey == sorted(grey)
    else:
        assert grey[0] == 0 and abs(grey[1] - 128) <= 1 and grey[2] == 255


def test_a_dark_sixteen_bit_photo_stays_dark() -> None:
    photo = inputs.photo(saved(PIL.Image.fromarray(np.full((4, 4), 2570, np.uint16)), "PNG"))
    assert photo.getpixel((0, 0)) == (10, 10, 10)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_alpha_goes_over_white(kind: str) -> None:
    image = PIL.Image.new("RGBA", (16, 16), (255, 0, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 8, 16))
    image.paste((255, 0, 0, 128), (0, 8, 16, 16))
    photo = inputs.photo(saved(image, kind))
    assert near(photo, (12, 3), WHITE) and near(photo, (3, 3), RED) and near(photo, (12, 13), (255, 127, 127))


def test_transparent_palette_and_colour_key_go_over_white() -> None:
    gif = PIL.Image.new("P", (8, 8), 1)
    gif.putpalette([255, 0, 0, 0, 255, 0])
    gif.paste(0, (0, 0, 4, 8))
    assert inputs.photo(saved(gif, "GIF", transparency=0)).getpixel((1, 1)) == WHITE
    assert inputs.photo(saved(gif, "PNG", transparency=0)).getpixel((6, 1)) == GREEN
    key = saved(halves(), "PNG", transparency=RED)
    assert inputs.photo(key).getpixel((1, 1)) == WHITE and inputs.photo(key).getpixel((30, 1)) == GREEN
    assert inputs.photo(saved(halves("L"), "PNG", transparency=76)).getpixel((1, 1)) == WHITE


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_of_an_animation_the_first_frame(kind: str) -> None:
    frames = [PIL.Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN)]
    assert near(inputs.photo(saved(frames[0], kind, save_all=True, append_images=frames[1:])), (4, 4), RED)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    undo = {
        2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
        3: PIL.Image.Transpose.ROTATE_180,
        4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
        5: PIL.Image.Transpose.TRANSPOSE,
        6: PIL.Image.Transpose.ROTATE_90,
        7: PIL.Image.Transpose.TRANSVERSE,
        8: PIL.Image.Transpose.ROTATE_270,
    }
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    stored = halves().transpose(undo[orientation]) if orientation in undo else halves()
    photo = inputs.photo(saved(stored, kind, exif=exif))
    assert photo.size == (40, 20)
    assert near(photo, (5, 10), RED) and near(photo, (35, 10), GREEN)
    assert not photo.info and not photo.getexif()


def test_unreadable_exif_is_no_reason_to_refuse() -> None:
    assert inputs.photo(saved(halves(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")).size == (40, 20)


def test_colour_profiles_are_applied_and_broken_ones_ignored() -> None:
    lab = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("LAB")).tobytes()
    srgb = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, lab, b"not a profile"):
        assert near(inputs.photo(saved(halves(), "PNG", icc_profile=profile)), (5, 5), RED, 1)


@pytest.mark.parametrize("how", [str, Path])
def test_the_name_does_not_matter(tmp_path: Path, how: Any) -> None:
    path = tmp_path / "photo.txt"
    path.write_bytes(saved(halves(), "PNG"))
    assert inputs.photo(how(path)).size == (40, 20)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "photo_empty"),
        (b"just some words", "photo_unknown"),
        (b"%PDF-1.7 and so on", "photo_unknown"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "photo_unknown"),
        (b"\0" * 1000, "photo_unknown"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "photo_svg"),
        (b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg width="9"/>', "photo_svg"),
        (b"\x89PNG\r\n\x1a\n and nothing", "photo_broken"),
        (b"\xff\xd8\xff\xe0 fake", "photo_broken"),
        (b"GIF89a", "photo_broken"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "photo_broken"),
        (header_only_png(40, 40), "photo_broken"),
        (header_only_png(20_000, 20_000), "photo_too_large"),
        (header_only_png(8_001, 8_000), "photo_too_large"),
        (b"\xff" * (inputs.MAX_MEBIBYTES * 2**20 + 1), "photo_heavy"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_a_photo_is_refused(tmp_path: Path, data: bytes, expected: str) -> None:
    (tmp_path / "photo.png").write_bytes(data)
    assert code(inputs.photo, data) == expected
    assert code(inputs.photo, tmp_path / "photo.png") == expected


@pytest.mark.parametrize("data", [b"<!---->" * 500 + b"<", b" " * 4000 + b"<", b"<?xml " * 600])
def test_what_looks_like_a_drawing_is_told_at_once(data: bytes) -> None:
    start = time.monotonic()
    assert code(inputs.photo, data) == "photo_unknown" and time.monotonic() - start < 1


def test_megapixels_are_said() -> None:
    with pytest.raises(UserError, match="400 megapixels; 64"):
        inputs.photo(header_only_png(20_000, 20_000))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "HEIF", "GIF", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_truncated_photo_is_refused(kind: str, share: float) -> None:
    noise = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8))
    data = saved(noise, kind)
    assert code(inputs.photo, data[: int(len(data) * share)]) == "photo_broken"


@pytest.mark.parametrize(
    "nothing", [None, "", "no/such/file.png", "/", 5, "a\0b", {"path": "x"}, PIL.Image.Image(), np.zeros((4, 4, 3))]
)
def test_no_photo_is_said(nothing: Any) -> None:
    assert code(inputs.photo, nothing) in ("photo_missing", "photo_empty", "photo_unopened", "photo_kind")


def test_a_photo_that_shows_nothing_is_said() -> None:
    noise = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8))
    assert not inputs.remarks(noise) and not inputs.remarks(halves())
    for colour in ("black", "white", "#8090a0"):
        assert inputs.remarks(PIL.Image.new("RGB", (300, 20), colour))


def test_greyscale_of_8_bits_in_32_is_as_bright() -> None:
    grey = PIL.Image.linear_gradient("L")
    assert np.abs(np.asarray(inputs.photo(grey.convert("I"))).astype(int) - np.asarray(inputs.photo(grey))).max() <= 1


def test_damaged_photos_give_sentences_only() -> None:
    rng = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "WEBP", "AVIF", "HEIF", "GIF", "TIFF", "BMP", "JPEG2000"):
        whole = saved(halves(), kind)
        for _ in range(40):
            data = bytearray(whole)
            for place in rng.integers(0, len(data), 6):
                data[place] = rng.integers(0, 256)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    assert inputs.photo(bytes(data)).mode == "RGB"
            except UserError as error:
                assert error.sentence()


def test_eight_threads_decode_at_once() -> None:
    files = [saved(halves(), kind) for kind in ("JPEG", "PNG", "WEBP", "AVIF", "HEIF", "GIF", "TIFF")] * 8
    before = PIL.Image.MAX_IMAGE_PIXELS
    with ThreadPoolExecutor(8) as pool:
        for photo in pool.map(inputs.photo, files):
            assert near(photo, (5, 10), RED)
    assert before == PIL.Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("cat, dog ,bird", ("cat", "dog", "bird")),
        ("one", ("one",)),
        ("cat\ndog\n", ("cat", "dog")),
        ("salt, pepper\r\ncat\r\n\r\n", ("salt, pepper", "cat")),
        ("a,b\n", ("a", "b")),
        ("a cat, a dog, a person\na panda", ("a cat", "a dog", "a person", "a panda")),
        ("猫；狗; a bird", ("猫", "狗", "a bird")),
        ("猫，狗、鸟", ("猫", "狗", "鸟")),
        (",,cat,,", ("cat",)),
        (["salt, pepper", "  two   words "], ("salt, pepper", "two words")),
        (("a", ""), ("a",)),
        ("cat,\ndog,\n,", ("cat", "dog")),
        (["e\u0301"], ("é",)),
        ('["cat", "dog"]', ("cat", "dog")),
        ("1. cat\n2) dog\n- bird\n• 3 apples\n'rock 'n' roll'", ("cat", "dog", "bird", "3 apples", "rock 'n' roll")),
        (["'cat'"], ("'cat'",)),
    ],
)
def test_labels(given: Any, expected: tuple[str, ...]) -> None:
    assert inputs.labels(given) == (expected, ())


def test_repeated_labels_are_merged_with_a_note() -> None:
    names, notes = inputs.labels("cat, dog, cat, Cat, dog")
    assert names == ("cat", "dog", "Cat")
    assert len(notes) == 1 and "2" in notes[0]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", "labels_none"), (" ,\n , ", "labels_none"), ([], "labels_none"), (None, "labels_none"),
        ([str(i) for i in range(1001)], "labels_many"), (["a", 5], "labels_text"), (b"cat", "labels_text"),
        ("x" * 201, "label_long"), (["a\0b"], "words_control"), ("a" + "\u0301\u0323" * 200_000, "label_long"),
    ],
)  # fmt: skip
def test_labels_refused(given: Any, expected: str) -> None:
    assert code(inputs.labels, given) == expected


def test_the_limits_themselves_are_allowed() -> None:
    assert len(inputs.labels("\n".join(f"label {i}" for i in range(1000)))[0]) == 1000
    assert inputs.labels(["x" * 200])[0] == ("x" * 200,)
    assert inputs.words("x" * 2000, "prompt") == "x" * 2000


def test_words() -> None:
    assert inputs.words("  what is\r\nthis? ", "question") == "what is\nthis?"
    assert inputs.words("👩‍🚀 éà 猫 עברית", "prompt") == "👩‍🚀 éà 猫 עברית"
    assert inputs.optional_words(None, "negative") == inputs.optional_words(" ", "negative") == ""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", "words_none"), ("  \n", "words_none"), (None, "words_none"), ("x" * 2001, "words_long"),
        ("a\0b", "words_control"), ("a\x1b[0m", "words_control"), ("a\ud800b", "words_control"), (5, "words_text"),
    ],
)  # fmt: skip
def test_words_refused(value: Any, expected: str) -> None:
    assert code(inputs.words, value, "prompt") == expected


def test_a_sentence_calls_the_field_by_its_name() -> None:
    with pytest.raises(UserError, match="negative prompt has 2,001 characters"):
        inputs.optional_words("x" * 2001, "negative")


@pytest.mark.parametrize("value", [12, 12.0, "12", " 12 ", "12.0", np.int64(12), np.float32(12)])
def test_whole_numbers(value: Any) -> None:
    number = inputs.number(value, "steps", 1, 100)
    assert number == 12 and type(number) is int


def test_any_numbers() -> None:
    assert inputs.number("7.5", "guidance", 0, 20, whole=False) == 7.5
    assert inputs.number(0, "guidance", 0, 20, whole=False) == 0.0


@pytest.mark.parametrize(
    "value",
    [0, 101, -5, 1.5, "1.5", True, None, "", "twelve", "nan", "inf", float("nan"), float("inf"), "9" * 400, "9" * 9999,
     [12], 1j, "0x10"],
)  # fmt: skip
def test_numbers_refused_with_the_range(value: Any) -> None:
    with pytest.raises(UserError, match="number of steps must be a whole number from 1 to 100"):
        inputs.number(value, "steps", 1, 100)


@pytest.mark.parametrize("value", [20.1, "nan", False])
def test_any_numbers_refused(value: Any) -> None:
    assert code(inputs.number, value, "guidance", 0, 20, whole=False) == "number_any"


def test_seeds_keep_all_64_bits() -> None:
    assert inputs.seed("18446744073709551615") == inputs.seed(2**64 - 1) == 2**64 - 1
    assert inputs.seed("0") == inputs.seed(0) == 0
    assert len({inputs.seed(None), inputs.seed(""), inputs.seed("  ")}) == 3
    for value in (2**64, -1, "-1", 1.5, "dog", True):
        assert code(inputs.seed, value) == "number_whole"


def test_history() -> None:
    assert inputs.history(None) == ()
    assert inputs.history([["what?", "a dog"], ("why?", "")]) == (("what?", "a dog"), ("why?", ""))
    for wrong in ("ab", [["a"]], [["a", 5]], 5, [["a", "b", "c"]], {"a": "b"}):
        assert code(inputs.history, wrong) == "history_pairs"
    assert code(inputs.history, [["a", "b"]] * 101) == "history_long"


RECIPE = {
    "model": "quartet-brush",
    "revision": "bundled",
    "device": "cpu, fp32",
    "prompt": 'a "red" apple, 苹果',
    "negative": "",
    "steps": 20,
    "guidance": 4.5,
    "width": 256,
    "height": 256,
    "seed": str(2**64 - 1),
    "torch": "2.14.1",
}


def test_a_recipe_goes_into_a_png_and_comes_back(tmp_path: Path) -> None:
    inputs.save_png(halves(), RECIPE, tmp_path / "a.png")
    assert inputs.read_recipe(tmp_path / "a.png") == RECIPE
    assert inputs.read_recipe((tmp_path / "a.png").read_bytes()) == RECIPE
    assert inputs.photo(tmp_path / "a.png") == halves()


def png_with(recipe: str) -> bytes:
    chunks = inputs.PngInfo()
    chunks.add_text(inputs.RECIPE_KEY, recipe, zip=True)
    return saved(halves(), "PNG", pnginfo=chunks)


def test_a_recipe_is_not_trusted() -> None:
    forged = {
        "prompt": "a cat",
        "steps": 10**9,
        "guidance": "nan",
        "width": True,
        "seed": "",
        "evil": 1,
        "model": ["x"],
    }
    assert inputs.read_recipe(png_with(json.dumps(forged))) == {"prompt": "a cat"}


@pytest.mark.parametrize(
    "recipe",
    ["", "[]", "{}", "5", "no json", '{"prompt": ""}', '{"steps": 5}', "[" * 60_000, "9" * 60_000,
     json.dumps({"prompt": "a", "x": "y" * 70_000})],
    ids=range(10),
)  # fmt: skip
def test_an_unusable_recipe_is_none(recipe: str) -> None:
    assert inputs.read_recipe(png_with(recipe)) is None


@pytest.mark.parametrize("data", [b"", b"words", saved(halves(), "PNG"), saved(halves(), "JPEG"), b"\x89PNG\r\n\x1a\n"])
def test_a_file_without_a_recipe_is_none(data: bytes) -> None:
    assert inputs.read_recipe(data) is None
    assert inputs.read_recipe("no/such/file.png") is None
