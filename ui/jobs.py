"""Work that outlives the event that watches it: start, watch, stop and forget a job, each for its owner only.

One job at a time computes, the others wait in line and see their place; one that fetches a model steps out of line
meanwhile. A finished job is kept for an hour, within a
byte limit, so that a reloaded page finds it again. All state is in the one `Jobs` of this module."""

import contextvars
import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import pipelines
from pipelines import catalog, zero
from pipelines.errors import Sentence, UserError, later
from pipelines.results import Partial, Pictures, Progress, Result

PER_OWNER = 3  # unfinished jobs of one visitor
IN_ALL = 24  # unfinished jobs of everybody
WATCHERS = 3  # of a job at once: with IN_ALL of them, fewer than there are threads
LEAVING = 0.5  # seconds that a job which is forgotten waits for those that watch it
KEEP_SECONDS = 3600.0
KEEP_BYTES = 256 * 2**20
FETCHING = ("asking", "fetching")  # the Progress of a job that needs no device

log = logging.getLogger("quartet.jobs")


@dataclass(frozen=True)
class Snapshot:
    """What a watcher sees: `state` is waiting, running, done, stopped or failed; `place` counts those ahead in line. A job that
    is stopped or fails may have a part of its result."""

    state: str
    place: int = 0
    event: Progress | Partial | None = None
    result: Result | None = None
    error: UserError | None = None

    @property
    def finished(self) -> bool:
        return self.state in ("done", "stopped", "failed")


@dataclass
class _Job:
    id: str
    owner: str
    task: str
    values: dict[str, Any]
    snapshot: Snapshot = Snapshot("waiting")
    version: int = 0
    watchers: list[object] = field(default_factory=list)
    stopping: bool = False
    forgotten: bool = False
    started: float = field(default_factory=time.monotonic)
    ended: float = 0.0
    bytes: int = 0


class Jobs:
    """A line of jobs for one device."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._jobs: dict[str, _Job] = {}
        self._line: list[_Job] = []  # the first one computes
        self._aside: list[_Job] = []  # these fetch, which needs no device

    def start(self, owner: str, task: str, **values: Any) -> str:
        """Puts `pipelines.task(task).stream(**values)` in line; returns the job's id: secret, 128 bits.

        Raises `UserError` where the visitor, or all together, have too many unfinished jobs."""
        job = _Job(secrets.token_urlsafe(16), owner, task, values)
        with self._changed:
            self._tidy()
            unfinished = [other for other in (*self._line, *self._aside) if not other.forgotten]
            if sum(other.owner == owner for other in unfinished) >= PER_OWNER:
                raise UserError("too_many_yours", limit=PER_OWNER)
            if len(unfinished) >= IN_ALL:
                raise UserError("too_many_all", limit=IN_ALL)
            self._jobs[job.id] = job
            self._line.append(job)
            self._renumber()
        inside = contextvars.copy_context()  # of the request: a ZeroGPU Space tells by it whose seconds they are
        threading.Thread(target=inside.run, args=(self._work, job), name=f"job-{task}", daemon=True).start()
        return job.id

    def watch(self, job_id: str, owner: str) -> Iterator[Snapshot]:
        """Yields the newest snapshot at every change, the finished one last. May be called again, by its owner only; of
        several that watch at once the first ones end before the job does.

        Raises `UserError` where there is no such job, or none any longer."""
        job, seen, own = self._own(job_id, owner), -1, object()
        with self._changed:
            job.watchers = [*job.watchers, own][-WATCHERS:]  # each holds a thread: the oldest one goes
            self._changed.notify_all()
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(
                        lambda: job.version != seen or job.forgotten or own not in job.watchers  # noqa: B023 - same lock
                    )
                    seen, snapshot = job.version, job.snapshot
                if job.forgotten:
                    raise UserError("job_gone")
                if own not in job.watchers and not snapshot.finished:
                    return
                yield snapshot
                if snapshot.finished:
                    return
        finally:
            with self._changed:
                job.watchers = [one for one in job.watchers if one is not own]

    def stop(self, job_id: str, owner: str) -> None:
        """Ends a job within one step of its work; a finished one stays as it is."""
        job = self._own(job_id, owner)
        with self._changed:
            job.stopping = True
            self._changed.notify_all()

    def forget(self, job_id: str, owner: str) -> None:
        """Stops a job and drops all that is kept of it; who watches it sees no more of it."""
        job = self._own(job_id, owner)
        with self._changed:
            job.stopping = job.forgotten = True
            self._jobs.pop(job_id, None)
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: not job.watchers, LEAVING
            )  # what they were just shown is on its way till then

    def _own(self, job_id: str, owner: str) -> _Job:
        with self._changed:
            job = self._jobs.get(job_id) if isinstance(job_id, str) and isinstance(owner, str) else None
        if job is None or not secrets.compare_digest(job.owner.encode(), owner.encode()):
            raise UserError("job_gone")
        return job

    def _show(self, job: _Job, snapshot: Snapshot) -> None:
        with self._changed:
            job.snapshot = snapshot
            job.version += 1
            self._changed.notify_all()

    def _renumber(self) -> None:
        for place, job in enumerate(self._line):
            if job.snapshot.state == "waiting" and (job.snapshot.place != place or not job.version):
                self._show(job, Snapshot("waiting", place))

    def _work(self, job: _Job) -> None:
        with self._changed:
            self._changed.wait_for(lambda: job.stopping or self._line[0] is job)
        last, ended = self._run(job), time.monotonic()
        model = last.result.model if last.result else _offered(job.task, job.values.get("model"))
        outcome = last.error.code if last.error else last.state
        line = {
            "request": job.id[:8],
            "task": job.task,
            "model": model,
            "sizes": _sizes(job.values),
            "outcome": outcome,
        }
        log.info(json.dumps(line | {"seconds": round(ended - job.started, 3)}))  # before anybody sees the end
        with self._changed:
            job.ended, job.bytes = ended, _bytes(last.result)
            job.values = {}
            (self._aside if job in self._aside else self._line).remove(job)
            self._show(job, last)
            self._renumber()
            self._changed.notify_all()

    def _run(self, job: _Job) -> Snapshot:
        if job.stopping:
            return Snapshot("stopped")
        self._show(job, Snapshot("running"))
        latest: Progress | Partial | None = None
        try:
            stream = zero.stream(job.task, **job.values)
            try:
                for event in stream:
                    if isinstance(event, Result):
                        return Snapshot("done", event=latest, result=event)
                    self._take_place(job, event)
                    latest = event
                    if job.stopping:
                        return Snapshot("stopped", event=latest, result=_finished(latest))
                    self._show(job, Snapshot("running", event=event))
            finally:
                stream.close()
            raise RuntimeError(f"{job.task} ended without a result")
        except UserError as error:
            return Snapshot("failed", event=latest, result=_finished(latest), error=error)
        except Exception:
            log.exception("request %s failed", job.id[:8])
            failed = UserError("failed", request=job.id[:8])
            return Snapshot("failed", event=latest, result=_finished(latest), error=failed)

    def _take_place(self, job: _Job, event: Progress | Partial) -> None:
        """Steps out of line while the job fetches, and back in, behind the others, before it computes."""
        fetching = isinstance(event, Progress) and event.code in FETCHING
        with self._changed:
            if fetching == (job in self._aside):
                return
            before, after = (self._line, self._aside) if fetching else (self._aside, self._line)
            before.remove(job)
            after.append(job)
            if not fetching:
                self._show(job, Snapshot("waiting", len(self._line) - 1))
            self._renumber()
            self._changed.notify_all()
            self._changed.wait_for(lambda: fetching or job.stopping or self._line[0] is job)

    def _tidy(self) -> None:
        """Drops finished jobs that are old, and the oldest ones over the byte limit."""
        now, kept = time.monotonic(), 0
        for job in sorted(self._jobs.values(), key=lambda job: -job.ended):
            if job.snapshot.finished:
                kept += job.bytes
                if now - job.ended > KEEP_SECONDS or kept > KEEP_BYTES:
                    del self._jobs[job.id]


def _finished(event: Progress | Partial | None) -> Pictures | None:
    """The pictures that are there although the job did not come to its end."""
    return event.finished if isinstance(event, Partial) else None


def _bytes(result: Result | None) -> int:
    if isinstance(result, Pictures):
        return sum(picture.width * picture.height * 3 for picture in result.pictures)
    return len(json.dumps(asdict(result))) if result else 0


def _offered(task: str, model: Any) -> str:
    """The model asked for, if it is in the catalogue: what else was given in its place is the visitor's own text."""
    return next((row.id for row in catalog.rows(task) if row.id == model), "")


def _sizes(values: dict[str, Any]) -> dict[str, int]:
    """How large each input was, never what it was: bytes of a photo, characters, items."""
    sizes = {name: len(value) for name, value in values.items() if isinstance(value, str | bytes | list | tuple)}
    photo = values.get("photo")
    if isinstance(photo, str) and os.path.exists(photo):
        sizes["photo"] = os.path.getsize(photo)
    return sizes


class Warmth:
    """The default models, loaded once in the background after the page is up."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sentence: Sentence | None = None
        self._done = True

    def warm(self, models: dict[str, str | None]) -> None:
        """Imports torch and loads each task's bundled model, in a thread of its own."""
        self._done = False
        threading.Thread(target=self._warm, args=(models,), name="warm", daemon=True).start()

    def warming(self) -> Iterator[str]:
        """Yields what is being loaded and, last, where the models compute and why ("" where nothing was warmed)."""
        seen: Sentence | None = None
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._done or self._sentence is not seen)  # noqa: B023 - same lock
                seen, done = self._sentence, self._done
            yield str(seen or "")
            if done:
                return

    def _warm(self, models: dict[str, str | None]) -> None:
        reason = None
        zero.enter()
        for task, model in models.items():
            try:
                self._say(later("page.warming", model=pipelines.catalog.find(task, model).name))
                reason = pipelines.warm(task, model)
            except Exception:  # it shows, as a sentence, when the model is used
                log.exception("could not warm the model for %s", task)
        self._say(reason, done=True)

    def _say(self, sentence: Sentence | None, done: bool = False) -> None:
        with self._changed:
            self._sentence, self._done = sentence, done
            self._changed.notify_all()


_jobs = Jobs()
_warmth = Warmth()
start, watch, stop, forget = _jobs.start, _jobs.watch, _jobs.stop, _jobs.forget
warm, warming = _warmth.warm, _warmth.warming
