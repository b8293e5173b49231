# Every target makes the environment it needs. Python 3.11 or later and make are enough.
PYTHON ?= python3
TORCH  ?= torch==2.13.0
BIN     = .venv/bin
READY   = .venv/.ready
KERAS   = .venv-keras/.ready
BENCH   = .venv-bench/.ready
FASTDUP = .venv-fastdup/.ready

# make demo                                        synthetic cells, then another lab's stain
# make demo DATA=my/train TEST=my/test BUDGET=20m  your own images
DATA   ?= demo/home
TEST   ?= demo/other
BUDGET ?= 100s
SEED   ?= 0

.PHONY: demo test test-slow test-keras test-transfer check bench bench-smoke docs pictures clean

demo: $(READY)
	@rm -rf demo
	@echo "demo 1 of 3: $(if $(filter demo/home,$(DATA)),making 4800 synthetic cells (one minute),your images in $(DATA))"
	$(if $(filter demo/home,$(DATA)),$(BIN)/stainproof phantom --out demo/home --n 4000 --seed 1)
	$(if $(filter demo/other,$(TEST)),$(BIN)/stainproof phantom --out demo/other --n 800 --seed 2 --lab other)
	@echo "demo 2 of 3: training for $(BUDGET), then export and report"
	$(BIN)/stainproof train "$(DATA)" --out demo/run --preset light --budget $(BUDGET) --seed $(SEED)
	@echo "demo 3 of 3: evaluating on $(TEST)"
	$(BIN)/stainproof evaluate demo/run "$(TEST)"
	@echo "open the report:"; $(BIN)/stainproof report demo/run

PYTEST = OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto

# Under two minutes on two cores; what takes more than a few seconds is in test-slow.
test: $(READY)
	$(PYTEST) --dist loadfile -m "not slow"

test-slow: $(READY)
	$(PYTEST) --dist load -m slow

# Submissions in the Python of the contest's grader: Keras 3.4.1 on TensorFlow 2.17.
test-keras: $(READY) $(KERAS)
	OMP_NUM_THREADS=1 GRADER=.venv-keras/bin/python $(BIN)/pytest tests/keras

# Transfer learning needs torchvision, which needs PyPI's own torch: the benchmarks' environment.
test-transfer: $(BENCH)
	OMP_NUM_THREADS=1 .venv-bench/bin/pytest tests/transfer

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# make bench                                       what needs no real image
# make bench REAL=../shared/data                   all of it, on the ds1, ds1_truth.csv, clean, ds2,
#                                                  ds2_truth.csv and other_lab in there
# A training that has a row in benchmarks/ is not repeated. Run folders are in runs/.
RUN   = $(BIN)/python -m benchmarks
TESTS = --tests $(REAL)/clean $(REAL)/ds2 $(REAL)/other_lab
STUDY = --data runs/ds1_clean.csv $(TESTS)
TRUTH = --data $(REAL)/ds1 --truth $(REAL)/ds1_truth.csv
LONG  = $(foreach seed,0 1 2,runs/techniques/muon-long-$(seed))
bench: $(READY) $(KERAS) $(BENCH) $(if $(REAL),$(FASTDUP))
	$(RUN).synthetic.speed
	.venv-keras/bin/python -m benchmarks.training.step_beside_keras
	$(RUN).training.step
	$(RUN).inference.beside_other_tools
	$(RUN).inference.growth
	$(RUN).augmentation.beside_other_tools
	$(RUN).audit.near_duplicates
	$(RUN).search.proposals
	$(RUN).reliability.kills
	$(RUN).evaluation.grouped_intervals
	.venv-bench/bin/python -m benchmarks.audit.doctored $(if $(REAL),--real $(REAL)/clean)
ifdef REAL
	mkdir -p runs
	.venv-bench/bin/python -m benchmarks.audit.single_overlay_methods --real $(REAL)/clean
	$(RUN).synthetic.transfer_to_real_cells --real $(REAL)/clean
	$(RUN).audit.against_truth $(TRUTH) $(REAL)/clean $(REAL)/other_lab
	$(RUN).audit.beside_other_tools $(TRUTH)
	test -e runs/audit || $(BIN)/stainproof audit $(REAL)/ds1 --out runs/audit
	test -e runs/ds1_clean.csv || $(BIN)/stainproof clean $(REAL)/ds1 --audit runs/audit --out runs/ds1_clean.csv
	$(RUN).audit.cleaning_effect --data $(REAL)/ds1 --test $(REAL)/clean $(REAL)/ds2 $(REAL)/other_lab --budget 10m
	$(RUN).augmentation.study $(STUDY) --truth $(REAL)/ds2_truth.csv --runs runs/augmentation
	$(RUN).augmentation.tables
	.venv-bench/bin/python -m benchmarks.training.transfer $(STUDY) --truth $(REAL)/ds2_truth.csv --runs runs/transfer
	$(RUN).training.selection_criteria --data runs/ds1_clean.csv --shifted $(REAL)/ds2 --other $(REAL)/other_lab runs/augmentation/*
	$(RUN).inference.engines_agree runs/augmentation/long-randaugment-2 --tests $(REAL)/clean $(REAL)/ds2
	$(RUN).training.time_to_accuracy $(STUDY)
	$(RUN).training.time_to_accuracy $(STUDY) --only stainproof --minutes 3
	$(RUN).training.time_to_accuracy $(STUDY) --only stainproof --minutes 1
	$(RUN).training.study $(STUDY) --truth $(REAL)/ds2_truth.csv --runs runs/techniques --only baseline start start-long sizes optimizers muon-long techniques searched
	test -e teacher || $(BIN)/stainproof ensemble runs/techniques/muon-long-0 runs/techniques/muon-long-1 --out teacher
	$(RUN).training.study $(STUDY) --truth $(REAL)/ds2_truth.csv --runs runs/techniques --only teacher teacher-long taught
	$(BIN)/stainproof search runs/ds1_clean.csv --out runs/search --trials 30 --budget 2m
	$(RUN).search.study runs/search $(STUDY) --runs runs/searched
	$(RUN).training.tables
	$(RUN).inference.tta_and_ensembles $(LONG) $(TESTS)
	$(RUN).training.weight_averaging runs/techniques/no-average $(STUDY)
	$(RUN).contest.submission runs/techniques/muon-long-0 --on $(REAL)/ds2
endif
	$(RUN).training.networks

# Every benchmark in seconds on synthetic cells; nothing is published.
bench-smoke: $(READY)
	OMP_NUM_THREADS=1 $(RUN).smoke

# The generated pages, then the site in build/site; a broken link is an error.
docs: $(READY)
	$(BIN)/python docs/command_line.py
	$(BIN)/python docs/operations.py
	$(BIN)/python docs/results_tables.py
	$(BIN)/zensical build --clean --strict

pictures: $(READY)
	$(BIN)/python docs/pictures.py

clean:
	rm -rf .venv .venv-keras .venv-bench .venv-fastdup demo build

$(READY): pyproject.toml
	@echo "setup 1 of 3: creating the Python environment .venv"
	@$(PYTHON) -m venv .venv
	@echo "setup 2 of 3: installing PyTorch (~200 MB for the CPU; several GB where pip finds only CUDA's)"
	@$(BIN)/pip install -q --disable-pip-version-check "$(TORCH)"
	@echo "setup 3 of 3: installing stainproof, its dependencies and its development tools (~600 MB)"
	@$(BIN)/pip install -q --disable-pip-version-check -e ".[dev]"
	@touch $@

$(KERAS): pyproject.toml benchmarks/requirements-keras.txt
	$(PYTHON) -m venv .venv-keras
	.venv-keras/bin/pip install -q --disable-pip-version-check "$(TORCH)"
	.venv-keras/bin/pip install -q --disable-pip-version-check -r benchmarks/requirements-keras.txt -e .
	touch $@

$(BENCH): pyproject.toml benchmarks/requirements-bench.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install -q --disable-pip-version-check torch==2.14.1 torchvision==0.29.1
	.venv-bench/bin/pip install -q --disable-pip-version-check -r benchmarks/requirements-bench.txt -e ".[transfer,openvino]"
	touch $@

# fastdup pins older versions of the other tools' packages: pip finds no common solution.
$(FASTDUP): Makefile
	$(PYTHON) -m venv .venv-fastdup
	.venv-fastdup/bin/pip install -q --disable-pip-version-check "fastdup>=2.50"
	touch $@
