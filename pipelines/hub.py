"""Fetches a model from the Hugging Face hub into its cache: shared, stoppable, checked. A bundled one is always there.

The hub's own client does the work: it keeps whole files, so a fetch that was stopped goes on with the next file."""

import contextlib
import errno
import hashlib
import logging
import queue
import re
import shutil
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from huggingface_hub import (
    HfApi,
    constants,
    get_cached_repo_tree,
    hf_hub_download,
    parse_local_safetensors_file_metadata,
    snapshot_download,
)
from huggingface_hub.errors import (
    CachedRepoTreeNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    RevisionResolutionError,
)
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import tqdm

from pipelines import needed
from pipelines.catalog import Helper, Row, size
from pipelines.errors import UserError
from pipelines.results import Progress

TICK = 0.3  # seconds between two signs of life
PATIENCE = 60.0  # seconds without a byte before a connection counts as lost
LOOK = 5.0  # seconds over which the rate is measured
CHUNK = 256 * 1024  # bytes
ABANDONED = 24 * 3600.0  # seconds after which nobody fetches a part any more
BLOCK = 2**24  # bytes of a checksum between two signs of life
# What tells a repository's family and terms: fetched with its listing, before anything else.
CARD = ["README.md", "open_clip_config.json", "model_index.json", "config.json"]

log = logging.getLogger("quartet.hub")


def on_disk(row: Row) -> bool:
    """Whether the model can be loaded with no network: every file that it needs is there, in its full size."""
    return not row.from_hub or _all_here(row, constants.HF_HUB_OFFLINE)


def local_folder(row: Row) -> Path:
    """Where the model's files lie."""
    return _folder(row.source, _commit(row.source, row.revision) or "") if row.from_hub else row.folder


def helper_folder(helper: Helper) -> Path:
    """Where the files of a helper repository lie."""
    return _folder(helper.source, _commit(helper.source, helper.revision) or "")


def revision(row: Row) -> str:
    """What the result line names: "bundled", "local", or the commit of a hub model."""
    return (_commit(row.source, row.revision) or row.revision) if row.from_hub else row.revision


def kept(source: str, revision: str) -> tuple[Path, dict[str, int]] | None:
    """The folder of what this disk has of a repository, and the size of each file that belongs there."""
    commit = _commit(source, revision)
    if commit is None:
        return None
    folder = _folder(source, commit)
    return (folder, _listing(source, commit) or sizes(folder)) if folder.is_dir() else None


def look(source: str, revision: str) -> Generator[Progress, None, tuple[Path, dict[str, int], int]]:
    """Asks the hub what a repository is: the folder with its `CARD` files, the size of each file that it lists, and the
    `number_bytes` of its weights. Raises `UserError`."""
    answers: queue.Queue[tuple[Path, dict[str, int], int] | Exception] = queue.Queue()

    def ask() -> None:
        try:
            commit = _listed(source, revision)
            folder, listing = _folder(source, commit), _listing(source, commit)
            answers.put((folder, listing, number_bytes(folder, listing, source, commit)))
        except Exception as error:
            answers.put(error)

    threading.Thread(target=ask, name="ask-hub", daemon=True).start()
    end = time.monotonic() + PATIENCE  # the hub's client by itself knows no time limit
    while time.monotonic() < end:
        yield Progress("asking", values={"model": source})
        try:
            answer = answers.get(timeout=TICK)
        except queue.Empty:
            continue
        if isinstance(answer, Exception):
            raise _refusal(answer, source, 0) from answer
        return answer
    raise UserError("hub_unreachable", model=source)


def number_bytes(folder: Path, sizes: dict[str, int], source: str = "", commit: str = "") -> int:
    """The bytes of a number in the largest file of weights: 2 for bf16 and fp16. By the file's header, which is read from
    the disk, or from the hub where the model is not on disk; 4 where it can't be read."""
    weights = [path for path in sizes if needed.variant(path) is not None]  # no other copy, all in one file
    if not weights:
        return 4
    path = max(weights, key=lambda one: sizes[one])
    try:
        if (folder / path).is_file() or not source:
            header = parse_local_safetensors_file_metadata(folder / path)
        else:
            header = HfApi().parse_safetensors_file_metadata(source, path, revision=commit)
    except Exception:  # a header is no reason to refuse a model: what is wrong with the file comes out as it is fetched
        return 4
    most = max(header.parameter_count, key=header.parameter_count.__getitem__, default="F32")  # "BF16", "F8_E4M3"
    return int(re.findall(r"\d+", most)[0]) // 8


def sizes(folder: Path) -> dict[str, int]:
    """The size of each file in a folder, by its path in it."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def check(row: Row) -> Generator[Progress, None, None]:
    """Compares the model's files with the checksums in their names; drops those that are damaged, so that they are
    fetched once more. A damaged file of weights is as long as a sound one, and would be loaded like it."""
    files: dict[Path, int] = {}
    for one in _repositories(row) if row.from_hub else ():
        if here := kept(one.source, one.revision):
            folder, listing = here
            files |= {folder / path: listing[path] for path in _files(row, one, listing, folder)}
    done, total = 0, sum(files.values())
    for path in files:
        for count, sound in _compared(path):  # noqa: B007 - the last one counts
            yield Progress("checking", done + count, total, {"model": row.name})
        done += files[path]
        if not sound:
            log.warning("%s is damaged: dropped", path)
            _drop(path)


class _Stopped(BaseException):
    """Raised inside the hub's client once nobody waits any more; a BaseException, so that it is not swallowed."""


class _Download:
    """A thread that fetches a model, and how far it is; ends early once `users` is 0."""

    def __init__(self, row: Row) -> None:
        self.row, self.users = row, 1
        self.source = row.source  # the repository that it is at
        self.done = self.total = 0  # bytes
        self.moved = time.monotonic()  # when there was a sign of life
        self.error: UserError | None = None
        self.ended = threading.Event()

    def run(self) -> None:
        try:
            self._fetch()
        except _Stopped:
            pass
        except UserError as error:
            self.error = error
        except Exception as error:
            log.warning("fetching %s failed: %r", self.row.id, error, exc_info=log.isEnabledFor(logging.DEBUG))
            self.error = _refusal(error, self.source, self.done)
        finally:
            self.ended.set()

    def _fetch(self) -> None:
        row, todo, done, total = self.row, [], 0, 0
        for one in _repositories(row):
            self.advance(0)
            self.source = one.source
            commit = _listed(one.source, one.revision)
            _tidy(_folder(one.source, commit).parent.parent / "blobs")
            listing = _listing(one.source, commit)
            wanted = _files(row, one, listing, _folder(one.source, commit))
            if one.source == row.source and not any(path.endswith(".safetensors") for path in wanted):
                raise UserError("model_pickled", model=row.name)
            for path in wanted:
                total += listing[path]
                if _there(_folder(one.source, commit) / path, listing[path]):
                    done += listing[path]
                else:
                    todo.append((one.source, commit, path, listing[path]))
        self.done, self.total = done, total
        if total - done > (free := _free()):
            raise UserError("disk_full", model=row.name, needed=size(total - done), free=size(free))
        constants.DOWNLOAD_CHUNK_SIZE = CHUNK  # the client's own 10 MiB would show and stop a slow fetch too late
        for self.source, commit, path, count in todo:
            self._fetch_file(commit, path, count)

    def _fetch_file(self, commit: str, path: str, count: int) -> None:
        """One file, whose checksum is compared; a damaged one is fetched once more."""
        before, target = self.done, _folder(self.source, commit) / path
        if _there(target, count):  # another model's fetch has brought it meanwhile
            self.done = before + count
            return
        if target.exists():
            _drop(target)  # a part of it, as its size says
        for _ in range(2):
            self.done = before
            hf_hub_download(self.source, path, revision=commit, tqdm_class=self._bar())
            self.done = before + count
            for _, sound in _compared(target):  # noqa: B007 - the last one counts
                self.advance(0)
            if sound:
                return
            _drop(target)
        raise UserError("hub_damaged", model=self.row.name, file=path)

    def advance(self, count: float | None) -> None:
        if not self.users:
            raise _Stopped
        self.done += int(count or 0)
        self.moved = time.monotonic()

    def _bar(self) -> type:
        """The progress bar that the hub's client moves on with every chunk, and that shows nothing."""
        download = self

        class Bar(_NoBar):
            def update(self, n: float | None = 1) -> None:
                download.advance(n)

        return Bar


class _NoBar(tqdm):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named | {"disable": True})


@dataclass
class _Meter:
    """The rate of a download, and whether it stands still."""

    seen: deque[tuple[float, int]]

    def progress(self, download: _Download) -> Progress:
        now, done, total = time.monotonic(), download.done, download.total
        if now - download.moved > PATIENCE:
            raise UserError("hub_lost" if total else "hub_unreachable", model=download.row.name)
        self.seen.append((now, done))
        while now - self.seen[0][0] > LOOK:
            self.seen.popleft()
        (start, before), values = self.seen[0], {"model": download.row.name}
        rate = max(0, done - before) / (now - start) if now > start else 0  # a damaged file begins anew
        if not total:
            return Progress("asking", values=values)
        left = str(timedelta(seconds=round((total - done) / rate))) if rate else "?"
        values |= {"got": size(done), "size": size(total), "rate": size(int(rate)), "left": left}
        return Progress("fetching", done, total, values)


class Downloads:
    """What is being fetched now: once for a model, however many want it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, _Download] = {}

    def fetch(self, row: Row) -> Generator[Progress, None, None]:
        """Makes sure that the model's files are on disk; yields Progress while it fetches them. Closing the generator
        stops it, unless others wait for the same model. Raises `UserError`."""
        if on_disk(row):
            return
        download = self._join(row)
        try:
            meter = _Meter(deque())
            while not download.ended.wait(TICK):
                yield meter.progress(download)
        finally:
            self._leave(download)
        error = download.error
        if error and not (error.code == "hub_unreachable" and _all_here(row, unasked=True)):
            raise UserError(error.code, **error.values)

    def _join(self, row: Row) -> _Download:
        with self._lock:
            download = self._running.get(row.id)
            if download is not None and not download.ended.is_set():
                download.users += 1
                return download
            download = self._running[row.id] = _Download(row)
            threading.Thread(target=download.run, name="fetch", daemon=True).start()
            return download

    def _leave(self, download: _Download) -> None:
        with self._lock:
            download.users -= 1
            if not download.users and self._running.get(download.row.id) is download:
                del self._running[download.row.id]


def _repositories(row: Row) -> list[Helper]:
    """The model's own repository, then its helpers."""
    return [Helper(row.source, row.revision, row.patterns), *row.helpers]


def _files(row: Row, one: Helper, listing: dict[str, int], folder: Path) -> list[str]:
    return needed.files(row if one.source == row.source else replace(row, patterns=one.patterns), listing, folder)


def _all_here(row: Row, unasked: bool) -> bool:
    return all(_whole(row, one, unasked) for one in _repositories(row))


def _whole(row: Row, one: Helper, unasked: bool) -> bool:
    """Whether all that the model needs of a repository is on disk. Where a client kept no listing the hub tells; `unasked`,
    what seems whole has to do."""
    commit = _commit(one.source, one.revision)
    if commit is None:
        return False
    folder = _folder(one.source, commit)
    if listing := _listing(one.source, commit):
        wanted = _files(row, one, listing, folder)
        return bool(wanted) and all(_there(folder / path, listing[path]) for path in wanted)
    return unasked and (needed.complete(row, folder) if one.source == row.source else folder.is_dir())


def _commit(source: str, revision: str) -> str | None:
    """The commit of a revision, as far as this disk knows."""
    try:
        return str(HfApi().resolve_revision(source, revision=revision, local_files_only=True).resolved)
    except (RevisionResolutionError, HFValidationError):
        return None


def _folder(source: str, commit: str) -> Path:
    name = repo_folder_name(repo_id=source, repo_type="model")
    return Path(constants.HF_HUB_CACHE).expanduser().resolve() / name / "snapshots" / commit


def _listing(source: str, commit: str) -> dict[str, int]:
    """The size of each file that the repository lists; nothing where no listing is kept."""
    try:
        return {file.path: file.size for file in get_cached_repo_tree(source, revision=commit)}
    except CachedRepoTreeNotFoundError:
        return {}


def _listed(source: str, revision: str) -> str:
    """Fetches a repository's listing and its `CARD` files; returns the commit."""
    found = HfApi().resolve_revision(source, revision=revision)
    commit = str(found.resolved)
    for _ in range(2):
        snapshot_download(source, revision=found, allow_patterns=CARD, tqdm_class=_NoBar)
        get_cached_repo_tree(source, revision=found)  # raises where the client made do with a part of it from before
        listing, folder = _listing(source, commit), _folder(source, commit)
        here = [(folder / path, listing[path]) for path in CARD if path in listing]
        cut = [path for path, count in here if not (_there(path, count) and _intact(path))]
        for path in cut:
            _drop(path)
        if not cut:
            break
    return commit


def _there(path: Path, count: int) -> bool:
    return path.is_file() and path.stat().st_size == count


def _intact(path: Path) -> bool:
    return [sound for _, sound in _compared(path)][-1]


def _compared(path: Path) -> Iterator[tuple[int, bool]]:
    """Reads a file; says after each block how many bytes that were and whether they are what the hub's cache calls the
    file: the SHA-256 of a large one, git's SHA-1 of a small one. The last word counts."""
    name, count, done = path.resolve().name, path.stat().st_size, 0
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", name):  # a file system without links: nothing to compare with
        yield count, True
        return
    digest = hashlib.sha256() if len(name) == 64 else hashlib.sha1(b"blob %d\0" % count)
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            done += len(block)
            yield done, digest.hexdigest() == name
        if not count:
            yield done, digest.hexdigest() == name


def _tidy(blobs: Path) -> None:
    """Removes the parts that a client left when it was killed: each has a name of its own, and none is gone on with."""
    for part in blobs.glob("*.incomplete"):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime > ABANDONED:
                part.unlink()


def _drop(path: Path) -> None:
    """Removes a file from the cache: what its name in the snapshot leads to, and that name."""
    try:
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)
    except OSError as error:
        raise UserError("cache_locked", folder=constants.HF_HUB_CACHE) from error


def _free() -> int:
    """Free bytes where the cache is, or will be."""
    cache = Path(constants.HF_HUB_CACHE).expanduser().resolve()
    return shutil.disk_usage(next(path for path in (cache, *cache.parents) if path.exists())).free


def _refusal(error: BaseException, source: str, done: int) -> UserError:
    """What went wrong at the hub, on the way to it or on this disk, in a sentence."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) and cause not in chain:
        chain.append(cause)
    for one in chain:
        match one:
            case OfflineModeIsEnabled():
                return UserError("hub_offline", model=source)
            case GatedRepoError():
                return UserError("model_gated", model=source)
            case RevisionNotFoundError():
                return UserError("revision_unknown", model=source)
            case RepositoryNotFoundError() | RemoteEntryNotFoundError() | HFValidationError():
                return UserError("model_not_there", model=source)
            case HfHubHTTPError():
                return _answered(one.response.status_code, source, done)
            case HTTPError():
                return UserError("hub_lost" if done else "hub_unreachable", model=source)
            case OSError(errno=errno.ENOSPC | errno.EDQUOT):
                return UserError("disk_filled", model=source, free=size(_free()))
            case OSError(errno=errno.EROFS | errno.EACCES | errno.EPERM | errno.ENOTDIR):
                return UserError("cache_locked", folder=constants.HF_HUB_CACHE)
    return UserError("hub_lost" if done else "hub_unreachable", model=source)


def _answered(status: int, source: str, done: int) -> UserError:
    if status in (401, 403):  # in the middle: the address of the file has run out
        return UserError("hub_lost" if done else "token_refused", model=source)
    return UserError("hub_busy" if status == 429 else "hub_failed", status=status)


_downloads = Downloads()
fetch = _downloads.fetch
