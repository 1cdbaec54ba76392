"""An image input that hands over the uploaded file as it is: `pipelines.inputs` decodes it, and can say why not.

It has a file of its own because Gradio writes a stub (`photo.pyi`, ignored by git) beside each component's class."""

from typing import Any

import gradio as gr


class Photo(gr.Image):
    """`gr.Image` whose value is the path of the upload, undecoded."""

    is_template = True  # the front end draws it as the class above it

    def preprocess(self, payload: Any) -> str | None:
        return payload.path if payload else None
