"""Tokens become words as written, each with its probability and other candidates."""

import math

import pytest
import torch

from pipelines.decoding import Recorder, confidence, words_of
from pipelines.results import Word

PIECES = ["</s>", " a", " dog", "gy", " runs", "人", " cat"]


class Tokenizer:
    def decode(self, tokens: list[int], skip_special_tokens: bool = False) -> str:
        return "".join(PIECES[token] for token in tokens if token or not skip_special_tokens)


def recorded(tokens: list[int], probability: float) -> Recorder:
    """What a search would have seen: at each step the chosen token with `probability`, the rest shared evenly."""
    recorder = Recorder(lambda *_: None)
    for i, token in enumerate(tokens):
        scores = torch.full((1, len(PIECES)), math.log((1 - probability) / (len(PIECES) - 1)))
        scores[0, token] = math.log(probability)
        recorder(torch.tensor([[9, 9, *tokens[:i]]]), scores)
    return recorder


def test_tokens_join_to_words_and_their_probabilities_multiply() -> None:
    tokens = [1, 2, 3, 4, 0]
    words = words_of(Tokenizer(), tokens, recorded(tokens, 0.5), {0})
    assert [word.text for word in words] == ["a", "doggy", "runs"]
    assert [word.probability for word in words] == pytest.approx([0.5, 0.25, 0.5])


def test_other_candidates_leave_out_the_chosen_word_and_the_end() -> None:
    words = words_of(Tokenizer(), [1], recorded([1], 0.5), {0})
    others = [other for other, _ in words[0].others]
    assert others and "a" not in others and "</s>" not in others


def test_a_chinese_character_is_a_word() -> None:
    words = words_of(Tokenizer(), [5, 5], recorded([5, 5], 0.9), {0})
    assert [word.text for word in words] == ["人", "人"]


def test_confidence_is_the_geometric_mean() -> None:
    assert confidence([Word("a", 0.25), Word("b", 1.0)]) == pytest.approx(0.5)
    assert confidence([]) == 0.0
