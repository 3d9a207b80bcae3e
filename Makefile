# make demo    install into .venv, export the sentiment preset, verify the file, classify sentences
# make test    install what the tests need as well, and run them
# make clean   remove .venv and build
#
# make demo TEXT="Your own sentence."     or change export/sentences.txt

PYTHON ?= python3.11
PYTEST ?=
BUNDLE ?= build/sentiment
TEXT ?=
export TEXT

VENV := .venv
KZOO := $(VENV)/bin/python -m kzoo
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test clean

demo: $(VENV)/installed
	@$(KZOO) export export/sentiment.json --output "$(BUNDLE)"
	@$(KZOO) verify "$(BUNDLE)"
	@if [ -n "$$TEXT" ]; then $(KZOO) predict "$(BUNDLE)" -- "$$TEXT"; \
	else $(KZOO) predict "$(BUNDLE)" < export/sentences.txt; fi
	@echo "The report: $(BUNDLE)/report.html"

test: $(VENV)/installed-test
	@$(VENV)/bin/python -m pytest -n 2 --dist loadfile $(PYTEST)

clean:
	rm -rf $(VENV) build

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing kzoo into $(VENV) (some minutes the first time) ..."
	@$(PIP) -e .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	@echo "Installing what the tests need ..."
	@$(PIP) -e ".[test]"
	@touch $@

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "error: $(PYTHON) is not there; name a Python of 3.11 or newer: make PYTHON=python3.12"; \
	  exit 2; }
	@$(PYTHON) -m venv $(VENV)
