"""Faults of the hub, through the app: the caller gets one sentence, and the bundled models answer all the while."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from pipelines import catalog
from pipelines.errors import UserError
from tests import standin
from tests.standin import Hub, Repository
from tools.server import Server, running

PHOTO = catalog.ROOT / "assets" / "examples" / "cat.jpg"
BUNDLED = catalog.find("classify", "quartet-clip")


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with standin.running() as started:
        yield started


@pytest.fixture(scope="module")
def server(hub: Hub) -> Iterator[Server]:
    with running("--no-warm", HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0", QUARTET_MEMORY="4") as started:
        yield started


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Client]:
    made = Client(server.url, verbose=False)
    yield made
    made.close()


def classify(client: Client, **arguments: Any) -> str:
    result = client.predict(photo=handle_file(PHOTO), labels=["a cat", "a truck"], **arguments, api_name="/classify")
    return str(result["scores"][0]["label"])


Fault = Callable[[Hub, Repository], Any]
FAULTS: dict[str, tuple[Fault, str, dict[str, Any]]] = {
    "missing": (lambda hub, one: hub.repositories.clear(), "model_not_there", {}),
    "private": (lambda hub, one: setattr(one, "private", True), "model_not_there", {}),
    "gated": (lambda hub, one: setattr(one, "gated", True), "model_gated", {}),
    "busy": (lambda hub, one: setattr(hub, "status", 429), "hub_busy", {"status": 429}),
    "failing": (lambda hub, one: setattr(hub, "status", 500), "hub_failed", {"status": 500}),
    "failing-host": (lambda hub, one: setattr(hub, "weights_status", 500), "hub_failed", {"status": 500}),
    "damaged": (
        # The header that is read first, and two downloads.
        lambda hub, one: setattr(hub, "damaged", 3), "hub_damaged", {"file": "open_clip_model.safetensors"},
    ),
    "pickled": (lambda hub, one: one.files.pop("open_clip_model.safetensors"), "model_pickled", {}),
    "unknown": (lambda hub, one: one.files.pop("open_clip_config.json"), "family_unknown",
                {"known": "open_clip, blip, florence2, chat, diffusers"}),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_one_sentence_and_the_bundled_model_answers(hub: Hub, client: Client, name: str) -> None:
    fault, code, values = FAULTS[name]
    model = f"someone/{name}"
    fault(hub, hub.add(model, BUNDLED.folder))
    try:
        with pytest.raises(AppError) as refused:
            classify(client, model=model)
        assert str(refused.value) == UserError(code, **{"model": model, **values}).sentence()
        assert classify(client) == "a cat"
    finally:
        hub.status = hub.weights_status = hub.damaged = 0
    hub.add(model, BUNDLED.folder)
    assert classify(client, model=model) == "a cat"


def test_the_result_names_the_commit(hub: Hub, client: Client) -> None:
    repository = hub.add("someone/clip", BUNDLED.folder)
    result = client.predict(photo=handle_file(PHOTO), labels=["a cat"], model="someone/clip@main", api_name="/classify")
    assert (result["model"], result["revision"]) == ("someone/clip@main", repository.commit)
