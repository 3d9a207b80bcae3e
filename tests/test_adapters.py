"""LoRA, DoRA and BitFit: what they compute, what learns, what comes of it, what is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bundles import noisy_task
from families import SPECS, inputs_of, noisy, shared
from test_tasks import BAD, GOOD

import kzoo
from kzoo.checkpoints import save_adapter
from kzoo.compression import factorize, four_bits, multiplied_out, quantize_aware
from kzoo.litert.convert import exportable
from kzoo.network import frozen, weights_by_path

# Of the largest output; scores that T5 doesn't scale are large on noise.
WITHIN = {"t5": 2e-5}
FAMILIES = ["bert", "albert", "gpt2", "palm", "t5", "vit", "clip"]
TEXTS = ["the film is good", "a very dull film"]


def arrays(model):
    return {path: np.array(weight) for path, weight in weights_by_path(model).items()}


def near(one, other, atol):
    assert set(one) == set(other)
    for name in one:
        np.testing.assert_allclose(np.asarray(one[name]), np.asarray(other[name]), atol=atol)


def relative(one, other):
    """The largest difference as a share of the largest number."""
    pairs = [(np.asarray(one[name]), np.asarray(other[name])) for name in one]
    return max(np.abs(a - b).max() / np.abs(b).max() for a, b in pairs)


def with_noise(model):
    """A model with noise on what learns."""
    draw, still = np.random.default_rng(1), set(frozen(model))
    for path, weight in weights_by_path(model).items():
        if path not in still:
            weight.assign_add(draw.normal(0, 0.2, weight.shape).astype("float32"))
    return model


def classifier(**options):
    return noisy_task("TextClassifier", labels=["no", "yes"], **options)


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_answers_as_before_and_merged_as_adapted(family, dora):
    model, inputs, most = shared(family), inputs_of(SPECS[family]), WITHIN.get(family, 2e-6)
    copy = kzoo.lora(model, rank=3, targets=["query", "feedforward"], dora=dora)
    assert relative(copy(inputs), model(inputs)) < most
    before = model(inputs)
    with_noise(copy)
    assert relative(copy(inputs), before) > 1e-3
    whole = kzoo.merged(copy)
    assert whole.spec == model.spec and not frozen(whole)
    assert relative(whole(inputs), copy(inputs)) < most


@pytest.mark.parametrize("dora", [False, True])
def test_a_map_computes_what_the_paper_says(dora):
    model = with_noise(kzoo.lora(shared("bert"), rank=3, alpha=5, targets=["up"], dora=dora))
    where = "block_0/feedforward/up/"
    held = {p.removeprefix(where): v.astype("float64") for p, v in arrays(model).items()}
    kernel = held["kernel"] + 5 / 3 * held["lora_a"] @ held["lora_b"]
    if dora:
        kernel *= held["magnitude"] / np.linalg.norm(kernel, axis=0)
    x = np.random.default_rng(0).standard_normal((2, 4, 32)).astype("float32")
    actual = np.asarray(model.block_list[0].feedforward.up(x))
    np.testing.assert_allclose(actual, x @ kernel + held["bias"], atol=1e-5)


def test_dropout_is_that_of_the_update_alone():
    model = with_noise(kzoo.lora(noisy("bert"), rank=3, dropout=0.9, targets=["up"]))
    layer, x = model.block_list[0].feedforward.up, np.ones((1, 64, 32), "float32")
    still, moved = layer(x, training=False), layer(x, training=True)
    assert np.ptp(np.asarray(still), axis=1).max() < 1e-5
    assert np.ptp(np.asarray(moved), axis=1).max() > 1e-2
    layer.lora_b.assign(np.zeros(layer.lora_b.shape))
    near({"y": layer(x, training=True)}, {"y": layer(x, training=False)}, 1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_bottlenecks_change_nothing_at_first_and_come_out_with_the_model(family, tmp_path):
    model, inputs = shared(family), inputs_of(SPECS[family])
    copy = kzoo.bottleneck(model, size=3)
    near(copy(inputs), model(inputs), 0)
    with_noise(copy)
    assert relative(copy(inputs), model(inputs)) > 1e-3
    with pytest.raises(kzoo.KzooError, match="no linear maps, so that no plain model is equal"):
        kzoo.merged(copy)
    kzoo.save_preset(copy, tmp_path / "it")
    again = kzoo.load(tmp_path / "it")
    assert again.spec == copy.spec and frozen(again) == frozen(copy)
    near(again(inputs), copy(inputs), 0)


def test_a_bottleneck_computes_what_the_paper_says():
    model = with_noise(kzoo.bottleneck(shared("bert"), size=3, targets=["down"]))
    layer, where = model.block_list[0].feedforward.down, "block_0/feedforward/down/"
    held = {p.removeprefix(where): v.astype("float64") for p, v in arrays(model).items()}
    x = np.random.default_rng(0).standard_normal((2, 4, layer.kernel.shape[0])).astype("float32")
    y = x @ held["kernel"] + held["bias"]
    inner = np.maximum(y @ held["adapter_down/kernel"] + held["adapter_down/bias"], 0)
    expected = y + inner @ held["adapter_up/kernel"] + held["adapter_up/bias"]
    np.testing.assert_allclose(np.asarray(layer(x)), expected, atol=1e-5)


def test_bottlenecks_are_exported_as_they_are_and_go_nowhere_that_has_no_such(tmp_path):
    task = with_noise(kzoo.bottleneck(classifier(), size=2))
    for quantization in ("float32", "int8"):
        report = kzoo.export_litert(task, tmp_path / "it.tflite", quantization)
        assert report["parity"] and report["audit"]["partitions"] == 1
    assert any("adapter_up" in path for path in weights_by_path(four_bits(task)[0]))
    with pytest.raises(kzoo.KzooError, match="bottleneck.* can't be exported to it"):
        kzoo.to_huggingface(task, tmp_path / "there")
    with pytest.raises(kzoo.KzooError, match="Got a model with bottleneck adapters"):
        factorize(task, rank=2)
    with pytest.raises(kzoo.KzooError, match="Got a model with bottleneck adapters"):
        multiplied_out(task)


def test_maps_that_are_multiplied_out_keep_what_lora_learnt():
    task = with_noise(kzoo.lora(classifier(), rank=2))
    np.testing.assert_allclose(multiplied_out(task).predict(TEXTS), task.predict(TEXTS), atol=1e-6)


MAPS = [
    ("lora", lambda task: kzoo.lora(task, rank=2), ("lora_a", "lora_b")),
    ("dora", lambda task: kzoo.lora(task, rank=2, dora=True), ("lora_a", "lora_b", "magnitude")),
    ("bitfit", kzoo.bitfit, ("bias", "beta")),
    (
        "bottleneck",
        lambda task: kzoo.bottleneck(task, size=2, activation="gelu"),
        ("adapter_down", "adapter_up"),
    ),
    (
        "with norms",
        lambda task: kzoo.bottleneck(task, size=2, activation="gelu", norms=True),
        ("adapter_down", "adapter_up", "gamma", "beta"),
    ),
]


@pytest.mark.parametrize(("name", "change", "leaves"), MAPS)
def test_only_what_is_to_learn_moves_and_has_moments(name, change, leaves):
    task = change(classifier())
    before = arrays(task)
    task.compile(optimizer=kzoo.AdamW(0.01, warmup=0.0))
    task.fit(GOOD + BAD, ["yes"] * len(GOOD) + ["no"] * len(BAD), epochs=2, verbose=0)
    learns = {p for p in before if p.startswith("head/") or set(p.split("/")[-2:]) & set(leaves)}
    assert learns == set(before) - set(frozen(task))
    for path, value in arrays(task).items():
        # The offset of keys moves no score, and so has no gradient but rounding.
        if path in learns and not path.endswith("attention/key/bias"):
            assert (value != before[path]).any(), path
        if path not in learns:
            assert value.tobytes() == before[path].tobytes(), path
    count = sum(before[path].size for path in learns)
    moments = [v for v in task.optimizer.variables if len(v.shape)]
    assert sum(int(np.prod(v.shape)) for v in moments) == 2 * count
    total = sum(value.size for value in before.values())
    assert kzoo.trainable_share(task) == pytest.approx(count / total)


def test_a_task_with_bottlenecks_comes_back_from_a_keras_file(tmp_path):
    task = with_noise(kzoo.bottleneck(classifier(), size=2))
    task.save(tmp_path / "it.keras")
    again = kzoo.load(tmp_path / "it.keras")
    assert again.spec == task.spec and frozen(again) == frozen(task)
    np.testing.assert_array_equal(again.predict(TEXTS), task.predict(TEXTS))


@pytest.mark.parametrize("form", ["preset", "keras", "adapter"])
@pytest.mark.parametrize("dora", [False, True])
def test_it_comes_back_as_it_was(form, dora, tmp_path):
    plain = classifier()
    task = with_noise(kzoo.lora(plain, rank=2, dropout=0.1, dora=dora))
    if form == "preset":
        task.save_preset(tmp_path / "it")
        again = kzoo.load(tmp_path / "it")
    elif form == "keras":
        task.save(tmp_path / "it.keras")
        again = kzoo.load(tmp_path / "it.keras")
    else:
        save_adapter(task, tmp_path / "it")
        again = kzoo.from_peft(plain, tmp_path / "it")
    assert again.spec == task.spec
    assert frozen(again) == frozen(task)
    np.testing.assert_array_equal(again.predict(TEXTS), task.predict(TEXTS))


def test_a_family_without_a_class_there_keeps_its_adapter_by_its_own_names(tmp_path):
    plain = noisy("gpt3")
    model = with_noise(kzoo.lora(plain, rank=2, targets=["attention"]))
    with pytest.raises(kzoo.KzooError, match="Hugging Face has no class"):
        kzoo.to_peft(model, tmp_path / "it")
    assert not (tmp_path / "it").exists()
    save_adapter(model, tmp_path / "it")
    again = kzoo.from_peft(plain, tmp_path / "it")
    near(again(inputs_of(plain.spec)), model(inputs_of(plain.spec)), 0)


def test_what_leaves_kzoo_is_merged(tmp_path):
    task = with_noise(kzoo.lora(classifier(), rank=2, targets=["attention", "feedforward"]))
    whole = kzoo.merged(task)
    assert set(exportable(task).weights) == set(weights_by_path(whole))
    report = kzoo.export_litert(task, tmp_path / "it.tflite", "float32")
    assert report["parity"] and report["audit"]["partitions"] == 1
    kzoo.export_litert(whole, tmp_path / "whole.tflite", "float32")
    assert (tmp_path / "it.tflite").stat().st_size == (tmp_path / "whole.tflite").stat().st_size
    kzoo.to_huggingface(task, tmp_path / "there")
    again = kzoo.from_huggingface(tmp_path / "there")
    inputs = inputs_of(task.spec)
    near(again(inputs), task(inputs), 1e-5)
    for smaller in (
        factorize(task, rank=1.0)[0], four_bits(task)[0], quantize_aware(task, TEXTS)[0],
    ):  # fmt: skip
        assert not any("lora" in path for path in weights_by_path(smaller))


DORA = {"kind": "dora", "rank": 2, "targets": ["query", "up"]}


@pytest.mark.parametrize("kind", ["dora", "bitfit"])
def test_a_recipe_writes_a_plain_preset_and_the_adapter_beside_it(kind, tmp_path):
    classifier().save_preset(tmp_path / "start")
    lines = [f"{text}\tyes" for text in GOOD] + [f"{text}\tno" for text in BAD]
    (tmp_path / "train.tsv").write_text("\n".join(["sentence\tlabel", *lines]) + "\n")
    recipe = {
        "model": "start",
        "train": "train.tsv",
        "output": "out",
        "epochs": 2,
        "learning_rate": 0.01,
        "adapt": kind if kind == "bitfit" else {**DORA},
    }
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    task, history = kzoo.train(tmp_path / "recipe.json", verbose=0)
    assert len(history.history["loss"]) == 2
    start, out = kzoo.load(tmp_path / "start"), kzoo.load(tmp_path / "out")
    assert out.spec == start.spec and not frozen(out)
    assert (tmp_path / "out" / "adapter").exists() == (kind == "dora")
    if kind == "dora":
        again = kzoo.from_peft(start, tmp_path / "out" / "adapter")
        np.testing.assert_allclose(out.predict(TEXTS), again.predict(TEXTS), atol=1e-6)
    moved = {p for p, v in arrays(out).items() if (v != arrays(start)[p]).any()}
    ends = ("query/kernel", "up/kernel") if kind == "dora" else ("bias", "beta")
    assert moved and all(p.startswith("head/") or p.endswith(ends) for p in moved)
    np.testing.assert_allclose(out.predict(TEXTS), task.predict(TEXTS), atol=1e-6)
    assert np.abs(out.predict(TEXTS) - start.predict(TEXTS)).max() > 1e-3
    kzoo.train(tmp_path / "recipe.json", verbose=0)  # Its own folder may be written anew.


def test_a_recipe_writes_bottlenecks_with_the_model_and_they_learn_on(tmp_path):
    classifier().save_preset(tmp_path / "start")
    lines = [f"{text}\tyes" for text in GOOD] + [f"{text}\tno" for text in BAD]
    (tmp_path / "train.tsv").write_text("\n".join(["sentence\tlabel", *lines]) + "\n")
    recipe = {
        "model": "start", "train": "train.tsv", "output": "out", "epochs": 1, "learning_rate": 0.01,
        "adapt": {"kind": "bottleneck", "size": 2, "targets": ["down"]},
    }  # fmt: skip
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    task, _ = kzoo.train(tmp_path / "recipe.json", verbose=0)
    out = kzoo.load(tmp_path / "out")
    assert not (tmp_path / "out" / "adapter").exists()
    np.testing.assert_allclose(out.predict(TEXTS), task.predict(TEXTS), atol=1e-6)
    again = {**recipe, "model": "out", "output": "more", "adapt": None}
    (tmp_path / "again.json").write_text(json.dumps(again))
    more, _ = kzoo.train(tmp_path / "again.json", verbose=0)
    moved = {p for p, v in arrays(more).items() if (v != arrays(out)[p]).any()}
    assert moved and all(p.startswith("head/") or "/adapter_" in p for p in moved)


def test_in_steps_a_training_that_adapts_comes_before_others(tmp_path):
    from kzoo.training import compress

    classifier().save_preset(tmp_path / "start")
    lines = [f"{text}\tyes" for text in GOOD] + [f"{text}\tno" for text in BAD]
    (tmp_path / "train.tsv").write_text("\n".join(["sentence\tlabel", *lines]) + "\n")
    steps = [{"step": "train", "epochs": 1, "adapt": "lora"}, {"step": "four_bits"}]
    recipe = {"model": "start", "train": "train.tsv", "output": "out", "steps": steps}
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    model, _ = compress(tmp_path / "recipe.json", verbose=0)
    assert model.spec.quantization == "int4" and model.spec.dense is None


BAD_CALLS = {
    "rank 0": (lambda m: kzoo.lora(m, rank=0), "Got rank = 0 for LoRA; expected a whole number"),
    "rank above the width": (lambda m: kzoo.lora(m, rank=33), "Got the rank 33 for attention"),
    "unknown target": (
        lambda m: kzoo.lora(m, targets=["q_proj"]),
        "Got the map 'q_proj', which no block has; expected some of query, key, value, output, up",
    ),
    "a string": (lambda m: kzoo.lora(m, targets="query"), "expected a list of names, such as"),
    "bottleneck of size 0": (
        lambda m: kzoo.bottleneck(m, size=0), "Got size = 0 for adapters; expected a whole number"
    ),
    "bottleneck wider than its map": (lambda m: kzoo.bottleneck(m, size=33), "Got the rank 33 for"),
    "activation": (lambda m: kzoo.bottleneck(m, activation="x"), "No activation is called 'x'"),
    "norms": (lambda m: kzoo.bottleneck(m, norms=1), "Got norms=1; expected true or false"),
    "lora of bottlenecks": (
        lambda m: kzoo.lora(kzoo.bottleneck(m)), "has bottleneck adapters already"
    ),
    "bottleneck to peft": (
        lambda m: kzoo.to_peft(kzoo.bottleneck(m), "nowhere"), "without adapters; expected a model"
    ),
    "adapted already": (lambda m: kzoo.lora(kzoo.lora(m)), "adapted already"),
    "bitfit of adapted": (lambda m: kzoo.bitfit(kzoo.lora(m)), "adapted already"),
    "alpha": (lambda m: kzoo.lora(m, alpha=0), "Got alpha = 0 for LoRA; expected a number above 0"),
    "dropout": (lambda m: kzoo.lora(m, dropout=1.0), "Got dropout = 1.0 for LoRA"),
    "low rank": (lambda m: kzoo.lora(factorize(m, rank=4)[0]), "multiplied_out makes them"),
    "rounds": (
        lambda m: kzoo.lora(m.under(m.spec.replace(quantization="int4"))),
        "rounds as a file of int4 does",
    ),
    "no model": (lambda m: kzoo.lora("bert"), "Got a str; expected a task or a network"),
    "no stack": (lambda m: kzoo.lora(noisy("mobilevit")), "a network that is a stack of blocks"),
    "no offsets": (lambda m: kzoo.bitfit(noisy("t5_encoder")), "have no offsets"),
    "plain": (lambda m: kzoo.to_peft(m, "nowhere"), "without adapters; expected a model of kzoo"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_CALLS)
def test_bad_input_is_one_sentence(name):
    call, words = BAD_CALLS[name]
    with pytest.raises(kzoo.KzooError, match=words):
        call(shared("bert"))


@pytest.mark.parametrize(
    ("adapt", "words"),
    [
        ({"kind": "loro"}, "Got the adapt .*; expected one of lora, dora, bottleneck, bitfit"),
        ({"kind": "lora", "ranks": 3}, "adapt lora in the recipe has the unknown option 'ranks'"),
        (3, "adapt in the recipe is 3; an object whose kind is"),
    ],
)
def test_a_recipe_says_what_is_wrong_before_the_training(adapt, words):
    from kzoo.training.recipe import read_recipe

    recipe = {"model": "m", "train": "t", "output": "o", "task": "TextClassifier", "adapt": adapt}
    with pytest.raises(kzoo.KzooError, match=words):
        read_recipe(recipe)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"peft_type": "IA3"}, "has peft_type = 'IA3'; expected 'LORA'"),
        ({"init_lora_weights": "pissa"}, "has init_lora_weights = 'pissa'"),
        ({"use_dora": True}, "for block_0.attention.query; expected .*lora_magnitude_vector"),
        ({"lora_alpha": 0}, "a number above 0 is expected"),
        ({"r": 3}, "has 3 as the rank of block_0.attention.query .* its tensors have 2"),
        ({"rank_pattern": {"query": 4}}, "has 4 as the rank of block_0.attention.query"),
        ({"rank_pattern": {"(": 4}}, "which is no pattern of names"),
        ({"alpha_pattern": 3}, "has alpha_pattern = 3; expected an object"),
        ({"use_rslora": "no"}, "has use_rslora = 'no'; expected true or false"),
    ],
)
def test_adapters_of_other_kinds_are_refused(change, words, tmp_path):
    plain = noisy("gpt3")
    save_adapter(kzoo.lora(plain, rank=2, targets=["query"]), tmp_path / "it")
    config = json.loads((tmp_path / "it" / "adapter_config.json").read_text())
    (tmp_path / "it" / "adapter_config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(kzoo.KzooError, match=words):
        kzoo.from_peft(plain, tmp_path / "it")


def test_an_adapter_of_another_model_is_refused(tmp_path):
    save_adapter(kzoo.lora(noisy("gpt3"), rank=2), tmp_path / "it")
    with pytest.raises(kzoo.KzooError, match="is an adapter of a gpt3; this model is a vit"):
        kzoo.from_peft(noisy("vit"), tmp_path / "it")
    wide = noisy("gpt3", hidden_dim=16, num_heads=2)
    with pytest.raises(kzoo.KzooError, match="does the adapter belong to this model"):
        kzoo.from_peft(wide, tmp_path / "it")


def test_heads_that_score_tokens_stand_still_unless_asked_for():
    writer = kzoo.CausalLM(noisy("palm"), head="lm")
    assert "head/logits/kernel" in frozen(kzoo.lora(writer))
    assert "head/logits/kernel" not in frozen(kzoo.lora(writer, head=True))
    assert "head/logits/kernel" in frozen(kzoo.lora(classifier(), head=False))


def test_on_jax_it_computes_the_same(tmp_path):
    model = with_noise(kzoo.lora(noisy("bert"), rank=2, dora=True))
    kzoo.save_preset(model, tmp_path / "it")
    code = (
        "import sys, numpy as np, kzoo; from families import *;"
        "m = kzoo.load(sys.argv[1]); y = m(inputs_of(m.spec));"
        "np.savez(sys.argv[2], **{k: np.asarray(v) for k, v in y.items()})"
    )
    tests = Path(__file__).parent
    paths = os.pathsep.join([str(tests.parent), str(tests)])
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": paths}
    command = [sys.executable, "-c", code, tmp_path / "it", tmp_path / "it.npz"]
    subprocess.run(command, env=environment, check=True)
    with np.load(tmp_path / "it.npz") as there:
        near(dict(there), model(inputs_of(model.spec)), 1e-5)
