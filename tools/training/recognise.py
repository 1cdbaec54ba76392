"""A recogniser of stickers that has no part in the brush's training: what is drawn, in which colour, where, how often.

The eye is EfficientNet-Lite0 (ImageNet), compared by the cosine of its pooled features with the art itself; objects are
told apart by the connected parts of what is not ground. `check` says how often it is right about true art."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.cluster.hierarchy import fcluster, linkage

from tools.training import features
from tools.training.stickers import PLACES, SIZE, Art, Sampler, Scene, Thing, nearest_paint

LEAST = 0.012  # share of the picture that two objects take at least, a third of it each one
AMONG = 20  # the right object must come first among so many
PART = 0.3  # a connected part counts as an object from this share of the largest one's area

Picture = PIL.Image.Image


class Recogniser:
    """Compares pictures with the art. Where one object has a colour, all have it."""

    def __init__(self, art: Art) -> None:
        self.art, self.icons = art, list(art.names)
        self._trunk = features.tower(lite=0)  # as when figures were first taken
        self._painted: dict[str, torch.Tensor] = {}  # by colour, "" for the art's own
        self._middle = self._known("").mean(0)

    def _known(self, paint: str) -> torch.Tensor:  # [icons, 1280]
        if paint not in self._painted:
            self._painted[paint] = self._see([self._drawn(icon, paint) for icon in self.icons])
        return self._painted[paint]

    def _nearness(self, vector: torch.Tensor, paint: str = "") -> torch.Tensor:  # [icons]
        return torch.nn.functional.cosine_similarity(vector - self._middle, self._known(paint) - self._middle)

    def _drawn(self, icon: str, paint: str = "") -> Picture:
        return PIL.Image.fromarray(self.art.draw(Scene((Thing(icon, "", paint),)), SIZE))

    def _see(self, pictures: Sequence[Picture]) -> torch.Tensor:  # [n, 1280]
        return torch.cat([features.means(self._trunk, pictures[i : i + 16]) for i in range(0, len(pictures), 16)])

    def first(self, pictures: Sequence[Picture], truth: Sequence[tuple[str, str]]) -> list[float]:
        """How likely the art of each picture's (icon, paint) is nearer to it than that of 19 other objects drawn at random."""
        others, right = len(self.icons) - 1, []
        for vector, (icon, paint) in zip(self._see(pictures), truth, strict=True):
            near = self._nearness(vector, paint)
            nearer = int((near > near[self.icons.index(icon)]).sum())
            right.append(math.comb(others - nearer, AMONG - 1) / math.comb(others, AMONG - 1))
        return right

    def nearest(self, pictures: Sequence[Picture]) -> list[tuple[Picture, float]]:
        """The nearest art of all objects, laid over what is drawn, and the root mean square difference (0 to 1)."""
        found = []
        for picture, vector in zip(pictures, self._see(pictures), strict=True):
            sticker = self.art.picture(self.icons[int(self._nearness(vector).argmax())])
            rows, columns = np.nonzero(foreground(picture))
            left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            laid = PIL.Image.new("RGB", picture.size, "white")
            fitted = sticker.resize((int(right - left), int(bottom - top)))
            laid.paste(fitted, (int(left), int(top)), fitted)
            apart = (np.asarray(picture).astype(float) - np.asarray(laid)) / 255
            found.append((laid, float(np.sqrt((apart**2).mean()))))
        return found

    def pair(self, picture: Picture, first: str, second: str, relation: str) -> tuple[bool, bool]:
        """Whether both icons are there (each likelier first among 20 than not), and then the first where `relation` says."""
        halves = two(picture)
        if not halves:
            return False, False
        (a, at_a), (b, at_b) = halves
        seen = [p > 0.5 for p in self.first([a, b, a, b], [(first, ""), (second, ""), (second, ""), (first, "")])]
        straight, crossed = seen[0] and seen[1], seen[2] and seen[3]
        if not (straight or crossed):
            return False, False
        apart = (at_a - at_b) if straight else (at_b - at_a)  # [2]: how far the first is from the second: x, y
        direction = np.array(PLACES[relation])
        return True, bool(apart @ direction > abs(apart @ direction[::-1]))


def foreground(picture: Picture) -> NDArray[np.bool_]:
    """What differs from the corners' colour, [height, width]."""
    pixels = np.asarray(picture).astype(np.float32)
    ground = np.median(pixels[[0, 0, -1, -1], [0, -1, 0, -1]], axis=0)
    return ndimage.binary_opening(np.abs(pixels - ground).sum(-1) > 60)


def count(picture: Picture) -> int:
    """How many objects: connected parts of at least `PART` of the largest one's area."""
    labelled, parts = ndimage.label(foreground(picture))
    areas = np.bincount(labelled.ravel(), minlength=parts + 1)[1:]
    return int((areas >= PART * areas.max()).sum()) if parts else 0


def two(picture: Picture) -> list[tuple[Picture, NDArray[np.float64]]]:
    """The two objects of a picture, each alone on white and as large as single ones are, with its centre (x, y)."""
    mask = foreground(picture)
    points = np.argwhere(mask)[:, ::-1]  # [n, 2]: x, y
    if len(points) < LEAST * mask.size:
        return []
    sample = points[:: max(1, len(points) // 600)]
    group = fcluster(linkage(sample, "ward"), 2, "maxclust")
    centres = np.stack([sample[group == one].mean(0) for one in (1, 2)])  # [2, 2]
    nearer = ((points[:, None] - centres) ** 2).sum(-1).argmin(1)
    found = []
    for one in (0, 1):
        mine = points[nearer == one]
        if len(mine) < LEAST / 3 * mask.size:
            return []
        alone = np.full((*mask.shape, 3), 255, np.uint8)
        alone[mine[:, 1], mine[:, 0]] = np.asarray(picture)[mine[:, 1], mine[:, 0]]
        (left, top), (right, bottom) = mine.min(0), mine.max(0) + 1
        part = PIL.Image.fromarray(alone[top:bottom, left:right])
        scale = 0.85 * SIZE / max(part.size)
        part = part.resize((max(1, round(part.width * scale)), max(1, round(part.height * scale))))
        canvas = PIL.Image.new("RGB", (SIZE, SIZE), "white")
        canvas.paste(part, ((SIZE - part.width) // 2, (SIZE - part.height) // 2))
        found.append((canvas, centres[one]))
    return found


def colour(picture: Picture) -> str:
    """The word of `PAINTS` that is nearest to the middle colour of what is not ground, or ""."""
    thing = np.asarray(picture)[foreground(picture)]  # [n, 3]
    if len(thing) < LEAST / 3 * picture.width * picture.height:
        return ""
    return nearest_paint(thing)


def countable(art: Art) -> list[str]:
    """The icons whose art is one connected part, small too: of the others a count says nothing."""
    spread = [Thing("", "", x=x, y=y, size=0.42) for x in (0.27, 0.73) for y in (0.27, 0.73)]

    def four(icon: str) -> Picture:
        things = tuple(Thing(icon, "", x=one.x, y=one.y, size=one.size) for one in spread)
        return PIL.Image.fromarray(art.draw(Scene(things), SIZE))

    return [icon for icon in art.names if count(four(icon)) == 4]


def check(recogniser: Recogniser, scenes: int = 60) -> dict[str, float]:
    """How often the recogniser is right about true art at random places and on random grounds."""
    art = recogniser.art

    def share(mix: tuple[float, float, float, float], right: Callable[[Picture, Scene], float]) -> float:
        sampler = Sampler(art, mix, seed=7)
        drawn = [sampler.scene() for _ in range(scenes)]
        return float(np.mean([right(PIL.Image.fromarray(art.draw(scene, SIZE)), scene) for scene in drawn]))

    plain = set(countable(art))
    single = share((1, 0, 0, 0), lambda p, s: recogniser.first([p], [(s.things[0].icon, "")])[0])
    named = share((0, 1, 0, 0), lambda p, s: recogniser.first([p], [(s.things[0].icon, s.things[0].paint)])[0])
    hued = share((0, 1, 0, 0), lambda p, s: not s.things[0].paint or colour(p) == s.things[0].paint)
    counted = share((0, 0, 1, 0), lambda p, s: s.things[0].icon not in plain or count(p) == len(s.things))
    pairs = share((0, 0, 0, 1), lambda p, s: recogniser.pair(p, s.things[0].icon, s.things[1].icon, s.relation)[1])
    return {"single": single, "painted": named, "colour": hued, "count": counted, "pair in place": pairs, "n": scenes}
