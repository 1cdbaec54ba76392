"""What caption and ask share: text streamed word by word, stopped at once, with the confidence of each word."""

import math
import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
    TemperatureLogitsWarper,
)

from pipelines import device, work
from pipelines.catalog import Row
from pipelines.errors import UserError, text
from pipelines.loaders import Loaded
from pipelines.results import Partial, Progress, Word

OTHERS = 4  # other candidates kept for a word
LIKELY = 0.005  # other texts less probable than this are not worth a line
ROOM = 32  # tokens that a conversation leaves for its answer, at least
LETTER = re.compile("[b-hj-z]", re.IGNORECASE)  # no word
TOKENS_PER_WORD = 3  # room for words of several tokens; the words are counted, too


@dataclass(frozen=True)
class Written:
    """A finished text with its words, its confidence and other complete texts with their probability."""

    text: str
    words: tuple[Word, ...]
    confidence: float
    others: tuple[tuple[str, float], ...] = ()
    notes: tuple[str, ...] = ()


class Recorder(LogitsProcessor):
    """Last in line, so it sees the probabilities that the search chooses from; keeps the `kept` likeliest tokens of
    every step and beam, among which the search finds its own."""

    def __init__(self, seen: Callable[["Recorder", torch.Tensor], None], kept: int = OTHERS + 1) -> None:
        self.start = 0  # length of the prompt, known at the first step
        self.steps: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        self._seen, self._kept = seen, kept

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        # input_ids [beams, length]; scores [beams, vocabulary]
        if not self.steps:
            self.start = input_ids.shape[1]
        best = scores.float().softmax(-1).topk(min(self._kept, scores.shape[-1]))  # [beams, kept]
        self.steps.append((input_ids[:, self.start :].cpu(), best.indices.cpu(), best.values.cpu()))
        self._seen(self, input_ids)
        return scores

    def of(self, tokens: Sequence[int], i: int) -> dict[int, float]:
        """The tokens, likeliest first, that the i-th of `tokens` was chosen from; found by the tokens before it."""
        prefixes, indices, values = self.steps[i]
        row = (prefixes == torch.tensor(tokens[:i])).all(-1).nonzero()[0, 0]
        return dict(zip(indices[row].tolist(), values[row].tolist(), strict=True))


class _NoEcho(LogitsProcessor):
    """Forbids the same token twice in a row ("a large large dog"), which small models fall into."""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return scores.scatter(1, input_ids[:, -1:], -math.inf)


class _Finite(LogitsProcessor):
    """Refuses a model whose numbers have overflowed."""

    def __init__(self, row: Row) -> None:
        self.row = row

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        device.check_finite(scores, self.row)
        return scores


class _EnoughWords(StoppingCriteria):
    def __init__(self, count: Callable[[torch.Tensor], int], most: int) -> None:
        self.count, self.most = count, most

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        enough = [self.count(row) > self.most for row in input_ids]
        return torch.tensor(enough, device=input_ids.device)


def write(
    loaded: Loaded,
    inputs: dict[str, Any],
    *,
    max_words: int,
    beams: int = 1,
    prefix: str = "",
    others: int = 0,
    calibration: Sequence[float] = (),
    temperature: float = 1.0,
) -> Generator[Progress | Partial, None, Written]:
    """Runs `model.generate(**inputs)`; yields Partial texts (greedy) or Progress (beams), returns what was written.

    `prefix` is text that stands before what the model writes; `others` asks for that many other complete texts;
    `calibration` is that of `Words`; above 1 the `temperature` makes a model less sure that is surer than it may be (Guo et
    al., On Calibration of Modern Neural Networks, 2017)."""
    tokenizer = loaded.tokenizer
    eos = _ids(loaded.model.generation_config.eos_token_id)
    processors: list[LogitsProcessor] = [_Finite(loaded.row)]
    if loaded.row.options.get("no_echo"):
        processors.append(_NoEcho())
    if temperature != 1:
        processors.append(TemperatureLogitsWarper(temperature))
    ends = set(eos) | set(tokenizer.all_special_ids)

    def call(emit: Callable[[Progress | Partial], None]) -> Written:
        def seen(recorder: Recorder, input_ids: torch.Tensor) -> None:
            done = input_ids.shape[1] - recorder.start
            if beams > 1:
                emit(Progress("writing", done))
            else:
                words = written.read(input_ids[0, recorder.start :].tolist())[:max_words]
                emit(Partial(text=_text(prefix, words), words=words))

        recorder = Recorder(seen, OTHERS + (2 + len(eos)) * beams)  # beam search looks at so many tokens of each beam
        written = Words(tokenizer, recorder, ends, calibration)
        count = _EnoughWords(
            lambda row: len(tokenizer.decode(row[recorder.start :], skip_special_tokens=True).split()), max_words
        )
        out = _generate(loaded, inputs, max_words, beams, [*processors, recorder], StoppingCriteriaList([count]))
        tokens = out.sequences[0, recorder.start :].tolist()
        words = written.read(tokens)[:max_words]
        text = _text(prefix, words)
        return Written(text, words, confidence(words), _others(emit, text) if others else ())

    def _others(emit: Callable[[Progress | Partial], None], text: str) -> tuple[tuple[str, float], ...]:
        """Other complete texts by beam search, each with its own probability: the product over its tokens."""
        recorder = Recorder(lambda recorder, ids: emit(Progress("weighing")))
        out = _generate(
            loaded, inputs, max_words, others + 1, [*processors, recorder], None,
            num_return_sequences=others + 1, length_penalty=0.0, output_scores=True, renormalize_logits=True,
        )  # fmt: skip
        found: dict[str, float] = {}
        for sequence, score in zip(out.sequences, out.sequences_scores.tolist(), strict=True):
            other = tokenizer.decode(sequence[recorder.start :], skip_special_tokens=True).strip()
            if other and other != text:
                found[other] = found.get(other, 0.0) + math.exp(score)
        likely = [item for item in found.items() if item[1] >= LIKELY]
        return tuple(sorted(likely, key=lambda item: -item[1]))

    return (yield from work.stream(call))


def _generate(
    loaded: Loaded,
    inputs: dict[str, Any],
    max_words: int,
    beams: int,
    processors: list[LogitsProcessor],
    stopping: Any,
    **more: Any,
) -> Any:
    return loaded.model.generate(
        **inputs,
        do_sample=False,
        num_beams=beams,
        max_new_tokens=max_words * TOKENS_PER_WORD,
        logits_processor=LogitsProcessorList(processors),
        stopping_criteria=stopping,
        return_dict_in_generate=True,
        **more,
    )


def confidence(words: Sequence[Word]) -> float:
    """The geometric mean of the words' probabilities; 0 for no words."""
    if not words:
        return 0.0
    return math.exp(sum(math.log(max(word.probability, 1e-12)) for word in words) / len(words))


def chat_inputs(
    loaded: Loaded, picture: Any, turns: Sequence[tuple[str, str]], last: str, prefix: str = ""
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The tensors for a conversation about one photo: `turns` of (question, answer), then the `last` question; and notes on
    what is left out: the oldest turns, where a model reads so many no longer. Raises `UserError`."""
    config = loaded.model.config.get_text_config()
    most = getattr(config, "max_position_embeddings", None) or math.inf
    kept = [*turns][-loaded.row.options.get("turns", len(turns)) :]
    batch = _chat_batch(loaded, picture, kept, last, prefix)
    while (over := batch["input_ids"].shape[1] + ROOM - most) > 0:
        if not kept:
            raise UserError("words_room", model=loaded.row.name)
        while kept and over > 0:
            over -= len(loaded.tokenizer(" ".join(kept.pop(0))).input_ids)
        batch = _chat_batch(loaded, picture, kept, last, prefix)
    notes = (text("notes.turns_cut", count=len(kept)),) if len(kept) < len(turns) else ()
    return to_device(loaded, batch), notes


def _chat_batch(loaded: Loaded, picture: Any, turns: Sequence[tuple[str, str]], last: str, prefix: str) -> Any:
    marks = [re.escape(mark.content) for mark in loaded.tokenizer.added_tokens_decoder.values() if mark.special]

    def typed(words: str) -> str:
        """Words without the tokenizer's own marks: "<image>" would stand for another photo."""
        return re.sub("|".join(marks), lambda mark: f"{mark[0][0]} {mark[0][1:]}", words) if marks else words

    messages: list[dict[str, Any]] = []
    for i, (question, answer) in enumerate([*turns, (last, "")]):
        content: list[dict[str, str]] = [{"type": "image"}] if i == 0 else []
        messages.append({"role": "user", "content": [*content, {"type": "text", "text": typed(question)}]})
        if i < len(turns):
            messages.append({"role": "assistant", "content": [{"type": "text", "text": typed(answer)}]})
    options, bos = loaded.row.options, loaded.tokenizer.bos_token
    prompt = loaded.processor.apply_chat_template(messages, add_generation_prompt=True, **options.get("template", {}))
    return loaded.processor(
        text=[prompt + typed(prefix)],
        images=[[picture]],
        return_tensors="pt",
        add_special_tokens=not (bos and prompt.startswith(bos)),  # else it would have them twice
        **options.get("images", {}),
    )


def to_device(loaded: Loaded, batch: Any) -> dict[str, Any]:
    """A processor's tensors on the model's device, those with fractions in its number type."""
    return {
        name: value.to(loaded.device.kind, loaded.device.dtype if value.is_floating_point() else None)
        for name, value in batch.items()
    }


class Words:
    """Joins tokens to words as they are written: a token that adds a space, or a Chinese character, begins one.

    A word's probability is the product over its tokens, its other candidates are those of its first token. With a
    `calibration` [a, b] that becomes sigmoid(a log-odds + b): Platt, Probabilistic Outputs for Support Vector Machines, 1999;
    its candidates are scaled along."""

    def __init__(self, tokenizer: Any, recorder: Recorder, ends: set[int], calibration: Sequence[float] = ()) -> None:
        self._tokenizer, self._recorder, self._ends, self._calibration = tokenizer, recorder, ends, calibration
        self._words: list[Word] = []
        self._first: list[float] = []  # the probability of each word's first token
        self._text = ""
        self._read = 0  # tokens
        self._waiting = 1.0  # the probability of tokens whose text comes with the next one

    def read(self, tokens: list[int]) -> tuple[Word, ...]:
        """The words of all `tokens`, of which those that were read before are the beginning."""
        for i in range(self._read, len(tokens)):
            if tokens[i] not in self._ends:
                self._add(tokens, i)
            elif self._words:
                break  # an end at the beginning is an encoder-decoder model's own
            self._read = i + 1
        if not self._calibration:
            return tuple(self._words)
        return tuple(map(self._calibrated, self._words, self._first))

    def _calibrated(self, word: Word, first: float) -> Word:
        a, b = self._calibration
        share = min(max(word.probability, 1e-6), 1 - 1e-6)
        probability = 1 / (1 + math.exp(-a * math.log(share / (1 - share)) - b))
        total = sum(chance for _, chance in word.others)
        scale = min(probability / max(first, 1e-6), (1 - probability) / max(total, 1e-6))
        return replace(
            word, probability=probability, others=tuple((other, scale * chance) for other, chance in word.others)
        )

    def _add(self, tokens: list[int], i: int) -> None:
        piece = self._after(tokens[:i], tokens[i])
        candidates = self._recorder.of(tokens, i)
        probability = self._waiting * candidates[tokens[i]]
        if not piece.strip() or "�" in piece:  # a space, or a part of a character
            self._waiting = probability
            return
        if not self._words or piece[0].isspace() or "\u3400" <= piece[0] <= "\u9fff":
            named = (
                (other.strip(), share)
                for token, share in candidates.items()
                if token not in {tokens[i], *self._ends}
                and (other := self._after(tokens[:i], token)).strip()
                and other[0].isspace() == piece[0].isspace()  # no ending of the word before
                and not LETTER.fullmatch(other.strip())  # the beginning of a longer one
            )
            self._words.append(Word(piece.strip(), probability, tuple(islice(named, OTHERS))))
            self._first.append(probability)
        else:
            last = self._words[-1]
            self._words[-1] = Word(last.text + piece, last.probability * probability, last.others)
        self._text, self._waiting = self._text + piece, 1.0

    def _after(self, tokens: list[int], token: int) -> str:
        """The text that a token adds to those before."""
        said: str = self._tokenizer.decode([*tokens, token], skip_special_tokens=True)
        return said[len(self._text) :]


def _text(prefix: str, words: Sequence[Word]) -> str:
    joined = ""
    for word in words:
        chinese = bool(word.text) and "\u3400" <= word.text[0] <= "\u9fff"
        joined += word.text if not joined or chinese else " " + word.text
    return f"{prefix.rstrip()} {joined}".strip() if prefix else joined


def _ids(value: int | list[int] | None) -> list[int]:
    return [] if value is None else [value] if isinstance(value, int) else value
