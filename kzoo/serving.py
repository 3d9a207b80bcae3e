"""A SavedModel that answers on raw text where kzoo and Keras are not installed.

TensorFlow Serving, or any process with `tensorflow` and `tensorflow_text`, loads the folder; the
README.md in it has the lines that do (see `how_to_call`):

    import tensorflow as tf, tensorflow_text  # the second brings the tokenizer's operations
    answer = tf.saved_model.load(folder).signatures["serving_default"]
    answer(text=tf.constant(["A warm, funny film."]))["label"]
"""

from pathlib import Path

import keras
import numpy as np

from .adapters import as_written
from .answers import READS
from .errors import KzooError
from .files import writing_folder
from .logs import hidden
from .values import an

LIMIT = 1e-5  # Largest difference from Keras, in probabilities or in parts of a vector.
LIMIT_HALF = 2e-2  # The same where the model computes in half precision.
CANDIDATES = 5  # Tokens that a masked language model offers for each place.

# The texts on which every export is compared with Keras before it may stay.
GOLDEN = (
    "A warm, funny film that I would happily watch again.",
    "Not one scene worked; even the music annoyed me!",
    "It was... fine? Two hours, $12.50, nothing learned.",
    "",
    "El niño comió piñas en el café de São Paulo.",
    "Straße, ÅNGSTRÖM, ﬁne, x², naïveté & Ελλάς",
    "Поезд опоздал на 35 минут, зато чай был горячий.",
    "我昨天在东京看了一部很好的电影。",
    "오늘은 날씨가 정말 좋네요.",
    "यह किताब बहुत अच्छी है।",
    "قرأت الكتاب في يوم واحد.",
    "tabs\tand\nlines, a\u200bzero width\u00a0space, a [MASK] and \U0001f600",
    "supercalifragilistic" * 6 + " ends; " + "and so on, " * 40,
)


def export_savedmodel(model, folder, *, text=True, pairs=False, golden=GOLDEN):
    """Write a SavedModel that answers on raw text and on token ids; return the folder.

    Args:
        model: a task, or a backbone (which gets the signature `tokens` only).
        folder: where to write; it appears when all is done and checked, or not at all.
        text: whether to add the signatures on strings. They need tensorflow-text, and a WordPiece
            tokenizer as BERT's: another one is an error, which says that `text=False` is left.
        pairs: whether a text is a pair of `text` and `text_pair`; it always is for a task that
            reads pairs, such as question answering, and never for one that reads single texts.
        golden: texts for the check: the export's ids must equal the tokenizer's, and its answers
            those of Keras within 1e-5 (2e-2 where the model computes in half precision).

    `serving_default` takes `text` (batch,), for pairs also `text_pair` (batch,); for multiple
    choice `text` and `choices` (batch, choices). `tokenize` takes the same and gives what `tokens`
    takes: the backbone's inputs, int32 (batch, length). The answers:

    * classifier: `label` (batch,); `labels`, `probabilities` (batch, labels), in the same order;
    * classifier of any number of labels: `labels`, `probabilities` and `chosen`, whether the
      probability reaches the task's threshold, (batch, labels);
    * classifier of values: `labels`, `values` (batch, labels);
    * embedder: `embedding` (batch, hidden_dim);
    * token classifier: the entities of texts of any length, `entity` (their text), `label`,
      `start` and `end` (code points), `score`, each (batch, entities); rows with fewer end in
      "", "", -1, -1 and 0;
    * masked language model: `candidates` as text, `probabilities` (batch, length, 5), best first;
    * question answering: `answer`, `start`, `end` (code points of the context), `score`, each
      (batch,); `text` is the question and `text_pair` the context, of any length;
    * multiple choice: `probabilities` (batch, choices).

    `tokens` adds the model's raw outputs; it has the likeliest `labels` and their
    `probabilities`, or `start_probabilities` and `end_probabilities`, (batch, length), in the
    place of entities and answers. A masked language model's `serving_default` adds the `tokens`
    as strings.

    Raises KzooError when the model can't be exported, or when the check fails.
    """
    if keras.backend.backend() != "tensorflow":
        raise KzooError(
            f"A SavedModel needs Keras on TensorFlow, and it runs on {keras.backend.backend()}: "
            "save a preset, and export it under KERAS_BACKEND=tensorflow."
        )
    import tensorflow as tf

    model = as_written(model)
    export = _Export(model, text, pairs)
    module = tf.Module()
    module.weights_in_use = [weight.value for weight in model.weights]
    with hidden(), writing_folder(folder, mark="saved_model.pb") as path:
        tf.saved_model.save(module, str(path), signatures=export.signatures())
        _check(export, tf.saved_model.load(str(path)).signatures, list(golden))
        name = Path(folder).name
        page = README.format(name=name, code=how_to_call(model, name, text, pairs))
        (path / "README.md").write_text(page, encoding="utf-8")
    return folder


README = """# {name}

A SavedModel, written by kzoo. kzoo and Keras are not needed to run it:

```python
{code}
```

`saved_model_cli show --dir {name} --all` lists all signatures.
"""


def how_to_call(model, folder, text=True, pairs=False):
    """Lines of Python that load a SavedModel of `model` from a folder and call it."""
    load = f"tf.saved_model.load({str(folder)!r}).signatures"
    if not text or not hasattr(model, "backbone"):
        backbone = getattr(model, "backbone", model)
        rows = "[[[1, 1]]]" if getattr(model, "several", False) else "[[1, 1]]"
        given = ", ".join(f"{name}=tf.constant({rows})" for name in backbone.input_names)
        return f'import tensorflow as tf\n\nanswer = {load}["tokens"]\nprint(answer({given}))'
    second = None
    if model.reads == "choices":
        second = 'choices=tf.constant([["It ends.", "It flies."]])'
    elif pairs or model.reads == "pair":
        second = 'text_pair=tf.constant(["It was filmed in Paris."])'
    first = "Where was it filmed?" if model.rule == "span" else "A warm, funny film."
    given = ", ".join(filter(None, [f'text=tf.constant(["{first}"])', second]))
    return (
        "import tensorflow as tf\n"
        "import tensorflow_text  # brings the tokenizer's operations: without it, loading fails\n"
        "\n"
        f'answer = {load}["serving_default"]\n'
        f"print(answer({given}))"
    )


class _Export:
    """The functions that become signatures."""

    def __init__(self, model, text, pairs):
        self.model = model
        self.is_task = hasattr(model, "backbone")
        self.rule = getattr(model, "rule", None)
        if self.is_task and self.rule not in SIGNATURES:
            raise KzooError(
                f"Got {an(type(model).__name__)} that answers by {self.rule or 'no rule'}; "
                f"expected one that answers by {', '.join(SIGNATURES)}."
            )
        self.signature = SIGNATURES.get(self.rule)
        self.backbone = model.backbone if self.is_task else model
        reads = getattr(model, "reads", "text")
        if pairs and reads == "text":
            raise KzooError(
                f"Got pairs=True; expected False: this {type(model).__name__} reads one text at a "
                "time."
            )
        self.pairs = pairs or READS[reads or "either"] == "pair"
        self.second = "choices" if reads == "choices" else "text_pair"
        self.in_graph = None
        if self.is_task and text:
            from .text.in_graph import InGraphTokenizer

            self.in_graph = InGraphTokenizer(model.tokenizer, model.max_length)
        self.finds_spans = self.rule in SPANS and self.in_graph is not None

    def signatures(self):
        """Name to concrete function."""
        import tensorflow as tf

        extra = [None] if self.second == "choices" else []
        ids = tf.TensorSpec([None, *extra, None], "int32")
        on_tokens = _traced(self.on_tokens, dict.fromkeys(self.backbone.input_names, ids))
        if self.in_graph is None:
            return {"tokens": on_tokens}
        strings = {"text": tf.TensorSpec([None], "string")}
        if self.pairs:
            strings[self.second] = tf.TensorSpec([None, *extra], "string")
        tokenize = _traced(self.tokenize, strings)

        def on_text(**given):
            if self.finds_spans:
                from .text.span_graph import SpanGraph

                def run(inputs):
                    return on_tokens(**{name: inputs[name] for name in self.backbone.input_names})

                return SPANS[self.rule](
                    SpanGraph(self.in_graph, self.model.tokenizer, run), self.model, given
                )
            inputs = tokenize(**given)
            answers = on_tokens(**inputs)
            answers = {name: answers[name] for name in self.signature[1]}
            if self.rule in BY_TOKEN:
                answers["tokens"] = tf.gather(self._names(), inputs["token_ids"])
            return answers

        return {
            "serving_default": _traced(on_text, strings),
            "tokenize": tokenize,
            "tokens": on_tokens,
        }

    def tokenize(self, text, text_pair=None, choices=None):
        """Strings to the backbone's inputs."""
        import tensorflow as tf

        prompt = getattr(self.model, "prompt", "")
        if choices is None:
            text = tf.strings.join([prompt, text]) if prompt else text
            inputs = self.in_graph(text, text_pair)
        else:
            count = tf.shape(choices)[1]
            inputs = self.in_graph(tf.repeat(text, count), tf.reshape(choices, [-1]))
            inputs = {
                name: tf.reshape(value, tf.stack([-1, count, tf.shape(value)[1]]))
                for name, value in inputs.items()
            }
        return {name: inputs[name] for name in self.backbone.input_names}

    def on_tokens(self, **inputs):
        """The answers, and the model's raw outputs."""
        import tensorflow as tf

        limit = self.backbone.longest
        tf.debugging.assert_less_equal(
            tf.shape(inputs["token_ids"])[-1],
            limit,
            f"token_ids is longer than the {limit} tokens that the model takes.",
        )
        outputs = self.outputs(inputs)
        return {**outputs, **self.answers(outputs, inputs)}

    def outputs(self, inputs):
        """The raw outputs, those of a file of the model."""
        return self.model.run_function(next(iter(self.model.functions)), inputs)

    def answers(self, outputs, inputs):
        """What the task says, from its raw outputs."""
        if not self.is_task:
            return {}
        function, names = self.signature
        return dict(zip(names, function(self, outputs, inputs), strict=True))

    def _names(self):
        import tensorflow as tf

        names = [""] * self.backbone.vocabulary_size  # There may be rows without a token.
        for token, number in self.model.tokenizer.vocabulary.items():
            names[number] = token
        return tf.constant(names)

    # One function a rule, filed in SIGNATURES.

    def _class(self, outputs, inputs):
        import tensorflow as tf

        probabilities = _probabilities(outputs["logits"])
        labels = tf.constant(self.model.labels)
        return (
            tf.gather(labels, tf.argmax(probabilities, -1)),
            self._label_rows(outputs),
            probabilities,
        )

    def _several(self, outputs, inputs):
        import tensorflow as tf

        probabilities = tf.sigmoid(outputs["logits"])
        return self._label_rows(outputs), probabilities, probabilities >= self.model.threshold

    def _values(self, outputs, inputs):
        return self._label_rows(outputs), outputs["logits"]

    def _label_rows(self, outputs):
        """The labels, once for each text."""
        import tensorflow as tf

        return tf.tile(tf.constant(self.model.labels)[None], [tf.shape(outputs["logits"])[0], 1])

    def _embedding(self, outputs, inputs):
        return (outputs["embedding"],)

    def _token_classes(self, outputs, inputs):
        import tensorflow as tf

        probabilities = _probabilities(outputs["logits"])
        labels = tf.gather(tf.constant(self.model.labels), tf.argmax(probabilities, -1))
        return labels, tf.reduce_max(probabilities, -1)

    def _candidates(self, outputs, inputs):
        import tensorflow as tf

        best = tf.math.top_k(_probabilities(outputs["logits"]), CANDIDATES)
        # As text, with the space that a token brings.
        tokenizer, rows = self.model.tokenizer, self.backbone.vocabulary_size
        ids = range(tokenizer.vocabulary_size)
        texts = tokenizer.decode([[number] for number in ids], skip_special=False)
        texts += [""] * (rows - len(texts))
        return tf.gather(tf.constant(texts), best.indices), best.values

    def _replaced(self, outputs, inputs):
        import tensorflow as tf

        return (tf.sigmoid(outputs["logits"]),)

    def _span(self, outputs, inputs):
        import tensorflow as tf

        hidden = 1e4 * (1 - tf.cast(inputs["padding_mask"], "float32"))
        return tuple(_probabilities(outputs[f"{end}_logits"] - hidden) for end in ("start", "end"))

    def _choice(self, outputs, inputs):
        return (_probabilities(outputs["logits"]),)


# Rule to the function that answers by it, and the names of what it returns.
SIGNATURES = {
    "single_label": (_Export._class, ("label", "labels", "probabilities")),
    "multi_label": (_Export._several, ("labels", "probabilities", "chosen")),
    "regression": (_Export._values, ("labels", "values")),
    "embedding": (_Export._embedding, ("embedding",)),
    "entities": (_Export._token_classes, ("labels", "probabilities")),
    "candidates": (_Export._candidates, ("candidates", "probabilities")),
    "replaced": (_Export._replaced, ("probabilities",)),
    "span": (_Export._span, ("start_probabilities", "end_probabilities")),
    "choice": (_Export._choice, ("probabilities",)),
}
BY_TOKEN = ("candidates", "replaced")
# Of rules that answer with spans: what `serving_default` gives, of a `SpanGraph` and the strings.
SPANS = {
    "entities": lambda graph, model, given: graph.entities(given["text"], model.labels),
    "span": lambda graph, model, given: graph.answers(
        given["text"], given["text_pair"], model.no_answer
    ),
}


def _traced(function, specs):
    """A concrete function; what it calls is stored once, however many functions call it."""
    import tensorflow as tf

    return tf.function(function, autograph=False).get_concrete_function(**specs)


def _probabilities(logits):
    """Softmax over the last axis; a sigmoid where there is one logit."""
    import tensorflow as tf

    return tf.sigmoid(logits) if logits.shape[-1] == 1 else tf.nn.softmax(logits)


def _check(export, loaded, golden):
    """Compare the signatures, as loaded from the disk, with the tokenizer and with Keras."""
    import tensorflow as tf

    if export.in_graph is None:
        strings, inputs = None, _some_ids(export.backbone, export.second == "choices")
    else:
        strings, inputs = _golden_inputs(export, golden)
        for name, ids in loaded["tokenize"](**strings).items():
            if ids.shape != inputs[name].shape or (ids.numpy() != inputs[name]).any():
                raise KzooError(
                    f"The export gives other {name} than the model's tokenizer on the golden "
                    "texts, so it is refused: export token ids alone (text=False, --no-text)."
                )
    inputs = {name: tf.constant(value) for name, value in inputs.items()}
    outputs = export.outputs(inputs)
    expected = {**outputs, **export.answers(outputs, inputs)}
    _compare(loaded["tokens"](**inputs), expected, export.model)
    if strings:
        answers = loaded["serving_default"](**strings)
        if export.finds_spans:
            _compare_spans(export.model, strings, answers)
            return
        answers.pop("tokens", None)
        _compare(answers, expected, export.model)


def _compare_spans(model, strings, answers):
    """Hold the spans of the export against those of `predict`."""
    texts = [[text.decode() for text in strings[name].numpy()] for name in strings]
    given = {name: value.numpy() for name, value in answers.items()}
    limit = LIMIT_HALF if "16" in model.compute_dtype else LIMIT
    inputs = texts[0] if len(texts) == 1 else list(zip(*texts, strict=True))
    for place, expected in enumerate(model.predict(inputs)):
        expected = expected if isinstance(expected, list) else [expected]
        count = len(expected)
        rows = {name: np.atleast_1d(value[place]) for name, value in given.items()}
        spans = [(int(s), int(e)) for s, e in zip(rows["start"], rows["end"], strict=True)]
        same = spans[:count] == [(each["start"], each["end"]) for each in expected]
        same = same and all(start < 0 for start, _ in spans[count:])
        scores = np.array([each["score"] for each in expected])
        # In half precision rounding decides between answers that are nearly as likely.
        if same and np.abs(rows["score"][:count] - scores).max(initial=0) <= limit:
            continue
        if limit == LIMIT:
            raise KzooError(
                f"The export finds other spans than predict in {texts[-1][place]!r:.60}, so it is "
                "refused: export token ids alone (text=False, --no-text)."
            )


def _golden_inputs(export, golden):
    """The golden texts as strings for a signature, and as Keras' token ids."""
    import tensorflow as tf

    tokenizer, length = export.model.tokenizer, export.model.max_length
    second = golden[::-1] if export.pairs else None
    strings = {"text": tf.constant(golden)}
    rows = tokenizer.encode(golden, second, length, "longest")
    if export.second == "choices":
        strings["choices"] = tf.constant([[text, "Perhaps."] for text in second])
        twice = [text for text in golden for _ in range(2)]
        choices = [choice for text in second for choice in (text, "Perhaps.")]
        rows = tokenizer.encode(twice, choices, length, "longest")
        rows = {name: ids.reshape(len(golden), 2, -1) for name, ids in rows.items()}
    elif export.pairs:
        strings["text_pair"] = tf.constant(second)
    return strings, {name: rows[name] for name in export.backbone.input_names}


def _some_ids(backbone, choices):
    """Token ids of three lengths, where no tokenizer says better ones."""
    shape = (3, min(16, backbone.longest))
    draw = np.random.default_rng(0)
    ids = draw.integers(0, backbone.vocabulary_size, shape)
    mask = np.arange(shape[1]) < np.array([[shape[1]], [shape[1] - 3], [2]])
    ids = np.where(mask, ids, backbone.padding_id)
    inputs = {"token_ids": ids, "padding_mask": mask, "segment_ids": 0 * ids}
    inputs = {name: inputs[name].astype("int32") for name in backbone.input_names}
    return {name: value[:, None] for name, value in inputs.items()} if choices else inputs


def _compare(answers, expected, model):
    limit = LIMIT_HALF if "16" in model.compute_dtype else LIMIT
    for name, answer in answers.items():
        given, wanted = answer.numpy(), np.asarray(expected[name])
        if given.dtype in (object, bool):
            # Where two answers are equally likely, rounding decides which name comes first; and
            # where a probability is at the threshold, on which side it falls.
            continue
        scale = max(1.0, float(np.abs(wanted).max(initial=0)))
        difference = float(np.abs(given - wanted).max(initial=0)) / scale
        if not difference <= limit:
            raise KzooError(
                f"{name} of the export differs from Keras by {difference:.2g}, and at most "
                f"{limit:g} was expected: the export is refused (a weight may be NaN)."
            )
