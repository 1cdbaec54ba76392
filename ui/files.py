"""Pictures as files for the browser: in Gradio's own cache, which is emptied by age (`delete_cache`)."""

import io
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import PIL.Image
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder

from pipelines import address, inputs


def png(picture: PIL.Image.Image, recipe: dict[str, Any] | None = None) -> str:
    """The path of a PNG of the picture, with its recipe where it has one."""
    data = io.BytesIO()
    if recipe:
        inputs.save_png(picture, recipe, data)
    else:
        picture.save(data, "png")
    name = f"quartet-{recipe['seed']}.png" if recipe else "photo.png"
    return save_bytes_to_cache(data.getvalue(), name, get_upload_folder())


def fetched(link: str) -> str:
    """The path of a PNG of the photo at a web address. Raises `UserError`."""
    return png(inputs.photo(address.fetch(link)))


def uploaded(link: str) -> str | None:
    """The path of a file that was uploaded to this server and is named by its address there; None for any other address."""
    _, found, path = unquote(urlsplit(link).path).partition("/file=")
    inside = found and Path(path).resolve().is_relative_to(Path(get_upload_folder()).resolve())
    return path if inside and Path(path).is_file() else None
