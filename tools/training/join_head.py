"""Teaches the image head of the bundled CLIP all 1,000 names and sticker scenes; the tower and the texts stay as they are.

It goes on from what ships, on photos as in `train_clip.join`, on made-up features and dreams, told apart here among all the
names at once, and on stickers in three arts, and keeps near to what it gave for photos and thumbnails. What is kept is the
average of the last weights, blended with those from before (`SHARE`)."""

import copy
import random
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import nn
from torch.nn.functional import dropout, normalize

from pipelines.classify import filled
from tools.training import dreams, features, train_vlm
from tools.training.features import FOLDER, rows
from tools.training.scenes import Scene, Scenes
from tools.training.stickers import PAINTS
from tools.training.train_clip import (
    TEMPLATES,
    USUAL,
    World,
    arguments,
    build,
    export,
    labels,
    match_loss,
    measure,
    node_index,
    reader,
    schedule,
    soft_loss,
    texts,
)

SCENES, HELD = 8000, 600  # drawn once: to learn from, and to measure by
NAMES, HUES, CAPTIONS = 200, 60, 60  # texts of each sort that a step asks of the stickers
SHARE = 0.5  # of the new weights in the blend
SHOWN = ("{}", "{}", *TEMPLATES[1:3], "a drawing of a {}.", "a sticker of a {}.")


class Head(nn.Module):
    """The image head, with its share of the usual photo taken away."""

    def __init__(self, weight: torch.Tensor, usual: torch.Tensor) -> None:
        super().__init__()
        self.proj = nn.Linear(features.WIDTH, len(weight), bias=False)
        self.proj.weight.data.copy_(weight)
        self.register_buffer("usual", USUAL * usual)

    def forward(self, seen: torch.Tensor, dropped: float = 0) -> torch.Tensor:  # [n, 1280] -> [n, 256]
        return normalize(self.proj(dropout(seen, dropped) - self.usual), dim=-1)


class Stickers:
    """Scenes as the tower sees them [n, 1280], what is in each of them, and a caption of each."""

    def __init__(self, part: str, seed: int, n: int) -> None:
        self.scenes, drawn = Scenes(part, seed), list[Scene]()
        while len(drawn) < n:
            scene = self.scenes.scene()
            if len(scene.things) == 1 or self.scenes.rng.random() < 0.4:  # half of them show one thing
                drawn.append(scene)
        self.captions = [self.scenes.caption(scene) for scene in drawn]
        own_paint = self.scenes.arts[0].own_paint
        self.things = [{(t.icon, t.paint or own_paint(t.icon)) for t in scene.things} for scene in drawn]
        file = FOLDER / f"stickers-{part}-{seed}-{n}-tuned.npy"
        if not file.exists():
            tower, seen = features.tower(tuned=True).to(memory_format=torch.channels_last), []
            for at in range(0, n, features.BATCH):
                pictures = [self.scenes.draw(scene) for scene in drawn[at : at + features.BATCH]]
                seen.append(features.means(tower, pictures).half().numpy())
            features.put(file, seen)
        self.seen = torch.from_numpy(np.load(file)).float()

    def asked(self, batch: list[int]) -> tuple[list[str], torch.Tensor]:
        """Names with and without colours, and captions; and whether each is true of each picture of the batch, [n, texts]."""
        rng = self.scenes.rng
        shown = sorted({thing for i in batch for thing in self.things[i]})
        icons = sorted({icon for icon, _ in shown})
        named = [(icon, "") for icon in rng.sample(icons, min(len(icons), NAMES * 3 // 4))]
        named += [(icon, "") for icon in rng.sample(self.scenes.icons, NAMES - len(named)) if icon not in icons]
        hues = [thing for thing in rng.sample(shown, min(len(shown), HUES)) if thing[1]]
        named += [*hues, *((icon, rng.choice(list(PAINTS))) for icon, _ in hues)]
        true = [[any(t[0] == i and p in ("", t[1]) for t in self.things[k]) for i, p in named] for k in batch]
        captions = [self.captions[k] for k in batch[:CAPTIONS]]
        own = torch.eye(len(batch))[:, : len(captions)]
        return [self.said(*one) for one in named] + captions, torch.cat([torch.tensor(true).float(), own], 1)

    def said(self, icon: str, paint: str) -> str:
        rng, names = self.scenes.rng, self.scenes.names[icon]
        plain = [name for name in names if not set(name.split()) & {*PAINTS, "white", "gold"}] or names
        name = plain[0] if rng.random() < 0.6 else rng.choice(plain)
        return filled(rng.choice(SHOWN), f"{paint} {name}".strip())


class Texts:
    """What the text tower says of texts, each read once."""

    def __init__(self, model: nn.Module, tokenizer: Tokenizer) -> None:
        self.encode, self.known = reader(model, tokenizer), dict[str, torch.Tensor]()

    def __call__(self, lines: list[str]) -> torch.Tensor:  # [n, 256]
        if new := [line for line in dict.fromkeys(lines) if line not in self.known]:
            self.known |= dict(zip(new, self.encode(new), strict=True))
        return torch.stack([self.known[line] for line in lines])


@torch.inference_mode()
def right(stickers: Stickers, head: Head, said: Texts) -> dict[str, float]:
    """Of the pictures with one thing: its name first among twenty, and its colour among all."""
    scenes, rng = stickers.scenes, random.Random(0)
    names = labels(said, [scenes.names[icon][0] for icon in scenes.icons])
    named, hued = [], []
    for things, picture in zip(stickers.things, head(stickers.seen), strict=True):
        if len(things) == 1:
            ((icon, paint),) = things
            own, near = scenes.icons.index(icon), names @ picture
            others = rng.sample([k for k in range(len(near)) if k != own], min(19, len(near) - 1))
            named.append(bool(near[own] > near[others].max()))
            if paint:
                hues = labels(said, [f"{one} {scenes.names[icon][0]}" for one in PAINTS]) @ picture
                hued.append([*PAINTS][int(hues.argmax())] == paint)
    return {"name": round(float(np.mean(named)), 3), "colour": round(float(np.mean(hued)), 3)}


@torch.inference_mode()
def dreams_seen() -> torch.Tensor:  # [n, 1280]
    """What the tower of what ships sees in the dreams, which are more like photos than made-up features are."""
    file = FOLDER / "dreams-tuned.npy"
    if not file.exists():
        tower, halfway = features.tower(tuned=True), np.load(dreams.FILE, mmap_mode="r")[: len(dreams.seen())]
        parts = [torch.from_numpy(halfway[at : at + 16]).float() for at in range(0, len(halfway), 16)]
        features.put(file, [features.upper(tower, part).mean(1).numpy() for part in parts])
    return torch.from_numpy(np.load(file))


class Recipe(NamedTuple):
    """What a head learns from in a step, and the weights of its losses."""

    photos: int = 256
    made_up: int = 320
    dreams: int = 160
    thumbnails: int = 128  # with the photos they are what it stays near to its beginning on
    matched: float = 0.5
    named: float = 2.0
    drawn: float = 0.2
    kept: float = 8.0
    decay: float = 0.02


class Lessons:
    """Photos, features of none and stickers, and what is said of them: all that image heads learn from."""

    def __init__(self, data: Path, said: Texts) -> None:
        self.data, self.said, self.world = data, said, World(data)
        self.stickers, self.held = Stickers("train", 0, SCENES), Stickers("train", 1_000_003, HELD)
        self.new, spoken = Stickers("objects", 1_000_003, HELD), texts(data)
        self.captions = said.encode(spoken["captions"])
        self.classes = labels(said, [row["name"] for row in rows(data / "imagenet_classes.jsonl")])  # [1000, 256]
        forms = [spoken["nodes"][i] for places in node_index(data) for i in places[:3]]  # bare, plural, in a template
        self.nodes = normalize(said.encode(forms).unflatten(0, (-1, 3)).mean(1), dim=-1)

    def figures(self, head: Head) -> None:
        scores = measure(self.data, head, self.said.encode), right(self.held, head, self.said)
        print(*scores, "objects never shown", right(self.new, head, self.said), flush=True)

    def learn(self, first: Head, recipe: Recipe, steps: int, heat: torch.Tensor | float) -> Head:
        """Goes on from `first`, and gives the average of the last weights."""
        world, losses = self.world, list[list[float]]()
        head, average = copy.deepcopy(first), copy.deepcopy(first)
        optimizer = torch.optim.AdamW(head.parameters(), betas=(0.9, 0.98), weight_decay=recipe.decay)
        dreamt = dreams_seen() if recipe.dreams else world.real[:1]
        sure = world.opinion(dreamt)
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = 1e-3 * schedule(step, steps, warm=50)
            i, seen, opinion = world.photos(recipe.photos)
            unreal, guess = world.made_up(recipe.made_up)
            some = torch.randint(len(dreamt), (recipe.dreams,))
            opinions = torch.cat([opinion, guess, sure[some]])
            real = torch.cat([seen, world.small[torch.randint(len(world.small), (recipe.thumbnails,))]])
            shown, chosen = random.sample(range(SCENES), 128), world.some_nodes(320)
            asked, true = self.stickers.asked(shown)
            shows, drawn = head(torch.cat([seen, unreal, dreamt[some]]), 0.3), head(self.stickers.seen[shown], 0.3)
            with torch.no_grad():
                before = first(real)
            told = -(opinions * (heat * shows @ self.classes.T).log_softmax(-1)).sum(1)
            n = recipe.photos  # whose captions say their names less surely
            parts = [
                recipe.matched * match_loss(heat * shows[:n] @ self.captions[i * 5 + torch.randint(5, i.shape)].T),
                soft_loss(heat * shows @ self.nodes[chosen].T, opinions @ world.owns[:, chosen]),
                recipe.named * (0.3 * told[:n].sum() + told[n:].sum()) / len(told),
                recipe.drawn * soft_loss(heat * drawn @ self.said(asked).T, true),
                recipe.kept * (1 - (head(real, 0.3) * before).sum(-1).mean()),
            ]
            optimizer.zero_grad()
            torch.stack(parts).sum().backward()
            optimizer.step()
            with torch.no_grad():
                average.proj.weight.lerp_(head.proj.weight, max(0.01, 1 / (step + 2)))
            losses.append([part.item() for part in parts])
            if step % 100 == 99:
                print(
                    f"{step + 1} steps, match, nodes, names, stickers, kept {np.mean(losses, 0).round(3)}", flush=True
                )
                losses = []
        self.figures(average)
        return average


def main() -> None:
    wanted = arguments(__doc__)
    wanted.add_argument("--steps", type=int, default=600)
    wanted.add_argument("--seed", type=int, default=0)
    options = wanted.parse_args()
    torch.manual_seed(options.seed)
    random.seed(options.seed)
    tokenizer = Tokenizer.from_file(str(options.start / "tokenizer.json"))
    model = build(tokenizer.get_vocab_size()).requires_grad_(False)
    model.load_state_dict(
        {name: v.float() for name, v in load_file(options.start / "open_clip_model.safetensors").items()}
    )
    if not features.TUNED.exists():
        torch.save({"tower": model.visual.trunk.state_dict()}, features.TUNED)
    features.ensure(options.data, "tuned")
    train_vlm.prepare(options.data)
    lessons = Lessons(options.data, Texts(model, tokenizer))
    first = Head(model.visual.head.proj.weight.data, lessons.world.usual)
    lessons.figures(first)
    learnt = lessons.learn(first, Recipe(), options.steps, model.logit_scale.data.exp().clamp(max=60))
    head = Head(first.proj.weight.data.lerp(learnt.proj.weight.data, SHARE), lessons.world.usual)
    lessons.figures(head)
    model.visual.head.proj.weight.data.copy_(head.proj.weight.data)
    model.visual.head.proj.bias.data.copy_(-head.proj.weight.data @ head.usual)
    export(model, tokenizer, options.out)


if __name__ == "__main__":
    main()
