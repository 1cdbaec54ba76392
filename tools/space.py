"""Uploads the project as a Hugging Face Space: `make space NAME=you/quartet`."""

import argparse
import re
import subprocess
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError

ROOT = Path(__file__).parent.parent
LEFT_OUT = ("tests/", ".ci/", "tools/training/")
# What ZeroGPU lists as its newest (Hugging Face's documentation of it, 2026-09).
NEWEST = {"torch": "2.13.0", "torchvision": "0.28.0"}


def files() -> list[str]:
    """What a Space needs: the files that git tracks, so that nothing private in the folder goes along."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [name for name in tracked.split("\0") if name and not name.startswith(LEFT_OUT)]


def requirements() -> str:
    """The project's requirements with what ZeroGPU has of torch."""
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    names = [re.split(r"[\[<>=]", line)[0] for line in lines]
    return "".join(
        f"{name}=={NEWEST[name]}\n" if name in NEWEST else f"{line}\n" for name, line in zip(names, lines, strict=True)
    )


def main() -> None:
    made = argparse.ArgumentParser(prog="tools.space", description=__doc__)
    made.add_argument("name", nargs="?", help="the Space: you/quartet")
    made.add_argument("--private", action="store_true", help="only you can see it")
    chosen = made.parse_args()
    if not chosen.name or chosen.name.count("/") != 1:
        made.exit(2, "Name the Space: make space NAME=you/quartet\n")
    if not get_token():
        made.exit(
            2, "There is no Hugging Face token on this machine. Run `.venv/bin/hf auth login`, or set HF_TOKEN.\n"
        )
    api = HfApi()
    try:
        api.create_repo(chosen.name, repo_type="space", space_sdk="gradio", private=chosen.private, exist_ok=True)
        added = [
            CommitOperationAdd(name, requirements().encode() if name == "requirements.txt" else ROOT / name)
            for name in files()
        ]
        api.create_commit(  # not git: that refuses files of over 10 MB; and one commit, since each is built
            chosen.name, added, repo_type="space", commit_message="Upload Quartet"
        )
    except (HfHubHTTPError, OSError) as error:
        made.exit(1, f"The Space could not be uploaded: {error}\n")
    print(f"Uploaded. {api.endpoint}/spaces/{chosen.name} builds now, in about five minutes.")


if __name__ == "__main__":
    main()
