"""The four endpoints over HTTP, on the bundled models: what they give, and the sentence for each refusal."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import PIL.Image
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from gradio_client.utils import Status
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

from pipelines import catalog, inputs
from pipelines.errors import UserError
from tools.server import Server

PHOTO = catalog.ROOT / "assets" / "examples" / "cat.jpg"


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Client]:
    made = Client(server.url, verbose=False)
    yield made
    made.close()


def test_only_the_four_tasks_are_public(client: Client) -> None:
    known = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(known) == {"/classify", "/caption", "/ask", "/generate"}


def test_classify_scores_labels(client: Client) -> None:
    result = client.predict(photo=handle_file(PHOTO), labels=["a cat", "a truck", "a pizza"], api_name="/classify")
    assert result["scores"][0]["label"] == "a cat"
    assert sum(score["probability"] for score in result["scores"]) == pytest.approx(1)


def test_caption_writes_a_sentence(client: Client) -> None:
    result = client.predict(photo=handle_file(PHOTO), api_name="/caption")
    assert len(result["text"].split()) >= 3 and 0 < result["confidence"] <= 1


def test_a_file_of_the_server_s_own_is_no_photo(server: Server, tmp_path: Path) -> None:
    PIL.Image.open(PHOTO).save(tmp_path / "private.png")
    for path in (tmp_path / "private.png", tmp_path / "none.png", PHOTO):
        for named in ({}, {"meta": {"_type": "else"}}):
            data = [{"path": str(path)} | named, None, 1, 30, "", "short"]
            event = httpx.post(f"{server.url}/gradio_api/call/caption", json={"data": data}).json()["event_id"]
            said = httpx.get(f"{server.url}/gradio_api/call/caption/{event}", timeout=60).text
            assert said.startswith("event: error") and "not uploaded" in said


def test_what_no_page_sends_is_one_sentence_without_a_path(server: Server) -> None:
    found = httpx.get(f"{server.url}/config").json()["dependencies"]
    ready = next(one["id"] for one in found if one["api_name"] == "_ready")
    data = {"data": [[""]], "fn_index": ready, "session_hash": "stranger"}
    said = httpx.post(f"{server.url}/gradio_api/run/predict", json=data, timeout=60).text
    assert "app.py" not in said and "No such file" not in said


def test_ask_answers_with_a_history(client: Client) -> None:
    result = client.predict(
        photo=handle_file(PHOTO), question="what color is it?", history=[["is it a cat?", "yes"]], api_name="/ask"
    )
    assert result["text"] and 0 < result["confidence"] <= 1


def test_what_nobody_waits_for_any_longer_is_not_drawn(server: Server) -> None:
    client = Client(server.url, verbose=False)
    job = client.submit(prompt="a red apple", steps=100, count=8, api_name="/generate")
    started = time.monotonic()
    while job.status().code is not Status.PROCESSING:
        assert time.monotonic() - started < 60, "it did not start"
        time.sleep(0.1)
    before = server.log.read_text("utf-8", errors="replace").count('"outcome": "stopped"')
    job.cancel()
    while server.log.read_text("utf-8", errors="replace").count('"outcome": "stopped"') == before:
        assert time.monotonic() - started < 100, "it went on"
        time.sleep(0.1)


def test_generate_gives_a_png_with_its_recipe_that_makes_it_again(client: Client) -> None:
    seed = str(2**64 - 1)
    first = client.predict(prompt="a red apple", seed=seed, steps=2, api_name="/generate")
    recipe = inputs.read_recipe(first["pictures"][0])
    assert recipe is not None and recipe["seed"] == seed == first["seeds"][0]
    again = client.predict(
        **{name: recipe[name] for name in ("prompt", "negative", "seed", "steps", "guidance", "width", "height")},
        api_name="/generate",
    )
    pixels = [PIL.Image.open(result["pictures"][0]).convert("RGB").tobytes() for result in (first, again)]
    assert pixels[0] == pixels[1]


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("/classify", {"labels": []}, "label"),
    ("/classify", {"labels": ["a cat"], "templates": ["no place"]}, "no place"),
    ("/classify", {"labels": ["a cat"], "model": "nowhere"}, "nowhere"),
    ("/classify", {"labels": ["a cat"], "top_k": 0}, "1 to 1,000"),
    ("/classify", {"labels": ["a cat"], "templates": [1]}, "1 to 100 prompt templates"),
    ("/caption", {"beams": 99}, "1 to 8"),
    ("/ask", {"question": "  "}, "question"),
    ("/generate", {"prompt": ""}, "prompt"),
    ("/generate", {"prompt": "an apple", "steps": 1000}, "1 to 100"),
    ("/generate", {"prompt": "an apple", "width": 200}, "multiple of 32"),
    ("/generate", {"prompt": "an apple", "seed": "-1"}, "seed"),
]


@pytest.mark.parametrize(("endpoint", "arguments", "sentence"), REFUSED, ids=lambda value: str(value)[:40])
def test_a_mistake_is_one_sentence(client: Client, endpoint: str, arguments: dict[str, Any], sentence: str) -> None:
    photo = {} if endpoint == "/generate" else {"photo": handle_file(PHOTO)}
    with pytest.raises(AppError) as refused:
        client.predict(**photo, **arguments, api_name=endpoint)
    assert sentence in str(refused.value) and "Traceback" not in str(refused.value)


def test_what_is_no_photo_is_one_sentence(client: Client, tmp_path: Path) -> None:
    fake = tmp_path / "photo.png"
    fake.write_text("not a photo")
    with pytest.raises(AppError, match="photo"):
        client.predict(photo=handle_file(fake), api_name="/caption")


def captioned(server: Server, path: str) -> str:
    """What the server sends on a photo that was not uploaded: `path` is an address, or a file of its own."""
    photo = {"path": path, "meta": {"_type": "gradio.FileData"}}
    address = f"{server.url}/gradio_api/call/caption"
    called = httpx.post(address, json={"data": [photo, None, 1, 30, ""]}, timeout=60).json()
    return httpx.get(f"{address}/{called['event_id']}", timeout=60).text


@pytest.mark.parametrize("path", ["http://127.0.0.1:1/secret.png", "http://127.0.0.1:1/gradio_api/file=/etc/hostname"])
def test_an_address_that_is_not_public_is_refused_before_it_is_fetched(server: Server, path: str) -> None:
    answer = captioned(server, path)
    said = json.loads(answer.split("data: ", 1)[1].split("\n")[0])
    assert said["error"] == UserError("url_private", host="127.0.0.1").sentence()


def test_a_file_of_the_servers_is_not_read(server: Server) -> None:
    answer = captioned(server, str(PHOTO))
    assert "event: error" in answer


def test_the_page_is_up_within_eight_seconds_or_little_more_than_gradio_itself_takes(server: Server) -> None:
    before = os.times()
    subprocess.run([sys.executable, "-c", "import gradio"], check=True)
    after = os.times()
    gradio = sum(getattr(after, part) - getattr(before, part) for part in ("children_user", "children_system"))
    # of CPU time, since machines are busy with other things; and some are slow
    assert server.cpu_seconds < max(8, 1.5 * gradio)


def test_the_four_tasks_are_mcp_tools_that_take_an_uploaded_photo_by_its_address(server: Server) -> None:
    async def used() -> tuple[set[str], str]:
        address = f"{server.url}/gradio_api"
        async with httpx.AsyncClient() as http:
            sent = await http.post(f"{address}/upload", files={"files": ("cat.jpg", PHOTO.read_bytes())})
        async with streamable_http_client(f"{address}/mcp/") as (read, write, _), ClientSession(read, write) as session:
            await session.initialize()
            names = {tool.name for tool in (await session.list_tools()).tools}
            said = await session.call_tool("caption", {"photo": f"{address}/file={sent.json()[0]}"})
            return names, said.model_dump_json()

    with ThreadPoolExecutor(1) as pool:  # a thread of its own: the browser tests leave a loop running in this one
        names, said = pool.submit(lambda: asyncio.run(used())).result()
    assert names == {"classify", "caption", "ask", "generate"}
    assert "cat" in said and '"isError":true' not in said


def test_the_log_has_a_line_a_request_and_nothing_that_was_typed(client: Client, server: Server) -> None:
    client.predict(prompt="a heliotrope zeppelin", steps=1, api_name="/generate")
    log = server.log.read_text("utf-8")
    line = json.loads([line for line in log.splitlines() if '"task": "generate"' in line][-1].split("jobs ", 1)[1])
    assert line["outcome"] == "done" and line["model"] == "quartet-brush" and line["seconds"] > 0
    assert "heliotrope" not in log
