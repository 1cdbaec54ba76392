"""What people hand in (photos, labels, words, numbers, recipes), checked and decoded once, here."""

import json
import math
import re
import secrets
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from numbers import Real
from pathlib import Path
from typing import IO, Any, Literal, overload

import numpy as np
import PIL.Image
import PIL.ImageCms
import PIL.ImageOps
import PIL.ImageStat
import pillow_heif
from PIL.PngImagePlugin import PngInfo

from pipelines.errors import UserError, text

Photo = str | Path | bytes | PIL.Image.Image | None  # what `photo` takes; None is refused with a sentence

MAX_MEGAPIXELS = 64
BLANK = 2.0  # of 255: the deviation of a photo's colours under which there is nothing to be seen
MAX_MEBIBYTES = 32
MAX_LABELS = 1000
MAX_LABEL = 200  # characters
MAX_WORDS = 2000  # characters
MAX_SEED = 2**64 - 1
MAX_TURNS = 100
MAX_RECIPE = 64 * 1024  # characters of JSON
RECIPE_KEY = "quartet"

# Pillow reads more formats than these; some of them run other programs (EPS) or decode while they open (ICO).
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "HEIF", "GIF", "TIFF", "BMP", "PPM", "JPEG2000")
# How the files of these formats begin: tells a damaged photo from something that never was one.
BEGINNINGS = re.compile(
    rb"\xff\xd8\xff|\x89PNG|RIFF....WEBP|....ftyp(?:avi[fs]|hei[cmsx]|mif1)|GIF8|II\*\0|MM\0\*|BM|P[1-6]\s"
    rb"|\0\0\0\x0cjP  ",
    re.DOTALL,
)
SVG = re.compile(rb"<svg\b", re.IGNORECASE)  # somewhere at the beginning of a text that begins with "<"
COMMA, TRIMMED = r"[,，、;；]", " \t,，、;；[]\"'“”‘’"  # what parts labels, and what is no part of one at its ends
LISTED = r"^(?:\d+[.)]|[-*•])\s+"  # what stands before each of a list
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
SRGB = PIL.ImageCms.createProfile("sRGB")

pillow_heif.register_heif_opener()


def photo(source: Photo) -> PIL.Image.Image:
    """The RGB picture in a file, its bytes or a PIL image, told by content and never by name: upright, over white,
    in sRGB, of an animation the first frame (of an open one its present frame). Raises `UserError`."""
    if isinstance(source, PIL.Image.Image):
        _check_size(source)
        return _decoded(source.copy)
    data = source if isinstance(source, bytes) else _read(source)
    if not data:
        raise UserError("photo_empty")
    if len(data) > MAX_MEBIBYTES * 2**20:
        raise UserError("photo_heavy", limit=MAX_MEBIBYTES)
    return _decoded(lambda: _opened(data))


def remarks(picture: PIL.Image.Image) -> tuple[str, ...]:
    """A note on a photo that shows nothing: models tell of something all the same."""
    return (text("notes.blank"),) if max(PIL.ImageStat.Stat(picture).stddev) < BLANK else ()


def _read(path: str | Path | None) -> bytes:
    if path is not None and not isinstance(path, str | Path):
        raise UserError("photo_kind", kind=type(path).__name__)
    if path is None or path == "":
        raise UserError("photo_missing")
    try:
        with open(path, "rb") as file:
            return file.read(MAX_MEBIBYTES * 2**20 + 1)
    except (OSError, ValueError) as error:
        raise UserError("photo_unopened", path=short(str(path))) from error


def _opened(data: bytes) -> PIL.Image.Image:
    """The picture with its header read and its size checked, not decoded yet."""
    try:
        image = PIL.Image.open(BytesIO(data), formats=FORMATS)
    except PIL.Image.DecompressionBombError as error:  # over 179 megapixels Pillow refuses by itself
        pixels = re.search(r"\d+", str(error))
        raise _too_large(int(pixels[0]) if pixels else 10**9) from error
    except PIL.UnidentifiedImageError as error:
        begins = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
        if begins.startswith(b"<") and SVG.search(begins):
            raise UserError("photo_svg") from error
        raise UserError("photo_broken" if BEGINNINGS.match(data) else "photo_unknown") from error
    _check_size(image)
    return image


def _check_size(image: PIL.Image.Image) -> None:
    if image.width * image.height > MAX_MEGAPIXELS * 10**6:
        raise _too_large(image.width * image.height)
    if not image.width or not image.height:
        raise UserError("photo_empty")


def _too_large(pixels: int) -> UserError:
    return UserError("photo_too_large", megapixels=math.ceil(pixels / 10**6), limit=MAX_MEGAPIXELS)


def _decoded(opened: Callable[[], PIL.Image.Image]) -> PIL.Image.Image:
    try:
        image = opened()
        image.load()
        return _rgb(_upright(image))
    except UserError:
        raise
    except Exception as error:  # decoders raise anything at all on a file that was made to break them
        raise UserError("photo_broken") from error


def _upright(image: PIL.Image.Image) -> PIL.Image.Image:
    try:
        PIL.ImageOps.exif_transpose(image, in_place=True)
    except Exception:  # a photo with unreadable EXIF data is still a photo
        pass
    return image


def _rgb(image: PIL.Image.Image) -> PIL.Image.Image:
    profile = image.info.get("icc_profile")
    if image.mode in ("La", "RGBa"):
        image = image.convert(image.mode.upper())
    if image.mode in ("F", "I") or image.mode.startswith("I;16"):
        image = _eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        flat = PIL.Image.new("RGB", image.size, "white")
        flat.paste(image, mask=image.getchannel("A"))
        image = flat
    elif image.mode not in ("RGB", "CMYK", "L", "LAB"):
        image = image.convert("RGB")
    flat = _srgb(image, profile)
    flat.info = {}  # nothing of where and when the photo was taken goes on from here
    return flat


def _eight_bits(image: PIL.Image.Image) -> PIL.Image.Image:
    """Greyscale of more than 8 bits, which Pillow would clip at 255. Unmarked ranges are told by the largest value."""
    values = np.nan_to_num(np.asarray(image).astype(np.float32), posinf=0, neginf=0)  # [height, width]
    ranges = {"F": (1, 255, 65535), "I": (255, 65535)}.get(image.mode)
    most = values.max()
    white = next((white for white in ranges if most <= white), most) if ranges else 65535
    return PIL.Image.fromarray((values.clip(0, white) * (255 / white) + 0.5).astype(np.uint8))


def _srgb(image: PIL.Image.Image, profile: bytes | None) -> PIL.Image.Image:
    """Through the colour profile, as phones' (Display P3) and printers' (CMYK) photos need; without it if unusable."""
    try:
        if image.mode == "LAB":
            source = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("LAB"))
        elif profile:
            source = PIL.ImageCms.ImageCmsProfile(BytesIO(profile))
        else:
            return image.convert("RGB")
        converted = PIL.ImageCms.profileToProfile(image, source, SRGB, outputMode="RGB")
        return converted or image.convert("RGB")
    except (PIL.ImageCms.PyCMSError, OSError, ValueError):
        return image.convert("RGB")


def labels(given: str | Iterable[str] | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The labels of a text or a list, duplicates merged, and notes on that. A text with several lines has a label a
    line, which may have a comma; else, and where a line has several commas, commas part them. Raises `UserError`."""
    if isinstance(given, str):
        lines = re.split(r"[\r\n]+", given.strip())
        commas = len(lines) == 1 or any(len(re.findall(COMMA, line.strip(TRIMMED))) > 1 for line in lines)
        parts = [part for line in lines for part in re.split(COMMA, line)] if commas else lines
        given = [re.sub(LISTED, "", part.strip(TRIMMED)).strip(TRIMMED) for part in parts]
    items = list(given) if isinstance(given, Iterable) else []
    if not all(isinstance(item, str) for item in items):
        raise UserError("labels_text")
    items = [" ".join(item.split()) for item in items]
    for item in items:  # before anything else is done with one: composing marks takes the square of its length
        if len(item) > MAX_LABEL:
            raise UserError("label_long", label=short(item), count=f"{len(item):,}", limit=MAX_LABEL)
    items = [_printable(item, "labels") for item in items if item]
    unique = tuple(dict.fromkeys(items))
    if not unique:
        raise UserError("labels_none")
    if len(unique) > MAX_LABELS:
        raise UserError("labels_many", count=f"{len(unique):,}", limit=f"{MAX_LABELS:,}")
    merged = len(items) - len(unique)
    return unique, (text("notes.labels_merged", count=merged),) if merged else ()


def words(value: str | None, name: str) -> str:
    """A trimmed text of 1 to 2,000 characters. `name` is the argument's: its sentence calls it by `[fields]`."""
    value = optional_words(value, name)
    if not value:
        raise UserError("words_none", name=_field(name))
    return value


def optional_words(value: str | None, name: str) -> str:
    """A trimmed text of 0 to 2,000 characters. Raises `UserError`."""
    if value is not None and not isinstance(value, str):
        raise UserError("words_text", name=_field(name))
    value = (value or "").replace("\r\n", "\n").strip()
    if len(value) > MAX_WORDS:
        raise UserError("words_long", name=_field(name), count=f"{len(value):,}", limit=f"{MAX_WORDS:,}")
    return _printable(value, name)


def _printable(value: str, name: str) -> str:
    """The text in composed form (NFC); control characters (but tab and line end) and halves of surrogates refused."""
    if found := CONTROL.search(value):
        raise UserError("words_control", name=_field(name), character=f"U+{ord(found[0]):04X}")
    return unicodedata.normalize("NFC", value)


def history(value: Iterable[Iterable[str]] | None) -> tuple[tuple[str, str], ...]:
    """The (question, answer) pairs of a conversation. Raises `UserError`."""
    turns = [] if value is None else value
    if not isinstance(turns, list | tuple) or not all(
        isinstance(turn, list | tuple) and len(turn) == 2 and all(isinstance(part, str) for part in turn)
        for turn in turns
    ):
        raise UserError("history_pairs")
    if len(turns) > MAX_TURNS:
        raise UserError("history_long", limit=MAX_TURNS)
    return tuple((words(question, "question"), optional_words(answer, "answer")) for question, answer in turns)


@overload
def number(value: Any, name: str, low: float, high: float, whole: Literal[True] = True) -> int: ...
@overload
def number(value: Any, name: str, low: float, high: float, whole: Literal[False]) -> float: ...
def number(value: Any, name: str, low: float, high: float, whole: bool = True) -> float:
    """A number, or a text that says one, from `low` to `high`. Raises `UserError` with that range."""
    found = _number(value)
    if found is None or not low <= found <= high or (whole and found != int(found)):
        code = "number_whole" if whole else "number_any"
        raise UserError(code, name=_field(name), low=f"{low:,}", high=f"{high:,}", value=short(str(value)))
    return int(found) if whole else float(found)


def _number(value: Any) -> float | None:
    """`int` where it can be one, since floats have only 53 bits; None for what is not a finite number."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, str | Real):
        return None
    found: float
    for kind in (int, float):
        try:
            found = kind(value)  # type: ignore[arg-type]
        except (ValueError, OverflowError):
            continue
        if found == value or isinstance(value, str):
            return found if isinstance(found, int) or math.isfinite(found) else None
    return None


def seed(value: int | str | None) -> int:
    """0 to 2**64 - 1; a random one for None or blank. Raises `UserError`."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return secrets.randbits(64)
    return number(value, "seed", 0, MAX_SEED)


def save_png(image: PIL.Image.Image, recipe: dict[str, Any], file: str | Path | IO[bytes]) -> None:
    """Writes a PNG that carries its recipe, as JSON in a text chunk."""
    chunks = PngInfo()
    chunks.add_text(RECIPE_KEY, json.dumps(recipe))
    image.save(file, format="PNG", pnginfo=chunks)


def read_recipe(source: str | Path | bytes) -> dict[str, Any] | None:
    """The recipe in a PNG: only the fields below, each checked as if typed in; None without a usable one."""
    try:
        data = source if isinstance(source, bytes) else _read(source)
        if len(data) > MAX_MEBIBYTES * 2**20:
            return None
        with PIL.Image.open(BytesIO(data), formats=("PNG",)) as image:
            written = image.info.get(RECIPE_KEY)
        found: Any = json.loads(written) if isinstance(written, str) and len(written) <= MAX_RECIPE else None
    except Exception:  # whatever is wrong with a file or its JSON: it has no recipe
        return None
    recipe = {}
    for name, check in RECIPE_FIELDS.items():
        try:
            recipe[name] = check(found[name], name)
        except (UserError, KeyError, TypeError):  # a field that is not there, or not what it should be
            continue
    return recipe if "prompt" in recipe else None


RECIPE_FIELDS: dict[str, Callable[[Any, str], Any]] = {
    "prompt": words,
    "negative": optional_words,
    "model": words,
    "revision": words,
    "device": words,
    "torch": words,
    "steps": lambda value, name: number(value, name, 1, 100),
    "guidance": lambda value, name: number(value, name, 0, 20, whole=False),
    "width": lambda value, name: number(value, name, 1, 8192),
    "height": lambda value, name: number(value, name, 1, 8192),
    "seed": lambda value, name: str(number(value, name, 0, MAX_SEED)),  # text: browsers keep 53 bits of a number
}


def _field(name: str) -> str:
    """What the page calls an argument ("max_words": "length"); the argument's own name if it has no other."""
    try:
        return text(f"fields.{name}")
    except KeyError:
        return name


def short(value: str, most: int = 40) -> str:
    """A text that a sentence can quote."""
    return value if len(value) <= most else value[: most - 1] + "…"


def few(values: Sequence[str], most: int = 5) -> str:
    """Several texts as a sentence can quote them: the first ones."""
    return ", ".join([*values[:most], *["…"] * (len(values) > most)])
