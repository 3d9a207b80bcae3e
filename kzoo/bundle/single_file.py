"""A model as one .tflite file that was measured, without a bundle round it."""

from pathlib import Path

from ..compression.rounded import as_floats
from ..errors import KzooError
from ..files import writing_file
from ..litert.convert import check_arguments, exportable, sizes_of, traced, write_file
from ..litert.user_model import UserModel, as_exportable
from ..logs import hidden
from .calibration import STATIC, check_calibration, source_of
from .kinds import kind_of
from .limits import LABELLED, check, check_names, defaults, partitions_of
from .parity import measure_of


def export_litert(
    model,
    path,
    quantization="float32",
    length=None,
    limits=None,
    compat=None,
    texts=None,
    cache=None,
    calibration=None,
):
    """Write a model as a .tflite file that a phone runs at batch 1, and check the file.

    The file has one signature, `serve`. Its inputs are the backbone's (int32 `token_ids`,
    `padding_mask` and, where the family has segments, `segment_ids`, each (1, length)), its
    outputs what the model called on tokens returns, such as `logits` (1, labels). That of a
    `CausalLM` has two, `prefill` and `decode`, and one of a `Seq2SeqLM` `encode` and `decode`; see
    `file_step.open_step`.

    Args:
        model: a task, a backbone, or a functional, sequential or subclassed `keras.Model` of your
            own that holds one backbone and is called on the dict of its inputs. The outputs of
            the last are called as it returns them, or as its layers; a single one `output`.
        path: the file to write; it is there whole or not at all.
        quantization: "float32"; "float16" (weights in half precision); "int8" (weights int8 with
            a scale a channel or row, activations quantized as they come); "int8_int4_table" (the
            same, but the token table int4 with a scale for every 32 numbers); "int8_static"
            (weights int8, and activations int8 in ranges that are known before, those of a task
            of `kzoo.compression.quantize_aware` or found by calibration); "int4" (the weights of
            products int4 with a scale for each output, those of a task of
            `kzoo.compression.four_bits` as it has them, the token table as in "int8_int4_table",
            activations quantized as they come).
        length: None for a dynamic length (the caller resizes the inputs, padding is not needed),
            or the one length that the file takes. A functional model of one length takes that.
        limits: what the file must keep, such as {"cosine": 0.997, "megabytes": 23.6}; see
            `limits.KNOWN`. By default what suits the quantization.
        compat: an older runtime that is to load the file, "tflite-2.16" or "tflite-2.14"; see
            `compat.RUNTIMES`.
        cache: of a model that writes, how many tokens its texts have at most, prompts included;
            as many as the model has places, at most 1,024, by default.
        texts: strings, or pairs for a task that reads those, on which the file is compared with
            Keras; shipped English sentences by default.
        calibration: for "int8_static" examples like those to come, a hundred or more, as
            `predict` takes them; what the file is compared on by default.

    Returns:
        A dict: `audit` (bytes, operators, partitions, minimum_runtime and more, see
        `audit.audit`), `parity` (how far its answers lie from Keras' on the texts, 1 to 230
        words where none were given, see `parity.measure`) and `limits` (bound and measured value
        of each).

    Raises:
        KzooError: if the model can't be exported, or the file fails the audit or misses a limit;
            no file is left then.
    """
    model = as_exportable(model)
    length = getattr(model, "length", None) if length is None else length
    check_arguments(model, quantization, length, compat)
    check_calibration(model, quantization, calibration)
    path = Path(path)
    if path.suffix != ".tflite" or path.is_dir():
        raise KzooError(f"{path} is not the path of a .tflite file: give one.")
    own = isinstance(model, UserModel)
    if limits is None:
        limits = defaults(quantization, measure_of(model), partitions_of(model, length))
        if own:  # How XNNPACK takes layers that aren't kzoo's is shown, and no fault.
            del limits["partitions"]
    check_names(limits)
    if labelled := sorted(LABELLED & set(limits)):
        raise KzooError(
            f"The limit {labelled[0]} needs labelled texts, which only a bundle is measured on: "
            "export a recipe with an evaluation file, or leave the limit out."
        )
    source, sizes = exportable(as_floats(model)), sizes_of(model, length, cache)
    kind = kind_of(getattr(source.model, "rule", None))
    kind.check_sizes(source.model, sizes, texts)
    with hidden(), writing_file(path) as tmp_path:
        partitions = limits.get("partitions", None if own else 1)
        made_of = source_of(source, quantization, length, calibration)
        with traced(made_of, sizes, marked=quantization == STATIC) as graphs:
            audited = write_file(graphs, tmp_path, quantization, compat, partitions)
        parity = kind.distance(source.model, tmp_path, sizes, texts)
        measured = {"megabytes": audited["bytes"] / 1e6, "partitions": audited["partitions"]}
        rows = check(limits, {**parity, **measured})
    return {"audit": audited, "parity": parity, "limits": rows}
