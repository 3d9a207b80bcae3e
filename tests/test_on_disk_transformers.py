"""tf_model.h5 and flax_model.msgpack of transformers 4: its outputs, from files like its own.

`benchmarks/on_disk/record_transformers.py` recorded what transformers named, shaped and answered.
The weights follow from their names, so the tests write the same files without it.
"""

import base64
import hashlib
import http.server
import json
import threading
from pathlib import Path

import h5py
import keras
import ml_dtypes
import numpy as np
import pytest
from on_disk import difference, flat, noise
from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph
from tf_checkpoints import VALUE, refused, write_checkpoint

import kzoo
from kzoo.checkpoints import formats, source
from kzoo.checkpoints.h5 import read_h5, read_h5_texts
from kzoo.checkpoints.msgpack import read_msgpack
from kzoo.checkpoints.safetensors import write_tensors
from kzoo.errors import KzooError

GOLDEN = Path(__file__).parent / "golden" / "on_disk"
TOLERANCE = 1e-5
CASES = {
    case["case"]: case
    for library in ("tf", "flax")
    for case in json.loads((GOLDEN / f"{library}_model.json").read_text())
}
BERT = "tf_BertForSequenceClassification"


# -- writing as transformers does ----------------------------------------------------------------


def written(case, folder, **changes):
    """A folder as transformers writes it; `changes` are those of config.json."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({**case["config"], **changes}))
    for name, tree in case["files"].items():
        if name.endswith(".msgpack"):
            arrays = {path: noise(path, shape) for path, shape in flat(tree).items()}
            (folder / name).write_bytes(packed(arrays))
        elif "index" in case:
            write_shard(folder / name, flat(tree), case["index"]["weight_map"])
        else:
            write_h5(folder / name, tree)
    if "index" in case:
        stem = "tf_model.h5" if case["case"].startswith("tf") else "flax_model.msgpack"
        (folder / f"{stem}.index.json").write_text(json.dumps(case["index"]))
    return folder


def write_h5(path, layers):
    """As Keras 2 writes a model's weights: a group a layer, in it the weights by full names."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.encode() for layer in layers]
        for layer, tree in layers.items():
            shapes = flat(tree)
            group = file.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name in shapes]
            for name, shape in shapes.items():
                group[name] = noise(name, shape)


def write_shard(path, shapes, names):
    """As transformers writes a shard: arrays alone, most without the model's name in front."""
    full = {name.partition("/")[2]: name for name in names} | {name: name for name in names}
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in shapes]
        for name, shape in shapes.items():
            file[name] = noise(full[name], shape)


def packed(arrays):
    """As Flax packs a tree of arrays, with lengths of four bytes everywhere."""
    tree = {}
    for path, array in arrays.items():
        name, _, rest = path.partition("/")
        tree.setdefault(name, {})[rest] = array
    parts = [b"\xdf" + len(tree).to_bytes(4, "big")]
    for name, inner in tree.items():
        parts += [text(name), extension(inner[""]) if "" in inner else packed(inner)]
    return b"".join(parts)


def text(words):
    return b"\xdb" + len(words.encode()).to_bytes(4, "big") + words.encode()


def extension(array, dtype=None, shape=None, code=1):
    shape = array.shape if shape is None else shape
    data = array.tobytes()
    sizes = b"".join(b"\xce" + size.to_bytes(4, "big") for size in shape)
    inner = b"\x93" + bytes([0x90 + len(shape)]) + sizes + text(dtype or array.dtype.name)
    inner += b"\xc6" + len(data).to_bytes(4, "big") + data
    return b"\xc9" + len(inner).to_bytes(4, "big") + bytes([code]) + inner


def inputs(case):
    return {
        name: 5 * noise(name, value) if name == "images" else np.array(value, "int32")
        for name, value in case["inputs"].items()
    }


def apart(model, case):
    """How far a model's outputs are from those that were recorded."""
    outputs = {
        name: np.array(output["values"], "float32").reshape(output["shape"])
        for name, output in case["outputs"].items()
    }
    return difference(model, inputs(case), outputs)


# -- what is read --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_outputs_are_those_of_transformers(name, tmp_path):
    case = CASES[name]
    model = kzoo.load(written(case, tmp_path / "model"))
    assert apart(model, case) < TOLERANCE
    if getattr(model, "labels", None) and "id2label" in case["config"]:
        assert model.labels == list(case["config"]["id2label"].values())


@pytest.mark.parametrize(
    "changes",
    [{"vocab_size": 2**31 - 1}, {"num_hidden_layers": 10**6}, {"intermediate_size": 2**30},
     {"max_position_embeddings": 2**30}],
)  # fmt: skip
def test_a_config_of_another_size_is_refused_before_anything_of_it_is_made(changes, tmp_path):
    path = written(CASES[BERT], tmp_path / "model", **changes)
    assert "don't belong together" in refusal(kzoo.load, path)


def test_the_backbone_of_untied_scores_is_read_and_these_are_carried(tmp_path):
    path = written(CASES["tf_MT5ForConditionalGeneration"], tmp_path / "model")
    model = formats.read(path, task="backbone")
    assert list(model.origin.carried) == ["lm_head.weight"]
    table = kzoo.load(path).backbone.token_embedding.embeddings
    assert np.array_equal(model.token_embedding.embeddings, table)


def test_an_array_outside_of_the_layers_is_named(tmp_path):
    path = written(CASES[BERT], tmp_path / "model")
    with h5py.File(path / "tf_model.h5", "a") as file:
        file["stray"] = np.zeros(3)
    assert "has stray, which Bert has no row for" in refusal(kzoo.load, path)


def test_a_head_that_no_architecture_names_is_told_and_tensorflows_names_are_known(tmp_path):
    case = CASES[BERT]
    with pytest.warns(UserWarning, match=r"no architectures, so classifier\.(weight|bias)"):
        model = kzoo.load(written(case, tmp_path / "none", architectures=None))
    assert type(model).__name__ == "Bert"
    names = [f"TF{name}" for name in case["config"]["architectures"]]
    assert apart(kzoo.load(written(case, tmp_path / "tf", architectures=names)), case) < TOLERANCE


@pytest.mark.parametrize("name", ["tf_AlbertForPreTraining", "flax_T5ForConditionalGeneration"])
def test_what_was_read_is_written_as_safetensors(name, tmp_path):
    kzoo.to_huggingface(kzoo.load(written(CASES[name], tmp_path / "model")), tmp_path / "back")
    assert not [p for p in (tmp_path / "back").iterdir() if p.suffix in (".h5", ".msgpack")]
    assert apart(kzoo.load(tmp_path / "back"), CASES[name]) < TOLERANCE


def test_names_of_transformers_2_and_3(tmp_path):
    """Models counted in their scopes, tables called `weight`, no word of the kind of model."""
    case = CASES["tf_BertModel"]
    folder = written(case, tmp_path / "model")
    config = {k: v for k, v in case["config"].items() if k not in ("model_type", "architectures")}
    (folder / "config.json").write_text(json.dumps(config))
    with h5py.File(folder / "tf_model.h5", "r+") as file:
        layer = file["bert"]
        (scope,) = layer
        layer.move(scope, "tf_bert_model_3")
        tables = layer["tf_bert_model_3/bert/embeddings"]
        for table in ("position_embeddings", "token_type_embeddings"):
            tables.move(f"{table}/embeddings:0", f"{table}/weight:0")
    assert apart(kzoo.load(folder), case) < TOLERANCE


def test_what_older_files_have_besides_and_lack(tmp_path):
    """A second table of distances, which T5 doesn't read; no bias of BART's scores, thus zeros."""
    folder = written(CASES["tf_T5ForConditionalGeneration"], tmp_path / "t5")
    names = read_h5(folder / "tf_model.h5")
    with h5py.File(folder / "tf_model.h5", "r+") as file:
        first = next(n for n in names if n.startswith("decoder") and "relative" in n)
        second = first.replace("_0/SelfAttention", "_1/EncDecAttention")
        file[second] = np.ones(file[first].shape, "float32")
    assert apart(kzoo.load(folder), CASES["tf_T5ForConditionalGeneration"]) < TOLERANCE

    case = CASES["tf_BartForConditionalGeneration"]
    folder = written(case, tmp_path / "bart")
    with h5py.File(folder / "tf_model.h5", "r+") as file:
        bias = file["final_logits_bias/final_logits_bias:0"][()]
        del file["final_logits_bias"]
        file.attrs["layer_names"] = ["model"]
    logits = case["outputs"]["logits"]
    without = np.reshape(logits["values"], logits["shape"]) - bias
    case = {**case, "outputs": {"logits": {"shape": logits["shape"], "values": without.ravel()}}}
    assert apart(kzoo.load(folder), case) < TOLERANCE


def test_safetensors_that_tensorflow_and_flax_wrote(tmp_path):
    """The same names as in their own files, which the writer's mark tells apart from torch's."""
    for name in (BERT, "flax_BertForMaskedLM"):
        case = CASES[name]
        library = name.partition("_")[0]
        folder = tmp_path / library
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(case["config"]))
        (tree,) = case["files"].values()
        shapes = {}
        for path, shape in flat(tree).items():
            full = path.partition("/")[2] if library == "tf" else path
            there = full.partition("/")[2] if library == "tf" else path.replace("/", ".")
            shapes[there] = noise(full, shape)
        write_tensors(folder / "model.safetensors", shapes, {"format": library})
        assert apart(kzoo.load(folder), case) < TOLERANCE


def checkpoint(case, folder):
    """A folder as save_weights of a TensorFlow class leaves it, a config.json beside."""
    graph, values = TrackableObjectGraph(), {}
    graph.nodes.add()
    # What layers share is one variable here.
    names = {n.partition("/")[2]: s for n, s in flat(case["files"]["tf_model.h5"]).items()}
    for place, (name, shape) in enumerate(names.items(), 1):
        key = f"variables/{place}{VALUE}"
        graph.nodes[0].children.add(local_name=str(place), node_id=place)
        variable = graph.nodes.add().attributes.add(checkpoint_key=key)
        variable.full_name = name.removesuffix(":0")
        values[key] = noise(name, shape)
    write_checkpoint(folder / "weights", values, graph.SerializeToString())
    (folder / "config.json").write_text(json.dumps(case["config"]))
    return folder


@pytest.mark.parametrize("name", [BERT, "tf_AlbertForPreTraining", "tf_GPT2LMHeadModel"])
def test_checkpoints_that_tensorflow_classes_wrote(name, tmp_path):
    assert apart(kzoo.load(checkpoint(CASES[name], tmp_path)), CASES[name]) < TOLERANCE


def test_a_checkpoint_of_a_tensorflow_class_without_a_config_says_what_wrote_it(tmp_path):
    folder = checkpoint(CASES[BERT], tmp_path)
    (folder / "config.json").write_text('{"architectures": 3}')
    refused(folder, "config.json has architectures = 3")
    (folder / "config.json").unlink()
    refused(
        folder,
        "written by a TensorFlow class of transformers (tf_bert_for_sequence_classification)",
        "no config.json",
        "the folder that save_pretrained writes (config.json and tf_model.h5)",
    )


def test_the_vocabulary_comes_along(tmp_path):
    folder = written(CASES[BERT], tmp_path / "model")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "film"]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    assert kzoo.load(folder).tokenizer.encode(["Good film"])["token_ids"] == [[2, 5, 6, 3]]


def test_of_several_files_the_surest_is_read(tmp_path, monkeypatch):
    folder = written(CASES[BERT], tmp_path / "model")
    for name in ("pytorch_model.bin", "flax_model.msgpack", "model.safetensors"):
        (folder / name).write_bytes(b"")
    there = {name: (None, read) for name, (_, read) in source.READERS.items()}
    monkeypatch.setattr(source, "READERS", there)
    assert source.weight_files(folder) == [
        "model.safetensors", "pytorch_model.bin", "tf_model.h5", "flax_model.msgpack"
    ]  # fmt: skip
    needs = {**there, "pytorch_model.bin": ("a_package_that_is_not_here", None)}
    monkeypatch.setattr(source, "READERS", needs)
    (folder / "model.safetensors").unlink()
    assert source.weight_files(folder)[0] == "tf_model.h5"
    assert apart(kzoo.load(folder), CASES[BERT]) < TOLERANCE


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the hub as gives files; `asked` says which were fetched."""

    files, asked = {}, []

    def do_HEAD(self):
        self.answer(b"", self.files[Path(self.path).name])

    def do_GET(self):
        if self.path.startswith("/api/"):
            listed = [
                {"type": "file", "path": name, "rfilename": name, "size": len(x), "oid": name}
                for name, x in self.files.items()
            ]
            about = {"id": "me/tiny", "sha": "0" * 40, "siblings": listed, "tags": []}
            about = listed if "/tree/" in self.path else about
            about = json.dumps(about).encode()
            return self.answer(about, about)
        self.asked.append(Path(self.path).name)
        self.answer(self.files[self.asked[-1]], self.files[self.asked[-1]])

    def answer(self, body, content):
        self.send_response(200)
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


def test_the_hub_is_asked_for_the_surest_file_alone(tmp_path, monkeypatch):
    folder = written(CASES[BERT], tmp_path / "model")
    Hub.files = {path.name: path.read_bytes() for path in folder.iterdir()}
    Hub.files |= {"flax_model.msgpack": b"no", "rust_model.ot": b"no"}
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        assert apart(kzoo.from_huggingface("me/tiny"), CASES[BERT]) < TOLERANCE
        server.shutdown()
    assert sorted(Hub.asked) == ["config.json", "tf_model.h5"]


def test_what_flax_itself_packed(tmp_path):
    """Short and long lengths, every dtype, an array in pieces; the bytes are Flax's own."""
    golden = json.loads((GOLDEN / "flax_bytes.json").read_text())
    path = tmp_path / "flax.msgpack"
    path.write_bytes(base64.b64decode(golden["bytes"]))
    arrays = {"/".join(names): lazy.read() for names, lazy in read_msgpack(path).items()}
    assert arrays.keys() == golden["arrays"].keys()
    for name, (dtype, shape, values) in golden["arrays"].items():
        assert (arrays[name].dtype.name, list(arrays[name].shape)) == (dtype, shape), name
        assert arrays[name].ravel().astype("float64").tolist() == values, name


# -- what is refused -----------------------------------------------------------------------------


def refusal(read, *given):
    """The sentence that a call ends in."""
    with pytest.raises(KzooError) as caught:
        read(*given)
    return str(caught.value)


def whole_model(path):
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(path)


def of_keras_3(path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.save_weights(path.with_name("x.weights.h5"))
    path.with_name("x.weights.h5").rename(path)


def cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def two_minds(path):
    with h5py.File(path, "r+") as file:
        name = next(n for n in flat(CASES[BERT]["files"]["tf_model.h5"]["bert"]) if "word_emb" in n)
        group = file.create_group("mlm___cls")
        group[name] = 2 * noise(name, file[f"bert/{name}"].shape)
        file.attrs["layer_names"] = ["bert", "classifier", "mlm___cls"]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (whole_model, "is a whole Keras model (model.save)"),
        (of_keras_3, "has no layer_names, so transformers didn't write it"),
        (cut, "is not a sound H5 file"),
        (
            two_minds,
            "bert.embeddings.word_embeddings.weight more than once, with different numbers",
        ),
    ],
)
def test_another_file_by_that_name(spoil, sentence, tmp_path):
    folder = written(CASES[BERT], tmp_path / "model")
    spoil(folder / "tf_model.h5")
    assert sentence in refusal(kzoo.load, folder)


@pytest.mark.parametrize(
    ("name", "changes", "sentence"),
    [
        (BERT, {"hidden_size": 10}, "config.json asks for [16, 10]"),
        (BERT, {"num_hidden_layers": 1}, "has bert.encoder.layer.1."),
        ("flax_BertForMaskedLM", {"num_hidden_layers": 3}, "lacks bert.encoder.layer.2."),
    ],
)
def test_weights_of_another_size_than_the_config(name, changes, sentence, tmp_path):
    assert sentence in refusal(kzoo.load, written(CASES[name], tmp_path / "model", **changes))


@pytest.mark.parametrize("name", ["tf_in_shards", "flax_in_shards"])
def test_half_a_checkpoint(name, tmp_path):
    folder = written(CASES[name], tmp_path / "model")
    index = next(folder.glob("*.index.json"))
    shard = sorted(set(json.loads(index.read_text())["weight_map"].values()))[0]
    (folder / shard).rename(folder / "elsewhere")
    assert f"{shard} is missing" in refusal(kzoo.load, folder)
    names = json.loads(index.read_text())
    names["weight_map"] = {n: f for n, f in names["weight_map"].items() if f != shard}
    index.write_text(json.dumps(names))
    assert "lacks " in refusal(kzoo.load, folder)
    names["weight_map"]["a_model/model/encoder/one_more/kernel:0"] = list(
        names["weight_map"].values()
    )[0]
    index.write_text(json.dumps(names))
    assert "names model.encoder.one_more.weight, which no shard holds" in refusal(kzoo.load, folder)


def virtual(file):
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "y", (3,))
    file.create_virtual_dataset("x", layout)


def outside(file):
    file.create_dataset("x", (3,), "f4", external=[("other.h5", 0, 12)])


# Of each: what is said of it, and what writes it.
H5 = {
    "soft link": ("x is a link", lambda f: f.update(x=h5py.SoftLink("/y"), y=[1.0])),
    "external link": ("x is a link", lambda f: f.update(x=h5py.ExternalLink("other.h5", "/y"))),
    "group in itself": ("g/x is another name", lambda f: f.create_group("g").update(x=f["/g"])),
    "another name": ("y is another name", lambda f: (f.update(x=[1.0]), f.update(y=f["x"]))),
    "words": ("no numbers", lambda f: f.update(x=["a", "b"])),
    "records": ("no numbers", lambda f: f.update(x=np.zeros(2, [("a", "f4"), ("b", "i4")]))),
    "bytes": ("no numbers", lambda f: f.update(x=np.zeros(2, "V2"))),
    "complex": ("no numbers", lambda f: f.update(x=np.zeros(2, "complex64"))),
    "type": ("neither a group nor an array", lambda f: f.update(x=np.dtype("f4"))),
    "nothing": ("x has no shape", lambda f: f.create_dataset("x", data=h5py.Empty("f4"))),
    "never written": ("needs 4398046511104", lambda f: f.create_dataset("x", (2**40,), "f4")),
    "never written, in chunks": (
        "needs 4398046511104",
        lambda f: f.create_dataset("x", (2**40,), "f4", chunks=True),
    ),
    "in another file": ("x lies in another file", outside),
    "virtual": ("x lies in another file", virtual),
    "by a plugin": (
        "packed by filter 32000",
        lambda f: f.create_dataset("x", data=np.zeros(99), compression="lzf"),
    ),
    "deep": ("lie more than", lambda f: f.create_group("g/" * 70)),
}


@pytest.mark.parametrize("what", H5)
def test_h5_that_is_more_than_arrays(what, tmp_path):
    path, (sentence, write) = tmp_path / "x.h5", H5[what]
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["y"] = np.zeros(3, "f4")
    with h5py.File(path, "w") as file:
        write(file)
    said = refusal(read_h5, path)
    assert said.startswith(f"{path} is not a sound H5 file (") and sentence in said


def test_h5_that_is_none(tmp_path):
    path = tmp_path / "x.h5"
    assert f"{path} is missing" in refusal(read_h5, path)
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert "git lfs pull" in refusal(read_h5, path)
    path.write_bytes(b"<html>")
    assert "starts with other bytes" in refusal(read_h5, path)
    assert "is a folder" in refusal(read_h5, tmp_path)
    with h5py.File(tmp_path / "block.h5", "w", userblock_size=512) as file:
        file["x"] = [1.0]
    assert "a user block stands in front" in refusal(read_h5, tmp_path / "block.h5")


def test_h5_arrays_are_read_when_asked_for(tmp_path):
    path = tmp_path / "x.h5"
    kinds = {
        "a/big:0": np.arange(6, dtype=">f4").reshape(2, 3),
        "half": np.float16([0.5]),
        "none": np.zeros((0, 3), "float32"),
        "packed": np.arange(500, dtype="float64"),
        "number": np.int64(3),
    }
    brain = np.array([0.5, -2], ml_dtypes.bfloat16)
    with h5py.File(path, "w") as file:
        for name, array in kinds.items():
            options = {"compression": "gzip", "shuffle": True} if name == "packed" else {}
            file.create_dataset(name, data=array, **options)
        file.create_dataset("brain", data=brain.view("V2")).attrs["dtype"] = "bfloat16"
        file["a"].attrs.update({"weight_names0": [b"x", b"y"], "weight_names1": ["z"], "n": 1})
    arrays = read_h5(path)
    for name, array in {**kinds, "brain": brain}.items():
        dtype = np.asarray(array).dtype.newbyteorder("=")
        assert (arrays[name].dtype, arrays[name].shape) == (dtype.name, np.shape(array))
        assert arrays[name].read().dtype == dtype
        assert np.array_equal(arrays[name].read(), array)
    assert read_h5_texts(path, "a")["weight_names"] == ["x", "y", "z"]
    assert "has no b" in refusal(read_h5_texts, path, "b")
    with h5py.File(path, "r+") as file:
        file["b"] = h5py.SoftLink("/a")
    assert "b is a link" in refusal(read_h5_texts, path, "b")
    path.unlink()
    assert "is missing" in refusal(arrays["half"].read)


SOUND = b"\x81\xa1x" + extension(np.float32([1, 2]))
PIECES = b"\xb9__msgpack_chunked_array__\xc3\xa6chunks\x81\xa10" + SOUND[3:]
# Of each: what is said of it, and its bytes.
MSGPACK = {
    "half": ("incomplete", b"\x82" + SOUND[1:]),
    "more": ("extra data", SOUND + b"\x80"),
    "twice": ("x stands there twice", b"\x82" + 2 * SOUND[1:]),
    "no map": ("it is no map", SOUND[3:]),
    "number": ("x is no array", b"\x81\xa1x\x05"),
    "nil": ("x is no array", b"\x81\xa1x\xc0"),
    "text": ("x is no array", b"\x81\xa1x\xa1y"),
    "complex number": ("an extension of type 2", b"\x81\xa1x\xc7\x03\x02\x92\x01\x02"),
    "time": ("x is no array", b"\x81\xa1x\xd6\xff\x00\x00\x00\x01"),
    "two parts": ("lacks its shape, dtype or bytes", b"\x81\xa1x\xc7\x03\x01\x92\x90\xa0"),
    "objects": ("dtype 'object'", b"\x81\xa1x" + extension(np.float32([1, 2]), "object")),
    "another shape": ("8 bytes, not 12", b"\x81\xa1x" + extension(np.float32([1, 2]), shape=(3,))),
    "deep": ("lie more than", b"\x81\xa1x" * 200 + b"\x80"),
    "name of bytes": ("utf-8", b"\x81\xa2\xff\xfe" + SOUND[3:]),
    "pieces without shape": ("lacks its shape or pieces", b"\x82" + PIECES),
    "too few pieces": (
        "w of [3] has pieces of 2 numbers",
        b"\x81\xa1w\x83\xa5shape\x81\xa10\x03" + PIECES,
    ),
    "empty": ("incomplete", b""),
}


@pytest.mark.parametrize("what", MSGPACK)
def test_msgpack_that_is_more_than_arrays(what, tmp_path):
    path, (sentence, content) = tmp_path / "x.msgpack", MSGPACK[what]
    path.write_bytes(content)
    said = refusal(read_msgpack, path)
    assert said.startswith(f"{path} is not a sound file of Flax's weights (") and sentence in said


def test_msgpack_that_ends_early(tmp_path):
    path = tmp_path / "x.msgpack"
    whole = packed({"a/b": np.float32([[1, 2]]), "a/c": np.int32(5), "d": np.zeros(0, "int8")})
    path.write_bytes(whole)
    assert set(read_msgpack(path)) == {("a", "b"), ("a", "c"), ("d",)}
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert "is not a sound file" in refusal(read_msgpack, path)
