"""Fits how sure the words of captions and answers are shown to be, on held-out photos.

Rewards made the captioner surer than it may be: a word's probability becomes sigmoid(a log-odds + b), where a word is right
if one of the photo's five captions has it. Answers, to questions made from captions and to DAQUAR's, get the temperature at
which they are on average as sure as they are right. Fitted on one photo (of answers: one question) in four, judged on half
of them. Prints the catalogue's lines and writes the figures beside the model."""

import argparse
import json
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from pipelines import ask, caption, catalog
from tools.evaluate import Asked, held_out, made_of_captions
from tools.training import features
from tools.training.calibrate import Pairs, fit, reliability
from tools.training.room_answers import daquar

TEMPERATURES = (0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.7, 2.0)


def words(folder: Path, photos: Sequence[dict]) -> Pairs:
    """Of each word in the captions of photos: the log-odds of its probability, and whether somebody used it."""
    chance, true = [], []
    for row in photos:
        used = {*re.findall("[a-z]+", " ".join(row["captions"]).lower())}
        for word in caption.run(folder / row["image"], model="quartet-vlm").words:
            chance.append(word.probability)
            true.append(word.text in used)
    return torch.tensor(chance).logit(1e-6), torch.tensor(true).float()


def answers(sets: list[Asked], options: dict[str, Any], degree: float) -> list[Pairs]:
    """How sure each answer of each set is, and whether it is right."""
    options["answer_temperature"], out = degree, []
    for some in sets:
        said = [(ask.run(photo, question, model="quartet-vlm"), answer) for photo, question, answer in some]
        sure, right = [one.confidence for one, _ in said], [one.text == answer for one, answer in said]
        out.append((torch.tensor(sure), torch.tensor(right).float()))
    return out


def temperature(sets: list[Asked], options: dict[str, Any]) -> float:
    """The one at which answers are as sure as they are right, on average."""

    def apart(degree: float) -> float:
        return abs(sum((sure - right).mean().item() for sure, right in answers(sets, options, degree)))

    return min(TEMPERATURES, key=apart)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    data = parser.parse_args().data
    held = features.held_photos(data)
    row = catalog.find("caption", "quartet-vlm")
    row.options.update(caption_calibration=(), other_answers=False)
    photos = data / "flickr8k" / "images"
    a, b = fit([words(photos, held[::4])])
    odds, true = words(photos, held[1::2])
    before, _ = reliability([(odds.sigmoid(), true)])
    error, bins = reliability([((a * odds + b).sigmoid(), true)])
    print(f"caption_calibration = [{a:.3f}, {b:.3f}]  ECE {before:.4f} -> {error:.4f}", flush=True)
    rng, rooms = random.Random(0), held_out(data, "daquar", daquar(data))
    sets = [rng.sample(each, 400) for each in (made_of_captions(data), rooms)]
    degree = temperature([each[::4] for each in sets], row.options)
    errors = [reliability(answers([each[1::2] for each in sets], row.options, one))[0] for one in (1.0, degree)]
    print(f"answer_temperature = {degree}  ECE {errors[0]:.4f} -> {errors[1]:.4f}")
    figures = {"a": round(a, 3), "b": round(b, 3), "ece": round(error, 4), "ece before": round(before, 4), "bins": bins}
    figures |= {"temperature": degree, "answers ece": round(errors[1], 4), "answers ece before": round(errors[0], 4)}
    (row.folder / "calibration.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
