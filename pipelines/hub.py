"""Fetches a model from the Hugging Face hub; a bundled one is always there."""

from collections.abc import Generator
from pathlib import Path

from pipelines.catalog import Helper, Row
from pipelines.results import Progress


def on_disk(row: Row) -> bool:
    """Whether the model can be loaded with no network."""
    return row.bundled


def fetch(row: Row) -> Generator[Progress, None, None]:
    """Makes sure that the model's files are on disk; yields Progress while it fetches them."""
    yield from ()


def local_folder(row: Row) -> Path:
    """Where the files of a hub model lie."""
    raise NotImplementedError


def helper_folder(helper: Helper) -> Path:
    """Where the files of a helper repository lie."""
    raise NotImplementedError


def revision(row: Row) -> str:
    """What the result line names: "bundled", or the commit of a hub model."""
    return row.revision
