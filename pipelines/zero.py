"""On a ZeroGPU Space a task runs in a worker that has a graphics card for some seconds; elsewhere it runs right here."""

import os
import re
import sys
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any

import pipelines
from pipelines import IMPORTING, catalog, errors
from pipelines.errors import UserError

SHORTEST, LONGEST = 10, 120  # seconds that are asked for


def stream(task: str, **values: Any) -> Generator[Any, None, None]:
    """What `pipelines.task(task).stream(**values)` yields, from wherever it runs."""
    if worker is None:
        yield from pipelines.task(task).stream(**values)
        return
    pipelines.task(task)
    from pipelines import runtime

    enter()
    row = yield from catalog.choose(task, values.get("model"))
    yield from runtime.prepare(row)  # weights are read before the worker forks
    try:
        with closing(worker(task, values | {"reader": errors.spoken()})) as events:
            for event in events:
                if isinstance(event, tuple):
                    raise UserError(event[0], **event[1])
                yield event
    except Exception as error:
        if not (hasattr(error, "title") and hasattr(error, "message")):
            raise
        # A `gr.Error` of the package's own: no card is free, or the visitor's seconds are used up.
        raise UserError("zero_gpu", message=re.sub("<[^>]*>", "", str(error.message)).rstrip(". ")) from error


def enter() -> None:
    """Lets this thread load models as if there were a graphics card: the package's torch modes hold for one thread only, the
    one that imported it (`spaces.zero.torch.patching`), and jobs have threads of their own."""
    if modes := sys.modules.get("spaces.zero.torch"):  # on ZeroGPU only
        modes.enter_mode()


def _worker(task: str, values: dict[str, Any]) -> Generator[Any, None, None]:
    """Runs in the worker. Errors cross as plain values: the package would make an error page of them."""
    values = {**values}
    errors.reader.set(values.pop("reader", ""))
    try:
        yield from pipelines.task(task).stream(**values)
    except UserError as error:
        yield error.code, error.values


def seconds(task: str, values: dict[str, Any]) -> int:
    """How long the worker may need its card, by the task and the size of the model and the request."""
    row = catalog.find(task, values.get("model"))
    work = _asked(values.get("max_words"), 30) / 20
    if task == "generate":
        steps, width, height = (_asked(values.get(name), row.defaults[name]) for name in ("steps", "width", "height"))
        work = 0.2 * steps * _asked(values.get("count"), 1) * width * height / 2**20
    return round(max(SHORTEST, min(LONGEST, SHORTEST + row.parameters / 1e9 * (2 + work))))


def _asked(value: Any, default: float) -> float:
    """A number that a visitor gave; the pipeline itself checks it, and refuses what is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return default


def _decorated() -> Callable[..., Generator[Any, None, None]] | None:
    """The worker, where the Space's own package is there; it wants to see it before the page starts."""
    try:
        import spaces
    except ImportError:
        return None
    if hasattr(os, "register_at_fork"):  # a worker has no thread that would give the lock back: it begins with it free
        os.register_at_fork(
            before=IMPORTING.acquire, after_in_parent=IMPORTING.release, after_in_child=IMPORTING.release
        )
    return spaces.GPU(duration=seconds)(_worker)


worker = _decorated()
