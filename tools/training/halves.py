"""Halves of photos side by side: two dogs that nobody took a photo of, and one beside nothing.

Flickr8k has ten photos with one dog for each with two. A half without a dog comes of the same photos as one with it, so that
no seam tells the number. What is made so is synthetic."""

import random
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tools.training import features
from tools.training.detector import Found

WIDE = features.HALFWAY[-1]
HALF = WIDE // 2
SLACK = 0.3  # columns by which a thing may stand out of its half


class Halves:
    """Where in photos of one thing is a half that has it, and a half that has nothing of it."""

    def __init__(self, photos: NDArray[np.float16], things: Mapping[int, Sequence[Found]], name: str) -> None:
        """`photos`: [n, 120, 14, 14]; `things`: what a detector finds in those with one thing called `name`, by their numbers."""
        self.photos = photos
        self.full: list[tuple[int, int]] = []  # photos, and the columns that their halves begin with
        self.empty: list[tuple[int, int]] = []
        for number, found in things.items():
            if len(those := [thing for thing in found if thing.name == name]) != 1 or those[0].doubtful:
                continue
            left, right = (WIDE * those[0].box[at] for at in (0, 2))
            for start in range(WIDE - HALF + 1):
                if left >= start - SLACK and right <= start + HALF + SLACK:
                    self.full.append((number, start))
                elif right <= start or left >= start + HALF:
                    self.empty.append((number, start))

    def pair(self, count: int, rng: random.Random) -> NDArray[np.float16]:
        """Two halves with `count` of the things, one or two: [120, 14, 14]."""
        chosen = [rng.choice(self.full), rng.choice(self.full if count == 2 else self.empty)]
        shown = [self.photos[number][:, :, start : start + HALF] for number, start in rng.sample(chosen, 2)]
        return np.concatenate([half[:, :, :: rng.choice((1, -1))] for half in shown], 2)
