"""What tasks share that read a source once and write of it: a text, a picture, a question."""

from keras import ops

from ..answers import RULES
from ..errors import KzooError
from ..generation.options import Generation
from ..generation.rewriter import CALLED, beginning
from ..generation.writer import check_names
from ..text.languages import in_language
from ..values import an
from .text_scores import check_scores, text_scores
from .writing_task import Writes

WRITING = {*Generation.__dataclass_fields__, *CALLED}


class WritesOfSources(Writes):
    """Of a task on an encoder-decoder, see `kzoo.graphs.EncoderDecoder`; see `writing_task.Writes`.

    A subclass sets `max_target_length` and `generation`, says what a source is (`prompt_ids`,
    `source_inputs`, `sources_and_targets`), and what writes (`writer`).
    """

    rule = "rewriting"
    remembers_how_it_writes = True
    columns_given = ("column", "label")  # What names the columns of a file in a call.
    target_language = None  # The code of the one that it writes in, of a task that knows several.

    def make_head(self, backbone):
        """The head layer."""
        head = super().make_head(backbone)
        if getattr(head, "tied", None) is None:
            raise KzooError(
                f"Got the head {self.head_slot!r} for {an(self.task_name)}; expected one that "
                'scores tokens, "tied_lm" or "lm".'
            )
        return head

    def run_head(self, outputs, inputs, training):
        """Logits, and what was seen at the places of a step."""
        past = {name: outputs[name] for name in outputs if name in self.backbone.past_names}
        return {**super().run_head(outputs, inputs, training), **past}

    @property
    def output_axes(self):
        """The axes of each output on whole inputs."""
        return {"logits": ("batch", "decoder_length", "vocabulary")}

    # -- a source -------------------------------------------------------------------------------

    def source_inputs(self, sources, rounded=int):
        """Sources as `prompt_ids` gives them as what the network reads of them, by name.

        rounded: gives how many places sources of so many tokens get.
        """
        raise NotImplementedError

    def cut_sources(self, sources):
        """Sources as `prompt_ids` gives them, cut as in `fit`."""
        return self.prompt_ids(sources)

    def sources_and_targets(self, x, y=None):
        """Two lists of the same length, of what `score` takes."""
        raise NotImplementedError

    # -- on a device ----------------------------------------------------------------------------

    # A source is read by the one, once, and each token of what is written by the other.
    functions = {"encode": ("encode", {}), "decode": ("step", {"decoder_length": 1})}

    def run_function(self, name, inputs):
        """Of a source its keys and values; of a token its `logits`, and its keys and values."""
        if name == "encode":
            outputs = self.backbone.run(self.in_network(inputs), training=False)
            return {each: outputs[each] for each in self.backbone.memory_names}
        outputs = self.backbone.run(inputs, training=False)
        logits = super().run_head(outputs, inputs, False)["logits"]
        past = {each: outputs[each] for each in self.backbone.past_names}
        return {"logits": ops.reshape(logits, (1, logits.shape[-1])), **past}

    def in_network(self, inputs):
        """What the network reads of a source, of what a file is given."""
        return inputs

    def function_axes(self, name):
        """The axes of each output of a function."""
        step = self.backbone.signatures["step"]
        if name == "encode":
            read = {"memory_length": self.backbone.memory_axis}
            names = self.backbone.memory_names
            return {each: tuple(read.get(a, a) for a in step[each].axes) for each in names}
        new = {"past_length": 1}
        past = {
            each: tuple(new.get(axis, axis) for axis in step[each].axes)
            for each in self.backbone.past_names
        }
        return {**RULES[self.rule].outputs, **past}

    # -- targets --------------------------------------------------------------------------------

    @property
    def start_id(self):
        """The token that the decoder is given first."""
        return self.backbone.start_id

    @property
    def target_tokenizer(self):
        """The tokenizer of what is written."""
        return self.tokenizer

    def target_ids(self, targets):
        """Targets as lists of token ids, cut to `max_target_length`, each with its end."""
        before, after = self._frame(self.target_language)
        most = self.max_target_length - len(before) - len(after)
        return [[*before, *ids[:most], *after] for ids in self.target_tokenizer.bare_ids(targets)]

    def _frame(self, language):
        """What stands before and behind a target in a language, two lists of ids."""
        (before, _), _, (after, _) = self.tokenizer.frame()
        before, after = (
            in_language(self.tokenizer, list(ids), language) for ids in (before, after)
        )
        after = after or [self.tokenizer.end_id]
        if after == [None]:
            raise KzooError(
                "Got targets for a tokenizer that names no token for their end; expected one with "
                "an end token, such as </s>."
            )
        return before, after

    def given_rows(self, rows):
        """What the decoder is given of rows of targets: each one place on."""
        start, _ = beginning(self.task_options())
        return [[start, *row[:-1]] for row in rows]

    def evaluate(self, x, y=None, batch_size=32, sample_weight=None, scores=(), **kwargs):
        """Loss, perplexity and accuracy on sources and targets; x and y as in `fit`.

        Args:
            scores: names of `text_scores.SCORES`, "bleu", "chrf", "rouge" and "exact", by which
                what is written of the sources is compared with the targets too.
            kwargs: the columns of a file as in `fit` and what `keras.Model.evaluate` takes, and
                with scores, where a dict comes, options of `generate`.
        """
        writing = {name: kwargs.pop(name) for name in list(kwargs) if name in WRITING}
        if writing and not scores:
            raise KzooError(
                f"Got {next(iter(writing))} for evaluate without scores; expected scores too, such "
                'as ("bleu", "chrf"): only for them something is written.'
            )
        check_scores(scores)
        check_names(writing, CALLED)
        if not scores:
            return super().evaluate(x, y, batch_size, sample_weight, **kwargs)
        columns = tuple(kwargs.pop(name, None) for name in self.columns_given)
        self._check_compiled()
        self.check_columns(columns, x)
        x, y, sample_weight = self._examples(x, y, sample_weight, columns, learning=False)
        kwargs = {**kwargs, "return_dict": True}
        measured = super().evaluate(x, y, batch_size, sample_weight, **kwargs)
        return {**measured, **self.score(x, y, scores, batch_size, **writing)}

    def check_columns(self, columns, x):
        """Raise KzooError for names of columns beside what has none."""

    def score(self, x, y=None, scores=("bleu", "chrf"), batch_size=32, **options):
        """How near what is written of sources is to their targets.

        Args:
            x, y: as in `fit`, without files.
            scores: names of `text_scores.SCORES`: "bleu", "chrf", "rouge", "exact".
            batch_size: sources that are read at the same time.
            options: those of `generate`; one text is written of each source.

        Returns:
            {name: number}; BLEU, chrF and ROUGE from 0 to 100, the exact share from 0 to 1.
        """
        check_scores(scores)
        sources, targets = self.sources_and_targets(x, y)
        rows = self.write(self.cut_sources(sources), batch_size, **options)
        return text_scores([row[0].text for row in rows], targets, scores)

    def measure(self, x, y=None):
        """How well targets are foretold of their sources, however the task is compiled.

        Args:
            x, y: as in `fit`, without files.

        Returns:
            {"perplexity", "loss" (nats a token), "accuracy" (share of tokens that were likeliest)}.
        """
        rows = self.rows_at_once(self.max_target_length)
        return self.measured(self.batches(x, y, batch_size=rows))


def given_options(generation):
    """How a task is to write as a dict of its own, or None; KzooError for what is neither."""
    if not isinstance(generation, (dict, type(None))):
        raise KzooError(
            f"Got generation {generation!r:.40}; expected options by name, such as "
            '{"num_beams": 4}.'
        )
    return None if generation is None else dict(generation)


def settled_options(generation):
    """The options of `Generation` by name, none where nothing was said; KzooError for others."""
    generation = generation or {}
    check_names(generation)
    Generation(**generation)
    return generation
