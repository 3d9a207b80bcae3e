"""Recipes of steps: any two follow each other, a run goes on, and a budget is searched by them."""

import dataclasses
import itertools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from families import SPECS, noisy
from test_prune import classifier

import kzoo
from kzoo import budget, presets
from kzoo.bundle import export_bundle
from kzoo.cli import main
from kzoo.evaluation import scores_of
from kzoo.network import parameters_of
from kzoo.training import compress, steps
from kzoo.training.facts import fact

ROWS = [
    ("a fine and funny film", "b"), ("dull , slow and sad", "a"), ("what a great day", "b"),
    ("no one should see this", "a"), ("the best of all", "b"), ("a waste of time", "a"),
] * 6  # fmt: skip
# One of each step that needs no other before it, as small as they go.
EACH = {
    "trim": {"size": 1000, "alphabet": "corpus"},
    "prune": {"heads": 2, "units": 0.5, "examples": 8},
    "factorize": {"rank": 12, "embedding": 8, "examples": 8},
    "sparsify": {"share": 0.5},
    "train": {
        "epochs": 1,
        "batch_size": 18,
        "variations": {"copies": 2},
        "teacher": {"hard": False, "answers": "answers"},
    },
    "quantize_aware": {"examples": 8},
    "four_bits": {},
    "round": {},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a preset and a table to learn from."""
    folder = tmp_path_factory.mktemp("steps")
    classifier(schedule=(0,)).save_preset(folder / "whole")
    lines = ["sentence\tlabel", *(f"{text}\t{label}" for text, label in ROWS)]
    (folder / "train.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def recipe_of(made, names, output="small"):
    """A recipe of some steps, written beside the preset."""
    steps = [{"step": name, **EACH[name]} for name in names]
    recipe = {"model": "whole", "train": "train.tsv", "output": output, "steps": steps}
    path = made / f"{output}.json"
    path.write_text(json.dumps(recipe), encoding="utf-8")
    return path


@pytest.mark.parametrize("names", [
    ("trim", "prune", "factorize", "quantize_aware", "sparsify", "train", "round"),
    ("train", "round", "sparsify", "factorize", "quantize_aware", "prune", "trim"),
    ("four_bits", "trim", "prune", "train", "round"),
], ids=["forwards", "backwards", "four bits"])  # fmt: skip
def test_steps_follow_each_other_in_either_order_and_end_as_a_preset(made, names):
    """Of any two each comes before the other once, but for ranges, which are of low-rank maps.

    Weights of 4 bits exclude ranges.
    """
    model, record = compress(recipe_of(made, names, names[0]), verbose=0)
    assert [row["step"] for row in record["steps"]] == list(names)
    counts = [record["parameters"], *(row["parameters"] for row in record["steps"])]
    for name, before, after in zip(names, counts, counts[1:], strict=False):
        assert after <= before, name
    assert counts[-1] < counts[0] / 2
    again = kzoo.load(made / names[0])
    texts = [text for text, _ in ROWS[:4]]
    np.testing.assert_allclose(again.predict(texts), model.predict(texts), atol=1e-6)
    assert not (made / f"{names[0]}.steps").exists()
    kept = json.loads((made / names[0] / "compression.json").read_text())
    assert kept["recipe"]["model"] == "whole" and kept["steps"] == record["steps"]


def test_what_steps_did_and_what_it_cost_is_told(made):
    """Also what an earlier run did; of labelled files the one that decides nothing measures."""
    path = recipe_of(made, ("trim", "prune"), "told_of")
    recipe = json.loads(path.read_text()) | {"test": "train.tsv", "validation": 0.5}
    path.write_text(json.dumps(recipe), encoding="utf-8")
    told = []

    def measure(model, examples):
        return {"parameters": parameters_of(model), "examples": len(examples)}

    _, record = compress(path, verbose=0, on_step=told.append, measure=measure)
    assert [(step["number"], step["of"], step["step"]) for step in told] == [
        (1, 2, "trim"), (2, 2, "prune"),
    ]  # fmt: skip
    assert told[0]["options"] == EACH["trim"]
    counts = [record["parameters"], *(step["parameters"] for step in record["steps"])]
    assert [(step["before"], step["after"]) for step in told] == list(itertools.pairwise(counts))
    before, after = ({"parameters": n, "examples": len(ROWS)} for n in (counts[0], counts[-1]))
    assert before != after
    assert record["scores"] == {"file": "train.tsv", "before": before, "after": after}
    assert (
        json.loads((made / "told_of" / "compression.json").read_text())["scores"]["after"] == after
    )
    _, record = compress(recipe_of(made, ("round",), "untold"), verbose=0, measure=scores_of)
    assert "scores" not in record  # no file that measures


def test_parameters_are_counted_in_one_way(made):
    """What a step says, what a file's report says and what `kzoo show` says of what came out."""
    for names in (("quantize_aware",), ("four_bits",)):
        _, record = compress(recipe_of(made, names, names[0] + "_count"), verbose=0)
        folder = made / f"{names[0]}_count"
        assert record["steps"][-1]["parameters"] == record["parameters"]  # Scales are none.
        kind = {"quantize_aware": "int8_static", "four_bits": "int4"}[names[0]]
        loose = {"label_agreement": None, "probability_difference": None}
        report = export_bundle(kzoo.load(folder), made / kind, kind, limits=loose)
        card = json.loads((folder / "card.json").read_text())
        assert report["sizes"]["parameters"] == card["parameters"] == record["parameters"]


def test_the_command_prints_a_line_a_step_in_a_pipe_and_scores_at_the_end(made, capfd):
    path = recipe_of(made, ("sparsify", "train"), "piped")
    recipe = json.loads(path.read_text()) | {"test": "train.tsv"}
    path.write_text(json.dumps(recipe), encoding="utf-8")

    def run(*options):
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main(["compress", str(path), *options])
        assert not left.value.code
        return capfd.readouterr()

    out, said = run()
    lines = said.splitlines()
    assert lines[0] == "Step 1 of 2, sparsify" and lines[2] == "Step 2 of 2, train"
    done = r": [\d,]+ -> [\d,]+ parameters, [\d.]+ s$"
    assert re.search(r"^Step 1 of 2, sparsify \(share=0.5\)" + done, lines[1])
    assert re.search(r"^Step 2 of 2, train: epoch 1 of 1, loss [\d.]+$", lines[3])
    assert re.search(r"^Step 2 of 2, train \(epochs=1, .*\)" + done, lines[4])
    assert len(lines) == 5
    assert "On train.tsv" in out and re.search(r"accuracy +0\.\d+ +[01]", out)
    shutil.rmtree(made / "piped")
    out, _ = run("--json")
    assert json.loads(out)["scores"]["after"].keys() >= {"accuracy"}


def test_after_an_error_it_is_said_where_finished_steps_are(made, capfd):
    path = recipe_of(made, ("sparsify", "prune"), "broken")
    recipe = json.loads(path.read_text())
    recipe["steps"][1]["heads"] = 9
    path.write_text(json.dumps(recipe), encoding="utf-8")
    with pytest.raises(SystemExit):
        main(["compress", str(path)])
    error = capfd.readouterr().err.splitlines()[-1]
    assert re.search(r"heads=9.* kept in .*broken\.steps: follow the recipe again", error)
    recipe["steps"][1]["heads"] = 2
    path.write_text(json.dumps(recipe), encoding="utf-8")
    told = []
    compress(path, verbose=0, on_step=told.append)
    assert [step["done_before"] for step in told] == [True, False]


def test_an_embedder_without_targets_is_pruned_by_what_tells_its_texts_apart(made):
    before = kzoo.load(made / "whole")
    kzoo.TextEmbedder(before.backbone, tokenizer=before.tokenizer).save_preset(made / "vectors")
    (made / "texts.tsv").write_text("sentence\n" + "\n".join(t for t, _ in ROWS), "utf-8")
    counts = {}
    for examples in (0, 12):
        step = {"step": "prune", "units": 0.5, "examples": examples}
        recipe = {"model": "vectors", "train": "texts.tsv", "output": f"pruned{examples}"}
        recipe = {key: str(made / name) for key, name in recipe.items()} | {"steps": [step]}
        model, _ = compress(recipe, verbose=0)
        weights = kzoo.network.weights_by_path(model)
        (counts[examples],) = [w for path, w in weights.items() if path.endswith("up/kernel")]
    assert counts[0].shape == counts[12].shape and not np.array_equal(counts[0], counts[12])


def test_an_export_may_name_the_steps_that_make_its_preset(made):
    """The whole story of a file: from the model to the bundle."""
    recipe_of(made, ("prune",), "told")
    loose = {"label_agreement": None, "probability_difference": None, "cosine": None}
    told = {"compression": "told.json", "quantization": "int8", "limits": loose}
    (made / "export.json").write_text(json.dumps(told), encoding="utf-8")
    said = []
    report = kzoo.export_recipe(made / "export.json", made / "bundle", say=said.append)
    assert kzoo.load(made / "told").spec.num_heads == 2
    assert report["sizes"]["parameters"] < 1_000_000 and (made / "bundle" / "kzoo.json").is_file()


def test_a_run_that_was_stopped_goes_on_behind_its_last_step(made, monkeypatch):
    path = recipe_of(made, ("prune", "sparsify", "round"), "stopped")
    whole, _ = compress(recipe_of(made, ("prune", "sparsify", "round"), "straight"), verbose=0)
    real = steps.STEPS["round"]

    def stopped(model, known):
        raise KeyboardInterrupt

    monkeypatch.setitem(steps.STEPS, "round", steps.Step(stopped, ()))
    with pytest.raises(KeyboardInterrupt) as ended:
        compress(path, verbose=0)
    assert "stopped.steps" in ended.value.__notes__[0]
    assert not (made / "stopped").exists()
    monkeypatch.setitem(steps.STEPS, "round", real)
    said = []
    model, _ = compress(path, verbose=0, say=said.append)
    assert [line.endswith("done before") for line in said] == [True, True, False]
    texts = [text for text, _ in ROWS[:4]]
    np.testing.assert_array_equal(model.predict(texts), whole.predict(texts))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"steps": [{"step": "shrug"}]}, "step 'shrug'; expected an object whose step is one of"),
        ({"steps": [{"step": "prune", "depth": 2}]}, "unknown option 'depth'; known are examples"),
        ({"steps": []}, "steps in the recipe"),
        ({"size": 3}, "unknown key 'size'"),
        ({"output": None}, "output in the recipe is None"),
        ({"test": "nope.tsv"}, "nope.tsv, test in the recipe, doesn't exist"),
        ({"steps": [{"step": "trim"}], "train": None}, "step trim without texts"),
        ({"model": "bert_tiny_en_uncased"}, "holds no weights"),
        ({"steps": [{"step": "sparsify"}]}, "step sparsify lacks share"),
        ({"steps": [{"step": ["trim"]}]}, "expected an object whose step"),
        ({"steps": [{"step": "prune", "heads": 2, "examples": -1}]}, "Got examples=-1"),
        ({"steps": [{"step": "prune", "heads": [2]}]}, "heads"),
        ({"validation": 5}, "validation in the recipe is 5"),
        ({"steps": [{"step": "train", "teacher": {"hrad": 1}}]}, "unknown option 'hrad'"),
        ({"steps": [{"step": "train", "masking": {"kind": "Sparsity"}}]}, "lacks share"),
        ({"steps": [{"step": "quantize_aware", "most": 0.1, "dynamic": []}]}, "Got most and dynam"),
        ({"steps": [{"step": "round", "what": "most"}]}, "Got what='most' in a step round"),
        ({"steps": [{"step": "train", "variations": {"seed": -3}}]}, "Got seed=-3"),
        ({"steps": [{"step": "train"}, {"step": "prune", "heads": 9}]}, "heads"),
        ({"steps": [{"step": "cut", "schedule": 3}]}, "Got schedule=3 in a step cut"),
        (
            {"steps": [{"step": "cut", "schedule": [0, 7]}]},
            "one step at least, each of the model's",
        ),
        ({"steps": [{"step": "train"}, {"step": "factorize", "rank": 999}]}, "rank"),
    ],
)
def test_a_recipe_that_is_wrong_is_one_sentence(made, changes, match):
    recipe = json.loads(recipe_of(made, ("round",), "wrong").read_text())
    recipe = {**recipe, "model": str(made / "whole"), "train": str(made / "train.tsv")}
    recipe = {**recipe, "output": str(made / "wrong"), **changes}
    with pytest.raises(kzoo.KzooError, match=match):
        compress(recipe, verbose=0)
    assert not (made / "wrong").exists() and not (made / "wrong.steps").exists()  # None learnt.


def test_a_budget_ends_in_points_that_fit_and_goes_on_where_it_was(made):
    """Two shapes of one block, each a preset with its recipe and its bundle."""
    asked = {"max_mb": 0.036, "max_ms_ratio": 0.99, "trials": 2, "epochs": 1}
    found = budget.search(made / "whole", made / "train.tsv", made / "found", **asked)
    model = kzoo.load(made / "whole")
    read = dict.fromkeys(("text", "label", "validation")) | {"train": made / "train.tsv", "seed": 0}
    sizes, (learnt, _) = budget.Sizes(model), steps.read(read, model)
    shapes = budget.shapes_of(model, learnt, asked, 2)
    assert len(found["points"]) == 2 and len(found["tried"]) == 2
    for point in found["points"]:
        assert point["fits"] == (point["megabytes"] <= 0.036 and point["ms_ratio"] <= 0.99)
        folder = made / "found" / point["folder"]
        assert (folder / "recipe.json").is_file() and kzoo.load(folder / "preset").labels
        size = (folder / "bundle" / "model.tflite").stat().st_size / 1e6
        assert size == point["megabytes"]
        shape = next(shape for shape in shapes if shape.name == point["name"])
        assert size == pytest.approx(sizes.megabytes(shape), abs=0.01), shape.name
    assert {point["quantization"] for point in found["points"]} == {"int8", "int4"}
    assert (made / "found" / "answers" / "answers.json").is_file()
    for name in ("report.json", "points.csv", "pareto.png"):
        assert (made / "found" / name).is_file()
    said = []
    again = budget.search(
        made / "whole", made / "train.tsv", made / "found", **asked, say=said.append
    )
    assert again["points"] == found["points"]
    with pytest.raises(kzoo.KzooError, match="a search with another budget and another n"):
        budget.search(made / "whole", made / "train.tsv", made / "found", max_mb=0.5)


@pytest.mark.parametrize(
    ("family", "kinds", "ranks"),
    [("mpnet", {"units"}, True), ("xlnet", {"units"}, False), ("mobilebert", {"heads"}, False)],
)
def test_shapes_leave_out_what_can_not_be_made_smaller(made, family, kinds, ranks):
    """Heads that something is bound to, nets that lie otherwise, tables of other kinds."""
    spoken = kzoo.load(made / "whole").tokenizer
    words = {**SPECS[family].embedding, "vocabulary_size": spoken.vocabulary_size}
    model = kzoo.TextClassifier(
        noisy(family, embedding=words), labels=["a", "b"], head="mean", tokenizer=spoken
    )
    read = dict.fromkeys(("text", "label", "validation")) | {"train": made / "train.tsv", "seed": 0}
    learnt, _ = steps.read(read, model)
    shapes = budget.shapes_of(model, learnt, {"max_mb": None, "max_ms_ratio": 0.9}, 200)
    assert any(shape.rank for shape in shapes) == ranks
    shape = next(shape for shape in shapes if shape.inner < 1)
    pruned = next(step for step in shape.steps(model, {}) if step["step"] == "prune")
    assert {*pruned} - {"step", "blocks"} == kinds
    sizes = budget.Sizes(model)
    shape = budget.Shape(sizes.layers, 0.5, 0, 0)
    assert 0.5 < sizes.time(shape) < 1 and sizes.time(dataclasses.replace(shape, inner=1.0)) == 1


def test_a_table_that_is_factorized_already_is_a_part_of_the_shapes(made):
    narrow, _ = kzoo.compression.factorize(kzoo.load(made / "whole"), embedding=16)
    read = dict.fromkeys(("text", "label", "validation")) | {"train": made / "train.tsv", "seed": 0}
    learnt, _ = steps.read(read, narrow)
    shapes = budget.shapes_of(narrow, learnt, {"max_mb": 5, "max_ms_ratio": None}, 200)
    tokens = narrow.spec.embedding["vocabulary_size"]
    assert min(shape.tokens for shape in shapes) < tokens
    assert all(shape.rank < 16 for shape in shapes)


def test_the_most_right_of_what_fits_is_best_and_else_what_comes_nearest():
    own = {"megabytes": 20.0, "ms_ratio": 1.0, "held": 0.9}
    points = [
        {
            "megabytes": 4.0,
            "ms_ratio": 0.4,
            "held": 0.85,
            "score": 0.9,
        },  # The test decides nothing.
        {"megabytes": 4.9, "ms_ratio": 0.5, "held": 0.88, "score": 0.8},
        {"megabytes": 8.0, "ms_ratio": 0.5, "held": 0.89, "score": 0.9},
    ]
    asked = {"max_mb": 5, "max_ms_ratio": None, "max_drop": 3.0}
    assert [budget.fits(point, own, asked) for point in points] == [False, True, False]
    assert budget.closest(points, own, {**asked, "max_drop": 1.5}) is points[1]
    held = [{"fits": fit, "held": h, "score": s} for fit, h, s in
            ((True, 0.8, 0.9), (True, 0.85, 0.7), (False, 0.9, 0.9))]  # fmt: skip
    assert budget.best_of(held) is held[1] and budget.best_of(held[2:]) is None
    assert budget.best_first({"a": 0.5, "b": 0.9, "c": 0.7}) == ["b", "c", "a"]


def test_what_changed_since_a_run_was_stopped_is_done_anew(made, tmp_path):
    """A fact is what a file holds, not what it is called."""
    (tmp_path / "texts.txt").write_text("one")
    before = fact({"texts": str(tmp_path / "texts.txt"), "size": 3})
    (tmp_path / "texts.txt").write_text("other")
    assert fact({"texts": str(tmp_path / "texts.txt"), "size": 3}) != before
    presets = [fact({"model": name}) for name in ("bert_tiny_en_uncased", "bert_mini_en_uncased")]
    assert presets[0] != presets[1]
    teacher = {"teacher": {"answers": str(tmp_path / "answers"), "hard": False}, "label": "label"}
    before = fact(teacher)
    (tmp_path / "answers").mkdir()
    (tmp_path / "answers" / "0.npy").write_text("kept")  # by the run itself
    assert fact(teacher) == before


def test_files_of_the_user_stay(made, tmp_path):
    recipe = json.loads(recipe_of(made, ("round",), "kept").read_text())
    own = made / "kept.steps"
    own.mkdir()
    (own / "thesis.txt").write_text("mine")
    compress(made / "kept.json", verbose=0)
    assert (own / "thesis.txt").read_text() == "mine"
    with pytest.raises(kzoo.KzooError, match="as the model and as the output"):
        path = made / "whole"
        compress({**recipe, "model": str(path), "output": str(path), "train": None}, verbose=0)
    (tmp_path / "report.json").write_text("mine")
    with pytest.raises(kzoo.KzooError, match="holds other files"):
        budget.search(made / "whole", made / "train.tsv", tmp_path, max_mb=0.6)


def test_a_budget_that_no_shape_meets_says_the_smallest(made):
    with pytest.raises(kzoo.KzooError, match="no shape meets; expected about 0.0"):
        budget.search(made / "whole", made / "train.tsv", made / "none", max_mb=0.01)
    with pytest.raises(kzoo.KzooError, match="no budget"):
        budget.search(made / "whole", made / "train.tsv", made / "none")


PAGE = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
PAGE = PAGE.partition("## Smaller models\n")[2].partition("\n## ")[0]


def test_the_page_of_the_readme_runs_as_it_stands_there(tmp_path, monkeypatch):
    """Its lines of Python and its recipe, on a small preset of as many blocks as it takes."""
    big = classifier(schedule=(0, 1, 2), labels=("negative", "positive"), hidden_dim=160)
    big.save_preset(tmp_path / "my_preset")
    shutil.copy(presets.shipped("export") / "sentiment.tsv", tmp_path / "train.tsv")
    monkeypatch.chdir(tmp_path)
    code, recipe = (
        re.search(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)[1] for kind in ("python", "json")
    )
    exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})
    (tmp_path / "smaller.json").write_text(recipe, encoding="utf-8")
    compress("smaller.json", verbose=0)
    counts = {
        name: kzoo.load(tmp_path / name).count_params()
        for name in ("my_preset", "my_small_preset", "my_smaller_preset")
    }
    assert kzoo.load(tmp_path / "my_small_preset").spec.num_layers == 2
    assert max(counts["my_small_preset"], counts["my_smaller_preset"]) < 0.5 * counts["my_preset"]
