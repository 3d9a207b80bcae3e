"""The published presets: their parameter counts to the digit, without allocating a weight."""

import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from families import SPECS, STACKS, noisy, shared

import kzoo
from kzoo import presets, processors, stored
from kzoo.data.documents import read_documents
from kzoo.files import sha256
from kzoo.images.image_processor import ImageProcessor
from kzoo.models import build, count_parameters, describe
from kzoo.models.electra import generator_of
from kzoo.network import weights_by_path
from kzoo.parts import make
from kzoo.spec import Spec, Towers
from kzoo.tasks import TASKS
from kzoo.training.recipe import read_recipe

PUBLISHED = [name for name in presets.names() if not presets.card(name)["weights"]]
REFERENCE = Path(__file__).parents[2] / "shared" / "reference" / "param_counts.json"
SIZES = """
    bert_tiny_en_uncased bert_mini_en_uncased bert_small_en_uncased bert_medium_en_uncased
    bert_base_en_uncased bert_base_en_cased bert_large_en_uncased bert_large_en_cased
    bert_base_multi_cased bert_base_multi_uncased bert_base_zh bert_minilm_l6_en_uncased
    bert_minilm_l12_en_uncased roberta_base_en roberta_large_en roberta_distil_en roberta_base_multi
    roberta_large_multi distilbert_base_en_uncased distilbert_base_en_cased
    bert_tinybert_l4_en_uncased bert_tinybert_l6_en_uncased distilbert_base_multi_cased
    albert_base_en_v2 albert_large_en_v2 albert_xlarge_en_v2 albert_xxlarge_en_v2 gpt2_small_en
    gpt2_medium_en gpt2_large_en gpt2_xl_en gpt2_distil_en gpt2_dialo_small_en gpt2_dialo_medium_en
    gpt2_dialo_large_en gpt_base_en_uncased gpt_neo_125m_en gpt_neo_1b3_en gpt_neo_2b7_en
    bloom_560m_multi bloom_1b1_multi bloom_1b7_multi bloom_3b_multi bloom_7b1_multi bloom_176b_multi
    clip_base_32 clip_base_16 clip_large_14 clip_large_14_336 t5_small_en t5_base_en t5_large_en
    t5_3b_en t5_11b_en bart_base_en bart_large_en mbart_large_multi mbart_50_large_multi
    xlnet_base_en_cased xlnet_large_en_cased electra_small_en_uncased electra_base_en_uncased
    electra_large_en_uncased mpnet_base_en_uncased deberta_base_en deberta_large_en
    deberta_v3_xsmall_en deberta_v3_small_en deberta_v3_base_en deberta_v3_large_en
    deberta_v3_base_multi longformer_base_en bigbird_base_en
"""
# Counted elsewhere with the map of their scores: their vocabulary and width.
SCORED = {
    "t5_1_1_small_en": (32_128, 512), "t5_1_1_base_en": (32_128, 768),
    "t5_1_1_large_en": (32_128, 1024), "t5_1_1_xl_en": (32_128, 2048),
    "t5_1_1_xxl_en": (32_128, 4096), "mt5_small_multi": (250_112, 512),
    "mt5_base_multi": (250_112, 768), "mt5_large_multi": (250_112, 1024),
    "transformer_xl_wt103_en": (267_735 + 3 * 1025 + 1024 * 1024,),  # biases, clusters, one map
    "reformer_enwik8_en": (258, 2049), "reformer_crime_en": (320, 513),  # and a bias
    # With the transform, norm and biases of its scores, and waves that nothing learns.
    "roformer_base_zh": (768 * 769 + 2 * 768 + 50_000 + 1536 * 64,),
    "mobilebert_base_en_uncased": (512, 513),  # a pooler that the released file lacks
    "marian_base_en_de": (512, 1024),  # with the waves of both towers, which nothing learns
    # With the transform, norm and bias of its scores; with two scores of whether a text fits.
    "blip_captioner_base_en": (768 * 769 + 2 * 768 + 30_524,),
    "blip_answerer_base_en": (768 * 769 + 2 * 768 + 30_524,),
    "blip_matcher_base_en": (2, 769),
}  # fmt: skip
# Counted by hand: an embedding, and of each block its maps and norms.
OF_2017 = {"transformer_base_en_de": 63_082_496, "transformer_big_en_de": 214_245_376}
# Sparse Transformers: layers, the rows of tables of width 512 (bytes, the axes of places), and the
# millions that the paper speaks of. Linformers are RoBERTa and sums: k.
SPARSE = {
    "sparse_transformer_enwik8_en": (30, 256 + 96 + 128, 95),
    "sparse_transformer_imagenet_64": (48, 256 + 64 + 64 + 3, 152),
}
LINFORMERS = {"linformer_base_128_en": 128, "linformer_base_256_en": 256}
# TinyCLIP (arXiv:2309.12314): the millions that its names speak of, those of the image tower and
# those of the text tower beside its table of tokens.
TINY_CLIP = {
    "tinyclip_8m_16_3m": (8, 3), "tinyclip_39m_16_19m": (39, 19), "tinyclip_40m_32_19m": (40, 19),
    "tinyclip_61m_32_29m": (61, 29),
}  # fmt: skip
# KWT's are those of its table 1 without a head; AST's was counted in transformers.
SOUNDS = {
    "kwt_1": 607_308 - 12 * 65,
    "kwt_2": 2_394_252 - 12 * 129,
    "kwt_3": 5_360_844 - 12 * 193,
    "ast_base_10_10": 86_594_063 - 2 * 768 - 527 * 769,
}
# ELECTRA's, which KerasHub counts with a pooler of width 256: their share of the discriminator's
# width, and the numbers that they have.
GENERATORS = {
    "small": (1, 13_548_800 - 257 * 256),
    "base": (1 / 3, 33_576_960 - 257 * 256),
    "large": (1 / 4, 51_065_344 - 257 * 256),
}
# Counted in transformers as these are published: the largest.
LARGE = {
    "deberta_xlarge_en": 757_804_032,
    "deberta_v2_xlarge_en": 884_593_152,
    "deberta_v2_xxlarge_en": 1_564_549_632,
    "longformer_large_en": 434_600_960,
    "bigbird_large_en": 359_123_968,
}
# Of these no weights were released: the paper's table says how large they are.
TABLES = """
    gpt3_125m_en gpt3_350m_en gpt3_760m_en gpt3_1b3_en gpt3_2b7_en gpt3_6b7_en gpt3_13b_en
    gpt3_175b_en
"""

# Families that read pictures were published with heads of 1,000 classes: how many numbers they have
# with these, how many heads that is, and their width.
WITH_HEADS = {
    "vit_tiny_16_224": (5_717_416, 1, 192),
    "vit_small_16_224": (22_050_664, 1, 384),
    "vit_base_16_224": (86_567_656, 1, 768),
    "vit_base_16_384": (86_859_496, 1, 768),
    "vit_base_32_224": (88_224_232, 1, 768),
    "vit_base_32_384": (88_297_192, 1, 768),
    "vit_large_16_224": (304_326_632, 1, 1024),
    "vit_large_32_384": (306_632_680, 1, 1024),
    "vit_huge_14_224": (632_045_800, 1, 1280),
    "deit_tiny_16_224": (5_910_800, 2, 192),
    "deit_small_16_224": (22_436_432, 2, 384),
    "deit_base_16_224": (87_338_192, 2, 768),
    "deit_base_16_384": (87_338_192 + (24 * 24 - 14 * 14) * 768, 2, 768),
    "mobilevit_xxs_256": (1_272_024, 1, 320),
    "mobilevit_xs_256": (2_317_848, 1, 384),
    "mobilevit_small_256": (5_578_632, 1, 640),
}
# Those that read pictures or sounds, by what their embedding is.
SENSING = [
    name
    for name in presets.names()
    if re.search(
        r'"kind": "(patch|mobile|spectrogram)"', (presets.find(name) / "spec.json").read_text()
    )
]
# Of shapes that were published without weights: layers, heads, width, and the billions that the
# paper speaks of, which for LaMDA are those beside the embedding.
SHAPES = {
    "palm_8b_multi": (32, 16, 4096, 8.63),
    "palm_62b_multi": (64, 32, 8192, 62.50),
    "palm_540b_multi": (118, 48, 18432, 540.35),
    "lamda_2b_en": (10, 40, 2560, 2),
    "lamda_8b_en": (16, 64, 4096, 8),
    "lamda_137b_en": (64, 128, 8192, 137),
}


def test_every_published_size_is_there():
    counted = {*SIZES.split(), *TABLES.split(), *SHAPES, *WITH_HEADS, *TINY_CLIP, *SOUNDS, *SCORED}
    counted |= {*SPARSE, *LINFORMERS}
    assert counted <= set(PUBLISHED)


@pytest.mark.parametrize("name", WITH_HEADS)
def test_backbones_count_what_was_published_without_its_heads(name):
    """Statistics of batches, which are no parameters elsewhere, are among the weights here."""
    whole, heads, width = WITH_HEADS[name]
    shapes = describe(presets.read_spec(name))
    statistics = sum(math.prod(shape) for path, shape in shapes if "/moving_" in path)
    count = presets.card(name)["parameters"] - statistics
    assert count == whole - heads * 1000 * (width + 1)


@pytest.mark.parametrize("name", TINY_CLIP)
def test_towers_of_tinyclip_have_the_sizes_of_their_names(name):
    towers = presets.read_spec(name).towers
    counts = {tower: count_parameters(spec) for tower, spec in towers.items()}
    counts["text"] -= towers["text"].embedding["vocabulary_size"] * towers["text"].hidden_dim
    assert tuple(round(counts[tower] / 1e6) for tower in ("image", "text")) == TINY_CLIP[name]


@pytest.mark.parametrize("size", GENERATORS)
def test_a_generator_is_a_share_of_its_discriminator(size):
    ratio, count = GENERATORS[size]
    spec = presets.read_spec(f"electra_{size}_generator_en_uncased")
    assert spec == generator_of(presets.read_spec(f"electra_{size}_en_uncased"), ratio)
    assert count_parameters(spec) == count


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_without_weights_count_what_their_papers_say(name):
    """PaLM: heads of 256 and one for keys, nets of 4 widths; LaMDA: of 128, and 8 widths."""
    layers, heads, width, billions = SHAPES[name]
    count = presets.card(name)["parameters"]
    if name.startswith("palm"):
        block = 3 * width * 4 * width + 2 * width * (heads + 1) * 256
        norms, rest = (layers + 1) * width, 256_000 * width
        assert abs((count - norms) / 1e9 - billions) < 0.005
    else:
        block = 3 * width * 8 * width + 4 * width * heads * 128
        norms, rest = (2 * layers + 1) * width, 32_000 * width + 32 * heads
        assert int((count - rest) / 1e9) == billions
    assert count == layers * block + norms + rest


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_count(name):
    card, spec = presets.card(name), presets.read_spec(name)
    assert count_parameters(spec) == card["parameters"]
    assert card["family"] == spec.family
    assert all(card[field] for field in ("summary", "paper", "source", "license"))
    assert "weights" in card


@pytest.mark.skipif(not REFERENCE.is_file(), reason="the reference counts are not on this machine")
def test_cards_hold_the_reference_counts():
    counts = {
        entry["hf_id"]: entry["params_exact"]
        for entry in json.loads(REFERENCE.read_text()).values()
    }
    cards = {name: presets.card(name) for name in (*SIZES.split(), *SCORED)}
    more = {name: math.prod(shape) for name, shape in SCORED.items()}
    assert {n: c["parameters"] + more.get(n, 0) for n, c in cards.items()} == {
        n: counts[c["source"]] for n, c in cards.items()
    }


@pytest.mark.parametrize("name", SENSING)
def test_presets_of_pictures_and_sounds_have_a_processor_and_a_task(name):
    spec, held = presets.read_spec(name), processors.load(presets.find(name))
    towers = list(spec.towers.values()) if isinstance(spec, Towers) else [spec]
    tower = next(each for each in towers if "vocabulary_size" not in each.embedding)
    embedding = make("embedding", tower.embedding, spec=tower, name="embedding")
    (axes,) = [entry.axes for entry in embedding.signature.values()]
    (processor,) = held.values()
    assert processor.shape == axes[1:]
    recipe = {"model": name, "train": "train/", "output": "out"}
    if spec.family == "clip":
        with pytest.raises(kzoo.KzooError, match="family clip, for which kzoo train has no task"):
            read_recipe(recipe)
    else:
        kind = TASKS[read_recipe(recipe)["task"]]
        assert list(embedding.signature) == [kind.input_name]
        assert list(held) == [kind.processor_kind]


@pytest.mark.filterwarnings("ignore:The preset .* holds no weights")
@pytest.mark.parametrize("name", ["kwt_1", "mobilevit_xxs_256"])
def test_the_name_of_such_a_preset_makes_a_classifier(name):
    cls = kzoo.AudioClassifier if name == "kwt_1" else kzoo.ImageClassifier
    task = cls(name, ["a", "b"])
    example = np.zeros(16000, "float32") if name == "kwt_1" else np.zeros((9, 8, 3), "uint8")
    np.testing.assert_allclose(task.predict([example]).sum(), 1, atol=1e-6)


@pytest.mark.parametrize("family", STACKS)
def test_an_embedding_names_what_it_reads(family):
    model = shared(family)
    assert model.embedding.input_name == next(iter(model.signature))


def test_what_reads_pictures_learns_as_a_classifier_of_pictures_whatever_files_lie_there(tmp_path):
    """Also what another library wrote, and with a tokenizer's or no processor's file beside it."""
    presets.save_preset(noisy("kwt"), tmp_path / "sounds")
    ImageProcessor(size=(12, 8)).save(tmp_path / "sounds")
    kzoo.to_huggingface(noisy("vit"), tmp_path / "pictures")
    for name, task in (("sounds", "AudioClassifier"), ("pictures", "ImageClassifier")):
        recipe = {"model": str(tmp_path / name), "train": "train/", "output": "out"}
        assert read_recipe(recipe)["task"] == task


def test_a_captioner_counts_its_two_networks_and_the_attention_between_them():
    names = ("vit_gpt2_base_en", "vit_base_16_224", "gpt2_small_en")
    whole, vit, gpt2 = (presets.card(name)["parameters"] for name in names)
    looks = 4 * (768 * 768 + 768) + 2 * 768  # four maps and a norm
    assert whole == vit + gpt2 + 12 * looks


def test_the_largest_count_what_transformers_counts():
    assert {name: presets.card(name)["parameters"] for name in LARGE} == LARGE


def test_the_transformer_counts_what_its_equations_do():
    assert {name: presets.card(name)["parameters"] for name in OF_2017} == OF_2017


@pytest.mark.parametrize("name", SPARSE)
def test_sparse_transformers_count_what_their_equations_do(name):
    layers, rows, millions = SPARSE[name]
    count = presets.card(name)["parameters"]
    assert count == layers * (12 * 512**2 + 13 * 512) + (rows + 2) * 512
    assert round(count / 1e6) == millions


def test_linformers_count_a_roberta_and_one_table_of_sums():
    whole = presets.card("roberta_base_en")["parameters"]
    actual = {name: presets.card(name)["parameters"] - whole for name in LINFORMERS}
    assert actual == {name: 512 * sums for name, sums in LINFORMERS.items()}


def test_families_that_hear_count_what_their_papers_and_files_do():
    assert {name: presets.card(name)["parameters"] for name in SOUNDS} == SOUNDS


def test_sizes_of_tables_are_near_the_names_that_papers_give_them():
    units = {"m": 1e6, "b": 1e9}
    for name in TABLES.split():
        *_, size, _language = name.split("_")
        whole, unit, part = re.fullmatch(r"(\d+)([mb])(\d?)", size).groups()
        assert presets.card(name)["parameters"] == pytest.approx(
            float(f"{whole}.{part or 0}") * units[unit], rel=0.03
        )


def test_counting_describes_what_is_built():
    spec = presets.read_spec("bert_tiny_en_uncased")
    built = weights_by_path(build(spec))
    assert describe(spec) == [(path, tuple(weight.shape)) for path, weight in built.items()]
    assert sum(math.prod(weight.shape) for weight in built.values()) == count_parameters(spec)


# -- folders that are damaged --------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A classifier as a preset with int8 tables."""
    folder = tmp_path_factory.mktemp("presets") / "saved"
    task = kzoo.TextClassifier(noisy("bert"), labels=["no", "yes"])
    presets.save_preset(task, folder, rounded="tables")
    return folder


@pytest.fixture
def copy(saved, tmp_path):
    return Path(shutil.copytree(saved, tmp_path / "preset"))


def older(folder, **sums):
    """The card without checksums, or with others."""
    card = json.loads((folder / presets.CARD).read_text())
    del card["sha256"]
    card |= {"sha256": sums} if sums else {}
    (folder / presets.CARD).write_text(json.dumps(card))


def test_a_flipped_bit_of_the_weights_is_noticed(copy, tmp_path):
    """Which no header tells of, and no number that is finite."""
    kzoo.load(copy)
    content = bytearray((copy / presets.WEIGHTS).read_bytes())
    content[-2] ^= 1
    (copy / presets.WEIGHTS).write_bytes(content)
    for read in (
        kzoo.load,
        kzoo.Bert.from_preset,
        kzoo.TextClassifier.from_preset,
        lambda folder: kzoo.export_recipe(folder, tmp_path / "bundle"),
        lambda folder: kzoo.convert(folder, tmp_path / "there"),
    ):
        with pytest.raises(kzoo.KzooError, match=r"weights\.safetensors was changed") as caught:
            read(copy)
        assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["preset"]
    kzoo.Bert.from_preset(copy, load_weights=False)
    older(copy)
    kzoo.load(copy)


def test_weights_that_the_card_tells_of_must_be_there(copy):
    for sums in ({"../spec.json": "0"}, {"weights.safetensors": 5}):
        older(copy, **sums)
        with pytest.raises(kzoo.KzooError, match="sha256|says 5"):
            kzoo.load(copy)
    older(copy, **{presets.WEIGHTS: "0" * 64})
    (copy / presets.WEIGHTS).unlink()
    with pytest.raises(kzoo.KzooError, match=r"weights\.safetensors is missing"):
        kzoo.load(copy)


def test_a_tokenizer_that_was_swapped_or_removed_is_noticed(tmp_path):
    """Which would give other ids, or none, and no error."""
    import tokenizers

    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0, "a": 1}, "[UNK]"))
    backbone = noisy("bert")
    backbone.processors = {"tokenizer": kzoo.Tokenizer.from_json(words.to_str())}
    presets.save_preset(backbone, tmp_path / "preset")
    kzoo.load(tmp_path / "preset")
    file = tmp_path / "preset" / "tokenizer.json"
    file.write_text(file.read_text() + "\n")
    with pytest.raises(kzoo.KzooError, match=r"tokenizer\.json was changed"):
        kzoo.load(tmp_path / "preset")
    file.unlink()
    with pytest.raises(kzoo.KzooError, match=r"tokenizer\.json is missing"):
        kzoo.load(tmp_path / "preset")


@pytest.mark.parametrize("name", sorted(set(presets.names()) - set(PUBLISHED)))
def test_weights_that_ship_have_their_checksum(name):
    folder, sums = presets.find(name), presets.card(name)["sha256"]
    assert presets.WEIGHTS in sums
    assert sums == {file: sha256(folder / file) for file in sums}


def test_int8_tables_come_back_as_they_were_rounded(saved):
    weights = weights_by_path(presets.load(saved))
    for path, weight in weights_by_path(noisy("bert")).items():
        if path.endswith("/embeddings"):
            whole, scale = stored.to_int8(np.asarray(weight))
            assert np.array_equal(np.asarray(weights[f"backbone/{path}"]), whole * scale)


@pytest.mark.parametrize("what", stored.ROUNDED)
def test_a_rounded_preset_holds_the_very_numbers_that_were_measured(what, tmp_path):
    task = kzoo.TextClassifier(noisy("bert"), labels=["no", "yes"])
    stored.round_weights(task, what)
    presets.save_preset(task, tmp_path / "rounded", rounded=what)
    again = weights_by_path(presets.load(tmp_path / "rounded"))
    for path, weight in weights_by_path(task).items():
        assert np.array_equal(np.asarray(again[path]), np.asarray(weight)), path
    size = (tmp_path / "rounded" / presets.WEIGHTS).stat().st_size
    count = sum(weight.shape.num_elements() for weight in weights_by_path(task).values())
    assert size < (1.6 if what == "all" else 2.2) * count
    with pytest.raises(kzoo.KzooError, match="Got rounded='most'; expected tables or all"):
        presets.save_preset(task, tmp_path / "other", rounded="most")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"token_embedding/embeddings/scale", b"token_embedding/embeddings/scald", "scald"),
        (b"backbone/token_embedding/embeddings/", b"backbone/tokem_embedding/embeddings/", "tokem"),
        (b'"I8"', b'"U8"', "embeddings/scale"),
        (b'"dtype":"F32","shape":[120,1]', b'"dtype":"F32","shape":[1,120]', "shape"),
        (b'"F32"', b'"I32"', "int32"),
    ],
)
def test_a_changed_name_or_type_of_a_weight_is_noticed(copy, old, new, words):
    """In a preset as they were before the card held checksums, too."""
    older(copy)
    path = copy / presets.WEIGHTS
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    with pytest.raises(kzoo.KzooError, match=words) as caught:
        presets.load(copy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("family", ["bert"]), ("vocabulary_size", "120"), ("hidden_dim", 32.0),
        ("num_heads", True), ("intermediate_dim", 10**40), ("max_sequence_length", None),
        ("num_segments", -1), ("padding_id", "0"), ("dropout", 5), ("dropout", "0.1"),
        ("initializer_range", float("nan")), ("schedule", 3), ("schedule", [True]),
        ("schedule", "01"), ("position", 5), ("block", {"kind": ["post_norm"]}),
        ("feedforward", {"kind": "mlp", "activation": ["gelu"]}),
        ("norm", {"kind": "layer_norm", "epsilon": "small"}), ("pooler", None),
    ],
)  # fmt: skip
def test_a_spec_of_other_types_is_one_sentence(field, value):
    fields = {**SPECS["bert"].to_dict(), field: value}
    with pytest.raises(kzoo.KzooError) as caught:
        build(Spec.from_dict(fields))
    option = {"feedforward": "activation", "norm": "epsilon"}.get(field, field)
    assert option in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_of_sentence_transformers_is_read_as_one(tmp_path):
    """Whose config.json may lie in a folder of its own."""
    (tmp_path / "modules.json").write_text("[]")
    presets.check_has_weights(tmp_path, "")
    with pytest.raises(kzoo.KzooError, match="Transformer, Pooling"):
        kzoo.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("spec.json", lambda v: [v]),
        ("spec.json", lambda v: {**v, "schedule": None}),
        ("task.json", lambda v: "TextClassifier"),
        ("task.json", lambda v: {**v, "task": ["TextClassifier"]}),
        ("task.json", lambda v: {**v, "config": None}),
        ("task.json", lambda v: {**v, "config": {**v["config"], "temperature": 2}}),
        ("task.json", lambda v: {**v, "config": {**v["config"], "labels": 5}}),
        ("task.json", lambda v: {**v, "config": {**v["config"], "head": 5}}),
        ("task.json", lambda v: {**v, "config": {**v["config"], "max_length": "8"}}),
        ("card.json", lambda v: {**v, "frozen": "head/kernel"}),
        ("card.json", lambda v: {**v, "frozen": ["head/colonel"]}),
    ],
)
def test_a_preset_with_other_values_is_one_sentence(copy, name, change):
    value = json.loads((copy / name).read_text())
    (copy / name).write_text(json.dumps(change(value)))
    with pytest.raises(kzoo.KzooError) as caught:
        presets.load(copy)
    assert "\n" not in str(caught.value)


# -- the one that writes -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shakespeare():
    return presets.load("gpt2_tiny_en.shakespeare")


def test_shakespeare_writes_the_sample_of_its_card(shakespeare):
    sample = presets.card("gpt2_tiny_en.shakespeare")["sample"]
    assert shakespeare.generate(sample["prompt"], **sample["options"]) == sample["text"]


def test_shakespeare_knows_a_sonnet_from_its_letters_in_another_order(shakespeare):
    """A line that it didn't learn from: a sonnet's, where it read plays."""
    shakespeare.compile()
    line = "Shall I compare thee to a summer's day? Thou art more lovely and more temperate."
    mixed = "".join(np.random.default_rng(0).permutation(list(line)))
    perplexity = {
        text: shakespeare.evaluate([text], return_dict=True, verbose=0)["perplexity"]
        for text in (line, mixed)
    }
    assert perplexity[line] < 9
    assert perplexity[mixed] > 30


# -- the one that writes of a source -------------------------------------------------------------


def test_numbers_are_written_as_words_of_three_languages():
    """Those of its card, and the file's that its recipe is measured on."""
    name = "transformer_tiny_multi.number_words"
    task, samples = presets.load(name), presets.card(name)["samples"]
    assert samples["fr 71071"] == "soixante et onze mille soixante et onze"
    assert task.generate(list(samples)) == list(samples.values())
    pairs = read_documents(presets.shipped("export") / "number_words.tsv", "source", "target").x
    assert task.score(pairs, scores=["exact"], batch_size=120)["exact"] > 0.98


def test_what_writes_numbers_learns_on_from_a_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("more.tsv").write_text("source\ttarget\nen 7\tsieben\nen 8\tacht\n", encoding="utf-8")
    recipe = {
        "model": "transformer_tiny_multi.number_words",
        "train": "more.tsv",
        "text": "source",
        "label": "target",
        "epochs": 1,
        "output": "out",
    }
    task, _ = kzoo.train(recipe, verbose=0)
    assert type(task) is kzoo.Seq2SeqLM
    assert presets.load("out").generate("en 7") == task.generate("en 7")
