"""Clients: programs in other languages that read bundles, held against this one.

A client is a command that takes texts on standard input, one a line in UTF-8, and writes one JSON
object a line:

    COMMAND encode TOKENIZER.json       {"ids": [...]}: with special tokens, nothing cut
    COMMAND predict BUNDLE [--pairs]    what `kzoo predict --json` has for a text; of a bundle that
                                        reads pictures or sounds for the path in a line

Lines are read as `kzoo.lines` says; with --pairs each is a JSON array of two texts. What can't be
done is one sentence on standard error and exit code 2; any other code is a crash. A client is found
where a checkout of kzoo builds it; KZOO_CLIENT_JVM (or _CHROMIUM, _MEDIAPIPE, _ARM64) names another
command that speaks the same, which an installed kzoo without a checkout runs too.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ..answers import READS
from ..errors import KzooError
from ..lines import as_pair, read_lines
from .agreement import disagreement, distance_of
from .kinds import kind_of
from .manifest import TOKENIZER
from .predict import open_bundle
from .senses import Texts
from .towers import COUNTED, is_of_towers, towers_in

ROOT = Path(__file__).parents[2]
NOISE = 0.05  # of a client's whole time, below which what the texts took can't be told
PATIENCE = 1800  # seconds that a client may take for all texts
REPEATS = 3  # how often the texts are sent again, to time them without the start
OTHER_IDS = "other token ids"
SHOWN = 3  # differing answers of a client that are told
SLOW = 30  # seconds for all texts, beside which a start is short: nothing is sent again then


class Refused(KzooError):
    """A client's own sentence on what it can't do."""


@dataclass(frozen=True)
class Client:
    """A way to run bundles.

    Args:
        name: what the table calls it.
        program: what starts it, a program on the path or a file of the checkout.
        arguments: what follows; names of files of the checkout among them.
        install: how to get it.
        note: what its row doesn't say by itself.
        own_tokenizer: whether its ids may be others than Python's, for the reason in the note.
        reads: the senses that it has, by their nouns.
    """

    name: str
    program: str
    arguments: tuple
    install: str
    note: str | None = None
    own_tokenizer: bool = False
    reads: tuple = ("text",)

    @property
    def variable(self):
        """The environment variable that names another command."""
        return f"KZOO_CLIENT_{self.name.upper()}"

    def command(self):
        """The command as a list, or None where the client is not installed."""
        asked = os.environ.get(self.variable)
        if asked:
            return shlex.split(asked)
        program = shutil.which(self.program) or shutil.which(ROOT / self.program)
        files = {part: ROOT / part for part in self.arguments if "/" in part}
        if program is None or not all(path.is_file() for path in files.values()):
            return None
        return [program, *(str(files.get(part, part)) for part in self.arguments)]


CLIENTS = (
    Client(
        "JVM",
        "java",
        ("-jar", "android_demo/desktop/target/kzoo-desktop.jar"),
        "Java 17, then `make android`",
        reads=("text", "image", "sound"),
    ),
    Client(
        "Chromium",
        "node",
        ("web_demo/client.mjs",),
        "Node.js, Chromium, Java 17 and Maven, then `make web-demo`",
        reads=("text", "image", "sound"),
    ),
    Client(
        "MediaPipe",
        "build/mediapipe/bin/python",
        ("benchmarks/mediapipe/client.py",),
        "`python3 -m venv build/mediapipe`, then `build/mediapipe/bin/pip install mediapipe`",
        "Its tokenizer is its own: it lower-cases ASCII letters only and strips no accents.",
        own_tokenizer=True,
    ),
    Client(
        "ARM64",
        sys.executable,
        ("benchmarks/arm64/client.py",),
        "`benchmarks/arm64/setup.sh build/arm64`, which sets up emulated cores on Debian",
        "An emulated core: its time says nothing about a phone.",
    ),
)


def check_there():
    """Raise KzooError where there is neither a checkout nor a command that someone named."""
    checkout = all((ROOT / name).is_dir() for name in ("android_demo", "web_demo", "benchmarks"))
    if not checkout and not any(os.environ.get(client.variable) for client in CLIENTS):
        raise KzooError(
            "The clients are built in a checkout of kzoo, and this kzoo is installed without one: "
            "run it in a checkout, or name a command that speaks their protocol, such as "
            f'{CLIENTS[0].variable}="java -jar kzoo-desktop.jar".'
        )


def compare(folder, texts=None, say=None, names=None):
    """Run every client that is installed over a bundle's golden examples and more texts.

    Args:
        folder: the bundle.
        texts: strings, or pairs for a bundle that reads those; the shipped lines of many
            languages by default; for a bundle that writes, none beside its golden examples. Paths
            for a bundle of pictures or sounds, none by default.
        say: called with a line of text before each client.
        names: of the clients to run; all by default.

    Returns:
        A dict with `bundle`, `task`, `reads` ("texts", say), `texts` (how many of those), `golden`
        (how many of them are golden examples), `seconds` (Python's, a text) and `clients`, a list
        of dicts: `client`, and either `missing` (what to install), `refused` (its sentence, where
        it can't do that), `failed` (how it crashed), or

        texts               how many it answered
        ids_equal           how many have Python's ids; None where a client has none to show
        labels_equal        how many have Python's label, entities, answer or continuation; None
                            for embeddings
        texts_compared      how many of them can be held against Python's: all, or those with the
                            same ids for a client that has a tokenizer of its own
        answers_equal       how many of those have Python's ids and answer: labels, spans, and
                            scores within the bundle's tolerance
        differing           the first few that have not: [{"text", "why"}]
        worst_difference    of a score, or a number of an embedding, where the ids are equal
        latency_ratio       its time a text, as a multiple of Python's; None where the texts
                            are so few that its start takes all of it
        other_ids           None, or `texts`, `labels_equal` and `worst_difference` of those
                            whose ids are others
        note                what to know of the client

        The first row is Python's own, the golden examples against what was written at the
        export: there the difference is that of an output, as a share of the largest number
        that it has in all of them.

    Raises:
        KzooError: where there is no checkout and no command was named, see `check_there`; and
            for a bundle of towers.
    """
    check_there()
    folder = Path(folder)
    if is_of_towers(folder):
        towers = [str(folder / name) for name in towers_in(folder)]
        raise KzooError(
            f"{folder} holds {COUNTED[len(towers)]} towers, which clients are held against one by "
            f"one: give {', then '.join(towers)}."
        )
    predictor = open_bundle(folder)
    manifest = predictor.manifest
    sense = predictor.sense
    golden = [as_text(sense.sent(entry, folder)) for entry in manifest["golden"]]
    asked = golden + [as_text(text) for text in (_shipped(manifest) if texts is None else texts)]
    rows = [_python(predictor)]
    expected = [predictor(text) for text in asked]
    ids = None
    if isinstance(sense, Texts):
        ids = [predictor.processor.encode(parts_of(text))["token_ids"] for text in asked]
    seconds = _timed(lambda: [predictor(text) for text in asked]) / len(asked)
    for client in CLIENTS:
        if names is not None and client.name not in names:
            continue
        row = {"client": client.name}
        command = client.command()
        if command is None:
            rows.append({**row, "missing": client.install})
            continue
        if sense.noun not in client.reads:
            rows.append({**row, "refused": f"{client.name} reads no {sense.nouns} so far."})
            continue
        if say:
            say(f"Running {client.name}")
        try:
            result = _against(client, command, predictor, folder, asked, expected, ids, seconds)
            rows.append({**row, **result, "note": client.note})
        except Refused as error:
            rows.append({**row, "refused": str(error)})
        except KzooError as error:
            rows.append({**row, "failed": str(error)})
    return {
        "bundle": str(folder),
        "task": manifest["task"],
        "reads": sense.nouns,
        "texts": len(asked),
        "golden": len(golden),
        "seconds": seconds,
        "clients": rows,
    }


def as_text(text):
    """A text or pair as one line each: no client reads a line break within a text."""
    if isinstance(text, str):
        return " ".join(re.split(r"\r\n|\r|\n", text))
    return tuple(as_text(part) for part in text)


def parts_of(text):
    """The one text, or both of a pair, as a list."""
    return [text] if isinstance(text, str) else list(text)


def read_texts(path, pairs):
    """The texts of a file, or its pairs, as `kzoo.lines` reads them."""
    path = Path(path)
    if not path.is_file():
        raise KzooError(f"{path} is missing: texts, one a line, were expected there.")
    lines = read_lines(path.read_bytes(), path)
    if not lines:
        raise KzooError(f"{path} holds no text: one a line was expected.")
    if not pairs:
        return lines
    return [as_pair(line, f"Line {i} of {path}") for i, line in enumerate(lines, 1)]


def _shipped(manifest):
    from .senses import languages, sense_of

    if not isinstance(sense_of(manifest["reads"]), Texts):
        return []
    lines = kind_of(manifest["rule"]).client_texts(languages())
    if READS[manifest["reads"]] != "pair" and manifest["reads"] != "marked":
        return lines
    return list(zip(lines, [*lines[1:], *lines[:1]], strict=True))


def _python(predictor):
    """Python's row: the golden examples as they were written at the export."""
    manifest = predictor.manifest
    kind = kind_of(manifest["rule"])
    equal = None
    if isinstance(predictor.sense, Texts):
        ids = kind.golden_ids(predictor.processor, manifest)
        both = zip(ids, manifest["golden"], strict=True)
        equal = sum(own == entry["token_ids"] for own, entry in both)
    labels, worst = kind.run_again(predictor)
    return {
        "client": "Python",
        "texts": len(manifest["golden"]),
        "ids_equal": equal,
        "labels_equal": labels,
        "texts_compared": 0,
        "answers_equal": 0,
        "differing": [],
        "worst_difference": worst,
        "latency_ratio": 1.0,
        "other_ids": None,
        "note": None,
    }


def check_agreement(data):
    """Raise KzooError where `compare` saw a client answer a text otherwise than Python."""
    for row in data["clients"]:
        if differing := row.get("differing"):
            first = differing[0]
            count = row["texts_compared"] - row["answers_equal"]
            raise KzooError(
                f"{row['client']} answers {count} of {row['texts_compared']} texts otherwise than "
                f"Python, such as {first['text']!r:.60}: {first['why']}."
            )


def _against(client, command, predictor, folder, texts, expected, ids, seconds):
    """How a client's answers compare with Python's."""
    started = time.perf_counter()
    answers = _predict(command, folder, texts)
    once = time.perf_counter() - started
    if once > SLOW:
        spent = once
    else:
        often = _timed(lambda: _predict(command, folder, texts * (1 + REPEATS)))
        spent = (often - once) / REPEATS
    equal = None if ids is None else _equal(command, folder, texts, ids)
    both = list(zip(answers, expected, strict=True))
    kept = equal or [True] * len(texts)
    same = [pair for pair, is_same in zip(both, kept, strict=True) if is_same]
    tolerance, options = (predictor.manifest[name] for name in ("tolerance", "task_options"))
    other = [pair for pair, is_same in zip(both, kept, strict=True) if not is_same]
    try:
        labels, worst = _compared(both)[0], _compared(same)[1]
        of_others = dict(zip(("labels_equal", "worst_difference"), _compared(other), strict=True))
        reasons = [
            disagreement(*pair, tolerance, options) if is_same else OTHER_IDS
            for pair, is_same in zip(both, kept, strict=True)
        ]
    except (KeyError, TypeError, ValueError) as error:
        name, kind = Path(command[0]).name, type(error).__name__
        raise KzooError(f"{name} answered other fields than Python ({kind}: {error}).") from None
    reasons = list(zip(texts, reasons, strict=True))
    if client.own_tokenizer:  # What it makes of other ids is no question of agreement.
        reasons = [(text, why) for text, why in reasons if why != OTHER_IDS]
    differing = [{"text": text, "why": why} for text, why in reasons if why]
    return {
        "texts": len(texts),
        "ids_equal": None if equal is None else sum(equal),
        "labels_equal": labels,
        "texts_compared": len(reasons),
        "answers_equal": len(reasons) - len(differing),
        "differing": differing[:SHOWN],
        "worst_difference": worst,
        "latency_ratio": spent / len(texts) / seconds if spent > NOISE * once else None,
        "other_ids": {"texts": len(other), **of_others} if other else None,
    }


def _compared(pairs):
    """How many pairs of answers have the same label, and the largest difference."""
    return _same(pairs), max((distance_of(*pair) for pair in pairs), default=None)


def _equal(command, folder, texts, ids):
    """Whether a client has Python's ids, a text; None for a client that has none to show."""
    parts = [part for text in texts for part in parts_of(text)]
    try:
        answers = iter(run([*command, "encode", str(folder / TOKENIZER)], parts))
    except Refused:
        return None
    return [all([next(answers).get("ids") == part for part in row]) for row in ids]


def _predict(command, folder, texts):
    """A client's answers in the order of the texts."""
    answers = [None] * len(texts)
    for pairs in (False, True):
        places = [i for i, text in enumerate(texts) if isinstance(text, tuple) == pairs]
        if places:
            lines = [json.dumps(texts[i], ensure_ascii=False) if pairs else texts[i]
                     for i in places]  # fmt: skip
            option = ["--pairs"] if pairs else []
            rows = run([*command, "predict", str(folder), *option], lines)
            for place, answer in zip(places, rows, strict=True):
                answers[place] = answer
    return answers


def run(command, lines):
    """The objects that a client writes for lines.

    Raises:
        Refused: with the client's own sentence, where it can't do that.
        KzooError: where it crashed, or wrote what the protocol doesn't have.
    """
    # Blank lines at the end would be none: one more follows, whose answer is left out.
    last = lines[-1] if lines[-1].strip(" \t\r") else "."
    text = "\n".join([*lines, last]) + "\n"
    if text.startswith("\ufeff"):  # A second one is a character, and the first is none.
        text = "\ufeff" + text
    name = Path(command[0]).name
    with tempfile.TemporaryFile() as errors:
        try:
            finished = subprocess.run(
                command, input=text.encode("utf-8"), stdout=subprocess.PIPE, stderr=errors,
                timeout=PATIENCE,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise KzooError(f"{name} had no answer after {PATIENCE} s.") from None
        except OSError as error:
            raise KzooError(f"{name} did not run ({error}).") from None
        errors.seek(0)
        messages = errors.read().decode("utf-8", "replace").splitlines()
    if finished.returncode:
        # A trace stands further in than what it is of.
        messages = [line for line in messages if line[:1].strip()]
        reason = messages[-1].removeprefix("error: ") if messages else "it said nothing."
        if finished.returncode == 2 and messages:
            raise Refused(reason)
        raise KzooError(f"{name} ended with code {finished.returncode}: {reason}")
    try:
        answers = [json.loads(line) for line in finished.stdout.decode("utf-8").split("\n") if line]
    except ValueError as error:
        raise KzooError(f"{name} wrote what is not JSON ({error}).") from None
    if not all(isinstance(each, dict) for each in answers):
        raise KzooError(f"{name} wrote a line that is no JSON object.")
    if len(answers) != len(lines) + 1:
        raise KzooError(f"{name} answered {len(answers)} of {len(lines) + 1} lines.")
    return answers[:-1]


NAMED = (
    "label",
    "labels",
    "answer",
    "start",
    "end",
    "continuation",
    "written",
)  # what of an answer must be the same


def _same(pairs):
    """How many have the same label, spans or answer; None where there are none."""

    def comparable(answer):
        if "entities" in answer:
            return [
                [entity[key] for key in ("label", "start", "end")] for entity in answer["entities"]
            ]
        return [answer[key] for key in NAMED if key in answer] or None

    pairs = [(comparable(one), comparable(other)) for one, other in pairs]
    if all(other is None for _, other in pairs):
        return None
    return sum(one == other for one, other in pairs)


def _timed(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
