"""Tokens a second of GPT-2-small's shape in a LiteRT file, on one thread, beside its peers.

    python benchmarks/device_generation/measure.py [--rounds 5] [--files FOLDER] [--arms ...]

All arms have the same weights, drawn and not trained, since time does not depend on them:

    kzoo int8       the file of a CausalLM, decode and prefill, with a cache of 256 tokens
    kzoo float32    the same without quantization
    torch           transformers' GPT2LMHeadModel in float32, with its own cache
    onnxruntime     the same through torch.onnx, past and present as inputs and outputs, then
                    quantize_dynamic (int8)
    kzoo litert_lm  the int8 file that kzoo makes for LiteRT-LM, on the engine of that
    litert-torch    the same engine on what litert-torch's export_hf makes (int8)

The last three are run by --peers-python, which needs onnx, onnxruntime, litert-torch,
litert-lm-api, torch and transformers. litert-torch finds the number of heads and their width in a
configuration under names that GPT-2's doesn't have: its copy of the model says them too. The engine
takes text alone: token n is the word "tn", in both of its files.

Each arm is a process of its own that stays alive and takes its turn, so that a busy moment of the
machine falls on all; ratios are medians of the ratios within a round. A turn is one text of `--new`
tokens, each the likeliest, behind a prompt of 16. Beside the clock the processor's time is given,
which other processes lengthen less. Files are kept in FOLDER and made only once.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from kzoo.turns import middle, ratio, serve, take, timed  # noqa: E402

ENGINE = Path(__file__).parent.parent / "litertlm" / "engine.py"
ARMS = ("kzoo int8", "kzoo float32", "torch", "onnxruntime", "kzoo litert_lm", "litert-torch")
PROMPT, CACHE, VOCABULARY = 16, 256, 50257
END = "<|endoftext|>"
TARGET = 2.0  # kzoo int8 against torch
SOURCES = [
    "benchmarks/device_generation", "benchmarks/litertlm/engine.py", "kzoo/bundle/file_step.py",
    "kzoo/bundle/litertlm.py", "kzoo/generation", "kzoo/graphs.py", "kzoo/litert", "kzoo/nn",
    "kzoo/tasks/causal_lm.py",
]  # fmt: skip
PEERS = {  # what else an arm needs
    "onnxruntime": ("onnx", "onnxruntime"),
    "kzoo litert_lm": ("litert-lm-api",),
    "litert-torch": ("litert-torch", "litert-lm-api"),
}
PACKAGES = ("kzoo", "keras", "tensorflow", "ai-edge-litert", "torch", "transformers")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    parser.add_argument("--files", type=Path, default=Path("build/device_generation"))
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "result.json")
    parser.add_argument("--peers-python", default=sys.executable)
    parser.add_argument("--worker", choices=ARMS, help=argparse.SUPPRESS)
    parser.add_argument("--make", choices=PACKED, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments)
        return
    if arguments.make:
        MAKERS[arguments.make](arguments.files, arguments.files / PACKED[arguments.make])
        return
    result = compare(arguments)
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({k: v for k, v in result.items() if k != "provenance"}, indent=2))


def compare(arguments):
    """Let the arms take turns; returns what is written down."""
    from provenance import provenance

    arguments.files.mkdir(parents=True, exist_ok=True)
    turns, loads = take(
        {arm: command(arm, arguments) for arm in arguments.arms},
        arguments.rounds,
        dict.fromkeys(arguments.arms, {"OMP_NUM_THREADS": "1"}),
    )
    exact = [arm for arm in ("kzoo float32", "torch") if arm in turns]
    written = {str(turn["tokens"]) for arm in exact for turn in turns[arm]}
    if len(written) > 1:
        raise SystemExit("error: the float32 arms write different tokens.")
    short = [arm for arm in PACKED for t in turns.get(arm, ()) if count(t) != arguments.new]
    if short:
        raise SystemExit(f"error: {short[0]} writes another number of tokens.")

    return {
        "what": "greedy text of GPT-2-small's shape, batch 1, one thread; kzoo on LiteRT",
        "provenance": provenance(SOURCES, PACKAGES),
        "peers": versions(arguments.peers_python, arguments.arms),
        "rounds": arguments.rounds,
        "load_1min_by_round": loads,
        "prompt_tokens": PROMPT,
        "new_tokens": arguments.new,
        "cache": CACHE,
        "float32_arms_write_the_same": len(exact) > 1,
        "tokens_per_second": {
            arm: round(arguments.new / middle(turns, arm, "seconds"), 2) for arm in turns
        },
        "processor_ms_a_token": {
            arm: round(1000 * middle(turns, arm, "processor") / arguments.new, 2) for arm in turns
        },
        "ratios": {
            f"{arm} / {other}": {
                "clock": ratio(turns, arm, other, "seconds"),
                "processor": ratio(turns, arm, other, "processor"),
            }
            for arm in turns
            if arm.startswith("kzoo")
            for other in turns
            if not other.startswith("kzoo")
        },
        "targets": {"kzoo int8 / torch": TARGET},
        "megabytes": {
            path.name: round(path.stat().st_size / 1e6, 1)
            for path in sorted(arguments.files.glob("*.*"))
        },
    }


def command(arm, arguments):
    """What serves an arm; a file for the engine is made first."""
    own = arm.startswith("kzoo") or arm == "torch"
    python = sys.executable if own else arguments.peers_python
    script = [python, __file__, "--files", arguments.files]
    if arm not in PACKED:
        return [*script, "--new", arguments.new, "--worker", arm]
    path = arguments.files / PACKED[arm]
    if not path.is_file():
        subprocess.run([str(part) for part in [*script, "--make", arm]], check=True)
    text = " ".join(f"t{token}" for token in prompt())
    return [arguments.peers_python, ENGINE, path, text, arguments.new]


def versions(python, arms):
    """The versions of what arms need that run in another Python."""
    packages = sorted({package for arm in arms for package in PEERS.get(arm, ())})
    code = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
    command = [python, "-c", code, *packages]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(zip(packages, run.stdout.split(), strict=True))


def prompt():
    """The ids that every arm goes on from."""
    import numpy as np

    return np.random.default_rng(0).integers(0, VOCABULARY, PROMPT).tolist()


def count(turn):
    """How many words the engine wrote."""
    return len(turn["text"].split())


def work(arguments):
    """Serve an arm: a turn is a text."""
    kind, _, quantization = arguments.worker.partition(" ")
    makers = {"kzoo": kzoo_side, "torch": torch_side, "onnxruntime": onnx_side}
    write, ids = makers[kind](arguments.files, quantization), prompt()

    def turn():
        tokens, seconds, processor = timed(lambda: write(ids, arguments.new))
        return {"tokens": list(map(int, tokens)), "seconds": seconds, "processor": processor}

    serve(turn)


def reference(files):
    """GPT-2 in its smallest size; wide weights, so that the likeliest token stands out."""
    folder = files / "hf"
    if not folder.is_dir():
        import torch
        import transformers

        torch.manual_seed(0)
        config = transformers.GPT2Config(initializer_range=0.05)
        transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def kzoo_side(files, quantization):
    """A function that writes so many tokens behind a prompt."""
    from kzoo.bundle.file_step import open_step
    from kzoo.generation import Generation, generate

    path = files / f"{quantization}_{CACHE}.tflite"
    if not path.is_file():
        folder = reference(files)
        import kzoo
        from kzoo.litert.convert import exportable, sizes_of, traced, write_file

        task = kzoo.CausalLM(kzoo.from_huggingface(folder))
        with traced(exportable(task), sizes_of(task, cache=CACHE)) as graphs:
            write_file(graphs, path, quantization)
    step = open_step(path)

    def write(prompt, count):
        options = Generation(max_new_tokens=count)
        return generate(step, [prompt], options, None, CACHE)[0][0].token_ids

    return write


def torch_side(files, _):
    """The same of transformers."""
    import torch
    import transformers

    torch.set_num_threads(1)
    model = transformers.GPT2LMHeadModel.from_pretrained(reference(files)).eval()
    model.generation_config.eos_token_id = None

    def write(prompt, count):
        ids = torch.tensor([prompt])
        with torch.inference_mode():
            whole = model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False,
                pad_token_id=0,
            )  # fmt: skip
        return whole[0, len(prompt) :].tolist()

    return write


def onnx_side(files, _):
    """The same of ONNX Runtime, in int8."""
    import numpy as np
    import onnxruntime

    path = files / "onnx_int8.onnx"
    if not path.is_file():
        make_onnx(reference(files), path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()][1:]
    outputs = [entry.name for entry in session.get_outputs()]
    shape = session.get_inputs()[1].shape

    def write(prompt, count):
        empty = np.zeros((1, shape[1], 0, shape[3]), "float32")
        ids, past, tokens = np.array([prompt], "int64"), dict.fromkeys(names, empty), []
        for _ in range(count):
            logits, *present = session.run(outputs, {"ids": ids, **past})
            tokens.append(int(logits[0, -1].argmax()))
            ids = np.array([tokens[-1:]], "int64")
            past = dict(zip(names, present, strict=True))
        return tokens

    return write


def make_onnx(folder, path):
    """GPT-2 with its past as inputs and the whole present as outputs, quantized."""
    import torch
    import transformers
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = transformers.GPT2LMHeadModel.from_pretrained(folder, attn_implementation="eager").eval()
    layers, heads = model.config.n_layer, model.config.n_head
    width = model.config.n_embd // heads

    class Step(torch.nn.Module):
        """The blocks' own weights in a plain step, which the exporter can trace."""

        def __init__(self):
            super().__init__()
            self.model = model.transformer

        def forward(self, ids, *past):
            start, length = past[0].shape[2], ids.shape[1]
            places = torch.arange(length) + start
            x = self.model.wte(ids) + self.model.wpe(places)
            reach = torch.arange(start + length)[None] <= places[:, None]
            bias = (reach.float() - 1.0) * 1e4
            present = []
            for block, key, value in zip(self.model.h, past[::2], past[1::2], strict=True):
                q, k, v = (
                    each.reshape(1, length, heads, width).transpose(1, 2)
                    for each in block.attn.c_attn(block.ln_1(x)).split(heads * width, dim=-1)
                )
                k, v = torch.cat([key, k], 2), torch.cat([value, v], 2)
                present += [k, v]
                maps = (q @ k.transpose(-1, -2) / width**0.5 + bias).softmax(-1)
                y = (maps @ v).transpose(1, 2).reshape(1, length, heads * width)
                x = x + block.attn.c_proj(y)
                x = x + block.mlp(block.ln_2(x))
            logits = self.model.ln_f(x[:, -1:]) @ self.model.wte.weight.T
            return (logits, *present)

    names = [f"{what}_{i}" for i in range(layers) for what in ("key", "value")]
    past = tuple(torch.zeros(1, heads, 4, width) for _ in names)
    plain = path.with_name("onnx_float32.onnx")
    torch.onnx.export(
        Step().eval(),
        (torch.ones(1, 3, dtype=torch.long), *past),
        str(plain),
        input_names=["ids", *names],
        output_names=["logits", *(f"present_{name}" for name in names)],
        dynamo=False,
        opset_version=17,
        dynamic_axes={"ids": {1: "length"}, **{name: {2: "past"} for name in names}},
    )
    quantize_dynamic(str(plain), str(path), weight_type=QuantType.QInt8)


def make_kzoo(files, path):
    """The file that kzoo makes for LiteRT-LM."""
    folder = reference(files)  # before TensorFlow: torch may crash where it is loaded behind it
    import kzoo
    from kzoo.bundle import litertlm
    from kzoo.litert.convert import Exportable, exportable, sizes_of, traced, write_file
    from kzoo.litert.engine_model import EngineModel, prefill_lengths

    source = exportable(kzoo.CausalLM(kzoo.from_huggingface(folder)))
    sizes = sizes_of(source.model, cache=CACHE)
    model = Exportable(EngineModel(source.model, prefill_lengths(sizes)), source.weights)
    with tempfile.TemporaryDirectory() as scratch, traced(model, sizes) as graphs:
        file = Path(scratch) / "model.tflite"
        write_file(graphs, file, "int8", partitions=None)
        litertlm.pack(path, file, kzoo.Tokenizer.from_json(words().to_str()), CACHE)


def make_litert_torch(files, path):
    """The file that litert-torch makes for LiteRT-LM, with the settings of kzoo's."""
    import transformers
    from litert_torch.generative.export_hf import export

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        shutil.copytree(reference(files), folder)
        config = json.loads((folder / "config.json").read_text())
        config |= {"num_key_value_heads": config["n_head"], "head_dim": 64}
        (folder / "config.json").write_text(json.dumps(config))
        backend = words()
        tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=END)
        tokenizer.save_pretrained(folder)
        export.export(
            str(folder), scratch, prefill_lengths=[16, 128], cache_length=CACHE,
            quantization_recipe="dynamic_wi8_afp32", bundle_litert_lm=True,
            externalize_embedder=False,
        )  # fmt: skip
        shutil.move(Path(scratch) / "model.litertlm", path)


def words():
    """A tokenizer to which token n is the word "tn"; the last one ends a text."""
    import tokenizers

    vocabulary = {f"t{token}": token for token in range(VOCABULARY - 1)} | {END: VOCABULARY - 1}
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="t0"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens([END])
    return backend


# What runs on the engine: its file, and what makes that.
PACKED = {"kzoo litert_lm": "kzoo.litertlm", "litert-torch": "litert_torch.litertlm"}
MAKERS = {"kzoo litert_lm": make_kzoo, "litert-torch": make_litert_torch}


if __name__ == "__main__":
    main()
