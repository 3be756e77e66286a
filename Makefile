# `make` lists the targets. Needed: make, and Python >= 3.11 with its venv module. No more.

.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

UV_VERSION := 0.13.9
ARGS ?=

# The first of these that is new enough and can make an environment; or: make PYTHON=/path/to/python
CANDIDATES := python3 python3.13 python3.12 python3.11 python3.14
NEW_ENOUGH := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in $(CANDIDATES); do $$p -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$p && break; done)
# Airflow 2.11 runs on nothing newer; uv looks for it on the machine, then fetches it.
PYTHON_2_11 ?= >=3.11,<3.13

# The stricter BigQuery emulator runs on nothing older than 3.13: one on the PATH, or of pyenv,
# which PATH, PYENV_ROOT or home lead to; else uv looks, and tries once to fetch one.
PYENV_ROOTS = $(PYENV_ROOT) $(HOME)/.pyenv $(dir $(subst :, ,$(PATH)))
STRICT_CANDIDATES = python3.13 python3.14 python3 \
    $(wildcard $(addsuffix /versions/3.1[34]*/bin/python,$(PYENV_ROOTS)))
STRICT_ENOUGH := import sys; sys.exit(not (3, 13) <= sys.version_info < (3, 15))
PYTHON_STRICT ?= $(shell for p in $(STRICT_CANDIDATES); do \
    $$p -c '$(STRICT_ENOUGH)' 2>/dev/null && echo $$p && exit; done; echo '>=3.13,<3.15')
# Some of all that loads and merges, in two minutes; more: make test-strict STRICT_TESTS=tests/...
STRICT_TESTS = $(addprefix tests/integration/test_,strict.py kills.py::test_load_killed \
    load_cost.py::test_one_load_job_and_one_merge \
    load_cost.py::test_a_row_of_other_software_costs_a_second_look \
    $(addprefix loads.py::test_,details_before_calls purged_stays_purged) \
    details.py::test_a_call_that_vanishes_before_its_detail \
    equality.py::test_an_empty_interval_makes_an_empty_table \
    staging.py::test_a_bucket_is_loaded_by_bigquery_itself \
    unsaid.py::test_unknown_fields)

UV := .venv/bin/uv --quiet
# Trust whom the system trusts, as pip does: a company's proxy, say.
export UV_SYSTEM_CERTS ?= true
CODE := $(wildcard airflow_provider_talkpilot dags examples tests benchmarks scripts)

# Nothing of the caller's own Airflow, Google Cloud or Python leaks in.
$(foreach v,$(filter AIRFLOW_% BIGQUERY_EMULATOR_HOST CLOUDSDK_% GCLOUD_PROJECT GOOGLE_% \
    STORAGE_EMULATOR_HOST PYTHONDONTWRITEBYTECODE PYTHONHOME PYTHONPATH VIRTUAL_ENV,$(.VARIABLES)),\
    $(eval unexport $(v)))

# $(call in,ENVIRONMENT,AIRFLOW VERSION): what runs Airflow there, with a home of its own.
in = PATH="$(CURDIR)/$(1)/bin:$$PATH" VIRTUAL_ENV="$(CURDIR)/$(1)" \
    AIRFLOW_HOME="$(CURDIR)/.airflow/$(2)" \
    AIRFLOW__CORE__DAGS_FOLDER="$(CURDIR)/dags" \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=False
IN_3_3 = $(call in,.venv,3.3)
IN_2_11 = $(call in,.venv-2.11,2.11)

# Several files of tests at once, each with servers of its own.
PARALLEL := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
# A whole Airflow runs in these: each has the machine for itself.
ALONE := $(addprefix tests/system/test_,$(addsuffix .py,backfill browser page standalone webhook))
# What these test imports nothing of Airflow: once is enough.
WITHOUT_AIRFLOW := tests/unit/api tests/unit/sandbox tests/integration/test_webhook.py
# 5: ARGS choose none of these tests.
pytest = pytest $(1) $(ARGS) || [ $$? -eq 5 ]

step = @printf '%-10s%s\n' '$(1)' '$(2)'

##@ Setting up

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	    /^[a-zA-Z0-9_.-]+:.*## / {printf "  %-18s%s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\nARGS goes to pytest: make test-unit ARGS="-k quota"\n'

.PHONY: setup
setup: .venv/.ready .venv-2.11/.ready ## Make .venv (Airflow 3.3) and .venv-2.11 (Airflow 2.11)

.venv/.locked: requirements/airflow-3.3.txt
	@$(if $(PYTHON),,echo 'error: no Python >= 3.11 with its venv module here (Debian: apt-get install python3-venv; elsewhere installed: make PYTHON=/path/to/python)' >&2; exit 1)
	@'$(PYTHON)' -c '$(NEW_ENOUGH)' 2>/dev/null || { echo 'error: $(PYTHON) is older than 3.11 or has no venv module' >&2; exit 1; }
	$(call step,setup,Airflow 3.3 into .venv (a minute))
	@rm -rf .venv
	@'$(PYTHON)' -m venv .venv
	@.venv/bin/python -m pip -qq --disable-pip-version-check install uv==$(UV_VERSION)
	@$(UV) pip install --python .venv/bin/python -r $<
	@touch $@

.venv-2.11/.locked: requirements/airflow-2.11.txt | .venv/.locked
	$(call step,setup,Airflow 2.11 into .venv-2.11 (a minute))
	@rm -rf .venv-2.11
	@$(UV) venv --no-project --python '$(PYTHON_2_11)' .venv-2.11 || \
	    { echo 'error: Airflow 2.11 needs Python 3.11 or 3.12 (make test-3.3 does without)' >&2; exit 1; }
	@$(UV) pip install --python .venv-2.11/bin/python -r $<
	@touch $@

# The lock of Airflow 3.3 and what several workers need on top: made for test-cluster alone.
.venv-cluster/.locked: requirements/cluster.txt | .venv/.locked
	$(call step,setup,Airflow 3.3 with Celery into .venv-cluster (a minute))
	@rm -rf .venv-cluster
	@$(UV) venv --no-project --python '$(PYTHON)' .venv-cluster
	@$(UV) pip install --python .venv-cluster/bin/python -r $<
	@touch $@

# Not made where it cannot be: its tests are then left out. --no-deps, for the lock holds a DuckDB
# that the emulator does not require.
.venv-strict/.locked: requirements/strict-emulator.txt | .venv/.locked
	$(call step,setup,the stricter BigQuery emulator into .venv-strict (half a minute))
	@rm -rf .venv-strict
	@if ! UV_HTTP_RETRIES=0 $(UV) venv --no-project --python '$(PYTHON_STRICT)' .venv-strict 2>/dev/null; then \
	    echo 'test-strict is left out: no Python 3.13 or 3.14 here (make PYTHON_STRICT=/path/to/python)'; \
	elif ! $(UV) pip install --python .venv-strict/bin/python --no-deps -r $<; then \
	    echo 'test-strict is left out: the stricter BigQuery emulator cannot be installed here'; \
	else \
	    touch $@; \
	fi

%/.ready: %/.locked pyproject.toml
	@$(UV) pip install --python $*/bin/python --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: lock
lock: .venv/.locked ## Write the lock files anew (ARGS=--upgrade takes the newest versions)
	$(call step,lock,requirements/*.txt (half a minute))
	@for v in 3.3 2.11; do \
	    $(UV) pip compile pyproject.toml requirements/airflow-$$v.in --extra sandbox --extra dev \
	        --universal --python-version 3.11 --no-emit-index-url --no-annotate \
	        --custom-compile-command 'make lock' $(ARGS) -o requirements/airflow-$$v.txt >/dev/null || exit 1; \
	done
	@$(UV) pip compile pyproject.toml requirements/cluster.in --extra sandbox --extra dev \
	    --universal --python-version 3.11 --no-emit-index-url --no-annotate \
	    --custom-compile-command 'make lock' $(ARGS) -o requirements/cluster.txt >/dev/null
	@$(UV) pip compile requirements/strict-emulator.in --overrides requirements/strict-emulator.in \
	    --universal --python-version 3.13 --no-emit-index-url --no-annotate \
	    --custom-compile-command 'make lock' $(ARGS) -o requirements/strict-emulator.txt >/dev/null
	@$(UV) pip compile requirements/docs.in --universal --python-version 3.11 --no-emit-index-url \
	    --no-annotate --custom-compile-command 'make lock' $(ARGS) -o requirements/docs.txt >/dev/null

.PHONY: reference
reference: .venv/.ready ## Write the arguments and the tables of columns in the documents anew
	@$(IN_3_3) python -m scripts.reference

# An environment of its own: the site needs nothing of Airflow.
.venv-docs/.locked: requirements/docs.txt | .venv/.locked
	@rm -rf .venv-docs
	@$(UV) venv --no-project --python '$(PYTHON)' .venv-docs
	@$(UV) pip install --python .venv-docs/bin/python -r $<
	@touch $@

.PHONY: docs
docs: .venv-docs/.locked ## Build the documents' site into site/
	$(call step,docs,site/index.html)
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --clean # --quiet counts no warnings

.PHONY: dist
dist: .venv/.ready ## Build the wheel and the sdist, and check both
	$(call step,dist,wheel and sdist into dist/ (a minute))
	@rm -rf dist
	@.venv/bin/python -m flit_core.wheel --outdir dist >/dev/null
	@.venv/bin/python -c 'from flit_core.buildapi import build_sdist; build_sdist("dist")' >/dev/null
	@.venv/bin/python -m scripts.dist dist

.PHONY: clean
clean: ## Remove everything that these targets made
	@rm -rf .venv .venv-2.11 .venv-cluster .venv-docs .venv-strict .airflow .bench .coverage .coverage.* htmlcov .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist site
	@find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

##@ Trying out

.PHONY: demo
demo: .venv/.ready ## Run the DAG against a local TalkPilot and BigQuery, and show the table
	@$(IN_3_3) python -m scripts.demo

.PHONY: ui
ui: .venv/.ready ## Run Airflow with some days loaded, to look at; Ctrl-C ends it
	@$(IN_3_3) python -m scripts.ui $(ARGS)

.PHONY: pictures
pictures: .venv/.ready ## Take the documents' pictures anew (needs a chromium)
	@$(IN_3_3) python -m scripts.pictures

.PHONY: bench
bench: .venv/.ready ## Measure beside other tools (20 minutes; ARGS="list-10k --write" for a part)
	@$(IN_3_3) python -m benchmarks $(ARGS)

##@ Checking

.PHONY: test test-rest test-all
test: lint test-3.3 ## Lint, types and the tests that a change needs, on Airflow 3.3 (ten minutes)
test-rest: test-slow test-2.11 test-strict test-cluster ## What `make test` leaves out (an hour)
test-all: test test-rest test-2.11-slow test-rounds ## Everything

.PHONY: lint
lint: .venv/.ready ## Check style, format and types
	$(call step,lint,ruff and mypy (half a minute))
	@.venv/bin/ruff check --quiet $(CODE)
	@.venv/bin/ruff format --check --quiet $(CODE) || { echo 'error: not formatted; make format does it' >&2; exit 1; }
	@.venv/bin/mypy --no-error-summary $(CODE)

.PHONY: format
format: .venv/.ready ## Format the code and fix what can be fixed
	@.venv/bin/ruff check --quiet --fix $(CODE) || true
	@.venv/bin/ruff format --quiet $(CODE)

.PHONY: test-unit test-integration test-system
test-unit: ## The unit tests on Airflow 3.3
test-integration: ## The tests against local servers on Airflow 3.3
test-unit test-integration: test-%: .venv/.ready
	$(call step,test,tests/$* on Airflow 3.3)
	@$(IN_3_3) pytest tests/$* $(PARALLEL) $(ARGS)
test-system: .venv/.ready ## The tests in a running Airflow 3.3
	$(call step,test,tests/system on Airflow 3.3)
	@$(IN_3_3) pytest tests/system $(ARGS)

.PHONY: test-3.3 test-slow
test-3.3: .venv/.ready ## The tests on Airflow 3.3 that are not marked slow
	$(call step,test,unit and integration tests on Airflow 3.3)
	@$(IN_3_3) $(call pytest,tests/unit tests/integration -m 'not slow' $(PARALLEL))
	$(call step,test,a running Airflow 3.3)
	@$(IN_3_3) $(call pytest,tests/system -m 'not slow')
test-slow: .venv/.ready ## Those that are: kills, histories, long lists, a browser, a backfill
	$(call step,test,slow unit and integration tests on Airflow 3.3)
	@$(IN_3_3) $(call pytest,tests/unit tests/integration -m slow $(PARALLEL))
	$(call step,test,slow tests of Airflow 3.3)
	@$(IN_3_3) $(call pytest,tests/system $(ALONE:%=--ignore=%) -m slow $(PARALLEL))
	$(call step,test,slow tests in a running Airflow 3.3)
	@$(IN_3_3) $(call pytest,$(ALONE) -m slow)

.PHONY: test-2.11 test-2.11-slow
test-2.11: .venv-2.11/.ready ## On Airflow 2.11: what can differ there of test-3.3, and of slow system tests
	$(call step,test,unit and integration tests on Airflow 2.11)
	@$(IN_2_11) $(call pytest,tests/unit tests/integration $(WITHOUT_AIRFLOW:%=--ignore=%) \
	    -m 'not airflow3 and not slow' $(PARALLEL))
	$(call step,test,a running Airflow 2.11)
	@$(IN_2_11) $(call pytest,tests/system -m 'not airflow3' $(PARALLEL))
test-2.11-slow: .venv-2.11/.ready ## The slow unit and integration tests on Airflow 2.11
	$(call step,test,slow unit and integration tests on Airflow 2.11)
	@$(IN_2_11) $(call pytest,tests/unit tests/integration -m 'slow and not airflow3' $(PARALLEL))

.PHONY: test-strict
test-strict: .venv/.ready .venv-strict/.locked ## The loads on a stricter BigQuery emulator (Python >= 3.13)
	@if [ -e .venv-strict/.locked ]; then \
	    printf '%-10s%s\n' test 'the loads on the stricter BigQuery emulator'; \
	    $(IN_3_3) $(call pytest,--bigquery=strict $(STRICT_TESTS) $(PARALLEL)); \
	fi

# Of what the shell says of Google it passes the credentials alone.
.PHONY: test-google
test-google: .venv/.ready ## The loads on Google's own BigQuery: PROJECT=… LOCATION=… BUCKET=…
	@$(if $(and $(PROJECT),$(LOCATION),$(BUCKET)),,echo 'error: make test-google PROJECT=my-project LOCATION=EU BUCKET=my-bucket' >&2; exit 1)
	$(call step,test,the loads on the BigQuery of $(PROJECT))
	@$(IN_3_3) TALKPILOT_TEST_GOOGLE='$(if $(GOOGLE_APPLICATION_CREDENTIALS),{"GOOGLE_APPLICATION_CREDENTIALS": "$(GOOGLE_APPLICATION_CREDENTIALS)"})' \
	    pytest tests/integration -o faulthandler_timeout=0 --bigquery=google --google-project='$(PROJECT)' \
	    --google-location='$(LOCATION)' --google-bucket='$(BUCKET)' $(ARGS)

.PHONY: test-rounds
test-rounds: .venv/.ready ## Two processes that load one day at once, fifty times; recordings killed, twenty times
	@TALKPILOT_LOAD_ROUNDS=50 $(MAKE) --silent test-strict \
	    STRICT_TESTS=tests/integration/test_strict.py::test_two_processes_that_load_one_day_at_the_same_time \
	    ARGS='-o faulthandler_timeout=0'
	@$(IN_3_3) TALKPILOT_KILL_ROUNDS=20 pytest -o faulthandler_timeout=0 $(ARGS) \
	    tests/integration/test_recordings.py::test_killed_at_any_moment

# Servers that no Python package brings: where they are missing it is left out.
.PHONY: can-test-cluster test-cluster
can-test-cluster:
	@{ command -v redis-server && { command -v initdb || ls /usr/lib/postgresql/*/bin/initdb; }; } >/dev/null 2>&1
test-cluster: .venv/.ready ## Celery workers that are killed, on PostgreSQL and Redis (five minutes)
	@if $(MAKE) --silent can-test-cluster 2>/dev/null; then \
	    $(MAKE) --silent .venv-cluster/.ready && \
	    printf '%-10s%s\n' test 'two Celery workers that are killed' && \
	    $(call in,.venv-cluster,cluster) timeout --foreground --signal=INT --kill-after=60s 10m \
	        pytest tests/cluster -o log_cli=true -o log_cli_level=INFO -o log_cli_format='%(asctime)s %(message)s' $(ARGS); \
	else \
	    echo 'test-cluster is left out: no PostgreSQL or Redis here (Debian: apt-get install postgresql redis-server)'; \
	fi

# The Pythons of pyenv, for uv to find; others it fetches.
MATRIX_PATH = $(subst $(eval) ,:,$(wildcard $(addsuffix /versions/3.1[123]*/bin,$(PYENV_ROOTS))))
.PHONY: test-matrix
test-matrix: dist ## The wheel on every version of Airflow (20 minutes); writes docs/compatibility.md
	$(call step,test,the wheel on every version of Airflow)
	@$(IN_3_3) sh -c 'PATH="$$PATH:$(MATRIX_PATH)" exec python -m scripts.matrix dist/*.whl $(ARGS)'

.PHONY: test-long
test-long: .venv/.ready ## A thousand random histories instead of twenty-four (half an hour)
	$(call step,test,a thousand histories on Airflow 3.3)
	@$(IN_3_3) pytest tests/integration/test_model.py --hypothesis-profile=long -o faulthandler_timeout=0 \
	    -n auto --maxprocesses 4 $(ARGS)

.PHONY: test-backfill
test-backfill: .venv/.ready ## A backfill of ninety days instead of six (long)
	$(call step,test,a backfill of ninety days on Airflow 3.3)
	@$(IN_3_3) TALKPILOT_BACKFILL_DAYS=90 pytest tests/system/test_backfill.py \
	    -o faulthandler_timeout=0 -o log_cli=true --log-cli-level=INFO $(ARGS)

.PHONY: coverage
coverage: .venv/.ready ## What the unit and integration tests run through
	@$(IN_3_3) coverage erase
	@$(IN_3_3) coverage run -m pytest tests/unit tests/integration $(ARGS)
	@$(IN_3_3) coverage combine --quiet
	@$(IN_3_3) coverage report
