"""`pipeline("sentiment-analysis")("I loved it")`: the familiar call on the familiar answers."""

from pathlib import Path

from .answers import PROBLEMS
from .errors import KzooError

SENTIMENT = "bert_minilm_l3_en_uncased.sst2"

# What users call a task: the class that does it, the rules by which such a task answers, and the
# preset that ships for it.
PIPELINES = {
    "sentiment-analysis": ("TextClassifier", PROBLEMS, SENTIMENT),
    "text-classification": ("TextClassifier", PROBLEMS, SENTIMENT),
    "feature-extraction": ("TextEmbedder", ("embedding",), None),
    "token-classification": ("TokenClassifier", ("entities",), None),
    "ner": ("TokenClassifier", ("entities",), None),
    "question-answering": ("QuestionAnswering", ("span",), None),
    "fill-mask": ("MaskedLM", ("candidates",), None),
}


def pipeline(task, model=None):
    """A function from text to plain Python answers.

    Args:
        task: "sentiment-analysis", "text-classification", "feature-extraction", "ner" (also
            "token-classification"), "question-answering" or "fill-mask".
        model: a task model, a preset's name or folder, or a Hugging Face folder; the preset that
            ships for the task by default.

    Returns:
        A callable. It takes a string or a list of strings (pairs for question answering), or
        dicts such as {"question": ..., "context": ...}, which question answering takes as
        `qa(question=..., context=...)` too; one dict has one answer. It gives for classification
        a list of {"label", "score"}, with `top_k=None` a list of all labels an input, where a
        score is a probability or for regression the value; for embeddings a list of lists of
        numbers; for the others what the task's `predict` gives.
    """
    if task not in PIPELINES:
        raise KzooError(f"No pipeline is called {task!r}; known: {', '.join(PIPELINES)}.")
    name, rules, default = PIPELINES[task]
    if model is None and default is None:
        raise KzooError(f"No model ships for {task!r}: give model=, a preset or a folder.")
    model = default if model is None else model
    if isinstance(model, (str, Path)):
        from . import presets

        model = presets.load(model)
    if getattr(model, "rule", None) not in rules:
        raise KzooError(f"{task!r} needs a {name}; a {type(model).__name__} came.")
    return Pipeline(model)


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
