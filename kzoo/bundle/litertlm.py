"""A bundle's model as LiteRT-LM's engine wants it: one `.litertlm` file beside the bundle's own.

The file holds the model once more, in other functions (see `litert.engine_model`), the tokenizer
and what the engine is to know of both. Its container is written by Google's litert-lm-builder.
benchmarks/litertlm/ holds the real engine against the bundle's own file.

The engine writes the likeliest token unless its caller asks for another, and shows special tokens
that kzoo leaves out. It fills in no chat template of kzoo's: an app puts its conversation into the
prompt.
"""

import json
import tempfile
from pathlib import Path

from ..errors import KzooError
from ..litert.convert import Exportable, traced, write_file
from ..litert.engine_model import EngineModel, EngineStep, prefill_lengths
from ..values import an
from .continuation import equal_share, run_golden, written
from .limits import TOLERANCE
from .manifest import MODEL

FILE = "model.litertlm"
# What a step of writing reads that the engine knows, beside the cache.
KNOWN = {"token_ids", "places", "past_places"}
# What the engine leaves to a file, or would do a second time.
LEFT_OUT = ("padding", "truncation", "post_processor")


def check(model):
    """Raise KzooError, one sentence, for a model that the engine doesn't run as kzoo does.

    Args:
        model: a task with a tokenizer.
    """
    _builder()
    if getattr(model, "rule", None) != "continuation":
        raise KzooError(
            f"Got {an(type(model).__name__)} for LiteRT-LM; expected a model that writes, a "
            "CausalLM."
        )
    step = set(model.backbone.signatures["step"])
    if unknown := sorted(step - KNOWN - set(model.backbone.past_names)):
        raise KzooError(
            f"Got a model that reads {unknown[0]} for LiteRT-LM; expected one that reads tokens "
            "alone: its engine gives nothing else."
        )
    if model.tokenizer.end_id is None:
        raise KzooError(
            "Got a tokenizer without an end token for LiteRT-LM; expected one with it, for its "
            "engine writes nothing unless it knows where to stop: name one in tokenizer.json."
        )
    if len(before := model.tokenizer.frame()[0][0]) > 1:
        raise KzooError(
            f"Got a tokenizer that puts {len(before)} tokens before a text for LiteRT-LM; expected "
            "one at most, which its engine puts there."
        )


def write(folder, order, golden):
    """Write a bundle's `model.litertlm`, and hold it against the bundle's own file.

    Args:
        folder: the bundle, with its model.
        order: the `Order`, of a model that `check` took.
        golden: the golden examples, with what the bundle's own file wrote.

    Returns:
        What the report says: `bytes`, `prefill` (tokens that are read at once), `cache`,
        `difference` (the largest of a logit to the bundle's own file, as a share of the largest
        logit) and `tokens_equal` (the share of the tokens of the golden examples).

    Raises:
        KzooError: if it writes otherwise than the bundle's own file.
    """
    lengths = prefill_lengths(order.sizes)
    source = Exportable(EngineModel(order.model, lengths), order.exportable.weights)
    with tempfile.TemporaryDirectory() as scratch, traced(source, order.sizes) as graphs:
        path = Path(scratch) / MODEL
        # The caches are written outside XNNPACK: not one partition, and not a fault.
        write_file(graphs, path, order.quantization, partitions=None)
        step = EngineStep(path)
        try:
            difference = run_golden(step, golden, TOLERANCE[order.quantization])
        except KzooError as error:
            raise KzooError(
                f"{FILE} writes otherwise than {MODEL}, which is a fault of kzoo, please report "
                f"it: {error}"
            ) from None
        prompts = [entry["token_ids"] for entry in golden]
        expected = [entry["outputs"]["token_ids"] for entry in golden]
        actual = written(step, prompts, order.cache)
        pack(folder / FILE, path, order.tokenizer, order.cache)
    return {
        "bytes": (folder / FILE).stat().st_size,
        "prefill": lengths,
        "cache": order.cache,
        "difference": difference,
        "tokens_equal": equal_share(list(zip(expected, actual, strict=True))),
    }


def metadata(tokenizer, cache):
    """What the engine is to know, as the builder's message: where texts begin and end, and more."""
    from litert_lm_builder.runtime.proto import llm_metadata_pb2

    message = llm_metadata_pb2.LlmMetadata(max_num_tokens=cache)
    message.llm_model_type.generic_model.SetInParent()
    message.supports_thinking = message.supports_function_calling = False
    (start, _), *_ = tokenizer.frame()
    if start:
        message.start_token.token_ids.ids.extend(start)
    message.stop_tokens.add().token_ids.ids.append(tokenizer.end_id)
    # The likeliest token, in the one way that the engine has for it.
    likeliest = message.sampler_params
    likeliest.type, likeliest.k, likeliest.p = likeliest.TOP_P, 1, 1.0
    likeliest.temperature, likeliest.seed = 1.0, 0
    return message


def pack(target, path, tokenizer, cache):
    """Write the container that the engine reads.

    Args:
        target: the path of the `.litertlm` file.
        path: that of the .tflite file of an `EngineModel`.
        tokenizer: the model's.
        cache: tokens that the model's cache holds.
    """
    builder = _builder()
    described = json.loads(tokenizer.to_json()) | dict.fromkeys(LEFT_OUT)
    file = builder.LitertLmFileBuilder()
    file.add_system_metadata(
        builder.Metadata(key="Authors", value="kzoo", dtype=builder.DType.STRING)
    )
    with tempfile.TemporaryDirectory() as scratch:
        known, pieces = Path(scratch) / "metadata.pb", Path(scratch) / "tokenizer.json"
        known.write_bytes(metadata(tokenizer, cache).SerializeToString())
        pieces.write_text(json.dumps(described, ensure_ascii=False), encoding="utf-8")
        file.add_llm_metadata(str(known))
        file.add_hf_tokenizer(str(pieces))
        # Without masks as inputs the engine runs on the processor alone.
        kind = builder.TfLiteModelType.PREFILL_DECODE
        file.add_tflite_model(str(path), kind, backend_constraint="cpu")
        with target.open("wb") as stream:
            file.build(stream, validate_metadata=True)


def _builder():
    try:
        from litert_lm_builder import litertlm_builder
    except ImportError:
        raise KzooError(
            "A file for LiteRT-LM is written by litert-lm-builder, which isn't installed: pip "
            'install "kzoo[litertlm]".'
        ) from None
    return litertlm_builder
