"""A bundle's file as MediaPipe's tasks want it, beside the bundle's own.

Texts: TextClassifier and TextEmbedder take exactly three int32 inputs (1, length) with the metadata
names ids, mask and segment_ids, and a BERT vocabulary. Their tokenizer lower-cases ASCII letters
only and strips no accents: `tokenizer` is it, on the `tokenizers` library, to measure at the export
how often its ids are others. Pictures: ImageClassifier and ImageEmbedder stretch a picture to the
size of a uint8 input, which is the bundle's own. Sounds: AudioClassifier cuts a clip into pieces of
so many float32 samples. Each has one output; a classifier's is its scores.
benchmarks/mediapipe/ holds the files against the real tasks.
"""

import copy
import json

import numpy as np
import tokenizers
from tokenizers import Regex, models, normalizers, pre_tokenizers

from ..answers import probabilities
from ..errors import KzooError
from ..litert import metadata
from ..litert.audit import audit, check_audit
from ..litert.flatbuffer import operator_code, operator_names, read_model, schema, write_model
from ..litert.interpreter import Interpreter
from .manifest import MODEL
from .senses import languages, sentences

FILE = "mediapipe.tflite"
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


class ClientFile:
    """What a file for MediaPipe is for one sense; see `TextFile`.

    `tasks` has by a rule of answers the name of MediaPipe's task, `inputs` what the metadata calls
    the file's own inputs, by their names.
    """

    tasks, inputs = {}, {}
    units = None  # see `metadata.packed`

    def length(self, model):
        """How many tokens the file of a model takes where nobody names a number."""
        return None

    def check(self, processor, length, prompt):
        """Raise KzooError, one sentence, where MediaPipe would read otherwise than kzoo."""
        raise NotImplementedError

    def described(self, name, processor):
        """The `metadata.tensor` of an input, by its name in the file."""
        raise NotImplementedError

    def files(self, processor):
        """{name: text} of what is packed behind the file, but for the labels."""
        return {}

    def known(self, processor, length):
        """What the report says of how MediaPipe reads."""
        raise NotImplementedError

    def words(self, known):
        """The same, in words."""
        raise NotImplementedError


class TextFile(ClientFile):
    """For TextClassifier and TextEmbedder."""

    tasks = {"single_label": "TextClassifier", "embedding": "TextEmbedder"}
    inputs = INPUTS
    units = (metadata.bert_tokenizer("vocab.txt"),)

    def length(self, model):
        """128 tokens, or all that the model reads."""
        return min(LENGTH, getattr(model, "max_length", LENGTH))

    def check(self, processor, length, prompt):
        """BERT's uncased tokenizer, as MediaPipe has it, and one length."""
        check_tokenizer(processor)
        if prompt:
            raise KzooError(
                f"MediaPipe puts nothing before a text, and this model {prompt!r:.40}: make it "
                "with default_prompt=None and put the prompt there in the app, or go without "
                "MediaPipe."
            )
        if length is None:
            raise KzooError(
                "MediaPipe never cuts a text for a file of dynamic length, so a long one would "
                "fail: name a length, such as --length 128."
            )

    def described(self, name, processor):
        """Its name alone."""
        return metadata.tensor(INPUTS[name])

    def files(self, processor):
        """The vocabulary."""
        return {"vocab.txt": vocabulary(processor)}

    def known(self, processor, length):
        """How often its ids are others."""
        texts = {"shipped English": sentences(), "languages": languages()}
        differ = {kind: difference(processor, lines) for kind, lines in texts.items()}
        return {"length": length, "tokenizer": differ}

    def words(self, known):
        """See `ClientFile`."""
        return (
            f"It takes {known['length']} tokens. MediaPipe's tokenizer is its own: it lower-cases "
            "A to Z only and strips no accents."
        )


class PictureFile(ClientFile):
    """For ImageClassifier and ImageEmbedder, which give a uint8 input the pixels as they are."""

    tasks = {"single_label": "ImageClassifier", "embedding": "ImageEmbedder"}
    inputs = {"images": "image"}

    def check(self, processor, length, prompt):
        """Pictures in colour."""
        if processor.channels != 3:
            raise KzooError(
                "MediaPipe gives a file pictures in colour, and this model reads them in grey: "
                "take one that reads three channels, or go without MediaPipe."
            )

    def described(self, name, processor):
        """Colours and size."""
        height, width, _ = processor.shape
        return metadata.tensor(self.inputs[name], metadata.pictures(height, width))

    def known(self, processor, length):
        """The size, and whether kzoo cuts the middle out of a picture."""
        return {"size": list(processor.shape[:2]), "crops": processor.crop is not None}

    def words(self, known):
        """See `ClientFile`."""
        height, width = known["size"]
        words = (
            f"Pictures of {height} x {width} pixels reach it as they reach this file; others "
            "MediaPipe makes of that size with its own code, which stretches them and doesn't "
            "smooth what it makes smaller. Pictures in grey it refuses: give them in colour."
        )
        if known["crops"]:
            words += " This model was taught on the middle of a picture: cut it out in the app."
        return words


class SoundFile(ClientFile):
    """For AudioClassifier, which reads a clip in pieces of the file's length."""

    tasks = {"single_label": "AudioClassifier"}
    inputs = {"samples": "audio_clip"}

    def check(self, processor, length, prompt):
        """Silence behind what is too short."""
        if processor.fitted(np.zeros(1, "float32")).any():
            raise KzooError(
                "MediaPipe puts silence behind a short sound, and this model tells silence from "
                "where no sound is: it would answer otherwise, so go without MediaPipe."
            )

    def described(self, name, processor):
        """One channel of the processor's rate."""
        return metadata.tensor(self.inputs[name], metadata.sounds(processor.rate))

    def known(self, processor, length):
        """Samples of a piece, and a second."""
        return {"samples": processor.num_samples, "rate": processor.rate}

    def words(self, known):
        """See `ClientFile`."""
        return (
            f"MediaPipe answers for each piece of {known['samples']:,} samples of a clip, with "
            f"silence behind the last. Clips of {known['rate']:,} samples a second reach it as "
            "they reach this file. Bring clips of another rate to this one in the app: MediaPipe's "
            "own code makes others of them, and so other answers."
        )


TEXTS = TextFile()
OTHERS = {"image": PictureFile(), "sound": SoundFile()}


def client_file(reads):
    """The `ClientFile` for one of `answers.READS`."""
    return OTHERS.get(reads, TEXTS)


def check(reads, rule, processor, length, prompt=""):
    """Raise KzooError, one sentence, for a model that MediaPipe has no task for."""
    kind = client_file(reads)
    if rule not in kind.tasks:
        raise KzooError(
            f"Got a model that answers by {rule}; expected {' or '.join(kind.tasks)}, for which "
            f"MediaPipe has {' and '.join(kind.tasks.values())}: export without mediapipe."
        )
    if reads == "pair":
        raise KzooError(
            "MediaPipe's tasks read one text at a time, and this model pairs of texts: export "
            "without mediapipe."
        )
    kind.check(processor, length, prompt)


def write(folder, name, order, rows):
    """Write a bundle's `mediapipe.tflite` beside its model, and hold it against that.

    Args:
        folder: the bundle, with its model.
        name: what the model is called in the metadata.
        order: the bundle's `Order`.
        rows: columns to run both files on.

    Returns:
        What the report says: `task` (MediaPipe's), `bytes`, `largest_difference` (to the bundle's
        own file, after its softmax) and what `ClientFile.known` gives.
    """
    path, kind, labels = folder / FILE, client_file(order.options["reads"]), order.labels
    path.write_bytes(rewritten((folder / MODEL).read_bytes(), name, kind, order.processor, labels))
    audited = audit(path)
    check_audit(audited, audited["partitions"])
    one, other = Interpreter(folder / MODEL), Interpreter(path)
    worst = 0.0
    for columns in rows:
        like = next(iter(columns.values()))  # Of an input that MediaPipe adds nothing is read.
        added = {key: np.zeros_like(like) for key in kind.inputs if key not in columns}
        expected, got = one.run(columns), other.run({**added, **columns})
        if labels is not None:
            expected = {"scores": probabilities(expected["logits"])}
        worst = max(worst, *(float(np.abs(got[key] - expected[key]).max()) for key in expected))
    if worst > NEAR:
        raise KzooError(
            f"{FILE} answers otherwise than {MODEL} by {worst:.3g}; {NEAR} is allowed: this is a "
            "fault of kzoo, please report it."
        )
    return {
        "task": kind.tasks[order.rule],
        "bytes": audited["bytes"],
        "largest_difference": worst,
        **kind.known(order.processor, order.length),
    }


def check_tokenizer(tokenizer):
    """Raise KzooError, one sentence, for a tokenizer that MediaPipe doesn't have."""
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
    more = set(added) - {"[PAD]", "[MASK]", *SPECIAL}
    if more:
        raise KzooError(
            f"MediaPipe finds no added tokens in a text, and this tokenizer has {min(more)!r}: it "
            "would be split into other tokens."
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


def rewritten(content, name, kind, processor, labels=None):
    """A bundle's .tflite as MediaPipe reads it.

    Args:
        content: its bytes.
        name: what the model is called.
        kind: the `ClientFile` of what it reads.
        processor: what reads for it.
        labels: of a classifier, else None.
    """
    model = read_model(content)
    graph, (signature,) = model.subgraphs[0], model.signatureDefs
    by_tensor = {entry.tensorIndex: entry.name.decode() for entry in signature.inputs}
    for missing in sorted(set(kind.inputs) - set(by_tensor.values())):
        by_tensor[_unread_input(graph, signature, missing)] = missing
    files = kind.files(processor)
    if labels is not None:
        _add_scores(model, graph, signature, len(labels))
        files["labels.txt"] = "\n".join(labels) + "\n"
    output = ("embedding",) if labels is None else ("scores", None, "labels.txt")
    return metadata.packed(
        write_model(model),
        name,
        [kind.described(by_tensor[index], processor) for index in graph.inputs],
        metadata.tensor(*output),
        files,
        None if kind.units is None else list(kind.units),
    )


def _unread_input(graph, signature, name):
    """One more input like the first, which nothing reads: some families have no segments."""
    tensor = copy.copy(graph.tensors[graph.inputs[0]])
    tensor.name = name.encode("ascii")
    graph.tensors.append(tensor)
    graph.inputs = np.append(graph.inputs, len(graph.tensors) - 1).astype("int32")
    entry = schema().TensorMapT()
    entry.name, entry.tensorIndex = tensor.name, len(graph.tensors) - 1
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
