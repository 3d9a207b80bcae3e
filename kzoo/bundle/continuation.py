"""What a file that writes is measured by: the tokens that it writes, and how likely text is to it.

Keras writes greedily from the same prompts, or of the same sources, by the same code, and what both
write is laid side by side. Perplexity is that of the file's own steps, a token at a time, as an app
runs it: on text, or on targets of sources, which are those that Keras wrote where there are none.
A source is a list of token ids, or the array of a picture.
"""

import time

import numpy as np

from ..data.batches import IGNORED
from ..data.documents import windows
from ..errors import KzooError
from ..generation import Generation, generate
from ..generation.logit_processors import log_softmax
from ..generation.rewriter import beginning, source_ids
from ..generation.streaming import with_text
from ..generation.writer import prompt_ids
from ..litert.convert import CACHE
from ..text.languages import codes
from .file_step import SourceStep, open_step
from .manifest import GOLDEN, MODEL
from .senses import TEXTS, sense_of, sentences

SAYS = "text that both write"
Opened = open_step  # what runs a file
PROMPTS, NEW = 20, 16  # prompts on which file and Keras write, and tokens that they write
READ = 512  # tokens on which perplexity is measured where no evaluation file is
MOST = 2048  # and of an evaluation file at most
SHOWN = 8  # logits of the first step that a golden example holds
LENGTHS = (16, 64, 128)  # tokens of the prompts that are timed
NOTHING = (None, ())  # what stands before what is written on, see `begins`
STEPS = 8  # tokens that are timed behind a prompt
ROUNDS = 3  # measurements of latency, each of which takes long


def check_sizes(model, sizes, texts=None, fewest=1):
    """Raise KzooError where fewer prompts of the texts fit a file, see `prompts_of`."""
    prompts_of(model, sizes, fewest, texts, fewest)


def prompts_of(model, sizes, count, texts=None, fewest=1):
    """Beginnings of lines of texts, the shipped ones by default: (text, ids), short to long.

    The file has places for `NEW` tokens behind each of them. Sources that were given are whole.

    Of a task that reads pictures: the pictures themselves, and their arrays.

    Raises:
        KzooError: where there are fewer than `fewest`.
    """
    if sense_of(model.reads) is not TEXTS:
        return _pictures_of(model, sizes, count, texts, fewest)
    lines = [line for text in texts or sentences() for line in text.splitlines()]
    words = [line.split() for line in lines if line.strip()]
    options = model.task_options()
    writes_on = begins(options) is NOTHING
    if writes_on or texts is None:
        starts = [" ".join(each[: max(1, len(each) // 2)]) for each in words]
        starts = sorted({*starts, *(each[0] for each in words)})
    else:
        starts = sorted({" ".join(each) for each in words})
    if not starts:
        raise KzooError("Got texts without a word; expected some whose beginnings are prompts.")
    rows = sorted(zip(starts, model.prompt_ids(starts), strict=True), key=lambda row: len(row[1]))
    least, cache = len(rows[min(fewest, len(rows)) - 1][1]), sizes[CACHE]
    if writes_on:
        room, needed = cache - NEW, [("cache", cache, least + NEW)]
    else:
        room = min(options["source_length"], sizes["length"] or options["source_length"])
        needed = [("cache", cache, NEW), ("length", room, least)]
    for what, actual, expected in needed:
        if actual < expected:
            raise KzooError(
                f"Got a {what} of {actual} tokens; expected {expected} at least, for {fewest} of "
                f"the prompts that the file is measured on and the {NEW} tokens behind each."
            )
    rows = [row for row in rows if len(row[1]) <= room]
    places = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)
    return [rows[place] for place in places]


def _pictures_of(model, sizes, count, given, fewest):
    """`prompts_of` a task that reads pictures, evenly spread over those that are given."""
    sense = sense_of(model.reads)
    given = sense.pieces() if given is None else list(given)
    if len(given) < fewest:
        raise KzooError(
            f"Got {len(given)} {sense.nouns}; expected {fewest} at least, on which the file is "
            "measured."
        )
    if sizes[CACHE] < NEW:
        raise KzooError(
            f"Got a cache of {sizes[CACHE]} tokens; expected {NEW} at least, for those that are "
            "written."
        )
    places = np.linspace(0, len(given) - 1, min(count, len(given))).round().astype(int)
    some = [given[place] for place in places]
    return list(zip(some, model.cut_sources(some), strict=True))


def size_of(source):
    """How many tokens a source has: a picture 1, beside a question those of this."""
    source = source[1] if isinstance(source, tuple) else source
    return 1 if hasattr(source, "shape") else len(source)


def written(step, prompts, cache, begin=NOTHING, ends=()):
    """The ids that a step function writes greedily of each prompt of `prompts_of`, `NEW` at most.

    For `begin` see `begins`, for `ends` `ends_of`.
    """
    start, forced = begin
    options = Generation(max_new_tokens=NEW, forced_token_ids=forced, end_token_ids=ends)
    results = []
    for ids in prompts:
        own, prompt = begun(step, ids, start)
        ((answer,),) = generate(own, [prompt], options, None, cache)
        results.append(answer.token_ids)
    return results


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
        token), and what `perplexities` gives for every other shipped sentence or for `texts`, or
        for what Keras wrote of sources; `perplexity_on` says for which.
    """
    cache, file, begin = sizes[CACHE], open_step(path), begins(model.task_options())
    prompts = [ids for _, ids in prompts_of(model, sizes, PROMPTS, texts)]
    ends = ends_of(model)
    sides = [written(step, prompts, cache, begin, ends) for step in (model.step, file)]
    pairs = [list(pair) for pair in zip(*sides, strict=True)]
    if begin is NOTHING:
        where = "shipped sentences" if texts is None else "the texts"
        rows = rows_of(model, sentences()[1::2] if texts is None else texts, cache, READ)
    else:
        where, rows = "what Keras wrote", rows_of_pairs(prompts, sides[0], begin)
    return {
        "texts": len(prompts),
        "tokens": [size_of(ids) for ids in prompts],
        "continuations": pairs,
        "tokens_equal": equal_share(pairs),
        **perplexities(model, {"file": file}, rows),
        "perplexity_on": where,
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


def begins(options):
    """What a decoder is given first and what it writes first, by a task's options.

    Of what writes on these are None and ().
    """
    return beginning(options) if "start_id" in options else NOTHING


def ends_of(model):
    """The tokens that end what a task writes of a source; one that writes on has none here."""
    if begins(model.task_options()) is NOTHING:
        return ()
    end, usual = model.writing_tokenizer.end_id, model.task_options()["generation"]
    return tuple(usual.get("end_token_ids") or (() if end is None else (end,)))


def begun(step, ids, start):
    """A step function and its prompt: ids to write on from, or `start` where it writes of them."""
    return (step, ids) if start is None else (step.reading([ids]), [start])


def rows_of_pairs(sources, targets, begin):
    """(source, tokens, targets) of lists of ids: what a decoder reads, and what it foretells."""
    pairs = zip(sources, targets, strict=True)
    return [(source, [begin[0], *target[:-1]], target) for source, target in pairs]


def rows_of_texts(rows):
    """The same of (tokens, targets), which have no source."""
    return [([], tokens, targets) for tokens, targets in rows]


def rows_of(model, texts, cache, most):
    """(no source, tokens, targets) of texts, in windows that fit the cache, up to `most` tokens."""
    rows, count = [], 0
    for ids in model.tokenizer.bare_ids(texts):
        ids = [*model.start_ids(), *ids, *model.end_ids]
        for tokens, targets in windows(ids, cache) if len(ids) > 1 else ():
            if count + len(tokens) > most and rows:
                return rows_of_texts(rows)
            rows.append((tokens, targets))
            count += len(tokens)
    if not rows:
        raise KzooError("The texts hold fewer than two tokens: there is nothing to predict.")
    return rows_of_texts(rows)


def perplexities(model, steps, rows):
    """Perplexity on rows of (source, tokens, targets): e to the mean loss of a token.

    Args:
        model: the task in Keras.
        steps: {name: step function}, "file" among them.
        rows: see `rows_of` and `rows_of_pairs`.

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
        "perplexity_tokens": sum(t != IGNORED for *_, targets in rows for t in targets),
    }


def foretold(step, rows):
    """How well the tokens of rows of (source, tokens, targets) are foretold by a step function.

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
    for source, tokens, targets in rows:
        scores = log_softmax(np.asarray(logits_of(source, tokens), "float64"))
        places = [place for place, target in enumerate(targets) if target != IGNORED]
        losses += [-scores[place, targets[place]] for place in places]
        hits += [scores[place].argmax() == targets[place] for place in places]
    return losses, hits


def _by_keras(model):
    *_, name = (each for each in model.backbone.input_names if each.endswith("token_ids"))

    def logits_of(source, tokens):
        columns = model.source_inputs([source]) if len(source) else {}
        ids = np.array([tokens], "int32")
        mask = {name.replace("token_ids", "padding_mask"): np.ones_like(ids)}
        return model({**columns, name: ids, **mask})["logits"][0]

    return logits_of


def _by_steps(step):
    def logits_of(source, tokens):
        own, _ = begun(step, source, tokens[0] if len(source) else None)
        state, rows = None, []
        for place, token in enumerate(tokens):
            logits, state = own(*_one(token, place), state)
            rows.append(logits[0])
        return np.stack(rows)

    return logits_of


def _one(token, place):
    return np.array([[token]], "int32"), np.array([[place]], "int32")


# -- golden examples ------------------------------------------------------------------------------


def golden(order, path):
    """Golden examples: a prompt and its ids, or a picture, and what file and Keras write of it.

    Half of the prompts are of the evaluation's texts, where those may travel; the others are the
    shipped ones. Their outputs are `token_ids`, the new ones, and `logits`, the first few behind
    the prompt.
    """
    model, sizes, rows = order.model, order.sizes, []
    if order.examples and order.share_texts:
        rows = prompts_of(model, sizes, GOLDEN // 2, order.examples.texts)
    rows += prompts_of(model, sizes, GOLDEN - len(rows))
    prompts, file, begin = [ids for _, ids in rows], open_step(path), begins(order.options)
    sides = {}
    for name, step in (("outputs", file), ("keras", model.step)):
        first = [_first_logits(step, ids, begin[0]) for ids in prompts]
        new = written(step, prompts, order.cache, begin, ends_of(model))
        sides[name] = [
            {"token_ids": ids, "logits": logits} for ids, logits in zip(new, first, strict=True)
        ]
    return [
        {**_kept(order.sense, place, *row, path.parent), "outputs": file, "keras": keras}
        for place, (row, file, keras) in enumerate(zip(rows, *sides.values(), strict=True))
    ]


def _kept(sense, place, given, source, folder):
    """What a golden example says of its prompt or source, see `Sense.kept`."""
    if sense is TEXTS:
        return {"text": given, "token_ids": source}
    return sense.kept(place, given, sense.columns_of(source), folder)


def shown(order, path, golden):
    """What both write behind the golden examples, {"file", "keras"} for each."""
    tokenizer = order.model.writing_tokenizer
    return [
        {
            side: {"continuation": _text(tokenizer, entry[outputs]["token_ids"])}
            for side, outputs in (("file", "outputs"), ("keras", "keras"))
        }
        for entry in golden
    ]


def _text(tokenizer, token_ids):
    return tokenizer.decode(with_text(tokenizer, token_ids))


def golden_ids(tokenizer, manifest):
    """The ids of the golden examples as the tokenizer gives them now."""
    texts, options = [entry["text"] for entry in manifest["golden"]], manifest["task_options"]
    if begins(options) is NOTHING:
        return prompt_ids(tokenizer, texts)
    return source_ids(tokenizer, texts, options["source_language"])


def check_golden(folder, tokenizer, manifest):
    """See `run_golden`; what prompts become must be what they were at the export."""
    sense, begin = sense_of(manifest["reads"]), begins(manifest["task_options"])
    if sense is not TEXTS:
        step = open_step(folder / MODEL)
        for place, entry in enumerate(manifest["golden"]):
            sense.check_again(place, entry, sense.again(entry, folder, tokenizer, manifest))
        sources = _sources(folder, tokenizer, manifest)
        return run_golden(step, manifest["golden"], manifest["tolerance"], begin, sources)
    ids = golden_ids(tokenizer, manifest)
    for place, (entry, own) in enumerate(zip(manifest["golden"], ids, strict=True)):
        TEXTS.check_ids(place, entry, own)
    if begin is not NOTHING and manifest["task_options"]["languages"] != codes(tokenizer):
        raise KzooError(
            f"{folder} names the languages {manifest['task_options']['languages']!s:.60}; its "
            f"tokenizer has {codes(tokenizer)!s:.60}: export anew."
        )
    step = open_step(folder / MODEL)
    return run_golden(step, manifest["golden"], manifest["tolerance"], begin)


def _sources(folder, processor, manifest):
    """The prompts or sources of the golden examples as `begun` takes them."""
    sense, entries = sense_of(manifest["reads"]), manifest["golden"]
    if sense is TEXTS:
        return [entry["token_ids"] for entry in entries]
    return [sense.source(sense.again(entry, folder, processor, manifest)) for entry in entries]


def run_again(predictor):
    """How many golden examples are written as at the export; the largest distance of logits."""
    manifest = predictor.manifest
    begin = begins(manifest["task_options"])
    sources = _sources(predictor.folder, predictor.processor, manifest)
    results = list(_rerun(predictor.writer.step, manifest["golden"], begin, sources))
    equal = sum(all(share <= 0 for share in below) for _, _, below in results)
    return equal, float(np.max([off for _, off, _ in results]))


def client_texts(texts):
    """None of the shipped texts: whole lines leave little room to write in."""
    return []


def _first_logits(step, ids, start):
    logits, _ = _read(*begun(step, ids, start))
    return [float(f"{value:.7g}") for value in logits[0][:SHOWN]]


def _read(step, ids):
    places = np.arange(len(ids), dtype="int32")[None]
    return step(np.array([ids], "int32"), places, None)


def run_golden(step, entries, tolerance, begin=NOTHING, sources=None):
    """The largest distance of a golden example's logits, as a share of the largest of its step.

    The written tokens are read again, each of which is to be the likeliest within the tolerance.
    `sources` are what entries are written of, where those aren't the ids that they hold.

    Raises:
        KzooError: for an example that the file answers otherwise.
    """
    worst = 0.0
    for number, (entry, off, below) in enumerate(_rerun(step, entries, begin, sources)):
        worst, title = max(worst, off), repr(entry.get("text", entry.get("image")))[:40]
        if not entry["outputs"]["token_ids"]:
            raise KzooError(f"Golden example {number} holds no tokens: export anew.")
        if not off <= tolerance:
            raise KzooError(
                f"Golden example {number} ({title}) has logits that lie "
                f"{100 * off:.3g} % off; {100 * tolerance:.3g} % is allowed: this runtime computes "
                "otherwise, or the file was not made by this export."
            )
        other = next((i for i, share in enumerate(below) if not share <= tolerance), None)
        if other is not None:
            raise KzooError(
                f"Golden example {number} ({title}) is written otherwise from token "
                f"{other} on: this runtime computes otherwise, or the file was not made by this "
                "export."
            )
    return worst


def _rerun(step, entries, begin, sources=None):
    """Each golden example, how far its logits lie off, and how far its tokens below the likeliest.

    Both are shares of the largest logit of their step; of logits, written with seven digits, what
    is nearer than those is equal. What is read are the tokens of the export.
    """
    sources = [entry["token_ids"] for entry in entries] if sources is None else sources
    for entry, ids in zip(entries, sources, strict=True):
        new = entry["outputs"]["token_ids"]
        first = np.asarray(entry["outputs"]["logits"], "float64")
        own, prompt = begun(step, ids, begin[0])
        logits, state = _read(own, prompt)
        off = float(np.abs(logits[0][: len(first)] - first).max()) / _largest(logits)
        below = []
        for place, token in enumerate(new):
            if place:
                logits, state = own(*_one(new[place - 1], len(prompt) + place - 1), state)
            if place < len(begin[1]):  # It is forced, and need not be likely.
                below.append(0.0 if token == begin[1][place] else np.inf)
            else:
                below.append((float(logits.max()) - float(logits[0, token])) / _largest(logits))
        yield entry, 0.0 if off < 1e-6 else off, below


def _largest(logits):
    return max(float(np.abs(logits).max()), 1e-6)


# -- speed ----------------------------------------------------------------------------------------


def measure(steps, lengths, rounds, threads=1):
    """Milliseconds that files take to the first token behind a prompt, and for each one more.

    Every round runs all files in turn, see `answering.measure`.

    Args:
        steps: {name: what `open_step` gives}.
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
                ids, first = step.blank(length), 1 if isinstance(step, SourceStep) else None
                _read(*begun(step, ids, first))  # another length ran before: allocate untimed
                start = clock()
                own, prompt = begun(step, ids, first)
                _, state = _read(own, prompt)
                if turn:
                    prompts[name][length].append(1000 * (clock() - start))
            count = min(STEPS, step.cache - len(prompt))
            start = clock()
            for place in range(len(prompt), len(prompt) + count):
                _, state = own(*_one(1, place), state)
            if turn:
                tokens[name].append(1000 * (clock() - start) / count)
    return prompts, tokens


def takes(file, longest):
    """How many tokens of a prompt a file takes, as a range."""
    return file.takes(longest)


def usual_lengths(taken):
    """The prompts of a range that are timed where nobody names others."""
    longest = taken[-1] + 1
    return [length for length in LENGTHS if length + STEPS <= longest] or [max(1, longest - STEPS)]
