"""Starts the app in a process of its own on a free port, for tests and screenshots, and leaves nothing behind."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent
MOST_SECONDS = 90


@dataclass(frozen=True)
class Server:
    """A running app: its address, its process, its log file, and the seconds and CPU seconds that it took to answer."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    seconds: float
    cpu_seconds: float


@contextlib.contextmanager
def running(*flags: str, **environment: str) -> Iterator[Server]:
    """The app with these flags; `environment` adds to its variables. It sees no hub and keeps its files in a folder
    that is deleted in the end."""
    with tempfile.TemporaryDirectory(prefix="quartet-") as folder:
        log = Path(folder) / "log.txt"
        places = {"GRADIO_TEMP_DIR": f"{folder}/gradio", "HF_HOME": f"{folder}/hub", "HF_HUB_OFFLINE": "1"}
        port = _free_port()
        with open(log, "wb") as file:
            start = time.monotonic()
            process = subprocess.Popen(
                [sys.executable, "app.py", "--port", str(port), *flags],
                cwd=ROOT,
                env=os.environ | places | environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
            try:
                url = f"http://127.0.0.1:{port}"
                _wait(url, process, log)
                seconds, used = time.monotonic() - start, psutil.Process(process.pid).cpu_times()
                yield Server(url, process, log, seconds, used.user + used.system)
            finally:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def chromium() -> str | None:
    """The system's Chromium or Chrome; None: Playwright's own."""
    found = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    return os.environ.get("QUARTET_CHROMIUM") or next(filter(None, found), None)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + MOST_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"the app did not answer; its log ends:\n{log.read_text('utf-8', 'replace')[-3000:]}")
