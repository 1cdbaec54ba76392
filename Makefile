# What a newcomer needs: `make run` and `make test`. The rest is for those who work on Quartet.
# Each environment step leaves a stamp file, so that it runs once, and again when its requirements change.

VENV := .venv
PY := $(VENV)/bin/python
CODE := app.py pipelines ui tools tests
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c "$(FITS)" 2>/dev/null && echo $$p && break; done)

.PHONY: run test quick lint format bench eval screenshots train-clip train-vlm train-brush eval-brush space chromium readme

run: $(VENV)/run.stamp  ## the app at http://127.0.0.1:7860; flags: make run FLAGS="--port 8000"
	$(PY) app.py $(FLAGS)

test: $(VENV)/test.stamp lint chromium  ## everything that CI checks
	$(PY) -m pytest

quick: $(VENV)/test.stamp lint  ## under a minute
	$(PY) -m pytest -q -n 2 -m "not slow" tests/unit

lint: $(VENV)/test.stamp
	$(PY) -m ruff check $(CODE)
	$(PY) -m ruff format --check $(CODE)
	$(PY) -m mypy

format: $(VENV)/test.stamp
	$(PY) -m ruff check --fix $(CODE)
	$(PY) -m ruff format $(CODE)

bench: $(VENV)/run.stamp
	$(PY) -m tools.bench

eval: $(VENV)/train.stamp  ## figures on held-out data, into the model cards
	$(PY) -m tools.evaluate
	$(PY) -m tools.training.cards

screenshots: $(VENV)/test.stamp chromium
	$(PY) -m tools.screenshots

readme: $(VENV)/run.stamp  ## the tables of models in the README
	$(PY) -m tools.readme

train-clip: $(VENV)/train.stamp
	$(PY) -m tools.training.train_tower
	$(PY) -m tools.training.train_clip
	$(PY) -m tools.training.join_head
	$(PY) -m tools.training.name_things
	$(PY) -m tools.training.ground_head
	$(PY) -m tools.training.calibrate
	$(PY) -m tools.training.label_embeddings

train-vlm: $(VENV)/train.stamp
	$(PY) -m tools.training.train_vlm
	$(PY) -m tools.training.reward_vlm
	$(PY) -m tools.training.sureness

train-brush: $(VENV)/train.stamp
	$(PY) -m tools.training.train_brush
	$(PY) -m tools.training.train_brush --export assets/models/quartet-brush
	$(PY) -m tools.training.turns

eval-brush: $(VENV)/train.stamp
	$(PY) -m tools.training.eval_brush

space: $(VENV)/run.stamp  ## make space NAME=you/quartet
	$(PY) -m tools.space $(NAME)

# A half-made environment (no working pip in it) is made anew.
$(VENV)/made.stamp:
	@test -n "$(PYTHON)" || { echo "Quartet needs Python 3.11 to 3.14. Install one, or name it: make run PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -c "$(FITS)" || { echo "Quartet needs Python 3.11 to 3.14; $(PYTHON) is another or does not run."; exit 1; }
	@{ $(PY) -c "$(FITS)" && $(PY) -m pip --version; } >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || \
		{ echo "The environment could not be made. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@touch $@

$(VENV)/run.stamp: $(VENV)/made.stamp requirements.txt
	@echo "Installing what Quartet needs: once, some minutes"
	$(PY) -m pip install -r requirements.txt
	@touch $@

# Tests run with the exact versions of requirements.lock.
$(VENV)/test.stamp: $(VENV)/made.stamp requirements.txt requirements-dev.txt requirements.lock
	$(PY) -m pip install -q -r requirements.txt -r requirements-dev.txt -c requirements.lock
	@touch $@ $(VENV)/run.stamp

$(VENV)/train.stamp: $(VENV)/made.stamp requirements.txt requirements-train.txt requirements.lock
	$(PY) -m pip install -q -r requirements.txt -r requirements-train.txt -c requirements.lock
	@touch $@

# For the tests in a browser: the system's Chromium or Chrome, else Debian's package, else Playwright's own.
chromium: $(VENV)/test.stamp
	@command -v chromium || command -v chromium-browser || command -v google-chrome || \
	{ test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; } || \
	$(PY) -m playwright install chromium
