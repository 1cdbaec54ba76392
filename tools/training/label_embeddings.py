"""Writes the embeddings of the ready-made label sets into a CLIP's folder, so that choosing one costs no time."""

import argparse
import json

import torch
from safetensors.torch import save_file

from pipelines import catalog, classify, inputs, runtime
from pipelines.loaders import LABELS_FILE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="quartet-clip")
    row = catalog.find("classify", parser.parse_args().model)
    (row.folder / LABELS_FILE).unlink(missing_ok=True)
    sets = sorted((catalog.ROOT / "assets" / "labels").glob("*.txt"))
    labels = list(dict.fromkeys(label for path in sets for label in inputs.labels(path.read_text("utf-8"))[0]))
    templates = classify.template_ensemble(row.id)
    with runtime.lend(row) as loaded:
        for start in range(0, len(labels), 1000):
            for _ in classify.label_embeddings(loaded, labels[start : start + 1000], templates):
                pass
        vectors = torch.stack([loaded.memo[templates, label] for label in labels]).half()  # [n, d]
    meta = {"labels": json.dumps(labels), "templates": json.dumps(templates)}
    save_file({"embeddings": vectors.contiguous()}, row.folder / LABELS_FILE, meta)
    print(f"{len(labels)} labels of {len(sets)} sets, {len(templates)} templates")


if __name__ == "__main__":
    main()
