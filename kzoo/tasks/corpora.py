"""What tasks that learn from raw text share: a `kzoo.Corpus` in the place of a list of texts."""

import numpy as np

from ..data.corpus import Corpus
from ..errors import KzooError
from .inputs import as_list


def texts_of(x):
    """See `inputs.as_list`; a corpus as it is."""
    return x if isinstance(x, Corpus) else as_list(x)


def documents_of(x):
    """A corpus, or a list of documents: texts, or lists of sentences."""
    if isinstance(x, Corpus):
        return x
    nested = isinstance(x, (list, tuple)) and any(isinstance(each, (list, tuple)) for each in x)
    return list(x) if nested else as_list(x)


def tokens_of(corpus, tokenizer, **options):
    """The `Tokens` of a corpus; of several workers one writes them, and all read."""
    from ..training.strategy import among_workers

    with among_workers().chief_first():
        return corpus.tokens(tokenizer, **options)


def check_unweighted(corpus, sample_weight):
    """Raise KzooError for weights of documents, which are cut into examples."""
    if sample_weight is not None:
        raise KzooError(
            f"Got sample_weight for {corpus!r}, whose documents are cut; expected none: leave it "
            "out."
        )


class ReadsCorpora:
    """A task that takes a `Corpus`; it stands before `TextTask`."""

    as_inputs = staticmethod(texts_of)

    @classmethod
    def hold_out(cls, examples, share, seed):
        """See `Task`; of a corpus by arrays of numbers."""
        if not isinstance(examples.x, Corpus):
            return super().hold_out(examples, share, seed)
        count, draw = len(examples), np.random.default_rng(seed)
        order = draw.permutation(count)
        held = round(share * count)
        if not 0 < held < count:
            raise KzooError(f"validation {share} of {count} documents leaves one side empty.")
        return examples.part(order[held:]), examples.part(order[:held])
