"""An encoder-decoder as a LiteRT file: one function reads a source, another writes of it."""

import pytest
from families import noisy

import kzoo
from kzoo.litert.convert import exportable, sizes_of, traced, write_file
from kzoo.litert.function import Function
from kzoo.litert.interpreter import opened
from kzoo.values import NOWHERE

SOURCE, NEW = [7, 8, 9, 10, 11, 30], 9


def tokens_of(path, source, start):
    """Greedy tokens of a file, each read by `decode` with what it and `encode` gave before."""
    backend = opened(path, 1, True)
    encode, decode = Function(backend, "encode"), Function(backend, "decode")
    encode.fit(len(source))
    encode.input("encoder_token_ids")[:], encode.input("encoder_padding_mask")[:] = source, 1
    memory = {name: value.copy() for name, value in encode.run().items()}
    decode.fit(len(source))
    for name, value in memory.items():
        decode.input(name)[:] = value
    decode.input("memory_mask")[:], decode.input("past_places")[:] = 1, NOWHERE
    written = [start]
    for place in range(NEW):
        decode.input("decoder_token_ids")[:] = written[-1]
        decode.input("decoder_places")[:] = place
        outputs = {name: value.copy() for name, value in decode.run().items()}
        decode.input("past_places")[:, place] = place
        for name in outputs.keys() - {"logits"}:
            decode.input(name)[:, :, place] = outputs[name][:, :, 0]
        written.append(int(outputs["logits"][0].argmax()))
    return written[1:]


@pytest.mark.parametrize("family", ["t5", "mbart", "marian"])
def test_a_file_writes_kerass_tokens_in_one_partition_a_function(family, tmp_path):
    task = kzoo.Seq2SeqLM(noisy(family))
    expected = task.generate([SOURCE], max_new_tokens=NEW, end_token_ids=())[0]
    with traced(exportable(task), sizes_of(task, cache=12)) as graphs:
        for precision in ("float32", "int8"):
            audited = write_file(graphs, tmp_path / f"{precision}.tflite", precision)
            assert sorted(audited["signatures"]) == ["decode", "encode"]
            # Weights stand in the file once, though both functions have some of them.
            assert audited["bytes"] < 2 * 4 * task.count_params() + 400_000
    assert tokens_of(tmp_path / "float32.tflite", SOURCE, task.start_id) == expected
    assert len(tokens_of(tmp_path / "int8.tflite", SOURCE, task.start_id)) == NEW


def test_an_export_says_that_there_is_no_bundle_yet(tmp_path):
    with pytest.raises(
        kzoo.KzooError, match="a Seq2SeqLM, of which there is no device file yet.*save_preset"
    ):
        kzoo.export_litert(kzoo.Seq2SeqLM(noisy("t5")), tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())
