"""Latency of kzoo's int8 export beside those of three peers, one thread, batch 1.

    python benchmarks/litert_latency/measure.py [--rounds 25] [--files FOLDER] [--output FILE]

All arms are the same encoder, all-MiniLM-L6's shape (6 layers, width 384, 12 heads, 30,522
tokens), with random weights, because time does not depend on them:

    kzoo            kzoo.export_litert(quantization="int8"): one file, any length
    kzoo float32    the same without quantization
    kerashub        KerasHub's BertBackbone through Keras' own exporter, model.export(format=
                    "litert") at 128 tokens, then ai-edge-quantizer's dynamic int8 recipe
    litert-torch    transformers' BertModel through litert-torch, then the same quantizer's recipe:
                    a file for each length, 16, 32 and 128
    onnxruntime     transformers' BertModel through torch.onnx, then quantize_dynamic (int8)
    matrices alone  the encoder's 36 int8 FULLY_CONNECTED and nothing else: what no graph that runs
                    on the same kernels can beat

Each arm lives in a process of its own. In every round all arms run in turn, so a busy moment of
the machine falls on all of them, and what counts is processor time, not time on the wall. Ratios
are medians over the rounds of the ratio within a round. Needs keras-hub, ai-edge-quantizer,
litert-torch, torch, transformers, onnx and onnxruntime beside kzoo; files are kept in FOLDER and
made only once.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from provenance import provenance  # noqa: E402

LENGTH = 128
LENGTHS = (16, 32, 64, 128, 256)
SHAPE = {"layers": 6, "width": 384, "heads": 12, "inner": 1536, "vocabulary": 30522}
TARGETS = {
    "kerashub": 1.3, "onnxruntime": 1.6, "share at 32": 0.25, "litert-torch": 1.1,
    "litert-torch at 32": 1.2,
}  # fmt: skip
FILES = {
    "kzoo": "kzoo_int8.tflite",
    "kzoo float32": "kzoo_float32.tflite",
    "kerashub": "kerashub_int8.tflite",
    "litert-torch": "litert_torch_int8.tflite",
    "litert-torch at 16": "litert_torch_16_int8.tflite",
    "litert-torch at 32": "litert_torch_32_int8.tflite",
    "onnxruntime": "onnx_int8.onnx",
    "matrices alone": "matrices_int8.tflite",
}
# The lengths at which each arm is timed, where that is not LENGTH alone.
TIMED = {"kzoo": LENGTHS, "litert-torch at 16": (16,), "litert-torch at 32": (32,)}
WARM_UP = 2
SOURCES = ["kzoo/graphs.py", "kzoo/litert/convert.py", "kzoo/litert/quantize.py", "kzoo/nn"]
PACKAGES = (
    "kzoo", "keras", "tensorflow", "ai-edge-litert", "ai-edge-quantizer", "keras-hub",
    "litert-torch", "onnxruntime", "torch", "transformers",
)  # fmt: skip


# -- making the files, each in a process of its own ---------------------------------------------


def make_kzoo(folder):
    import kzoo
    from kzoo.models import build

    spec = kzoo.Spec(
        "bert",
        {"kind": "token", "vocabulary_size": SHAPE["vocabulary"], "num_segments": 2},
        SHAPE["width"],
        SHAPE["heads"],
        SHAPE["inner"],
        tuple(range(SHAPE["layers"])),
    )
    model = build(spec)
    for name, quantization in (("kzoo", "int8"), ("kzoo float32", "float32")):
        kzoo.export_litert(model, folder / FILES[name], quantization, limits={})


def make_kerashub(folder):
    import keras
    import keras_hub

    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=SHAPE["vocabulary"],
        num_layers=SHAPE["layers"],
        num_heads=SHAPE["heads"],
        hidden_dim=SHAPE["width"],
        intermediate_dim=SHAPE["inner"],
        max_sequence_length=512,
    )
    names = ("token_ids", "padding_mask", "segment_ids")
    inputs = {name: keras.Input((LENGTH,), dtype="int32", name=name) for name in names}
    plain = folder / "kerashub_float32.tflite"
    keras.Model(inputs, backbone(inputs)).export(str(plain), format="litert")
    _quantize(plain, folder / FILES["kerashub"])


def _quantize(plain, target):
    """Dynamic int8 by ai-edge-quantizer's own recipe."""
    from ai_edge_quantizer import quantizer, recipe

    quantize = quantizer.Quantizer(str(plain))
    quantize.load_quantization_recipe(recipe.dynamic_wi8_afp32())
    quantize.quantize().export_model(str(target), overwrite=True)


def make_litert_torch(folder):
    import litert_torch
    import torch

    encoder = _torch_encoder()
    for name, length in (
        ("litert-torch", LENGTH),
        ("litert-torch at 16", 16),
        ("litert-torch at 32", 32),
    ):
        ids = torch.ones(1, length, dtype=torch.int32)
        plain = folder / FILES[name].replace("int8", "float32")
        litert_torch.convert(encoder, (ids, ids, 0 * ids)).export(str(plain))
        _quantize(plain, folder / FILES[name])


def _torch_encoder():
    """transformers' BertModel on token ids, padding mask and segment ids, in this order."""
    import torch
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=SHAPE["vocabulary"],
        hidden_size=SHAPE["width"],
        num_hidden_layers=SHAPE["layers"],
        num_attention_heads=SHAPE["heads"],
        intermediate_size=SHAPE["inner"],
    )

    class Encoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bert = BertModel(config, add_pooling_layer=True).eval()

        def forward(self, token_ids, padding_mask, segment_ids):
            outputs = self.bert(token_ids, padding_mask, segment_ids)
            return outputs.last_hidden_state, outputs.pooler_output

    return Encoder().eval()


def make_onnxruntime(folder):
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic

    ids = torch.ones(1, LENGTH, dtype=torch.long)
    names = ["token_ids", "padding_mask", "segment_ids"]
    plain = folder / "onnx_float32.onnx"
    torch.onnx.export(
        _torch_encoder(),
        (ids, ids, 0 * ids),
        str(plain),
        input_names=names,
        output_names=["sequence_output", "pooled_output"],
        dynamo=False,
        opset_version=17,
        dynamic_axes={name: {1: "length"} for name in names},
    )
    quantize_dynamic(str(plain), str(folder / FILES["onnxruntime"]), weight_type=QuantType.QInt8)


def make_matrices(folder):
    import numpy as np
    import tensorflow as tf

    draw, width, inner = np.random.default_rng(0), SHAPE["width"], SHAPE["inner"]

    def matrix(rows, columns):
        return tf.Variable(0.05 * draw.standard_normal((rows, columns)).astype("float32"))

    module = tf.Module()
    module.layers = [
        [matrix(width, width) for _ in range(4)] + [matrix(width, inner), matrix(inner, width)]
        for _ in range(SHAPE["layers"])
    ]

    @tf.function(input_signature=[tf.TensorSpec([LENGTH, width], tf.float32, name="x")])
    def serve(x):
        for query, key, value, output, up, down in module.layers:
            x = tf.matmul(tf.matmul(x, query) + tf.matmul(x, key) + tf.matmul(x, value), output)
            x = tf.matmul(tf.matmul(x, up), down)
        return {"y": x}

    module.serve = serve
    with tempfile.TemporaryDirectory() as saved:
        tf.saved_model.save(module, saved, signatures={"serve": serve})
        converter = tf.lite.TFLiteConverter.from_saved_model(saved)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        (folder / FILES["matrices alone"]).write_bytes(converter.convert())


MAKERS = {
    "kzoo": make_kzoo,
    "kerashub": make_kerashub,
    "litert-torch": make_litert_torch,
    "onnxruntime": make_onnxruntime,
    "matrices alone": make_matrices,
}


# -- one arm: reads "length repeats" a line, answers with milliseconds of processor time a run ---


def serve_arm(path):
    run = _onnx(path) if path.suffix == ".onnx" else _litert(path)
    for line in sys.stdin:
        length, repeats = map(int, line.split())
        call = run(length)
        start = time.process_time()
        for _ in range(repeats):
            call()
        print(1000 * (time.process_time() - start) / repeats, flush=True)


def _values(name, length):
    import numpy as np

    # litert-torch numbers its inputs in the order that the encoder takes them.
    mask, segment = "mask" in name or "args_1" in name, "segment" in name or "args_2" in name
    if mask or segment:
        return np.full((1, length), int(mask), "int32")
    return np.random.default_rng(0).integers(1000, SHAPE["vocabulary"], (1, length)).astype("int32")


def _litert(path):
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    inputs = interpreter.get_input_details()
    state = {"length": None}

    def prepared(length):
        if length != state["length"]:
            for entry in inputs:
                if entry["dtype"] == np.int32 and tuple(entry["shape"]) != (1, length):
                    interpreter.resize_tensor_input(entry["index"], (1, length))
            interpreter.allocate_tensors()
            for entry in inputs:
                if entry["dtype"] == np.int32:
                    interpreter.set_tensor(entry["index"], _values(entry["name"], length))
                else:
                    values = np.random.default_rng(0).standard_normal(entry["shape"])
                    interpreter.set_tensor(entry["index"], values.astype("float32"))
            interpreter.invoke()
            state["length"] = length
        return interpreter.invoke

    return prepared


def _onnx(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def prepared(length):
        feeds = {
            entry.name: _values(entry.name, length).astype("int64")
            for entry in session.get_inputs()
        }
        return lambda: session.run(None, feeds)

    return prepared


# -- all arms in turn ---------------------------------------------------------------------------


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--files", type=Path, default=Path("build/litert_latency"))
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "result.json")
    parser.add_argument("--make", choices=MAKERS, help=argparse.SUPPRESS)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        return serve_arm(arguments.serve)
    folder = arguments.files.resolve()
    if arguments.make:
        return MAKERS[arguments.make](folder)

    folder.mkdir(parents=True, exist_ok=True)
    for name in MAKERS:
        if not (folder / FILES[name]).is_file():
            print(f"Making {FILES[name]} ...", flush=True)
            command = [sys.executable, __file__, "--files", str(folder), "--make", name]
            subprocess.run(command, check=True, capture_output=True)
    arms = {name: _start(folder / file) for name, file in FILES.items()}
    cases = [(name, length) for name in arms for length in TIMED.get(name, (LENGTH,))]
    times = {case: [] for case in cases}
    for turn in range(WARM_UP + arguments.rounds):
        for name, length in cases:
            milliseconds = _ask(arms[name], length, max(1, 2 * LENGTH // length))
            if turn >= WARM_UP:
                times[name, length].append(milliseconds)
    for arm in arms.values():
        arm.stdin.close()
        arm.wait()
    result = summary(times, arguments.rounds, folder)
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({k: result[k] for k in ("milliseconds", "ratios", "targets_met")}, indent=2))


def _start(path):
    return subprocess.Popen(
        [sys.executable, __file__, "--serve", str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _ask(arm, length, repeats):
    arm.stdin.write(f"{length} {repeats}\n")
    arm.stdin.flush()
    return float(arm.stdout.readline())


def summary(times, rounds, folder):
    def ratio(case, length):
        """How many times longer than kzoo at a length, the median over the rounds."""
        pairs = zip(times[case], times["kzoo", length], strict=True)
        return round(statistics.median(other / this for other, this in pairs), 3)

    ratios = {name: ratio((name, length), length) for name, length in times if name != "kzoo"}
    ratios |= {f"share at {n}": ratio(("kzoo", n), LENGTH) for n in LENGTHS}
    floor = ratios["matrices alone"]
    return {
        "what": "int8 encoder of all-MiniLM-L6's shape, batch 1, one thread, processor time; a "
        "ratio is the arm's time over kzoo's at the same length, so above 1 kzoo is faster",
        "provenance": provenance(SOURCES, PACKAGES),
        "rounds": rounds,
        "megabytes": {n: round((folder / f).stat().st_size / 1e6, 2) for n, f in FILES.items()},
        "partitions": {n: _partitions(folder / f) for n, f in FILES.items() if "tflite" in f},
        "milliseconds": {
            f"{name}, {length} tokens": {
                "median": round(statistics.median(values), 3),
                "min": round(min(values), 3),
                "max": round(max(values), 3),
            }
            for (name, length), values in times.items()
        },
        "ratios": ratios,
        "best_possible_against_kerashub": round(ratios["kerashub"] / floor, 3),
        "best_possible_against_onnxruntime": round(ratios["onnxruntime"] / floor, 3),
        "targets": TARGETS,
        "targets_met": {
            name: ratios[name] <= target if "share" in name else ratios[name] >= target
            for name, target in TARGETS.items()
        },
    }  # fmt: skip


def _partitions(path):
    """How many groups of operators XNNPACK runs as one."""
    from ai_edge_litert.interpreter import Interpreter

    from kzoo.litert.hooks import operators_after_delegation

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    return sum(each["op_name"] == "DELEGATE" for each in operators_after_delegation(interpreter))


if __name__ == "__main__":
    main()
