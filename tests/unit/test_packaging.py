"""What a stranger meets first: set-up files, licences, the README, and the import rules."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pipelines import catalog, inputs
from tools import space

ROOT = Path(__file__).parent.parent.parent
ASSETS = ROOT / "assets"
HEAVY = ("torch", "transformers", "diffusers", "open_clip", "timm")


def front_matter() -> dict:
    _, head, _ = (ROOT / "README.md").read_text("utf-8").split("---\n", 2)
    found = yaml.safe_load(head)
    assert isinstance(found, dict)
    return found


def requirements(name: str) -> dict[str, Requirement]:
    lines = (line.split("#")[0].strip() for line in (ROOT / name).read_text("utf-8").splitlines())
    found = [Requirement(line) for line in lines if line]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def pins() -> dict[str, str]:
    return {name: next(iter(one.specifier)).version for name, one in requirements("requirements.lock").items()}


def test_the_readme_makes_a_valid_space() -> None:
    head = front_matter()
    assert head["sdk"] == "gradio" and (ROOT / head["app_file"]).is_file()
    assert head["python_version"] == "3.12"  # text, and one that ZeroGPU has
    assert head["sdk_version"] == pins()["gradio"]
    assert head["license"] == "apache-2.0" and "Apache License" in (ROOT / "LICENSE").read_text("utf-8")[:200]
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {head["colorFrom"], head["colorTo"]} <= colours
    assert len(head["title"]) and len(head["emoji"]) <= 2 and len(head["short_description"]) <= 60
    assert set(head.get("models", [])) == {row.source for row in catalog.rows() if not row.bundled}


def test_the_readme_names_what_is_there() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    for path in re.findall(r"\]\(((?!http|#)[^)]+)\)", text):
        assert (ROOT / path).exists(), path
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"make ([a-z][a-z-]+)", text)) <= targets


def test_every_script_that_make_runs_is_there() -> None:
    for module in re.findall(r"-m (tools[.\w]*)", (ROOT / "Makefile").read_text("utf-8")):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module


def test_requirement_files_agree() -> None:
    pinned = pins()
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-train.txt"):
        for package, requirement in requirements(name).items():
            assert pinned[package] in requirement.specifier, f"{package} in {name} and requirements.lock"
    for package in pinned:
        assert not re.match("nvidia|cuda|triton", package), f"{package} would not install beside a CPU build of torch"
    assert all(len(one.specifier) == 1 for one in requirements("requirements.lock").values())


def test_every_asset_has_its_licence() -> None:
    text = (ASSETS / "LICENSES.md").read_text("utf-8")
    listed = set(re.findall(r"`(examples/[^`]+)`", text))
    assert listed == {f"examples/{path.name}" for path in (ASSETS / "examples").iterdir()}
    assert "labels/imagenet-1k.txt" in text


def test_example_photos_are_small_and_readable() -> None:
    paths = list((ASSETS / "examples").iterdir())
    assert 8 <= len(paths) <= 10 and sum(path.stat().st_size for path in paths) <= 2**20
    for path in paths:
        assert max(inputs.photo(path).size) <= 640


@pytest.mark.parametrize("path", sorted((ASSETS / "labels").glob("*.txt")), ids=lambda path: path.stem)
def test_label_sets_are_labels_without_repetition(path: Path) -> None:
    names, notes = inputs.labels(path.read_text("utf-8"))
    assert list(names) == path.read_text("utf-8").splitlines() and not notes


def test_ready_made_label_sets() -> None:
    count = {path.stem: len(path.read_text("utf-8").splitlines()) for path in (ASSETS / "labels").glob("*.txt")}
    assert count["imagenet-1k"] == 1000 and count["cifar-10"] == 10 and len(count) >= 6


def imported(code: str) -> set[str]:
    """The top-level modules that Python has after running this."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return set(done.stdout.splitlines()[-1].split())


def test_the_page_is_up_before_torch_is() -> None:
    modules = imported("import app\nfrom ui import page\npage.build(page.Settings({}))")
    assert "gradio" in modules and not modules & set(HEAVY)


def test_the_light_half_of_the_pipelines_is_light() -> None:
    modules = imported("import pipelines\nfrom pipelines import address, catalog, errors, inputs, results")
    assert not modules & {"gradio", *HEAVY}


@pytest.mark.parametrize(("said", "plain"), [({}, "True"), ({"HF_HUB_DISABLE_XET": "0"}, "False")])
def test_models_come_by_plain_http_unless_the_user_says_otherwise(said: dict[str, str], plain: str) -> None:
    code = "import pipelines\nfrom huggingface_hub import constants\nprint(constants.HF_HUB_DISABLE_XET)"
    kept = {name: value for name, value in os.environ.items() if name != "HF_HUB_DISABLE_XET"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=kept | said, capture_output=True, text=True)
    assert done.stdout.strip() == plain


def test_pipelines_do_not_know_the_page() -> None:
    modules = imported("import pipelines\nfor name in pipelines.TASKS: pipelines.task(name)")
    assert "torch" in modules and not modules & {"gradio", "ui", "app", "tools"}


def test_no_code_of_the_app_imports_tools_or_the_data() -> None:
    for path in [ROOT / "app.py", *ROOT.glob("pipelines/*.py"), *ROOT.glob("ui/*.py")]:
        text = path.read_text("utf-8")
        assert not re.search(r"^\s*(from|import) tools\b", text, re.MULTILINE), path
        assert "../shared" not in text, path


def test_a_space_gets_what_the_app_needs() -> None:
    files = space.files()
    assert {"app.py", "README.md", "requirements.txt", "pipelines/catalog.toml"} <= set(files)
    assert not [name for name in files if name.startswith((".venv", "build", "tests"))]


def test_a_space_gets_a_torch_that_zerogpu_has() -> None:
    asked, ours = space.requirements().splitlines(), requirements("requirements.txt")
    assert {"torch==2.13.0", "torchvision==0.28.0"} <= set(asked) and len(asked) > len(ours) - 1
    assert all(ours[name].specifier.contains(version) for name, version in space.NEWEST.items())


def test_a_space_without_a_name_or_a_token_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "")
    monkeypatch.setenv("HF_TOKEN_PATH", str(ROOT / "no" / "token"))
    for arguments, sentence in (([], "Name the Space"), (["me/quartet"], "no Hugging Face token")):
        done = subprocess.run(
            [sys.executable, "-m", "tools.space", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 2 and sentence in done.stderr and "Traceback" not in done.stderr
