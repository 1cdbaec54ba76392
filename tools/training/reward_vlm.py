"""Rewards the vision-language model for captions that people would agree with: self-critical training on CIDEr-D.

Rennie et al., Self-critical Sequence Training for Image Captioning, 2017; a sample is held against the mean of the photo's
other samples (Luo, A Better Variant of Self-Critical Sequence Training, 2020). Between these steps come some of
`train_vlm`'s own, so that questions are not forgotten. Resumes from its checkpoint by the same command."""

import argparse
import math
import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import DynamicCache, FastVlmForConditionalGeneration

from tools.evaluate import scorer
from tools.training import features
from tools.training.features import FOLDER, rows
from tools.training.precision import autocast
from tools.training.scenes import DESCRIBE
from tools.training.train_vlm import (
    ASSISTANT,
    END,
    KEPT,
    Run,
    cells_of,
    export,
    loss_of,
    losses,
    pack,
    prepare,
    see,
)

PHOTOS, ELSEWHERE, DREAMS = 22, 8, 8  # a step: photos of Flickr8k, photos unlike them, dreams
PLAIN = 0.5  # what CIDEr-D counts against made captions: they are easier to meet, and their samples differ more
SAMPLES, LONGEST = 5, 22  # captions of each, tokens a caption
MIX = {  # photos of one thing are captioned about as often as stickers: else a cat becomes "a cat face and a cat face"
    "reward": 0.34, "asked": 0.16, "stickers": 0.07, "what": 0.08, "counts": 0.03, "cells": 0.01, "places": 0.005, "easy_vqa": 0.005,
    "flickr8k": 0.01, "daquar": 0.12, "elsewhere": 0.06, "vqa_text": 0.08, "named": 0.02, "people": 0.1, "dogs": 0.08, "boxes": 0.03, "dreams": 0.3,
}  # fmt: skip

Vector = tuple[list[dict[tuple[str, ...], float]], list[float], int]


class Reward:
    """CIDEr-D (Vedantam et al. 2015) of a caption against a training photo's five, where the end counts as a word:
    else captions would learn to break off after "in the"."""

    def __init__(self, captions: dict[int, list[str]]) -> None:
        spoken = {i: [self.words(one) for one in five] for i, five in captions.items()}
        self.frequency = Counter(g for five in spoken.values() for g in {g for one in five for g in self.ngrams(one)})
        self.most = math.log(len(spoken))
        self.references = {i: [self.vector(one) for one in five] for i, five in spoken.items()}

    @staticmethod
    def words(caption: str) -> list[str]:
        return [*re.findall(r"[a-z0-9]+(?:'[a-z]+)?", caption.lower()), "<end>"]

    @staticmethod
    def ngrams(words: list[str]) -> Counter[tuple[str, ...]]:
        return Counter(tuple(words[i : i + n]) for n in range(1, 5) for i in range(len(words) - n + 1))

    def vector(self, words: list[str]) -> Vector:
        weights: list[dict[tuple[str, ...], float]] = [{}, {}, {}, {}]
        for gram, count in self.ngrams(words).items():
            weights[len(gram) - 1][gram] = count * max(self.most - math.log(max(1, self.frequency[gram])), 0.0)
        return weights, [math.sqrt(sum(w * w for w in part.values())) for part in weights], len(words)

    def __call__(self, photo: int, caption: str) -> float:
        said, norms, length = self.vector(self.words(caption))
        total = 0.0
        for known, known_norms, known_length in self.references[photo]:
            penalty = math.exp(-((length - known_length) ** 2) / 72)
            for n in range(4):
                if norms[n] and known_norms[n]:
                    dot = sum(min(w, known[n].get(g, 0.0)) * known[n].get(g, 0.0) for g, w in said[n].items())
                    total += penalty * dot / (norms[n] * known_norms[n]) / 4
        return 10 * total / len(self.references[photo])


@torch.compiler.set_stance("force_eager")  # a cache that grows would be compiled anew and anew
@torch.no_grad()
def write(
    model: FastVlmForConditionalGeneration, halfway: torch.Tensor, question: list[int], each: int = 0
) -> list[list[list[int]]]:
    """Captions as token ids: for every picture `each` drawn at random, or (0) the likeliest next word after the other."""
    embed, language = model.get_input_embeddings(), model.model.language_model
    with autocast():
        asked = embed(torch.tensor([[*question, ASSISTANT]] * len(halfway)))
        cache = DynamicCache(config=language.config)
        start = torch.cat([see(model, cells_of(model, halfway)), asked], 1)
        hidden = language(inputs_embeds=start, past_key_values=cache, use_cache=True)[0][:, -1]
        copies = max(1, each)
        cache.batch_repeat_interleave(copies)
        hidden = hidden.repeat_interleave(copies, 0)
        out, ended = [], torch.zeros(len(hidden), dtype=torch.bool)
        for _ in range(LONGEST):
            logits = model.lm_head(hidden).float()
            token = torch.multinomial(logits.softmax(-1), 1)[:, 0] if each else logits.argmax(-1)
            token = token.masked_fill(ended, END)
            out.append(token)
            ended |= token == END
            if ended.all():
                break
            hidden = language(inputs_embeds=embed(token)[:, None], past_key_values=cache, use_cache=True)[0][:, -1]
    lines = [line[: line.index(END)] if END in line else line for line in torch.stack(out, 1).tolist()]
    return [lines[i : i + copies] for i in range(0, len(lines), copies)]


def held_out(model: FastVlmForConditionalGeneration, tokenizer: Tokenizer, data: Path, count: int) -> float:
    """CIDEr-D of greedy captions of held-out photos."""
    captions = rows(data / "flickr8k" / "captions.jsonl")
    photos = features.load("halfway", "flickr8k", "plain")
    held = [i for i, row in enumerate(captions) if row["split"] == "dev"][:count]
    question = tokenizer.encode(DESCRIBE).ids
    said: dict[str, str] = {}
    for at in range(0, len(held), 20):
        part = held[at : at + 20]
        lines = write(model, torch.from_numpy(photos[part]).float(), question)
        said |= {str(i): tokenizer.decode(line[0]) for i, line in zip(part, lines, strict=True)}
    return float(scorer(data).cider_d(said, {str(i): captions[i]["captions"] for i in held})[0])


def named(name: str, caption: str) -> float:
    """One where a dream is named, once, and not as a dog besides ("a white dog is bear")."""
    return float(len(re.findall(rf"\b{re.escape(name)}\b", caption)) == 1 and ("dog" in name or "dog" not in caption))


def rewarded(run: Run, reward: Reward, question: list[int], rng: random.Random) -> tuple[torch.Tensor, float]:
    """The loss that makes captions better than the other samples of their photo likelier, and the mean reward of photos.
    What is dreamt has no captions: there it is worth one to name it, once."""
    source = run.source
    chosen, dreamt = source.next_photos(PHOTOS), source.some_dreams(DREAMS)
    others = rng.sample(range(len(source.elsewhere)), ELSEWHERE)
    seen = [rng.choice(source.flickr)[i] for i in chosen]
    seen += [source.elsewhere[i][0] for i in others] + [source.dreams[i] for i in dreamt]
    captioned = [(i, 1.0) for i in chosen] + [(-1 - i, PLAIN) for i in others]
    halfway = features.moved(torch.from_numpy(np.stack(seen)).float(), rng)
    drawn = write(run.model, halfway, question, SAMPLES)
    said = [[run.tokenizer.decode(line) for line in lines] for lines in drawn]
    worth = torch.tensor(
        [[scale * reward(i, one) for one in lines] for (i, scale), lines in zip(captioned, said[:-DREAMS], strict=True)]
        + [[named(source.dreamt[i][1], one) for one in lines] for i, lines in zip(dreamt, said[-DREAMS:], strict=True)]
    )  # [photos and dreams, samples]
    better = (worth - worth.mean(1, keepdim=True)) * SAMPLES / (SAMPLES - 1)  # than the mean of the others
    weights = [
        weight
        for lines, values in zip(drawn, better.tolist(), strict=True)
        for line, value in zip(lines, values, strict=True)
        for weight in [value] * len(line) + [value * (len(line) < LONGEST)]  # one broken off did not end
    ]
    packed = pack([[[(question, line)] for line in lines] for lines in drawn])
    with torch.no_grad():  # what the tower learns from rewards is these photos by heart
        cells = cells_of(run.model, halfway)
    loss = (losses(run.model, cells, packed)[0] * torch.tensor(weights)).mean()
    return loss, worth[:PHOTOS].mean().item()


def train(
    data: Path, minutes: float, out: Path, start: Path, rate: float, seed: int, frozen: bool, kept: float
) -> None:
    torch.manual_seed(seed)
    run = Run(data, FOLDER / f"vlm-reward-{seed}.pt", start)
    kinds = [kind for kind in MIX if not frozen or kind not in ("cells", "boxes")]  # from which only the tower learns
    run.source.seed(seed + run.step)
    elsewhere = {-1 - i: list(photo.captions) for i, (_, photo) in enumerate(run.source.elsewhere)}
    reward, question = Reward(run.source.captions | elsewhere), run.tokenizer.encode(DESCRIBE).ids
    rng, found = random.Random(seed + run.step), []

    def better() -> FastVlmForConditionalGeneration:
        """The model or its average, whichever captions held-out photos better."""
        figures = [held_out(model, run.tokenizer, data, 300) for model in (run.model, run.average)]
        print("held out: CIDEr-D {:.3f} of the average {:.3f}".format(*figures), flush=True)
        return run.model if figures[0] > figures[1] else run.average

    better()
    while (spent := run.minutes()) < minutes:
        kind = rng.choices(kinds, [MIX[kind] for kind in kinds])[0]
        if kind == "reward":
            loss, worth = rewarded(run, reward, question, rng)
            found.append(worth)
        else:
            batch = run.source.batch(kind)
            batch = batch._replace(frozen=frozen or batch.frozen)
            loss = sum(loss_of(run.model, run.aids, run.tokenizer, run.looks, batch, run.before, kept), torch.zeros(()))
        run.learn(loss, rate * max(0.05, 1 - spent / minutes))
        if run.step % 50 == 0:
            run.note({"reward": round(float(np.mean(found)), 3)})
            found = []
        if run.step % 300 == 0:
            better()
    run.save()
    export(better(), run.tokenizer, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("assets/models/quartet-vlm"))
    parser.add_argument("--minutes", type=float, default=100)
    parser.add_argument(
        "--start",
        type=Path,
        default=FOLDER / "vlm.pt",
        help="train_vlm's checkpoint, or the folder of a model that ships",
    )
    parser.add_argument("--rate", type=float, default=0.3, help="at first, as a share of the first training's")
    parser.add_argument("--seed", type=int, default=0, help="another one for weights that are to be blended")
    parser.add_argument("--frozen", action="store_true", help="the tower stays as it is")
    parser.add_argument(
        "--kept", type=float, default=KEPT, help="what it costs if the tower sees photos in another way"
    )
    options = parser.parse_args()
    prepare(options.data)
    train(**vars(options))


if __name__ == "__main__":
    main()
