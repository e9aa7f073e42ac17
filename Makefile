# Everything runs in its own environment, .venv, which is created when it is first needed and updated
# when setup.cfg or pyproject.toml changes.

# The first Python that is new enough; name another with `make PYTHON=/path/to/python3.12 …`.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; \
	done)
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet
.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@echo "Asgard, a training server for one machine. Targets:"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- environment: runtime ⊂ test ⊂ dev, so that a demo does not wait for test tools

$(BIN)/python:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Asgard needs Python 3.11 or newer; '$(or $(PYTHON),python3)' is not:" \
			"$$("$(or $(PYTHON),python3)" --version 2>&1 || true)" >&2; \
		echo "Install one and name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@echo "Making $(VENV) with $$("$(PYTHON)" --version)"
	@"$(PYTHON)" -m venv "$(VENV)" || { rm -rf "$(VENV)"; \
		echo "On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.runtime: setup.cfg pyproject.toml | $(BIN)/python
	@echo "Installing Asgard and its dependencies into $(VENV) (about a minute the first time)"
	@$(INSTALL) -e .
	@touch $@

$(VENV)/.test: setup.cfg pyproject.toml | $(BIN)/python
	@echo "Installing Asgard and the test tools into $(VENV) (about a minute the first time)"
	@$(INSTALL) -e '.[test]'
	@touch $(VENV)/.runtime $@

$(VENV)/.dev: setup.cfg pyproject.toml | $(BIN)/python
	@echo "Installing Asgard and the development tools into $(VENV) (about a minute the first time)"
	@$(INSTALL) -e '.[dev]'
	@touch $(VENV)/.runtime $(VENV)/.test $@

.PHONY: venv
venv: $(VENV)/.dev ## create .venv with all development tools

# --- use

.PHONY: demo
demo: $(VENV)/.runtime ## start Asgard, train a model, show the result
	@$(BIN)/python examples/demo.py

# --- checks

# Keeps bytecode whatever the shell's setting, or every worker would compile the tests in each run.
TESTED := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python

.PHONY: test
test: $(VENV)/.test ## all tests but soak, WORKERS=3 at once (real MLflow servers; ten minutes)
	@$(TESTED) -m pytest -n $(or $(WORKERS),3) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

.PHONY: test-unit
test-unit: $(VENV)/.test ## the quick tests (under 30 s)
	@$(TESTED) -m pytest -n $(or $(WORKERS),2) \
		-m "not mlflow and not service and not slow and not chaos" $(PYTEST_ARGS)

.PHONY: test-pythons
test-pythons: $(VENV)/.test ## execution and fidelity tests on Python 3.12 and 3.13, if installed
	@$(BIN)/python .ci/test_pythons.py

.PHONY: test-conditions
test-conditions: $(VENV)/.dev ## the whole suite under odd conditions, in random order; CONDITIONS="ahead …"
	@$(BIN)/python .ci/test_conditions.py --seed $(or $(SEED),1) $(CONDITIONS)

.PHONY: lint
lint: $(VENV)/.dev ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

.PHONY: types
types: $(VENV)/.dev ## mypy, strict
	@$(BIN)/mypy

.PHONY: soak
soak: $(VENV)/.test ## the tests that `make test` leaves out: more repetitions, larger sizes
	@$(TESTED) -m pytest -m soak $(PYTEST_ARGS)

ATTACKS := tests/system/attacks tests/supervisor/sandbox tests/supervisor/limits tests/mlflow/server tests/mlflow/guard \
	tests/cli/test_stranger.py tests/cli/test_hostile_output.py tests/jobs/submit/test_requirements.py \
	tests/core/files/test_tree_attacks.py tests/core/files/test_foreign_tree.py tests/client/test_files.py \
	tests/environments/test_hostile_modules.py tests/retention/test_hostile_trees.py \
	tests/executors/local/warm/test_planted_files.py tests/supervisor/test_disk_usage.py \
	tests/client/test_handshake.py tests/api/test_owners.py tests/auth/test_denials.py \
	tests/api/http/test_requests_in_progress.py tests/supervisor/test_socket_holder.py \
	tests/supervisor/test_held_sockets.py tests/mlflow/test_response_bounds.py

.PHONY: attack
attack: $(VENV)/.test ## the attacks of docs/security.md, in their long forms
	@$(TESTED) -m pytest -n $(or $(WORKERS),2) --dist loadfile -m "soak or not soak" $(ATTACKS) $(PYTEST_ARGS)

.PHONY: chaos
chaos: $(VENV)/.test ## kill -9 at random moments, full size; print figures
	@ASGARD_CHAOS_JOBS=500 ASGARD_CHAOS_ACCEPTS=100 $(BIN)/python -m pytest -m chaos -s $(PYTEST_ARGS)

.PHONY: fuzz
fuzz: $(VENV)/.test ## search for faults for FUZZ_SECONDS=600; print figures
	@FUZZ_SECONDS=$(or $(FUZZ_SECONDS),600) $(BIN)/python -m pytest -m fuzz -s $(PYTEST_ARGS)

# docs/benchmarks.md has complete runs only; RECORD=1 also records runs with QUICK=1 or ROWS=…
BENCH_TRIED := $(if $(RECORD),,$(or $(QUICK),$(ROWS)))
BENCH_JSON := $(if $(BENCH_TRIED),build/bench.json,benchmarks/results/bench.json)

.PHONY: bench
bench: $(VENV)/.test ## benchmarks and their peers: table, JSON, docs/benchmarks.md; ROWS=… QUICK=1
	@$(BIN)/python -m benchmarks --json $(BENCH_JSON) $(if $(QUICK),--quick) \
		$(if $(ROWS),--rows "$(ROWS)"); measured=$$?; \
		$(BIN)/python -m benchmarks.render --json $(BENCH_JSON) \
			--into $(if $(BENCH_TRIED),build,docs) && exit $$measured

.PHONY: wheel-test
wheel-test: $(VENV)/.dev ## install the wheel into an empty environment, run the 13 checks there
	@$(BIN)/python .ci/wheel_test.py

.PHONY: image-test
image-test: $(VENV)/.test ## build the image, start it, run the 13 checks there (root, on Debian)
	@$(BIN)/python .ci/image_test.py

.PHONY: vm-test
vm-test: $(VENV)/.dev ## boot Debian in a virtual machine, test systemd, cgroup v2 and reboots there (root)
	@$(BIN)/python .ci/vm_test.py $(if $(STAGES),--stages "$(STAGES)")

.PHONY: clean
clean: ## remove .venv, .bench, caches, build products and the demo's data
	@rm -rf "$(VENV)" .bench build dist demo-data .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@rm -rf *.egg-info .image-base .vm .coverage .coverage.*
	@find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
