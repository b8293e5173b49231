# Every target makes the environment it needs. Python 3.11 or later and make are enough.
PYTHON ?= python3
TORCH  ?= torch==2.13.0
BIN     = .venv/bin
READY   = .venv/.ready
KERAS   = .venv-keras/.ready
AUDIT   = .venv-audit/.ready
FASTDUP = .venv-fastdup/.ready
AUGMENT = .venv-augment/.ready
NEIGHBOURS = .venv-neighbours/.ready
TRANSFER = .venv-transfer/.ready

# make demo                                        synthetic cells, then another lab's stain
# make demo DATA=my/train TEST=my/test BUDGET=20m  your own images
DATA   ?= demo/home
TEST   ?= demo/other
BUDGET ?= 100s
SEED   ?= 0

.PHONY: demo test test-slow test-keras test-transfer check bench docs clean

demo: $(READY)
	rm -rf demo
	$(if $(filter demo/home,$(DATA)),$(BIN)/stainproof phantom --out demo/home --n 4000 --seed 1)
	$(if $(filter demo/other,$(TEST)),$(BIN)/stainproof phantom --out demo/other --n 800 --seed 2 --lab other)
	$(BIN)/stainproof train "$(DATA)" --out demo/run --preset light --budget $(BUDGET) --seed $(SEED)
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

# Transfer learning needs torchvision, which wants PyPI's own torch: an environment of its own.
test-transfer: $(TRANSFER)
	OMP_NUM_THREADS=1 .venv-transfer/bin/pytest tests/transfer

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# make bench                                       what needs no real image
# make bench REAL=../shared/data                   all of it, on the ds1, ds1_truth.csv, clean, ds2,
#                                                  ds2_truth.csv and other_lab in there; begins with
#                                                  no row, then goes on where it was stopped
TESTS = --tests $(REAL)/clean $(REAL)/ds2 $(REAL)/other_lab
STUDY = --data runs/ds1_clean.csv $(TESTS)
ROWS = $(foreach study,augmentation techniques transfer search time_to_accuracy,benchmarks/$(study)_rows.jsonl)
bench: $(READY) $(KERAS) $(AUDIT) $(FASTDUP) $(AUGMENT) $(NEIGHBOURS) $(TRANSFER)
	$(BIN)/python benchmarks/phantoms.py
	.venv-keras/bin/python benchmarks/reference_network.py
	$(BIN)/python benchmarks/training_step.py
	$(BIN)/python benchmarks/inference.py
	$(BIN)/python benchmarks/augmentation.py
	$(BIN)/python benchmarks/near_copies.py
	$(BIN)/python benchmarks/growth.py
	$(BIN)/python benchmarks/search_proposals.py
	.venv-audit/bin/python benchmarks/audit_doctored.py $(if $(REAL),--real $(REAL)/clean)
ifdef REAL
	.venv-audit/bin/python benchmarks/audit_methods.py --real $(REAL)/clean
	mkdir -p runs
	test -e runs/begun || rm -f $(ROWS)
	touch runs/begun
	$(BIN)/python benchmarks/phantom_transfer.py --real $(REAL)/clean
	$(BIN)/python benchmarks/audit_score.py --data $(REAL)/ds1 --truth $(REAL)/ds1_truth.csv $(REAL)/clean $(REAL)/other_lab
	$(BIN)/python benchmarks/audit_neighbours.py --data $(REAL)/ds1 --truth $(REAL)/ds1_truth.csv
	$(BIN)/stainproof audit $(REAL)/ds1 --out runs/audit
	$(BIN)/stainproof clean $(REAL)/ds1 --audit runs/audit --out runs/ds1_clean.csv
	$(BIN)/python benchmarks/augmentation_study.py $(STUDY) --truth $(REAL)/ds2_truth.csv --runs runs/augmentation
	$(BIN)/python benchmarks/augmentation_tables.py
	.venv-transfer/bin/python benchmarks/transfer_study.py $(STUDY) --truth $(REAL)/ds2_truth.csv --runs runs/transfer
	$(BIN)/python benchmarks/selection_criteria.py --data runs/ds1_clean.csv --shifted $(REAL)/ds2 --other $(REAL)/other_lab runs/augmentation/*
	$(BIN)/python benchmarks/engines_agree.py runs/augmentation/long-randaugment-2 --tests $(REAL)/clean $(REAL)/ds2
	$(BIN)/python benchmarks/time_to_accuracy.py $(STUDY)
	$(BIN)/python benchmarks/time_to_accuracy.py $(STUDY) --only stainproof --minutes 3
	$(BIN)/python benchmarks/time_to_accuracy.py $(STUDY) --only stainproof --minutes 1
	$(BIN)/python benchmarks/techniques_study.py $(STUDY) --truth $(REAL)/ds2_truth.csv --runs runs/techniques --only baseline start start-long sizes optimizers muon-long techniques searched
	rm -rf teacher
	$(BIN)/stainproof ensemble runs/techniques/muon-long-0 runs/techniques/muon-long-1 --out teacher
	$(BIN)/python benchmarks/techniques_study.py $(STUDY) --truth $(REAL)/ds2_truth.csv --runs runs/techniques --only teacher teacher-long taught
	$(BIN)/stainproof search runs/ds1_clean.csv --out runs/search --trials 30 --budget 2m
	$(BIN)/python benchmarks/search_study.py runs/search $(STUDY) --runs runs/searched
	$(BIN)/python benchmarks/techniques_tables.py
	$(BIN)/python benchmarks/answering.py runs/techniques/muon-long-0 runs/techniques/muon-long-1 runs/techniques/muon-long-2 $(TESTS)
	$(BIN)/python benchmarks/averages.py runs/techniques/no-average $(STUDY)
	$(BIN)/python benchmarks/submission.py runs/techniques/muon-long-0 --on $(REAL)/ds2
	$(BIN)/python benchmarks/cleaning_effect.py --data $(REAL)/ds1 --test $(REAL)/clean $(REAL)/ds2 $(REAL)/other_lab --budget 10m
endif
	$(BIN)/python benchmarks/networks.py

docs: $(READY)
	$(BIN)/python docs/command_line.py
	$(BIN)/python docs/pictures.py
	$(BIN)/python docs/operations.py
	$(BIN)/python docs/results_tables.py

clean:
	rm -rf .venv .venv-keras .venv-audit .venv-fastdup .venv-augment .venv-neighbours .venv-transfer demo

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

$(AUDIT): pyproject.toml benchmarks/requirements-audit.txt
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/pip install -q --disable-pip-version-check "$(TORCH)"
	.venv-audit/bin/pip install -q --disable-pip-version-check -r benchmarks/requirements-audit.txt -e .
	touch $@

$(FASTDUP): benchmarks/requirements-fastdup.txt
	$(PYTHON) -m venv .venv-fastdup
	.venv-fastdup/bin/pip install -q --disable-pip-version-check -r $<
	touch $@

$(NEIGHBOURS): pyproject.toml benchmarks/requirements-neighbours.txt
	$(PYTHON) -m venv .venv-neighbours
	.venv-neighbours/bin/pip install -q --disable-pip-version-check -r benchmarks/requirements-neighbours.txt -e .
	touch $@

$(TRANSFER): pyproject.toml tests/transfer/requirements.txt
	$(PYTHON) -m venv .venv-transfer
	.venv-transfer/bin/pip install -q --disable-pip-version-check torch==2.14.1 torchvision==0.29.1
	.venv-transfer/bin/pip install -q --disable-pip-version-check -r tests/transfer/requirements.txt -e ".[transfer,openvino]"
	touch $@

$(AUGMENT): benchmarks/requirements-augmentation.txt
	$(PYTHON) -m venv .venv-augment
	.venv-augment/bin/pip install -q --disable-pip-version-check -r $<
	touch $@
