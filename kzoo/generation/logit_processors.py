"""What changes the scores of the next token before one is chosen.

Each function takes scores (rows, vocabulary) in float32 and gives new ones; what may not come has
-inf. Semantics are those of transformers' processors of the same names. `processed` has their
order.
"""

import numpy as np

NEVER = np.float32(-np.inf)


def repetition_penalty(scores, seen, penalty):
    """Make tokens that stand before less likely (arXiv:1909.05858).

    Args:
        scores: (rows, vocabulary).
        seen: whether a token is in the row, (rows, vocabulary).
        penalty: above 1 makes them less likely.
    """
    penalty = np.float32(penalty)
    return np.where(seen, np.where(scores < 0, scores * penalty, scores / penalty), scores)


def no_repeat_ngram(scores, history, size):
    """Forbid each token that would complete `size` tokens in a row that the row already has.

    Args:
        scores: (rows, vocabulary).
        history: the rows' tokens, (rows, length), those of shorter rows on the right and -1 before.
        size: tokens in a row.
    """
    if history.shape[1] < size:
        return scores
    windows = np.lib.stride_tricks.sliding_window_view(history, size, axis=1)
    last = history[:, None, history.shape[1] - size + 1 :]
    row, place = np.nonzero((windows[..., :-1] == last).all(-1) & (windows[..., -1] >= 0))
    scores = scores.copy()
    scores[row, windows[row, place, -1]] = NEVER
    return scores


def without(scores, ids):
    """Forbid some tokens."""
    scores = scores.copy()
    scores[:, list(ids)] = NEVER
    return scores


def only(scores, ids):
    """Forbid all tokens but some, which are certain."""
    certain = np.full_like(scores, NEVER)
    certain[:, list(ids)] = 0
    return certain


def temperature(scores, value):
    """Divide scores: above 1 the choice is more varied."""
    return scores / np.float32(value)


def top_k(scores, k):
    """Keep the k likeliest tokens, and those as likely as the last of them."""
    k = min(k, scores.shape[-1])
    least = np.partition(scores, -k, axis=-1)[:, -k, None]
    return np.where(scores < least, NEVER, scores)


def top_p(scores, p):
    """Keep the likeliest tokens, down to the one with which their probabilities reach p."""
    order = np.argsort(scores, axis=-1, kind="stable")
    mass = np.cumsum(softmax(np.take_along_axis(scores, order, -1)), -1, dtype="float64")
    gone = mass.astype("float32") <= np.float32(1.0 - p)
    gone[:, -1] = False
    dropped = np.empty_like(gone)
    np.put_along_axis(dropped, order, gone, -1)
    return np.where(dropped, NEVER, scores)


def min_p(scores, p):
    """Keep tokens at least p times as likely as the likeliest."""
    probabilities = softmax(scores)
    best = probabilities.max(-1, keepdims=True)
    return np.where(probabilities < np.float32(p) * best, NEVER, scores)


def processed(scores, options, history):
    """Scores after all that `options` asks for, in transformers' order.

    Args:
        scores: logits, or of beams log-probabilities, (rows, vocabulary) float32.
        options: a `Generation`.
        history: what the rows hold: `seen(size)`, see `repetition_penalty`, or None; `tokens`, see
            `no_repeat_ngram`; and `count`, how many of them are new.
    """
    seen = history.seen(scores.shape[-1])
    if seen is not None:
        scores = repetition_penalty(scores, seen, options.repetition_penalty)
    if options.no_repeat_ngram_size:
        scores = no_repeat_ngram(scores, history.tokens, options.no_repeat_ngram_size)
    if options.forbidden_token_ids:
        scores = without(scores, options.forbidden_token_ids)
    if history.count < options.min_new_tokens and options.end_token_ids:
        scores = without(scores, options.end_token_ids)
    if history.count < len(options.forced_token_ids):
        scores = only(scores, [options.forced_token_ids[history.count]])
    if options.ends_at_last and history.count == options.max_new_tokens - 1:
        scores = only(scores, options.end_token_ids)
    if options.temperature is not None:
        scores = temperature(scores, options.temperature)
    if options.top_k is not None:
        scores = top_k(scores, options.top_k)
    if options.top_p is not None and options.top_p < 1:
        scores = top_p(scores, options.top_p)
    if options.min_p is not None:
        scores = min_p(scores, options.min_p)
    return scores


def softmax(scores):
    """Probabilities along the last axis; a score of -inf has none."""
    exponents = np.exp(scores - scores.max(-1, keepdims=True))
    return exponents / exponents.sum(-1, keepdims=True)


def log_softmax(scores):
    """Log-probabilities along the last axis."""
    shifted = scores - scores.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
