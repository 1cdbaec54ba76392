"""Moves a vision-language model from EfficientNet-Lite0 onto Lite2: what the language model is told by the new one's
cells becomes what the old one's told it (Romero et al., FitNets: Hints for Thin Deep Nets, 2015).

The projector's first layer begins as what fits best by least squares; then it and the upper part of the new tower learn, the
mean of the cells keeps ImageNet's classes, and what the language model, which stays as it is, answers about sticker scenes,
easy-VQA's pictures, things, portraits, photos and dreams is held against what they show. Resumes from its checkpoint by the same command;
`reward_vlm --start` goes on from the folder that it writes."""

import argparse
import itertools
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer
from torch.nn.functional import kl_div, linear, mse_loss
from transformers import FastVlmForConditionalGeneration

from tools.training import dreams, features, portraits, things
from tools.training.aids import Names
from tools.training.dreams import Dream
from tools.training.features import FOLDER, WIDTH, Cut
from tools.training.paired import Paired
from tools.training.portraits import Portrait
from tools.training.precision import autocast, depthwise_in_fp32
from tools.training.reward_vlm import held_out
from tools.training.scenes import DESCRIBE, Exchange, Scene, Scenes
from tools.training.stickers import Thing
from tools.training.synthetic import questions, salient
from tools.training.things import Closeup
from tools.training.train_vlm import HELD_VQA, build, cells_of, easy_vqa, encode, export, losses, pack, vqa_text

FILE = FOLDER / "moved.pt"
KINDS = ("lite0", "halfway")  # what is kept of the old and of the new tower
BATCH, CUT = 28, 0.5  # pictures of a step, and how many of them are cut anew
DRAWN, SCENES = FOLDER / "drawn.npy", 9600  # sticker scenes
TOWER, PROJECTOR = 4e-4, 1e-3  # peaks of the rates
VIEWS = {"flickr8k": ["plain", "crop"], "daquar": ["plain", "crop"], "imagenette": ["plain"], "intel_scenes": ["plain"], "easy_vqa": ["plain"]}  # fmt: skip
SHARES = {
    "flickr8k": 0.37, "daquar": 0.1, "imagenette": 0.04, "intel_scenes": 0.04, "easy_vqa": 0.08, "things": 0.15, "portraits": 0.07, "stickers": 0.15,
}  # fmt: skip
HELD_DREAMS = 10  # one in so many is left to measure by
CLASSES, SAID = 0.1, 0.3  # weights of ImageNet's classes, and of what is said of pictures, beside what is told
ASKED = {"stickers": 18, "easy_vqa": 4, "things": 6, "portraits": 8, "flickr8k": 6}  # of a step, asked about
DREAMS = 16  # of a step, asked about, too

Told = list[tuple[NDArray[np.floating], Callable[[random.Random], list[Exchange]]]]  # pictures; what is asked of them


class Pictures:
    """Halves of photos for training and of sticker scenes, as the old and the new tower see the same cut of them."""

    def __init__(self, data: Path, towers: tuple[torch.nn.Module, torch.nn.Module]) -> None:
        self.rng, self.scenes = random.Random(), Scenes()
        self.kept: list[list[tuple[NDArray[np.float16], ...]]] = []
        self.listed: list[Sequence[int]] = []
        for name, views in VIEWS.items():
            for view, tower in itertools.product(views, towers):
                features.cache(data, KINDS[tower is towers[1]], name, view, tower)
            self.listed.append(features.learnt(data, name))
            self.kept.append([tuple(features.load(kind, name, view) for kind in KINDS) for view in views])
        easy, places = easy_vqa(data), features.names(data, "easy_vqa")
        plain = features.load(KINDS[1], "easy_vqa", "plain")
        asked = [(plain[i], easy.get(places[i], [])) for i in features.learnt(data, "easy_vqa")]
        self.told: dict[str, Told] = {
            "easy_vqa": [(one, partial(random.Random.sample, population=said, k=3)) for one, said in asked if len(said) > 2]
        }  # fmt: skip
        photos, unseen = features.rows(data / "flickr8k" / "captions.jsonl"), vqa_text(data)[:-HELD_VQA]
        captions = {i: photos[i]["captions"] for i in features.learnt(data, "flickr8k")}
        paired, plain = Paired(unseen, captions), features.load(KINDS[1], "flickr8k", "plain")
        self.told["flickr8k"] = [(plain[i], partial(of_photo, paired, i, five)) for i, five in captions.items()]
        names = Names(data, [said for row in unseen for said in row["answers"]], self.rng)
        dreams.ensure(data, names)
        self.dreamt: Told = [
            (halves, partial(of_dream, names, paired, captions, one))
            for i, (halves, one) in enumerate(zip(np.load(dreams.FILE, mmap_mode="r"), dreams.seen(), strict=False))
            if i % HELD_DREAMS
        ]
        for name, file, shown, about in (
            ("things", things.FILE, partial(things.cuts, data, held=False), lambda *one: Closeup(*one).questions),
            ("portraits", portraits.FILE, partial(portraits.cuts, data, held=False), lambda *one: Portrait(*one).questions),
            ("stickers", DRAWN, drawn, self.about),
        ):  # fmt: skip
            before = file.with_name(f"{file.stem}-{KINDS[0]}.npy")
            features.keep(file, shown())
            features.keep(before, shown(), lite=0)
            halves, said = features.kept(file)
            self.kept.append([(features.kept(before)[0], halves)])
            self.listed.append(range(len(halves)))
            self.told[name] = [(one, about(*what)) for one, what in zip(halves, said, strict=True)]

    def some(self, n: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What the old and the new tower's lower parts see of `n` pictures, and which of these are photos."""
        sets = self.rng.choices(range(len(self.kept)), [*SHARES.values()], k=n)
        picked = [(self.rng.choice(self.kept[at]), self.rng.choice(self.listed[at])) for at in sets]
        cuts = [features.some_cut(self.rng) if self.rng.random() < CUT else Cut() for _ in sets]
        old, new = (
            features.shown(torch.from_numpy(np.stack([pair[k][i] for pair, i in picked])).float(), cuts) for k in (0, 1)
        )
        return old, new, torch.tensor(sets) < len(SHARES) - 1

    def asked(self) -> tuple[torch.Tensor, list[list[list[Exchange]]]]:
        """What the new tower's lower part sees of pictures, all but dreams whole, and questions about each of them, answered."""
        some = [one for name, n in ASKED.items() for one in self.rng.sample(self.told[name], n)]
        some += self.rng.sample(self.dreamt, DREAMS)
        talks = [[[exchange] for exchange in said(self.rng)] for _, said in some]
        shown = torch.from_numpy(np.stack([seen for seen, _ in some])).float()
        shown[-DREAMS:] = features.moved(shown[-DREAMS:], self.rng)
        return shown, talks

    def about(self, named: list[list], *ground: Any) -> Callable[[random.Random], list[Exchange]]:
        """A caption of a scene and answers, most of them of colours and names: these suffer first."""
        scene = Scene([Thing(*one) for one in named], *ground)

        def said(rng: random.Random) -> list[Exchange]:
            kinds = self.scenes.exchanges(scene)
            others = [rng.choice(kinds[kind]) for kind in ("presence", "count", "place") if kinds[kind]]
            return [(DESCRIBE, self.scenes.caption(scene)), *kinds["colour"], *kinds["what"], *others]

        return said


def of_photo(paired: Paired, number: int, captions: list[str], rng: random.Random) -> list[Exchange]:
    """A few questions that a photo's captions answer: made of these, and asked by people about others."""
    some = questions(captions, rng) + paired.about(number, salient(captions)[1], rng)
    return rng.sample(some, min(6, len(some)))


def of_dream(
    names: Names, paired: Paired, captions: dict[int, list[str]], one: Dream, rng: random.Random
) -> list[Exchange]:
    """What was dreamt, and questions about it."""
    name = names.common[one.kind]
    retold = [dreams.of_another(said, name) for said in dreams.of_its_dog(one, captions)]
    talks = names.talks(name, one.kind, retold)
    return rng.sample([talk[0] for talk in talks] + paired.what_is(name, rng), 4)


def drawn() -> Iterator[tuple[tuple, Image.Image]]:
    """Always the same sticker scenes, as `about` takes them back from the disk, and their pictures."""
    scenes = Scenes()
    for _ in range(SCENES):
        scene = scenes.scene()
        yield ([*map(astuple, scene.things)], *scene[1:]), scenes.draw(scene)


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
    new = build(tokenizer.get_vocab_size())
    new.model.language_model.load_state_dict(old.model.language_model.state_dict())
    new.model.language_model.requires_grad_(False)
    ours, theirs = new.model.multi_modal_projector, old.model.multi_modal_projector
    ours.load_state_dict(theirs.state_dict())
    pictures = Pictures(data, (old.model.vision_tower.timm_model, new.model.vision_tower.timm_model))
    untouched, classes = features.tower(), features.tower(classifier=True).classifier.requires_grad_(False)
    depthwise_in_fp32(new.model.vision_tower)

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
    began, saved, noted = time.time() - spent * 60, time.time(), []
    if not step:
        with torch.no_grad():
            shown = [pictures.some(BATCH)[:2] for _ in range(20)]
            fit(
                new,
                theirs.linear_1,
                [(cells_of(new, ahead).float(), cells_of(old, behind).float()) for behind, ahead in shown],
            )

    def save() -> None:
        state = {"model": new.state_dict(), "optimizer": optimizer.state_dict(), "spent": spent, "step": step}
        torch.save(state, FILE.with_suffix(".new"))
        FILE.with_suffix(".new").replace(FILE)

    while (spent := (time.time() - began) / 60) < minutes:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * min(1, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * spent / minutes))
        behind, ahead, photos = pictures.some(BATCH)
        with torch.no_grad(), autocast():
            wanted = theirs(cells_of(old, behind)).float()
            sure = classes(features.upper(untouched, ahead).float().mean(1)).float().log_softmax(-1)
        cells = cells_of(new, ahead).float()
        with autocast():
            told = ours(cells).float()
        apart = mse_loss(told, wanted) / wanted.var()
        seen = linear(cells.mean(1), classes.weight, classes.bias).log_softmax(-1)
        unlike = kl_div(seen[photos], sure[photos], log_target=True, reduction="batchmean")
        scenes, talks = pictures.asked()
        wrong = losses(new, cells_of(new, scenes).float(), pack(encode(tokenizer, talks)))[0].mean()
        optimizer.zero_grad()
        (apart + CLASSES * unlike + SAID * wrong).backward()
        torch.nn.utils.clip_grad_norm_(upper, 1.0)
        optimizer.step()
        step += 1
        noted.append([apart.item(), unlike.item(), wrong.item()])
        if step % 50 == 0:
            print(
                f"{spent:.1f} min, step {step}, told otherwise, classes, said {np.mean(noted, 0).round(4)}",
                flush=True,
            )
            noted = []
        if time.time() - saved > 240:
            save()
            saved = time.time()
    save()
    print("held out: CIDEr-D of 300", held_out(new, tokenizer, data, 300), flush=True)
    export(new, tokenizer, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--start", type=Path, required=True, help="the folder of a model with Lite0")
    parser.add_argument("--out", type=Path, default=FOLDER / "moved")
    parser.add_argument("--minutes", type=float, default=45)
    options = parser.parse_args()
    torch.manual_seed(0)
    train(options.data, options.minutes, options.start, options.out)


if __name__ == "__main__":
    main()
