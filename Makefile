SHELL = /bin/bash
PYTHON = .venv/bin/python
PIP = $(PYTHON) -m pip install --quiet --disable-pip-version-check
TESTS = tests
JOBS = 2

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-8s %s\n", $$1, $$2 }' Makefile

venv: .venv/installed ## make .venv and install glancetx into it

install: venv ## the same

run: venv ## start one server in the foreground, images in ./glancetx-data
	.venv/bin/twistd -n glancetx

demo: venv ## a global and a zone server, a snapshot sent and restored
	@tests/real/install qemu-utils
	$(PYTHON) -P demo/demo.py

test: lint types ## check style and types, then run the tests (TESTS=tests.test_x)
	@tests/real/install curl memcached nginx-light postgresql qemu-utils squid varnish
	@tests/real/install-openstack
	@$(PYTHON) -u -m twisted.trial --jobs $(JOBS) $(TESTS) </dev/null | tee .venv/trial.txt; \
	status=$${PIPESTATUS[0]}; \
	awk "$$CLOSING_LINE" .venv/trial.txt; \
	exit $$status

bench: venv ## compare with nginx and Swift, each in the same run
	@tests/real/install curl memcached nginx-light
	@tests/real/install-openstack
	$(PYTHON) -P bench/run.py

lint: .venv/checkers ## check style and format
	.venv/bin/ruff check
	.venv/bin/ruff format --check

types: .venv/checkers ## check types, zope interfaces included
	.venv/bin/mypy

docs: .venv/documenters ## build the documentation into docs/_build/html
	.venv/bin/sphinx-build -q -W -b html -d docs/_build/doctrees docs docs/_build/html

clean: ## remove all that make made, but never glancetx-data
	rm -rf .venv .tox .hypothesis .mypy_cache .ruff_cache _trial_temp*
	rm -rf *.egg-info build dist docs/_build
	find . -name .git -prune -o -name __pycache__ -exec rm -rf {} +
	find . -name .git -prune -o -name dropin.cache -exec rm -f {} +

# tox leaves a file of this name where there is no folder.
.venv/bin/pip:
	[ ! -f .venv ] || rm .venv
	python3 -m venv .venv

.venv/installed: setup.cfg pyproject.toml | .venv/bin/pip
	$(PIP) -e '.[test]'
	@touch $@

.venv/checkers: .venv/installed
	$(PIP) -e '.[test,lint,types]'
	@touch $@

.venv/documenters: .venv/installed
	$(PIP) -e '.[docs]'
	@touch $@

# From trial's summary: "FAILED (skips=1, errors=2, successes=3)".
define CLOSING_LINE
function count(name) {
    if (!match(line, "[ (]" name "=[0-9]+")) return 0
    return substr(line, RSTART + length(name) + 2, RLENGTH - length(name) - 2)
}
/^(PASSED|FAILED)( \(.*\))?$$/ { line = $$0 }
END {
    if (line == "") { print "trial ended without a summary"; line = " errors=1" }
    printf "%d passed, %d failed, %d skipped\n",
        count("successes") + count("expectedFailures"),
        count("failures") + count("errors") + count("unexpectedSuccesses"),
        count("skips")
}
endef
export CLOSING_LINE

.PHONY: help venv install run demo test bench lint types docs clean
