"""Training on one GPU: kzoo on JAX beside transformers on torch, the same batches in bfloat16.

    python benchmarks/gpu/measure.py [--arms ...] [--cases ...] [--tiny] [--output FILE.json]

One command runs every arm of every case, each in a process of its own, and writes `result.json`
anew after each: examples a second, the peak of the card's memory, and what kzoo's best arm is over
`torch_compile`, beside the goals. An arm that is to have kernels and has none fails. It needs jax
for the card, torch, transformers, keras and kzoo. With `--tiny` all of it runs on a processor at
sizes that say nothing of speed, to see that it works: kzoo's kernels are Keras' operation there,
and memory isn't measured. Since it was written no card was at hand: it was run with `--tiny` alone.

AdamW, clipping by the global norm, dropout of 0.1 on the residual branches where the model has it.
The arms:

* `torch`, `torch_compile`: autocast, fused AdamW, attention as transformers chooses it (SDPA, with
  dropout on the maps inside the kernel).
* `by_maps`: kzoo as it is, with dropout on the maps, which are written out.
* `fused`: no dropout on the maps, so that attention runs in one kernel, see `kzoo/nn/fused.py`.
* `by_maps_again`, `fused_again`: the same with gradient checkpointing.

What Keras 3.15 does by itself on JAX: a step is one compiled function, and all state (weights,
optimizer, seeds, metrics) is donated to it, so that nothing is held twice. `steps_per_execution`
calls that function several times from Python, and joins nothing on the card; since JAX goes on
before a step is done, it saves no more than the logs between. Dropout keeps its mask, a byte a
number; gradient checkpointing draws it again instead.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
from provenance import provenance  # noqa: E402

ARMS = ("torch", "torch_compile", "by_maps", "fused", "by_maps_again", "fused_again")
# By name: the network, rows of a batch, their length; and what is asked of kzoo: examples a second
# over those of torch_compile, and of the memory too no more than that.
CASES = {
    "bert_base 64 x 128": ("bert", 64, 128, 1.25),
    "bert_base 256 x 128": ("bert", 256, 128, 1.05),
    "bert_base 32 x 512": ("bert", 32, 512, 1.05),
    "gpt2_small 8 x 1024": ("gpt2", 8, 1024, None),
    "vit_b_16 64": ("vit", 64, None, None),
    "clip_b_32 128": ("clip", 128, 77, None),
}
STEPS, EPOCHS = 20, 4  # steps of an epoch; epochs after the first, of which the median counts
SOURCES = ["benchmarks/gpu", "kzoo/graphs.py", "kzoo/keras_hooks.py", "kzoo/models", "kzoo/nn"]
SOURCES += ["kzoo/tasks", "kzoo/training/optimizer.py"]
NOISE = 0.1  # the rate of dropout


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--tiny", action="store_true", help="on a processor, to see that it works")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        measure(*arguments.child, arguments.tiny)
        return
    if not (arguments.tiny or provenance([], [])["processor"].get("gpus")):
        parser.error("Got no NVIDIA card; expected one, or --tiny to see that the script works.")
    output = arguments.output or HERE / "result.json"
    result = {"what": "training in bfloat16: examples a second and GiB at the peak", "cases": {}}
    for name in arguments.cases:
        rows = result["cases"][name] = {"goal": CASES[name][-1], "arms": {}}
        for arm in arguments.arms:
            rows["arms"][arm] = in_a_process(name, arm, arguments.tiny)
            print(json.dumps({"case": name, "arm": arm, **rows["arms"][arm]}), flush=True)
            rows["kzoo_over_torch_compile"] = ratios(rows["arms"])
            packages = ("keras", "jax", "torch", "transformers")
            result["provenance"] = provenance(SOURCES, packages)
            if arguments.output or not arguments.tiny:
                output.write_text(json.dumps(result, indent=2) + "\n")
    failed = [f"{n}, {a}" for n, r in result["cases"].items() for a, row in r["arms"].items()
              if "error" in row]  # fmt: skip
    print(f"failed: {'; '.join(failed) or 'none'}")
    raise SystemExit(bool(failed))


def in_a_process(name, arm, tiny):
    """What an arm says of a case, or the end of what went wrong."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "PYTHONPATH": str(ROOT),
        **({"JAX_PLATFORMS": "cpu"} if tiny else {}),
    }
    command = [sys.executable, __file__, "--child", name, arm, *["--tiny"] * tiny]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    if run.returncode:
        return {"error": run.stderr[-800:]}
    return json.loads(run.stdout.splitlines()[-1])


def ratios(arms):
    """Of kzoo's fastest arm, and of its thriftiest's memory, over torch_compile's."""
    torch = arms.get("torch_compile", {})
    ours = [
        row for name, row in arms.items() if not name.startswith("torch") and "error" not in row
    ]
    found = {}
    if ours and "examples_a_second" in torch:
        best = max(ours, key=lambda row: row["examples_a_second"])
        found["examples_a_second"] = best["examples_a_second"] / torch["examples_a_second"]
        if torch["GiB"]:
            found["GiB"] = best["GiB"] / torch["GiB"]
            found["GiB_at_least"] = min(row["GiB"] for row in ours) / torch["GiB"]
    return {name: round(value, 3) for name, value in found.items()}


def sizes_of(kind, tiny):
    """Widths of a network: those of its base model, or toy ones with heads of as many features."""
    if tiny:
        return {"width": 128, "blocks": 2, "heads": 2, "inner": 256, "words": 200, "side": 64}
    words = {"bert": 30522, "gpt2": 50257, "clip": 49408}.get(kind, 0)
    return {"width": 768, "blocks": 12, "heads": 12, "inner": 3072, "words": words, "side": 224}


def measure(name, arm, tiny):
    """Train an arm of a case, and print its line."""
    kind, rows, length, _ = CASES[name]
    steps = STEPS
    if tiny:
        rows, length, steps = 4, length and min(length, 32), 2
    sizes = sizes_of(kind, tiny)
    build = torch_epoch if arm.startswith("torch") else kzoo_epoch
    epoch, peak, device = build(kind, rows, length, sizes, arm, steps, tiny)
    epoch()  # It compiles.
    seconds = []
    for _ in range(1 if tiny else EPOCHS):
        start = time.perf_counter()
        epoch()
        seconds.append((time.perf_counter() - start) / steps)
    middle = statistics.median(seconds)
    found = {"examples_a_second": round(rows / middle, 1), "ms_a_step": round(middle * 1e3, 2)}
    print(json.dumps({**found, "GiB": round(peak() / 2**30, 2), "device": device}))


def batch_of(kind, rows, length, sizes):
    """Inputs by name as kzoo has them, and targets: all places are tokens."""
    import numpy as np

    draw, found = np.random.default_rng(0), {}
    if length is not None:
        found["token_ids"] = draw.integers(2, sizes["words"] - 1, (rows, length)).astype("int32")
        found["padding_mask"] = np.ones((rows, length), "int32")
    if kind == "bert":
        found["segment_ids"] = np.zeros((rows, length), "int32")
    if kind in ("vit", "clip"):
        found["images"] = draw.normal(size=(rows, *[sizes["side"]] * 2, 3)).astype("float32")
    if kind == "clip":
        found["token_ids"][:, -1] = sizes["words"] - 1  # the end, which its pooler looks for
    labels = np.roll(found["token_ids"], -1, 1) if kind == "gpt2" else np.arange(rows) % 2
    return found, labels.astype("int32")


def kzoo_task(kind, length, sizes, arm):
    """The task of an arm, compiled."""
    import kzoo
    from kzoo.models import build

    noise = 0.0 if kind in ("vit", "clip") else NOISE
    usual = {
        "hidden_dim": sizes["width"],
        "num_heads": sizes["heads"],
        "intermediate_dim": sizes["inner"],
        "schedule": tuple(range(sizes["blocks"])),
        "dropout": noise,
        "attention_dropout": 0.0 if arm.startswith("fused") else noise,
    }
    patch = {"kind": "patch", "image_size": sizes["side"]}
    places = (sizes["side"] // 32) ** 2 + 1
    pre = {"block": "pre_norm", "norms": ["final"]}
    words = {"kind": "token", "vocabulary_size": sizes["words"]}
    if kind == "bert":
        words["num_segments"] = 2
        spec = kzoo.Spec("bert", words, **usual, max_sequence_length=length)
        task = kzoo.TextClassifier(build(spec), labels=["a", "b"])
    elif kind == "gpt2":
        words |= {"num_segments": 0, "padding_id": 0}
        mlp = {"kind": "mlp", "activation": "gelu_tanh"}
        spec = kzoo.Spec(
            "gpt2", words, **usual, **pre, max_sequence_length=length, attention="causal",
            feedforward=mlp, pooler="none",
        )  # fmt: skip
        task = kzoo.CausalLM(build(spec))
    elif kind == "vit":
        patch["patch_size"] = 16
        places = (sizes["side"] // 16) ** 2 + 1
        spec = kzoo.Spec("vit", patch, **usual, **pre, max_sequence_length=places)
        task = kzoo.ImageClassifier(build(spec), labels=["a", "b"])
    else:
        towers = kzoo.spec.Towers(
            "clip",
            {
                "image": kzoo.Spec(
                    "clip_image", {**patch, "patch_size": 32, "bias": False}, **usual,
                    block="pre_norm", norms=["embedding"], max_sequence_length=places,
                    pooler={"kind": "first", "dim": 512},
                ),
                "text": kzoo.Spec(
                    "clip_text",
                    {**words, "num_segments": 0, "padding_id": 1, "padding_learns": True},
                    **{**usual, **text_of_clip(sizes)}, **pre, max_sequence_length=length,
                    attention="causal", pooler={"kind": "end", "dim": 512},
                ),
            },
        )  # fmt: skip
        task = kzoo.ImageTextEmbedder(build(towers))
    task.compile(kzoo.AdamW(1e-5), gradient_checkpointing=arm.endswith("again"))
    return task


def text_of_clip(sizes):
    """The widths of CLIP B/32's tower of texts, two thirds of the other's."""
    if sizes["width"] != 768:
        return {}
    return {"hidden_dim": 512, "num_heads": 8, "intermediate_dim": 2048}


def kzoo_epoch(kind, rows, length, sizes, arm, steps, tiny):
    """An epoch of an arm on JAX, what says the peak of memory, and the device."""
    import jax
    import keras
    import numpy as np

    from kzoo.nn import attention, fused

    kernels, before = [], fused.fused

    def counted(*given):
        y = before(*given)
        kernels.append(y is not None)
        return y

    attention.fused = counted
    if tiny:
        fused.KERNELS["cpu"] = ("bfloat16",)
    keras.config.set_dtype_policy("mixed_bfloat16")
    task = kzoo_task(kind, length, sizes, arm)
    inputs, y = batch_of(kind, rows, length, sizes)
    inputs = {name: np.concatenate([value] * steps) for name, value in inputs.items()}
    y, device = np.concatenate([y] * steps), jax.devices()[0]

    def epoch():
        options = {"batch_size": rows, "epochs": 1, "verbose": 0, "shuffle": False}
        history = keras.Model.fit(task, inputs, y, **options)
        assert np.isfinite(history.history["loss"][0])
        if arm.startswith("fused") and not any(kernels):
            raise SystemExit("No attention of this arm runs in one kernel here.")

    def peak():
        return (device.memory_stats() or {}).get("peak_bytes_in_use", 0)

    return epoch, peak, device.device_kind


def torch_epoch(kind, rows, length, sizes, arm, steps, tiny):
    """An epoch of an arm on torch, what says the peak of memory, and the device."""
    import torch

    place = "cpu" if tiny else "cuda"
    given, y = batch_of(kind, rows, length, sizes)
    given = {name: torch.tensor(value).to(place) for name, value in given.items()}
    y = torch.tensor(y).long().to(place)
    model, inputs = torch_model(kind, given, y, sizes)
    model = model.to(place).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    run = torch.compile(model) if arm == "torch_compile" else model

    def epoch():
        for _ in range(steps):
            with torch.autocast(place, torch.bfloat16):
                loss = run(**inputs).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        assert torch.isfinite(loss.detach())  # It waits for the card.

    def peak():
        return 0 if tiny else torch.cuda.max_memory_allocated()

    return epoch, peak, place if tiny else torch.cuda.get_device_name()


def torch_model(kind, given, y, sizes):
    """transformers' model of a case, and what it is called on."""
    import transformers as T

    usual = {
        "hidden_size": sizes["width"],
        "num_hidden_layers": sizes["blocks"],
        "num_attention_heads": sizes["heads"],
        "intermediate_size": sizes["inner"],
    }
    words = {"input_ids": given.get("token_ids"), "attention_mask": given.get("padding_mask")}
    words = {k: v.long() for k, v in words.items() if v is not None}
    pixels = {"pixel_values": given["images"].permute(0, 3, 1, 2)} if "images" in given else {}
    if kind == "bert":
        config = T.BertConfig(vocab_size=sizes["words"], num_labels=2, **usual)
        return T.BertForSequenceClassification(config), {**words, "labels": y}
    if kind == "gpt2":
        config = T.GPT2Config(
            vocab_size=sizes["words"], n_embd=sizes["width"], n_layer=sizes["blocks"],
            n_head=sizes["heads"], n_inner=sizes["inner"], use_cache=False,
        )  # fmt: skip
        return T.GPT2LMHeadModel(config), {**words, "labels": words["input_ids"]}
    if kind == "vit":
        config = T.ViTConfig(image_size=sizes["side"], patch_size=16, num_labels=2, **usual)
        return T.ViTForImageClassification(config), {**pixels, "labels": y}
    text = dict(usual)
    if sizes["width"] == 768:
        text |= {"hidden_size": 512, "num_attention_heads": 8, "intermediate_size": 2048}
    length = words["input_ids"].shape[1]
    text |= {
        "vocab_size": sizes["words"],
        "max_position_embeddings": length,
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": sizes["words"] - 1,
    }
    vision = {**usual, "image_size": sizes["side"], "patch_size": 32}
    config = T.CLIPConfig(text_config=text, vision_config=vision, projection_dim=512)
    return T.CLIPModel(config), {**words, **pixels, "return_loss": True}


if __name__ == "__main__":
    main()
