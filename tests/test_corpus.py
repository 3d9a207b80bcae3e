"""Text in files: the same examples as of a list, in little memory, exactly where a run goes on."""

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from families import noisy
from resumed import Interrupt
from test_causal_lm import SPEC as DECODER
from test_causal_lm import byte_tokenizer
from test_tasks import WORDS, tokenizer

import kzoo
from kzoo.data.corpus import CACHE
from kzoo.errors import KzooError
from kzoo.models import build

SPEC = kzoo.Spec(
    family="bert",
    embedding={"kind": "token", "vocabulary_size": 80, "num_segments": 2},
    hidden_dim=8,
    num_heads=2,
    intermediate_dim=16,
    schedule=(0,),
    max_sequence_length=24,
)


def sentences(count, seed=0):
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, draw.integers(3, 8))) for _ in range(count)]


@pytest.fixture
def folder(tmp_path):
    """Three files of documents between blank lines, with sentences as lines; one is packed."""
    path = tmp_path / "texts"
    path.mkdir()
    for number in range(3):
        lines = sentences(24, number)
        documents = ["\n".join(lines[i : i + 4]) for i in range(0, 24, 4)]
        text = "\n\n".join(documents) + "\n"
        if number == 2:
            with gzip.open(path / "2.txt.gz", "wt", encoding="utf-8") as file:
                file.write(text)
        else:
            (path / f"{number}.txt").write_text(text, encoding="utf-8")
    return path


def tasks(name, **options):
    """A task that learns from raw text, with the same weights whenever it is made."""
    keras.utils.set_random_seed(1)
    made = {
        "MaskedLM": lambda: kzoo.MaskedLM(
            build(SPEC), tokenizer=tokenizer(), objective="whole_words", **options
        ),
        "PreTraining": lambda: kzoo.PreTraining(build(SPEC), tokenizer=tokenizer(), **options),
        "PermutationLM": lambda: kzoo.PermutationLM(
            noisy("xlnet"), tokenizer=tokenizer(), objective="whole_words", **options
        ),
        "CausalLM": lambda: kzoo.CausalLM(build(DECODER), tokenizer=byte_tokenizer(), **options),
        "Seq2SeqLM": lambda: kzoo.Seq2SeqLM(
            noisy("transformer"), tokenizer=tokenizer(), objective="infilling", **options
        ),
    }[name]()
    made.compile(optimizer=kzoo.AdamW(1e-2))
    return made


def every(task, x, **options):
    """All batches of an epoch, the arrays of each in a list."""
    plan = task.batches(x, batch_size=4, shuffle=True, seed=3, **options).plan
    order = plan.order(1)
    made = [plan.learned(rows, 1, n) for n, rows in enumerate(order, 1)]
    return [keras.tree.flatten(batch) for batch in made]


def same(one, other):
    assert len(one) == len(other)
    for here, there in zip(one, other, strict=True):
        for mine, its in zip(here, there, strict=True):
            np.testing.assert_array_equal(mine, its)


# -- the same examples -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["MaskedLM", "PreTraining", "PermutationLM", "CausalLM", "Seq2SeqLM"]
)
def test_files_give_the_examples_of_a_list(name, folder):
    task = tasks(name)
    lines = [line for number in range(3) for line in sentences(24, number)]
    if name == "PreTraining":
        texts = [lines[i : i + 4] for i in range(0, len(lines), 4)]
        unit = "document"
    else:
        texts, unit = lines, "line"
    corpus = kzoo.Corpus(folder, unit)
    assert len(corpus) == len(texts)
    same(every(task, corpus), every(task, texts))
    # Some of the documents, as a share of them is held out.
    rows = [0, 3, 4, 11, 17]
    same(every(task, corpus.part(rows)), every(task, [texts[i] for i in rows]))


def test_texts_that_are_not_joined_are_cut_alone(folder):
    task = tasks("CausalLM", packing=False, max_length=8)
    lines = [line for number in range(3) for line in sentences(24, number)]
    same(every(task, kzoo.Corpus(folder, "line")), every(task, lines))


def test_long_documents_are_read_to_their_ends(folder):
    """In pieces, where a list's texts are cut off."""
    task = tasks("MaskedLM", max_length=10)
    plan = task.batches(kzoo.Corpus(folder, "file"), batch_size=1).plan
    shown = []
    for number in range(plan.size):
        inputs, targets = plan.batch(np.array([number]))
        ids = np.where(targets == -100, inputs["token_ids"], targets)[0]
        assert len(ids) <= 10 and ids[0] == 2 and ids[-1] == 3
        shown += ids[1:-1].tolist()
    lines = [line for number in range(3) for line in sentences(24, number)]
    assert shown == [token for ids in task.tokenizer.bare_ids(lines) for token in ids]


def write_records(path, features):
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path)) as writer:
        for each in features:
            made = {
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
                if isinstance(value, bytes)
                else tf.train.Feature(int64_list=tf.train.Int64List(value=value))
                for name, value in each.items()
            }
            example = tf.train.Example(features=tf.train.Features(feature=made))
            writer.write(example.SerializeToString())


def test_records_of_text_and_of_tokens_are_texts_too(tmp_path):
    lines, task = sentences(20), tasks("MaskedLM")
    task.objective = "tokens"
    write_records(tmp_path / "a.tfrecord-00000-of-00001", [{"text": x.encode()} for x in lines])
    ids = task.tokenizer.encode(lines, padding="longest")["token_ids"].tolist()
    write_records(tmp_path / "ids.tfrecord", [{"input_ids": row} for row in ids])
    for path in tmp_path.glob("*tfrecord*"):
        same(every(task, kzoo.Corpus(path)), every(task, lines))


# -- files of token ids ----------------------------------------------------------------------------


def test_token_ids_are_made_once_for_each_text_and_tokenizer(folder, monkeypatch):
    task, made = tasks("MaskedLM"), []
    encode = type(task.tokenizer).bare_words
    monkeypatch.setattr(
        type(task.tokenizer),
        "bare_words",
        lambda self, texts: made.append(len(texts)) or encode(self, texts),
    )
    first = every(task, kzoo.Corpus(folder, "line"))
    same(every(task, kzoo.Corpus(folder, "line")), first)
    assert made == [72]
    # Half a file, as a machine that goes down may leave it, is no file.
    (ids,) = (folder / CACHE).glob("*/ids")
    ids.write_bytes(ids.read_bytes()[:-4])
    same(every(task, kzoo.Corpus(folder, "line")), first)
    assert made == [72] * 2
    with open(folder / "0.txt", "a", encoding="utf-8") as file:
        file.write("a film\n")
    assert sum(len(batch[0]) for batch in every(task, kzoo.Corpus(folder, "line"))) == 73
    assert made == [72, 72, 73]


def test_a_cache_that_cannot_be_written_says_so(folder, tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(KzooError, match="cache"):
        every(tasks("MaskedLM"), kzoo.Corpus(folder, "line", cache=tmp_path / "cache"))


GROWTH = """
import os, sys, threading
import keras, kzoo
import test_corpus
small, large = sys.argv[1:]
task = test_corpus.tasks("MaskedLM")
task.objective = "tokens"
class Stop(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        self.model.stop_training = batch == 5
def fit(path):
    task.fit(kzoo.Corpus(path, "line"), batch_size=32, verbose=0, callbacks=[Stop()])
def own():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon"))
fit(small)  # What is made once is there.
peaks, ends = [own()], threading.Event()
def watch():
    while not ends.wait(0.005):
        peaks.append(own())
thread = threading.Thread(target=watch, daemon=True)
thread.start()
fit(large)
ends.set()
thread.join()
print("grown", (max(peaks) - peaks[0]) * 1024, flush=True)
os._exit(0)  # TensorFlow may wait for ever for batches of an epoch that was broken off.
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_a_corpus_is_not_held_in_memory(tmp_path):
    """A process grows by what is made once and little more; of a list of 6 MB it does by 92."""
    text = " ".join(sentences(20000))
    text = "\n".join(text[at : at + 4000] for at in range(0, len(text), 4000)) + "\n"
    small, large = tmp_path / "small.txt", tmp_path / "large.txt"
    small.write_text(text)
    large.write_text(text * 14)
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    run = subprocess.run(
        [sys.executable, "-c", GROWTH, small, large],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
        timeout=600,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    grown, size = int(run.stdout.split("grown")[1]), large.stat().st_size
    assert size > 5e6 and grown < 45e6, (grown, size)


# -- trainings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["MaskedLM", "PreTraining", "PermutationLM", "CausalLM", "Seq2SeqLM"]
)
def test_a_batch_is_the_same_whatever_was_read_before_it(name, folder):
    """What is drawn in each epoch included: a training goes on from any of them."""
    corpus = kzoo.Corpus(folder, "document" if name == "PreTraining" else "line")

    def plan():
        return tasks(name).batches(corpus, batch_size=4, shuffle=True, seed=3).plan

    def batch(plan, epoch, number):
        rows = list(plan.order(epoch))[number]
        return keras.tree.flatten(plan.learned(rows, epoch, number + 1))

    whole, places = plan(), [(epoch, number) for epoch in range(2) for number in range(3)]
    in_order = {place: batch(whole, *place) for place in places}
    same([batch(plan(), 1, 1)], [in_order[1, 1]])
    first, second = (b"".join(map(bytes, in_order[epoch, 1])) for epoch in range(2))
    assert first != second


def test_a_training_on_files_goes_on_from_any_place(folder, tmp_path):
    """As if it had not been stopped, to the last bit, what is drawn in each epoch included."""
    from kzoo.training import Checkpoints

    corpus = kzoo.Corpus(folder, "document")

    def fit(resume=None, callbacks=()):
        task = tasks("PreTraining")
        task.compile(optimizer=kzoo.AdamW(1e-2), run_eagerly=True)  # Tracing thrice takes longer.
        options = {"batch_size": 6, "epochs": 2, "seed": 5, "verbose": 0}
        resume = resume and Checkpoints(resume, every=0)
        history = task.fit(corpus, **options, callbacks=list(callbacks), resume=resume)
        return [np.asarray(weight) for weight in task.weights], history.history

    whole = fit()
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "kept", [Interrupt((1, 1))])
    again = fit(tmp_path / "kept", [Interrupt(None)])
    for one, other in zip(whole[0], again[0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert whole[1] == again[1]
    assert len(set(whole[1]["loss"])) == 2


def test_other_texts_are_another_training(folder, tmp_path):
    from kzoo.training import Checkpoints

    task = tasks("MaskedLM")
    with pytest.raises(KeyboardInterrupt):
        task.fit(
            kzoo.Corpus(folder, "line"),
            batch_size=8,
            verbose=0,
            callbacks=[Interrupt((0, 2))],
            resume=Checkpoints(tmp_path / "kept", every=0),
        )
    text = (folder / "0.txt").read_text().replace("film", "dogs", 1)
    (folder / "0.txt").write_text(text)
    with pytest.raises(KzooError, match="a training with another set of texts|another lengths"):
        tasks("MaskedLM").fit(
            kzoo.Corpus(folder, "line"), batch_size=8, verbose=0, resume=tmp_path / "kept"
        )


def test_a_recipe_learns_from_a_folder(folder, tmp_path, capsys):
    start = tasks("PreTraining", pairs="sentence_order", objective="ngrams")
    start.save_preset(tmp_path / "start")
    fields = {"model": "start", "task": "PreTraining", "train": "texts", "text": "document"}
    fields |= {"validation": 0.2, "output": "out", "epochs": 2, "pairs": "next_sentence"}
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(fields))
    task, history = kzoo.train(path, verbose=2)
    shown = capsys.readouterr().out
    assert "14 examples as 3 files of text, documents between blank lines" in shown
    assert set(history.history) >= {"val_pair_accuracy", "val_loss", "accuracy"}
    again = kzoo.load(tmp_path / "out")
    assert again.pairs == "next_sentence" and again.objective == "ngrams"
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert record["data"]["validation"]["examples"] == 4
    # A pattern of files is what another task reads.
    other = tmp_path / "other.json"
    other.write_text(json.dumps({**fields, "task": "MaskedLM", "train": "texts/*.txt"} | {
        "text": "line", "output": "masked", "pairs": None, "epochs": 1,
    }))  # fmt: skip
    kzoo.train(other, verbose=0)
    assert type(kzoo.load(tmp_path / "masked")) is kzoo.MaskedLM


# -- what is refused -------------------------------------------------------------------------------


def truncated(path):
    write_records(path / "a.tfrecord", [{"text": b"a film"}] * 20)
    data = (path / "a.tfrecord").read_bytes()
    (path / "a.tfrecord").write_bytes(data[:-9])


def half_packed(path):
    data = gzip.compress(("a film is good\n" * 500).encode())
    (path / "a.txt.gz").write_bytes(data[: len(data) // 2])


SPOILT = {
    "an empty folder": (lambda path: None, "line", "holds no text; expected files that end in"),
    "blank files": (lambda p: (p / "a.txt").write_text("\n \n"), "line", "holds no text; expected"),
    "no UTF-8": (
        lambda p: (p / "a.txt").write_bytes(b"a film\nbad \xff\n"),
        "line",
        "a.txt, line 2, is not UTF-8 .byte 4.: save it in that encoding",
    ),
    "half a gzip": (half_packed, "line", "is not a whole gzip file"),
    "half a record": (truncated, None, "a.tfrecord is cut off or spoilt behind record 19"),
    "other features": (
        lambda p: write_records(p / "a.tfrecord", [{"label": [1], "masks": [1]}]),
        None,
        "record 1, has label, masks; expected input_ids",
    ),
    "no example": (
        lambda p: Path(p / "a.txt").write_text("a film"),
        None,
        'Got None as what a document of .* is; expected "line"',
    ),
}


@pytest.mark.parametrize("name", SPOILT)
def test_files_that_hold_no_text_are_refused(name, tmp_path):
    spoil, unit, message = SPOILT[name]
    spoil(tmp_path)
    with pytest.raises(KzooError, match=message):
        kzoo.Corpus(tmp_path, unit)


def test_tokens_of_another_tokenizer_are_refused(tmp_path):
    write_records(tmp_path / "a.tfrecord", [{"input_ids": [5, 80000]}] * 2)
    task = kzoo.MaskedLM(build(SPEC), tokenizer=tokenizer())
    with pytest.raises(KzooError, match="Got the token 80000 in a record; expected 0 to"):
        every(task, kzoo.Corpus(tmp_path))
    assert not list((tmp_path / CACHE).iterdir())
    write_records(tmp_path / "a.tfrecord", [{"input_ids": [5, 6]}] * 2)
    with pytest.raises(KzooError, match="don't say where words begin; expected records of text"):
        every(tasks("MaskedLM"), kzoo.Corpus(tmp_path))


def test_what_a_corpus_is_not_for_is_refused(folder):
    corpus = kzoo.Corpus(folder, "line")
    with pytest.raises(KzooError, match="A list of strings or of pairs is expected; Corpus came"):
        classes = kzoo.TextClassifier(build(SPEC), ["a", "b"], tokenizer=tokenizer())
        classes.compile()
        classes.fit(corpus, [0] * len(corpus))
    with pytest.raises(KzooError, match="Got sample_weight for .* whose documents are cut"):
        tasks("MaskedLM").batches(corpus, sample_weight=[1.0] * len(corpus))
    with pytest.raises(KzooError, match="for a Seq2SeqLM; expected an objective"):
        plain = kzoo.Seq2SeqLM(noisy("transformer"), tokenizer=tokenizer())
        plain.batches(corpus)
    with pytest.raises(KzooError, match="Got a stride for .*; expected none"):
        tasks("CausalLM").measure(corpus, stride=4)
    with pytest.raises(KzooError, match='a document a file; expected sentences: say "line"'):
        tasks("PreTraining").batches(kzoo.Corpus(folder, "file"))
    with pytest.raises(KzooError, match="Got label 'y' for .*, raw text; expected none"):
        kzoo.MaskedLM.read_file(folder, "line", "y")
    shutil.rmtree(folder / CACHE, ignore_errors=True)
