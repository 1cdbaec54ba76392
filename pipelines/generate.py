"""Pictures from a prompt."""

import copy
import functools
import inspect
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from typing import Any

import PIL.Image
import torch

from pipelines import catalog, device, hub, inputs, reading, runtime, work
from pipelines.errors import UserError, text
from pipelines.loaders import Loaded
from pipelines.results import Partial, Pictures, Progress, last

BINNED = 512  # pixels: pipelines have no table of sizes near to what is asked for ("bins") for models that draw fewer


def stream(
    prompt: str,
    *,
    model: str | None = None,
    negative: str = "",
    seed: int | str | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    width: int | None = None,
    height: int | None = None,
    count: int = 1,
) -> Generator[Progress | Partial | Pictures, None, None]:
    """Draws `count` pictures (1 to 8); yields Partial with a preview at each step, then the result.

    `seed`: 0 to 2**64 - 1, None or blank for a random one; the i-th picture has seed + i, and is what a request for
    that seed alone gives. `steps`, `guidance`, `width` and `height` (pixels): None is what the model wants.
    Raises `UserError`."""
    start = time.perf_counter()
    prompt = inputs.words(prompt, "prompt")
    negative = inputs.optional_words(negative, "negative")
    row = yield from catalog.choose("generate", model)
    settings = {"prompt": prompt, "negative": negative, **_settings(row, steps, guidance, width, height)}
    count = inputs.number(count, "count", 1, 8)
    first = inputs.seed(seed)
    seeds = tuple((first + i) % 2**64 for i in range(count))
    yield from runtime.prepare(row)
    with runtime.lend(row) as loaded:
        read, notes = reading.read(loaded, prompt)
        learned = loaded.learned
        drawn = [learned.turned(read, one) if learned else read for one in seeds]
        unwanted = [learned.against(negative, one) if learned else negative for one in drawn]
        if unwanted[0] != negative:
            notes.append(text("notes.read_against", negative=unwanted[0]))
        recipe = {"model": row.id, "revision": hub.revision(row), "device": str(loaded.device), **settings}
        recipe["torch"] = torch.__version__
        pictures: list[PIL.Image.Image] = []

        def finished() -> Pictures:
            return Pictures(
                **runtime.made(loaded, start),
                pictures=tuple(pictures),
                seeds=seeds[: len(pictures)],
                recipes=tuple({**recipe, "seed": str(seeds[i]), "drawn": drawn[i]} for i in range(len(pictures))),
                notes=tuple(notes),
            )

        for i, one in enumerate(seeds):
            before, drawing = finished() if pictures else None, settings | {"prompt": drawn[i], "negative": unwanted[i]}
            begun = Partial(steps=settings["steps"], finished=before, pictures=count)
            yield begun if before else Progress("drawing", 0, settings["steps"], {"picture": i + 1, "pictures": count})
            pictures.append((yield from _after(FAMILIES[row.family](loaded, drawing, one), before, count)))
        yield finished()


def _after(
    steps: Generator[Partial, None, PIL.Image.Image], before: Pictures | None, count: int
) -> Generator[Partial, None, PIL.Image.Image]:
    """The steps of a picture, which also tell of those that are finished, and how many there will be."""
    try:
        while True:
            yield replace(next(steps), finished=before, pictures=count)
    except StopIteration as end:
        return end.value
    finally:
        steps.close()


def run(prompt: str, **settings: Any) -> Pictures:
    """Drains `stream` and returns its result."""
    return last(stream(prompt, **settings), Pictures)


def again(recipe: Mapping[str, Any]) -> Pictures:
    """Draws once more what a recipe tells of: one of a result's, or `inputs.read_recipe`'s of a PNG."""
    taken = inspect.signature(stream).parameters
    return run(**{name: value for name, value in recipe.items() if name in taken})


def _settings(
    row: catalog.Row, steps: int | None, guidance: float | None, width: int | None, height: int | None
) -> dict[str, Any]:
    """The settings checked, with the row's defaults for those that are None."""
    want, options = row.defaults, row.options
    multiple = options.get("size_multiple", 8)
    chosen = {
        "steps": inputs.number(want["steps"] if steps is None else steps, "steps", 1, 100),
        "guidance": inputs.number(want["guidance"] if guidance is None else guidance, "guidance", 0, 20, whole=False),
    }
    for name, value in (("width", width), ("height", height)):
        size = inputs.number(
            want[name] if value is None else value, name, options.get("size_min", 256), options.get("size_max", 1536)
        )
        if size % multiple:
            raise UserError("size_multiple", name=name, multiple=multiple, size=size)
        chosen[name] = size
    return chosen


def generator_seed(seed: int) -> int:
    """torch's CPU generator reads only the low 32 bits: larger seeds are mixed into them (splitmix64), so that all 64
    bits matter; smaller ones stay as they are, so that they agree with diffusers' own examples."""
    if seed < 2**32:
        return seed
    mixed = (seed + 0x9E3779B97F4A7C15) % 2**64
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> shift)) * factor % 2**64
    return (mixed ^ (mixed >> 31)) % 2**32


def _diffusers(loaded: Loaded, settings: dict[str, Any], seed: int) -> Generator[Partial, None, PIL.Image.Image]:
    """Text-to-image pipelines of diffusers. Each request has its own scheduler, which holds the state of a run."""

    def call(emit: Callable[[Partial], None]) -> PIL.Image.Image:
        pipe = copy.copy(loaded.model)
        pipe.scheduler = _watched(
            loaded.model.scheduler, loaded.row, lambda *seen: emit(_preview(loaded, settings["steps"], *seen))
        )
        arguments = {
            "prompt": settings["prompt"],
            "negative_prompt": settings["negative"],
            "num_inference_steps": settings["steps"],
            "guidance_scale": max(settings["guidance"], loaded.row.options.get("guidance_least", 0.0)),
            "width": settings["width"],
            "height": settings["height"],
            "generator": torch.Generator().manual_seed(generator_seed(seed)),  # the same noise on every device
            "use_resolution_binning": loaded.row.defaults["width"] >= BINNED,
        }
        taken = inspect.signature(pipe.__call__).parameters
        if settings["steps"] != 2:
            arguments["intermediate_timesteps"] = None  # Sana-Sprint's, which are for two steps
        try:
            out = pipe(**{name: value for name, value in arguments.items() if name in taken})
        finally:
            pipe.maybe_free_model_hooks()  # else a part that was lent the card stays on it when the work is stopped
        if any(getattr(out, "nsfw_content_detected", None) or []):  # the pipeline has blackened the picture
            raise UserError("picture_withheld", model=loaded.row.name)
        return out.images[0]

    return (yield from work.stream(call))


def _watched(scheduler: Any, row: catalog.Row, seen: Callable[[int, torch.Tensor | None], None]) -> Any:
    """A copy of the scheduler that tells, at each step, its number and the picture (or latent) predicted so far."""
    scheduler = copy.deepcopy(scheduler)
    original = scheduler.step
    taken = 0

    @functools.wraps(original)
    def step(model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, *more: Any, **named: Any) -> Any:
        nonlocal taken
        as_dict = named.pop("return_dict", True)
        index = scheduler.step_index
        out = original(model_output, timestep, sample, *more, **named, return_dict=True)
        device.check_finite(out.prev_sample, row)
        clean = getattr(out, "pred_original_sample", getattr(out, "denoised", None))
        if clean is None and "flow" in type(scheduler).__name__.lower():
            clean = sample - scheduler.sigmas[index or 0] * model_output
        taken += 1
        seen(taken, clean)
        return out if as_dict else tuple(out.values())

    scheduler.step = step
    return scheduler


def _preview(loaded: Loaded, steps: int, step: int, clean: torch.Tensor | None) -> Partial:
    """A picture of what is predicted so far, where the model works on pixels or has a tiny decoder for its latents."""
    pipe, decoder = loaded.model, loaded.tiny_decoder
    pixels = clean if getattr(pipe, "vae", None) is None else None  # [1, 3, height, width] in -1 to 1
    if decoder is not None and clean is not None:
        pixels = decoder.decode(clean.to(decoder.device, decoder.dtype)).sample
    picture = None
    if pixels is not None:
        picture = pipe.image_processor.postprocess(pixels.float().clamp(-1, 1), output_type="pil")[0]
    return Partial(picture=picture, step=step, steps=steps)


FAMILIES = {"diffusers": _diffusers}
