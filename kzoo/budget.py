"""A budget in place of a recipe: shapes that fit it are tried, shortly and then longer.

Megabytes and time follow from a shape, and are reckoned before anything learns; what a shape costs
in answers only learning shows. So the shapes of a budget learn on a part of the examples, the best
half of them on more (successive halving, arXiv:1502.07943), and the last are written as bundles and
measured. Each is a preset with the recipe that makes it again.
"""

import dataclasses
import json
import math
import os
import shutil
from pathlib import Path

from . import compression, plot, presets
from .bundle import export_bundle
from .bundle.bench import bench_bundle
from .bundle.limits import defaults
from .bundle.manifest import MANIFEST, MODEL
from .bundle.parity import measure_of
from .compression.factorize import FACTORS
from .compression.prune import prunable
from .compression.quantize_aware import is_aware
from .data.tables import write_table
from .errors import KzooError
from .evaluation import scores_of
from .files import read_json, writing_file
from .litert.quantize import BLOCK, TOKEN_TABLE, expected_bytes
from .network import weights_by_path
from .spec import Towers
from .training import steps
from .training.facts import fact
from .training.recipe import USED_BY
from .values import an, is_number, is_whole

REPORT, PICTURE, TABLE = "report.json", "pareto.png", "points.csv"
# The measure by which a task's answers are judged, by rule.
JUDGED = {
    "single_label": "accuracy", "multi_label": "micro_f1", "regression": "spearman",
    "entities": "f1", "span": "f1",
}  # fmt: skip
SHARES = (1.0, 0.75, 0.5, 0.35, 0.25, 0.125)
TOKENS = (1.0, 0.7, 0.5, 0.35, 0.25)  # of those that the examples use
RANKS = (0.5, 0.25)  # of the width, beside that of the model itself
FIRST = 0.125  # the share of the examples that the first round learns from
GRAPH = 12_000  # bytes of a file that a block's operators take, and those about all blocks
RATE = 3e-4  # of learning: a cut model has more to learn than one that is tuned
TOKENS_TIMED = 32
HELD = 0.1  # the share held out where no file is named
# Of files, by the bits of a weight. Tables are quantized as the files of each have them.
QUANTIZATIONS = {8: "int8", 4: "int4"}
USUAL = 8  # bits of the model's own file
COPIES = 3  # of each text, which the last shapes learn their teacher's answers to


@dataclasses.dataclass(frozen=True)
class Shape:
    """How much of a model stays.

    Args:
        blocks: how many.
        inner: the share of heads and of feed-forward units, of what of both can be pruned.
        tokens: how many rows the table of tokens has; 0 where there is none.
        rank: how wide these are; 0 for as wide as before.
        bits: of a weight in the file.
    """

    blocks: int
    inner: float
    tokens: int
    rank: int
    bits: int = USUAL

    @property
    def name(self):
        """What its folder is called."""
        rank = f"-r{self.rank}" if self.rank else ""
        bits = f"-w{self.bits}" if self.bits != USUAL else ""
        return f"b{self.blocks}-i{round(100 * self.inner)}-t{self.tokens}{rank}{bits}"

    @property
    def quantization(self):
        """That of its file."""
        return QUANTIZATIONS[self.bits]

    def steps(self, model, learning, answers=None):
        """The steps of a recipe that makes it, and lets it learn of the model.

        answers: a folder for those of the model to texts and to variations of them, which are
            learnt in the place of labels; None for texts and labels alone.
        """
        spec, steps = model.spec, []
        if self.tokens:
            steps.append({"step": "trim", "size": self.tokens, "alphabet": "corpus"})
        pruned = {}
        if self.blocks < spec.num_layers:
            pruned["blocks"] = self.blocks
        if self.inner < 1:
            pruned |= dict.fromkeys(prunable(model), self.inner)
        if pruned:
            steps.append({"step": "prune", **pruned})
        if self.rank:
            steps.append({"step": "factorize", "embedding": self.rank})
        if self.bits == 4:
            steps.append({"step": "four_bits"})
        problem = getattr(model, "problem", "single_label")
        if problem == "single_label" and len(model.labels or "ab") > 1:
            teacher = {"hard": False, "share": 0.9}
            if answers is not None and model.task_name in USED_BY["variations"]:
                teacher |= {"share": 1.0, "answers": answers}
                learning = {**learning, "variations": {"copies": COPIES}}
            learning = {**learning, "teacher": teacher}
        return [*steps, {"step": "train", **learning}]


class Sizes:
    """What shapes of a model weigh and take, reckoned from its own weights.

    Args:
        model: a task of one stack.
    """

    def __init__(self, model):
        spec = model.spec
        self.width, self.layers = spec.hidden_dim, spec.num_layers
        self.rows = model.backbone.vocabulary_size if "tokenizer" in model.processors else 1
        self.separate = len(spec.blocks)
        tables = [w for path, w in weights_by_path(model).items() if path.endswith(TOKEN_TABLE)]
        self.columns = min([self.width, *(table.shape[-1] for table in tables)])
        kinds = prunable(model).values()
        changed = {path for found in kinds for units in found for path in units.axes}
        self.bytes, counts = {}, {True: 0, False: 0}
        for path, weight in weights_by_path(model).items():
            if "/block_" in path and len(weight.shape) > 1:
                counts[path in changed] += math.prod(weight.shape)
        # The share of the products of a block that go with its heads and units.
        self.inner = counts[True] / max(sum(counts.values()), 1)
        for bits, quantization in QUANTIZATIONS.items():
            inner = blocks = table = other = 0
            for path, weight in weights_by_path(model).items():
                size = expected_bytes(path, tuple(weight.shape), quantization)
                if path.endswith(TOKEN_TABLE):
                    table = size
                elif path in changed and math.prod(weight.shape) > 4 * self.width:
                    inner += size
                elif "/block_" in path:
                    blocks += size
                else:
                    other += size
            each = inner / self.separate, blocks / self.separate
            self.bytes[bits] = *each, table / self.rows, other

    def megabytes(self, shape):
        """What the file of a shape weighs, about."""
        inner, block, row, other = self.bytes[shape.bits]
        if shape.rank:
            table = TOKEN_TABLE, (shape.tokens, shape.rank)
            row = expected_bytes(*table, shape.quantization) / shape.tokens
        table = shape.tokens * row + shape.rank * self.width
        separate = min(shape.blocks, self.separate)
        blocks = separate * (inner * shape.inner + block) + shape.blocks * GRAPH
        return (table + blocks + other + GRAPH) / 1e6

    def fits(self, shape):
        """Whether there is such a file: tables of 4 bits have blocks of 32 numbers."""
        return shape.bits == USUAL or not shape.tokens or (shape.rank or self.width) % BLOCK == 0

    def time(self, shape):
        """Its time as a share of the model's, about: that of its products."""
        return shape.blocks * (1 - self.inner * (1 - shape.inner)) / self.layers


def search(
    preset, train, output, *, validation=None, test=None, max_mb=None, max_ms_ratio=None,
    max_drop=None, text=None, label=None, trials=6, epochs=3, seed=0, references=None, say=None,
):  # fmt: skip
    """Find a smaller model of a budget: the most right of those that fit.

    Args:
        preset: the task that is made smaller: a preset's name or folder.
        train: a file to learn from, as the task's `fit` reads it.
        output: the folder to write: report.json, points.csv and pareto.png; in `points/<name>` of
            each of the last shapes its recipe, its preset and its bundle, and in `round-N/<name>`
            those of earlier rounds. A run that was stopped goes on there.
        validation: a file by which shapes are chosen, or a share of `train`; a tenth by default.
        test: a file on which the last are measured, and by which none is chosen; what shapes were
            chosen by where there is none.
        max_mb: megabytes of the file at most, int8 or int4.
        max_ms_ratio: its time at most, as a share of that of the model's own int8 file.
        max_drop: how many points in a hundred the measure may fall at most, on what is held out.
        text, label: the columns of the files.
        trials: how many shapes learn in the first round.
        epochs: passes over the examples, for the last ones.
        seed: of all draws.
        references: published models to draw beside: dicts with name, megabytes, score and source.
        say: called with a line of text before each step.

    Returns:
        What report.json holds: `model`, the preset's own measures; `points`, those of the last
        shapes; `tried`, what each shape had in each round; `best`, the name of the point that fits
        and is most right on what was held out, or None; and `closest`, what comes nearest where
        none fits.

    Raises:
        KzooError: for a budget that no shape can meet, and a task without a measure.
    """
    say = say or (lambda line: None)
    budget = _checked(max_mb, max_ms_ratio, max_drop, trials, epochs)
    _check_references(references or [])
    presets.check_has_weights(preset, "there is nothing to make smaller")
    model, validation = presets.load(preset), HELD if validation is None else validation
    if getattr(model, "rule", None) not in JUDGED or isinstance(model.spec, Towers):
        raise KzooError(
            f"Got {preset}, for whose answers no single measure says how right they are; expected "
            "a task of one stack whose answers are right or wrong, such as a TextClassifier."
        )
    if is_aware(model):
        raise KzooError(
            f"Got {preset}, which rounds as a file of int8_static does; expected the task before "
            "quantize_aware."
        )
    recipe = {"model": str(preset), "train": str(train), "validation": validation, "text": text,
              "label": label, "seed": seed}  # fmt: skip
    facts = {"recipe": recipe, "test": test and str(test), "budget": budget, "trials": trials,
             "epochs": epochs}  # fmt: skip
    state = _State(Path(output), facts, fact({**recipe, "test": facts["test"]}))
    learnt, held = steps.read(recipe, model)
    shapes = shapes_of(model, learnt, budget, trials)
    tested = held if test is None else steps.read({**recipe, "train": str(test),
                                                      "validation": None}, model)[0]  # fmt: skip
    state.begin()
    rounds = max(1, math.ceil(math.log2(len(shapes))))
    for turn in range(rounds):
        is_last = turn == rounds - 1
        share = 1.0 if is_last else min(0.5, FIRST * 2**turn)
        learning = {"epochs": epochs if is_last else 1, "learning_rate": RATE}
        learning |= {} if is_last else {"examples": share}
        scores = {}
        for shape in shapes:
            say(f"{shape.name}, round {turn + 1} of {rounds}")
            found = _Point(state, shape, "points" if is_last else f"round-{turn + 1}")
            answers = str(state.folder / "answers") if is_last else None
            scores[shape] = found.learnt(recipe, model, learning, held, answers)
        state.note([
            {"name": shape.name, "round": turn + 1, "share": share, "held": score}
            for shape, score in scores.items()
        ])  # fmt: skip
        shapes = best_first(scores)[: len(shapes) if is_last else math.ceil(len(shapes) / 2)]
    examples = {"held": held, "score": tested}
    own = state.get("model", lambda: _measured(model, state.folder / "model", examples, None))
    points = []
    for shape in shapes:
        say(f"Measuring {shape.name}")
        point = _Point(state, shape, "points").measured(examples, state.folder / "model")
        points.append({"name": shape.name, **point, "fits": fits(point, own, budget)})
    return _reported(state, own, points, model, references or [])


def _checked(max_mb, max_ms_ratio, max_drop, trials, epochs):
    budget = {"max_mb": max_mb, "max_ms_ratio": max_ms_ratio, "max_drop": max_drop}
    for name, value in budget.items():
        if value is not None and not (is_number(value, 0) and value):
            raise KzooError(f"Got {name}={value!r:.40}; expected a number above 0.")
    if max_mb is None and max_ms_ratio is None:
        raise KzooError("Got no budget; expected max_mb, max_ms_ratio or both.")
    for name, value in (("trials", trials), ("epochs", epochs)):
        if not is_whole(value, 1):
            raise KzooError(f"Got {name}={value!r:.40}; expected a whole number of at least 1.")
    return budget


def _check_references(references):
    """Raise KzooError for published models without what is drawn of them."""
    needed = {"name": str, "megabytes": (int, float), "score": (int, float), "source": str}
    for entry in references:
        if not isinstance(entry, dict) or not all(
            isinstance(entry.get(key), kinds) for key, kinds in needed.items()
        ):
            raise KzooError(
                f"Got the published model {entry!r:.80}; expected name, megabytes, score (0 to 1) "
                "and source."
            )


def shapes_of(model, learnt, budget, trials):
    """The largest shapes within a budget, as many as are tried: of each depth the best first."""
    sizes, tokens, ranks = Sizes(model), [0], [0]
    if not sizes.layers:
        raise KzooError(
            f"Got {model.name} on {an(model.spec.family)}, which has no blocks; expected a network "
            "with some: kzoo.compression.trim makes a table of tokens smaller."
        )
    if "tokenizer" in model.processors:
        tokens = _tokens(model, learnt)
        narrower = (round(share * sizes.width) for share in RANKS)
        if model.spec.embedding["kind"] in FACTORS:
            ranks = [0, *(rank for rank in narrower if rank < sizes.columns)]
    every = [
        Shape(blocks, inner, count, rank, bits)
        for blocks in range(1, sizes.layers + 1)
        for inner in (SHARES if sizes.inner else (1.0,))
        for count in tokens
        for rank in ranks
        for bits in QUANTIZATIONS
        if rank <= count
    ]
    every = [shape for shape in every if sizes.fits(shape)]
    limits = [
        (budget["max_mb"], sizes.megabytes, "MB"),
        (budget["max_ms_ratio"], sizes.time, "of the time"),
    ]
    fitting = every
    for bound, measure, unit in limits:
        if bound is None:
            continue
        fitting = [shape for shape in fitting if measure(shape) <= bound]
        if not fitting:
            least = min(every, key=measure)
            raise KzooError(
                f"Got a budget of {bound:g} {unit}, which no shape meets; expected about "
                f"{_rounded_up(measure(least)):g} {unit} at least, what the smallest shape of this "
                "model has."
            )
    by_depth = {}
    for shape in sorted(fitting, key=lambda s: -_capacity(s, sizes)):
        by_depth.setdefault(shape.blocks, []).append(shape)
    chosen = []
    while len(chosen) < trials and any(by_depth.values()):
        best = sorted((held.pop(0) for held in by_depth.values() if held),
                      key=lambda s: -_capacity(s, sizes))  # fmt: skip
        chosen += best[: trials - len(chosen)]
    return chosen


def _rounded_up(value):
    """A number above 0 to two digits, and not below itself."""
    step = 10 ** (math.floor(math.log10(value)) - 1)
    return round(math.ceil(value / step) * step, 12)


def _tokens(model, learnt):
    """How many tokens a table may have: shares of those used, and no fewer than always stay."""

    def kept(least):
        _, report = compression.trim(model, list(learnt.x), least=least, alphabet="corpus")
        return report["tokens"]["after"]

    used, fewest = kept(1), kept(2**31)
    return sorted({max(fewest, round(share * used)) for share in TOKENS}, reverse=True)


def _capacity(shape, sizes):
    """By what shapes of a budget are ordered before they learn: products, and the table's width."""
    table = shape.tokens * (shape.rank or sizes.width)
    # Twice the weights of half the bits are worth more, as many are worth less.
    coarse = 0.3 * (shape.bits != USUAL)
    return math.log(shape.blocks * shape.inner) + 0.3 * math.log(max(table, 1)) - coarse


def best_first(scores):
    """What has scores, {what: score}, the most right first."""
    return sorted(scores, key=lambda what: -scores[what])


def _differing(held, now):
    """The names of what decides a search and differs between two states."""
    pairs = [(held.get("facts", {}), now["facts"]), (held, now)]
    names = [[key for key in now["facts"] if key != "recipe"], ["contents"]]
    names.insert(0, list(now["facts"]["recipe"]))
    pairs.insert(0, tuple(each.get("recipe", {}) for each in pairs[0]))
    spoken = {"contents": "content of its files", "train": "train file", "test": "test file",
              "trials": "number of trials", "epochs": "number of epochs"}  # fmt: skip
    return [
        spoken.get(key, key)
        for (here, there), keys in zip(pairs, names, strict=True)
        for key in keys
        if here.get(key) != there[key]
    ]


class _State:
    """What a run has found so far, on disk, so that the next one needn't find it again."""

    def __init__(self, folder, facts, contents):
        self.folder, self.path = folder, folder / "state.json"
        self.held = {"facts": facts, "contents": contents, "found": {}, "tried": []}
        if folder.exists() and not folder.is_dir():
            raise KzooError(f"{folder} is a file; expected a folder for the search: name another.")
        if self.path.is_file():
            held = read_json(self.path, "the state of a search")
            others = _differing(held, json.loads(json.dumps(self.held)))
            if others:
                raise KzooError(
                    f"{folder} holds a search with another {' and another '.join(others)}; "
                    "expected the same, to go on with it: name another output, or delete this one."
                )
            self.held = held
        elif folder.is_dir() and any(folder.iterdir()):
            raise KzooError(f"{folder} holds other files: name a folder that is new or empty.")

    def begin(self):
        """Make the folder, now that the search can begin."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.rglob(f".*.{'[0-9a-f]' * 8}"):  # What a killed run had begun.
            shutil.rmtree(path, ignore_errors=True)
        self._write()

    def get(self, name, find):
        """What was found under a name, or what `find()` gives, which is kept."""
        if name not in self.held["found"]:
            self.held["found"][name] = find()
            self._write()
        return self.held["found"][name]

    def note(self, rows):
        """Keep what was tried, unless it is kept."""
        self.held["tried"] += [row for row in rows if row not in self.held["tried"]]
        self._write()

    def _write(self):
        with writing_file(self.path) as tmp_path:
            tmp_path.write_text(json.dumps(self.held, indent=1) + "\n", encoding="utf-8")


class _Point:
    """A shape in one of the folders of a search."""

    def __init__(self, state, shape, place):
        self.state, self.shape, self.name = state, shape, f"{place}/{shape.name}"
        self.preset = state.folder / place / shape.name / "preset"

    def learnt(self, recipe, model, learning, held, answers):
        """How right it is on examples that were held out, once it has learnt."""
        here = answers and os.path.relpath(answers, self.preset.parent)
        own = {"output": str(self.preset), "steps": self.shape.steps(model, learning, here)}
        recipe = {**recipe, **own}

        def learn():
            path = self.preset.parent / "recipe.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            here = _relative(recipe, path.parent)
            path.write_text(json.dumps(here, indent=1) + "\n", encoding="utf-8")
            made, _ = steps.compress(path, verbose=0)
            return _score(made, held)

        return self.state.get(f"{self.name} held", learn)

    def measured(self, examples, reference):
        """The measures of its bundle."""
        folder = self.preset.parent / "bundle"

        def measure():
            made, quantization = presets.load(self.preset), self.shape.quantization
            return _measured(made, folder, examples, reference, quantization)

        return {"folder": self.name, **self.state.get(f"{self.name} measured", measure)}


def _relative(recipe, folder):
    """The recipe with the paths of files that are there as seen from a folder."""
    keys = ("model", "train", "validation", "output")
    return {
        key: os.path.relpath(value, folder)
        if key in keys and isinstance(value, str) and (key == "output" or Path(value).exists())
        else value
        for key, value in recipe.items()
        if value is not None
    }


def _score(source, examples):
    """The one measure by which a task's answers are judged, 0 to 1."""
    scores = scores_of(source, examples)
    return next(scores[name] for name in JUDGED.values() if name in scores)


def _measured(model, folder, examples, reference, quantization=QUANTIZATIONS[USUAL]):
    """What is told of a model: its bundle's megabytes, its time by the model's own, how right.

    Its file is so on each of the examples, {name: those that are held out, or of the test}.
    """
    if not (folder / MANIFEST).is_file():
        limits = dict.fromkeys(defaults(quantization, measure_of(model)))
        export_bundle(model, folder, quantization, limits=limits)
    rows = bench_bundle(folder, reference)["lengths"] if reference else []
    row = next((row for row in rows if row["tokens"] >= TOKENS_TIMED), rows[-1] if rows else None)
    return {
        "quantization": quantization,
        "megabytes": (folder / MODEL).stat().st_size / 1e6,
        "ms_ratio": 1 / row["speed"] if row else 1.0,
        "keras": _score(model, examples["score"]),
        **{name: _score(folder, some) for name, some in examples.items()},
    }


def best_of(points):
    """Of the points that fit the most right on what was held out, or None: not chosen by a test."""
    fitting = [point for point in points if point["fits"]]
    return max(fitting, key=lambda point: point["held"], default=None)


def closest(points, own, budget):
    """The point that exceeds a budget least, as a share of each of its bounds."""

    def excess(point):
        actual = _against(point, own)
        return sum(max(0, actual[n] / bound - 1) for n, bound in budget.items() if bound)

    return min(points, key=excess)


def fits(point, own, budget):
    """Whether a point keeps to each part of a budget."""
    actual = _against(point, own)
    return all(bound is None or actual[name] <= bound for name, bound in budget.items())


def _against(point, own):
    """A point in the numbers of a budget."""
    drop = 100 * (own["held"] - point["held"])  # The test decides nothing.
    return {"max_mb": point["megabytes"], "max_ms_ratio": point["ms_ratio"], "max_drop": drop}


def _reported(state, own, points, model, references):
    """The report of a search, which is written beside its table and its picture."""
    budget = state.held["facts"]["budget"]
    best = best_of(points)
    report = {
        **state.held["facts"],
        "measure": JUDGED[model.rule],
        "model": own,
        "points": points,
        "tried": state.held["tried"],
        "best": best and best["name"],
        "closest": None if best else closest(points, own, budget)["name"],
        "references": references,
    }
    names = [
        "name",
        "folder",
        "quantization",
        "megabytes",
        "ms_ratio",
        "held",
        "keras",
        "score",
        "fits",
    ]
    (state.folder / TABLE).unlink(missing_ok=True)
    write_table(state.folder / TABLE, {n: [point[n] for point in points] for n in names})
    plot.write(plot.pareto(report), state.folder / PICTURE)
    text = json.dumps(report, indent=1) + "\n"
    with writing_file(state.folder / REPORT) as tmp_path:
        tmp_path.write_text(text, encoding="utf-8")
    return {"output": str(state.folder), **report}
