"""Pictures as files for the browser: in Gradio's own cache, which is emptied by age (`delete_cache`)."""

import io
from typing import Any

import PIL.Image
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder

from pipelines import inputs


def png(picture: PIL.Image.Image, recipe: dict[str, Any] | None = None) -> str:
    """The path of a PNG of the picture, with its recipe where it has one."""
    data = io.BytesIO()
    if recipe:
        inputs.save_png(picture, recipe, data)
    else:
        picture.save(data, "png")
    name = f"quartet-{recipe['seed']}.png" if recipe else "photo.png"
    return save_bytes_to_cache(data.getvalue(), name, get_upload_folder())
