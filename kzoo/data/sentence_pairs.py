"""Two stretches of text, and whether the second follows the first.

BERT's next sentence: half of the time the second is of another document (arXiv:1810.04805, section
3.1 and appendix A.2). ALBERT's sentence order: half of the time the two have changed places
(arXiv:1909.11942, section 3.1). Tokens are hidden in both, see `masked`. A tenth of the examples is
short, of a length that is drawn.
"""

import numpy as np

from ..errors import KzooError

FOLLOWS, OTHER = 0, 1  # As in transformers: the second follows, or it doesn't.
SHORT = 0.1  # share of examples that are shorter than there is room for
RELATIONS = ("next_sentence", "sentence_order")


def check_relation(name):
    """Raise KzooError for what is no name of how two stretches of text may stand."""
    if name not in RELATIONS:
        raise KzooError(f"Got the pairs {name!r:.40}; expected one of {', '.join(RELATIONS)}.")


def chunks(tokens, rows, room):
    """Sentences in a row that fill `room` tokens together, two at least, of one document each.

    Args:
        tokens: `Tokens`.
        rows: numbers of documents, or None for all.
        room: tokens of an example.

    Returns:
        (first sentence, behind the last, document) of each, int64 (chunks, 3), and how many
        documents were left out since they have a single sentence.
    """
    found, alone = [], 0
    for row in range(len(tokens.documents) - 1) if rows is None else rows.tolist():
        first, last = (int(each) for each in tokens.documents[row : row + 2])
        if last - first < 2:
            alone += 1
            continue
        edges = np.asarray(tokens.sentences[first : last + 1])
        start = 0
        while start < last - first - 1:
            fits = int(np.searchsorted(edges, edges[start] + room, side="right")) - 1
            end = max(fits, start + 2)
            found.append((first + start, first + end, row))
            # A sentence alone at the end is no pair: the one before it is shown twice.
            start = end - 1 if end == last - first - 1 else end
    return np.array(found, "int64").reshape(-1, 3), alone


class SentencePairs:
    """Draws pairs from chunks of sentences, as (first ids, second ids, label) and word beginnings.

    Args:
        tokens: `Tokens`.
        found: what `chunks` gives.
        rows: the documents that a second stretch may be of, or None for all.
        relation: one of `RELATIONS`.
        room: tokens of both at most.
    """

    def __init__(self, tokens, found, rows, relation, room):
        self.tokens, self.chunks, self.relation, self.room = tokens, found, relation, room
        self.rows = rows
        self.count = len(tokens.documents) - 1 if rows is None else len(rows)
        if relation == "next_sentence" and self.count < 2:
            raise KzooError(
                "Got one document for next_sentence; expected two at least, for half of the "
                "sentences are of another: part documents by blank lines, or take sentence_order."
            )

    def lengths(self):
        """The most tokens that the pair of each chunk has."""
        edges = self.tokens.sentences
        return np.minimum(edges[self.chunks[:, 1]] - edges[self.chunks[:, 0]], self.room)

    def __call__(self, number, draw):
        """Two spans of the tokens as (begin, end), and the label."""
        first, last, document = self.chunks[number].tolist()
        edges = self.tokens.sentences
        cut = first + int(draw.integers(1, last - first))
        one, two = (int(edges[first]), int(edges[cut])), (int(edges[cut]), int(edges[last]))
        most = max(2, min(two[1] - one[0], self.room))
        if draw.random() < SHORT:
            most = int(draw.integers(2, most + 1))
        label = FOLLOWS if draw.random() < 0.5 else OTHER
        if label == OTHER and self.relation == "next_sentence":
            two = self._elsewhere(document, most - (one[1] - one[0]), draw)
        one, two = _trimmed(one, two, most, draw)
        if label == OTHER and self.relation == "sentence_order":
            one, two = two, one
        return one, two, label

    def _elsewhere(self, document, size, draw):
        """Sentences from anywhere in another document, of so many tokens together."""
        tokens = self.tokens
        begin = end = 0
        while begin == end:  # A document may be empty.
            other = self._other(document, draw)
            first, last = (int(each) for each in tokens.documents[other : other + 2])
            if first < last:
                at = int(draw.integers(first, last))
                begin = int(tokens.sentences[at])
                edges = np.asarray(tokens.sentences[at : min(last, at + max(1, size)) + 1])
                fits = int(np.searchsorted(edges, begin + size, side="left"))
                end = int(edges[min(max(fits, 1), len(edges) - 1)])
        return begin, end

    def _other(self, document, draw):
        number = int(draw.integers(0, self.count - 1))
        if self.rows is None:
            return number + (number >= document)
        return int(self.rows[number + (self.rows[number] >= document)])


def _trimmed(one, two, most, draw):
    """Both spans without what is too much: the longer loses first, at either end by chance."""
    sizes = [one[1] - one[0], two[1] - two[0]]
    if sum(sizes) > most:
        half = most // 2
        if sizes[1] <= half:
            sizes[0] = most - sizes[1]
        elif sizes[0] <= most - half:
            sizes[1] = most - sizes[0]
        else:
            sizes = [most - half, half]
    cut = []
    for (begin, end), size in zip((one, two), sizes, strict=True):
        begin += int(draw.binomial(end - begin - size, 0.5))
        cut.append((begin, begin + size))
    return cut
