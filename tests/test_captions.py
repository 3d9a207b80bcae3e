"""What is said of pictures: captions, answers to questions, whether a text fits."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from families import CAPTIONERS, SPECS, add_noise
from PIL import Image
from test_image_text import coloured
from test_seq2seq import cut
from test_tasks import tokenizer

import kzoo
from kzoo.data.media import PICTURES
from kzoo.evaluation import evaluate
from kzoo.images.image_processor import ImageProcessor
from kzoo.models import build
from kzoo.network import weights_by_path
from kzoo.training import train

ENDS = (17, 41)
READS = {"image_processor": ImageProcessor(size=(12, 8), mean=0.5, std=0.5)}
ASKED = "what is my film"
TASKS = {
    "vision_encoder_decoder": kzoo.ImageCaptioner,
    "blip_captioner": kzoo.ImageCaptioner,
    "blip_answerer": kzoo.VisualQuestionAnswerer,
}
HEADS = {"vision_encoder_decoder": "tied_lm"}


def one_block(family):
    """A spec of one block a tower, without dropout."""
    spec = SPECS[family]
    towers = {n: t.replace(schedule=(0,), dropout=0.0) for n, t in spec.towers.items()}
    return spec.replace(towers=towers)


def of(family, backbone=None, **options):
    """A task on a network of noise, or on another one."""
    backbone = add_noise(build(SPECS[family])) if backbone is None else backbone
    return TASKS[family](backbone, tokenizer=tokenizer(), **READS, **options)


def sources(task, count=3):
    """Pictures of noise, with questions where they are asked about."""
    draw = np.random.default_rng(5)
    pictures = list(draw.integers(0, 256, (count, 12, 8, 3)).astype("uint8"))
    if isinstance(task, kzoo.VisualQuestionAnswerer):
        asked = [ASKED, "a dog", "was the film very very good"]
        return list(zip(pictures, asked, strict=True))
    return pictures


def whole(task, given, most):
    """Greedy tokens by running all towers anew for each, sources side by side."""
    read, ids = task.source_inputs(task.prompt_ids(given)), [[task.start_id] for _ in given]
    for _ in range(most):
        decoder = np.array(ids, "int32")
        inputs = {"decoder_token_ids": decoder, "decoder_padding_mask": np.ones_like(decoder)}
        best = np.asarray(task({**read, **inputs})["logits"])[:, -1].argmax(-1).tolist()
        ids = [[*row, token] for row, token in zip(ids, best, strict=True)]
    return [cut(row[1:], ENDS) for row in ids]


def ids_of(task, given, **options):
    """The token ids that are written of sources."""
    rows = task.write(task.prompt_ids(given), end_token_ids=ENDS, max_new_tokens=9, **options)
    return [row[0].token_ids for row in rows]


@pytest.mark.parametrize("family", TASKS)
def test_a_cache_and_a_picture_read_once_write_what_the_whole_does(family):
    task = of(family)
    given = sources(task)
    expected = whole(task, given, 9)
    assert len({tuple(ids) for ids in expected}) > 1  # What is seen decides.
    assert ids_of(task, given) == expected
    assert ids_of(task, given, batch_size=2) == expected
    beams = ids_of(task, given, num_beams=3, num_return_sequences=2)
    assert beams[1] == ids_of(task, given[1:2], num_beams=3)[0]  # Alone its question isn't padded.


def written_by_all():
    """What each family writes with beams; heads have noise too, which is the same anywhere.

    A captioner of BLIP is its answerer without the tower that reads questions.
    """
    families = [family for family in TASKS if family != "blip_captioner"]
    tasks = {f: add_noise(of(f, build(one_block(f)))) for f in families}
    return {f: ids_of(task, sources(task), num_beams=3) for f, task in tasks.items()}


def test_jax_writes_the_same():
    code = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); import test_captions as t; "
        "print(json.dumps(t.written_by_all()))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, os.path.dirname(__file__)],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1]) == written_by_all()


def test_a_text_is_the_decoders_input_one_place_on_and_ends_with_its_end():
    task = of("blip_captioner")
    pairs = coloured(2)
    inputs, targets = next(iter(task.batches(pairs, batch_size=2)))
    tokens, targets = np.asarray(inputs["decoder_token_ids"]), np.asarray(targets)
    end, *_ = task.tokenizer.frame()[2][0]
    for row, target, (_, text) in zip(tokens, targets, pairs, strict=True):
        (ids,) = task.tokenizer.bare_ids([text])
        assert target.tolist() == [*ids, end]
        assert row.tolist() == [task.start_id, *ids]
    padded, one = next(iter(task.batches([pairs[0][0]] * 2, ["a dog", "a very bad dog"])))
    assert (np.asarray(one)[0, 3:] == -100).all()
    assert (np.asarray(padded["decoder_padding_mask"])[0] == [1, 1, 1, 0, 0]).all()


def table(folder, rows, columns):
    """A folder of pictures, and a table that names them."""
    folder.mkdir(exist_ok=True)
    lines = ["\t".join(columns)]
    for number, (picture, *texts) in enumerate(rows):
        Image.fromarray(picture).save(folder / f"{number}.png")
        lines.append("\t".join([f"{number}.png", *texts]))
    (folder / "table.tsv").write_text("\n".join(lines) + "\n")
    return folder / "table.tsv"


def test_it_learns_to_say_what_a_picture_shows_and_stays_the_same_when_saved(tmp_path):
    keras.utils.set_random_seed(1)
    task = of("vision_encoder_decoder", build(one_block("vision_encoder_decoder")))
    path = table(tmp_path / "pictures", coloured(16), ["image", "caption"])
    task.compile(kzoo.AdamW(5e-3, weight_decay=0.0))
    task.fit(str(path), batch_size=8, epochs=30, verbose=0)
    pictures, texts = map(list, zip(*coloured(4, seed=9), strict=True))
    assert task.predict(pictures) == texts
    assert task.generate(pictures[0]) == texts[0] == "".join(task.stream(pictures[0]))
    scores = task.evaluate(pictures, texts, scores="exact", verbose=0)
    assert scores["exact"] == 1 and scores["perplexity"] < 1.2
    assert evaluate(task, path)["scores"]["exact"] == 1
    assert task.generate(pictures[0], prompt="the").startswith("the")
    with pytest.raises(kzoo.KzooError, match="Got prompt= and forced_token_ids="):
        task.generate(pictures[0], prompt="the", forced_token_ids=[5])
    task.save(tmp_path / "task.keras")
    task.save_preset(tmp_path / "preset")
    for saved in ("task.keras", "preset"):
        again = kzoo.load(tmp_path / saved)
        assert type(again) is kzoo.ImageCaptioner
        for name, weight in weights_by_path(task).items():
            np.testing.assert_array_equal(weights_by_path(again)[name], weight)
        assert again.predict(pictures) == texts


def questions(count, seed=0):
    """(picture, question, answer): by the question which colour it has, or always the same."""
    rows = []
    for number, (picture, text) in enumerate(coloured(count, seed)):
        asks = (number // 4) % 2 == 0
        rows.append(
            (picture, "what is he", text.split()[1]) if asks else (picture, "is he dull", "not")
        )
    return rows


@pytest.mark.parametrize("kind", [kzoo.VisualQuestionAnswerer, kzoo.VisualQuestionClassifier])
def test_questions_about_pictures_are_learned_from_a_table(kind, tmp_path):
    keras.utils.set_random_seed(2)
    rows = questions(32)
    path = table(tmp_path / "pictures", rows, ["image", "question", "answer"])
    read = kind.read_file(path, None, None, "required")
    assert kind.read_file(path, "image", None, "required").x == read.x
    assert kind.read_file(path, ["image", "question"], None, "required").x == read.x
    family, options = "blip_answerer", {}
    if kind is kzoo.VisualQuestionClassifier:
        family, options = "blip_matcher", {"labels": sorted({answer for *_, answer in rows})}
    task = kind(build(one_block(family)), tokenizer=tokenizer(), **READS, **options)
    task.compile(kzoo.AdamW(5e-3, weight_decay=0.0))
    task.fit(str(path), batch_size=8, epochs=40, verbose=0)
    answer = kzoo.pipeline("visual-question-answering", task)
    for picture, question, expected in questions(8, seed=4):
        found = answer(image=picture, question=question, top_k=2)
        assert found[0]["answer"] == expected
        assert set(found[0]) == ({"answer", "score"} if options else {"answer"})
    several = answer([{"image": p, "question": q} for p, q, _ in rows[:3]])
    assert [found[0]["answer"] for found in several] == [expected for *_, expected in rows[:3]]


def test_pairs_that_fit_get_others_beside_them_and_pictures_are_found_by_both_readings(tmp_path):
    keras.utils.set_random_seed(3)
    task = kzoo.ImageTextMatcher(build(one_block("blip_matcher")), tokenizer=tokenizer(), **READS)
    pairs = coloured(32)
    with_others, targets, _ = task.with_others(pairs, seed=1)
    assert targets == ["yes"] * 32 + ["no"] * 32
    for (_, text), (_, other) in zip(pairs, with_others[32:], strict=True):
        assert text != other
    several = [("a.png", "the dog"), ("a.png", "a dog"), ("b.png", "a cat")]
    for seed in range(4):  # A picture's other text is no text that doesn't fit.
        others = task.with_others(several, seed=seed)[0][3:]
        assert others[:2] == [("a.png", "a cat")] * 2 and others[2][1] != "a cat"
    task.compile(kzoo.AdamW(3e-3, weight_decay=0.0))
    losses = task.fit(pairs, batch_size=8, epochs=6, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    pictures, texts = map(list, zip(*coloured(4, seed=9), strict=True))
    fits = np.array([[task.predict((p, text))[0, 1] for text in texts] for p in pictures])
    found = task.search(texts[2], pictures, top=2)
    scores = [each["score"] for each in found]
    assert scores == pytest.approx(np.sort(fits[:, 2])[::-1][:2].tolist(), abs=1e-5)
    cosines = task.similarities(pictures, texts)
    assert cosines.shape == (4, 4) and np.abs(cosines).max() <= 1 + 1e-6
    task.save(tmp_path / "task.keras")
    again = kzoo.load(tmp_path / "task.keras")
    np.testing.assert_allclose(again.similarities(pictures, texts), cosines, atol=1e-6)


def test_two_networks_become_one_with_their_weights():
    vit, gpt2 = (add_noise(build(SPECS[name])) for name in ("vit", "gpt2"))
    vit.processors, gpt2.processors = READS, {"tokenizer": tokenizer()}
    made = kzoo.VisionEncoderDecoder.of(vit, gpt2)
    for tower, network in (("encoder", vit), ("decoder", gpt2)):
        held = weights_by_path(made.towers[tower])
        for path, weight in weights_by_path(network).items():
            if not path.startswith("pooler"):
                np.testing.assert_array_equal(held[path], weight)
    assert "block_0/cross_attention/query/kernel" in weights_by_path(made.decoder)
    assert made.start_id == gpt2.padding_id and made.memory_projection is None
    assert kzoo.ImageCaptioner(made).tokenizer is gpt2.tokenizer
    assert made.resized([16, 8]).encoder.longest == 9


@pytest.mark.parametrize(
    ("towers", "said"),
    [
        ({"encoder": "gpt2"}, "a gpt2 as the encoder .* reads pictures"),
        ({"decoder": "gpt2"}, "a gpt2 as the decoder .* looks at a memory"),
        ({"decoder": "vit"}, "a vit as the decoder"),
    ],
)
def test_towers_that_do_not_fit_are_named(towers, said):
    spec = SPECS["vision_encoder_decoder"]
    towers = {name: SPECS[family] for name, family in towers.items()}
    with pytest.raises(kzoo.KzooError, match=said):
        build(spec.replace(towers={**spec.towers, **towers}))


def test_a_recipe_trains_a_captioner(tmp_path):
    path = table(tmp_path / "pictures", coloured(8), ["image", "caption"])
    task = of("vision_encoder_decoder", build(one_block("vision_encoder_decoder")))
    task.save_preset(tmp_path / "fresh")
    recipe = {
        "model": str(tmp_path / "fresh"),
        "train": str(path),
        "output": str(tmp_path / "out"),
        "validation": 0.25,
        "epochs": 1,
        "augment": {"kind": "RandomFlip", "mode": "horizontal"},
    }
    learnt, history = train(recipe, verbose=0)
    assert type(learnt) is kzoo.ImageCaptioner and "val_perplexity" in history.history
    assert kzoo.load(tmp_path / "out").predict(coloured(1)[0][0], max_new_tokens=3)


# -- what is refused ------------------------------------------------------------------------------


def changed(folder, change):
    """A table of pictures with something wrong in it."""
    path = table(folder, coloured(3), ["image", "caption"])
    path.write_text(change(path.read_text()))
    return str(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("1.png", "gone.png"), r"1 of 3 pictures .* \(gone.png\)"),
        (lambda text: text.replace("a good", ""), "line 2: caption is empty; expected a caption"),
        (lambda text: text.replace("caption", "words"), "expected one of labels"),
    ],
)
def test_a_table_with_something_missing_is_one_sentence(change, said, tmp_path):
    task = of("blip_captioner")
    task.compile()
    with pytest.raises(kzoo.KzooError, match=said) as caught:
        task.fit(changed(tmp_path / "pictures", change), verbose=0)
    assert "\n" not in str(caught.value)


def test_bad_examples_are_named():
    task, asks = of("blip_captioner"), of("blip_answerer")
    picture = coloured(1)[0][0]
    for given, said in (
        (([picture], ["  "]), "the text '  ' of picture 0"),
        (([picture], None), "1 pictures and no texts"),
        (([picture, picture], ["a dog"]), "2 pictures and 1 texts"),
        (([picture], [7]), "the text 7 of picture 0"),
    ):
        with pytest.raises(kzoo.KzooError, match=said):
            task.batches(*given)
    with pytest.raises(kzoo.KzooError, match="500 tokens|50[0-9] tokens .* expected 1 to 40"):
        asks.generate((picture, "film " * 500))
    for pair, said in (
        ((picture, " "), "text of example 0 is empty"),
        ([(picture, 3)], "Example 0 is tuple"),
        ([], "at least one"),
    ):
        with pytest.raises(kzoo.KzooError, match=said):
            asks.generate(pair)
    with pytest.raises(kzoo.KzooError, match="no_such_file.png doesn.t exist; expected the file"):
        task.generate("no_such_file.png")
    with pytest.raises(kzoo.KzooError, match="the same text for all .* expected others"):
        matcher = kzoo.ImageTextMatcher(
            build(one_block("blip_matcher")), tokenizer=tokenizer(), **READS
        )
        matcher.with_others([(picture, "a dog")] * 3)


@pytest.mark.parametrize("kind", ["ImageCaptioner", "VisualQuestionAnswerer", "ImageTextMatcher"])
def test_a_network_that_reads_otherwise_is_named(kind):
    with pytest.raises(kzoo.KzooError, match=f"Got a vit for an? {kind}; expected"):
        getattr(kzoo, kind)(build(SPECS["vit"]))


def test_captions_have_the_familiar_format():
    task = of("blip_captioner", generation={"max_new_tokens": 4})
    pictures = sources(task, 2)
    caption = kzoo.pipeline("image-to-text", task)
    (one,) = caption(pictures[0])
    assert one == {"generated_text": task.generate(pictures[0])}
    several = caption(pictures, num_beams=2, num_return_sequences=2)
    assert [len(row) for row in several] == [2, 2]
    with pytest.raises(kzoo.KzooError, match="'image-to-text' needs a ImageCaptioner"):
        kzoo.pipeline("image-to-text", kzoo.ImageClassifier(build(SPECS["vit"]), ["a", "b"]))


def test_pictures_of_a_table_are_read_by_what_their_task_calls_a_target(tmp_path):
    path = table(tmp_path / "pictures", coloured(2), ["image", "caption"])
    examples = PICTURES.read(path, None, "caption", "required", "caption")
    assert examples.y == ["a good", "a bad"] and len(examples.x) == 2


assert set(CAPTIONERS) <= set(TASKS)
