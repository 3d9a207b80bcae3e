"""`pipeline("sentiment-analysis")("I loved it")`: the familiar call on the familiar answers."""

import re
from pathlib import Path

import numpy as np

from .answers import PROBLEMS, READS, check_labels, similarities, softmax
from .data.picture_texts import asked, is_alone
from .errors import KzooError
from .generation.writer import chat_ids, is_chat
from .index import rerank, scorer_of
from .network import Network
from .tasks.inputs import split_pairs
from .tasks.writing_task import one_or_all
from .values import an

SENTIMENT = "bert_minilm_l6_en_uncased.sst2"
SHAKESPEARE = "gpt2_tiny_en.shakespeare"
COMMANDS = "kwt1_speech_commands"

# What users call a task: the class that does it, the sense and the rules by which such a task reads
# and answers, and the preset that ships for it.
PIPELINES = {
    "sentiment-analysis": ("TextClassifier", "text", PROBLEMS, SENTIMENT),
    "text-classification": ("TextClassifier", "text", PROBLEMS, SENTIMENT),
    "feature-extraction": ("TextEmbedder", "text", ("embedding",), None),
    "sentence-similarity": ("TextEmbedder", "text", ("embedding",), None),
    "token-classification": ("TokenClassifier", "text", ("entities",), None),
    "ner": ("TokenClassifier", "text", ("entities",), None),
    "question-answering": ("QuestionAnswering", "text", ("span", "rewriting"), None),
    "fill-mask": ("MaskedLM", "text", ("candidates",), None),
    "text-generation": ("CausalLM", "text", ("continuation",), SHAKESPEARE),
    "text2text-generation": ("Seq2SeqLM", "text", ("rewriting",), None),
    "summarization": ("Seq2SeqLM", "text", ("rewriting",), None),
    "translation": ("Seq2SeqLM", "text", ("rewriting",), None),
    "audio-classification": ("AudioClassifier", "sound", PROBLEMS, COMMANDS),
    "image-classification": ("ImageClassifier", "image", PROBLEMS, None),
    "image-feature-extraction": ("ImageEmbedder", "image", ("embedding",), None),
    "image-to-text": ("ImageCaptioner", "image", ("rewriting",), None),
    "object-detection": ("ObjectDetector", "image", ("boxes",), None),
}
TEXTS = ("text", "pair", "either")  # what tasks on texts read
TRANSLATES = re.compile(r"translation_(\w+)_to_(\w+)")


def pipeline(task, model=None):
    """A function from texts, pictures or sounds to plain Python answers.

    Args:
        task: "sentiment-analysis", "text-classification", "zero-shot-classification",
            "feature-extraction", "sentence-similarity", "ner" (also "token-classification"),
            "question-answering", "fill-mask", "text-generation", "text2text-generation",
            "summarization", "translation", "translation_xx_to_yy", "audio-classification",
            "image-classification", "image-feature-extraction", "image-to-text",
            "object-detection", "text-ranking", "visual-question-answering",
            "zero-shot-image-classification" or "zero-shot-audio-classification".
        model: a task model, a preset's name or folder, or a Hugging Face folder; the preset that
            ships for the task by default.

    Returns:
        A callable. It takes a string or a list of strings (pairs for question answering), or
        dicts such as {"question": ..., "context": ...}, which question answering takes as
        `qa(question=..., context=...)` too; one dict has one answer. It gives for classification
        a list of {"label", "score"}, with `top_k=None` a list of all labels an input, where a
        score is a probability or for regression the value; for embeddings a list of lists of
        numbers, of a network without a task the vectors of its tokens, see `TokenVectors`; for
        "fill-mask" see `FillMask`, for "sentence-similarity" `SentenceSimilarity`, for
        "text-generation" `TextGeneration`, for pictures and sounds `OfMedia`, for what stands in
        a picture `Detection`, for captions `Captions`, for questions about pictures
        `AnswersOfPictures`, for labels that a call names `ZeroShotImages`, `ZeroShotSounds` and
        `ZeroShotText`, for texts in the order in which they answer a query `Ranking`, for a
        question that a `Seq2SeqLM` answers in its own words `WrittenAnswers`; for the others what
        the task's `predict` gives.
    """
    requested = task
    if isinstance(task, str) and TRANSLATES.fullmatch(task):
        task = "translation"
    if task not in PIPELINES and task not in ON_CALL:
        known = ", ".join([*PIPELINES, *ON_CALL])
        raise KzooError(f"No pipeline is called {task!r}; known: {known}.")
    name, sense, rules, default = PIPELINES.get(task, (None, None, (), None))
    if model is None and default is None:
        raise KzooError(f"No model ships for {task!r}: give model=, a preset or a folder.")
    model = default if model is None else model
    if isinstance(model, (str, Path)):
        from . import presets

        model = presets.load(model)
    if task in ON_CALL:
        return ON_CALL[task](model)
    if task == "feature-extraction" and isinstance(model, Network):
        return TokenVectors(model)
    if getattr(model, "rule", None) not in rules or _sense(model) != sense:
        name = f"{name} or a Seq2SeqLM" if "rewriting" in rules[1:] else name
        raise KzooError(f"{task!r} needs a {name}; {an(type(model).__name__)} came.")
    if task in CALLS:
        return CALLS[task](model)
    if sense == "image" and model.rule == "rewriting":
        return Captions(model)
    if model.rule == "boxes":
        return Detection(model)
    if sense != "text":
        return OfMedia(model)
    if model.rule == "rewriting":
        answers = task == "question-answering"
        return WrittenAnswers(model) if answers else Rewriting(model, requested)
    return TextGeneration(model) if model.rule == "continuation" else Pipeline(model)


def _sense(model):
    """What a task reads: "text", "image" or "sound"."""
    reads = READS[model.reads or "either"]
    return "text" if reads in TEXTS else reads


class Pipeline:
    """A task model behind one call; `model` is the Keras model."""

    def __init__(self, model):
        self.model = model

    def __call__(self, inputs=None, batch_size=32, top_k=1, question=None, context=None):
        """Answers for one input or a list of them; see `pipeline`.

        question, context: two texts, or two lists, in the place of `inputs`; several questions
        may share one context.
        """
        if (question, context) != (None, None):
            inputs = _questions(inputs, question, context)
        answers = self._answers(inputs, batch_size, top_k)
        return answers[0] if isinstance(inputs, dict) else answers

    def _answers(self, inputs, batch_size, top_k):
        answers = self.model.predict(inputs, batch_size=batch_size)
        labels = self.model.labels
        if self.model.rule == "embedding":
            return answers.tolist()
        if self.model.rule not in PROBLEMS:
            return answers
        ranked = [
            [{"label": labels[i], "score": float(row[i])} for i in row.argsort()[::-1]]
            for row in answers
        ]
        return [row[0] for row in ranked] if top_k == 1 else [row[:top_k] for row in ranked]


class OfMedia(Pipeline):
    """A classifier or an embedder of pictures or sounds behind one call; `model` is it in Keras."""

    def __call__(self, inputs, batch_size=32, top_k=5):
        """Answers for one picture or sound, or for several.

        Args:
            inputs: what the task's `predict` takes one of: a file, a file:// URL, its bytes, a PIL
                picture, an array, for sounds {"raw": samples, "sampling_rate": ...}; or a list of
                some.
            batch_size: how many are read at the same time.
            top_k: how many labels, the likeliest first; None for all.

        Returns:
            For one a list of {"label", "score"}, or of an embedder a list of its vector's
            numbers in a list, as transformers gives it with `pool=True`; for a list a list of
            such lists.
        """
        alone = not isinstance(inputs, list)
        rows = self._answers([inputs] if alone else inputs, batch_size, None)
        if self.model.rule == "embedding":
            rows = [[row] for row in rows]
        else:
            rows = [row[:top_k] for row in rows]
        return rows[0] if alone else rows


class Detection(Pipeline):
    """An `ObjectDetector` behind one call; `model` is it in Keras."""

    def __call__(self, inputs, threshold=0.5, batch_size=8):
        """What stands in one picture, or in each of several.

        Args:
            inputs: what the task's `predict` takes one of, or a list of some.
            threshold: what a label's probability must be above.
            batch_size: how many are read at the same time.

        Returns:
            A list of {"score", "label", "box"}, the likeliest first, a box {"xmin", "ymin",
            "xmax", "ymax"} in whole pixels; for a list of pictures a list of such lists.
        """
        alone = not isinstance(inputs, list)
        answers = self.model.predict(
            [inputs] if alone else inputs, batch_size=batch_size, threshold=threshold
        )
        results = [
            [
                {
                    "score": each["score"],
                    "label": each["label"],
                    "box": {side: int(value) for side, value in each["box"].items()},
                }
                for each in row
            ]
            for row in answers
        ]
        return results[0] if alone else results


class ZeroShot:
    """Towers of another sense and of texts behind one call, which names the labels.

    A subclass says which embedder reads that sense, and what a label is asked by.

    Args:
        model: such an embedder, a classifier of such towers, or their network with its processors.
    """

    embedder = None

    def __init__(self, model):
        from . import tasks

        cls = getattr(tasks, self.embedder)
        self.model = model if isinstance(model, cls) else cls(model)

    def named(self, given, candidate_labels, hypothesis_template, batch_size):
        """The labels of each example, the likeliest first: a list of {"score", "label"} each."""
        from .tasks.zero_shot import checked_templates, label_vectors, probabilities

        labels = _labels(candidate_labels)
        named = label_vectors(self.model, labels, checked_templates(hypothesis_template))
        return [
            [{"score": float(row[i]), "label": labels[i]} for i in row.argsort()[::-1]]
            for row in probabilities(self.model, self.model.embed(given, batch_size), named)
        ]


class ZeroShotImages(ZeroShot):
    """Towers of pictures and texts behind one call, which names the labels.

    Args:
        model: an `ImageTextEmbedder`, a `ZeroShotImageClassifier` or a `Clip` with its processors.
    """

    embedder = "ImageTextEmbedder"

    def __call__(
        self,
        image,
        candidate_labels,
        hypothesis_template="This is a photo of {}.",
        batch_size=32,
    ):
        """The labels of one picture, the likeliest first, or of several.

        Args:
            image: a picture as `ImageTask` takes it, or a list of some.
            candidate_labels: the labels, a list, or one text with commas between them.
            hypothesis_template: the text that a label is asked by, with {} in its place; of
                several, the mean.
            batch_size: pictures that are run together.

        Returns:
            A list of {"score", "label"}; for a list of pictures a list of such lists.
        """
        results = self.named(image, candidate_labels, hypothesis_template, batch_size)
        return results if isinstance(image, (list, tuple)) else results[0]


class ZeroShotSounds(ZeroShot):
    """Towers of sounds and texts behind one call, which names the labels.

    Args:
        model: an `AudioTextEmbedder`, a `ZeroShotAudioClassifier` or an `AudioClip` with its
            processors.
    """

    embedder = "AudioTextEmbedder"

    def __call__(
        self,
        audios,
        candidate_labels,
        hypothesis_template="This is a sound of {}.",
        batch_size=32,
    ):
        """The labels of one sound, the likeliest first, or of several.

        Args:
            audios: a sound as `AudioTask` takes it, or a list of some.
            candidate_labels: the labels, a list, or one text with commas between them.
            hypothesis_template: the text that a label is asked by, with {} in its place; of
                several, the mean.
            batch_size: sounds that are run together.

        Returns:
            A list of {"score", "label"}; for a list of sounds a list of such lists.
        """
        results = self.named(audios, candidate_labels, hypothesis_template, batch_size)
        return results if isinstance(audios, list) else results[0]


class ZeroShotText:
    """Texts to labels that a call names, by a model that never learnt them.

    Args:
        model: a `TextClassifier` of pairs that learnt whether a text entails another (NLI), as
            in arXiv:1909.00161: it has a label that begins with "entail". Or a `TextEmbedder`,
            which says how near a text is to what a label stands for.
    """

    SCALE = 20  # of cosines, by which sentence-transformers' losses in a batch make logits of them

    def __init__(self, model):
        self.model, rule = model, getattr(model, "rule", None)
        self.labels = [str(label).lower() for label in getattr(model, "labels", None) or ()]
        entails = [i for i, name in enumerate(self.labels) if name.startswith("entail")]
        self.entails = entails[0] if entails and rule == "single_label" else None
        if rule != "embedding" and (self.entails is None or len(self.labels) < 2):
            named = f" with {', '.join(self.labels)}" if self.labels else ""
            raise KzooError(
                "'zero-shot-classification' needs a TextEmbedder, or a TextClassifier with a label "
                f"that begins with entail; {an(type(model).__name__)}{named} came."
            )

    def __call__(
        self,
        sequences,
        candidate_labels,
        hypothesis_template="This example is {}.",
        multi_label=False,
        batch_size=32,
    ):
        """The labels of one text, the likeliest first, or of several.

        Args:
            sequences: a text, or a list of some.
            candidate_labels: the labels, a list, or one text with commas between them.
            hypothesis_template: the text that a label is asked by, with {} in its place.
            multi_label: whether each label is judged for itself: how likely it is entailed and
                not contradicted; of a `TextEmbedder` the likeness itself. Else, and for more than
                one label, the scores are shares of one.
            batch_size: how many texts or pairs are run together.

        Returns:
            {"sequence", "labels", "scores"}; for a list of texts a list of such.
        """
        labels = _labels(candidate_labels)
        if not isinstance(hypothesis_template, str) or "{}" not in hypothesis_template:
            raise KzooError(
                f"Got hypothesis_template {hypothesis_template!r:.60}; expected a text with "
                "{} in the place of the label."
            )
        texts = [sequences] if isinstance(sequences, str) else list(sequences)
        asked = [hypothesis_template.replace("{}", label) for label in labels]
        judge = self._near if self.model.rule == "embedding" else self._entailed
        rows = judge(texts, asked, multi_label or len(labels) == 1, batch_size)
        results = []
        for text, row in zip(texts, rows, strict=True):
            order = np.argsort(-row, kind="stable")
            scores = [float(row[i]) for i in order]
            results.append(
                {"sequence": text, "labels": [labels[i] for i in order], "scores": scores}
            )
        return results[0] if isinstance(sequences, str) else results

    def _entailed(self, texts, asked, apart, batch_size):
        """A row of scores for each text, by the logits of the text with each hypothesis."""
        pairs = [(text, hypothesis) for text in texts for hypothesis in asked]
        order, outputs = self.model.run_batches(self.model.encode_examples(pairs), batch_size)
        logits = np.concatenate([np.asarray(each["logits"], "float64") for each in outputs])
        placed = np.empty_like(logits)
        placed[order] = logits
        placed = placed.reshape(len(texts), len(asked), -1)
        if apart:
            return softmax(placed[..., [self._refused, self.entails]])[..., 1]
        return softmax(placed[..., self.entails])

    @property
    def _refused(self):
        """The label of what is contradicted, or not entailed: the first, or the last behind it."""
        refused = [i for i, name in enumerate(self.labels) if name.startswith("contra")]
        return refused[0] if refused else (-1 if self.entails == 0 else 0)

    def _near(self, texts, asked, apart, batch_size):
        """The same by how near vectors are."""
        vectors = [self.model.predict(side, batch_size=batch_size) for side in (texts, asked)]
        near = similarities(*vectors, "cosine")
        return near if apart else softmax(self.SCALE * near)


def _labels(given):
    """Labels that a call names, as a list; of one text those between its commas."""
    if isinstance(given, str):
        given = [label.strip() for label in given.split(",") if label.strip()]
    check_labels(given)
    return given


class FillMask(Pipeline):
    """A `MaskedLM` behind one call; `model` is it in Keras."""

    def __call__(self, inputs, batch_size=32, top_k=5, targets=None):
        """What may stand in the place of each mask.

        Args:
            inputs: a text that holds the tokenizer's mask token, or a list of some.
            batch_size: texts that are run together.
            top_k: how many tokens for each mask.
            targets: the tokens that are asked for, a list or one, in the place of all.

        Returns:
            A list of {"score", "token" (its id), "token_str", "sequence"}, the likeliest first;
            for a text with several masks a list of such lists, whose sequences keep the others;
            for a list of texts a list of what each has.
        """
        tokenizer, asked = self.model.tokenizer, self._ids(targets)
        texts = [inputs] if isinstance(inputs, str) else inputs

        def find(ids, place, scores):
            wanted = np.arange(len(scores)) if asked is None else asked
            best = wanted[np.argsort(-scores[wanted], kind="stable")][:top_k]
            alone = list(ids).count(tokenizer.mask_id) == 1
            return [
                {
                    "score": float(scores[token]),
                    "token": token,
                    "token_str": tokenizer.decode([token], skip_special=False),
                    "sequence": tokenizer.decode(
                        [*ids[:place], token, *ids[place + 1 :]], skip_special=alone
                    ),
                }
                for token in best.tolist()
            ]

        rows = self.model.of_masks(self.model.as_inputs(texts), find, batch_size)
        rows = [row[0] if len(row) == 1 else row for row in rows]
        return rows[0] if isinstance(inputs, str) else rows

    def _ids(self, targets):
        if targets is None:
            return None
        names = [targets] if isinstance(targets, str) else list(targets)
        if not names:
            raise KzooError("Got no targets to fill a mask with; expected one token at least.")
        return np.array(list(dict.fromkeys(map(self.model.tokenizer.token_to_id, names))))


class SentenceSimilarity(Pipeline):
    """A `TextEmbedder` behind one call; `model` is it in Keras."""

    def __call__(self, inputs=None, batch_size=32, source_sentence=None, sentences=None):
        """How alike texts are to one, by the model's own measure.

        Args:
            inputs: {"source_sentence": a text, "sentences": a list of texts}.
            batch_size: texts that are run together.
            source_sentence, sentences: the two by name, in the place of `inputs`.

        Returns:
            A list of a number for each of the sentences, more for nearer ones.
        """
        if inputs is None:
            inputs = {"source_sentence": source_sentence, "sentences": sentences}
        known = isinstance(inputs, dict) and set(inputs) == {"source_sentence", "sentences"}
        source, others = (inputs["source_sentence"], inputs["sentences"]) if known else (None, None)
        if not isinstance(source, str) or not isinstance(others, (list, tuple)) or not others:
            raise KzooError(
                f'Got {inputs!r:.60}; expected {{"source_sentence": a text, "sentences": a list of '
                "texts}."
            )
        vectors = self.model.predict([source, *others], batch_size=batch_size)
        return similarities(vectors[:1], vectors[1:], self.model.similarity)[0].tolist()


class TokenVectors:
    """A network without a task behind one call, which gives the vectors of a text's tokens."""

    def __init__(self, model):
        from .tasks import TextEmbedder

        self.model = model
        self._reader = TextEmbedder(model, pooling="mean")

    def __call__(self, inputs, batch_size=32):
        """Vectors of one text or of several.

        Args:
            inputs: a string or a list of them.
            batch_size: texts that are run together.

        Returns:
            For a text [rows], a row of numbers for each of its tokens, special ones included; for
            a list of texts a list of such.
        """
        texts = self._reader.as_inputs([inputs] if isinstance(inputs, str) else inputs)
        columns = self._reader.encode_examples(texts)

        def run(batch):
            outputs = self.model.predict_on_batch(batch)
            return {"vectors": outputs["sequence_output"], "mask": batch["padding_mask"]}

        order, outputs = self._reader.run_batches(columns, batch_size, run=run)
        rows = (row for each in outputs for row in zip(each["vectors"], each["mask"], strict=True))
        answers = [None] * len(texts)
        for place, (vectors, mask) in zip(order, rows, strict=True):
            answers[place] = [vectors[mask.astype(bool)].tolist()]
        return answers[0] if isinstance(inputs, str) else answers


# Pipelines with calls of their own, by what users call them.
CALLS = {"fill-mask": FillMask, "sentence-similarity": SentenceSimilarity}


class Captions:
    """An `ImageCaptioner` behind one call; `model` is the Keras model."""

    def __init__(self, model):
        self.model = model

    def __call__(self, inputs, prompt=None, batch_size=32, **options):
        """Write what a picture shows, or each of several.

        Args:
            inputs: what `ImageCaptioner.predict` takes one of, or a list of some.
            prompt: a text that all that is written begins with.
            batch_size: pictures that are read at the same time.
            options: those of `kzoo.generation.Generation`.

        Returns:
            [{"generated_text": ...}], one dict for each of `num_return_sequences`; for a list of
            pictures a list of such lists.
        """
        alone = self.model.is_alone(inputs)
        arrays = self.model.prompt_ids([inputs] if alone else list(inputs))
        rows = self.model.write(arrays, batch_size, prompt=prompt, **options)
        results = [[{"generated_text": each.text} for each in row] for row in rows]
        return results[0] if alone else results


class AnswersOfPictures:
    """Questions about pictures behind one call.

    Args:
        model: a `VisualQuestionAnswerer`, which writes, or a `VisualQuestionClassifier`, which
            chooses.
    """

    def __init__(self, model):
        from .tasks import VisualQuestionAnswerer, VisualQuestionClassifier

        if not isinstance(model, (VisualQuestionAnswerer, VisualQuestionClassifier)):
            raise KzooError(
                f"'visual-question-answering' needs a VisualQuestionAnswerer or a "
                f"VisualQuestionClassifier; {an(type(model).__name__)} came."
            )
        self.model = model

    def __call__(self, image, question=None, top_k=5, batch_size=32, **options):
        """Answer a question about a picture, or several.

        Args:
            image: a picture, with its `question`; or {"image": ..., "question": ...}, or a list of
                such.
            question: a text, or a list of them, all about the same picture.
            top_k: of answers that are chosen, how many.
            batch_size: pairs that are run together.
            options: of answers that are written, those of `kzoo.generation.Generation`.

        Returns:
            [{"answer": ...}] of written answers, a dict for each of `num_return_sequences`, or
            [{"score": ..., "answer": ...}], the likeliest first, of chosen ones; for several
            questions a list of such lists.
        """
        if question is not None:
            alone = isinstance(question, str)
            pairs = [(image, each) for each in ([question] if alone else question)]
        else:
            alone = is_alone(image)
            pairs = asked(image)
        if self.model.rule == "rewriting":
            rows = self.model.write(self.model.prompt_ids(pairs), batch_size, **options)
            results = [[{"answer": each.text} for each in row] for row in rows]
        else:
            found = self.model.answers(pairs, batch_size, top_k)
            results = [[{"score": e["score"], "answer": e["answer"]} for e in row] for row in found]
        return results[0] if alone else results


class Ranking:
    """Texts in the order in which they answer a query, behind one call.

    Args:
        model: what `kzoo.rerank` takes: a `CrossEncoder`, a `TextClassifier` of pairs with one
            label or value, or a `LateInteraction`.
    """

    def __init__(self, model):
        scorer_of(model)  # What ranks nothing is refused here.
        self.model = model

    def __call__(self, inputs=None, top_k=None, query=None, texts=None):
        """The texts that answer a query, the best first.

        Args:
            inputs: {"query": a text, "texts": a list of texts}, or a list of such.
            top_k: how many come back; all by default.
            query, texts: the two by name, in the place of `inputs`.

        Returns:
            A list of {"index", "score", "text"}; for a list of queries a list of such lists.
        """
        inputs = {"query": query, "texts": texts} if inputs is None else inputs
        rows = [inputs] if isinstance(inputs, dict) else list(inputs)
        for row in rows:
            known = isinstance(row, dict) and set(row) == {"query", "texts"}
            is_list = known and isinstance(row["texts"], (list, tuple))
            if not is_list or not isinstance(row["query"], str):
                raise KzooError(
                    f'Got {row!r:.60}; expected {{"query": a text, "texts": a list of texts}}.'
                )
        found = [rerank(self.model, row["query"], row["texts"], top_k) for row in rows]
        return found[0] if isinstance(inputs, dict) else found


# Pipelines that several tasks may be behind, on what a call names.
ON_CALL = {
    "zero-shot-image-classification": ZeroShotImages,
    "zero-shot-audio-classification": ZeroShotSounds,
    "zero-shot-classification": ZeroShotText,
    "text-ranking": Ranking,
    "visual-question-answering": AnswersOfPictures,
}


class TextGeneration:
    """A `CausalLM` behind one call; `model` is the Keras model."""

    def __init__(self, model):
        self.model = model

    def __call__(self, inputs, batch_size=32, return_full_text=True, **options):
        """Write on from a text or a conversation, or from a list of either.

        Args:
            inputs: a string, or a conversation, [{"role": "user", "content": "Hello"}, ...], which
                the tokenizer's chat template makes a prompt of; or a list of either.
            batch_size: prompts that are written on at the same time.
            return_full_text: whether what comes back begins with the prompt: a text with its
                continuation, a conversation with one message more, an assistant's.
            options: those of `CausalLM.generate`.

        Returns:
            [{"generated_text": ...}], one dict for each of `num_return_sequences`; for a list a
            list of such lists.
        """
        alone = isinstance(inputs, str) or is_chat(inputs)
        prompts = [inputs] if alone else inputs
        if not isinstance(prompts, (list, tuple)) or not all(
            isinstance(prompt, str) or is_chat(prompt) for prompt in prompts
        ):
            raise KzooError(
                f"Got {inputs!r:.60} to write on from; expected a text, a conversation such as "
                '[{"role": "user", "content": "Hello"}], or a list of either.'
            )
        ids = [self._ids(prompt) for prompt in prompts]
        answers = self.model.writer.generate(ids, batch_size, **options)
        results = [
            [{"generated_text": _joined(prompt, a.text, return_full_text)} for a in rows]
            for prompt, rows in zip(prompts, answers, strict=True)
        ]
        return results[0] if alone else results

    def _ids(self, prompt):
        if isinstance(prompt, str):
            return self.model.prompt_ids([prompt])[0]
        return chat_ids(self.model.tokenizer, prompt)


class Rewriting:
    """A `Seq2SeqLM` behind one call; `model` is the Keras model.

    Args:
        model: the task.
        task: the pipeline's name. Where the model's config.json says what stands before a text for
            it (T5's "summarize: "), and how it is written, that holds; `prefix` can be changed.
    """

    ANSWERS = {"summarization": "summary_text", "text2text-generation": "generated_text"}

    def __init__(self, model, task):
        self.model = model
        self.key = self.ANSWERS.get(task, "translation_text")
        origin = getattr(model, "origin", None)
        known = (origin.config if origin else {}).get("task_specific_params") or {}
        self.prefix = known.get(task, {}).get("prefix", "")

    def __call__(self, inputs, batch_size=32, **options):
        """Write of a text, or of a list of texts.

        Args:
            inputs: a string or a list of them.
            batch_size: sources that are read at the same time.
            options: those of `Seq2SeqLM.generate`.

        Returns:
            [{"translation_text": ...}] ("summary_text" of a summary, "generated_text" of others),
            one dict for each of `num_return_sequences`; for a list of texts a list of as many
            dicts, or of such lists.
        """
        alone = isinstance(inputs, str)
        texts = [inputs] if alone else inputs
        if not isinstance(texts, (list, tuple)) or not all(isinstance(t, str) for t in texts):
            raise KzooError(f"Got {inputs!r:.60} to write of; expected a text or a list of texts.")
        ids = self.model.prompt_ids([self.prefix + text for text in texts])
        rows = self.model.write(ids, batch_size, **options)
        results = [[{self.key: each.text} for each in row] for row in rows]
        if alone:
            return results[0]
        return [row[0] if len(row) == 1 else row for row in results]


class WrittenAnswers:
    """Questions that a `Seq2SeqLM` answers in its own words (T5, arXiv:1910.10683, appendix D.15).

    Args:
        model: the task.

    `template` is the source that a question and its context become, T5's at first.
    """

    def __init__(self, model):
        self.model = model
        self.template = "question: {question} context: {context}"

    def __call__(self, inputs=None, batch_size=32, question=None, context=None, **options):
        """Answer one question or several.

        Args:
            inputs: a pair (question, context), as {"question": ..., "context": ...}, or a list of
                such.
            batch_size: sources that are read at the same time.
            question, context: as for `Pipeline`.
            options: those of `Seq2SeqLM.generate`.

        Returns:
            {"answer": ...}, or a list of as many as `num_return_sequences`; for a list of questions
            a list of such. What is written needn't stand in the context, and has no score.
        """
        if (question, context) != (None, None):
            inputs = _questions(inputs, question, context)
        is_pair = isinstance(inputs, tuple) and all(isinstance(each, str) for each in inputs)
        questions, contexts = split_pairs([inputs] if is_pair else inputs)
        if contexts is None:
            raise KzooError(
                f"Got {inputs!r:.60} to answer; expected questions with their contexts, such as "
                '{"question": ..., "context": ...}.'
            )
        pairs = zip(questions, contexts, strict=True)
        sources = [self.template.format(question=q, context=c) for q, c in pairs]
        rows = self.model.write(self.model.prompt_ids(sources), batch_size, **options)
        answers = [one_or_all([{"answer": each.text} for each in row]) for row in rows]
        return answers[0] if is_pair or isinstance(inputs, dict) else answers


def _joined(prompt, text, is_full):
    """What was written, behind its prompt where that is asked for."""
    if not is_full:
        return text
    if isinstance(prompt, str):
        return prompt + text
    return [*prompt, {"role": "assistant", "content": text}]


def _questions(inputs, question, context):
    """The inputs that `question=` and `context=` stand for."""
    if inputs is not None or question is None or context is None:
        raise KzooError(
            "Got one of question= and context= alone, or beside inputs; expected both, or inputs."
        )
    if isinstance(question, str) and isinstance(context, str):
        return {"question": question, "context": context}
    questions = [question] if isinstance(question, str) else list(question)
    contexts = [context] * len(questions) if isinstance(context, str) else list(context)
    if len(questions) != len(contexts):
        raise KzooError(
            f"Got {len(questions)} questions and {len(contexts)} contexts; expected one context "
            "for each, or one for all."
        )
    return list(zip(questions, contexts, strict=True))
