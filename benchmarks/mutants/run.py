"""How many small changes of kzoo's plain modules the tests notice.

    python benchmarks/mutants/run.py                    all of MODULES, into result.json
    python benchmarks/mutants/run.py kzoo/files.py      only these; others keep what they had
    python benchmarks/mutants/run.py --again [MODULE]   only those that survived the last time

For each change (see mutate.py) a child is forked from a process that holds pytest and NumPy and
nothing of kzoo, imports the changed module, and runs the tests that pass through the changed line,
quickest first, until one fails. Only tests that need neither TensorFlow nor Keras take part, and
none that takes longer than LONGEST: a change that only slower tests notice counts as one that
survived. A change that sends a test round in circles is stopped by its processor time, and counts
as noticed. survivors.toml says of each survivor why it may live; one without a reason is named.
"""

import argparse
import gc
import hashlib
import importlib.abc
import importlib.util
import json
import os
import resource
import shutil
import sys
import tempfile
import time
import tomllib
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT), str(HERE), str(HERE.parent), str(ROOT / "tests")]

import numpy  # noqa: E402, F401
import pytest  # noqa: E402
import tokenizers  # noqa: E402, F401
from mutate import mutants  # noqa: E402
from provenance import provenance  # noqa: E402

RESULT, REASONS = HERE / "result.json", HERE / "survivors.toml"
# Each module, and the files of tests that may notice its changes.
MODULES = {
    "kzoo/answers.py": ["test_answers.py", "test_scores.py"],
    "kzoo/checkpoints/origin.py": ["test_files.py", "test_exchange.py"],
    "kzoo/checkpoints/rows.py": ["test_exchange.py"],
    "kzoo/checkpoints/safetensors.py": ["test_files.py", "test_exchange.py"],
    "kzoo/data/examples.py": ["test_data.py"],
    "kzoo/data/labels.py": ["test_data.py"],
    "kzoo/data/questions.py": ["test_data.py"],
    "kzoo/data/sources.py": ["test_data.py", "test_files.py"],
    "kzoo/data/tables.py": ["test_data.py"],
    "kzoo/data/words.py": ["test_data.py"],
    "kzoo/files.py": ["test_files.py"],
    "kzoo/lines.py": ["test_lines.py", "test_files.py"],
    "kzoo/bundle/manifest.py": ["test_exchange.py", "test_files.py"],
    "kzoo/bundle/limits.py": ["test_verdicts.py"],
    "kzoo/metrics.py": ["test_scores.py"],
    "kzoo/spec.py": ["test_files.py", "test_exchange.py"],
}
HEAVY = {"tensorflow", "keras", "jax", "torch", "transformers"}
LONGEST = 0.5  # seconds of processor time a test may take
FOREVER = 4  # seconds of processor time for all tests of one change
# What pytest does for people and for tests that leave something behind takes longer than they do.
UNUSED = """assertion cacheprovider doctest faulthandler junitxml logging pastebin setuponly
    setupplan stepwise threadexception unittest unraisableexception warnings"""
ARGUMENTS = ["-q", "-x", "-s", "--noconftest", "--tb=no", "-c", str(ROOT / "pyproject.toml"),
             "-o", "addopts=", *(f"-pno:{name}" for name in UNUSED.split())]  # fmt: skip


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives a changed module in place of the one on disk, and no heavy library at all."""

    def __init__(self, name=None, path=None, code=None):
        self.name, self.path, self.code = name, path, code

    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in HEAVY:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if name == self.name:
            return importlib.util.spec_from_loader(name, self, origin=self.path)
        return None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        module.__file__ = self.path
        exec(self.code, vars(module))  # a syntax tree of this repository, compiled


class Recorder:
    """Which tests pass, how long each takes, and through which lines of the modules it goes."""

    def __init__(self, paths):
        self.paths, self.tests, self.lines, self.start = paths, {}, set(), 0.0

    def trace(self, frame, event, argument):
        path = frame.f_code.co_filename
        if path not in self.paths:
            return None
        self.lines.add((path, frame.f_lineno))
        return self.trace

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):
        self.lines, self.start = set(), time.process_time()
        sys.settrace(self.trace)
        try:
            return (yield)
        finally:
            sys.settrace(None)

    def pytest_runtest_logreport(self, report):
        test = self.tests.setdefault(report.nodeid, {"passed": True})
        test["passed"] &= report.outcome == "passed"
        if report.when == "teardown":
            test["seconds"] = time.process_time() - self.start
            test["lines"] = sorted(self.lines)


class Chosen:
    """Runs these tests in this order: an argument can't name what has brackets in its name."""

    def __init__(self, names):
        self.places = {name: place for place, name in enumerate(names)}

    def pytest_collection_modifyitems(self, items):
        items[:] = sorted(
            (item for item in items if item.nodeid in self.places),
            key=lambda item: self.places[item.nodeid],
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", default=sorted(MODULES))
    parser.add_argument("--again", action="store_true", help="only the last run's survivors")
    arguments = parser.parse_args()
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    gc.freeze()  # else each child would copy what it only counts
    result = json.loads(RESULT.read_text()) if RESULT.is_file() else {"modules": {}}
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        for module in arguments.modules:
            last = result["modules"].get(module) if arguments.again else None
            result["modules"][module] = entry = measured(module, Path(scratch), last)
            print(f"{module}: {entry['killed']} of {entry['mutants']}, {entry['score']:.4f}")
            for survivor in entry["survivors"]:
                print(f"    {survivor['line']} {name_of(survivor)}")
            write(result)
    unexplained(result)


def measured(module, scratch, last=None):
    """The score of one module and its survivors; with the `last` one, of its survivors alone."""
    path = str(ROOT / module)
    tests, left_out = baseline(module, scratch)
    source = Path(path).read_text(encoding="utf-8")
    sha256 = hashlib.sha256(source.encode("utf-8")).hexdigest()
    last = last if last and last["sha256"] == sha256 else None  # numbers are those of one source
    again = last and {survivor["number"] for survivor in last["survivors"]}
    outcomes, survivors = Counter(last["outcomes"] if last else {}), []
    imported = lines_at_import(unchanged := compile(source, path, "exec"))
    if tests and run(module, path, unchanged, list(tests), scratch) != "survived":
        raise SystemExit(f"The tests of {module} fail together though nothing is changed.")
    for number, (lines, function, before, after, tree) in enumerate(mutants(source)):
        if last and number not in again:
            continue
        outcomes["survived"] -= bool(last)
        change = f"{short(before)} -> {short(after)}"
        mutant = {"number": number, "line": lines[0], "in": function, "change": change}
        # What runs at import belongs to every test.
        chosen = [
            name
            for name, through in tests.items()
            if not through.isdisjoint(lines) or not imported.isdisjoint(lines)
        ]
        outcome = "survived"
        if chosen:
            outcome = run(module, path, compile(tree, path, "exec"), chosen, scratch)
        outcomes[outcome] += 1
        if outcome == "survived":
            survivors.append(mutant)
    total = sum(outcomes.values())
    return {
        "sha256": sha256,
        "mutants": total,
        "killed": total - outcomes["survived"],
        "score": round((total - outcomes["survived"]) / total, 4),
        "outcomes": dict(sorted(outcomes.items())),
        "tests": len(tests),
        "tests_left_out": left_out,
        "survivors": survivors,
    }


def baseline(module, scratch):
    """{test: its lines of the module} of those that take part, quickest first; how many don't."""
    path, note = str(ROOT / module), scratch / "baseline.json"

    def record():
        recorder = Recorder({path})
        files = [str(ROOT / "tests" / name) for name in MODULES[module]]
        arguments = [argument for argument in ARGUMENTS if argument != "-x"]
        sys.meta_path.insert(0, Finder())
        pytest.main([*arguments, *files], plugins=[recorder])
        note.write_text(json.dumps(recorder.tests))
        return 0

    in_child(record, scratch, seconds=600)
    tests = json.loads(note.read_text())
    kept = {
        name: {line for _, line in test["lines"]}
        for name, test in sorted(tests.items(), key=lambda item: item[1]["seconds"])
        if test["passed"] and test["seconds"] < LONGEST
    }
    return kept, sum(1 for name, test in tests.items() if test["lines"] and name not in kept)


def lines_at_import(code):
    """The lines of a module that run when it is imported: its own and those of its classes."""
    lines = set()
    if not code.co_flags & 1:  # CO_OPTIMIZED: a function's
        lines = {line for _, _, line in code.co_lines() if line}
        for inner in code.co_consts:
            if hasattr(inner, "co_lines"):
                lines |= lines_at_import(inner)
    return lines


def run(module, path, code, tests, scratch):
    """What the tests say of one change: "failed", "stopped" or "survived"."""
    name = module.removesuffix(".py").replace("/", ".")

    def test():
        sys.meta_path.insert(0, Finder(name, path, code))
        files = [str(ROOT / "tests" / each) for each in MODULES[module]]
        return pytest.main([*ARGUMENTS, *files], plugins=[Chosen(tests)])

    status = in_child(test, scratch, FOREVER)
    if os.WIFSIGNALED(status):
        return "stopped"
    passed = os.WEXITSTATUS(status) in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    return "survived" if passed else "failed"


def in_child(function, scratch, seconds):
    """Run a function in a forked process, in silence and with a limit; its wait status."""
    folder = scratch / "child"
    child = os.fork()
    if not child:
        status = 1
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
            resource.setrlimit(resource.RLIMIT_FSIZE, (2**26, 2**26))
            folder.mkdir()
            os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
            quiet = os.open(os.devnull, os.O_RDWR)
            for number in range(3):
                os.dup2(quiet, number)
            gc.disable()
            status = int(function())
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    shutil.rmtree(folder, ignore_errors=True)
    return status


def name_of(mutant):
    return f"{mutant['in']}: {mutant['change']}"


def short(text):
    text = " ".join(text.split())
    return text if len(text) <= 90 else text[:60] + " … " + text[-27:]


def write(result):
    modules = {name: result["modules"][name] for name in MODULES if name in result["modules"]}
    total, killed = (sum(entry[key] for entry in modules.values()) for key in ("mutants", "killed"))
    sources = ["benchmarks/mutants", *sorted(modules)]
    sources += sorted({f"tests/{name}" for module in modules for name in MODULES[module]})
    sources.remove("benchmarks/mutants")
    content = {
        "what": "changes of a line that the tests which need no TensorFlow notice",
        "provenance": provenance(sources, ("pytest", "numpy", "tokenizers")),
        "total": {"mutants": total, "killed": killed, "score": round(killed / total, 4)},
        "modules": modules,
    }
    RESULT.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def unexplained(result):
    """Name the survivors without a reason, and the reasons without a survivor."""
    reasons = tomllib.loads(REASONS.read_text(encoding="utf-8")) if REASONS.is_file() else {}
    for module, entry in result["modules"].items():
        survivors = set(map(name_of, entry["survivors"]))
        known = {change for changes in reasons.get(module, {}).values() for change in changes}
        for odd, what in ((survivors - known, "has no reason"), (known - survivors, "is dead")):
            for change in sorted(odd):
                print(f"{module}: {change} {what}")


if __name__ == "__main__":
    main()
