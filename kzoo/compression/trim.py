"""A smaller vocabulary: the tokens that a corpus uses, and what its tokenizer needs for them.

Done to multilingual BERT by Abdaoui et al. 2020, arXiv:2010.05609. Small models weigh the more by
their tables the smaller they are.
"""

import re

import keras
import numpy as np

from ..errors import KzooError
from ..network import Network, weights_by_path
from ..parts import completed
from ..spec import Towers
from ..tasks.inputs import as_list, split_pairs
from ..tasks.task import check_model
from ..tasks.text_task import check_tokenizer
from ..tasks.token_classifier import TokenClassifier
from ..values import an, is_whole
from .axes import axes_that_change

IN_BRACKETS = re.compile(r"\[.+\]|<.+>")  # names of tokens that no text has
ALPHABETS = ("vocabulary", "corpus")
IDS = ("end_token_ids", "forced_token_ids", "forbidden_token_ids")  # among options of `Generation`


def trim(model, texts, size=None, least=1, alphabet="vocabulary", held_out=None):
    """A model of the tokens that texts use, its tables and its tokenizer smaller together.

    Also special and added tokens stay, those that the spec names, the bytes of byte-level BPE, an
    alphabet, and what the tokenizer needs to cut a text over the tokens that stay as before; see
    `text.trimming`. Ids are numbered anew in their old order. Texts of other tokens are cut into
    smaller pieces. The rows that stay are those of before, so that a model answers the same on
    texts that are cut as before.

    Args:
        model: a task or a network with a tokenizer.
        texts: what the model reads: texts, pairs of them, or lists of words for a
            `TokenClassifier`. Of a `Seq2SeqLM` pairs of a source and a target, or texts that may be
            either. Prompts of a `TextEmbedder` needn't be among them; those of a chat must.
        size: tokens that stay at most, of the most frequent ones those that fit; None for all.
        least: how often the texts have a token that stays; 0 fills a size up with the tokens that
            stand first in the vocabulary, in most published ones the most frequent elsewhere, but
            for those in brackets, such as [unused5].
        alphabet: which single characters stay: all that the "vocabulary" has, so that nothing
            becomes unknown that was known, or those of the "corpus" alone.
        held_out: more texts, of which the report says how they are cut; they decide nothing.

    Returns:
        The model, and a report: {"tokens": {"before", "after"}, "table_bytes": {"float32",
        "int8"}, each {"before", "after"}, of all weights with a row or a number for each token,
        "share_saved": 0 to 1, "texts": how they are cut, "held_out": likewise}. How texts are cut
        is {"texts", "cut_as_before", "tokens_per_text", "unknown_tokens"}, the last two {"before",
        "after"}.

    Raises:
        KzooError: without a tokenizer, for texts without a token, for a size that is too small for
            what always stays, and where ids can't be moved.
    """
    _check_options(size, least, alphabet)
    check_model(model, "to trim")
    network = model if isinstance(model, Network) else model.backbone
    tokenizers = _tokenizers(model, network)
    rows = _rows(model, tokenizers.values(), texts)
    counts = np.bincount(np.concatenate(rows).astype("int64"), minlength=_size(network.spec))
    if not counts.any():
        raise KzooError(
            f"Got {len(rows)} texts of which the tokenizer makes no token; expected texts that "
            "the model is to read."
        )
    closures = [tokenizer.closure() for tokenizer in tokenizers.values()]
    known = set(tokenizers["tokenizer"].vocabulary.values())
    letters = None
    if alphabet == "corpus":
        used = np.flatnonzero(counts).tolist()
        letters = set.union(*(closure.letters(used) for closure in closures))
    of_tokenizers = set.union(*(c.always | c.alphabet(letters) for c in closures)) & known
    always = of_tokenizers | _always(model, network, tokenizers)
    for token, number in tokenizers["tokenizer"].vocabulary.items():
        if not counts[number] and IN_BRACKETS.fullmatch(token):
            counts[number] = -1  # Nothing to fill up with.
    kept = _kept(always, counts, closures, size, least)
    tokens = sorted(kept & known)
    if kept - known and min(kept - known) < tokens[-1]:
        raise KzooError(
            f"Got a model whose id {min(kept - known)} has no token and stands before others that "
            "have; expected those without behind them."
        )
    numbers = {old: new for new, old in enumerate(sorted(kept))}
    processors = {kind: t.of_tokens(tokens) for kind, t in tokenizers.items()}
    made, report = _made(model, network, numbers, processors)
    report["texts"] = _compared(made, numbers, tokenizers, processors, texts, rows)
    if held_out is not None:
        before = _rows(model, tokenizers.values(), held_out)
        report["held_out"] = _compared(made, numbers, tokenizers, processors, held_out, before)
    return made, report


def _check_options(size, least, alphabet):
    """Raise KzooError for what is out of its range."""
    if size is not None and not is_whole(size, 1):
        raise KzooError(f"Got size={size!r:.40}; expected how many tokens stay at most, or None.")
    if not is_whole(least, 0 if size else 1):
        raise KzooError(
            f"Got least={least!r:.40}; expected a whole number of at least 1, or 0 beside a size."
        )
    if alphabet not in ALPHABETS:
        raise KzooError(f"Got alphabet={alphabet!r:.40}; expected {' or '.join(ALPHABETS)}.")


# -- what is read ---------------------------------------------------------------------------------


def _tokenizers(model, network):
    """The tokenizers of a model by kind; KzooError where it reads no tokens, or has none."""
    if not _slots(network.spec):
        raise KzooError(
            f"Got {an(type(network).__name__)}, which reads no tokens; expected a model of texts."
        )
    kinds = ("tokenizer", "target_tokenizer")
    found = {kind: model.processors[kind] for kind in kinds if model.processors.get(kind)}
    if "tokenizer" not in found:
        raise KzooError(
            "Got a model without a tokenizer, which is to be trimmed with it; expected one: set "
            "model.tokenizer = kzoo.Tokenizer.load(folder)."
        )
    check_tokenizer(found["tokenizer"], network)
    return found


def _rows(model, tokenizers, texts):
    """The token ids of each text, or pair, without special tokens: a list of lists."""
    reads, *writes = tokenizers
    if isinstance(model, TokenClassifier) and not all(isinstance(t, str) for t in as_list(texts)):
        return reads.encode_words(texts)["token_ids"]
    firsts, seconds = split_pairs(texts)
    if seconds is None and writes:
        raise KzooError(
            "Got texts for a model that writes with another tokenizer than it reads with; expected "
            "pairs of a source and a target."
        )
    rows = reads.bare_ids(firsts)
    if seconds is None:
        return rows
    others = (writes or [reads])[0].bare_ids(seconds)
    return [[*one, *other] for one, other in zip(rows, others, strict=True)]


# -- what stays -----------------------------------------------------------------------------------


def _always(model, network, tokenizers):
    """The ids that stay whatever the texts are: those that the model itself names."""
    ids = _ids(network.spec)
    for name in IDS[:2]:  # What is never written needn't stay.
        ids |= set(np.atleast_1d(_generation(model).get(name, [])).astype(int).tolist())
    prompts = [text for text in getattr(model, "prompts", {}).values() if text]
    if prompts:
        ids = ids.union(*tokenizers["tokenizer"].bare_ids(prompts))
    return ids


def _generation(model):
    """How a task writes where a call says nothing else; empty for one that has no such options."""
    return model.generation if getattr(model, "remembers_how_it_writes", False) else {}


def _kept(always, counts, closures, size, least):
    """The ids that stay: those that always do, and the most frequent ones, each with its needs."""

    def needs(number):
        return set.union(*(closure.of(number) for closure in closures))

    kept = set().union(*map(needs, always))
    if size is not None and len(kept) > size:
        raise KzooError(
            f"Got size={size} for a vocabulary of which {len(kept)} tokens always stay, special "
            "tokens and the alphabet; expected at least as many, or alphabet='corpus', which keeps "
            "fewer letters."
        )
    for number in np.argsort(-counts, kind="stable").tolist():
        if counts[number] < least:
            break
        more = needs(number) - kept
        if size is None or len(kept) + len(more) <= size:
            kept |= more
    return kept


# -- ids in specs ---------------------------------------------------------------------------------


def _slots(spec):
    """The embedding slots that have a row for each token, with all their options."""
    specs = [spec]
    slots = []
    if isinstance(spec, Towers):
        slots = [spec.options["embedding"]] if "embedding" in spec.options else []
        specs = spec.towers.values()
    slots += [each.embedding for each in specs]
    completed_slots = (completed("embedding", slot) for slot in slots)
    return [slot for slot in completed_slots if "vocabulary_size" in slot]


def _size(spec):
    """How many rows its tables have."""
    sizes = {slot["vocabulary_size"] for slot in _slots(spec)}
    if len(sizes) > 1:
        raise KzooError(
            f"Got towers with tables of {' and '.join(map(str, sorted(sizes)))} tokens; expected "
            "one vocabulary for all."
        )
    return sizes.pop()


def _ids(spec):
    """The ids that a spec names."""
    ids = set()

    def seen(number):
        ids.add(number)
        return number

    _renumbered(spec, seen, _size(spec))
    return ids


def _renumbered(spec, number, size):
    """A spec with tables of another size, its ids replaced by what `number` gives for them."""

    def slot(held):
        known = completed("embedding", held)
        if "vocabulary_size" not in known:
            return held
        return {**held, "vocabulary_size": size, "padding_id": number(known["padding_id"])}

    if isinstance(spec, Towers):
        towers = {name: _renumbered(tower, number, size) for name, tower in spec.towers.items()}
        options = dict(spec.options)
        if "embedding" in options:
            options["embedding"] = slot(options["embedding"])
        if "start_id" in options:
            options["start_id"] = number(options["start_id"])
        return spec.replace(towers=towers, options=options)
    pooler = spec.pooler
    if is_whole(completed("pooler", pooler).get("token")):
        pooler = {**pooler, "token": number(pooler["token"])}
    return spec.replace(embedding=slot(spec.embedding), pooler=pooler)


# -- the smaller model ----------------------------------------------------------------------------


def _made(model, network, numbers, processors):
    """The model of some ids alone, and what the report says of its tables."""
    before, after = _size(network.spec), len(numbers)
    values = _values(model, network, numbers, processors)
    spec = _renumbered(network.spec, numbers.__getitem__, after)
    made = model.under(spec, values, processors)
    options = _generation(model)
    if options:
        made.generation = {**options, **_options(options, numbers)}
    weights = weights_by_path(model)
    tables = [(weights[path].shape, value.shape) for path, value in values.items()]
    table_bytes = {
        kind: {
            "before": sum(nbytes(old, before) for old, _ in tables),
            "after": sum(nbytes(new, after) for _, new in tables),
        }
        for kind, nbytes in (("float32", _float32), ("int8", _int8))
    }
    return made, {
        "tokens": {"before": before, "after": after},
        "table_bytes": table_bytes,
        "share_saved": 1 - after / before,
    }


def _float32(shape, rows):
    return 4 * int(np.prod(shape))


def _int8(shape, rows):
    """Bytes of a matrix with a scale a row; a number for each token stays float32."""
    return int(np.prod(shape)) + 4 * rows if len(shape) > 1 else 4 * rows


def _options(options, numbers):
    """The ids among options of `Generation` under their new numbers."""
    listed = {name: np.atleast_1d(options[name]).tolist() for name in IDS if name in options}
    return {name: [numbers[n] for n in ids if n in numbers] for name, ids in listed.items()}


def _values(model, network, numbers, processors):
    """The rows that stay of each weight that has one for each token, by path.

    Those are known by an axis that is longer in a model of one token more.
    """
    size = _size(network.spec)
    more = _renumbered(network.spec, numbers.__getitem__, size + 1)

    weights, values = weights_by_path(model), {}
    for path, axes in axes_that_change(model, more, processors).items():
        for axis, pair in axes.items():
            if pair != (size, size + 1):
                raise KzooError(
                    f"Got a model whose {path} of {pair[0]} rows begins with one for each token up "
                    "to that of padding, which moves; expected padding to stand before all tokens "
                    "that are dropped."
                )
            value = values.get(path, keras.ops.convert_to_numpy(weights[path]))
            values[path] = value.take(sorted(numbers), axis)
    return values


# -- what it cost ---------------------------------------------------------------------------------


def _compared(model, numbers, tokenizers, processors, texts, before):
    """How texts are cut, before and after: what the report says of them."""
    after = _rows(model, processors.values(), texts)
    moved = [[numbers.get(n) for n in row] for row in before]
    unknown = {each.unknown_id for each in tokenizers.values()}
    now_unknown = {each.unknown_id for each in processors.values()}
    return {
        "texts": len(before),
        "cut_as_before": sum(old == list(new) for old, new in zip(moved, after, strict=True)),
        "tokens_per_text": {
            name: sum(map(len, rows)) / len(rows)
            for name, rows in (("before", before), ("after", after))
        },
        "unknown_tokens": {
            "before": sum(n in unknown for row in before for n in row),
            "after": sum(n in now_unknown for row in after for n in row),
        },
    }
