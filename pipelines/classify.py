"""Zero-shot classification: cosine similarity between the embeddings of a photo and of labels.

Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision, 2021."""

import re
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torch.nn.functional import interpolate, normalize

from pipelines import catalog, device, glossary, inputs, runtime
from pipelines.catalog import foreign, foreign_notes
from pipelines.errors import UserError, text
from pipelines.inputs import Photo
from pipelines.loaders import Loaded
from pipelines.results import Classification, Progress, last

BATCH = 64  # texts encoded between two signs of life
THUMBNAIL = 48  # pixels of the longer side
MEMO = 20_000  # label embeddings kept with a model
LONG = 24  # characters of a label that no model's context is too short for
NEUTRAL = "something"  # a label that is true of any photo
ARTICLE = re.compile(r"\b(a|an|the) \{\}", re.IGNORECASE)
DETERMINED = re.compile(r"(a|an|the|some|no|two|three|four|five|many|several|my|his|her) ", re.IGNORECASE)
VOWEL = re.compile(r"(?!uni|use|eu|one)[aeiou]", re.IGNORECASE)


def stream(
    photo: Photo,
    labels: str | Sequence[str],
    *,
    model: str | None = None,
    templates: str | Sequence[str] | None = None,
    top_k: int | None = None,
) -> Generator[Progress | Classification, None, None]:
    """Scores each of `labels` (a list, or text with commas or lines) for a photo; yields Progress, then the result.

    `templates`: prompt templates with `{}` in the label's place, whose embeddings are averaged (None: the model's own).
    `top_k`, 1 to 1,000, is how many the visitor asked to see; the result has all. Raises `UserError`."""
    start = time.perf_counter()
    picture = inputs.photo(photo)
    names, notes = inputs.labels(labels)
    if top_k is not None:
        top_k = inputs.number(top_k, "top_k", 1, 1000)
    row = yield from catalog.choose("classify", model)
    wanted = _templates(templates, row)
    yield from runtime.prepare(row)
    with runtime.lend(row) as loaded:
        said = [glossary.label(name) for name in names] if row.english_only else names
        texts = yield from label_embeddings(loaded, said, wanted)  # [n, d]
        notes = (*notes, *_unread(loaded, names, said, wanted), *inputs.remarks(picture))
        yield Progress("looking")
        vector = _photo_embedding(loaded, picture)  # [d]
        cosine = texts @ vector  # [n]
        probability = (cosine * loaded.model.logit_scale.exp().float().cpu()).softmax(0)
        yield Classification(
            **runtime.made(loaded, start),
            labels=names,
            cosine=tuple(cosine.tolist()),
            probability=tuple(probability.tolist()),
            independent=tuple((yield from _independent(loaded, vector, cosine, wanted)).tolist()),
            top_k=top_k,
            notes=notes,
        )


def run(photo: Photo, labels: str | Sequence[str], **settings: Any) -> Classification:
    """Drains `stream` and returns its result."""
    return last(stream(photo, labels, **settings), Classification)


def embed_photos(photos: Iterable[Photo], *, model: str | None = None) -> NDArray[np.float32]:
    """Embeddings of photos, float32 [n, d], each of unit length; a photo by itself is one of them. Raises `UserError`."""
    row = catalog.find("classify", model)
    _drain(runtime.prepare(row))
    with runtime.lend(row) as loaded:
        several = _several(photos, str | bytes | Path | Image)
        found = [_photo_embedding(loaded, inputs.photo(photo)) for photo in several]
    if not found:
        raise UserError("photo_missing")
    return torch.stack(found).numpy()


def embed_texts(texts: Iterable[str], *, model: str | None = None) -> NDArray[np.float32]:
    """Embeddings of texts as given (no template), float32 [n, d], each of unit length; a text by itself is one of them.
    Raises `UserError`."""
    several = [*_several(texts, str)]
    if not all(isinstance(one, str) for one in several):
        raise UserError("labels_text")
    if not several:
        raise UserError("labels_none")
    row = catalog.find("classify", model)
    _drain(runtime.prepare(row))
    with runtime.lend(row) as loaded:
        batches = [_text_embeddings(loaded, several[i : i + BATCH]) for i in range(0, len(several), BATCH)]
        return torch.cat(batches).numpy()


def template_ensemble(model: str | None = None) -> tuple[str, ...]:
    """The prompt templates that a model wants: what `templates=None` stands for."""
    return _templates(None, catalog.find("classify", model))


def _several(given: Any, one: Any) -> Iterable[Any]:
    """What is given, where something by itself (of the type `one`, or nothing to go through) is one of its kind."""
    return [given] if isinstance(given, one) or not isinstance(given, Iterable) else given


def _drain(events: Iterable[object]) -> None:
    for _ in events:
        pass


def _templates(templates: str | Sequence[str] | None, row: catalog.Row) -> tuple[str, ...]:
    if templates is None:
        return tuple(row.options.get("templates", ["a photo of a {}."]))
    given = [templates] if isinstance(templates, str) else templates
    if not isinstance(given, list | tuple) or not all(isinstance(template, str) for template in given):
        raise UserError("templates_count")
    chosen = [*filter(None, (inputs.optional_words(template, "templates") for template in given))]
    if not chosen or len(chosen) > 100 or any(len(template) > 200 for template in chosen):
        raise UserError("templates_count")
    for template in chosen:
        if template.count("{}") != 1:
            raise UserError("template_place", template=template)
    return tuple(dict.fromkeys(chosen))


@torch.inference_mode()
def _photo_embedding(loaded: Loaded, photo: Image) -> torch.Tensor:  # [d]
    """Of unit length. As the row's options say, for photos of few pixels, that get too blurred otherwise, `thumbnail_sizes`:
    pixels a side at which they are looked at (the mean), and `thumbnail_bias`: how many times the image head's bias counts,
    which takes away what all photos have in common."""
    views, options = [loaded.processor(photo)[None]], loaded.row.options  # each [1, 3, height, width]
    small = max(photo.size) <= THUMBNAIL
    if small and (sides := options.get("thumbnail_sizes")):
        views = [interpolate(views[0], (side, side), mode="bilinear", antialias=True) for side in sides]
    vectors = torch.cat([loaded.model.encode_image(view.to(loaded.device.kind, loaded.device.dtype)) for view in views])
    if small and (times := options.get("thumbnail_bias")):
        vectors = vectors + (times - 1) * loaded.model.visual.head.proj.bias
    device.check_finite(vectors, loaded.row)
    return normalize(normalize(vectors.float(), dim=-1).mean(0), dim=0).cpu()


@torch.inference_mode()
def _text_embeddings(loaded: Loaded, texts: Sequence[str]) -> torch.Tensor:  # [n, d]
    tokens = loaded.tokenizer(list(texts)).to(loaded.device.kind)  # [n, context]
    vectors = loaded.model.encode_text(tokens)
    device.check_finite(vectors, loaded.row)
    return normalize(vectors.float(), dim=-1).cpu()


def filled(template: str, label: str) -> str:
    """The label in the template's place, with an English article that suits it: of "a photo of a {}." comes "a photo of
    an owl." and, where the label has its own, "a photo of two owls."."""
    if found := ARTICLE.search(template):
        if DETERMINED.match(label):
            template = template[: found.start()] + "{}" + template[found.end() :]
        elif found[1] == "a" and VOWEL.match(label):
            template = template[: found.start()] + "an {}" + template[found.end() :]
    return template.replace("{}", label)


def label_embeddings(
    loaded: Loaded, labels: Sequence[str], templates: tuple[str, ...]
) -> Generator[Progress, None, torch.Tensor]:
    """Unit-length mean over the templates, [n, d]. Each label is encoded once for a model and its templates."""
    missing = [label for label in labels if (templates, label) not in loaded.memo]
    step = max(1, BATCH // len(templates))
    total = len(missing) * len(templates)
    for i in range(0, len(missing), step):
        yield Progress("encoding_texts", i * len(templates), total)
        batch = missing[i : i + step]
        texts = [filled(template, label) for label in batch for template in templates]
        vectors = _text_embeddings(loaded, texts).view(len(batch), len(templates), -1)
        for label, vector in zip(batch, normalize(vectors.mean(1), dim=-1), strict=True):
            loaded.memo[templates, label] = vector
    found = torch.stack([loaded.memo[templates, label] for label in labels])
    while len(loaded.memo) > MEMO:
        loaded.memo.popitem(last=False)
    return found


def _unread(loaded: Loaded, labels: Sequence[str], said: Sequence[str], templates: tuple[str, ...]) -> Iterator[str]:
    """Notes on labels that the model reads in other words, as they are `said` to it, can't read, or can't tell apart."""
    if other := [f"{inputs.short(label)} → {one}" for label, one in zip(labels, said, strict=True) if label != one]:
        yield text("notes.labels_read", labels=inputs.few(other))
    strange = foreign(loaded.row, *said)
    yield from foreign_notes(loaded.row, *strange)
    template = max(templates, key=len)
    if long := [(label, one) for label, one in zip(labels, said, strict=True) if len(one) > LONG and " " in one]:
        whole = loaded.tokenizer([filled(template, one) for _, one in long])
        less = loaded.tokenizer([filled(template, one.rpartition(" ")[0]) for _, one in long])
        for (label, _), seen, seen_of_less in zip(long, whole, less, strict=True):
            if seen.equal(seen_of_less):  # its last word is not seen
                yield text("notes.label_cut", label=inputs.short(label))
    alike: dict[bytes, list[str]] = {}
    for label, tokens in zip(labels, loaded.tokenizer([*said]), strict=True):
        alike.setdefault(tokens.numpy().tobytes(), []).append(label)
    for same in alike.values():
        if len(same) > 1 and not {*same} <= {*strange}:
            yield text("notes.labels_alike", labels=inputs.few([*map(inputs.short, same)]))


def _independent(
    loaded: Loaded, photo: torch.Tensor, cosine: torch.Tensor, templates: tuple[str, ...]
) -> Generator[Progress, None, torch.Tensor]:
    """The probability that a label is true of the photo, whatever the other labels: the model's own sigmoid where it
    was trained with one (SigLIP), the row's calibration [a, b] on held-out photos where there is one, sigmoid(a cosine
    + b), else what softmax gives the label against `NEUTRAL`, which is true of any photo."""
    scale = loaded.model.logit_scale.exp().float().cpu()
    if (bias := getattr(loaded.model, "logit_bias", None)) is not None:
        return torch.sigmoid(cosine * scale + bias.float().cpu())
    if calibration := loaded.row.options.get("calibration"):
        a, b = calibration
        return torch.sigmoid(a * cosine + b)
    neutral = yield from label_embeddings(loaded, [NEUTRAL], templates)  # [1, d]
    return torch.sigmoid(scale * (cosine - neutral[0] @ photo))
