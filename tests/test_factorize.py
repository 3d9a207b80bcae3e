"""Maps and tables of low rank: what they compute, how near they are, and what they go through."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from bundles import LABELS, noisy_task
from families import SPECS, add_noise, inputs_of, noisy, one_block, shared, tokens, words
from test_causal_lm import byte_tokenizer
from test_tasks import tokenizer

import kzoo
from kzoo.checkpoints import to_huggingface
from kzoo.compression import factorize, multiplied_out
from kzoo.litert.flatbuffer import read_model
from kzoo.models import build
from kzoo.network import frozen, weights_by_path
from kzoo.parts import option
from kzoo.spec import Spec, Towers

TEXTS = ["the film is good", "a very dull film", "my dog lives in paris ", "is it good?"]


def arrays(model):
    return {path: np.asarray(weight) for path, weight in weights_by_path(model).items()}


def near(one, other, atol=1e-5):
    assert set(one) == set(other)
    for name in one:
        np.testing.assert_allclose(np.asarray(one[name]), np.asarray(other[name]), atol=atol)


def products(model):
    """The whole kernel of each map of low rank, by path."""
    held, found = arrays(model), {}
    ends = {"reduce/kernel": ("kernel", "kernel"), "embeddings": ("expand/kernel", "embeddings")}
    for path, one in held.items():
        for end, (other, whole) in ends.items():
            layer = path.removesuffix(end)
            if path.endswith(f"/{end}") and f"{layer}{other}" in held:
                found[f"{layer}{whole}"] = one @ held[f"{layer}{other}"]
    return found


def one_of_each(spec):
    """The spec with one block in each stack."""
    if isinstance(spec, Towers):
        return spec.replace(towers={n: one_of_each(tower) for n, tower in spec.towers.items()})
    return spec.replace(schedule=tuple(step for step in spec.schedule if not step))


@pytest.mark.parametrize("family", ["bert", "albert", "gpt2", "palm", "t5", "vit"])
def test_at_full_rank_a_model_answers_as_before(family):
    model = add_noise(build(one_of_each(SPECS[family])))
    inputs = inputs_of(model.spec)
    embedding = True if "token_ids" in model.signature else None
    copy, report = factorize(model, rank=1.0, embedding=embedding, data=[inputs])
    assert all(entry["rank"] == min(entry["shape"]) for entry in report["maps"].values())
    assert len(products(copy)) == len(report["maps"]) + len(report["tables"])
    # Scores that T5 doesn't scale are large on noise.
    near(copy(inputs), model(inputs), atol=1e-4 if family == "t5" else 1e-5)
    whole = multiplied_out(copy)
    assert whole.spec == model.spec
    for path, kernel in arrays(whole).items():
        np.testing.assert_allclose(kernel, arrays(model)[path], atol=1e-5)


def test_without_data_a_map_is_the_truncated_decomposition():
    model = shared("bert")
    copy, report = factorize(model, rank=5, maps=["up", "attention/key"], embedding=0.25)
    held = arrays(model)
    expected = {}
    for path in products(copy):
        u, s, v = np.linalg.svd(held[path].astype("float64"), full_matrices=False)
        rank = 8 if "embedding" in path else 5
        expected[path] = (u[:, :rank] * s[:rank]) @ v[:rank]
        entry = {**report["maps"], **report["tables"]}[path.rpartition("/")[0]]
        kept = (s[:rank] ** 2).sum() / (s**2).sum()
        np.testing.assert_allclose([entry["kept"], entry["error"]], [kept, np.sqrt(1 - kept)], 1e-4)
    assert len(expected) == 5
    for path, product in products(copy).items():
        np.testing.assert_allclose(product, expected[path], atol=1e-5)
    # The same numbers as whole matrices give the same outputs.
    inputs = inputs_of(model.spec)
    near(copy(inputs), model.under(model.spec, expected)(inputs))
    sizes = [sum(a.size for a in arrays(each).values()) for each in (model, copy)]
    assert report["parameters"] == {"before": sizes[0], "after": sizes[1]}
    assert report["bytes"]["after"] == 4 * sizes[1]


def test_with_data_maps_are_nearer_on_them_and_padding_is_none_of_them():
    model = noisy("bert", position="none")
    path = "block_0/attention/query"
    inputs = tokens(model.spec, batch=8)
    kept = inputs["padding_mask"] == 1
    states = np.asarray(model(inputs, return_hidden_states=True)["hidden_states"][0])[kept]
    before = arrays(model)
    truth = states @ before[f"{path}/kernel"] + before[f"{path}/bias"]

    def lost(copy):
        kernel, bias = products(copy)[f"{path}/kernel"], arrays(copy)[f"{path}/bias"]
        return states @ kernel + bias - truth

    plain = factorize(model, rank=6)[0]
    weighted = factorize(model, rank=6, data=[inputs])[0]
    assert np.linalg.norm(lost(weighted)) < 0.8 * np.linalg.norm(lost(plain))
    shares = 1 / (states**2).sum(1, keepdims=True)
    mean = (lost(weighted) * shares).sum(0) / shares.sum()
    np.testing.assert_allclose(mean, 0, atol=1e-5)  # The bias sees to it.
    other = {**inputs, "token_ids": np.where(kept, inputs["token_ids"], 77).astype("int32")}
    again = arrays(factorize(model, rank=6, data=[other])[0])
    for name, value in arrays(weighted).items():
        np.testing.assert_allclose(again[name], value, atol=1e-4, err_msg=name)


def test_a_table_is_nearest_in_its_frequent_tokens():
    model = shared("bert")
    inputs = tokens(model.spec, batch=8)
    seen = np.unique(inputs["token_ids"][inputs["padding_mask"] == 1])
    table = arrays(model)["token_embedding/embeddings"]
    lost = [
        np.abs(products(factorize(model, embedding=6, data=data)[0])[path] - table)[seen].mean()
        for data in ([inputs], None)
        for path in ["token_embedding/embeddings"]
    ]
    assert lost[0] < 0.95 * lost[1]


def test_an_energy_takes_the_least_rank_and_leaves_whole_what_saves_nothing():
    model = shared("bert")
    copy, report = factorize(model, energy=0.9)
    held = arrays(model)
    for path, entry in report["maps"].items():
        s = np.linalg.svd(held[f"{path}/kernel"], compute_uv=False) ** 2
        least = int(np.argmax(np.cumsum(s) >= 0.9 * s.sum())) + 1
        pays = least * sum(entry["shape"]) < np.prod(entry["shape"])
        assert entry["rank"] == (least if pays else None)
        assert (f"{path}/reduce/kernel" in arrays(copy)) == pays
    assert {entry["rank"] is None for entry in report["maps"].values()} == {True, False}
    assert factorize(model, energy=1.0)[0].spec == model.spec


def test_the_data_of_a_writer_are_pairs():
    slot = {"embedding": words(vocabulary_size=259, padding_id=258), "start_id": 258}
    backbone = add_noise(build(one_of_each(SPECS["t5"]).replace(options=slot)))
    task = kzoo.Seq2SeqLM(backbone, tokenizer=byte_tokenizer())
    pairs = [("one", "eins"), ("twenty-one", "einundzwanzig"), ("a", "b")]
    plain = factorize(task, rank=3)[1]
    copy, report = factorize(task, rank=3, embedding=0.5, data=pairs)
    assert list(report["maps"]) == list(plain["maps"])
    assert all(
        report["maps"][path]["error"] < entry["error"] for path, entry in plain["maps"].items()
    )
    assert copy.generate(["one"])


@pytest.mark.parametrize(("name", "family"), [("MaskedLM", "albert"), ("CausalLM", "gpt2")])
def test_a_tied_head_scores_against_the_product(name, family):
    model = add_noise(getattr(kzoo, name)(one_block(family)), scale=0.1)
    inputs = tokens(model.spec)
    near(factorize(model, embedding=1.0)[0](inputs), model(inputs))
    copy, _ = factorize(model, embedding=7)
    near(copy(inputs), multiplied_out(copy)(inputs))


def pruned():
    """A classifier whose blocks differ in heads and units."""
    spec = SPECS["bert"].replace(
        attention=["full", {"kind": "full", "num_heads": 1}],
        feedforward=[{"kind": "mlp", "intermediate_dim": 20}, "mlp"],
    )
    backbone = add_noise(build(spec), scale=0.1)
    return kzoo.TextClassifier(backbone, labels=LABELS, tokenizer=tokenizer(), max_length=20)


def test_a_pruned_task_is_factorized_twice_kept_fitted_and_cut(tmp_path):
    model = pruned()
    once, report = factorize(model, rank=0.5, maps=["query", "down"], data=TEXTS)
    ranks = {path: entry["rank"] for path, entry in report["maps"].items()}
    assert ranks == {
        "block_0/attention/query": 16, "block_0/feedforward/down": 10,
        "block_1/attention/query": 4, "block_1/feedforward/down": 16,
    }  # fmt: skip
    twice, _ = factorize(once, rank=2, maps=["up", "query"], embedding=9, data=TEXTS)
    expected = {"attention/query": 2, "feedforward/down": 16, "feedforward/up": 2}
    assert twice.spec.slot("dense", 1)["ranks"] == expected
    assert not set(arrays(model)) - set(arrays(multiplied_out(twice)))
    answers = twice.predict(TEXTS)
    twice.save_preset(tmp_path / "preset")
    twice.save(tmp_path / "model.keras")
    for again in (
        kzoo.load(tmp_path / "preset"),
        keras.models.load_model(tmp_path / "model.keras"),
    ):
        assert again.spec == twice.spec
        np.testing.assert_allclose(again.predict(TEXTS), answers, atol=1e-6)
    cut = kzoo.compression.cut(twice, (1,))
    assert cut.backbone.block_list[0].attention.query.rank == 2
    before = arrays(cut)
    cut.compile(kzoo.AdamW(1e-2))
    cut.fit(TEXTS, y=LABELS * 2, epochs=1, verbose=0)
    for path in ("block_1/attention/query/reduce/kernel", "token_embedding/expand/kernel"):
        assert np.abs(arrays(cut)[f"backbone/{path}"] - before[f"backbone/{path}"]).max() > 1e-3


def test_what_stands_still_does_so_as_a_product():
    model = noisy_task("TextClassifier", labels=LABELS)
    model.backbone.trainable = False
    copy, _ = factorize(model, rank=4, embedding=4)
    assert frozen(copy) == [path for path in arrays(copy) if path.startswith("backbone/")]


def test_a_file_looks_up_the_narrow_table_in_int8(tmp_path):
    spec = SPECS["bert"].replace(
        embedding={**SPECS["bert"].embedding, "vocabulary_size": 300}, hidden_dim=64, schedule=(0,)
    )
    model = add_noise(build(spec), scale=0.1)
    copy, _ = factorize(model, rank=16, embedding=16)
    path = tmp_path / "model.tflite"
    found = kzoo.export_litert(copy, path, quantization="int8", length=8)["audit"]
    assert found["partitions"] == 1 and [300, 16] in found["tables"]
    read = read_model(path.read_bytes(), path)
    table = next(t for t in read.subgraphs[0].tensors if t.shape.tolist() == [300, 16])
    assert len(table.quantization.scale) == 300


def test_on_jax():
    pytest.importorskip("jax")
    code = (
        "import sys, keras; sys.path.insert(0, 'tests'); import test_factorize as t\n"
        "assert keras.backend.backend() == 'jax'\n"
        "t.test_at_full_rank_a_model_answers_as_before('albert')\n"
    )
    root, env = Path(__file__).parent.parent, {**os.environ, "KERAS_BACKEND": "jax"}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, env=env)


def test_elsewhere_low_rank_is_refused_and_the_product_taken(tmp_path):
    for options in ({"rank": 4}, {"embedding": 4}):
        copy, _ = factorize(shared("bert"), **options)
        with pytest.raises(kzoo.KzooError, match="low_rank.* can't be exported to it"):
            to_huggingface(copy, tmp_path / "folder")
    to_huggingface(multiplied_out(copy), tmp_path / "folder")


def of_bert(**changes):
    return build(SPECS["bert"].replace(schedule=(0,), **changes))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: factorize(shared("bert"), rank=33), "rank 33 for block_0/attention/query"),
        (lambda: factorize(shared("bert"), rank=0), "Got rank = 0"),
        (lambda: factorize(shared("bert"), rank=1.5), "Got rank = 1.5"),
        (lambda: factorize(shared("bert"), energy=0), "Got energy = 0"),
        (lambda: factorize(shared("bert"), rank=1, energy=0.5), "expected one of them, since"),
        (lambda: factorize(shared("bert")), "neither a rank nor an energy"),
        (lambda: factorize(shared("bert"), embedding=True), "neither a rank nor an energy"),
        (lambda: factorize(shared("bert"), embedding=0), "Got embedding = 0"),
        (lambda: factorize(shared("bert"), embedding=33), "rank 33 for token_embedding"),
        (lambda: factorize(shared("bert"), rank=1, maps=["gate"]), "the map 'gate'"),
        (lambda: factorize(shared("bert"), rank=1, maps="up"), r"such as \['up'\]"),
        (lambda: factorize(shared("bert"), rank=1, data=[]), "without an example"),
        (lambda: factorize(shared("vit"), embedding=4), "vit, which reads no tokens"),
        (lambda: of_bert(dense="low_rank"), "Got ranks = None"),
        (lambda: of_bert(dense={"kind": "low_rank", "ranks": {"attention/query": 33}}), "1 to 32"),
        (lambda: of_bert(dense={"kind": "low_rank", "ranks": {"attention/query": 0}}), "rank 0"),
        (lambda: of_bert(dense={"kind": "low_rank", "ranks": {"attention/gate": 1}}), "the block"),
        (lambda: of_bert(embedding={"kind": "low_rank_token", "vocabulary_size": 9}), "rank None"),
    ],
)  # fmt: skip
def test_errors_say_what_came_and_what_was_expected(make, words):
    with pytest.raises(kzoo.KzooError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_specs_without_low_rank_are_spelled_as_ever():
    fields = SPECS["bert"].to_dict()
    assert "dense" not in fields and Spec.from_dict(fields) == SPECS["bert"]
    assert option(SPECS["bert"], "embedding", "dim") == 0
