# Every target makes the environment it needs. Python 3.11 or later and make are enough.
PYTHON ?= python3
TORCH  ?= torch==2.13.0
BIN     = .venv/bin
READY   = .venv/.ready
KERAS   = .venv-keras/.ready

# make demo                                        synthetic cells, then another lab's stain
# make demo DATA=my/train TEST=my/test BUDGET=20m  your own images
DATA   ?= demo/home
TEST   ?= demo/other
BUDGET ?= 100s
SEED   ?= 0

.PHONY: demo test check bench docs clean

demo: $(READY)
	rm -rf demo
	$(if $(filter demo/home,$(DATA)),$(BIN)/stainproof phantom --out demo/home --n 4000 --seed 1)
	$(if $(filter demo/other,$(TEST)),$(BIN)/stainproof phantom --out demo/other --n 800 --seed 2 --lab other)
	$(BIN)/stainproof train "$(DATA)" --out demo/run --preset quick --budget $(BUDGET) --seed $(SEED)
	$(BIN)/stainproof evaluate demo/run "$(TEST)"
	@echo "open the report:"; $(BIN)/stainproof report demo/run

test: $(READY)
	$(BIN)/pytest

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY) $(KERAS)
	$(BIN)/python benchmarks/phantoms.py
	.venv-keras/bin/python benchmarks/reference_network.py

docs: $(READY)
	$(BIN)/python docs/command_line.py
	$(BIN)/python docs/pictures.py

clean:
	rm -rf .venv .venv-keras demo

$(READY): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check "$(TORCH)"
	$(BIN)/pip install -q --disable-pip-version-check -e ".[dev]"
	touch $@

$(KERAS): pyproject.toml benchmarks/requirements-keras.txt
	$(PYTHON) -m venv .venv-keras
	.venv-keras/bin/pip install -q --disable-pip-version-check "$(TORCH)"
	.venv-keras/bin/pip install -q --disable-pip-version-check -r benchmarks/requirements-keras.txt -e .
	touch $@
