"""What all tests share: one running app for the tests that need a server."""

from collections.abc import Iterator

import pytest

from tools.server import Server, running


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The app as a newcomer starts it, on a free port, with folders of its own."""
    with running() as started:
        yield started
