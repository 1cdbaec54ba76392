"""What is fetched of each row is what its loader needs: a tiny network in the row's layout comes from the stand-in,
among files that are not wanted, and is loaded with no network."""

from pathlib import Path

import pytest
from huggingface_hub import constants

from pipelines import catalog, hub, loaders, needed
from pipelines.catalog import Row
from pipelines.device import Device
from tests import tiny
from tests.standin import Hub

pytestmark = pytest.mark.slow
ROWS = [row for row in catalog.rows() if row.from_hub]
UNWANTED = ["pytorch_model.bin", "modeling.py", "onnx/model.onnx", "flax_model.msgpack", "other/model.safetensors"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_row_is_fetched_and_loaded(server: Hub, row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = server.add(row.source, tiny.build(row, tmp_path / "main"), revisions=(row.revision,))
    repository.files |= dict.fromkeys(UNWANTED, b"not wanted")
    for helper in row.helpers:
        folder = tiny.build_helper(helper.source, tmp_path / helper.source)
        server.add(helper.source, folder, revisions=(helper.revision,))
    assert not hub.on_disk(row)
    list(hub.fetch(row))
    assert hub.on_disk(row) and hub.revision(row) == repository.commit
    fetched = hub.sizes(hub.local_folder(row))
    assert not set(fetched) & set(UNWANTED)
    assert all(path.endswith((*needed.SUFFIXES, "README.md")) for path in fetched)

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    server.seen.clear()
    loaded = loaders.load(row, hub.local_folder(row), Device("cpu", "fp32", ""))
    assert loaded.model is not None and server.seen == []
