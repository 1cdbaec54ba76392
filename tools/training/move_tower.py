"""Moves the vision-language model that ships onto another image tower: what the language model is told by the new one's
cells becomes what the old one's told it (Romero et al., FitNets: Hints for Thin Deep Nets, 2015).

The projector's first layer begins as what fits best by least squares; then it and the upper part of the new tower learn, and
the mean of the cells keeps ImageNet's classes. Resumes from its checkpoint by the same command; `reward_vlm --start` goes on
from the folder that it writes."""

import argparse
import math
import random
import time
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from tokenizers import Tokenizer
from torch.nn.functional import kl_div, linear, mse_loss
from transformers import FastVlmForConditionalGeneration

from tools.training import features
from tools.training.features import FOLDER, WIDTH
from tools.training.precision import autocast, depthwise_in_fp32
from tools.training.reward_vlm import held_out
from tools.training.scenes import Scenes
from tools.training.train_vlm import build, cells_of, export

FILE = FOLDER / "moved.pt"
BATCH, CUT = 64, 0.5  # pictures of a step, and how many of the photos are cut and recoloured
TOWER, PROJECTOR = 4e-4, 1e-3  # peaks of the rates
SHARES = {"flickr8k": 0.6, "stickers": 0.2, "daquar": 0.12, "intel_scenes": 0.04, "imagenette": 0.04}
CLASSES = 0.1  # weight of ImageNet's classes beside what is told


class Pictures:
    """Photos for training and sticker scenes, drawn at random."""

    def __init__(self, data: Path) -> None:
        self.rng, self.scenes = random.Random(), Scenes()
        self.photos: dict[str, list] = {}
        for name in SHARES:
            if name != "stickers":
                opened, held = features.open_picture(data, name), features.held_names(data, name)
                self.photos[name] = [opened, [one for one in features.names(data, name) if one not in held]]

    def picture(self, kind: str) -> PIL.Image.Image:
        if kind == "stickers":
            return self.scenes.draw(self.scenes.scene())
        opened, listed = self.photos[kind]
        photo = opened(self.rng.choice(listed))
        return features.crop(photo, self.rng) if self.rng.random() < CUT else photo

    def some(self, n: int) -> tuple[list[PIL.Image.Image], torch.Tensor]:
        """Pictures, and which of them are photos."""
        kinds = self.rng.choices([*SHARES], [*SHARES.values()], k=n)
        return [self.picture(kind) for kind in kinds], torch.tensor([kind != "stickers" for kind in kinds])


@torch.no_grad()
def fit(
    new: FastVlmForConditionalGeneration, told: torch.nn.Module, pairs: list[tuple[torch.Tensor, torch.Tensor]]
) -> None:
    """`pairs`: the new and the old tower's cells of pictures, each [n, 49, 1280]; `told`: the old projector's first layer."""
    first = new.model.multi_modal_projector.linear_1
    square, product = torch.zeros(WIDTH + 1, WIDTH + 1).double(), torch.zeros(WIDTH + 1, first.out_features).double()
    for ours, theirs in pairs:
        seen = torch.nn.functional.pad(ours.flatten(0, 1), (0, 1), value=1.0).double()
        square += seen.T @ seen
        product += seen.T @ told(theirs).flatten(0, 1).double()
    weight = torch.linalg.solve(square + 3e-3 * square.diagonal().mean() * torch.eye(WIDTH + 1), product).float()
    first.weight.copy_(weight[:-1].T)
    first.bias.copy_(weight[-1])


def train(data: Path, minutes: float, start: Path, out: Path) -> None:
    old = FastVlmForConditionalGeneration.from_pretrained(start, dtype=torch.float32).eval().requires_grad_(False)
    tokenizer = Tokenizer.from_file(str(start / "tokenizer.json"))
    new, pictures = build(tokenizer.get_vocab_size()), Pictures(data)
    new.model.language_model.load_state_dict(old.model.language_model.state_dict())
    ours, theirs = new.model.multi_modal_projector, old.model.multi_modal_projector
    ours.load_state_dict(theirs.state_dict())
    lower = new.model.vision_tower.timm_model, old.model.vision_tower.timm_model
    untouched, classes = features.tower(), features.tower(classifier=True).classifier.requires_grad_(False)
    depthwise_in_fp32(new.model.vision_tower)

    def halves() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        drawn, photos = pictures.some(BATCH)
        return features.halfway(lower[0], drawn), features.halfway(lower[1], drawn), photos

    upper = [p for p in new.model.vision_tower.parameters() if p.requires_grad]
    groups = [{"params": upper, "peak": TOWER}, {"params": [*ours.parameters()], "peak": PROJECTOR}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.02)
    spent, step = 0.0, 0
    if FILE.exists():
        state = torch.load(FILE)
        new.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        spent, step = state["spent"], state["step"]
    pictures.rng.seed(step)
    pictures.scenes.rng.seed(step)
    began, saved, losses = time.time() - spent * 60, time.time(), []
    if not step:
        with torch.no_grad():
            shown = [halves()[:2] for _ in range(20)]
            fit(new, theirs.linear_1, [(cells_of(new, a).float(), cells_of(old, b).float()) for a, b in shown])

    def save() -> None:
        state = {"model": new.state_dict(), "optimizer": optimizer.state_dict(), "spent": spent, "step": step}
        torch.save(state, FILE.with_suffix(".new"))
        FILE.with_suffix(".new").replace(FILE)

    while (spent := (time.time() - began) / 60) < minutes:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * min(1, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * spent / minutes))
        ahead, behind, photos = halves()
        with torch.no_grad(), autocast():
            wanted = theirs(cells_of(old, behind)).float()
            sure = classes(features.upper(untouched, ahead).float().mean(1)).float().log_softmax(-1)
        cells = cells_of(new, ahead).float()
        with autocast():
            told = ours(cells).float()
        apart = mse_loss(told, wanted) / wanted.var()
        seen = linear(cells.mean(1), classes.weight, classes.bias).log_softmax(-1)
        unlike = kl_div(seen[photos], sure[photos], log_target=True, reduction="batchmean")
        optimizer.zero_grad()
        (apart + CLASSES * unlike).backward()
        torch.nn.utils.clip_grad_norm_(upper, 1.0)
        optimizer.step()
        step += 1
        losses.append([apart.item(), unlike.item()])
        if step % 50 == 0:
            print(f"{spent:.1f} min, step {step}, told otherwise, classes {np.mean(losses, 0).round(4)}", flush=True)
            losses = []
        if time.time() - saved > 240:
            save()
            saved = time.time()
    save()
    if (FOLDER / "flickr8k-plain-halfway.npy").exists():
        print("held out: CIDEr-D of 300", held_out(new, tokenizer, data, 300), flush=True)
    export(new, tokenizer, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--start", type=Path, default=Path("assets/models/quartet-vlm"))
    parser.add_argument("--out", type=Path, default=FOLDER / "moved")
    parser.add_argument("--minutes", type=float, default=45)
    options = parser.parse_args()
    torch.manual_seed(0)
    train(options.data, options.minutes, options.start, options.out)


if __name__ == "__main__":
    main()
