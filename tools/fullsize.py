"""The full-size proof: random weights of real architectures, in the hub's layout, loaded and used on this machine.

    python -m tools.fullsize [CASE …]

writes `tools/fullsize.json`, which `tools.readme` puts into the README. Each case runs in a process of its own, on one
thread; its time is the processor's, so that what else the machine does matters little."""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from pipelines import catalog

RESULTS = Path(__file__).with_suffix(".json")
PHOTO = catalog.ROOT / "assets" / "examples" / "cat.jpg"
# A case is a row and a number type; its request is the pipeline's `run`.
CASES: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "clip-b32": ("clip-b32", "fp32", "classify", {"photo": str(PHOTO), "labels": ["a cat", "a dog", "a truck"]}),
    "blip-base": ("blip-base", "fp32", "caption", {"photo": str(PHOTO), "max_words": 10}),
    "smolvlm-256m": (
        "smolvlm-256m", "fp32", "ask", {"photo": str(PHOTO), "question": "What animal is this?", "max_words": 10},
    ),
    "sd-turbo": ("sd-turbo", "fp32", "generate", {"prompt": "a cat", "seed": 1}),
    "sd-turbo-bf16": ("sd-turbo", "bf16", "generate", {"prompt": "a cat", "seed": 1}),
}  # fmt: skip
# What the real architectures have that the tiny ones of `tests.tiny` have smaller, by file.
SIZES: dict[str, dict[str, dict[str, Any]]] = {
    "blip-base": {
        "config.json": {
            "text_config": {
                "vocab_size": 30524, "hidden_size": 768, "encoder_hidden_size": 768, "intermediate_size": 3072,
                "projection_dim": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
            },
            "vision_config": {
                "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
                "image_size": 384, "patch_size": 16,
            },
        },
        "preprocessor_config.json": {"size": {"height": 384, "width": 384}},
    },
    "smolvlm-256m": {
        "config.json": {
            "text_config": {
                "vocab_size": 49280, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
                "num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64,
            },
            "vision_config": {
                "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
                "image_size": 512, "patch_size": 16,
            },
            "scale_factor": 4,
        },
        "preprocessor_config.json": {"size": {"longest_edge": 2048}, "max_image_size": {"longest_edge": 512}},
        "processor_config.json": {"image_seq_len": 64},
    },
    "sd-turbo": {
        "unet/config.json": {
            "block_out_channels": [320, 640, 1280, 1280], "layers_per_block": 2, "cross_attention_dim": 1024,
            "attention_head_dim": [5, 10, 20, 20], "norm_num_groups": 32, "use_linear_projection": True,
            "down_block_types": [*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"],
            "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * 3],
        },
        "vae/config.json": {"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "norm_num_groups": 32},
        "text_encoder/config.json": {
            "vocab_size": 49408, "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23,
            "num_attention_heads": 16,
        },
    },
}  # fmt: skip


def build(row: catalog.Row, folder: Path) -> None:
    """Writes a row's files as the hub has them, and its helpers', with random weights of the real architecture."""
    from diffusers import AutoencoderTiny

    from tests import tiny

    for helper in row.helpers:
        AutoencoderTiny().save_pretrained(folder / helper.source)
    folder = tiny.build(row, folder / "model")
    if row.family == "open_clip":
        _open_clip(folder)
    for name, larger in SIZES.get(row.id, {}).items():
        path = folder / name
        for key, value in (config := json.loads(path.read_text())).items():
            if key in larger:
                config[key] = value | larger[key] if isinstance(value, dict) else larger[key]
        path.write_text(json.dumps(config | {key: value for key, value in larger.items() if key not in config}))
        if path.name == "config.json":
            _network(path.parent, row.variant)


def _open_clip(folder: Path) -> None:
    import open_clip
    from safetensors.torch import save_file

    name = "ViT-B-32-256"
    config = {"model_cfg": open_clip.get_model_config(name), "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    save_file(open_clip.create_model(name).state_dict(), folder / "open_clip_model.safetensors")


def _network(folder: Path, variant: str) -> None:
    """Makes the network anew from its changed configuration; in half precision, as most weights on the hub are."""
    import diffusers
    import torch
    import transformers

    config = json.loads((folder / "config.json").read_text())
    if name := config.get("_class_name"):
        network = getattr(diffusers, name).from_config(config)
    else:
        kind = getattr(transformers, config["architectures"][0])
        network = kind(kind.config_class.from_pretrained(folder))
    network.to(torch.float16 if variant else torch.bfloat16).save_pretrained(folder, variant=variant or None)


def measure(case: str, folder: Path) -> dict[str, Any]:
    """Loads the model in `folder` and uses it twice; called in a process of its own."""
    import torch

    import pipelines
    from pipelines import device, hub, runtime

    torch.set_num_threads(1)
    row_id, precision, task, request = CASES[case]
    os.environ["QUARTET_DEVICE"], os.environ["QUARTET_PRECISION"] = "cpu", precision
    row = catalog.find(task, row_id)
    hub.on_disk = lambda row: True
    hub.local_folder = lambda row: folder / "model"
    hub.helper_folder = lambda helper: folder / helper.source
    hub.revision = lambda row: "random"
    run = pipelines.task(task).run
    device.pick()
    before = _anonymous()
    peak = _Peak()
    start = time.process_time()
    with runtime.lend(row):
        loaded = time.process_time() - start
        run(**request, model=row_id)  # the first request warms up
        start = time.process_time()
        run(**request, model=row_id)
        seconds = time.process_time() - start
    return {
        "model": row_id,
        "precision": precision,
        "task": task,
        "load_seconds": round(loaded, 1),
        "request_seconds": round(seconds, 1),
        "peak_bytes": peak.stop() - before,
    }


def catalogued(case: dict[str, Any]) -> int:
    """The bytes that the catalogue says for a case: those of fp32, or half."""
    row = catalog.find(case["task"], case["model"])
    return row.memory_bytes if case["precision"] == "fp32" else row.memory_bytes // 2


class _Peak:
    """The most memory that this process has held of its own, looked at a hundred times a second."""

    def __init__(self) -> None:
        self._most = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(0.01):
            self._most = max(self._most, _anonymous())

    def stop(self) -> int:
        self._ended.set()
        self._thread.join()
        return self._most


def _anonymous() -> int:
    """The process's own memory in bytes: not that of mapped files, which the system can drop at any time."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon"))


def _run(*arguments: str) -> str:
    command = [sys.executable, "-m", "tools.fullsize", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    out = subprocess.run(command, cwd=catalog.ROOT, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return out.stdout


def main() -> None:
    made = argparse.ArgumentParser(prog="tools.fullsize", description=__doc__)
    made.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE", help=", ".join(CASES))
    made.add_argument("--build", type=Path, help=argparse.SUPPRESS)
    made.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    chosen = made.parse_args()
    if chosen.build:
        row_id, _, task, _ = CASES[chosen.cases[0]]
        build(catalog.find(task, row_id), chosen.build)
        return
    if chosen.measure:
        print(json.dumps(measure(chosen.cases[0], chosen.measure)))
        return
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"cases": {}}
    for case in chosen.cases:
        with tempfile.TemporaryDirectory(prefix="quartet-fullsize-") as folder:
            _run(case, "--build", folder)
            results["cases"][case] = json.loads(_run(case, "--measure", folder).splitlines()[-1])
        print(case, results["cases"][case])
        results["machine"] = f"{_processor()}, 1 thread"
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def _processor() -> str:
    with open("/proc/cpuinfo") as file:
        return next((line.split(":")[1].strip() for line in file if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
