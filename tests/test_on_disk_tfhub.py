"""SavedModels of TF Hub: the outputs that they give when they are run, or one sentence."""

import numpy as np
import pytest
from tf_checkpoints import arrays, check, golden, refused, unpacked, write_checkpoint

import kzoo
from kzoo.checkpoints import formats

CASES = golden("tfhub") | golden("tfhub_modules")
MODELS = [name for name, case in CASES.items() if "outputs" in case]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "The"]


def written(folder, name="bert_masked_lm", **values):
    """The folder of a case; other variables where they are given."""
    case = CASES[name]
    (folder / "assets").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(unpacked(case["saved_model"]))
    graph = unpacked(case["graph"]) if case.get("graph") else None
    named = arrays(case, case.get("names")) | values
    write_checkpoint(folder / "variables" / "variables", named, graph)
    return folder


@pytest.mark.parametrize("name", MODELS)
def test_outputs_are_those_of_the_reference(name, tmp_path):
    folder = written(tmp_path, name)
    assert formats.recognised(folder).format.name == "tf-hub"
    check(CASES[name], kzoo.load(folder))


def test_a_module_of_tensorflow_1_without_a_text_encoder_is_one_sentence(tmp_path):
    folder = written(tmp_path, "module_bert")
    case = CASES["module_bert"]
    others = {f"a/{name}": value for name, value in arrays(case).items() if "/query/" not in name}
    write_checkpoint(folder / "variables" / "variables", others)
    refused(folder, "bert_config.json", "num_attention_heads")
    flat = arrays(case) | {"module/bert/embeddings/word_embeddings": np.zeros(3, "float32")}
    write_checkpoint(folder / "variables" / "variables", flat)
    refused(folder, "word_embeddings", "[3]")
    write_checkpoint(folder / "variables" / "variables", {"module/dense/kernel": np.zeros((2, 2))})
    refused(folder, "module/dense/kernel", "a SavedModel of something else than the BERT")


@pytest.mark.parametrize("lower", [True, False])
def test_vocabulary_and_casing_come_from_the_savedmodel(lower, tmp_path):
    folder = written(tmp_path)
    key = next(key for key in CASES["bert_masked_lm"]["tensors"] if "do_lower_case" in key)
    folder = written(tmp_path / "case", **{key: np.array(lower)})
    (folder / "assets" / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    tokenizer = kzoo.load(folder).processors["tokenizer"]
    assert tokenizer.tokens("The")[1] == ("the" if lower else "The")


def test_a_model_that_makes_ids_of_texts_is_refused(tmp_path):
    refused(written(tmp_path, "preprocessing"), "makes ids of texts", "encoder")


def test_a_damaged_savedmodel_and_one_of_something_else_are_one_sentence(tmp_path):
    folder = written(tmp_path / "a")
    (folder / "saved_model.pb").write_bytes(b"\xff\xff\xff")
    refused(folder, "saved_model.pb", "sound SavedModel")
    folder = written(tmp_path / "b")
    write_checkpoint(folder / "variables" / "variables", {"w": np.zeros(3, "float32")}, b"\n\0")
    refused(folder, "it has w;", "a SavedModel of something else than the BERT")
    (folder / "variables" / "variables.index").unlink()
    refused(folder, "half a checkpoint")


def test_a_savedmodel_without_its_weights_says_what_is_expected_where(tmp_path):
    folder = written(tmp_path)
    variables = list((folder / "variables").iterdir())
    for file in variables:
        file.rename(folder / file.name)
    refused(folder, "variables/variables.index", "move those beside it into a folder variables.")
    (folder / "variables").rmdir()
    refused(folder, "variables/variables.index", "move those beside it into a folder variables.")
    for file in variables:
        (folder / file.name).unlink()
    refused(folder, "variables/variables.index", "fetch all of it.")
