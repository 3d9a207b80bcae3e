"""From raw outputs to what a user asked for, with NumPy alone: the same on every runtime."""

import numpy as np


def probabilities(logits):
    """Softmax over the last axis, in float64; a sigmoid where there is one logit."""
    logits = np.asarray(logits, "float64")
    if logits.shape[-1] == 1:
        return 1 / (1 + np.exp(-logits))
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def classification(outputs, labels):
    """{"label", "score", "scores"}: the likeliest label, its probability, and all of them."""
    row = probabilities(outputs["logits"])[0]
    if len(labels) == 1:
        return {"label": labels[0], "score": float(row[0]), "scores": {labels[0]: float(row[0])}}
    best = int(row.argmax())
    scores = {label: float(score) for label, score in zip(labels, row, strict=True)}
    return {"label": labels[best], "score": float(row[best]), "scores": scores}


def embedding(outputs, labels):
    """{"embedding"}: the vector as a list."""
    return {"embedding": [float(value) for value in outputs["embedding"][0]]}


# The tasks that `kzoo predict` answers; a bundle of another task can be verified all the same.
ANSWERS = {"TextClassifier": classification, "TextEmbedder": embedding}
