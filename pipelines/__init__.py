"""The face of the pipelines: `task(name)` gives a task's module, and imports torch only then."""

import os
import threading
from importlib import import_module
from types import ModuleType

from pipelines import catalog
from pipelines.errors import Sentence, UserError, later

# Plain HTTP is the path that is tested. The hub's client reads this when it is imported.
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")

# The libraries below import themselves lazily, which fails when two threads do it at once: one imports or loads at a
# time, here and in `runtime`.
IMPORTING = threading.RLock()
TASKS = ("classify", "caption", "ask", "generate")

__all__ = ["IMPORTING", "TASKS", "UserError", "catalog", "task", "warm"]


def task(name: str) -> ModuleType:
    """The module of one of `TASKS`, with `stream(…)` and `run(…)`; raises `KeyError` for any other name."""
    if name not in TASKS:
        raise KeyError(name)
    with IMPORTING:
        return import_module(f"pipelines.{name}")


def warm(name: str, model: str | None = None) -> Sentence:
    """Loads a task's model before anybody asks, if it is on disk, whole: nothing is fetched. Returns where models compute,
    and why, in words."""
    task(name)
    from pipelines import device, hub, runtime

    row, here = catalog.find(name, model), device.pick()
    for _ in runtime.prepare(row, fetch=False):
        pass
    if hub.on_disk(row):
        with runtime.lend(row) as loaded:
            if loaded.device.precision != here.precision:  # the row has one of its own
                precision = loaded.device.precision
                return later("device.here_bundled", kind=here.kind, precision=precision, reason=here.reason)
    return later("device.here", kind=here.kind, reason=here.reason)
