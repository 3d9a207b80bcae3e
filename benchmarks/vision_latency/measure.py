"""Latency of pictures' models in kzoo's files beside those of two peers, one thread, batch 1.

    python benchmarks/vision_latency/measure.py [--rounds 15] [--files FOLDER] [--output FILE]

Three models on pictures of 224 by 224 pixels: ViT-Ti/16 and ViT-B/16 that tell 1,000 classes by the
class token, and CLIP B/32's image tower. Weights are random, because time does not depend on them.
Each is measured in float32 and in dynamic int8:

    kzoo            an `ImageClassifier`, or an `ImageEmbedder` on the tower, as a bundle's file has
                    it but for the scaling of pixels; of the last block only the place is computed
                    that the head reads
    every place     kzoo's backbone alone, which gives the vectors of all places: what the graph is
                    worth without that
    kerashub        KerasHub's ViTImageClassifier on ViTBackbone, or CLIPVisionEncoder (which has no
                    projection), through Keras' own exporter, model.export(format="litert"); int8 by
                    ai-edge-quantizer's dynamic recipe
    onnxruntime     transformers' ViTForImageClassification or CLIPVisionModelWithProjection through
                    torch.onnx; int8 by quantize_dynamic of the matrix products, so that the one
                    convolution stays in float32

Each arm lives in a process of its own and they take turns, see `kzoo.turns`. What counts is CPU
time; a ratio is the median over the rounds of the ratio within a round. Needs keras-hub,
ai-edge-quantizer, torch, transformers, onnx and onnxruntime beside kzoo; files are kept in FOLDER
and made only once.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from provenance import provenance

from kzoo import turns

ROOT = Path(__file__).resolve().parent.parent.parent
PRESETS = {
    "ViT-Ti 16": "vit_tiny_16_224",
    "ViT-B 16": "vit_base_16_224",
    "CLIP B 32": "clip_base_32",
}
SIDE, CLASSES = 224, 1000
PRECISIONS = ("float32", "int8")
ARMS = ("kzoo", "every place", "kerashub", "onnxruntime")
PEERS = ("kerashub", "onnxruntime")
TARGETS = {"float32": 1.0, "int8": 1.2}
REPEATS = {"ViT-Ti 16": 4, "ViT-B 16": 1, "CLIP B 32": 2}
SOURCES = [
    "benchmarks/vision_latency", "kzoo/graphs.py", "kzoo/litert/convert.py",
    "kzoo/litert/quantize.py", "kzoo/nn", "kzoo/turns.py",
]  # fmt: skip
PACKAGES = (
    "kzoo", "keras", "tensorflow", "ai-edge-litert", "ai-edge-quantizer", "keras-hub",
    "onnxruntime", "torch", "transformers",
)  # fmt: skip


def file_of(folder, model, arm, precision):
    """Where the file of an arm lies."""
    suffix = "onnx" if arm == "onnxruntime" else "tflite"
    return folder / f"{PRESETS[model]}-{arm.replace(' ', '_')}-{precision}.{suffix}"


def spec_of(model):
    """The spec of a model, of CLIP that of its image tower."""
    import kzoo

    held = json.loads((ROOT / "presets" / PRESETS[model] / "spec.json").read_text())
    return kzoo.Spec.from_dict(held["towers"]["image"] if "towers" in held else held)


# -- making the files, those of an arm in a process of their own ----------------------------------


def make_kzoo(folder, model):
    import kzoo
    from kzoo.models import build

    backbone = build(spec_of(model))
    if backbone.spec.pooler == "none":
        task = kzoo.ImageClassifier(backbone, labels=[str(label) for label in range(CLASSES)])
    else:
        task = kzoo.ImageEmbedder(backbone, pooling="pooled")
    _write_kzoo(task, folder, model, "kzoo")


def make_every_place(folder, model):
    from kzoo.models import build

    _write_kzoo(build(spec_of(model)), folder, model, "every place")


def _write_kzoo(source, folder, model, arm):
    from kzoo.litert.convert import exportable, traced, write_file

    with traced(exportable(source)) as graphs:
        for precision in PRECISIONS:
            write_file(graphs, file_of(folder, model, arm, precision), precision)


def make_kerashub(folder, model):
    import keras
    import keras_hub
    from ai_edge_quantizer import quantizer, recipe

    spec = spec_of(model)
    sizes = {
        "patch_size": spec.embedding["patch_size"],
        "num_layers": spec.num_layers,
        "num_heads": spec.num_heads,
        "hidden_dim": spec.hidden_dim,
        "image_shape": (SIDE, SIDE, 3),
    }
    inner = spec.intermediate_dim
    if spec.pooler == "none":
        sizes["patch_size"] = 2 * (sizes["patch_size"],)
        backbone = keras_hub.models.ViTBackbone(mlp_dim=inner, **sizes)
        network = keras_hub.models.ViTImageClassifier(backbone, num_classes=CLASSES)
    else:
        network = keras_hub.models.CLIPVisionEncoder(intermediate_dim=inner, **sizes)
    images = keras.Input((SIDE, SIDE, 3), name="images")
    plain, small = (file_of(folder, model, "kerashub", precision) for precision in PRECISIONS)
    outputs = network(images if spec.pooler == "none" else {"images": images})
    keras.Model(images, outputs).export(str(plain), format="litert")
    quantize = quantizer.Quantizer(str(plain))
    quantize.load_quantization_recipe(recipe.dynamic_wi8_afp32())
    quantize.quantize().export_model(str(small), overwrite=True)


def make_onnxruntime(folder, model):
    import torch
    import transformers
    from onnxruntime.quantization import QuantType, quantize_dynamic

    spec = spec_of(model)
    sizes = {
        "hidden_size": spec.hidden_dim,
        "num_hidden_layers": spec.num_layers,
        "num_attention_heads": spec.num_heads,
        "intermediate_size": spec.intermediate_dim,
        "image_size": SIDE,
        "patch_size": spec.embedding["patch_size"],
    }
    if spec.pooler == "none":
        config = transformers.ViTConfig(num_labels=CLASSES, **sizes)
        network, output = transformers.ViTForImageClassification(config), "logits"
    else:
        config = transformers.CLIPVisionConfig(projection_dim=spec.pooler["dim"], **sizes)
        network, output = transformers.CLIPVisionModelWithProjection(config), "image_embeds"

    class Answer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network.eval()

        def forward(self, images):
            return getattr(self.network(pixel_values=images), output)

    plain, small = (file_of(folder, model, "onnxruntime", precision) for precision in PRECISIONS)
    torch.onnx.export(
        Answer().eval(),
        (torch.zeros(1, 3, SIDE, SIDE),),
        str(plain),
        input_names=["images"],
        output_names=[output],
        dynamo=False,
        opset_version=17,
    )
    quantize_dynamic(
        str(plain), str(small), weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm"]
    )


MAKERS = {
    "kzoo": make_kzoo,
    "every place": make_every_place,
    "kerashub": make_kerashub,
    "onnxruntime": make_onnxruntime,
}


# -- one arm --------------------------------------------------------------------------------------


def serve_arm(path, repeats):
    run = (_onnx if path.suffix == ".onnx" else _litert)(path)

    def turn():
        start = time.process_time()
        for _ in range(repeats):
            run()
        return {"seconds": (time.process_time() - start) / repeats}

    turns.serve(turn)


def _noise(shape):
    import numpy as np

    return np.random.default_rng(0).standard_normal([abs(n) for n in shape]).astype("float32")


def _litert(path):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    (entry,) = interpreter.get_input_details()
    interpreter.allocate_tensors()
    interpreter.set_tensor(entry["index"], _noise(entry["shape"]))
    return interpreter.invoke


def _onnx(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    feeds = {entry.name: _noise(entry.shape)}
    return lambda: session.run(None, feeds)


# -- all arms in turn -----------------------------------------------------------------------------


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--files", type=Path, default=Path("build/vision_latency"))
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "result.json")
    parser.add_argument("--make", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        return serve_arm(Path(arguments.serve[0]), int(arguments.serve[1]))
    folder = arguments.files.resolve()
    if arguments.make:
        model, arm = arguments.make
        return MAKERS[arm](folder, model)

    folder.mkdir(parents=True, exist_ok=True)
    for model in PRESETS:
        for arm in ARMS:
            if not all(file_of(folder, model, arm, each).is_file() for each in PRECISIONS):
                print(f"Making {arm} of {model} ...", flush=True)
                command = [sys.executable, __file__, "--files", folder, "--make", model, arm]
                subprocess.run(command, check=True, capture_output=True)
    measured = {model: _measure(folder, model, arguments.rounds) for model in PRESETS}
    result = {
        "what": f"pictures of {SIDE} by {SIDE}, batch 1, one thread, random weights, processor "
        "time; a ratio is the arm's time over that of kzoo in the same precision, so above 1 kzoo "
        "is faster; `kzoo int8` is kzoo's time in float32 over its own in int8",
        "provenance": provenance(SOURCES, PACKAGES),
        "rounds": arguments.rounds,
        "models": measured,
        "targets": TARGETS,
        "targets_met": {
            f"{model}, {precision}, {peer}": entry["ratios"][precision][peer] >= TARGETS[precision]
            for model, entry in measured.items()
            for precision in PRECISIONS
            for peer in PEERS
        },
    }
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")
    plot(measured, arguments.output.with_name("ratios.png"))
    print(json.dumps({name: result[name] for name in ("models", "targets_met")}, indent=2))


def _measure(folder, model, rounds):
    """The ratios of a model's arms, their sizes and how XNNPACK takes them."""
    files = {(a, p): file_of(folder, model, a, p) for p in PRECISIONS for a in ARMS}
    commands = {
        arm: [sys.executable, __file__, "--serve", path, REPEATS[model]]
        for arm, path in files.items()
    }
    times, loads = turns.take(commands, rounds)
    ratios = {
        precision: {
            arm: turns.ratio(times, ("kzoo", precision), (arm, precision), "seconds")
            for arm in ARMS
            if arm != "kzoo"
        }
        for precision in PRECISIONS
    }
    ratios["kzoo int8"] = turns.ratio(times, ("kzoo", "int8"), ("kzoo", "float32"), "seconds")
    return {
        "ratios": ratios,
        "megabytes": {
            f"{arm}, {precision}": round(path.stat().st_size / 1e6, 2)
            for (arm, precision), path in files.items()
        },
        "partitions": {
            f"{arm}, {precision}": _partitions(path)
            for (arm, precision), path in files.items()
            if path.suffix == ".tflite"
        },
        "load": max(loads),
    }


def plot(measured, path):
    """How many times longer the other arms take than kzoo, a panel for each precision."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for panel, precision in zip(panels, PRECISIONS, strict=True):
        for place, arm in enumerate(ARMS[1:]):
            values = [entry["ratios"][precision][arm] for entry in measured.values()]
            bars = panel.bar([n + 0.27 * (place - 1) for n in range(len(values))], values, 0.25)
            bars.set_label(arm)
            panel.bar_label(bars, fmt="%.2f", fontsize=7)
        panel.axhline(1, color="black", linewidth=0.8)
        panel.set_xticks(range(len(measured)), measured)
        panel.set_title(precision)
    panels[0].set_ylabel("time / kzoo's")
    panels[1].legend(fontsize=7, loc="lower right")
    figure.savefig(path, format="png", dpi=110, metadata={"Software": None})


def _partitions(path):
    """How many groups of operators XNNPACK runs as one."""
    from ai_edge_litert.interpreter import Interpreter

    from kzoo.litert.hooks import operators_after_delegation

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    return sum(each["op_name"] == "DELEGATE" for each in operators_after_delegation(interpreter))


if __name__ == "__main__":
    main()
