"""Teaches the image head of the bundled CLIP all 1,000 names and sticker scenes; the tower and the texts stay as they are.

It goes on from what ships, on photos as in `train_clip.join`, on made-up features and dreams, told apart here among all the
names at once, and on stickers in three arts, and keeps near to what it gave for photos and thumbnails. What is kept is the
average of the last weights, blended with those from before (`SHARE`)."""

import copy
import random
from pathlib import Path

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
NAMED, MATCHED, DRAWN, KEPT = 2.0, 0.5, 0.2, 8.0  # weights of the losses: names, captions, stickers, nearness to before
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
                seen.append(features.means(tower, pictures).numpy())
            np.save(file, np.concatenate(seen).astype(np.float16))
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
        np.save(file, torch.cat([features.upper(tower, part).mean(1) for part in parts]).numpy())
    return torch.from_numpy(np.load(file))


def learn(data: Path, model: nn.Module, tokenizer: Tokenizer, steps: int) -> Head:
    world, said = World(data), Texts(model, tokenizer)
    stickers, held = Stickers("train", 0, SCENES), Stickers("train", 1_000_003, HELD)
    new = Stickers("objects", 1_000_003, HELD)
    first = Head(model.visual.head.proj.weight.data, world.usual)
    head, spoken = copy.deepcopy(first), texts(data)

    def figures(weights: Head) -> None:
        scores = measure(data, weights, said.encode), right(held, weights, said)
        print(*scores, "objects never shown", right(new, weights, said), flush=True)

    captions = said.encode(spoken["captions"])
    classes = labels(said, [row["name"] for row in rows(data / "imagenet_classes.jsonl")])  # [1000, 256]
    forms = [spoken["nodes"][i] for places in node_index(data) for i in places[:3]]  # bare, plural, in a template
    nodes = normalize(said.encode(forms).unflatten(0, (-1, 3)).mean(1), dim=-1)
    heat = model.logit_scale.data.exp().clamp(max=60)
    optimizer, average = torch.optim.AdamW(head.parameters(), betas=(0.9, 0.98), weight_decay=0.02), copy.deepcopy(head)
    figures(first)
    dreamt, losses = dreams_seen(), []
    sure = world.opinion(dreamt)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * schedule(step, steps, warm=50)
        i, seen, opinion = world.photos(256)
        unreal, guess = world.made_up(320)
        some = torch.randint(len(dreamt), (160,))
        unreal, guess = torch.cat([unreal, dreamt[some]]), torch.cat([guess, sure[some]])
        small = world.small[torch.randint(len(world.small), (128,))]
        shown = random.sample(range(SCENES), 128)
        asked, true = stickers.asked(shown)
        drawn, chosen = said(asked), world.some_nodes(320)
        opinions, real = torch.cat([opinion, guess]), torch.cat([seen, small])
        shows, near = head(torch.cat([seen, unreal]), 0.3), head(real, 0.3)
        with torch.no_grad():
            before = first(real)
        told = -(opinions * (heat * shows @ classes.T).log_softmax(-1)).sum(1)
        parts = [
            MATCHED * match_loss(heat * shows[:256] @ captions[i * 5 + torch.randint(5, i.shape)].T),
            soft_loss(heat * shows @ nodes[chosen].T, opinions @ world.owns[:, chosen]),
            NAMED * (0.3 * told[:256].sum() + told[256:].sum()) / len(told),
            DRAWN * soft_loss(heat * head(stickers.seen[shown], 0.3) @ drawn.T, true),
            KEPT * (1 - (near * before).sum(-1).mean()),
        ]
        optimizer.zero_grad()
        torch.stack(parts).sum().backward()
        optimizer.step()
        with torch.no_grad():
            average.proj.weight.lerp_(head.proj.weight, max(0.01, 1 / (step + 2)))
        losses.append([part.item() for part in parts])
        if step % 100 == 99:
            print(f"{step + 1} steps, match, nodes, names, stickers, kept {np.mean(losses, 0).round(3)}", flush=True)
            losses = []
    figures(average)
    blend = Head(first.proj.weight.data.lerp(average.proj.weight.data, SHARE), world.usual)
    figures(blend)
    return blend


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
    head = learn(options.data, model, tokenizer, options.steps)
    model.visual.head.proj.weight.data.copy_(head.proj.weight.data)
    model.visual.head.proj.bias.data.copy_(-head.proj.weight.data @ head.usual)
    export(model, tokenizer, options.out)


if __name__ == "__main__":
    main()
