"""Vectors of words from what stands near them: which pairs are learnt, from what, and how well."""

import keras
import numpy as np
import pytest

import kzoo
from kzoo.data.near import NearPlan, counts_of, pairs, shares_kept
from kzoo.errors import KzooError
from kzoo.network import weights_by_path

ANIMALS, TOOLS = ("cat", "dog", "cow"), ("saw", "axe", "hoe")


def texts(count=600):
    """Sentences in which an animal eats and a tool cuts, with a word that all have."""
    draw = np.random.default_rng(0)
    return [
        f"the {draw.choice(ANIMALS)} eats and drinks"
        if draw.random() < 0.5
        else f"the {draw.choice(TOOLS)} cuts and breaks"
        for _ in range(count)
    ]


def task(**options):
    keras.utils.set_random_seed(0)
    return kzoo.SkipGram.of_texts(texts(), **{"dim": 8, "least": 2, "threshold": 0, **options})


# -- what is learnt from ---------------------------------------------------------------------------


@pytest.mark.parametrize(("window", "length"), [(1, 4), (3, 9), (5, 3), (5, 1), (2, 0)])
def test_a_word_is_paired_with_all_within_its_reach(window, length):
    text = 10 + np.arange(length)
    words, near = pairs(text, window, np.random.default_rng(3))
    reach = np.random.default_rng(3).integers(1, window + 1, length)
    assert {*zip(words.tolist(), near.tolist(), strict=True)} == {
        (text[i], text[j])
        for i in range(length)
        for j in range(length)
        if i != j and abs(i - j) <= reach[i]
    }
    assert len(words) == len(near) == len({*zip(words.tolist(), near.tolist(), strict=True)})


def test_frequent_words_are_left_out_and_others_drawn_by_their_counts():
    """The paper's powers and shares, of what a plan gives; special tokens are in neither."""
    draw = np.random.default_rng(0)
    shares = np.array([0.0, 0.0, 0.6, 0.3, 0.08, 0.02])
    ids = [draw.choice(6, 400, p=shares).astype("int32") for _ in range(50)]
    ids[0][:20] = 1
    counts = counts_of(ids, 6, but=(0, 1))
    assert counts[:2].tolist() == [0, 0] and counts.sum() == 50 * 400 - 20
    kept = shares_kept(counts, 0.05)
    assert kept[0] == 0 and kept[5] > 1
    f = counts[2] / counts.sum()
    np.testing.assert_allclose(kept[2], np.sqrt(0.05 / f) + 0.05 / f)
    plan = NearPlan(ids, counts, 1, 3, 0.05, batch_size=50, seed=1)
    inputs, targets = plan.learned(np.arange(50), 0, 1)
    mask = inputs["padding_mask"] == 1
    assert (targets[mask] == 0).all() and (targets[~mask] == -100).all() and plan.tokens == 20_000
    drawn = np.concatenate([inputs[f"near_{n}"][mask] for n in (1, 2, 3)])
    expected = counts**0.75 / (counts**0.75).sum()
    np.testing.assert_allclose(np.bincount(drawn, minlength=6) / len(drawn), expected, atol=0.01)
    found = np.bincount(inputs["token_ids"][mask], minlength=6)
    expected = counts * np.minimum(kept, 1)
    np.testing.assert_allclose(found / found.sum(), expected / expected.sum(), atol=0.01)
    again, other = (plan.learned(np.arange(50), epoch, 1)[0]["near_1"] for epoch in (0, 1))
    assert (again == inputs["near_1"]).all()
    assert again.shape != other.shape or (again != other).any()


def test_the_loss_is_that_of_the_paper():
    """Of a pair -log s(v u) - sum of log s(-v u'), over 1 + drawn; a drawn one that is it, none."""
    made = task(drawn=2)
    made.compile()
    draw = np.random.default_rng(0)
    for weight in weights_by_path(made).values():
        weight.assign(draw.normal(size=weight.shape))
    ids, near = np.array([[2, 3, 4]]), np.array([[[5, 6, 7], [6, 6, 2], [2, 2, 2]]])
    inputs = {f"near_{n}": near[..., n] for n in range(3)}
    inputs |= {"token_ids": ids, "padding_mask": np.array([[1, 1, 0]])}
    y = np.array([[0, 0, -100]])
    actual = made.compute_loss(inputs, y, made(inputs))
    table = np.asarray(made.backbone.embedding.embeddings, "float64")
    beside = np.asarray(made.head.near, "float64")
    expected = []
    for place in (0, 1):
        right, *others = near[0, place]
        scores = [table[ids[0, place]] @ beside[n] for n in (right, *others)]
        terms = [np.logaddexp(0, -scores[0])]
        pairs_ = zip(others, scores[1:], strict=True)
        terms += [np.logaddexp(0, score) for other, score in pairs_ if other != right]
        expected.append(sum(terms) / 3)
    np.testing.assert_allclose(float(actual), np.mean(expected), rtol=1e-5)


# -- what comes of it ------------------------------------------------------------------------------


def test_words_of_a_like_use_become_alike_and_come_back(tmp_path):
    made = task(window=2)
    made.compile(kzoo.AdamW(0.02, weight_decay=0.0))
    history = made.fit(texts(), epochs=12, batch_size=32, verbose=0, seed=1).history
    assert history["loss"][-1] < history["loss"][0] - 0.05
    for kind in (ANIMALS, TOOLS):
        for word, nearest in zip(kind, made.predict(list(kind), top=2), strict=True):
            assert {each for each, _ in nearest} == {*kind} - {word}
    made.save_preset(tmp_path / "preset")
    made.save(tmp_path / "task.keras")
    for again in (kzoo.load(tmp_path / "preset"), keras.models.load_model(tmp_path / "task.keras")):
        assert type(again) is kzoo.SkipGram and (again.window, again.drawn) == (2, 5)
        assert again.predict("cat") == made.predict("cat")
        columns = made.tokenize(["the cat", "an axe"])
        logits = [np.asarray(each(columns)["logits"]) for each in (made, again)]
        np.testing.assert_array_equal(*logits)
    embedder = kzoo.TextEmbedder(made)
    np.testing.assert_array_equal(
        np.asarray(embedder.backbone.embedding.embeddings),
        np.asarray(made.backbone.embedding.embeddings),
    )


def test_files_are_learnt_from_as_a_list_is(tmp_path):
    """A corpus and the list of its lines give the same weights, in a recipe as well.

    Longer texts than are learnt from at once are cut and not cut off.
    """
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("\n".join(texts(60)) + "\n")
    weights = []
    for x in (texts(60), kzoo.Corpus(tmp_path / "texts", "line", cache=tmp_path / "ids")):
        keras.utils.set_random_seed(0)
        made = kzoo.SkipGram.of_texts(x, dim=4, least=1, max_length=3)
        made.compile(kzoo.AdamW(0.01))
        made.fit(x, epochs=2, verbose=0)
        weights.append([np.asarray(each) for each in weights_by_path(made).values()])
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)
    made.save_preset(tmp_path / "start")
    recipe = {"model": str(tmp_path / "start"), "task": "SkipGram", "epochs": 1, "text": "line"}
    recipe |= {"train": str(tmp_path / "texts"), "output": str(tmp_path / "out")}
    trained, _ = kzoo.train(recipe, verbose=0)
    assert type(kzoo.load(tmp_path / "out")) is type(trained) is kzoo.SkipGram


def test_what_gives_no_vectors_is_refused():
    with pytest.raises(KzooError, match="no word stands 900 times; expected some"):
        task(least=900)
    with pytest.raises(KzooError, match="Got dim = 0; expected a whole number from 1"):
        task(dim=0)
    with pytest.raises(KzooError, match="Got window = 0; expected a whole number from 1"):
        task(window=0)
    with pytest.raises(KzooError, match="Got threshold = -1; expected a share"):
        task(threshold=-1)
    with pytest.raises(KzooError, match="Got a bert, in which words change each other's vectors"):
        kzoo.SkipGram("bert_tiny_en_uncased")
    made = task()
    made.compile()
    with pytest.raises(KzooError, match="texts with 0 words that the tokenizer knows"):
        made.fit(["zebra"])
    with pytest.raises(KzooError, match="fit of a SkipGram takes texts alone"):
        made.fit(["the cat"], [1])
    with pytest.raises(KzooError, match="Text 1 holds no word of the vocabulary"):
        made.predict(["cat", "zebra"])
