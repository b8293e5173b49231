# Every target makes the environment it needs. Python 3.11 or later and make are enough.
PYTHON ?= python3
TORCH  ?= torch==2.13.0
BIN     = .venv/bin
READY   = .venv/.ready
KERAS   = .venv-keras/.ready
BENCH   = .venv-bench/.ready
FASTDUP = .venv-fastdup/.ready
MEDMNISTC = .venv-medmnistc/.ready
RAY     = .venv-ray/.ready
TOOLS   = .venv-tools/.ready
ATHERIS = build/atheris/.ready

# make demo                                        synthetic cells, then another lab's stain
# make demo DATA=my/train TEST=my/test BUDGET=20m  your own images
DATA   ?= demo/home
TEST   ?= demo/other
BUDGET ?= 100s
SEED   ?= 0

.PHONY: demo test test-slow test-keras test-corruptions test-transfer test-node test-openapi test-ray test-wheel coverage mutants check bench bench-smoke campaign fuzz \
	docs pictures sbom lock clean

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

# FAILED=1 repeats the tests that failed last, one at a time.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/pytest $(if $(FAILED),--last-failed --numprocesses 0,--numprocesses auto)

# Under two minutes on two cores; what takes more than a few seconds is in test-slow.
test: $(READY)
	$(PYTEST) --dist loadfile -m "not slow and not campaign"

test-slow: $(READY)
	$(PYTEST) --dist load -m slow

# Submissions in the Python of the contest's grader: Keras 3.4.1 on TensorFlow 2.17.
test-keras: $(READY) $(KERAS)
	OMP_NUM_THREADS=1 GRADER=.venv-keras/bin/python $(BIN)/pytest --timeout 400 tests/keras

# The corruptions beside those of the package medmnistc, which needs ImageMagick (libmagickwand); not in CI.
test-corruptions: $(READY) $(MEDMNISTC)
	OMP_NUM_THREADS=1 MEDMNISTC=.venv-medmnistc/bin/python $(BIN)/pytest tests/corruptions

# The examples of docs/exports.md in Node.js, with packages from npm.
test-node: $(READY) build/node/package.json
	OMP_NUM_THREADS=1 $(BIN)/pytest --timeout 400 tests/node

build/node/package.json:
	npm install --prefix build/node --no-audit --no-fund onnxruntime-web@1 pngjs@7

# Requests that Schemathesis makes from the server's OpenAPI description, two minutes.
test-openapi: $(READY) $(TOOLS)
	OMP_NUM_THREADS=1 SCHEMATHESIS=$(CURDIR)/.venv-tools/bin/schemathesis $(BIN)/pytest tests/openapi

# Transfer learning needs torchvision, which needs PyPI's own torch: the benchmarks' environment.
test-transfer: $(BENCH)
	OMP_NUM_THREADS=1 .venv-bench/bin/pytest --timeout 400 tests/transfer

# Work on a cluster: a real one on this machine, whose workers are killed. Under five minutes.
test-ray: $(RAY)
	OMP_NUM_THREADS=1 .venv-ray/bin/pytest --timeout 400 -m "not campaign" tests/ray

# The built wheel in empty environments: base install, each extra, all extras; EXTRAS=none: base only.
# PYTHONS="python3.12 python3.13" tries these instead of the one that make uses.
test-wheel: $(TOOLS)
	.venv-tools/bin/python tests/installation.py --torch "$(TORCH)" $(if $(PYTHONS),--pythons $(PYTHONS)) $(if $(EXTRAS),--extras $(filter-out none,$(EXTRAS)))

# Branch coverage of all tests but those of other environments; the page is build/coverage/index.html.
coverage: $(READY)
	$(PYTEST) --dist load --cov --cov-report term:skip-covered --cov-report html:build/coverage

# Mutation tests of the modules that pyproject.toml names; a later call continues. `.venv/bin/mutmut results` lists
# the mutants that no test noticed.
MINUTES ?= 60
mutants: $(READY)
	@echo "mutants: at most $(MINUTES) minutes"
	@mkdir -p build
	OMP_NUM_THREADS=1 timeout $(MINUTES)m $(BIN)/mutmut run >build/mutants.log 2>&1 || test $$? -eq 124
	$(BIN)/mutmut export-cicd-stats
	@cat mutants/mutmut-cicd-stats.json; echo

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
SHIFTED = $(REAL)/ds2 $(REAL)/other_lab $(REAL)/labs/lisc
TRUTH = --data $(REAL)/ds1 --truth $(REAL)/ds1_truth.csv
LONG  = $(foreach seed,0 1 2,runs/techniques/muon-long-$(seed))
bench: $(READY) $(KERAS) $(BENCH) $(RAY) $(if $(REAL),$(FASTDUP))
	$(RUN).synthetic.speed
	.venv-keras/bin/python -m benchmarks.training.step_beside_keras
	$(RUN).training.step
	$(RUN).inference.beside_other_tools
	$(RUN).inference.growth
	$(RUN).augmentation.beside_other_tools
	$(RUN).audit.near_duplicates
	$(RUN).search.proposals
	$(RUN).reliability.kills
	.venv-ray/bin/python -m benchmarks.scale.overhead
	$(RUN).evaluation.grouped_intervals
	$(RUN).calibration.interval_coverage
	$(RUN).data.grouped_split
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
	$(RUN).corruptions.bloodmnist_c runs/techniques/muon-long-0 --test $(REAL)/clean
	$(RUN).calibration.calibration_error runs/techniques/muon-long-0 --home $(REAL)/clean --tests $(SHIFTED)
	$(RUN).calibration.abstention runs/techniques/muon-long-0 --home $(REAL)/clean --tests $(SHIFTED)
	$(RUN).contest.submission runs/techniques/muon-long-0 --on $(REAL)/ds2
	$(RUN).evaluation.count_intervals runs/techniques/muon-long-0 $(TESTS) $(REAL)/labs/lisc
endif
	$(RUN).training.networks

# Faults and attacks on everything that reads or writes, about three hours: docs/reliability.md.
campaign: $(READY) $(RAY)
	$(RUN).reliability.kills --kills 330
	$(RUN).reliability.hostile_files --files 6600
	$(RUN).reliability.conditions
	$(RUN).serve.hostile_files stainproof-light
	$(MAKE) fuzz
	$(PYTEST) --dist load tests/flow/test_hostile_run_folders.py tests/flow/test_hostile_submissions.py \
		tests/flow/test_sandbox_of_score.py tests/flow/test_unfenced.py
	OMP_NUM_THREADS=1 .venv-ray/bin/pytest -m campaign tests/ray

# Every reader under a coverage-guided fuzzer: so many minutes of processor time in total.
FUZZ_MINUTES ?= 60
fuzz: $(READY) $(ATHERIS)
	PYTHONPATH=$(dir $(ATHERIS)) OMP_NUM_THREADS=1 $(RUN).reliability.fuzz --minutes $(FUZZ_MINUTES)

# Every benchmark in seconds on synthetic cells; nothing is published.
bench-smoke: $(READY) $(ATHERIS)
	PYTHONPATH=$(dir $(ATHERIS)) OMP_NUM_THREADS=1 $(RUN).smoke

# The generated pages, then the site in build/site; a broken link is an error.
docs: $(READY)
	$(BIN)/python docs/command_line.py
	$(BIN)/python docs/operations.py
	$(BIN)/python docs/results_tables.py
	$(BIN)/python docs/sources_examples.py
	$(BIN)/python docs/dependencies.py
	$(BIN)/zensical build --clean --strict

pictures: $(READY)
	$(BIN)/python docs/pictures.py

clean:
	rm -rf .venv .venv-keras .venv-bench .venv-fastdup .venv-medmnistc .venv-ray .venv-tools demo build mutants

# The environments. Their packages come from a lock, by hash (requirements/README.md); LOCK= does without.
LOCK   ?= yes
PIP     = pip install -q --disable-pip-version-check
MISFIT  = the lock does not fit this platform; the same command with LOCK= installs without it
BY_HASH = $(if $(LOCK),$(1)/bin/$(PIP) --no-deps --require-hashes -r requirements/$(2).lock || { echo "$(MISFIT)"; exit 2; })
INSTALL = $(1)/bin/$(PIP) $(if $(LOCK),--no-deps --no-build-isolation -e .,-e $(2))

$(READY): pyproject.toml requirements/torch.lock requirements/dev.lock
	@echo "setup 1 of 3: creating the Python environment .venv"
	@$(PYTHON) -m venv .venv
	@echo "setup 2 of 3: installing PyTorch (~200 MB for the CPU; several GB where pip finds only CUDA's)"
	@$(call BY_HASH,.venv,torch)
	@$(BIN)/$(PIP) "$(TORCH)"
	@echo "setup 3 of 3: installing stainproof, its dependencies and its development tools (~600 MB)"
	@$(call BY_HASH,.venv,dev)
	@$(call INSTALL,.venv,".[dev]")
	@touch $@

$(KERAS): pyproject.toml requirements/torch.lock requirements/keras.lock
	$(PYTHON) -m venv .venv-keras
	@$(call BY_HASH,.venv-keras,torch)
	.venv-keras/bin/$(PIP) "$(TORCH)"
	@$(call BY_HASH,.venv-keras,keras)
	$(call INSTALL,.venv-keras,. -r requirements/keras.in)
	touch $@

# torchvision needs the torch that it was built for.
$(BENCH): pyproject.toml requirements/torch.lock requirements/bench.lock
	$(PYTHON) -m venv .venv-bench
	@$(call BY_HASH,.venv-bench,torch)
	.venv-bench/bin/$(PIP) torch==2.14.1 torchvision==0.29.1
	@$(call BY_HASH,.venv-bench,bench)
	$(call INSTALL,.venv-bench,".[transfer,openvino]" -r requirements/bench.in)
	touch $@

# fastdup pins older versions of the other tools' packages: pip finds no common solution.
$(FASTDUP): Makefile
	$(PYTHON) -m venv .venv-fastdup
	.venv-fastdup/bin/$(PIP) "fastdup>=2.50"
	touch $@

# What its corruptions of blood cells import; the whole package needs PyTorch and torchvision.
$(MEDMNISTC): Makefile
	$(PYTHON) -m venv .venv-medmnistc
	.venv-medmnistc/bin/$(PIP) --no-deps medmnistc==0.1.0
	.venv-medmnistc/bin/$(PIP) "wand>=0.6.13" scikit-image opencv-python-headless pillow numpy scipy
	touch $@

$(RAY): pyproject.toml requirements/torch.lock requirements/ray.lock
	$(PYTHON) -m venv .venv-ray
	@$(call BY_HASH,.venv-ray,torch)
	.venv-ray/bin/$(PIP) "$(TORCH)"
	@$(call BY_HASH,.venv-ray,ray)
	$(call INSTALL,.venv-ray,".[ray]" -r requirements/ray.in)
	touch $@

# The fuzzer, beside .venv: it has wheels for Linux only.
$(ATHERIS): requirements/fuzz.lock $(READY)
	$(BIN)/$(PIP) --upgrade --target $(dir $@) --no-deps --require-hashes -r requirements/fuzz.lock
	touch $@

$(TOOLS): requirements/tools.lock
	$(PYTHON) -m venv .venv-tools
	@$(call BY_HASH,.venv-tools,tools)
	$(if $(LOCK),,.venv-tools/bin/$(PIP) -r requirements/tools.in)
	touch $@

# The packages of .venv with versions and licences, as CycloneDX.
sbom: $(READY) $(TOOLS)
	@mkdir -p build
	.venv-tools/bin/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml --output-reproducible \
		--output-file build/sbom.json

# Writes the locks from pyproject.toml and requirements/*.in; UPGRADE=1 takes the newest versions.
COMPILE = .venv-tools/bin/uv pip compile --quiet --python .venv-tools/bin/python --python-version 3.11 \
	--universal --generate-hashes --custom-compile-command "make lock" \
	--excludes requirements/unlocked.txt $(if $(UPGRADE),--upgrade)
lock: $(TOOLS)
	$(COMPILE) pyproject.toml --extra dev requirements/torch.in -o requirements/dev.lock
	$(COMPILE) requirements/torch.in -c requirements/dev.lock -o requirements/torch.lock
	$(COMPILE) pyproject.toml requirements/torch.in requirements/keras.in -o requirements/keras.lock
	$(COMPILE) pyproject.toml --extra transfer --extra openvino requirements/torch.in requirements/bench.in \
		-o requirements/bench.lock
	$(COMPILE) pyproject.toml --extra ray requirements/torch.in requirements/ray.in \
		-o requirements/ray.lock
	$(COMPILE) requirements/tools.in -o requirements/tools.lock
	$(COMPILE) requirements/fuzz.in -o requirements/fuzz.lock
