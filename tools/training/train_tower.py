"""Teaches the image tower to see in a thumbnail, a blurred or a grey photo what it sees in the photo itself.

Lite2 learned from sharp photos: at 32 pixels everything looks like a dog to it. Its later blocks are trained to give for a
spoilt photo the features and the classes that the untouched tower gives for the whole one (self-distillation, no labels).
Resumes from its checkpoint by the same command; `features.tower(tuned=True)` is the result."""

import argparse
import io
import math
import random
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageFilter
from torch.nn.functional import cosine_similarity, kl_div

from tools.training import features
from tools.training.features import rows
from tools.training.precision import autocast, depthwise_in_fp32

FROZEN_BLOCKS, BATCH, RATE = 3, 16, 1e-4
KERNELS = [Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS]


def spoilt(picture: Image.Image, rng: random.Random) -> Image.Image:
    """A photo as visitors bring it: three in five as thumbnails of 24 to 112 pixels, the others a little changed."""
    if rng.random() < 0.6:
        side = round(math.exp(rng.uniform(math.log(24), math.log(112))))
        picture = picture.resize((side, side), rng.choice(KERNELS))
    elif rng.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 3)))
    if rng.random() < 0.3:
        for enhance in (ImageEnhance.Brightness, ImageEnhance.Color, ImageEnhance.Contrast):
            picture = enhance(picture).enhance(rng.uniform(0.6, 1.4))
    if rng.random() < 0.05:
        picture = picture.convert("L").convert("RGB")
    if rng.random() < 0.2:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=rng.randint(30, 90))
        picture = Image.open(file).convert("RGB")
    return picture


def train(data: Path, minutes: float) -> None:
    file = features.TUNED
    tower = features.tower(classifier=True)
    classes = torch.nn.Linear(features.WIDTH, 1000)
    classes.load_state_dict(tower.classifier.state_dict())
    classes.requires_grad_(False)
    tower.reset_classifier(0)
    tower = tower.to(
        memory_format=torch.channels_last
    )  # stays in eval mode: the statistics of its norms are ImageNet's
    depthwise_in_fp32(tower)
    tower.blocks[FROZEN_BLOCKS:].requires_grad_(True)
    tower.conv_head.requires_grad_(True)
    learned = [p for p in tower.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=RATE, weight_decay=0.01)
    spent, step = 0.0, 0
    if file.exists():
        state = torch.load(file)
        tower.load_state_dict(state["tower"])
        optimizer.load_state_dict(state["optimizer"])
        spent, step = state["spent"], state["step"]
    listed = rows(data / "flickr8k" / "captions.jsonl")
    photos = [("flickr8k", i) for i, row in enumerate(listed) if row["split"] == "train"]
    photos += [("daquar", i) for i in range(len(features.names(data, "daquar")))]
    named = {kind: features.names(data, kind) for kind in ("flickr8k", "daquar")}
    opened = {kind: features.open_picture(data, kind) for kind in named}
    wanted = {kind: torch.from_numpy(features.load("means", kind, "plain")).float() for kind in named}
    spread = wanted["flickr8k"].std(0) + 0.05
    rng = random.Random(step)
    began = saved = time.time()
    began -= spent * 60
    losses: list[list[float]] = []
    while (spent := (time.time() - began) / 60) < minutes:
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / 50) * max(0.02, 0.5 + 0.5 * math.cos(math.pi * spent / minutes))
        chosen = rng.sample(photos, BATCH)
        pictures = [spoilt(opened[kind](named[kind][i]), rng) for kind, i in chosen]
        batch = torch.stack([features.pixels(picture) for picture in pictures]).to(memory_format=torch.channels_last)
        target = torch.stack([wanted[kind][i] for kind, i in chosen])  # [batch, 1280]
        with autocast():
            seen = tower.forward_features(batch)  # [batch, 1280, 7, 7]
        seen = seen.float().mean((2, 3))
        apart = 1 - cosine_similarity(seen / spread, target / spread).mean()
        unlike = kl_div(
            classes(seen).log_softmax(-1), classes(target).log_softmax(-1), log_target=True, reduction="batchmean"
        )
        loss = 4 * apart + unlike
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        losses.append([apart.item(), unlike.item()])
        step += 1
        if step % 50 == 0:
            print(f"{spent:.1f} min, step {step}, cosine distance and KL {np.mean(losses, 0).round(4)}", flush=True)
            losses = []
        if time.time() - saved > 240:
            save(file, tower, optimizer, spent, step)
            saved = time.time()
    save(file, tower, optimizer, spent, step)


def save(file: Path, tower: torch.nn.Module, optimizer: torch.optim.Optimizer, spent: float, step: int) -> None:
    state = {"tower": tower.state_dict(), "optimizer": optimizer.state_dict(), "spent": spent, "step": step}
    torch.save(state, file.with_suffix(".new"))
    file.with_suffix(".new").replace(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--minutes", type=float, default=30)
    options = parser.parse_args()
    torch.manual_seed(0)
    features.ensure(options.data, "means")
    train(options.data, options.minutes)


if __name__ == "__main__":
    main()
