"""The command line: a flag, its variable, and what the pipelines read of it."""

import pytest

import app


def test_defaults() -> None:
    chosen = app.settings([])
    assert (chosen.host, chosen.port, chosen.share, chosen.warm) == ("127.0.0.1", 7860, False, True)


def test_a_variable_stands_for_each_flag_and_the_flag_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARTET_PORT", "8001")
    monkeypatch.setenv("QUARTET_SHARE", "1")
    monkeypatch.setenv("QUARTET_CAPTION_MODEL", "some-model")
    monkeypatch.setenv("QUARTET_MEMORY", "2.5")
    chosen = app.settings([])
    assert (chosen.port, chosen.share, chosen.caption_model, chosen.memory) == (8001, True, "some-model", 2.5)
    assert app.settings(["--port", "9000", "--no-share"]).port == 9000
    assert not app.settings(["--no-share"]).share


def test_help_names_what_a_stranger_looks_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        app.settings(["--help"])
    said = capsys.readouterr().out
    for flag in ("--host", "--port", "--share", "--auth", "--classify-model", "--models", "--memory"):
        assert flag in said
