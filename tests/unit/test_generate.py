"""What a text-to-image pipeline may do that the bundled one does not."""

import types

import PIL.Image
import pytest

from pipelines import generate
from pipelines.catalog import find
from pipelines.device import Device
from pipelines.errors import UserError
from pipelines.loaders import Loaded

SETTINGS = {"prompt": "a cat", "negative": "", "steps": 1, "guidance": 1.0, "width": 64, "height": 64}


class Scheduler:
    def step(self, output: object, timestep: object, sample: object) -> None: ...


class Checked:
    """A pipeline with a safety checker that withholds everything, and no negative prompt."""

    scheduler = Scheduler()
    freed = 0

    def __call__(self, prompt: str, width: int, height: int) -> types.SimpleNamespace:
        if prompt == "stop":
            raise InterruptedError
        return types.SimpleNamespace(images=[PIL.Image.new("RGB", (width, height))], nsfw_content_detected=[True])

    def maybe_free_model_hooks(self) -> None:
        Checked.freed += 1


def test_a_withheld_picture_is_a_sentence_and_not_black() -> None:
    loaded = Loaded(find("generate"), Device("cpu", "fp32", ""), Checked())
    with pytest.raises(UserError, match="withheld"):
        list(generate.FAMILIES["diffusers"](loaded, SETTINGS, 1))


def test_what_was_lent_a_graphics_card_gives_it_back_when_the_work_is_stopped() -> None:
    loaded, before = Loaded(find("generate"), Device("cpu", "fp32", ""), Checked()), Checked.freed
    with pytest.raises(InterruptedError):
        list(generate.FAMILIES["diffusers"](loaded, SETTINGS | {"prompt": "stop"}, 1))
    assert Checked.freed == before + 1


def test_small_seeds_stay_as_they_are_and_large_ones_spread() -> None:
    assert generate.generator_seed(42) == 42
    large = {generate.generator_seed(2**40 + i) for i in range(1000)}
    assert len(large) == 1000 and max(large) < 2**32
