"""Masks that TensorFlow's model optimization toolkit gives, for tests/golden/tfmot.json.

    python benchmarks/compression/tfmot_masks.py

It needs an environment of its own, where Keras 2 is: tensorflow-model-optimization==0.8.1,
tensorflow==2.20.0 and tf-keras==2.20.1.
"""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
from tensorflow_model_optimization.python.core.sparsity.keras import pruning_impl

GOLDEN = Path(__file__).parent.parent.parent / "tests" / "golden" / "tfmot.json"
SHAPES = {"0.5": (48, 32), "0.8": (48, 32), "0.9": (33, 40), "2:4": (48, 36)}


def masked(weights, share):
    """Which of the weights stay, as the toolkit has it."""
    variable, fours = tf.Variable(weights), share == "2:4"
    constant = tfmot.sparsity.keras.ConstantSparsity(0.5 if fours else float(share), 0)
    pruning = pruning_impl.Pruning(
        training_step_fn=lambda: tf.constant(0),
        pruning_vars=[(variable, None, None)],
        pruning_schedule=constant,
        block_size=(1, 1),
        block_pooling_type="AVG",
        sparsity_m_by_n=(2, 4) if fours else None,
    )
    if fours:
        return pruning._update_mask_sparsity_m_by_n(variable)
    return pruning._maybe_update_block_mask(variable)[1]


def main():
    """Write the file."""
    draw, cases = np.random.default_rng(0), []
    for share, shape in SHAPES.items():
        weights = draw.standard_normal(shape).astype("float32")
        mask = np.asarray(masked(weights, share)).reshape(shape) != 0
        bits = np.packbits(mask).tobytes().hex()
        cases.append({"share": share, "shape": shape, "kept": bits})
    decay = tfmot.sparsity.keras.PolynomialDecay(0.0, 0.8, 0, 12, frequency=1)
    shares = [round(float(decay(tf.constant(step))[1]), 6) for step in range(13)]
    result = {"version": "0.8.1", "seed": 0, "masks": cases, "schedule to 0.8": shares}
    GOLDEN.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
