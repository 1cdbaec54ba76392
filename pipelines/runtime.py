"""Loads a model once, lends it to whoever asks, and evicts the least recently used one when memory runs short."""

import contextlib
import logging
import os
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pipelines import IMPORTING, device, hub, loaders
from pipelines.catalog import Row, size
from pipelines.errors import UserError
from pipelines.loaders import Loaded
from pipelines.results import Progress

log = logging.getLogger("quartet.runtime")
SHARE = 0.7  # of the free memory that models may take


@dataclass
class _Slot:
    row: Row
    bytes: int
    loaded: Loaded | None = None  # None while it loads
    users: int = 0


class Runtime:
    """The models in memory. `load` makes one from its row; `budget` is in bytes (None: a share of what is free)."""

    def __init__(self, load: Callable[[Row], Loaded] | None = None, budget: int | None = None) -> None:
        self._load = load or (lambda row: loaders.load(row, hub.local_folder(row), device.for_row(row)))
        self._budget = budget
        self._changed = threading.Condition()
        self._slots: OrderedDict[str, _Slot] = OrderedDict()  # least recently used first

    @contextlib.contextmanager
    def lend(self, row: Row) -> Iterator[Loaded]:
        """The loaded model, kept in memory while it is lent. Several may borrow it at once; one of them loads it.

        Raises `UserError`: "model_too_large" (for this machine), "memory_busy" (others hold it), "model_broken",
        "memory_full" where loading or using it took more than there is."""
        try:
            slot = self._borrow(row)
            try:
                if slot.loaded is None:
                    raise RuntimeError("lent before it was loaded")
                yield slot.loaded
            finally:
                with self._changed:
                    slot.users -= 1
                    self._changed.notify_all()
        except Exception as error:
            if not device.is_full(error):
                raise
            log.warning("%s ran out of memory", row.id, exc_info=True)
            traceback.clear_frames(error.__traceback__)  # they hold what has filled it
            device.clear(device.pick().kind)
            raise UserError(
                "memory_full_drawing" if "generate" in row.tasks else "memory_full", model=row.name
            ) from None

    def loaded(self, row: Row) -> bool:
        with self._changed:
            slot = self._slots.get(row.id)
            return slot is not None and slot.loaded is not None

    def loading(self) -> list[str]:
        """The names of the models that are being loaded now."""
        with self._changed:
            return [slot.row.name for slot in self._slots.values() if slot.loaded is None]

    def unload(self, row: Row) -> bool:
        """Drops a model from memory; False where it is in use or not there."""
        with self._changed:
            slot = self._slots.get(row.id)
            if slot is None or slot.users or slot.loaded is None:
                return False
            self._drop(slot)
        return True

    def _borrow(self, row: Row) -> _Slot:
        with self._changed:
            while (slot := self._slots.get(row.id)) is not None:
                if slot.loaded is not None:
                    slot.users += 1
                    self._slots.move_to_end(row.id)
                    return slot
                self._changed.wait()  # somebody else loads it; if that fails, the slot goes and we try
            self._make_room(row)
            slot = self._slots[row.id] = _Slot(row, _needs(row), users=1)
        try:
            with IMPORTING:
                slot.loaded = self._load(row)
        except BaseException:
            with self._changed:
                del self._slots[row.id]
            raise
        finally:
            with self._changed:
                self._changed.notify_all()
        return slot

    def check_fits(self, row: Row) -> None:
        """Raises `UserError("model_too_large")` where a model takes more than this machine has for models."""
        _, most = self._limits()
        if (needs := _needs(row)) > most:
            raise UserError("model_too_large", model=row.name, needed=size(needs), free=size(most))

    def _limits(self) -> tuple[int, int]:
        """The bytes that models may take where they compute, and with what a graphics card can put off to the memory of
        the machine."""
        if self._budget is not None:
            return self._budget, self._budget
        with self._changed:
            held = sum(slot.bytes for slot in self._slots.values())
        return _default_limits(held)

    def _make_room(self, row: Row) -> None:
        self.check_fits(row)
        room, most = self._limits()
        held = sum(slot.bytes for slot in self._slots.values()) + _needs(row)
        for slot in list(self._slots.values()):
            if held <= room:
                return
            if not slot.users and slot.loaded is not None:
                held -= slot.bytes
                self._drop(slot)
        if held > most:
            raise UserError("memory_busy", model=row.name)

    def _drop(self, slot: _Slot) -> None:
        del self._slots[slot.row.id]
        slot.loaded = None
        device.clear(device.pick().kind)


def prepare(row: Row, fetch: bool = True) -> Iterator[Progress]:
    """What comes before `lend`: fetches the model's files where they are not on disk or damaged, and loads it. Without
    `fetch`, a model that is not on disk, whole, is left there."""
    if loaded(row):
        yield Progress("starting")
        return
    check_fits(row)
    if hub.on_disk(row):
        yield from hub.check(row)
    if fetch:
        yield from hub.fetch(row)
    elif not hub.on_disk(row):
        return
    yield Progress("loading", values={"model": row.name})
    with lend(row):
        pass


def made(loaded: Loaded, start: float) -> dict[str, Any]:
    """What every result says of its making (`results.Result`); `start` is the request's, by `time.perf_counter`."""
    return {
        "model": loaded.row.id,
        "revision": hub.revision(loaded.row),
        "device": str(loaded.device),
        "seconds": time.perf_counter() - start,
    }


def _needs(row: Row) -> int:
    """The bytes that a model takes in the number type that it computes in."""
    return row.memory_bytes * device.for_row(row).dtype.itemsize // 4


def _default_limits(held: int) -> tuple[int, int]:
    """`QUARTET_MEMORY` in gigabytes, or a share of what is free (what our models hold counts as free)."""
    if gigabytes := os.environ.get("QUARTET_MEMORY"):
        return int(float(gigabytes) * 1e9), int(float(gigabytes) * 1e9)
    kind = device.pick().kind
    room = int(SHARE * (device.free(kind) + held))
    return room, room + int(SHARE * device.free("cpu")) if kind == "cuda" else room


_runtime = Runtime()
lend, loaded, loading, unload = _runtime.lend, _runtime.loaded, _runtime.loading, _runtime.unload
check_fits = _runtime.check_fits
