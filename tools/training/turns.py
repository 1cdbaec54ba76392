"""Finds the ways of standing in which the brush draws each of its things well, by the recogniser, and writes them into its folder:
they are what seeds may ask for."""

from dataclasses import replace

from pipelines import catalog, generate, known
from tools.training import packages
from tools.training.recognise import Recogniser
from tools.training.stickers import WAYS, Art, article

SURE = 0.9  # of the art being first among 20
SEED, STEPS = 1000, 8  # not the seeds that `eval_brush` draws with


def main() -> None:
    folder = catalog.find("generate", "quartet-brush").folder
    model, art = known.read(folder), Art(packages.npm("@iconify-json/fluent-emoji-flat"), common=True)
    assert model
    see, turns = Recogniser(art), dict[str, list[str]]()
    for icon, names in art.names.items():
        asked = [article(f"{way} {names[0]}") for way in WAYS]
        drawn = [generate.run(prompt, seed=SEED, steps=STEPS).pictures[0] for prompt in asked]
        right = see.first(drawn, [(icon, "")] * len(drawn))
        well = [way for way, share in zip(WAYS, right, strict=True) if share >= SURE]
        print(names[0], well, flush=True)
        turns |= {name[start:end]: well for name in names for start, end in model.parts(name)}
    known.write(replace(model, turns=turns), folder)


if __name__ == "__main__":
    main()
