"""The bundled models through the pipelines, as a notebook calls them."""

import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import pipelines
from pipelines import catalog, device, inputs, known
from pipelines.errors import UserError, text
from pipelines.results import Answer, Caption, Partial, Pictures, Progress

EXAMPLES = catalog.ROOT / "assets" / "examples"
CAT = EXAMPLES / "cat.jpg"


def photos() -> list[Path]:
    return sorted(EXAMPLES.glob("*.jpg"))


def test_embeddings_are_of_unit_length() -> None:
    classify = pipelines.task("classify")
    pictures = classify.embed_photos([CAT, PIL.Image.new("RGB", (300, 20), "red")])
    texts = classify.embed_texts(["a cat", "a photo of a dog."])
    for vectors in (pictures, texts):
        assert vectors.dtype == np.float32 and vectors.shape[0] == 2
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert pictures.shape[1] == texts.shape[1]


def test_classify_keeps_the_order_of_the_labels_and_sums_to_one() -> None:
    result = pipelines.task("classify").run(CAT, ["a truck", "a cat", "a pizza"])
    assert result.labels == ("a truck", "a cat", "a pizza")
    assert sum(result.probability) == pytest.approx(1)
    assert all(0 <= share <= 1 for share in result.independent)
    assert result.top(1)[0].label == "a cat" and len(result.top(2)) == 2


@pytest.mark.parametrize(
    ("label", "said"),
    [("cat", "a photo of a cat."), ("owl", "a photo of an owl."), ("unicorn", "a photo of a unicorn."),
     ("a cat", "a photo of a cat."), ("two owls", "a photo of two owls."), ("猫", "a photo of a 猫.")],
)  # fmt: skip
def test_a_label_stands_in_its_template_as_english_wants(label: str, said: str) -> None:
    assert pipelines.task("classify").filled("a photo of a {}.", label) == said


def test_classify_tells_how_many_texts_are_encoded() -> None:
    labels = [f"thing number {i}" for i in range(150)]
    events = list(pipelines.task("classify").stream(CAT, labels, templates=["a photo of a {}."]))
    encoding = [event for event in events if isinstance(event, Progress) and event.code == "encoding_texts"]
    assert encoding[-1].total == 150 and len(encoding) >= 2


def test_captions_differ_with_the_photo_and_stream_by_the_word() -> None:
    caption = pipelines.task("caption")
    events = list(caption.stream(CAT))
    parts = [event.text for event in events if isinstance(event, Partial)]
    result = events[-1]
    assert isinstance(result, Caption) and result.text.startswith(parts[1].split(" ")[0])
    assert " ".join(word.text for word in result.words) == result.text
    assert 0 < result.confidence <= 1
    assert len({caption.run(photo).text for photo in photos()}) > len(photos()) / 2


def test_a_caption_begins_as_asked_and_keeps_to_its_length() -> None:
    result = pipelines.task("caption").run(CAT, prompt="a photo of", max_words=3)
    assert result.text.startswith("a photo of ") and len(result.words) <= 3


def test_beams_show_progress_and_give_the_probability_of_each_word() -> None:
    events = list(pipelines.task("caption").stream(CAT, beams=3))
    assert any(isinstance(event, Progress) and event.code == "writing" for event in events)
    assert not any(isinstance(event, Partial) for event in events)
    assert all(0 < word.probability <= 1 for word in events[-1].words)


def test_ask_gives_other_answers_with_their_probability() -> None:
    result = pipelines.task("ask").run(CAT, "is there a cat in the photo?", history=[("what is it?", "a cat")])
    assert isinstance(result, Answer) and result.text
    shares = [share for _, share in result.others]
    assert shares == sorted(shares, reverse=True) and all(0 < share <= 1 for share in shares)
    assert result.text not in [other for other, _ in result.others]


def test_a_long_talk_is_read_from_as_far_back_as_the_model_can() -> None:
    pairs = [(f"what is thing {i}?", "a cat") for i in range(9)]
    ask = pipelines.task("ask").run
    kept = catalog.find("ask", "quartet-vlm").options["turns"]
    short, long = (ask(CAT, "what is it?", history=some) for some in (pairs[-kept:], pairs))
    assert (long.text, long.confidence) == (short.text, pytest.approx(short.confidence))
    assert short.notes == () and str(kept) in long.notes[0]
    assert ask(CAT, "what is it?", history=[("what " * 390, "cat " * 400), pairs[0]]).notes


def test_words_that_are_marks_of_the_tokenizer_are_words_and_too_many_are_refused() -> None:
    assert pipelines.task("ask").run(CAT, "What is <image>?", history=[("<image>", "<end>")]).text
    assert pipelines.task("caption").run(CAT, prompt="<image> a").text
    for task, words in (("ask", {"question": "zq" * 1000}), ("caption", {"prompt": "zq" * 1000})):
        with pytest.raises(UserError) as refused:
            pipelines.task(task).run(CAT, **words)
        assert refused.value.code == "words_room"


def test_a_temperature_makes_the_same_answers_less_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    options, found = catalog.find("ask", "quartet-vlm").options, []
    for degree in (1.0, 1.3):
        monkeypatch.setitem(options, "answer_temperature", degree)
        found.append(pipelines.task("ask").run(CAT, "is there a dog?"))
    sure, less = found
    assert sure.text == less.text and less.confidence < sure.confidence
    assert sum(chance for _, chance in less.others) > sum(chance for _, chance in sure.others)
    assert less.confidence + sum(chance for _, chance in less.others) <= 1.01


def test_a_text_or_photo_by_itself_has_one_embedding_and_none_is_a_sentence() -> None:
    classify = pipelines.task("classify")
    assert classify.embed_texts("a cat").shape == classify.embed_photos(CAT).shape == (1, 256)
    assert classify.embed_texts(text for text in ("a cat", "a dog")).shape == (2, 256)
    for embed, nothing in (
        (classify.embed_texts, []),
        (classify.embed_texts, [5]),
        (classify.embed_texts, None),
        (classify.embed_photos, 3),
        (classify.embed_photos, np.zeros((4, 4, 3))),
        (classify.embed_photos, []),
        (classify.embed_photos, None),
    ):
        with pytest.raises(UserError):
            embed(nothing)


def test_labels_that_can_not_be_read_or_told_apart_are_said() -> None:
    run, name = pipelines.task("classify").run, catalog.find("classify").name
    assert run(CAT, ["a cat", "宇宙"]).notes == (text("notes.foreign", model=name, words="宇宙"),)
    assert run(CAT, ["a dog", "猫"]).notes == (text("notes.labels_read", labels="猫 → cat"),)
    assert run(CAT, ["狗", "猫"]).top(1)[0].label == "猫"
    assert run(CAT, ["🐱", "a cat"]).notes == (text("notes.foreign", model=name, words="🐱"),)
    long = "a very " + "large and old " * 12 + "cat"
    assert text("notes.label_cut", label=inputs.short(long)) in run(CAT, [long, "a dog"]).notes
    assert run(CAT, ["Cat", "cat", "a dog"]).notes == (text("notes.labels_alike", labels="Cat, cat"),)
    assert run(CAT, ["a cat", "a café", "a dog"]).notes == ()


def test_a_question_in_a_script_that_the_model_does_not_read_is_said() -> None:
    asked, name, run = "宇宙有多大？", catalog.find("ask").name, pipelines.task("ask").run
    assert run(CAT, asked).notes == (text("notes.foreign", model=name, words=asked),)
    assert run(CAT, "???").notes == (text("notes.wordless"),)
    found, plain = run(CAT, "这是什么动物？", history=[("有狗吗？", "no")]), "what animal is this?"
    assert found.notes == (text("notes.question_read", question=plain),)
    assert found.text == run(CAT, plain, history=[("is there a dog?", "no")]).text == "cat"


def test_a_device_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    device.pick.cache_clear()
    monkeypatch.setenv("QUARTET_DEVICE", "mps")
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(UserError, match="no mps"):
        device.pick()


def test_the_same_seed_gives_the_same_pixels_and_each_picture_stands_alone() -> None:
    generate = pipelines.task("generate")
    two = generate.run("a red apple", seed=7, steps=3, count=2)
    assert isinstance(two, Pictures) and two.seeds == (7, 8)
    alone = generate.run("a red apple", seed=8, steps=3)
    assert alone.pictures[0].tobytes() == two.pictures[1].tobytes()
    assert two.pictures[0].tobytes() != two.pictures[1].tobytes()
    assert generate.again(two.recipes[1]).pictures[0].tobytes() == two.pictures[1].tobytes()


@pytest.mark.parametrize(
    ("prompt", "drawn"),
    [("a tree", ["a tree", "an evergreen tree", "a palm tree"]), ("an apple on a pink background", ["an apple on a pink background", "a green apple on a pink background"]),
     ("an animal", ["a cat", "an elephant", "a giraffe"]), ("a red fruit", ["a red apple"] * 2), ("三个水果", ["three apples"] * 2),
     ("a toy on a boat", ["a teddy bear on a sailboat", "a teddy bear on a ship", "a balloon on a sailboat"]),
     ("一只猫", ["a cat", "a cat standing"]), ("dog", ["dog", "dog standing"]), ("the pig", ["the pig", "the whole pig"]), ("a red car", ["a red car"] * 2),
     ("a little cat", ["a little cat"] * 2), ("two cats", ["two cats"] * 2), ("cats", ["cats"] * 2), ("a cat to the left of a tree", ["a cat to the left of a tree"] * 2)],
)  # fmt: skip
def test_each_seed_draws_one_thing_in_its_own_way_and_the_recipe_says_so(prompt: str, drawn: list[str]) -> None:
    result = pipelines.task("generate").run(prompt, seed=0, steps=1, count=len(drawn))
    assert [recipe["drawn"] for recipe in result.recipes] == drawn


def test_what_stands_in_an_unusual_way_is_asked_for_only_where_it_is_drawn_well() -> None:
    brush = known.read(catalog.find("generate", "quartet-brush").folder)
    assert brush is not None
    some = replace(brush, turns={"egg": ["tilted", "tall"], "pizza": ["wide"]})
    assert [some.turned("an egg", seed) for seed in range(4)] == ["an egg", "a tilted egg", "a tall egg", "an egg"]
    assert some.turned("a slice of pizza", 1) == "a wide slice of pizza"
    assert some.turned("a fox", 1) == "a fox"


def test_guidance_of_0_or_1_is_none_and_more_counts() -> None:
    generate = pipelines.task("generate")
    none, least, more = (
        generate.run("a red apple", seed=5, steps=2, guidance=guidance).pictures[0].tobytes() for guidance in (0, 1, 4)
    )
    assert none == least != more


def test_more_steps_leave_no_grain() -> None:
    draw = pipelines.task("generate").run
    few, many = (np.asarray(draw("an apple", seed=1, steps=n).pictures[0], float) for n in (20, 40))
    assert np.abs(np.diff(many, axis=1)).mean() < 1.2 * np.abs(np.diff(few, axis=1)).mean()


def test_all_64_bits_of_a_seed_count() -> None:
    generate = pipelines.task("generate")
    low, high = (generate.run("a red apple", seed=seed, steps=1).pictures[0].tobytes() for seed in (5, 2**40 + 5))
    assert low != high


def test_each_step_shows_a_preview() -> None:
    events = list(pipelines.task("generate").stream("a red apple", seed=1, steps=4))
    previews = [event for event in events if isinstance(event, Partial)]
    assert [event.step for event in previews] == [1, 2, 3, 4]
    assert all(event.picture is not None and event.picture.size == (256, 256) for event in previews)


def test_the_part_of_a_prompt_that_is_cut_is_said() -> None:
    result = pipelines.task("generate").run("an apple " * 20 + "and a hidden zebra", steps=1)
    assert "hidden zebra" in result.notes[0]


@pytest.mark.parametrize(
    ("prompt", "strange"),
    [("a photo of Paris at night", ["Paris", "night"]), ("a woman in a red dress", ["woman"]), ("blue", ["blue"]), ("an orange", []),
     ("一只戴帽子的猫", ["一只戴帽子的猫"]), ("一只猫", ["a cat"]), ("two blue cups of coffee on a pink background", []), ("a puppy to the left of a bike", []),
     ("five bananas", ["five"]), ("12 cats", ["12"]), ("a cat without a hat", ["without a hat"]), ("a red car, no people", ["no people"]), ("a five pointed star", []),
     ("no dogs, a cat", ["no dogs"]), ("a car, no people, no trees", ["no people, no trees"]), ("a snow man", []), ("a five-pointed star", []), ("a cat, not a dog", ["not a dog"]), ("a Chinese man", ["Chinese man"]), ("a lady and a cat", ["lady"]), ("女孩", ["女孩"]),
     ("a snowman", []), ("六个苹果", ["six", "six apples"])],
)  # fmt: skip
def test_words_that_the_brush_has_not_learned_are_said(prompt: str, strange: list[str]) -> None:
    notes = pipelines.task("generate").run(prompt, steps=1).notes
    assert [word for note in notes for word in re.findall("“(.+?)”", note)] == strange


@pytest.mark.parametrize(
    ("prompt", "plain"),
    [("an orange", "a tangerine"), ("two oranges", "two tangerines"), ("an orange and a cat", "a tangerine and a cat"),
     ("an orange and white cat", "an orange and white cat"), ("a car is orange", "a car is orange")],
)  # fmt: skip
def test_orange_is_a_colour_before_other_words_and_else_a_thing(prompt: str, plain: str) -> None:
    model = pipelines.task("generate")
    (told,) = model.run(prompt, steps=1).notes or ("",)
    assert ("tangerine" in told) == (prompt != plain)
    assert (
        model.run(prompt, seed=1, steps=1).pictures[0].tobytes()
        == model.run(plain, seed=1, steps=1).pictures[0].tobytes()
    )


@pytest.mark.parametrize(
    ("prompt", "plain"),
    [("a notebook computer", "a computer"), ("a car key", "a key"), ("an automobile", "a car"), ("a baby elephant", "an elephant")],
)  # fmt: skip
def test_of_two_words_the_last_says_what_it_is(prompt: str, plain: str) -> None:
    draw = pipelines.task("generate").run
    asked, told = (draw(one, seed=1, steps=1).pictures[0].tobytes() for one in (prompt, plain))
    assert asked == told


def test_a_chinese_prompt_is_drawn_as_what_it_says_and_the_page_says_so() -> None:
    draw = pipelines.task("generate").run
    asked = draw("三颗红色的星星", seed=1, steps=1)
    assert asked.notes == (text("notes.read_as", prompt="three red stars"),)
    assert asked.pictures[0].tobytes() == draw("three red stars", seed=1, steps=1).pictures[0].tobytes()


def test_digits_are_numbers_and_what_is_not_wanted_is_left_out() -> None:
    draw = pipelines.task("generate").run
    for asked, plain in (("3 cats", "three cats"), ("a cat without a hat", "a cat")):
        pictures = [draw(one, seed=1, steps=1).pictures[0].tobytes() for one in (asked, plain)]
        assert pictures[0] == pictures[1]


@pytest.mark.parametrize(
    ("prompt", "drawn"),
    [("Can you draw me a cat?", "a cat?"), ("please paint two cats", "two cats"), ("I would like to see a cat, 4k, red", "a cat, red")],
)  # fmt: skip
def test_who_asks_politely_gets_what_is_asked_for(prompt: str, drawn: str) -> None:
    draw = pipelines.task("generate").run
    asked, plain = (draw(one, seed=1, steps=1) for one in (prompt, drawn))
    assert asked.pictures[0].tobytes() == plain.pictures[0].tobytes()


@pytest.mark.parametrize(
    ("prompt", "drawn"),
    [("A gold car", "a yellow car"), ("an emerald car", "a green car"), ("four gold stars", "four gold stars"), ("two gold coins", "two gold coins"), ("a navy blue car", "a blue car"), ("an emerald and a ring", "an emerald and a ring"), ("silver", "silver")],
)  # fmt: skip
def test_shades_are_drawn_in_the_colour_that_is_known_unless_a_name_has_them(prompt: str, drawn: str) -> None:
    notes = pipelines.task("generate").run(prompt, steps=1).notes
    assert (text("notes.read_as", prompt=drawn) in notes) == (prompt != drawn)


@pytest.mark.parametrize(
    ("prompt", "code"),
    [("a car behind a house", "placed"), ("a cat in a castle", "placed"), ("a cat and a dog and a bird", "crowded"), ("a cat in front of a tree", "placed"), ("a cat wearing a top hat", "placed"), ("a cat on a chair", "placed"), ("a cat in a cup", "placed"), ("a cup of coffee", ""), ("猫和狗和鸟", "crowded"),
     ("a cat on a pink background", ""), ("a cat to the left of a tree", ""), ("a slice of pizza", "")],
)  # fmt: skip
def test_more_things_than_two_and_unknown_places_are_said(prompt: str, code: str) -> None:
    said = " ".join(pipelines.task("generate").run(prompt, steps=1).notes)
    known = {one: text(f"notes.{one}", word="…").partition("…")[0] for one in ("placed", "crowded")}
    assert {one for one, start in known.items() if start in said} == {code} - {""}


def test_a_prompt_that_only_denies_is_refused() -> None:
    draw = pipelines.task("generate").run
    with pytest.raises(UserError, match="not to be there"):
        draw("no cat", steps=1)
    assert text("notes.read_as", prompt="a dog") not in draw("not a cat but a dog", steps=1, seed=0).notes
    assert text("notes.denied", words="not a cat") in draw("not a cat but a dog", steps=1, seed=0).notes


@pytest.mark.parametrize(
    "prompt",
    ["a cat, high quality, 4k", "a highly detailed cat", "a cat in the style of van Gogh", "an oil painting of a cat", "a cat, masterpiece, best quality, trending on artstation"],
)  # fmt: skip
def test_other_styles_are_left_out_and_said(prompt: str) -> None:
    result = pipelines.task("generate").run(prompt, seed=0, steps=1)
    assert result.recipes[0]["drawn"].removeprefix("an ").removeprefix("a ") == "cat" and len(result.notes) == 1


def test_people_stay_people_and_are_no_fruit() -> None:
    for asked in ("a woman", "a Chinese man", "an African child"):
        assert pipelines.task("generate").run(asked, seed=0, steps=1).recipes[0]["drawn"] == asked


def test_steps_tell_what_is_finished_before_them() -> None:
    events = list(pipelines.task("generate").stream("a red apple", seed=1, steps=2, count=2))
    steps = [one for one in events if isinstance(one, Partial)]
    assert [(one.pictures, one.finished and one.finished.seeds) for one in steps] == [(2, None)] * 2 + [(2, (1,))] * 3
    assert steps[-1].finished is not None and isinstance(events[-1], Pictures)
    assert steps[-1].finished.pictures[0].tobytes() == events[-1].pictures[0].tobytes()


def test_a_word_that_the_brush_has_not_seen_is_taken_for_one_that_it_has() -> None:
    draw = pipelines.task("generate").run
    asked = draw("a big fluffy kitten", seed=1, steps=1)
    (note,) = asked.notes
    name = note.partition("fluffy kitten → ")[2].removesuffix(".")
    assert "kitten" not in name
    assert asked.recipes[0]["prompt"] == "a big fluffy kitten"
    known = draw(f"a big {name}", seed=1, steps=1)
    assert known.notes == ()
    assert known.pictures[0].tobytes() == asked.pictures[0].tobytes()


def test_a_general_word_stands_for_things_but_takes_no_strange_word() -> None:
    draw = pipelines.task("generate").run
    assert draw("an animal", seed=0, steps=1).notes == ()
    assert "seagull → bird" in draw("a seagull", seed=0, steps=1).notes[0]  # not "sea animal", nor "dolphins"


def test_closing_the_stream_stops_the_work_at_once() -> None:
    stream = pipelines.task("generate").stream("a red apple", steps=100, count=8)
    for event in stream:
        if isinstance(event, Partial):
            break
    start = time.monotonic()
    stream.close()
    assert time.monotonic() - start < 2


def test_an_unknown_model_is_one_sentence() -> None:
    with pytest.raises(UserError, match="nowhere"):
        pipelines.task("caption").run(CAT, model="nowhere")


@pytest.mark.parametrize(
    ("negative", "read"),
    [("red", "a red car"), ("红色", "a red car"), ("a helicopter", ""), ("car", ""), ("background", "")],
)
def test_a_colour_alone_as_negative_prompt_is_said_of_the_thing(negative: str, read: str) -> None:
    notes = pipelines.task("generate").run("a car", negative=negative, steps=1, seed=0).notes
    assert notes == ((text("notes.read_against", negative=read),) if read else ())
