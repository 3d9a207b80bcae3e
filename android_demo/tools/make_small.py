"""Small bundles of every task, and what Python answers with them: what the clients' tests read.

Entities and questions know the texts below by heart, so that their answers are the same ones
wherever this runs; the others have random weights, and answers that mean nothing. All of them hold
other languages' rows, windows and answer rules against Python's.

    python android_demo/tools/make_small.py build/small

Beside each bundle NAME there is NAME.jsonl: what `kzoo predict --json` says of some texts, or of
the pictures and sounds in `files`. Of the two towers in `towers`, which know the captions of some
pictures by heart, there is towers.json: what was searched and which labels were asked for. Of the
bundles that write of sources there is sources.json: tokens that were written greedily and by beams.
Of the indexes of documents, whose stages are bundles, there is indexes.json: what was found.
"""

import json
import re
import sys
import tempfile
import wave
from itertools import product
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
import tokenizers
from matplotlib.cbook import get_sample_data
from PIL import Image, ImageDraw
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

import kzoo
from kzoo import presets
from kzoo.audio.audio_processor import AudioProcessor
from kzoo.bundle import export_bundle
from kzoo.bundle.predict import open_writer
from kzoo.bundle.senses import sentences
from kzoo.bundle.towers import TowersPredictor
from kzoo.images.image_processor import ImageProcessor
from kzoo.index import Index
from kzoo.models import build
from kzoo.network import weights_by_path
from kzoo.spec import Spec, Towers
from kzoo.text.tokenizer import Tokenizer

TEXTS = [
    "Angela Merkel met Tim Cook in New York, N.Y., last week.",
    "",
    "  two  spaces, a\ttab and 日本語 between café and naïve 😀👍🏽 words  ",
    "\u0001\u0007",
    "It isn't unbelievably over-complicated; re-read it (twice)! " * 8,
]
PAIRS = [
    ("Who met Tim Cook?", TEXTS[0]),
    ("Where?", "In 日本 😀, of course. " * 30),
    ("Is it empty?", ""),
    ("A question that is far too long for the half of the room " * 3, TEXTS[4]),
]
TOWER = (
    "The Eiffel Tower is a lattice tower on the Champ de Mars in Paris. It is named after the "
    "engineer Gustave Eiffel, whose company designed and built the tower from 1887 to 1889. It was "
    "finished in March 1889 as the centrepiece of the World's Fair, and it stayed the tallest "
    "structure in the world for 41 years, until the Chrysler Building in New York City was "
    "completed in 1930. About seven million people visit it every year."
)
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]
# Names that look marked but follow no scheme, of characters outside of Unicode's first plane.
MARKS = ["O", "😀-PER", "𝐁-X", "B-😀"]
LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
# Words with their labels, also such as no person would give: each way in which one entity follows
# another.
ENTITIES = [
    "Angela/B-PER Merkel/I-PER met/O Tim/B-PER Cook/I-PER in/O New/B-LOC York/I-LOC ,/O N/B-LOC "
    "./I-LOC Y/I-LOC ./I-LOC ,/O last/O week/O ./O",
    "Angela/B-PER Merkel/I-PER met/O Tim/B-PER Cook/I-PER in/O New/B-LOC York/I-LOC 😀/O ,/O "
    "N/B-LOC ./I-LOC Y/I-LOC ./I-LOC ,/O last/O week/O ./O",
    "two/I-LOC spaces/B-LOC ,/I-LOC a/B-PER tab/I-PER and/O 日/B-LOC 本/I-LOC 語/I-PER between/O "
    "café/I-PER and/I-PER naïve/B-PER 😀👍🏽/O words/I-LOC",
    "It/O isn't/B-PER unbelievably/I-PER over-complicated/O ;/I-LOC re-read/B-LOC it/B-LOC "
    "(/O twice/B-PER )/I-LOC !/O " * 8,
]
QUESTIONS = [
    ("Who met Tim Cook?", TEXTS[0], "Angela Merkel"),
    ("Where did they meet?", TEXTS[0], "New York, N.Y."),
    ("Where?", "In 日本 😀, of course.", "日本 😀"),
    ("When was the tower finished?", TOWER, "March 1889"),
    ("How many people visit it?", TOWER, "About seven million"),
]
# What a decoder writes, with characters of two to four bytes, and texts to write on from.
TOLD = "A café in naïve 日本語 has 😀 and 👍🏽 on its door."
TOLD_IN_GERMAN = "Wer hat Tim in New York getroffen? Angela, im Café."
PROMPTS = ["A", "A caf", "Angela Merkel", "Who met Tim", "A café in naïve 日", "   two", "Zz"]
PLACES = 96
ENDS = [2, *range(7, 160, 12)]  # tokens that end what is written, as many as texts soon have one
CODES = ["en_XX", "de_DE", "fr_XX"]


def noisy(model, seed, part="", scale=0.3):
    """The model with noise of this seed on the weights under `part`."""
    for i, (path, weight) in enumerate(sorted(weights_by_path(model).items())):
        if path.startswith(part):
            noise = np.random.default_rng([seed, i]).standard_normal(weight.shape)
            weight.assign(np.asarray(weight) + scale * noise)
    return model


def by_heart(model, x, y):
    """The model after it has learnt these examples, far from any doubt."""
    for _ in range(5):
        model.compile(optimizer=kzoo.AdamW(3e-3))
        model.fit(x, y, epochs=80, batch_size=len(x), verbose=0)
        found = model.evaluate(x, y, verbose=0, return_dict=True)
        if found["accuracy"] == 1 and found["loss"] < 0.03:
            return model
    raise SystemExit(f"error: {model.task_name} did not learn its texts by heart: {found}")


def pieces(text):
    """The words of "word/LABEL ...", split as BERT splits them, and a label for each."""
    words, labels = [], []
    for word, label in (pair.rsplit("/", 1) for pair in text.split()):
        for part in re.findall(r"\w+|[^\w\s]", word):
            words.append(part)
            labels.append(label)
            label = label.replace("B-", "I-")
    return words, labels


def trained(model, trainer, pre_tokenizer, normalizer=None):
    """A tokenizer of another kind than BERT's, trained on the texts."""
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.train_from_iterator([*TEXTS, *ENTITIES, TOWER], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")],
    )
    return Tokenizer(tokenizer)


def bytes_alone():
    """A token a byte, and one that ends a text, as the smallest GPT-2 has them."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = ["<|endoftext|>", *alphabet]
    tokenizer = tokenizers.Tokenizer(models.BPE({name: i for i, name in enumerate(names)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(names[:1])
    return Tokenizer(tokenizer)


def byte_fallback():
    """Pieces between visible spaces and bytes for the rest, with a token before a text: Llama's."""
    pieces = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *map(chr, range(33, 127))]
    tokenizer = tokenizers.Tokenizer(
        models.BPE(
            {piece: i for i, piece in enumerate(pieces)},
            [],
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A",
        pair="<s> $A <s> $B",
        special_tokens=[("<s>", SPECIAL.index("<s>"))],
    )
    tokenizer.add_special_tokens(SPECIAL)
    return Tokenizer(tokenizer)


def writer(seed, tokenizer, **options):
    """A small decoder."""
    keras.utils.set_random_seed(seed)
    spec = Spec(
        "gpt2",
        {"kind": "token", "vocabulary_size": tokenizer.vocabulary_size},
        **{"hidden_dim": 32, "intermediate_dim": 64, "attention": "causal", **options},
        num_heads=4,
        max_sequence_length=PLACES,
        dropout=0.0,
        schedule=(0, 1),
        block="pre_norm",
        feedforward={"kind": "mlp", "activation": "gelu_tanh"},
        norms=["final"],
        pooler="none",
    )
    return kzoo.CausalLM(build(spec), tokenizer=tokenizer, packing=False)


def telling(model, text):
    """The model with places that name the next token: from any place on it writes a text's rest.

    One that writes of sources writes all of it, whatever the source is.
    """
    ids = [*model.tokenizer.bare_ids([text])[0], model.tokenizer.end_id]
    weights = weights_by_path(model.backbone)
    *_, places = (
        weights[path]
        for path in sorted(weights, key=lambda path: "decoder" in path)
        if weights[path].shape[0] == PLACES
    )
    new = ids if isinstance(model, kzoo.Seq2SeqLM) else ids[1:]
    table = np.array(places)
    table[: len(new)] = 8 * np.asarray(model.backbone.embedding.embeddings)[new]
    places.assign(table)
    return model


def rewriter(seed, tokenizer, family, slots, decoder, start_id, **options):
    """A small encoder-decoder."""
    keras.utils.set_random_seed(seed)
    shared = {
        "hidden_dim": 32, "num_heads": 4, "intermediate_dim": 48, "max_sequence_length": PLACES,
        "pooler": "none", "dropout": 0.0, "schedule": (0, 1), "block": "pre_norm", **slots,
    }  # fmt: skip
    towers = {
        "encoder": Spec(f"{family}_encoder", "vectors", **shared),
        "decoder": Spec(f"{family}_decoder", "vectors", **{**shared, **decoder}),
    }
    words = {"kind": "token", "vocabulary_size": tokenizer.vocabulary_size, "padding_id": 0}
    network = build(Towers(family, towers, {"embedding": words, "start_id": start_id}))
    return kzoo.Seq2SeqLM(network, tokenizer=tokenizer, **options)


def of_t5(seed, **options):
    """As T5 is built, with its kind of tokenizer."""
    wide, narrow = ({"kind": k, "bias": [], "scale": 1.0} for k in ("full", "causal"))
    slots = {
        "attention": wide,
        "position": {"kind": "bucketed", "buckets": 8, "longest": 12},
        "feedforward": {"kind": "gated", "activation": "gelu_tanh", "bias": False},
        "norm": {"kind": "rms_norm", "epsilon": 1e-6},
        "norms": ["final"],
    }
    decoder = {"attention": narrow, "cross_attention": wide}
    tokenizer = Tokenizer(with_spaces(unigram()))
    return rewriter(seed, tokenizer, "t5", slots, decoder, 0, **options)


def with_spaces(tokenizer):
    """What a tokenizer is made of, with spaces in what it decodes."""
    backend = tokenizers.Tokenizer.from_str(tokenizer.to_json())
    backend.decoder = decoders.Metaspace()
    return backend


def of_mbart(seed, backend, end, after, **options):
    """As mBART is built: a source ends with the code of its language, or of mBART-50 begins so."""
    backend.add_special_tokens(CODES)
    frame = f"$A {end} {CODES[0]}" if after else f"{CODES[0]} $A {end}"
    special = [(token, backend.token_to_id(token)) for token in (end, CODES[0])]
    backend.post_processor = processors.TemplateProcessing(frame, None, special)
    slots = {"position": "learned", "norms": ["embedding", "final"]}
    decoder = {"attention": "causal", "cross_attention": "full"}
    tokenizer = Tokenizer(backend)
    options = {"target_language": CODES[1], **options}
    return rewriter(seed, tokenizer, "mbart", slots, decoder, tokenizer.end_id, **options)


def byte_pairs():
    """Byte-level BPE, as GPT-2 has it."""
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    return trained(models.BPE(), trainer, pre_tokenizers.ByteLevel(add_prefix_space=False))


def unigram():
    """Unigram between visible spaces, as T5 has it."""
    trainer = trainers.UnigramTrainer(
        vocab_size=300, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False
    )
    return trained(models.Unigram(), trainer, pre_tokenizers.Metaspace(), normalizers.NFKC())


def task(kind, seed, tokenizer=None, places=64, **options):
    """A small BERT with a head, of a shipped preset's tokenizer where there is no other."""
    keras.utils.set_random_seed(seed)
    tokenizer = tokenizer or Tokenizer.load(presets.find("bert_minilm_l6_en_uncased.sst2"))
    spec = kzoo.Bert.from_preset("bert_tiny_en_uncased").spec
    spec = spec.replace(
        vocabulary_size=tokenizer.vocabulary_size,
        hidden_dim=32,
        num_heads=2,
        intermediate_dim=64,
        max_sequence_length=places,
        dropout=0.0,
    )
    return kind(kzoo.Bert(spec), tokenizer=tokenizer, **options)


def random(kind, seed, *tokenizer, **options):
    """The same with noise on all of its weights, more on those of the head."""
    return noisy(noisy(task(kind, seed, *tokenizer, **options), seed), seed, "head", 0.5)


def small_searchers():
    """Name: (task, texts, length) of what search is made of, beside the embedder."""
    marked = {"dim": 16, "query_length": 12, "max_length": 40, "markers": ("¤", "¦")}
    late, fixed = kzoo.LateInteraction, {"attend_to_masks": True, "skip_punctuation": False}
    return {
        "tokens": (random(late, 23, **marked), TEXTS + PAIRS, None),
        "tokens_fixed": (random(late, 24, **marked, **fixed), TEXTS + PAIRS, 24),
        "reranker": (random(kzoo.CrossEncoder, 25), PAIRS, None),
    }


def small_tasks():
    """Name: (task, texts, length)."""

    def entities(seed, places):
        words, labels = zip(*map(pieces, ENTITIES), strict=True)
        return by_heart(
            task(kzoo.TokenClassifier, seed, places=places, labels=LABELS), words, labels
        )

    def questions(seed, *tokenizer):
        pairs = [(question, text) for question, text, _ in QUESTIONS]
        spans = [(t.index(a), t.index(a) + len(a)) for _, t, a in QUESTIONS]
        return by_heart(task(kzoo.QuestionAnswering, seed, *tokenizer), pairs, spans)

    asked = PAIRS + [pair[:2] for pair in QUESTIONS]
    names = [f"label {i}" for i in range(12)]
    return {
        "classifier": (random(kzoo.TextClassifier, 0, labels=names), TEXTS + PAIRS, None),
        "classifier_for_gpu": (random(kzoo.TextClassifier, 0, labels=names), TEXTS + PAIRS, 64),
        "one_label": (random(kzoo.TextClassifier, 1, labels=["yes"]), TEXTS, 48),
        "embedder": (random(kzoo.TextEmbedder, 2), TEXTS, None),
        "entities": (entities(3, 200), TEXTS + [TEXTS[4] * 2, TEXTS[0] * 2], None),
        "entities_fixed": (entities(4, 64), TEXTS, 40),
        "questions": (questions(5), asked, None),
        "questions_fixed": (questions(6), asked, 64),
        "byte_pairs": (questions(7, byte_pairs()), asked, None),
        "unigram": (random(kzoo.TextClassifier, 8, unigram(), labels=names[:3]), TEXTS, None),
        "several": (
            random(kzoo.TextClassifier, 9, labels=names[:5], problem="multi_label", threshold=0.4),
            TEXTS + PAIRS,
            None,
        ),
        "values": (
            random(kzoo.TextClassifier, 10, labels=["warm", "new"], problem="regression"),
            TEXTS,
            None,
        ),
        "pairs": (random(kzoo.TextClassifier, 11, labels=names[:2], reads="pair"), PAIRS, None),
        "unanswered": (random(kzoo.QuestionAnswering, 12, no_answer=0.5), asked, None),
        "writer": (
            telling(writer(14, bytes_alone()), TOLD),
            PROMPTS,
            None,
        ),
        "writer_fixed": (
            noisy(
                writer(
                    15,
                    byte_fallback(),
                    attention=["causal", {"kind": "local", "window": 9}],
                    position="rotary",
                    num_key_value_heads=2,
                ),
                15,
            ),
            PROMPTS,
            8,
        ),
        "rewriter": (
            noisy(
                of_t5(
                    16,
                    generation={
                        "num_beams": 4,
                        "no_repeat_ngram_size": 3,
                        "repetition_penalty": 1.3,
                        "length_penalty": 0.7,
                        "early_stopping": True,
                        "min_new_tokens": 3,
                        "forbidden_token_ids": [5],
                        "end_token_ids": ENDS,
                    },
                ),
                16,
            ),
            [text for text in TEXTS if text.strip()][:2],
            None,
        ),
        "translator": (
            noisy(
                of_mbart(
                    17,
                    with_spaces(unigram()),
                    "</s>",
                    after=False,
                    generation={
                        "early_stopping": "never",
                        "length_penalty": 1.5,
                        "ends_at_last": True,
                        "end_token_ids": ENDS,
                    },
                ),
                17,
            ),
            PROMPTS,
            64,
        ),
        "translator_behind": (
            telling(
                of_mbart(
                    18,
                    tokenizers.Tokenizer.from_str(bytes_alone().to_json()),
                    "<|endoftext|>",
                    after=True,
                    source_language=CODES[2],
                ),
                TOLD_IN_GERMAN,
            ),
            PROMPTS,
            None,
        ),
        "marks": (random(kzoo.TokenClassifier, 13, labels=MARKS), TEXTS + [TEXTS[4] * 2], 40),
    }


# Pictures and sounds ---------------------------------------------------------------------------


def write_pictures(folder):
    """Pictures of many kinds, by name; each has the same pixels on every machine."""
    photo = Image.open(get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB")
    small = photo.crop((150, 60, 350, 310))
    grey = np.asarray(small.convert("L"))
    alpha = small.copy()
    alpha.putalpha(Image.fromarray(np.linspace(0, 255, grey.size).reshape(grey.shape).astype("u1")))
    exif = Image.Exif()
    exif[0x0112] = 6
    written = {
        "whole.png": (photo, {}),
        "held_sideways.jpg": (small, {"exif": exif, "quality": 95, "subsampling": 0}),
        "held_sideways.png": (small, {"exif": exif}),
        "grey.png": (Image.fromarray(grey), {}),
        "grey_16.png": (Image.fromarray(grey.astype("u2") * 256 + 200), {}),
        "transparent.png": (alpha, {}),
        "palette.gif": (small.quantize(32), {}),
        "line.png": (photo.resize((400, 1)), {}),
        "column.png": (photo.resize((2, 3000)), {}),
        "dot.png": (photo.resize((1, 1)), {}),
    }
    for name, (image, options) in written.items():
        image.save(folder / name, **options)
    return list(written)


def write_digits(folder):
    """Digits as a pen draws them, white on black, by name; one on a large sheet."""
    strokes = {
        "four": [(10, 3), (5, 15), (22, 15), (17, 15), (17, 8), (16, 25)],
        "seven": [(5, 5), (22, 5), (11, 24)],
    }
    for name, points in strokes.items():
        drawn = Image.new("L", (280, 280))
        line = [(10 * x, 10 * y) for x, y in points]
        ImageDraw.Draw(drawn).line(line, fill=255, width=26, joint="curve")
        drawn.resize((28, 28), Image.Resampling.BILINEAR).save(folder / f"{name}.png")
    drawn.convert("RGB").resize((1200, 1200)).save(folder / "seven_large.jpg", quality=92)
    return ["four.png", "seven.png", "seven_large.jpg"]


def write_sounds(folder):
    """Sounds of many kinds, by name."""
    draw, written = np.random.default_rng(0), []
    kinds = {  # seconds, rate, channels, bytes of a sample
        "second": (1, 16000, 1, 2), "short": (0.3, 16000, 1, 2), "long": (2.7, 16000, 1, 2),
        "stereo": (1, 16000, 2, 2), "eight_bits": (1, 16000, 1, 1), "four_bytes": (1, 16000, 3, 4),
        "fast": (1.1, 44100, 2, 2), "slow": (1, 8000, 1, 2),
        "one_sample": (1 / 16000, 16000, 1, 2),
    }  # fmt: skip
    for name, (seconds, rate, channels, width) in kinds.items():
        count = max(1, round(seconds * rate))
        time = np.arange(count)[:, None] / rate
        tones = np.sin(2 * np.pi * (200 * (1 + np.arange(channels)) + 900 * time) * time)
        sound = 0.4 * tones + 0.02 * draw.standard_normal(tones.shape)
        steps = np.round(np.clip(sound, -1, 0.99) * 2 ** (8 * width - 1))
        whole = (steps + 128).astype("u1") if width == 1 else steps.astype(f"<i{width}")
        with wave.open(str(folder / f"{name}.wav"), "wb") as file:
            file.setparams((channels, width, rate, 0, "NONE", ""))
            file.writeframes(whole.tobytes())
        written.append(f"{name}.wav")
    return written


def write_convolution(path):
    """A model that every GPU delegate takes, by OpenGL too."""
    draw = np.random.default_rng(0)
    kernel, dense = (draw.standard_normal(shape, "float32") for shape in ((3, 3, 3, 8), (8, 4)))

    @tf.function(input_signature=[tf.TensorSpec((1, 16, 16, 3), name="images")])
    def answer(images):
        seen = tf.nn.relu(tf.nn.conv2d(images, kernel, 1, "SAME"))
        return {"logits": tf.reduce_mean(seen, (1, 2)) @ dense}

    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(tf.Module(), folder, signatures={"answer": answer})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["answer"])
        path.write_bytes(converter.convert())


def small_arrays(folder):
    """Name: (task, paths, None) of pictures and sounds."""
    pictures, sounds = write_pictures(folder), write_sounds(folder)
    shared = {
        "hidden_dim": 32, "num_heads": 4, "intermediate_dim": 48, "schedule": (0,),
        "block": "pre_norm", "norms": ["final"],
    }  # fmt: skip

    def of_pictures(sides, channels, kind, seed, processor, **options):
        keras.utils.set_random_seed(seed)
        embedding = {
            "kind": "patch", "image_size": sides, "patch_size": 8, "channels": channels,
        }  # fmt: skip
        places = 1 + sides[0] * sides[1] // 64
        spec = Spec("vit", embedding, **shared, max_sequence_length=places, pooler="none")
        return noisy(kind(build(spec), image_processor=processor, **options), seed)

    cut = ImageProcessor(
        size={"shortest_edge": 36}, crop=(32, 24), resample="bicubic", mean=(0.4, 0.5, 0.6),
        std=(0.2, 0.3, 0.4),
    )  # fmt: skip
    in_grey = ImageProcessor(size=(24, 40), mean=[0.5], std=[0.5])
    keras.utils.set_random_seed(22)
    ast = Spec(
        "ast",
        {"kind": "spectrogram", "size": [40, 16], "patch_size": 8, "stride": [8, 8],
         "across": True, "tokens": ["class", "distillation"]},
        **shared, max_sequence_length=12,
    )  # fmt: skip
    log_mel = AudioProcessor(
        {"feature_extractor_type": "ASTFeatureExtractor", "max_length": 40, "num_mel_bins": 16}
    )
    heard = kzoo.AudioClassifier(build(ast), labels=["low", "high"], audio_processor=log_mel)
    owls, digits = ["cat", "dog", "owl"], kzoo.load("vit_micro_4_28.mnist")
    return {
        "pictures": (
            of_pictures([32, 24], 3, kzoo.ImageClassifier, 20, cut, labels=owls), pictures, None
        ),
        "pictures_grey": (
            of_pictures([24, 40], 1, kzoo.ImageEmbedder, 21, in_grey), pictures, None
        ),
        "sounds": (noisy(heard, 22), sounds, None),
        "words": (kzoo.load("kwt1_speech_commands"), sounds, None),
        "digits": (digits, write_digits(folder), None),
        "digits_for_gpu": (digits, write_digits(folder), None),
    }  # fmt: skip


# Two towers -------------------------------------------------------------------------------------

# Pictures with a text for each; the others that `write_pictures` makes have none.
CAPTIONS = {
    "whole.png": "a woman in uniform",
    "present.png": "a blue present",
    "logo.png": "a round chart",
    "four.png": "the digit four",
    "seven.png": "the digit seven",
    "held_sideways.jpg": "a face from near",
}
SEARCHES = [(text, 3) for text in CAPTIONS.values()] + [("a café in 日本 😀", 99), ("", 5)]
ASKED = [  # labels and templates; of the bundle where there are none
    (None, None),
    (["a round chart", "a blue present", "the digit four"], None),
    (["four", "seven"], ["the digit {}", "a {}"]),
    (["a woman"], None),
]


def write_album(folder):
    """The pictures that have captions, as far as others haven't made them; the names of all."""
    for name, sample in (("present", "Minduka_Present_Blue_Pack"), ("logo", "logo2")):
        image = Image.open(get_sample_data(f"{sample}.png", asfileobj=False))
        image.thumbnail((320, 240))
        image.save(folder / f"{name}.png")
    return [*CAPTIONS, "transparent.png", "palette.gif", "line.png", "dot.png"]


def small_towers(folder):
    """A classifier on towers of pictures and of texts that know the captions by heart."""
    keras.utils.set_random_seed(30)
    tokenizer = Tokenizer.load(presets.find("bert_minilm_l6_en_uncased.sst2"))
    shared = {
        "hidden_dim": 32, "num_heads": 4, "intermediate_dim": 48, "schedule": (0, 1),
        "block": "pre_norm", "dropout": 0.0,
    }  # fmt: skip
    image = Spec(
        "clip_image",
        {"kind": "patch", "image_size": 32, "patch_size": 8, "bias": False},
        **shared,
        norms=["embedding", "final"],
        max_sequence_length=17,
        pooler={"kind": "first", "dim": 24},
    )
    (end,) = tokenizer.bare_ids(["[SEP]"])[0]
    text = Spec(
        "clip_text",
        {"kind": "token", "vocabulary_size": tokenizer.vocabulary_size, "padding_id": 0},
        **shared,
        norms=["final"],
        max_sequence_length=24,
        attention="causal",
        pooler={"kind": "end", "dim": 24, "token": end},
    )
    processor = ImageProcessor({"shortest_edge": 32}, crop=32, mean=0.5, std=0.5)
    model = kzoo.ZeroShotImageClassifier(
        build(Towers("clip", {"image": image, "text": text})),
        labels=["four", "seven"],
        templates=["the digit {}"],
        tokenizer=tokenizer,
        image_processor=processor,
    )
    return by_heart(model, [(str(folder / name), text) for name, text in CAPTIONS.items()], None)


def write_towers(output, folder):
    """The bundle of two towers, and what Python finds and answers with it."""
    if (output / "towers.json").is_file():
        return
    pictures = write_album(folder)
    export_bundle(small_towers(folder), output / "towers", "float32", limits=NO_DISTANCE)
    predictor = TowersPredictor(output / "towers")
    paths = [folder / name for name in pictures]

    def named(answers):
        return [{**each, "image": f"{folder.name}/{Path(each['image']).name}"} for each in answers]

    written = {
        "pictures": [f"{folder.name}/{name}" for name in pictures],
        "searches": [
            {"query": query, "top": top, "found": named(predictor.search(query, paths, top))}
            for query, top in SEARCHES
        ],
        "asked": [
            {
                "labels": labels,
                "templates": templates,
                "answers": named(predictor.classify(paths, labels, templates)),
            }
            for labels, templates in ASKED
        ],
    }
    (output / "towers.json").write_text(json.dumps(written, indent=1), encoding="utf-8")
    print("towers")


# How sources are written of beside the tasks' own settings, by the bundle.
ORDERS = {
    "rewriter": [
        {"num_beams": 1, "max_new_tokens": 20},
        {"num_beams": 4, "max_new_tokens": 20},
    ],
    "translator": [
        {"num_beams": 4, "target_language": "fr_XX", "max_new_tokens": 12},
        {"num_beams": 1, "max_new_tokens": 12},
    ],
    "translator_behind": [{"num_beams": 3, "target_language": "en_XX"}],
}
SOURCES = {"rewriter": 100}  # as many parts of the shipped sentences, or a dozen


def write_sources(output):
    """What Python writes of sources by the files of the bundles, token by token."""
    if (output / "sources.json").is_file():
        return
    words = [word for text in sentences() for word in text.split()]
    rows = []
    for name, orders in ORDERS.items():
        writes = open_writer(output / name)
        starts = np.linspace(0, len(words) - 9, SOURCES.get(name, 12)).astype(int)
        texts = [" ".join(words[start : start + 2 + start % 7])[:40] for start in starts]
        ids = writes.prompt_ids(texts)
        for order in orders:
            for text, (answer, *_) in zip(texts, writes.write(ids, **order), strict=True):
                told = {"token_ids": answer.token_ids, "written": answer.text}
                rows.append({"bundle": name, "text": text, "order": order, **told})
    (output / "sources.json").write_text(json.dumps(rows, indent=0), encoding="utf-8")
    print("sources")


# Stages of an index, and how it is searched: candidates, and what ranks them again.
INDEXES = {"index": ("embedder", "tokens"), "index_near": ("embedder",), "index_late": ("tokens",)}
WAYS = [(100, None), (7, None), (7, "reranker"), (None, "tokens_fixed")]


def write_indexes(output):
    """Indexes of the shipped sentences, and what Python finds in them."""
    if (output / "indexes.json").is_file():
        return
    texts, rows = [*sentences(), "A line\u2028within a text.", TOWER], []
    for name, stages in INDEXES.items():
        bundles = [str(output / stage) for stage in stages]
        index = Index.build(bundles[0], texts, *bundles[1:])
        index.save(output / name)
        for query, (candidates, ranks) in product([QUESTIONS[0][0], TOWER, "a café 😀"], WAYS):
            reranker = ranks and str(output / ranks)
            found = index.search(query, 5, candidates, reranker)
            asked = {"query": query, "candidates": candidates, "reranker": ranks}
            rows.append({"index": name, "stages": stages, **asked, "found": found})
    (output / "indexes.json").write_text(json.dumps(rows, indent=0), encoding="utf-8")
    print("indexes")


NO_DISTANCE = {"cosine": None, "probability_difference": None}  # Clients are held against Python.


def write(output, name, model, given, length, folder=None):
    """A bundle, and what Python answers; `folder` holds what is given where that is files.

    One whose name ends so is made for GPUs.
    """
    if (output / f"{name}.jsonl").is_file():
        return
    form = ("float16", {"for": "gpu"}) if name.endswith("_for_gpu") else ("float32", None)
    export_bundle(model, output / name, form[0], length, limits=NO_DISTANCE, recipe=form[1])
    paths = given if folder is None else [folder / each for each in given]
    answers = kzoo.predict_bundle(output / name, paths)
    if folder is not None:
        for place, answer in enumerate(answers):
            answer[next(iter(answer))] = f"{folder.name}/{given[place]}"
    text = "".join(json.dumps(answer) + "\n" for answer in answers)
    (output / f"{name}.jsonl").write_text(text, encoding="utf-8")
    print(name)


def main():
    """Write the bundles that are not there yet."""
    output = Path(sys.argv[1])
    folder = output / "files"
    folder.mkdir(parents=True, exist_ok=True)
    write_convolution(folder / "convolution.tflite")
    for name, (model, files, length) in small_arrays(folder).items():
        write(output, name, model, files, length, folder)
    write_towers(output, folder)
    for name, (model, texts, length) in {**small_tasks(), **small_searchers()}.items():
        write(output, name, model, texts, length)
    write_sources(output)
    write_indexes(output)


if __name__ == "__main__":
    main()
