"""Tokens become words as written, each with its probability and other candidates."""

import math

import pytest
import torch

from pipelines.decoding import Recorder, Words, confidence
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
    written = Words(Tokenizer(), recorded(tokens, 0.5), {0})
    assert [word.text for word in written.read(tokens[:2])] == ["a", "dog"]
    words = written.read(tokens)
    assert [word.text for word in words] == ["a", "doggy", "runs"]
    assert [word.probability for word in words] == pytest.approx([0.5, 0.25, 0.5])


def test_other_candidates_leave_out_the_chosen_word_and_the_end() -> None:
    words = Words(Tokenizer(), recorded([1], 0.5), {0}).read([1])
    others = [other for other, _ in words[0].others]
    assert others and "a" not in others and "</s>" not in others


def test_a_chinese_character_is_a_word() -> None:
    words = Words(Tokenizer(), recorded([5, 5], 0.9), {0}).read([5, 5])
    assert [word.text for word in words] == ["人", "人"]


def test_a_character_of_several_tokens_has_the_probability_of_all() -> None:
    pieces = {1: "�", 2: "人"}

    class Bytes:
        def decode(self, tokens: list[int], skip_special_tokens: bool = False) -> str:
            return pieces.get(tokens[-1], "?")

    words = Words(Bytes(), recorded([1, 2], 0.5), {0}).read([1, 2])
    assert [word.text for word in words] == ["人"] and words[0].probability == pytest.approx(0.25)


def test_only_the_likeliest_tokens_are_kept() -> None:
    recorder = Recorder(lambda *_: None, kept=3)
    recorder(torch.tensor([[9], [8]]), torch.randn(2, 1000))
    assert len(recorder.of([], 0)) == 3 and sum(recorder.of([], 0).values()) < 1


def test_calibrated_words_are_less_sure_in_the_same_order() -> None:
    def read(*calibration: float) -> list[float]:
        recorder = recorded([1], 0.8)
        recorder(torch.tensor([[9, 9, 1]]), torch.tensor([[0.0, 0, 99, 0, 0, 0, 0]]))
        return [word.probability for word in Words(Tokenizer(), recorder, {0}, calibration).read([1, 2])]

    assert read() == pytest.approx([0.8, 1]) and read(1, 0) == pytest.approx(read(), abs=1e-5)
    assert read(0.5, 0) == pytest.approx([2 / 3, 1], abs=2e-3)  # odds of 4 become odds of 2


def test_candidates_are_as_likely_beside_a_calibrated_word_as_beside_the_word_itself() -> None:
    plain, told = (Words(Tokenizer(), recorded([1], 0.4), {0}, some).read([1])[0] for some in ((), (0.5, -0.5)))
    before, after = (sum(share for _, share in word.others) / word.probability for word in (plain, told))
    assert told.probability != plain.probability and after == pytest.approx(before)
    sure = Words(Tokenizer(), recorded([1], 0.4), {0}, (0.1, 3.0)).read([1])[0]
    assert sure.probability + sum(share for _, share in sure.others) <= 1


def test_confidence_is_the_geometric_mean() -> None:
    assert confidence([Word("a", 0.25), Word("b", 1.0)]) == pytest.approx(0.5)
    assert confidence([]) == 0.0
