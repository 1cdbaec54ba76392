"""The command line: a flag, its variable, and what the pipelines read of it."""

import html
import socket

import pytest

import app
from pipelines import errors
from ui import language as spoken


def test_defaults() -> None:
    chosen = app.settings([])
    assert (chosen.host, chosen.port, chosen.share, chosen.warm) == ("127.0.0.1", 7860, False, True)


@pytest.mark.parametrize(
    ("environment", "host", "port"),
    [
        ({"SPACE_ID": "you/quartet"}, "0.0.0.0", 7860),
        ({"SPACE_ID": "you/quartet", "GRADIO_SERVER_NAME": "0.0.0.0", "GRADIO_SERVER_PORT": "7861"}, "0.0.0.0", 7861),
        ({"GRADIO_SERVER_NAME": "0.0.0.0", "QUARTET_HOST": "127.0.0.1"}, "127.0.0.1", 7860),
    ],
)
def test_a_space_listens_where_visitors_reach_it(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], host: str, port: int
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    chosen = app.settings([])
    assert (chosen.host, chosen.port) == (host, port)


def test_the_page_speaks_the_languages_that_have_texts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert {path.stem for path in errors.TEXTS.glob("*.toml")} | {"auto"} == {*app.LANGUAGES}
    monkeypatch.setenv("QUARTET_LANGUAGE", "zh")
    assert app.settings([]).language == "zh" and app.settings(["--language", "en"]).language == "en"
    assert errors.UserError("photo_empty").sentence() == errors.text("errors.photo_empty", "zh")
    monkeypatch.setenv("QUARTET_LANGUAGE", "xx")
    with pytest.raises(SystemExit):
        app.settings([])
    assert "there is auto and en and zh, not xx" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sent", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"), ("en-US,zh;q=0.5", "en"), ("de, zh-TW;q=0.4, en;q=0.3", "zh"), ("fr", "en"), ("", "en"),
        ("en;q=0.2,zh;q=0.7", "zh"), ("zh;q=much,en", "en"), ("fr; q=0.9, zh; q=0.8", "zh"), ("zh;q=0, fr", "en"), ("*", "en"),
    ],
)  # fmt: skip
def test_a_visitor_is_spoken_to_in_the_language_of_the_browser(
    monkeypatch: pytest.MonkeyPatch, sent: str, language: str
) -> None:
    monkeypatch.delenv("QUARTET_LANGUAGE", raising=False)
    assert spoken.of({"accept-language": sent}) == language
    monkeypatch.setenv("QUARTET_LANGUAGE", "zh")
    assert spoken.of({"accept-language": sent}) == "zh"


def test_a_page_of_marks_becomes_words() -> None:
    marks = (
        errors.text("page.title", errors.MARKED),
        html.escape(errors.text("classify.run_many", errors.MARKED, count="7", more="&")),
    )
    drawn = {"a": [f"<b>{marks[1]}</b> {marks[0]}", 3, None, "⟦"]}
    many, title = errors.text("classify.run_many", "zh", count="7"), errors.text("page.title", "zh")
    assert spoken.translated(drawn, "zh") == {"a": [f"<b>{many}</b> {title}", 3, None, "⟦"]}


def test_memory_is_a_number_above_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.settings(["--memory", "2.5"]).memory == 2.5
    for wrong in ("-3", "0", "much", "nan"):
        with pytest.raises(SystemExit):
            app.settings(["--memory", wrong])
    assert "above 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"), [(["--port", "99999"], "0 to 65535"), (["--port", "-1"], "0 to 65535"), (["--models", "/nowhere"], "no folder /nowhere")]
)  # fmt: skip
def test_a_flag_that_can_not_be_is_a_sentence(given: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        app.settings(given)
    assert said in capsys.readouterr().err


def test_a_login_needs_a_name_and_a_password(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.settings(["--auth", "ann:a:b"]).auth == ("ann", "a:b")
    for wrong in ("ann", "ann:", ":secret"):
        with pytest.raises(SystemExit):
            app.settings(["--auth", wrong])
        assert "name:password" in capsys.readouterr().err


def test_a_port_in_use_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QUARTET_ANY_MODEL", "HF_HUB_DISABLE_TELEMETRY", "GRADIO_ANALYTICS_ENABLED"):
        monkeypatch.setenv(name, "1")  # `main` sets them: they are put back
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit, match=f"port {port} .*--port {port + 1}"):
            app.main(["--port", str(port), "--no-warm"])
    with pytest.raises(SystemExit, match=r"no address 192\.0\.2\.1"):
        app.main(["--host", "192.0.2.1", "--port", str(port), "--no-warm"])


def test_a_variable_stands_for_each_flag_and_the_flag_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARTET_PORT", "8001")
    monkeypatch.setenv("QUARTET_SHARE", "1")
    monkeypatch.setenv("QUARTET_CAPTION_MODEL", "some-model")
    monkeypatch.setenv("QUARTET_MEMORY", "2.5")
    chosen = app.settings([])
    assert (chosen.port, chosen.share, chosen.caption_model, chosen.memory) == (8001, True, "some-model", 2.5)
    assert app.settings(["--port", "9000", "--no-share"]).port == 9000
    assert not app.settings(["--no-share"]).share
    monkeypatch.setenv("QUARTET_SHARE", "off")
    assert not app.settings([]).share


def test_a_switch_that_is_neither_on_nor_off_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUARTET_WARM", "maybe")
    with pytest.raises(SystemExit):
        app.settings([])
    assert "QUARTET_WARM is 1 or true" in capsys.readouterr().err


def test_help_names_what_a_stranger_looks_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        app.settings(["--help"])
    said = capsys.readouterr().out
    for flag in ("--host", "--port", "--share", "--auth", "--classify-model", "--models", "--memory"):
        assert flag in said
