# make demo      install into .venv, export the sentiment preset, verify the file, classify sentences
# make test      install what the tests need as well, and run them
# make android   the Kotlin core and its desktop command, with all their tests, in android_demo
# make app       these and the Android app, every screen of it run by Robolectric (needs aapt2)
# make apk       the app as an APK that holds build/sentiment-2.16 (BUNDLE=... for another)
# make web-demo  build/sentiment in the browser, on http://localhost:8000 (BUNDLE=..., PORT=... for others)
# make clean     remove .venv and build
#
# make demo TEXT="Your own sentence."     or change export/sentences.txt

PYTHON ?= python3.11
PYTEST ?=
BUNDLE ?= build/sentiment
TEXT ?=
PORT ?= 8000
export TEXT

need = command -v $(1) >/dev/null || { echo "error: $(1) is not there: $(2)"; exit 2; }

VENV := .venv
KZOO := $(VENV)/bin/python -m kzoo
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test android app apk web-demo clean

demo: $(VENV)/installed
	@$(KZOO) export export/sentiment.json --output "$(BUNDLE)"
	@$(KZOO) verify "$(BUNDLE)"
	@if [ -n "$$TEXT" ]; then $(KZOO) predict "$(BUNDLE)" -- "$$TEXT"; \
	else $(KZOO) predict "$(BUNDLE)" < export/sentences.txt; fi
	@echo "The report: $(BUNDLE)/report.html"

test: $(VENV)/installed-test
	@$(VENV)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST)

android: build/sentiment/kzoo.json build/small/unigram.jsonl
	@$(call need,mvn,install Maven and Java 17)
	@mvn -q -B -ntp -f android_demo package
	@echo "All tests of core and desktop pass: android_demo/desktop/target/kzoo-desktop.jar"

app: build/sentiment/kzoo.json build/sentiment-2.16/kzoo.json build/small/unigram.jsonl
	@$(call need,mvn,install Maven and Java 17)
	@$(call need,aapt2,apt-get install aapt)
	@mvn -q -B -ntp -f android_demo -Papp package
	@echo "All tests pass; a picture of every screen: android_demo/app/target/screens"

apk: BUNDLE = build/sentiment-2.16
apk:
	@[ "$(BUNDLE)" != build/sentiment-2.16 ] || $(MAKE) -s build/sentiment-2.16/kzoo.json
	@[ -f "$(BUNDLE)/kzoo.json" ] || [ -f "$(BUNDLE)/towers.json" ] || { echo "error: $(BUNDLE) is no bundle: name the folder of one"; exit 2; }
	@$(call need,mvn,install Maven and Java 17)
	@$(call need,aapt2,apt-get install aapt)
	@mvn -q -B -ntp -f android_demo -Papp package -DskipTests -Dbundle="$(abspath $(BUNDLE))"
	@android_demo/tools/build_apk.sh "$(BUNDLE)"

web-demo:
	@[ "$(BUNDLE)" != build/sentiment ] || $(MAKE) -s build/sentiment/kzoo.json
	@[ -f "$(BUNDLE)/kzoo.json" ] || [ -f "$(BUNDLE)/towers.json" ] || { echo "error: $(BUNDLE) is no bundle: name the folder of one"; exit 2; }
	@$(call need,npm,install Node.js 20)
	@$(call need,mvn,install Maven and Java 17)
	@$(VENV)/bin/python -c 'import socket; socket.create_server(("localhost", $(PORT))).close()' 2>/dev/null || \
	{ echo "error: port $(PORT) is taken or none: name another, as in make web-demo PORT=8001"; exit 2; }
	@npm ci --silent --no-audit --no-fund --prefix web_demo
	@mvn -q -B -ntp -f android_demo -Pweb -pl web -am process-classes
	@node web_demo/assemble.mjs "$(BUNDLE)" build/web
	@echo "http://localhost:$(PORT)/ (Ctrl-C ends)"
	@$(VENV)/bin/python -m http.server --directory build/web --bind localhost $(PORT)

build/sentiment/kzoo.json: | $(VENV)/installed
	@$(KZOO) export export/sentiment.json --output build/sentiment

build/sentiment-2.16/kzoo.json: | $(VENV)/installed
	@$(KZOO) export export/sentiment.json --compat tflite-2.16 --output build/sentiment-2.16

build/small/unigram.jsonl: android_demo/tools/make_small.py | $(VENV)/installed-test
	@rm -rf build/small
	@$(VENV)/bin/python android_demo/tools/make_small.py build/small

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
