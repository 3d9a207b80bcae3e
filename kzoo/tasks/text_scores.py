"""How near texts that were written are to those that were expected: BLEU, chrF, ROUGE, exact."""

import keras

from ..errors import KzooError
from ..values import is_whole


def exact(written, expected):
    """The share of texts that are the expected one to the character, but for blanks around it."""
    pairs = zip(written, expected, strict=True)
    return {"exact": sum(a.strip() == b.strip() for a, b in pairs) / len(expected)}


def bleu(written, expected):
    """BLEU of the whole (Papineni et al. 2002), 0 to 100, by sacrebleu (arXiv:1804.08771)."""
    return {"bleu": _sacrebleu().corpus_bleu(list(written), [list(expected)]).score}


def chrf(written, expected):
    """chrF2 of the whole (Popović 2015), 0 to 100, by sacrebleu."""
    return {"chrf": _sacrebleu().corpus_chrf(list(written), [list(expected)]).score}


def rouge(written, expected):
    """ROUGE-1, -2 and -L (Lin 2004): mean F1, 0 to 100, with stemmed words, by rouge-score."""
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError:
        raise _missing("rouge-score") from None
    names = ("rouge1", "rouge2", "rougeL")
    scorer = RougeScorer(names, use_stemmer=True)
    rows = [scorer.score(b, a) for a, b in zip(written, expected, strict=True)]
    return {name: 100 * sum(row[name].fmeasure for row in rows) / len(rows) for name in names}


SCORES = {"exact": exact, "bleu": bleu, "chrf": chrf, "rouge": rouge}


def text_scores(written, expected, scores):
    """Several of `SCORES` by name, as {name: number}.

    Args:
        written: texts.
        expected: as many texts.
        scores: names, such as ("bleu", "chrf").

    Raises:
        KzooError: for a name that is none, and where a package is missing.
    """
    scores = check_scores(scores)
    for texts in (written, expected):
        if not isinstance(texts, (list, tuple)) or not all(isinstance(t, str) for t in texts):
            raise KzooError(f"Got {texts!r:.40} to score; expected a list of texts.")
    if not expected or len(written) != len(expected):
        raise KzooError(
            f"Got {len(written)} texts to score against {len(expected)}; expected one of each at "
            "least, and as many of both."
        )
    found = {}
    for name in scores:
        found |= SCORES[name](written, expected)
    return found


def check_scores(scores):
    """Names of `SCORES` as a tuple; KzooError for what is none."""
    scores = (scores,) if isinstance(scores, str) else tuple(scores or ())
    unknown = [name for name in scores if name not in SCORES]
    if unknown:
        raise KzooError(f"Got the score {unknown[0]!r:.40}; expected some of {', '.join(SCORES)}.")
    return scores


def _sacrebleu():
    try:
        import sacrebleu
    except ImportError:
        raise _missing("sacrebleu") from None
    return sacrebleu


def _missing(package):
    return KzooError(f"{package} is not installed: pip install 'kzoo[scores]'.")


class WrittenScores(keras.callbacks.Callback):
    """Write of some sources at the end of an epoch, and log how near that is to their targets.

    Args:
        x: sources, or pairs of a source and a target.
        y: the targets, where x holds none.
        scores: names of `SCORES`.
        every: after how many epochs.
        options: of `Seq2SeqLM.generate`.

    The logs, and so Keras' `History` and callbacks behind this one, get `val_bleu` and the like.
    """

    def __init__(self, x, y=None, scores=("bleu", "chrf"), every=1, **options):
        super().__init__()
        check_scores(scores)
        if not is_whole(every, 1):
            raise KzooError(f"Got every = {every!r:.40}; expected a whole number of epochs from 1.")
        self.given, self.scores, self.every, self.options = (x, y), scores, every, options

    def on_train_begin(self, logs=None):
        """Score one source: what is wrong with sources or options is said before the training."""
        sources, targets = self.model.sources_and_targets(*self.given)
        self.model.score(sources[:1], targets[:1], scores=self.scores, **self.options)

    def on_epoch_end(self, epoch, logs=None):
        """Score, where it is this epoch's turn."""
        if (epoch + 1) % self.every == 0:
            found = self.model.score(*self.given, scores=self.scores, **self.options)
            logs.update({f"val_{name}": value for name, value in found.items()})
