"""What comes next: language models that are trained on text, measured on it, and write it."""

import dataclasses

import keras
import numpy as np
from keras import ops

from ..answers import RULES
from ..data.batches import IGNORED, bucketed_batches
from ..data.corpus import Corpus, read_corpus
from ..data.documents import StreamPlan, answer_rows, read_documents, text_rows
from ..data.ragged import Ragged, pieces
from ..data.tokens import Joined
from ..errors import KzooError
from ..generation.logit_processors import log_softmax
from ..generation.writer import chat_ids, framing, prompt_ids
from ..values import is_whole
from .corpora import ReadsCorpora, check_unweighted, tokens_of
from .inputs import split_pairs
from .streams import Streams
from .writing_task import Perplexity, WritingTask, one_or_all

NEUTRAL = ("N/A", "[MASK]")  # texts without content, as in arXiv:2102.09690


@keras.saving.register_keras_serializable("kzoo")
class CausalLM(ReadsCorpora, WritingTask):
    """Score the token behind every place, and write on from a prompt (arXiv:2005.14165).

    On the token dict it returns {"logits": (batch, length, vocabulary_size)}; on a step of
    writing, see `kzoo.graphs.Stack`, the keys and values of its places too.

    A network that remembers (`kzoo.graphs.Recurrent`, such as Transformer-XL) also takes a segment
    behind a memory, and gives the memory behind it. Of joined texts `fit` and `evaluate` make
    `batch_size` rows then, each of which goes on in every batch where it was in the one before.

    `fit` takes texts, which are joined by the end token and cut into windows of `max_length`
    tokens (`packing`), or pairs of a prompt and what is to be written after it: then the prompt is
    read and not learned. Files are tables, or plain text with `text="line"` or `text="file"`.

    Args:
        backbone, head, max_length, tokenizer, name: as for `TextTask`.
        packing: whether texts are joined, so that no place is left empty; else each is cut alone.
    """

    task_name = "CausalLM"
    default_head = "tied_lm"
    targets = "optional"
    reads, rule = "prompt", "continuation"
    read_file = read_corpus(read_documents)
    scores_targets = False  # Whether only the tokens that follow are scored where they are known.

    def __init__(
        self,
        backbone,
        labels=None,
        head=None,
        max_length=None,
        tokenizer=None,
        name=None,
        packing=True,
    ):
        if packing not in (True, False):
            raise KzooError(f"Got packing={packing!r:.40}; expected True or False.")
        vars(self)["streams"] = Streams()  # Past Keras: they are no weights.
        super().__init__(backbone, labels, head, max_length, tokenizer, name)
        if "step" not in self.backbone.signatures:
            raise KzooError(
                f"Got a {self.spec.family} whose places see those behind them; expected causal "
                "attention: what a CausalLM is to predict would be in its input."
            )
        self.packing = packing

    def run_head(self, outputs, inputs, training):
        """Logits, and what was seen at the places of a step, or is remembered of a segment."""
        past = {name: outputs[name] for name in outputs if name in self.backbone.past_names}
        past |= {name: outputs[name] for name in outputs if name.startswith("memory_")}
        if training and self.scores_targets and self.teacher is None:
            return {"sequence_output": outputs["sequence_output"], **past}
        return {**super().run_head(outputs, inputs, training), **past}

    # -- what is remembered ---------------------------------------------------------------------

    def settle_sizes(self, backbone):
        """See `TextTask`; of a network that remembers, segments as long as its memory."""
        if self.max_length is None and "segment" in backbone.signatures:
            self.max_length = max(2, min(backbone.memory_length, backbone.longest))
        super().settle_sizes(backbone)

    @property
    def remembers(self):
        """Whether joined texts are read in rows that go on from batch to batch."""
        return self.packing and "segment" in self.backbone.signatures

    @property
    def non_trainable_variables(self):
        """Keras' list, with what is remembered of texts that are being read."""
        return super().non_trainable_variables + self.streams.variables

    def check_inputs(self, inputs):
        """See `TextTask`; a batch of rows that go on is as a `StreamPlan` makes it."""
        if isinstance(inputs, dict) and "begins" in inputs:
            return {name: inputs[name] for name in ("token_ids", "begins")}
        return super().check_inputs(inputs)

    def call(self, inputs, training=None, seen=None):
        """The raw outputs for the dict of inputs, see `Task`; what rows go on from is kept."""
        if "begins" not in inputs:
            outputs = super().call(inputs, training=training, seen=seen)
            if "memory_mask" in outputs:
                outputs["memory_mask"] = ops.cast(outputs["memory_mask"], "int32")
            return outputs
        begins, learning = inputs["begins"], bool(training)
        memory = self.streams.recalled(self.backbone, begins, learning)
        inputs = {"token_ids": inputs["token_ids"], **memory}
        inner = self.backbone.run(inputs, training=training)
        # Who goes on from batch to batch has targets: they alone may be scored.
        outputs = self.run_head(inner, inputs, training or self.scores_targets)
        outputs = {name: ops.cast(value, "float32") for name, value in outputs.items()}
        new = {name: outputs.pop(name) for name in memory}
        self.streams.remember(new, begins.shape[0], learning)
        return outputs

    def _compile(self, optimizer, loss, gradient_checkpointing=False, **kwargs):
        """See `Task`; whether loss and metrics read the target's score alone, as by default."""
        metrics = keras.tree.flatten([kwargs.get(name) for name in ("metrics", "weighted_metrics")])
        self.scores_targets = (
            hasattr(self.head, "target_scores")
            and type(loss) is keras.losses.SparseCategoricalCrossentropy
            and all(metric is None or isinstance(metric, Perplexity) for metric in metrics)
        )
        super()._compile(optimizer, loss, gradient_checkpointing, **kwargs)

    def default_metrics(self):
        """Perplexity; and the share of tokens that were likeliest, unless that costs far more."""
        return super().default_metrics()[: 1 if hasattr(self.head, "target_scores") else None]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Keras' hook: see `PlaceTask`."""
        y = self._foretold(y, y_pred)
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Keras' hook: see `PlaceTask`."""
        return super().compute_metrics(x, self._foretold(y, y_pred), y_pred, sample_weight)

    def _foretold(self, y, y_pred):
        """The targets; where their scores alone are had, as the first of two classes each.

        The other is all other tokens, so that the cross-entropy is the same.
        """
        if "sequence_output" not in y_pred:
            return y
        counted = ops.not_equal(y, IGNORED)
        if "logits" not in y_pred:
            ids = ops.where(counted, y, 0)
            table = [ops.cast(f, self.compute_dtype) for f in self.backbone.embedding.factors]
            x = ops.cast(y_pred["sequence_output"], self.compute_dtype)
            found = self.head.target_scores(x, ids, table)
            others = ops.log(ops.maximum(-ops.expm1(found), 1e-30))
            y_pred["logits"] = ops.stack([found, others], axis=-1)
        return ops.where(counted, 0, IGNORED)

    def _streamed(self, texts, batch_size=None, shuffle=None, seed=0, initial_epoch=0):
        """Batches of texts as rows that go on."""
        if self.has_replicas:
            raise KzooError(
                f"Got several replicas for a {self.spec.family}, whose rows go on from batch to "
                "batch on one device; expected one, or a task with packing=False."
            )
        ids = self.tokenizer.bare_ids(texts)
        plan = StreamPlan(
            ids, self.start_ids(), self.end_ids, self.max_length, batch_size, shuffle, seed,
            initial_epoch, self.backbone.padding_id,
        )  # fmt: skip
        if self.streams.prepare(self.backbone, plan.batch_size):
            # Keras would trace one step for all numbers of rows, and each has its own memory.
            self.train_function = self.test_function = None
        return plan.dataset()

    # -- on a device ----------------------------------------------------------------------------

    # All of a prompt but its last token is read by the one, and each further token by the other.
    functions = {"prefill": ("step", {}), "decode": ("step", {"length": 1})}

    def run_function(self, name, inputs):
        """The keys and values of the new places; of one token also its `logits`.

        A prompt has no logits there: of a long one they would be gigabytes.
        """
        outputs = self.backbone.run(inputs, training=False)
        past = {each: outputs[each] for each in self.backbone.past_names}
        if name == "prefill":
            return past
        logits = super().run_head(outputs, inputs, False)["logits"]
        return {"logits": ops.reshape(logits, (1, logits.shape[-1])), **past}

    def function_axes(self, name):
        """The axes of each output of a function."""
        _, sizes = self.functions[name]
        new = {"past_length": sizes.get("length", "length")}
        step = self.backbone.signatures["step"]
        past = {
            each: tuple(new.get(axis, axis) for axis in step[each].axes)
            for each in self.backbone.past_names
        }
        return past if name == "prefill" else {**RULES[self.rule].outputs, **past}

    @property
    def output_axes(self):
        """The axes of each output on whole inputs."""
        return {"logits": ("batch", "length", "vocabulary")}

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "packing": self.packing}

    # -- learning -------------------------------------------------------------------------------

    @classmethod
    def hold_out(cls, examples, share, seed):
        """See `TextTask`; of a single text its end is held out."""
        is_text = isinstance(examples.x, list) and isinstance(examples.x[0], str)
        if len(examples) > 1 or not is_text:
            return super().hold_out(examples, share, seed)
        (text,) = examples.x
        cut = round(len(text) * (1 - share))
        return tuple(dataclasses.replace(examples, x=[part]) for part in (text[:cut], text[cut:]))

    @property
    def end_ids(self):
        """The token that ends a text, as a list; an empty one where the tokenizer names none."""
        return framing(self.tokenizer)[1]

    def start_ids(self):
        """What stands before a text: its special tokens, or the end of another."""
        return framing(self.tokenizer)[0]

    def encode_examples(self, x):
        """Texts as ragged columns, cut to `max_length`."""
        rows = [[*self.start_ids(), *ids] for ids in self.tokenizer.bare_ids(x)]
        return {"token_ids": [row[: self.max_length] for row in rows]}

    def batches(self, x, y=None, sample_weight=None, stride=None, **options):
        """Windows of tokens, then batches: the targets are the tokens one place on."""
        if isinstance(x, Corpus):
            return self._of_corpus(x, sample_weight, stride, **options)
        prompts, answers = split_pairs(x)
        answers = y if answers is None else answers
        if answers is None and self.remembers and stride is None:
            self._check_unweighted(sample_weight)
            return self._streamed(prompts, **options)
        if answers is None:
            rows, weights = self._texts(prompts, sample_weight, stride)
        else:
            rows, weights = self._pairs(prompts, answers), sample_weight
        if not rows:
            raise KzooError("The texts hold fewer than two tokens: there is nothing to predict.")
        tokens, targets = map(list, zip(*rows, strict=True))
        return bucketed_batches(
            {"token_ids": tokens},
            targets,
            sample_weight=weights,
            padding_id=self.backbone.padding_id,
            max_length=self.max_length,
            **options,
        )

    def _of_corpus(self, corpus, sample_weight, stride, **options):
        """Windows of documents that lie in files."""
        check_unweighted(corpus, sample_weight)
        if stride is not None:
            raise KzooError(f"Got a stride for {corpus!r}; expected none: windows share nothing.")
        if self.remembers:
            raise KzooError(
                f"Got {corpus!r} for a {self.spec.family}, whose rows go on from batch to batch; "
                "expected texts, or a task with packing=False."
            )
        before, after = self.start_ids(), self.end_ids
        # Of joined texts one end between two is enough.
        head = before if self.packing and before == after else []
        frame = [] if head else before, after
        tokens = tokens_of(corpus, self.tokenizer, frame=frame)
        rows = Joined(tokens, corpus.rows, head) if self.packing else tokens
        starts, ends = rows.bounds(None if self.packing else corpus.rows)
        # The last token of each is a target alone.
        begun, lengths = pieces(starts, np.maximum(ends - 1, starts), self.max_length)
        if not len(begun):
            raise KzooError(f"{corpus.path} holds fewer than two tokens: nothing to predict.")

        def columns(n, shift=0):
            return rows.read(begun[n] + shift, begun[n] + lengths[n] + shift)

        return bucketed_batches(
            {"token_ids": Ragged(lengths, columns, corpus.known_by)},
            Ragged(lengths, lambda n: columns(n, 1), corpus.known_by),
            padding_id=self.backbone.padding_id,
            max_length=self.max_length,
            **options,
        )

    def _texts(self, texts, weights, stride):
        """Windows of texts, and the weight of each."""
        self._check_unweighted(weights)
        framing = self.start_ids(), self.end_ids, self.max_length, stride, self.packing
        texts = self.tokenizer.bare_ids(texts)
        if self.packing:
            return text_rows(texts, *framing), None
        cut = [text_rows([ids], *framing) for ids in texts]
        if weights is not None:
            weights = [w for w, rows in zip(weights, cut, strict=True) for _ in rows]
        return [row for rows in cut for row in rows], weights

    def _check_unweighted(self, weights):
        if self.packing and weights is not None:
            raise KzooError(
                "Got sample_weight for texts that are joined, of which none is an example of its "
                "own: leave it out, or make the task with packing=False."
            )

    def _pairs(self, prompts, answers):
        """Prompts and answers as (tokens, targets), of which those of the prompt are none."""
        if not all(isinstance(answer, str) for answer in answers):
            wrong = next(answer for answer in answers if not isinstance(answer, str))
            raise KzooError(f"Got the answer {wrong!r:.40} to a prompt; expected a text.")
        asked, written = self.prompt_ids(prompts), self.tokenizer.bare_ids(answers)
        return answer_rows(asked, written, self.end_ids, self.max_length)

    def evaluate(self, x, y=None, batch_size=32, sample_weight=None, stride=None, **kwargs):
        """Loss, perplexity and accuracy on raw text; x and y as in `fit`.

        Args:
            stride: tokens by which each window of `max_length` lies behind the one before; what
                they share is context. Less than `max_length` gives every token more of it, and
                takes as many times longer. Default: windows that share nothing.
            kwargs: text, label and what `keras.Model.evaluate` takes.
        """
        if stride is not None and hasattr(x, "plan"):
            raise KzooError(
                "Got stride beside batches, which were cut already; expected texts, or the stride "
                "where the batches are made."
            )
        if stride is None:
            return super().evaluate(x, y, batch_size, sample_weight, **kwargs)
        self._check_stride(stride)
        self._check_compiled()
        named = {name: kwargs.pop(name) for name in ("text", "label") if name in kwargs}
        examples = self._examples(x, y, sample_weight, **named, learning=False)
        batches = self.batches(*examples, stride=stride, batch_size=batch_size)
        return self.evaluate_batches(batches, **kwargs)

    def measure(self, x, stride=None):
        """How well texts, or pairs, are foretold, however the task is compiled.

        Args:
            x: as in `fit`, without files.
            stride: as for `evaluate`.

        Returns:
            {"perplexity", "loss" (nats a token), "accuracy" (share of tokens that were likeliest)}.
        """
        self._check_stride(stride)
        rows = self.rows_at_once(self.max_length)
        batches = self.batches(x, stride=stride, batch_size=rows)
        return self.measured(batches, self._going_on())

    def _going_on(self):
        """What gives the outputs of one batch after the other, and remembers where rows go on."""
        memory = {}

        def run(inputs):
            if "begins" not in inputs:
                return self.predict_on_batch(inputs)
            if np.asarray(inputs["begins"]).any():
                memory.update(self.backbone.first_memory(len(inputs["begins"]), cached=True))
            outputs = self.predict_on_batch({"token_ids": inputs["token_ids"], **memory})
            memory.update({name: outputs[name] for name in memory})
            return outputs

        return run

    def _check_stride(self, stride):
        if stride is not None and not is_whole(stride, 1, self.max_length):
            raise KzooError(
                f"Got stride={stride!r:.40}; expected 1 to {self.max_length}, the tokens of a "
                "window."
            )

    # -- writing --------------------------------------------------------------------------------

    def generate(self, prompts, return_prompt=False, **options):
        """Write on from prompts.

        Args:
            prompts: a text, a list of texts, or a list of lists of token ids of any lengths.
            return_prompt: whether what comes back begins with the prompt.
            options: those of `kzoo.generation.Generation`: max_new_tokens, temperature, top_k,
                top_p, min_p, seed, num_beams, num_return_sequences, length_penalty,
                repetition_penalty, no_repeat_ngram_size, min_new_tokens, stop_strings,
                end_token_ids; the tokenizer's end token ends a text by default.

        Returns:
            For a text a text, for texts a list of them, for token ids lists of the new ids; with
            num_return_sequences above 1 a list of so many in the place of each.

        Raises:
            KzooError: for an option out of its range, an empty prompt, or one that leaves no place
                to write in.
        """
        answers, is_text = self.written(prompts, options)
        given = [prompts] if isinstance(prompts, str) else prompts
        before = given if return_prompt else ["" if is_text else []] * len(answers)
        results = [
            one_or_all([_behind(start, each) for each in rows])
            for start, rows in zip(before, answers, strict=True)
        ]
        return results[0] if isinstance(prompts, str) else results

    def chat(self, messages, tools=None, documents=None, **options):
        """Answer in a conversation, as the chat template of the tokenizer puts it.

        Args:
            messages: [{"role": "user", "content": "Hello"}, ...].
            tools, documents: see `kzoo.generation.ChatTemplate.render`.
            options: as for `generate`.

        Returns:
            The text of the answer; with num_return_sequences above 1 a list of so many.

        Raises:
            KzooError: without a chat template, for messages that it doesn't take, and as
                `generate`.
        """
        ids = chat_ids(self.tokenizer, messages, tools, documents)
        (answers,) = self.writer.generate([ids], **options)
        return one_or_all([answer.text for answer in answers])

    def stream_chat(self, messages, tools=None, documents=None, **options):
        """Answer as `chat` does; an iterator of pieces of text, which split no character."""
        ids = chat_ids(self.tokenizer, messages, tools, documents)
        return self.writer.stream(ids, **options)

    def prompt_ids(self, prompts):
        """Prompts as token ids, see `kzoo.generation.writer.prompt_ids`."""
        return prompt_ids(self.tokenizer, prompts)

    def log_probabilities(self, prompts, continuations):
        """How likely each continuation is behind its prompt: the log-probability of each token.

        Args:
            prompts, continuations: lists of texts, as many of both.

        Returns:
            A list of arrays, a number for each token of the continuation.
        """
        if len(prompts) != len(continuations):
            raise KzooError(
                f"Got {len(prompts)} prompts and {len(continuations)} continuations; expected as "
                "many of both."
            )
        asked, written = self.prompt_ids(prompts), self.tokenizer.bare_ids(continuations)
        rows = [[*prompt, *more] for prompt, more in zip(asked, written, strict=True)]
        columns = {
            "token_ids": [row[:-1] for row in rows],
            "following": [row[1:] for row in rows],
        }
        longest, places = max(map(len, rows)) - 1, self.spec.max_sequence_length
        if longest > places:
            raise KzooError(
                f"Got a prompt and a continuation of {longest + 1} tokens together; expected "
                f"{places + 1} at most, for the network has {places} places: shorten the prompt."
            )
        # One number is kept of all those that a place has: of the rest there would be gigabytes.
        count = self.rows_at_once(longest)
        order, outputs = self.run_batches(columns, count, run=self._log_probabilities)
        scores = [None] * len(rows)
        given = (row for out in outputs for row in out["scores"])
        for i, row in zip(order.tolist(), given, strict=True):
            end = len(rows[i]) - 1
            scores[i] = row[end - len(written[i]) : end]
        return scores

    def _log_probabilities(self, batch):
        """Those of `following`, the token behind each place, (batch, length)."""
        following = batch.pop("following")
        scores = log_softmax(self.predict_on_batch(batch)["logits"])
        return {"scores": np.take_along_axis(scores, following[..., None], -1)[..., 0]}

    def few_shot(
        self,
        examples,
        labels=None,
        template="{text}\n{label}",
        separator="\n\n",
        calibrate=False,
        is_length_normalised=False,
    ):
        """A classifier made of examples in the prompt (arXiv:2005.14165, section 2.4).

        Args:
            examples: [(text, label), ...] that stand before each text; none is zero-shot.
            labels: what stands in the prompt for each label: a list, or a dict from label to text;
                by default those of the examples, in their order.
            template: one example, with `{text}` and at its end `{label}`.
            separator: what stands between two examples.
            calibrate: whether answers are corrected by what the labels get for texts without
                content (arXiv:2102.09690); or a list of such texts.
            is_length_normalised: whether a label's score is the mean over its tokens, not the sum.

        Returns:
            A `kzoo.generation.FewShot`: its `predict(texts)` gives for each text
            {"label", "score", "scores"}.
        """
        from ..generation import FewShot

        neutral = NEUTRAL if calibrate is True else () if calibrate in (False, None) else calibrate
        score = self.log_probabilities
        return FewShot(score, examples, labels, template, separator, is_length_normalised, neutral)


def _behind(start, answer):
    """What was written, behind a text or behind token ids."""
    if isinstance(start, str):
        return start + answer.text
    return [*map(int, start), *answer.token_ids]
