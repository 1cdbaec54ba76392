"""The README's tables are those that the catalogue and the full-size proof give."""

import json

import pytest

from pipelines import catalog
from tools import fullsize, readme


def test_the_tables_are_up_to_date() -> None:
    text = readme.README.read_text("utf-8")
    assert readme.written(text) == text, "run `make readme`"
    for row in catalog.rows():
        assert row.name in text


@pytest.mark.parametrize("case", json.loads(fullsize.RESULTS.read_text("utf-8"))["cases"].values(), ids=str)
def test_the_catalogue_says_what_memory_a_model_takes(case: dict) -> None:
    assert fullsize.catalogued(case) == pytest.approx(case["peak_bytes"], rel=0.2)


def test_every_case_of_the_proof_has_its_figures() -> None:
    assert set(json.loads(fullsize.RESULTS.read_text("utf-8"))["cases"]) == set(fullsize.CASES)


@pytest.mark.parametrize("row", [row for row in catalog.rows() if row.bundled], ids=lambda row: row.id)
def test_a_model_card_gives_the_figures_of_the_last_evaluation(row: catalog.Row) -> None:
    card = (row.folder / "README.md").read_text("utf-8")
    for measure, found in json.loads((row.folder / "evaluation.json").read_text("utf-8")).items():
        line = next(line for line in card.splitlines() if line.startswith(f"| {measure} |"))
        assert all(f"{value:g}" in line for value in found.values())
