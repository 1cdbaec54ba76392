"""Trains the bundled text-to-image model: a PRX transformer that denoises 64 patches of sticker scenes.

Flow matching on pixels with x-prediction (Li and He, Back to Basics: Let Denoising Generative Models Denoise, 2025).
Resumes from its last checkpoint by the same command, or else goes on from the weights that ship; writes a sheet of fixed
prompts as it goes. What was trained on smaller pictures is `grown` and goes on with larger ones: that costs a fifth more,
since the patches stay 64."""

import argparse
import itertools
import json
import math
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, PRXPixelPipeline, PRXTransformer2DModel
from numpy.typing import NDArray
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import smooth_l1_loss
from transformers import BertModel, BertTokenizerFast

from pipelines import known
from tools.training import chinese, packages
from tools.training.kinds import GENERAL, KINDS
from tools.training.place_words import TOKENS, text_encoder
from tools.training.precision import autocast, muon
from tools.training.stickers import (
    ALSO,
    GROUNDS,
    NUMBERS,
    PAINTS,
    PLACES,
    SIZE,
    WAYS,
    Art,
    Sampler,
    Scene,
    caption,
    plural,
)

WIDTH, DEPTH, BOTTLENECK = 256, 9, 96
SIDE = 8  # patches a side
BLUR = 0.5  # the most noise on token vectors, in their own deviation
FASTER = 2  # Muon's rate, in AdamW's
SHARP = 0.5  # weight of the steps between pixels, squared and not
SEAMS = 10.0  # … and of those at the edges of patches in addition, not squared; a third as much a pixel on
LEVELS = 20  # of noise: the least is 1 / 20, as by less `PRXPixelPipeline` does not divide, and grain would stay
LAST = 0.15  # share of scenes with as little noise as the last steps of a drawing have
AROUND = set(  # words of prompts that say how, not what
    "a an the one and or with in on at of to from by for is are there it its this that some behind near "
    "sticker picture photo photograph image drawing draw drawn painting illustration icon emoji background show me please "
    "big small large little tiny huge tall cute nice beautiful pretty happy bright dark light plain simple flat colorful "
    "colourful colored coloured grey golden gold very piece slice bowl bowls cup cups glass mug bunch loaf pair ear ears head face".split()
)
SHEET = (
    "a red apple;a banana;a slice of pizza;a cat;a dog;a car;a rocket;a tree;an elephant;a fish;a butterfly;a guitar;"
    "a house;a snowman;a strawberry;a hamburger;a puppy;a kitten;an automobile;a bike;a king;a burger;a flower;"
    "a spaceship;a blue apple;a green car;a purple cat;a pink house;two apples;three stars;"
    "a cat to the left of a tree;a star above a house"
).split(";")


class Texts:
    """Token vectors of captions, each encoded once."""

    def __init__(self, encoder: BertModel, tokenizer: BertTokenizerFast) -> None:
        self.encoder, self.tokenizer = encoder, tokenizer
        self.known: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    @torch.inference_mode()
    def __call__(self, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:  # [n, tokens, 384], [n, tokens]
        if new := list(dict.fromkeys(text for text in texts if text not in self.known)):
            batch = self.tokenizer(new, padding="max_length", truncation=True, max_length=TOKENS, return_tensors="pt")
            states = self.encoder(**batch).last_hidden_state.half()
            for i, text in enumerate(new):
                self.known[text] = states[i], batch["attention_mask"][i].bool()
        states = torch.stack([self.known[text][0] for text in texts]).float()
        return states.clone(), torch.stack([self.known[text][1] for text in texts]).clone()


def noise(size: int) -> float:
    """The deviation of full noise, in proportion to the size: over a patch's mean it is then the same for all sizes."""
    return size / 64


def new_transformer(size: int) -> PRXTransformer2DModel:
    return PRXTransformer2DModel(
        in_channels=3, patch_size=size // SIDE, context_in_dim=384, hidden_size=WIDTH, num_heads=WIDTH // 32,
        depth=DEPTH, axes_dim=[16, 16], bottleneck_size=BOTTLENECK,
    )  # fmt: skip


def grown(state: dict[str, torch.Tensor], size: int) -> dict[str, torch.Tensor]:
    """Weights for pictures of `size` pixels from those for smaller ones: it reads the picture made small, and draws as
    before, enlarged."""
    small = round((state["final_layer.linear.bias"].numel() / 3) ** 0.5)
    large = size // SIDE
    if small == large:
        return state
    if large % small:
        raise ValueError(f"Weights for {small * SIDE} px can't be made to draw {size}: say --size {small * SIDE}.")
    times, state = large // small, dict(state)
    read = state["img_in.0.weight"].unflatten(1, (3, small, small))  # [bottleneck, 3, small, small]
    read = read.repeat_interleave(times, 2).repeat_interleave(times, 3) / times**2
    state["img_in.0.weight"] = read.flatten(1)
    for name in ("final_layer.linear.weight", "final_layer.linear.bias"):
        drawn = state[name].reshape(3, small, small, -1).permute(3, 0, 1, 2)  # [width or 1, 3, small, small]
        drawn = torch.nn.functional.interpolate(drawn, (large, large), mode="bilinear")
        state[name] = drawn.permute(1, 2, 3, 0).reshape(-1, *state[name].shape[1:]).contiguous()
    return state


def pipeline(transformer: PRXTransformer2DModel, texts: Texts) -> PRXPixelPipeline:
    size = transformer.config.patch_size * SIDE
    return PRXPixelPipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(num_train_timesteps=LEVELS, shift=1.0),
        text_encoder=texts.encoder,
        tokenizer=texts.tokenizer,
        default_sample_size=size,
        prompt_max_tokens=TOKENS,
        noise_scale=noise(size),
    )


def sheet(pipe: PRXPixelPipeline, path: Path, prompts: list[str] = SHEET, columns: int = 8) -> None:
    """Draws each prompt once with a seed of its own and saves the pictures as one."""
    pipe.set_progress_bar_config(disable=True)
    rows = math.ceil(len(prompts) / columns)
    size = pipe.config.default_sample_size
    canvas = PIL.Image.new("RGB", (columns * size, rows * size), "white")
    for i, prompt in enumerate(prompts):  # one at a time: with guidance the pipeline takes no batch (diffusers 0.42)
        picture = pipe(
            prompt, height=size, width=size, num_inference_steps=20, guidance_scale=3.0,
            generator=torch.Generator().manual_seed(i), use_resolution_binning=False,
        ).images[0]  # fmt: skip
        canvas.paste(picture, (i % columns * size, i // columns * size))
    canvas.save(path)


def spoilt(scenes: list[Scene], art: Art, size: int, chance: torch.Generator | None = None) -> tuple[torch.Tensor, ...]:
    """The scenes drawn, [n, 3, size, size] in -1 to 1, the same with noise, and how much of it is noise, [n]."""
    pixels = torch.from_numpy(np.stack([art.draw(scene, size) for scene in scenes]))
    clean = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
    t = torch.sigmoid(torch.randn(len(scenes), generator=chance) + 0.4)  # noise levels where the drawing is decided
    last = torch.rand(len(scenes), generator=chance) < LAST
    t = torch.where(last, 0.02 + 0.28 * torch.rand(len(scenes), generator=chance), t)
    share = t.view(-1, 1, 1, 1)
    return clean, (1 - share) * clean + share * noise(size) * torch.randn(clean.shape, generator=chance), t


def blurred(states: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Token vectors with some noise, more on some captions than on others: words near to the known ones draw the same."""
    amount = BLUR * torch.rand(len(states), 1, 1) * states.std()
    return states + amount * torch.randn_like(states), mask


def asked(scene: Scene, own_paint: Callable[[str], str], rng: random.Random) -> str:
    """A caption of the scene; one in ten is empty, and some say no more than a colour, as negative prompts do: where none is
    told, the icon's `own_paint`."""
    if rng.random() < 0.1:
        return ""
    if rng.random() < 0.08 and not scene.relation:
        thing = scene.things[0]
        alone = thing.paint or thing.unsaid or own_paint(thing.icon), f"{scene.ground} background"
        if words := [one for one in alone if one not in ("", "white background")]:
            return rng.choice(words)
    return caption(scene, rng)


def around_edges(size: int, within: int = 0) -> list[int]:
    """Which of the `size` - 1 steps from pixel to pixel are at a patch's edge, or beside it `within` so many pixels."""
    edges = range(size // SIDE, size, size // SIDE)
    return [edge - 1 + beside for edge in edges for beside in range(-within, within + 1)]


def seams(pictures: NDArray[np.uint8]) -> float:
    """The mean difference of neighbouring pixels of [n, SIZE, SIZE, 3] around the patches' edges over that elsewhere: 1
    where no edge is seen."""
    steps = np.mean([np.abs(np.diff(pictures.astype(float), axis=axis)).mean((0, 3 - axis, 3)) for axis in (1, 2)], 0)
    edge = np.isin(np.arange(SIZE - 1), around_edges(SIZE, 1))
    return float(steps[edge].mean() / steps[~edge].mean())


def loss_of(model: torch.nn.Module, drawn: tuple[torch.Tensor, ...], text: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """How far the model's clean pictures are from the `drawn` ones that were `spoilt`, and so are their steps from pixel to
    pixel: where lines are; not squared (but below 1 of 255 levels), too, as in a plain ground the least of steps is seen.
    Those around the patches' edges weigh more, less and less with the distance: else thin lines are seen where the weight
    changes."""
    (clean, noisy, t), (states, mask) = drawn, text
    # The plain product is a fifth faster than the fused attention here, whose backward pass is slow on a CPU.
    with autocast(), sdpa_kernel(SDPBackend.MATH):
        guess = model(noisy, timestep=t, encoder_hidden_states=states, attention_mask=mask, return_dict=False)[0]
    wrong = guess.float() - clean
    edges = torch.tensor(around_edges(wrong.shape[-1]))
    far = (torch.arange(wrong.shape[-1] - 1)[:, None] - edges).abs().amin(1)  # [size - 1]
    weight = SHARP + SEAMS * 0.3**far
    error, lines = wrong.square().mean((1, 2, 3)), torch.zeros(len(wrong))  # [n]
    for steps in (wrong.diff(dim=-1), wrong.diff(dim=-2).mT):  # [n, 3, size, size - 1]
        error = error + SHARP / 2 * steps.square().mean((1, 2, 3))
        length = smooth_l1_loss(steps, torch.zeros_like(steps), reduction="none", beta=0.01)
        lines = lines + (weight / 2 * length).mean((1, 2, 3))
    least = t.clamp(min=0.25)
    return (error / least.square() + lines / least).mean()


def optimizers_of(model: torch.nn.Module, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of attention and MLPs, AdamW for the rest."""
    named = [(n, p) for n, p in model.named_parameters() if n.startswith("blocks.") and "modulation" not in n]
    matrices = [p for _, p in named if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    rest = torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.95), weight_decay=0.01)
    return [muon(matrices, lr=FASTER * rate, weight_decay=0.01), rest]


def train(options: argparse.Namespace) -> None:
    work = packages.BUILD / "brush"
    work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    art = Art(packages.npm("@iconify-json/fluent-emoji-flat"))
    texts = Texts(*text_encoder())
    model, average = new_transformer(options.size), new_transformer(options.size)
    step, pictures, best, state = 0, 0, work / "checkpoint.pt", None
    if best.exists():
        state = torch.load(best, weights_only=True)
        step, pictures = state["step"], state["pictures"]
        weights, averaged = state["model"], state["average"]
        print(f"resumed at step {step}", flush=True)
    elif options.start.exists():
        pictures = json.loads((options.start / "training.json").read_text("utf-8"))["pictures"]
        weights = averaged = PRXTransformer2DModel.from_pretrained(options.start / "transformer").float().state_dict()
    else:
        weights = averaged = model.state_dict()
    model.load_state_dict(grown(weights, options.size))
    average.load_state_dict(grown(averaged, options.size))
    optimizers = optimizers_of(model, options.rate)
    if state and state["model"]["img_in.0.weight"].shape == model.img_in[0].weight.shape:
        for optimizer, kept in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
    for group in (group for optimizer in optimizers for group in optimizer.param_groups):
        group["initial_lr"] = options.rate * (FASTER if "ns_steps" in group else 1)
    compiled = torch.compile(model) if options.compile else model
    drawn_as = {"varied": options.varied, "common": options.common, "ways": options.ways}
    sampler = Sampler(art, options.mix, options.seed + step, **drawn_as, more=options.more)
    rng = random.Random(options.seed + step)
    fixed = Sampler(art, options.mix, 1_000_003, **drawn_as)
    scenes = [fixed.scene() for _ in range(128)]
    told = texts([caption(scene, fixed.rng) for scene in scenes])
    held = spoilt(scenes, art, options.size, torch.Generator().manual_seed(0)), told
    started = saved = drawn = time.time()
    first, losses, recent = step, [], 0.0
    while time.time() - started < options.minutes * 60:
        elapsed = (time.time() - started) / (options.minutes * 60)
        warm = min(1.0, (step - first + 1) / 30)
        cool = 1.0 if elapsed < options.cool else max(0.02, (1 - elapsed) / (1 - options.cool))
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = group["initial_lr"] * warm * cool
        scenes = [sampler.scene() for _ in range(options.batch)]
        words = [asked(scene, art.own_paint, rng) for scene in scenes]
        loss = loss_of(compiled, spoilt(scenes, art, options.size), blurred(*texts(words)))
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        step, pictures = step + 1, pictures + options.batch
        decay = min(0.998, (step + 1) / (step + 20))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
        losses.append(loss.item())
        if step % 100 == 0:
            rate = (step - first) * options.batch / (time.time() - started)
            recent, losses = float(np.mean(losses)), []
            with torch.no_grad():
                kept = loss_of(average, *held).item()
            line = f"{time.strftime('%H:%M:%S')} step {step} loss {recent:.4f} of the average on held scenes {kept:.4f}"
            print(f"{line} {rate:.1f} pictures/s", flush=True)
            with open(work / "loss.csv", "a") as file:
                file.write(f"{step},{recent:.5f},{kept:.5f},{pictures}\n")
        if time.time() - saved > options.save_minutes * 60:
            saved = time.time()
            _save(best, model, average, optimizers, {"step": step, "pictures": pictures, "loss": recent})
        if time.time() - drawn > options.sheet_minutes * 60:
            drawn = time.time()
            sheet(pipeline(average, texts), work / f"sheet_{step:06d}.png")
    _save(best, model, average, optimizers, {"step": step, "pictures": pictures, "loss": recent})
    sheet(pipeline(average, texts), work / f"sheet_{step:06d}.png")


def _save(
    path: Path,
    model: torch.nn.Module,
    average: torch.nn.Module,
    optimizers: list[torch.optim.Optimizer],
    seen: dict[str, float],
) -> None:
    """Writes beside and moves, so that a kill leaves the last whole checkpoint."""
    state = {"model": model.state_dict(), "average": average.state_dict(), **seen}
    torch.save({**state, "optimizers": [one.state_dict() for one in optimizers]}, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def learned(texts: Texts) -> known.Known:
    """The names of things, those of the common ones first, and the words that stand around them in captions and in
    people's prompts."""
    every = Art(packages.npm("@iconify-json/fluent-emoji-flat"))
    called = [[name for name in every.names[icon] if name not in PAINTS] for icon in every.common]
    say = {names[0]: names[0] for names in called}
    say |= {name: name for names in called for name in (*names[1:], plural(names[0]))}
    say |= {name: name for icon in every.names if icon not in every.common for name in every.names[icon]}
    for icon, names in zip(every.common, called, strict=True):  # words that are drawn less well: "kitty" is said "cat"
        short = min(names, key=len)
        for word in (*(name for name in every.names[icon] if name in PAINTS), *every.near[icon]):  # and "orange"
            say.setdefault(word, short)
            say.setdefault(plural(word), plural(short))
    say |= {plural(word): plural(kinds[0]) for word, kinds in GENERAL.items()} | {word: word for word in GENERAL}
    names = [*say]
    said = [*PAINTS, *GROUNDS, *NUMBERS, *PLACES, *(other for others in ALSO.values() for other in others)]
    around = {word for words in said for word in words.split()}
    ways = [*itertools.chain(*WAYS.values())]
    found = known.Known(
        names=names, say=[*say.values()], vectors=torch.zeros(len(names), 0), around=frozenset({*around, *AROUND, *ways}),
        things=len(called), chinese=chinese.names(every), kinds=KINDS, general=GENERAL, ways=ways, turns={},  # by `turns.py`
    )  # fmt: skip
    return compared(found, lambda names: known.embed(names, texts.encoder, texts.tokenizer))


def compared(found: known.Known, embed: Callable[[list[str]], torch.Tensor]) -> known.Known:
    """With the vectors of those names first that words of prompts are compared with: things, and names without words around."""
    last = [i >= found.things and not whole for i, whole in enumerate(found.whole.tolist())]
    order = sorted(range(len(last)), key=last.__getitem__)
    names, say = [found.names[i] for i in order], [found.say[i] for i in order]
    return replace(found, names=names, say=say, vectors=embed(names[: last.count(False)]))


def export(folder: Path) -> None:
    """Writes the averaged weights as a diffusers folder in fp16."""
    average = new_transformer(SIZE)
    state = torch.load(packages.BUILD / "brush" / "checkpoint.pt", weights_only=True)
    average.load_state_dict(grown(state["average"], SIZE))
    pipe = pipeline(average, Texts(*text_encoder())).to(torch.float16)
    card = (folder / "README.md").read_text("utf-8") if (folder / "README.md").exists() else ""
    shutil.rmtree(folder, ignore_errors=True)
    pipe.save_pretrained(folder, safe_serialization=True)
    known.write(learned(Texts(*text_encoder())), folder)
    seen = {name: state[name] for name in ("pictures", "loss")}
    (folder / "training.json").write_text(json.dumps(seen) + "\n", "utf-8")
    if card:
        (folder / "README.md").write_text(card, "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=600)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=8e-4)
    parser.add_argument("--cool", type=float, default=0.75, help="share of the run after which the rate falls to zero")
    parser.add_argument("--size", type=int, default=SIZE, help="pixels a side: 128 first, then 256")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mix", type=float, nargs=4, default=(0.6, 0.3, 0.05, 0.05))
    parser.add_argument("--common", type=float, default=0.7, help="share of things that are of the commonest ones")
    parser.add_argument("--varied", type=float, default=0.4, help="0 to 1: in colours that nobody named")
    parser.add_argument("--ways", type=float, default=0.6, help="share of what is alone that is tilted, small, wide …")
    parser.add_argument("--more", nargs="+", default=(), help="first names of things to show six times as often")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True, help="half as fast again")
    parser.add_argument("--start", type=Path, default=Path("assets/models/quartet-brush"), help="first weights")
    parser.add_argument("--save-minutes", type=float, default=5)
    parser.add_argument("--sheet-minutes", type=float, default=15)
    parser.add_argument("--export", type=Path, help="only write the averaged weights to this folder")
    options = parser.parse_args()
    if options.export:
        export(options.export)
    else:
        train(options)


if __name__ == "__main__":
    main()
