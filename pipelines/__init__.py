"""The face of the pipelines: `task(name)` gives a task's module, and imports torch only then."""

from importlib import import_module
from types import ModuleType

from pipelines import catalog
from pipelines.errors import UserError

TASKS = ("classify", "caption", "ask", "generate")

__all__ = ["TASKS", "UserError", "catalog", "task"]


def task(name: str) -> ModuleType:
    """The module of one of `TASKS`, with `stream(…)` and `run(…)`; raises `KeyError` for any other name."""
    if name not in TASKS:
        raise KeyError(name)
    return import_module(f"pipelines.{name}")
