"""Pairs of sentences and hidden tokens at once, as in BERT's and ALBERT's papers."""

import keras
import numpy as np
import pytest
from test_corpus import SPEC
from test_tasks import tokenizer

import kzoo
from kzoo.data.sentence_pairs import FOLLOWS, OTHER, SentencePairs, chunks
from kzoo.data.tokens import Tokens, sentences_of
from kzoo.errors import KzooError
from kzoo.models import build

ROOM = 60


def numbered(documents=40, seed=0):
    """Documents of sentences of several lengths, whose tokens are their places."""
    draw = np.random.default_rng(seed)
    sizes = [draw.integers(3, 20, draw.integers(2, 12)) for _ in range(documents)]
    sentences = np.concatenate([[0], np.cumsum(np.concatenate(sizes))])
    edges = np.concatenate([[0], np.cumsum([len(each) for each in sizes])])
    return Tokens(np.arange(sentences[-1]), sentences, edges)


def owner(tokens, place):
    """The document in which a token stands."""
    sentence = np.searchsorted(tokens.sentences, place, side="right") - 1
    return int(np.searchsorted(tokens.documents, sentence, side="right") - 1)


@pytest.mark.parametrize("relation", ["next_sentence", "sentence_order"])
def test_half_of_the_pairs_are_what_they_seem(relation):
    tokens = numbered()
    found, alone = chunks(tokens, None, ROOM)
    pairs = SentencePairs(tokens, found, None, relation, ROOM)
    assert not alone and set(found[:, 2]) == set(range(40))
    labels, short, whole = [], [], []
    for number in range(len(found)):
        for seed in range(30):
            one, two, label = pairs(number, np.random.default_rng([seed, number]))
            size = sum(end - begin for begin, end in (one, two))
            assert one[0] < one[1] and two[0] < two[1] and size <= pairs.lengths()[number]
            labels.append(label)
            short.append(size < pairs.lengths()[number] // 2)
            owners = {owner(tokens, place) for place in (one[0], one[1] - 1)}
            others = {owner(tokens, place) for place in (two[0], two[1] - 1)}
            assert owners == {found[number, 2]} and len(others) == 1
            if label == OTHER and relation == "next_sentence":
                assert others != owners
                continue
            assert others == owners
            first, second = (two, one) if label == OTHER else (one, two)
            assert first[1] <= second[0]
            whole.append(second[0] - first[1] == 0)
    assert abs(np.mean(labels) - 0.5) < 0.02 and set(labels) == {FOLLOWS, OTHER}
    assert 0.02 < np.mean(short) < 0.25  # Some are short, so that the model sees short ones.
    assert np.mean(whole) > 0.5  # Most have lost nothing between the two.


def test_chunks_hold_every_sentence_in_order():
    tokens = numbered(seed=3)
    found, _ = chunks(tokens, np.array([1, 4, 7]), ROOM)
    for row in (1, 4, 7):
        own = found[found[:, 2] == row]
        assert own[0, 0] == tokens.documents[row] and own[-1, 1] == tokens.documents[row + 1]
        assert ((own[1:, 0] == own[:-1, 1]) | (own[1:, 0] == own[:-1, 1] - 1)).all()
        assert (own[:, 1] - own[:, 0] >= 2).all()
        sizes = tokens.sentences[own[:, 1]] - tokens.sentences[own[:, 0]]
        assert ((sizes <= ROOM) | (own[:, 1] - own[:, 0] == 2)).all()


def test_batches_have_both_targets_and_other_ones_in_each_epoch():
    task = kzoo.PreTraining(build(SPEC), tokenizer=tokenizer())
    documents = ["the film is good. he was in paris. my dog is fine.", ["a dog", "not a film"]] * 4
    plan = task.batches(documents, batch_size=8, seed=2).plan
    rows, shown = np.arange(plan.size), {}
    for epoch in (0, 1, 0):
        inputs, targets = plan.learned(rows, epoch, 1)
        ids, segments = inputs["token_ids"], inputs["segment_ids"]
        mask = inputs["padding_mask"] == 1
        assert (ids[:, 0] == 2).all() and ((ids == 3).sum(1) == 2).all()  # [CLS] A [SEP] B [SEP]
        assert (segments[mask] == (np.cumsum(ids == 3, 1) - (ids == 3) > 0)[mask]).all()
        hidden = targets["logits"] != -100
        assert (hidden.sum(1) >= 1).all() and not hidden[np.isin(ids, [2, 3])].any()
        again = shown.setdefault(epoch, (ids, targets["pair_logits"]))
        assert (again[0] == ids).all() and (again[1] == targets["pair_logits"]).all()
    measured = [plan.batch(rows)[0]["token_ids"] for _ in range(2)]
    assert (measured[0] == measured[1]).all()
    assert shown[0][0].shape != shown[1][0].shape or (shown[0][0] != shown[1][0]).any()
    labels = [plan.learned(rows, epoch, 1)[1]["pair_logits"] for epoch in range(40)]
    assert (np.mean(labels, 0) > 0.2).all() and (np.mean(labels, 0) < 0.8).all()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two? Three!", ["One.", "Two?", "Three!"]),
        ('He said "no." Then he left.', ['He said "no."', "Then he left."]),
        ("3.5 is one\n\n and here. Two\n", ["3.5 is one", "and here. Two"]),
    ],
)
def test_sentences_are_lines_or_end_in_a_stop(text, expected):
    assert sentences_of(text) == expected


def test_it_learns_in_which_order_sentences_stand():
    keras.utils.set_random_seed(0)
    # Behind post-norm the usual range of 0.02 is too small for a network so narrow.
    sizes = {"hidden_dim": 32, "intermediate_dim": 32, "initializer_range": 0.2}
    spec = SPEC.replace(**sizes, dropout=0.0, attention_dropout=0.0)
    task = kzoo.PreTraining(build(spec), tokenizer=tokenizer(), pairs="sentence_order")
    task.compile(optimizer=kzoo.AdamW(5e-3))
    documents = [["he lives", "in paris", "my dog", "is fine"]] * 64
    history = task.fit(documents, epochs=15, batch_size=8, verbose=0).history
    assert history["pair_accuracy"][-1] > 0.9 and history["accuracy"][-1] > 0.5
    scores = task.predict_pairs([("he lives", "in paris"), ("my dog", "he lives in paris")])
    assert scores[0, FOLLOWS] > 0.5 > scores[1, FOLLOWS]


@pytest.mark.parametrize(
    ("documents", "options", "message"),
    [
        (["a film", ["a dog"]], {}, "All of the 2 documents have a single sentence; expected two"),
        ([["a film", "a dog"]], {}, "Got one document for next_sentence; expected two at least"),
        (["a film\na dog"] * 2, {"max_length": 4}, "expected places for two tokens"),
        ([["a film", 3]] * 2, {}, "document 0 with what is no text; expected sentences"),
    ],
)
def test_documents_without_pairs_are_refused(documents, options, message):
    with pytest.raises(KzooError, match=message):
        kzoo.PreTraining(build(SPEC), tokenizer=tokenizer(), **options).batches(documents)


def test_a_network_must_read_pairs():
    with pytest.raises(KzooError, match="without a pooler; expected one, which reads the pair"):
        kzoo.PreTraining(build(SPEC.replace(pooler="none")), tokenizer=tokenizer())
    segments = {"kind": "token", "vocabulary_size": 80, "num_segments": 0}
    with pytest.raises(KzooError, match="without segments; expected num_segments of 2"):
        kzoo.PreTraining(build(SPEC.replace(embedding=segments)), tokenizer=tokenizer())
    with pytest.raises(KzooError, match="the pairs 'random'; expected one of next_sentence"):
        kzoo.PreTraining(build(SPEC), tokenizer=tokenizer(), pairs="random")
