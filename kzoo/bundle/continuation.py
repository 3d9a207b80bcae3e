"""What a file that writes is measured by: the tokens that it writes, and how likely text is to it.

Keras writes greedily from the same prompts, by the same code, and what both write is laid side by
side. Perplexity is that of the file's own steps, a token at a time, as an app runs it.
"""

import time

import numpy as np

from ..data.batches import IGNORED
from ..data.documents import windows
from ..errors import KzooError
from ..generation import Generation, generate
from ..generation.logit_processors import log_softmax
from ..generation.streaming import with_text
from ..generation.writer import prompt_ids
from ..litert.convert import CACHE
from .file_step import FileStep
from .manifest import GOLDEN, MODEL
from .senses import TEXTS, sentences

SAYS = "text that both write"
Opened = FileStep  # what runs a file
PROMPTS, NEW = 20, 16  # prompts on which file and Keras write, and tokens that they write
READ = 512  # tokens on which perplexity is measured where no evaluation file is
MOST = 2048  # and of an evaluation file at most
SHOWN = 8  # logits of the first step that a golden example holds
LENGTHS = (16, 64, 128)  # tokens of the prompts that are timed
STEPS = 8  # tokens that are timed behind a prompt
ROUNDS = 3  # measurements of latency, each of which takes long


def check_sizes(model, sizes, texts=None, fewest=1):
    """Raise KzooError where fewer prompts of the texts fit the cache, see `prompts_of`."""
    prompts_of(model, sizes[CACHE], fewest, texts, fewest)


def prompts_of(model, cache, count, texts=None, fewest=1):
    """Beginnings of lines of texts, the shipped ones by default: (text, ids), short to long.

    Behind each of them the cache has places for `NEW` tokens.

    Raises:
        KzooError: where there are fewer than `fewest`.
    """
    lines = [line for text in texts or sentences() for line in text.splitlines()]
    words = [line.split() for line in lines if line.strip()]
    starts = [" ".join(each[: max(1, len(each) // 2)]) for each in words]
    starts = sorted({*starts, *(each[0] for each in words)})
    if not starts:
        raise KzooError("Got texts without a word; expected some whose beginnings are prompts.")
    rows = sorted(zip(starts, model.prompt_ids(starts), strict=True), key=lambda row: len(row[1]))
    least = len(rows[min(fewest, len(rows)) - 1][1]) + NEW
    if least > cache:
        raise KzooError(
            f"Got a cache of {cache} tokens; expected {least} at least, for {fewest} of the "
            f"prompts that the file is measured on and the {NEW} tokens behind each."
        )
    rows = [row for row in rows if len(row[1]) + NEW <= cache]
    places = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)
    return [rows[place] for place in places]


def written(step, prompts, cache):
    """The `NEW` ids that a step function writes greedily behind each prompt of `prompts_of`."""
    options = Generation(max_new_tokens=NEW)
    return [generate(step, [ids], options, None, cache)[0][0].token_ids for ids in prompts]


def distance(model, path, sizes, texts=None):
    """How far a file lies from Keras on texts, the shipped ones by default, as the report has it.

    Args:
        model: the task in Keras.
        path: the file.
        sizes: {axis: size} of its axes, the cache's among them.
        texts: strings, of whose lines the beginnings are prompts.

    Returns:
        A dict: `texts` (how many prompts), `tokens` (of each), `continuations` (for each the ids
        that Keras wrote and those of the file), `tokens_equal` (the share of places with the same
        token), and what `perplexities` gives for every other shipped sentence, or for `texts`.
    """
    cache, file = sizes[CACHE], FileStep(path)
    prompts = [ids for _, ids in prompts_of(model, cache, PROMPTS, texts)]
    sides = [written(step, prompts, cache) for step in (model.step, file)]
    pairs = [list(pair) for pair in zip(*sides, strict=True)]
    rows = rows_of(model, sentences()[1::2] if texts is None else texts, cache, READ)
    return {
        "texts": len(prompts),
        "tokens": [len(ids) for ids in prompts],
        "continuations": pairs,
        "tokens_equal": equal_share(pairs),
        **perplexities(model, {"file": file}, rows),
    }


def distances(order, paths):
    """The distance of each file, on the shipped sentences."""
    return {
        name: {**distance(order.model, path, order.sizes), "source": None}
        for name, path in paths.items()
    }


def equal_share(pairs):
    """The share of places at which two rows of tokens have the same, over all pairs of rows."""
    equal = sum(one == other for pair in pairs for one, other in zip(*pair, strict=False))
    return equal / sum(max(map(len, pair)) for pair in pairs)


def rows_of(model, texts, cache, most):
    """(tokens, targets) of texts, each cut into windows that fit the cache, up to `most` tokens."""
    rows, count = [], 0
    for ids in model.tokenizer.bare_ids(texts):
        ids = [*model.start_ids(), *ids, *model.end_ids]
        for tokens, targets in windows(ids, cache) if len(ids) > 1 else ():
            if count + len(tokens) > most and rows:
                return rows
            rows.append((tokens, targets))
            count += len(tokens)
    if not rows:
        raise KzooError("The texts hold fewer than two tokens: there is nothing to predict.")
    return rows


def perplexities(model, steps, rows):
    """Perplexity on rows of (tokens, targets): e to the mean loss of a token.

    Args:
        model: the task in Keras.
        steps: {name: step function}, "file" among them.
        rows: see `rows_of`.

    Returns:
        A dict: `perplexity` of the file, `perplexity_keras`, `perplexity_NAME` of the others,
        `perplexity_ratio` of the file's to Keras', and `perplexity_tokens`, on how many.
    """
    sides = {"keras": _by_keras(model)} | {n: _by_steps(step) for n, step in steps.items()}
    found = {name: float(np.exp(_mean_loss(side, rows))) for name, side in sides.items()}
    others = {f"perplexity_{name}": value for name, value in found.items() if name != "file"}
    return {
        "perplexity": found["file"],
        **others,
        "perplexity_ratio": found["file"] / found["keras"],
        "perplexity_tokens": sum(t != IGNORED for _, targets in rows for t in targets),
    }


def foretold(step, rows):
    """How well the tokens of rows of (tokens, targets) are foretold by a step function.

    Returns:
        {"perplexity", "accuracy" (share of tokens that were likeliest), "loss" (nats a token)}.
    """
    losses, hits = _losses(_by_steps(step), rows)
    loss = float(np.mean(losses))
    return {"perplexity": float(np.exp(loss)), "accuracy": float(np.mean(hits)), "loss": loss}


def _mean_loss(logits_of, rows):
    return np.mean(_losses(logits_of, rows)[0])


def _losses(logits_of, rows):
    """For each target its loss, and whether it was the likeliest token."""
    losses, hits = [], []
    for tokens, targets in rows:
        scores = log_softmax(np.asarray(logits_of(tokens), "float64"))
        places = [place for place, target in enumerate(targets) if target != IGNORED]
        losses += [-scores[place, targets[place]] for place in places]
        hits += [scores[place].argmax() == targets[place] for place in places]
    return losses, hits


def _by_keras(model):
    def logits_of(tokens):
        ids = np.array([tokens], "int32")
        return model({"token_ids": ids, "padding_mask": np.ones_like(ids)})["logits"][0]

    return logits_of


def _by_steps(step):
    def logits_of(tokens):
        state, rows = None, []
        for place, token in enumerate(tokens):
            logits, state = step(*_one(token, place), state)
            rows.append(logits[0])
        return np.stack(rows)

    return logits_of


def _one(token, place):
    return np.array([[token]], "int32"), np.array([[place]], "int32")


# -- golden examples ------------------------------------------------------------------------------


def golden(order, path):
    """Golden examples: a prompt, its ids, and what file and Keras write behind it.

    Half of the prompts are of the evaluation's texts, where those may travel; the others are the
    shipped ones. Their outputs are `token_ids`, the new ones, and `logits`, the first few behind
    the prompt.
    """
    model, cache, rows = order.model, order.cache, []
    if order.examples and order.share_texts:
        rows = prompts_of(model, cache, GOLDEN // 2, order.examples.texts)
    rows += prompts_of(model, cache, GOLDEN - len(rows))
    prompts, file = [ids for _, ids in rows], FileStep(path)
    sides = {}
    for name, step in (("outputs", file), ("keras", model.step)):
        first = [_first_logits(step, ids) for ids in prompts]
        new = written(step, prompts, cache)
        sides[name] = [
            {"token_ids": ids, "logits": logits} for ids, logits in zip(new, first, strict=True)
        ]
    return [
        {"text": text, "token_ids": ids, "outputs": file_side, "keras": keras_side}
        for (text, ids), file_side, keras_side in zip(rows, *sides.values(), strict=True)
    ]


def shown(order, path, golden):
    """What both write behind the golden examples, {"file", "keras"} for each."""
    return [
        {
            side: {"continuation": _text(order.tokenizer, entry[outputs]["token_ids"])}
            for side, outputs in (("file", "outputs"), ("keras", "keras"))
        }
        for entry in golden
    ]


def _text(tokenizer, token_ids):
    return tokenizer.decode(with_text(tokenizer, token_ids))


def golden_ids(tokenizer, manifest):
    """The ids of the golden examples as the tokenizer gives them now."""
    return prompt_ids(tokenizer, [entry["text"] for entry in manifest["golden"]])


def check_golden(folder, tokenizer, manifest):
    """See `run_golden`; the ids of the prompts must be those of the export."""
    ids = golden_ids(tokenizer, manifest)
    for place, (entry, own) in enumerate(zip(manifest["golden"], ids, strict=True)):
        TEXTS.check_ids(place, entry, own)
    return run_golden(FileStep(folder / MODEL), manifest["golden"], manifest["tolerance"])


def run_again(predictor):
    """How many golden examples are written as at the export; the largest distance of logits."""
    results = list(_rerun(predictor.writer.step, predictor.manifest["golden"]))
    equal = sum(all(share <= 0 for share in below) for _, _, below in results)
    return equal, float(np.max([off for _, off, _ in results]))


def client_texts(texts):
    """None of the shipped texts: whole lines leave little room to write in."""
    return []


def _first_logits(step, ids):
    logits, _ = _read(step, ids)
    return [float(f"{value:.7g}") for value in logits[0][:SHOWN]]


def _read(step, ids):
    places = np.arange(len(ids), dtype="int32")[None]
    return step(np.array([ids], "int32"), places, None)


def run_golden(step, entries, tolerance):
    """The largest distance of a golden example's logits, as a share of the largest of its step.

    The written tokens are read again, each of which is to be the likeliest within the tolerance.

    Raises:
        KzooError: for an example that the file answers otherwise.
    """
    worst = 0.0
    for number, (entry, off, below) in enumerate(_rerun(step, entries)):
        worst = max(worst, off)
        if not off <= tolerance:
            raise KzooError(
                f"Golden example {number} ({entry['text']!r:.40}) has logits that lie "
                f"{100 * off:.3g} % off; {100 * tolerance:.3g} % is allowed: this runtime computes "
                "otherwise, or the file was not made by this export."
            )
        other = next((i for i, share in enumerate(below) if not share <= tolerance), None)
        if other is not None:
            raise KzooError(
                f"Golden example {number} ({entry['text']!r:.40}) is written otherwise from token "
                f"{other} on: this runtime computes otherwise, or the file was not made by this "
                "export."
            )
    return worst


def _rerun(step, entries):
    """Each golden example, how far its logits lie off, and how far its tokens below the likeliest.

    Both are shares of the largest logit of their step; of logits, written with seven digits, what
    is nearer than those is equal. What is read are the tokens of the export.
    """
    for entry in entries:
        ids, new = entry["token_ids"], entry["outputs"]["token_ids"]
        first = np.asarray(entry["outputs"]["logits"], "float64")
        logits, state = _read(step, ids)
        off = float(np.abs(logits[0][: len(first)] - first).max()) / _largest(logits)
        below = []
        for place, token in enumerate(new):
            if place:
                logits, state = step(*_one(new[place - 1], len(ids) + place - 1), state)
            below.append((float(logits.max()) - float(logits[0, token])) / _largest(logits))
        yield entry, 0.0 if off < 1e-6 else off, below


def _largest(logits):
    return max(float(np.abs(logits).max()), 1e-6)


# -- speed ----------------------------------------------------------------------------------------


def measure(steps, lengths, rounds, threads=1):
    """Milliseconds that files take to the first token behind a prompt, and for each one more.

    Every round runs all files in turn, see `answering.measure`.

    Args:
        steps: {name: `FileStep`}.
        lengths: tokens of prompts.
        rounds: measurements of each.
        threads: how many the files use.

    Returns:
        ({name: {length: [milliseconds, ...]}}, {name: [milliseconds, ...]}), a number a round.
    """
    clock = time.process_time if threads == 1 else time.perf_counter
    prompts = {name: {length: [] for length in lengths} for name in steps}
    tokens = {name: [] for name in steps}
    for turn in range(1 + rounds):
        for name, step in steps.items():
            for length in lengths:
                ids = [1] * length
                _read(step, ids)  # another length ran before: allocate outside the time
                start = clock()
                _, state = _read(step, ids)
                if turn:
                    prompts[name][length].append(1000 * (clock() - start))
            count = min(STEPS, step.cache - length)
            start = clock()
            for place in range(length, length + count):
                _, state = step(*_one(1, place), state)
            if turn:
                tokens[name].append(1000 * (clock() - start) / count)
    return prompts, tokens


def takes(file, longest):
    """How many tokens of a prompt a file takes, as a range: one at least is to be written."""
    return range(1, longest)


def usual_lengths(taken):
    """The prompts of a range that are timed where nobody names others."""
    longest = taken[-1] + 1
    return [length for length in LENGTHS if length + STEPS <= longest] or [max(1, longest - STEPS)]
