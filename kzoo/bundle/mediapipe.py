"""A bundle's file as MediaPipe's TextClassifier and TextEmbedder want it, beside the bundle's own.

They take exactly three int32 inputs (1, length) with the metadata names ids, mask and segment_ids,
one output, and a BERT vocabulary; a classifier's output is its scores. Their tokenizer lower-cases
ASCII letters only and strips no accents: `tokenizer` is it, on the `tokenizers` library, to measure
at the export how often its ids are others. benchmarks/mediapipe/ holds it against the real one.
"""

import copy
import json

import numpy as np
import tokenizers
from tokenizers import Regex, models, normalizers, pre_tokenizers

from ..answers import probabilities
from ..errors import KzooError
from ..litert.audit import audit, check_audit
from ..litert.flatbuffer import operator_code, operator_names, read_model, schema, write_model
from ..litert.interpreter import Interpreter
from ..litert.metadata import packed
from .manifest import MODEL
from .senses import languages, sentences

FILE = "mediapipe.tflite"
# The rules by which MediaPipe's tasks answer, and what they are called there.
OFFERED = {"single_label": "a text classifier of one label a text", "embedding": "a text embedder"}
INPUTS = {"token_ids": "ids", "padding_mask": "mask", "segment_ids": "segment_ids"}
LENGTH = 128  # tokens of the file, where nobody asks for another number
NEAR = 1e-4
SPECIAL = ("[UNK]", "[CLS]", "[SEP]")
# What splits words and is one itself, as MediaPipe's BertTokenizer says it.
ALONE = (
    r"[!-/:-@\[-`{-~\p{P}\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{20000}-\x{2A6DF}"
    r"\x{2A700}-\x{2CEAF}\x{F900}-\x{FAFF}\x{2F800}-\x{2FA1F}]"
)
SPACE = r"[\t\n\f\r ]+"  # RE2's \s


def write(folder, name, own, labels, length, rows):
    """Write a bundle's `mediapipe.tflite` beside its model, and hold it against that.

    Args:
        folder: the bundle, with its model.
        name: what the model is called in the metadata.
        own: the bundle's `Tokenizer`.
        labels: of a classifier, else None.
        length: tokens that the file takes.
        rows: token columns to run both files on.

    Returns:
        What the report says: `bytes`, `length`, `largest_difference` (to the bundle's own file,
        after its softmax) and `tokenizer`, {name of the texts: `difference`}.
    """
    path = folder / FILE
    path.write_bytes(rewritten((folder / MODEL).read_bytes(), name, own, labels))
    audited = audit(path)
    check_audit(audited, audited["partitions"])
    one, other = Interpreter(folder / MODEL), Interpreter(path)
    worst = 0.0
    for columns in rows:
        no_segments = np.zeros_like(columns["token_ids"])
        expected, got = one.run(columns), other.run({"segment_ids": no_segments, **columns})
        if labels is not None:
            expected = {"scores": probabilities(expected["logits"])}
        worst = max(worst, *(float(np.abs(got[key] - expected[key]).max()) for key in expected))
    if worst > NEAR:
        raise KzooError(
            f"{FILE} answers otherwise than {MODEL} by {worst:.3g}; {NEAR} is allowed: this is a "
            "fault of kzoo, please report it."
        )
    texts = {"shipped English": sentences(), "languages": languages()}
    return {
        "bytes": audited["bytes"],
        "length": length,
        "largest_difference": worst,
        "tokenizer": {kind: difference(own, lines) for kind, lines in texts.items()},
    }


def check(rule, tokenizer, length, prompt=""):
    """Raise KzooError, one sentence, for a task or tokenizer that MediaPipe doesn't have."""
    if rule not in OFFERED:
        raise KzooError(
            f"Got a model that answers by {rule}; expected one for a task that MediaPipe has: "
            f"{' or '.join(OFFERED.values())}."
        )
    data = json.loads(tokenizer.to_json())
    model, normalizer = data["model"], data["normalizer"] or {}
    added = [token["content"] for token in data["added_tokens"]]
    splitter = (data["pre_tokenizer"] or {}).get("type")
    if (model["type"], normalizer.get("type"), splitter) != (
        "WordPiece", "BertNormalizer", "BertPreTokenizer",
    ):  # fmt: skip
        raise KzooError(
            "MediaPipe's tasks have BERT's WordPiece tokenizer only; this model has "
            f"{model['type']}, whose ids would all be others."
        )
    if not normalizer["lowercase"]:
        raise KzooError(
            "MediaPipe lower-cases every text, and this model is cased, so it would miss every "
            "capital: take an uncased one."
        )
    missing = [token for token in SPECIAL if token not in tokenizer.vocabulary]
    frame = [ids for ids, _ in tokenizer.frame()]
    if missing or frame != [[tokenizer.vocabulary["[CLS]"]], [], [tokenizer.vocabulary["[SEP]"]]]:
        raise KzooError(
            "MediaPipe puts [CLS] before a text and [SEP] after it, and this tokenizer doesn't: "
            "the model would read what it never saw."
        )
    if tokenizer.padding_id not in (None, 0):
        raise KzooError(f"MediaPipe pads with the id 0; this model with {tokenizer.padding_id}.")
    if tokenizer.truncation_side != "right":
        raise KzooError(
            "MediaPipe cuts the end of a long text, and this tokenizer its start "
            "(truncation_side): set its truncation_side to right, or go without MediaPipe."
        )
    if prompt:
        raise KzooError(
            f"MediaPipe puts nothing before a text, and this model {prompt!r:.40}: make it with "
            "default_prompt=None and put the prompt there in the app, or go without MediaPipe."
        )
    more = set(added) - {"[PAD]", "[MASK]", *SPECIAL}
    if more:
        raise KzooError(
            f"MediaPipe finds no added tokens in a text, and this tokenizer has {min(more)!r}: it "
            "would be split into other tokens."
        )
    if length is None:
        raise KzooError(
            "MediaPipe never cuts a text for a file of dynamic length, so a long one would fail: "
            "name a length, such as --length 128."
        )


def vocabulary(tokenizer):
    """The text of vocab.txt: the pieces by id; an id without one gets a name."""
    pieces = [f"[unused id {number}]" for number in range(tokenizer.vocabulary_size)]
    for piece, number in tokenizer.vocabulary.items():
        pieces[number] = piece
    wrong = next((piece for piece in pieces if not piece or "\n" in piece), None)
    if wrong is not None:
        raise KzooError(f"The piece {wrong!r} is not one line, as MediaPipe's vocab.txt needs it.")
    return "\n".join(pieces) + "\n"


def tokenizer(own):
    """MediaPipe's tokenizer with the vocabulary of `own`, without special tokens around a text.

    Returns a `tokenizers.Tokenizer`.
    """
    backend = tokenizers.Tokenizer(
        models.WordPiece(own.vocabulary, unk_token="[UNK]", max_input_chars_per_word=100)
    )
    backend.normalizer = normalizers.Sequence(
        [normalizers.Replace(chr(code), chr(code + 32)) for code in range(ord("A"), ord("Z") + 1)]
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPACE), "removed"),
            pre_tokenizers.Split(Regex(ALONE), "isolated"),
        ]
    )
    return backend


def difference(own, texts):
    """How many of the texts MediaPipe tokenizes otherwise: {"texts", "differ", "example"}."""
    theirs = tokenizer(own)
    differ = [
        text
        for text, row in zip(texts, own.encode(texts)["token_ids"], strict=True)
        if theirs.encode(text).ids != row[1:-1]
    ]
    return {"texts": len(texts), "differ": len(differ), "example": differ[0] if differ else None}


def rewritten(content, name, own, labels=None):
    """A bundle's .tflite as MediaPipe reads it; labels for a classifier."""
    model = read_model(content)
    graph, (signature,) = model.subgraphs[0], model.signatureDefs
    by_tensor = {entry.tensorIndex: entry.name.decode() for entry in signature.inputs}
    if "segment_ids" not in by_tensor.values():
        by_tensor[_unread_input(graph, signature)] = "segment_ids"
    if labels is not None:
        _add_scores(model, graph, signature, len(labels))
    return packed(
        write_model(model),
        name,
        [INPUTS[by_tensor[index]] for index in graph.inputs],
        "scores" if labels is not None else "embedding",
        vocabulary(own),
        None if labels is None else "\n".join(labels) + "\n",
    )


def _unread_input(graph, signature):
    """A third input like the first, which nothing reads: some families have no segments."""
    tensor = copy.copy(graph.tensors[graph.inputs[0]])
    tensor.name = b"segment_ids"
    graph.tensors.append(tensor)
    graph.inputs = np.append(graph.inputs, len(graph.tensors) - 1).astype("int32")
    entry = schema().TensorMapT()
    entry.name, entry.tensorIndex = b"segment_ids", len(graph.tensors) - 1
    signature.inputs.append(entry)
    return entry.tensorIndex


def _add_scores(model, graph, signature, count):
    """The probabilities of the logits as the output, as `kzoo.answers.probabilities` has them."""
    kinds, names = schema(), operator_names()
    kind = "LOGISTIC" if count == 1 else "SOFTMAX"
    operator = kinds.OperatorT()
    if kind == "SOFTMAX":
        operator.builtinOptionsType = kinds.BuiltinOptions.SoftmaxOptions
        operator.builtinOptions = kinds.SoftmaxOptionsT()
        operator.builtinOptions.beta = 1.0
    known = [names[operator_code(entry)] for entry in model.operatorCodes]
    if kind not in known:
        entry = kinds.OperatorCodeT()
        entry.builtinCode = entry.deprecatedBuiltinCode = getattr(kinds.BuiltinOperator, kind)
        entry.version = 1
        model.operatorCodes.append(entry)
        known.append(kind)
    operator.opcodeIndex = known.index(kind)
    scores = copy.copy(graph.tensors[graph.outputs[0]])
    scores.name = b"scores"
    graph.tensors.append(scores)
    operator.inputs = np.array([graph.outputs[0]], "int32")
    operator.outputs = graph.outputs = np.array([len(graph.tensors) - 1], "int32")
    graph.operators.append(operator)
    signature.outputs[0].name, signature.outputs[0].tensorIndex = b"scores", graph.outputs[0]
