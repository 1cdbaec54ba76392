"""Fetching from the hub's stand-in: what is fetched, shared and kept, and each fault as one sentence."""

import errno
import json
import os
import threading
import time
import types
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants, file_download
from safetensors.torch import save

import pipelines
from pipelines import catalog, classify, hub, runtime
from pipelines.errors import UserError
from pipelines.results import Classification, Progress
from tests.standin import Hub, Repository

NAME = "someone/clip"
BODY = bytes(range(256)) * 8192  # 2 MiB
FILES = {
    "README.md": b"---\nlicense: mit\n---\n",
    "open_clip_config.json": b"{}",
    "tokenizer.json": b"[]",
    "open_clip_model.safetensors": BODY,
    "model.safetensors": b"the same in another layout",
    "open_clip_pytorch_model.bin": b"a pickle",
    "onnx/model.onnx": b"a copy",
    "modeling.py": b"code",
}
NEEDED = ["open_clip_config.json", "open_clip_model.safetensors", "tokenizer.json"]


@pytest.fixture
def row(server: Hub) -> catalog.Row:
    server.repositories[NAME] = Repository(dict(FILES))
    return replace(catalog.rows()[0], id="clip", name="Clip", source=NAME, revision="main")


def fetch(row: catalog.Row) -> list[Progress]:
    return list(hub.fetch(row))


def held(server: Hub, row: catalog.Row) -> Iterator[Progress]:
    """A fetch that has come to the middle of the weights."""
    server.hold_after = len(BODY) // 2
    events = hub.fetch(row)
    for event in events:
        if event.code == "fetching" and server.held.is_set():
            break
    return events


def blob(row: catalog.Row, name: str) -> Path:
    return (hub.local_folder(row) / name).resolve()


def test_only_what_the_model_needs_is_fetched_and_the_commit_is_named(server: Hub, row: catalog.Row) -> None:
    assert not hub.on_disk(row) and server.seen == []
    fetch(row)
    assert hub.on_disk(row)
    kept = sorted(path.name for path in hub.local_folder(row).rglob("*") if path.is_file())
    assert kept == sorted(["README.md", *NEEDED])
    assert blob(row, "open_clip_model.safetensors").read_bytes() == BODY
    assert hub.revision(row) == server.repositories[NAME].commit


def test_what_is_on_disk_needs_no_network(server: Hub, row: catalog.Row, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch(row)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    server.seen.clear()
    assert fetch(row) == [] and hub.on_disk(row) and server.seen == []


def test_a_cache_that_cannot_be_written_to_is_read(server: Hub, row: catalog.Row) -> None:
    fetch(row)

    def state() -> dict[Path, int]:
        return {path: path.lstat().st_mtime_ns for path in Path(constants.HF_HUB_CACHE).rglob("*")}

    before = state()
    assert hub.on_disk(row) and fetch(row) == []
    assert catalog.find("classify", NAME).source == NAME
    assert state() == before


def test_a_cache_without_a_listing_is_asked_about_and_offline_counts_as_whole_with_all_its_weights(
    server: Hub, row: catalog.Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As clients before 2.0 left it, and programs that need another part of it."""
    folder = Path(constants.HF_HUB_CACHE) / "models--someone--clip" / "snapshots" / ("0" * 40)
    row, weights = replace(row, revision="0" * 40), "model-0000{}-of-00002.safetensors"
    folder.mkdir(parents=True)
    index = {"weight_map": {"a": weights.format(1), "b": weights.format(2)}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    for name in (weights.format(1), "open_clip_config.json", weights.format(2)):
        (folder / name).touch()
        assert not hub.on_disk(row)
        with monkeypatch.context() as patch:
            patch.setattr(constants, "HF_HUB_OFFLINE", True)
            assert hub.on_disk(row) == (name == weights.format(2)) and not hub.on_disk(replace(row, variant="fp16"))
    assert server.seen == []
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    fetch(row)  # the hub is not to be reached: what is there has to do
    with pytest.raises(UserError):
        fetch(replace(row, variant="fp16"))


def test_a_file_that_another_fetch_has_brought_meanwhile_stays(server: Hub, row: catalog.Row) -> None:
    one, events = hub._Download(row), held(server, row)
    one.users = 1
    server.go.set()
    list(events)
    before = blob(row, "open_clip_model.safetensors").stat().st_ino
    one.source = row.source
    one._fetch_file(server.repositories[NAME].commit, "open_clip_model.safetensors", len(BODY))
    assert blob(row, "open_clip_model.safetensors").stat().st_ino == before and one.done == len(BODY)
    assert server.fetched("open_clip_model.safetensors") == 1


def test_parts_that_a_killed_server_left_go_after_a_day(server: Hub, row: catalog.Row) -> None:
    blobs = Path(constants.HF_HUB_CACHE) / "models--someone--clip" / "blobs"
    blobs.mkdir(parents=True)
    for name, age in (("old.incomplete", 2 * hub.ABANDONED), ("new.incomplete", 60.0)):
        (blobs / name).touch()
        os.utime(blobs / name, (time.time() - age,) * 2)
    fetch(row)
    assert [path.name for path in blobs.glob("*.incomplete")] == ["new.incomplete"]


def test_a_part_from_before_is_not_taken_for_the_model_when_the_hub_fails(server: Hub, row: catalog.Row) -> None:
    folder = Path(constants.HF_HUB_CACHE) / "models--someone--clip" / "snapshots" / ("0" * 40)
    folder.mkdir(parents=True)
    server.status = 403
    with pytest.raises(UserError) as refused:
        fetch(replace(row, revision="0" * 40))
    assert refused.value.code == "hub_unreachable"


def test_progress_tells_bytes_rate_and_time_left(server: Hub, row: catalog.Row) -> None:
    events = held(server, row)
    event = next(events)
    assert event.code == "fetching"
    assert 0 < event.done < event.total == sum(len(FILES[name]) for name in NEEDED)
    assert set(event.values) == {"model", "got", "size", "rate", "left"}
    server.go.set()
    assert all(later.done <= later.total for later in events)


@pytest.mark.parametrize(
    ("done", "ahead", "rate", "left"),
    [(1100, 59_700, "1 kB", "0:01:00"), (101, 172_800, "0 kB", "2 days, 0:00:00"), (50, 1000, "0 kB", "?")],
)
def test_rate_and_time_left_read_like_a_clock(
    row: catalog.Row, monkeypatch: pytest.MonkeyPatch, done: int, ahead: int, rate: str, left: str
) -> None:
    monkeypatch.setattr(hub, "time", types.SimpleNamespace(monotonic=lambda: 100.0))
    download = hub._Download(row)
    download.done, download.total = done, done + ahead
    values = hub._Meter(deque([(99.0, 100)])).progress(download).values
    assert (values["rate"], values["left"]) == (rate, left)


def test_a_stopped_fetch_keeps_whole_files_and_goes_on(server: Hub, row: catalog.Row) -> None:
    events = held(server, row)
    events.close()  # type: ignore[attr-defined]
    server.go.set()
    for thread in threading.enumerate():
        if thread.name == "fetch":
            thread.join(10)
            assert not thread.is_alive()
    assert not hub.on_disk(row)
    server.hold_after = -1
    fetch(row)
    assert hub.on_disk(row)
    assert server.fetched("open_clip_config.json") == 1
    assert not list(Path(constants.HF_HUB_CACHE).rglob("*.incomplete"))


def test_two_share_a_fetch_and_one_may_leave(server: Hub, row: catalog.Row) -> None:
    first, second = held(server, row), hub.fetch(row)
    next(second)
    first.close()  # type: ignore[attr-defined]
    server.go.set()
    list(second)
    assert hub.on_disk(row) and server.fetched("open_clip_model.safetensors") == 1


def test_the_token_is_for_the_hub_and_not_for_the_host_of_the_weights(
    server: Hub, row: catalog.Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.repositories[NAME].gated = True
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetch(row)
    assert hub.on_disk(row) and server.leaked == []


def test_helper_repositories_are_fetched_too(server: Hub, row: catalog.Row) -> None:
    server.repositories["someone/tower"] = Repository({"config.json": b"{}", "model.safetensors": BODY})
    helper = catalog.Helper("someone/tower", "main", ("config.json",))
    row = replace(row, helpers=(helper,))
    fetch(row)
    assert [path.name for path in hub.helper_folder(helper).iterdir()] == ["config.json"]
    blob(row, "tokenizer.json").unlink()
    assert not hub.on_disk(row)


def test_a_helper_that_is_not_there_is_named(server: Hub, row: catalog.Row) -> None:
    with pytest.raises(UserError, match="someone/tower"):
        fetch(replace(row, helpers=(catalog.Helper("someone/tower", "main", ("config.json",)),)))


def test_a_variant_is_fetched_alone(server: Hub) -> None:
    index = {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet"], "safety_checker": [None, None]}
    names = ["unet/diffusion_pytorch_model", "safety_checker/model"]
    weights = {f"{name}{kind}.safetensors": b"x" for name in names for kind in ("", ".fp16", ".non_ema")}
    files = {"model_index.json": json.dumps(index).encode(), "unet/config.json": b"{}", "all.safetensors": b"x"}
    server.repositories["someone/draws"] = Repository(files | weights)
    row = replace(catalog.rows("generate")[0], source="someone/draws", revision="main", variant="fp16")
    fetch(row)
    blob(row, "model_index.json").write_bytes(b"{")  # what is cut off is fetched anew, also where it says the files
    fetch(row)
    kept = {path.relative_to(hub.local_folder(row)).as_posix() for path in hub.local_folder(row).rglob("*.*")}
    assert kept == {"model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.fp16.safetensors"}


# Faults: what is wrong, and what it is called. After each the same fetch works once the fault is gone.

Fault = Callable[[Hub, pytest.MonkeyPatch], None]


def _unplugged(server: Hub, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")


def _offline(server: Hub, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(constants, "HF_HUB_OFFLINE", True)


def _missing(server: Hub, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(server, "repositories", {})


def _private(server: Hub, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(server.repositories[NAME], "private", True)


def _gated(server: Hub, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(server.repositories[NAME], "gated", True)


def _expired(server: Hub, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("HF_TOKEN", "hf_old")
    patch.setattr(server, "expired", "hf_old")


def _other_revision(server: Hub, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(server.repositories[NAME], "revisions", ("trunk",))


def _busy(server: Hub, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(server, "status", 429)


def _failing(server: Hub, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(server, "status", 500)


def _failing_half_way(server: Hub, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(server, "weights_status", 500)


def _lost(server: Hub, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(file_download, "time", types.SimpleNamespace(sleep=lambda seconds: None))
    patch.setattr(server, "lose_after", len(BODY) // 2)


def _silent(server: Hub, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(hub, "PATIENCE", 1.5)
    patch.setattr(server, "hold_after", len(BODY) // 2)


def _damaged(server: Hub, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(server, "damaged", 2)


def _little_room(server: Hub, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(hub.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=1_000_000))


def _filled(server: Hub, patch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    patch.setattr(hub, "hf_hub_download", full)


def _locked(server: Hub, patch: pytest.MonkeyPatch) -> None:
    def locked(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    patch.setattr(hub, "hf_hub_download", locked)


def _pickled(server: Hub, patch: pytest.MonkeyPatch) -> None:
    files = {name: data for name, data in FILES.items() if not name.endswith(".safetensors")}
    patch.setitem(server.repositories, NAME, Repository(files))


FAULTS: list[tuple[Fault, str, list[str]]] = [
    (_unplugged, "hub_unreachable", ["network"]),
    (_offline, "hub_offline", ["HF_HUB_OFFLINE"]),
    (_missing, "model_not_there", [NAME, "HF_TOKEN"]),
    (_private, "model_not_there", [NAME, "HF_TOKEN"]),
    (_gated, "model_gated", [f"https://huggingface.co/{NAME}", "HF_TOKEN"]),
    (_expired, "token_refused", ["settings/tokens"]),
    (_other_revision, "revision_unknown", [NAME]),
    (_busy, "hub_busy", ["429"]),
    (_failing, "hub_failed", ["500"]),
    (_failing_half_way, "hub_failed", ["500"]),
    (_lost, "hub_lost", ["again"]),
    (_silent, "hub_lost", ["again"]),
    (_damaged, "hub_damaged", ["open_clip_model.safetensors"]),
    (_little_room, "disk_full", ["2.1 MB", "1.0 MB"]),
    (_filled, "disk_filled", ["full"]),
    (_locked, "cache_locked", ["HF_HOME"]),
    (_pickled, "model_pickled", ["safetensors"]),
]


@pytest.mark.parametrize(("fault", "code", "words"), FAULTS, ids=lambda value: getattr(value, "__name__", None))
def test_a_fault_is_one_sentence_and_the_next_try_works(
    server: Hub, row: catalog.Row, fault: Fault, code: str, words: list[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        fault(server, patch)
        with pytest.raises(UserError) as refused:
            fetch(row)
    assert refused.value.code == code
    sentence = refused.value.sentence()
    assert all(word in sentence for word in words) and "\n" not in sentence
    assert not hub.on_disk(row)
    server.go.set()
    fetch(row)
    assert hub.on_disk(row)


def test_a_checksum_that_takes_long_is_no_lost_connection(
    server: Hub, row: catalog.Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(path: Path) -> Iterator[tuple[int, bool]]:
        for _ in range(10 if path.suffix == ".safetensors" else 1):
            time.sleep(0.1)
            yield 1, True

    monkeypatch.setattr(hub, "PATIENCE", 0.5)
    monkeypatch.setattr(hub, "_compared", slow)
    fetch(row)
    assert hub.on_disk(row)


def test_a_damaged_download_is_fetched_once_more(server: Hub, row: catalog.Row) -> None:
    server.damaged = 1
    fetch(row)
    assert blob(row, "open_clip_model.safetensors").read_bytes() == BODY
    assert server.fetched("open_clip_model.safetensors") == 2


def test_a_connection_that_breaks_once_goes_on_where_it_was(
    server: Hub, row: catalog.Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_download, "time", types.SimpleNamespace(sleep=lambda _: setattr(server, "lose_after", -1)))
    server.lose_after = len(BODY) // 2
    fetch(row)
    assert blob(row, "open_clip_model.safetensors").read_bytes() == BODY


def test_a_truncated_file_is_fetched_once_more(server: Hub, row: catalog.Row) -> None:
    fetch(row)
    weights = blob(row, "open_clip_model.safetensors")
    weights.write_bytes(BODY[:1000])
    assert not hub.on_disk(row)
    fetch(row)
    assert weights.read_bytes() == BODY
    assert server.fetched("tokenizer.json") == 1


@pytest.mark.parametrize("file", ["open_clip_model.safetensors", "open_clip_config.json"])
def test_a_damaged_file_is_found_and_fetched_once_more(server: Hub, file: str) -> None:
    """Through the public function: with the bundled model's files under a hub name, and some bytes of the cache wrong,
    amid a file, where a library would not see it."""
    name = "someone/real"
    server.add(name, catalog.find("classify").folder)
    row = catalog.find("classify", name)
    fetch(row)
    before = server.fetched(file)
    damaged = blob(row, file)
    data = damaged.read_bytes()
    damaged.write_bytes(data[: len(data) // 2] + bytes(8) + data[len(data) // 2 + 8 :])
    photo = catalog.ROOT / "assets" / "examples" / "cat.jpg"
    try:
        *events, result = classify.stream(photo, ["a cat", "a truck"], model=name)
        assert isinstance(result, Classification) and result.top(1)[0].label == "a cat"
        assert result.revision == server.repositories[name].commit
        checks = [event for event in events if isinstance(event, Progress) and event.code == "checking"]
        assert checks[-1].done == checks[-1].total == row.download_bytes
    finally:
        runtime.unload(row)
    assert server.fetched(file) == before + 1 and blob(row, file).read_bytes() == data


def test_a_damaged_model_is_not_fetched_before_anybody_asks(server: Hub) -> None:
    server.add("someone/real", catalog.find("classify").folder)
    row = catalog.find("classify", "someone/real")
    fetch(row)
    damaged = blob(row, "open_clip_model.safetensors")
    damaged.write_bytes(bytes(damaged.stat().st_size))
    server.seen.clear()
    assert pipelines.warm("classify", "someone/real")
    assert server.seen == [] and not hub.on_disk(row) and not runtime.loaded(row)


def test_a_model_too_large_is_refused_before_it_is_fetched(
    server: Hub, row: catalog.Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUARTET_MEMORY", "2")
    with pytest.raises(UserError) as refused:
        list(runtime.prepare(replace(row, memory_bytes=48_000_000_000)))
    assert refused.value.code == "model_too_large"
    assert "48 GB" in str(refused.value) and "2.0 GB" in str(refused.value)
    assert server.seen == []


def test_weights_in_bf16_are_counted_before_they_are_fetched(server: Hub) -> None:
    server.repositories[NAME] = Repository(
        FILES | {"open_clip_model.safetensors": save({"a": torch.zeros(10_000, dtype=torch.bfloat16)})}
    )
    row = catalog.find("classify", NAME)
    assert row.parameters == pytest.approx(10_000, rel=0.01) and not hub.on_disk(row)
    server.weights_status = 500
    server.seen.clear()
    assert catalog.find("classify", NAME).parameters == pytest.approx(5_000, rel=0.01), "a guess: without the header"


def test_many_threads_fetch_a_model_once(server: Hub, row: catalog.Row) -> None:
    threads = [threading.Thread(target=fetch, args=(row,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert hub.on_disk(row) and server.fetched("open_clip_model.safetensors") == 1
