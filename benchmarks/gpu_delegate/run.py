"""One .tflite file on LiteRT's GPU delegate; `measure.py` calls it.

    python run.py MODEL.tflite

Prints {"whole": whether the delegate took all of it, "difference": the largest to XNNPACK's
outputs on the same inputs, as a share of the largest of these}. What it refuses stands in what
LiteRT writes to standard error.
"""

import json
import sys

import numpy as np
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.hardware_accelerator import HardwareAccelerator
from ai_edge_litert.interpreter import Interpreter


def drawn(name, details, draw):
    """What goes into an input."""
    shape, kind = details["shape"], details["dtype"]
    if "mask" in name:
        values = np.arange(shape[1])[None] < shape[1] - 3  # Some padding.
    elif not np.issubdtype(kind, np.integer):
        values = draw.standard_normal(shape) * 0.3
    else:
        values = draw.integers(
            0, 256 if kind == np.uint8 else 2 if "segment" in name else 30, shape
        )
    return np.ascontiguousarray(values, kind)


def main():
    runner = Interpreter(sys.argv[1]).get_signature_runner()
    draw = np.random.default_rng(0)
    inputs = {name: drawn(name, each, draw) for name, each in runner.get_input_details().items()}
    expected = runner(**inputs)
    try:
        model = CompiledModel.from_file(sys.argv[1], HardwareAccelerator.GPU)
    except RuntimeError:
        print(json.dumps({"whole": False, "difference": None}))
        return
    (signature,) = model.get_signature_list()
    given = {name: model.create_input_buffer_by_name(signature, name) for name in inputs}
    made = {name: model.create_output_buffer_by_name(signature, name) for name in expected}
    for name, buffer in given.items():
        buffer.write(inputs[name])
    model.run_by_name(signature, given, made)
    worst = max(
        np.abs(buffer.read(expected[name].size, np.float32) - expected[name].ravel()).max()
        / np.abs(expected[name]).max()
        for name, buffer in made.items()
    )
    print(json.dumps({"whole": bool(model.is_fully_accelerated()), "difference": float(worst)}))


if __name__ == "__main__":
    main()
