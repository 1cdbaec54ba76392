"""Fits `independent`: sigmoid(a cosine + b), the probability that a label is true of a photo, on held-out photos.

Pairs of a photo and a label, about one in ten true: Imagenette, CIFAR-10 (ten labels each), Intel scenes (six), and
Flickr8k's held-out photos with one of their captions and nine of other photos; each set weighs the same. Fitted on
every other photo, judged on the rest. Prints the catalogue's line and writes the figures beside the model."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, normalize

from pipelines import catalog, classify
from tools.training import features

BINS = 15
Pairs = tuple[torch.Tensor, torch.Tensor]  # cosine [photos, labels], true [photos, labels]


def pairs(data: Path) -> list[Pairs]:
    templates = classify.template_ensemble("quartet-clip")

    def photos(dataset: str, chosen: Sequence[str]) -> torch.Tensor:
        opened = features.open_picture(data, dataset)
        return torch.from_numpy(classify.embed_photos(map(opened, chosen), model="quartet-clip"))

    def texts(labels: list[str]) -> torch.Tensor:
        said = [
            classify.embed_texts([classify.filled(t, label) for label in labels], model="quartet-clip")
            for t in templates
        ]
        return normalize(torch.from_numpy(np.mean(said, 0)), dim=-1)

    out = []
    for dataset in ("imagenette", "intel_scenes"):
        truth = features.labels(data, dataset)
        labels = sorted(set(truth))
        true = torch.tensor([[own == label for label in labels] for own in truth])
        out.append((photos(dataset, features.names(data, dataset)) @ texts(labels).T, true.float()))
    cifar = np.load(data / "cifar10" / "cifar10_dev.npz")
    true = torch.nn.functional.one_hot(torch.from_numpy(cifar["labels"]).long(), 10).float()
    seen = photos("cifar10", features.names(data, "cifar10"))
    out.append((seen @ texts([str(label) for label in cifar["classes"]]).T, true))
    held = features.held_photos(data)
    similar = photos("flickr8k", [row["image"] for row in held]) @ texts([row["captions"][0] for row in held]).T
    near = (torch.arange(len(held))[:, None] + 97 * torch.arange(10)) % len(held)  # own caption first
    out.append((similar.gather(1, near), (torch.arange(10) == 0).float().expand(len(held), -1)))
    return out


def fit(sets: list[Pairs]) -> tuple[float, float]:
    a, b = torch.tensor(20.0, requires_grad=True), torch.tensor(-8.0, requires_grad=True)
    optimizer = torch.optim.LBFGS([a, b], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.stack([binary_cross_entropy_with_logits(a * c + b, t) for c, t in sets]).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    return a.item(), b.item()


def reliability(sets: list[Pairs]) -> tuple[float, list[list[float]]]:
    """Of sets of (probability, true), each weighing the same: the expected calibration error, and for each filled bin its
    mean probability, share of what is true, weight."""
    weight = torch.cat([torch.full((chance.numel(),), 1 / chance.numel() / len(sets)) for chance, _ in sets])
    chance, true = (torch.cat([part.flatten() for part in parts]) for parts in zip(*sets, strict=True))
    place, error, bins = (chance * BINS).long().clamp(max=BINS - 1), 0.0, []
    for k in range(BINS):
        own = place == k
        if mass := weight[own].sum().item():
            mean, share = ((weight[own] * x[own]).sum().item() / mass for x in (chance, true))
            error += mass * abs(mean - share)
            bins.append([round(mean, 4), round(share, 4), round(mass, 5)])
    return error, bins


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    options = parser.parse_args()
    sets = pairs(options.data)
    a, b = fit([(c[::2], t[::2]) for c, t in sets])
    error, bins = reliability([(torch.sigmoid(a * c[1::2] + b), t[1::2]) for c, t in sets])
    figures = {"a": round(a, 3), "b": round(b, 3), "ece": round(error, 4), "bins": bins}
    (catalog.find("classify", "quartet-clip").folder / "calibration.json").write_text(
        json.dumps(figures, indent=1) + "\n", "utf-8"
    )
    print(f"calibration = [{a:.2f}, {b:.2f}]  ECE {error:.4f}")
    for c, t in sets:
        print(
            f"  true {torch.sigmoid(a * c + b)[t > 0].mean():.2f}  false {torch.sigmoid(a * c + b)[t == 0].mean():.2f}"
        )


if __name__ == "__main__":
    main()
