"""Fits how sure a caption's words are shown to be, sigmoid(a log-odds + b), on held-out photos.

Rewards made the captioner surer than it may be. A word is right where one of the photo's five captions has it. Fitted on one
photo in four, judged on two in four others. Prints the catalogue's line and writes the figures beside the model."""

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path

import torch

from pipelines import caption, catalog
from tools.training.calibrate import fit, reliability
from tools.training.features import rows


def words(folder: Path, photos: Sequence[dict]) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each word in the captions of photos: the log-odds of its probability, and whether somebody used it."""
    chance, true = [], []
    for row in photos:
        used = {*re.findall("[a-z]+", " ".join(row["captions"]).lower())}
        for word in caption.run(folder / row["image"], model="quartet-vlm").words:
            chance.append(word.probability)
            true.append(word.text in used)
    return torch.tensor(chance).logit(1e-6), torch.tensor(true).float()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    data = parser.parse_args().data / "flickr8k"
    held = [row for row in rows(data / "captions.jsonl") if row["split"] == "dev"]
    row = catalog.find("caption", "quartet-vlm")
    row.options["caption_calibration"] = ()
    a, b = fit([words(data / "images", held[::4])])
    odds, true = words(data / "images", held[1::2])
    before, _ = reliability([(odds.sigmoid(), true)])
    error, bins = reliability([((a * odds + b).sigmoid(), true)])
    figures = {"a": round(a, 3), "b": round(b, 3), "ece": round(error, 4), "ece before": round(before, 4), "bins": bins}
    (row.folder / "calibration.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    print(f"caption_calibration = [{a:.3f}, {b:.3f}]  ECE {before:.4f} -> {error:.4f}")


if __name__ == "__main__":
    main()
