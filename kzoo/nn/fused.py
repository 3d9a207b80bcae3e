"""Attention in one kernel, which never writes its maps out; the one place that decides on it."""

import keras
from keras import ops

from ..keras_hooks import jax_platform

# The types that a kernel takes, by JAX's platform: cuDNN's. Keras 3.15's on TPUs leaves out the
# bias and takes the first row's mask for all; elsewhere, and on TensorFlow,
# `keras.ops.dot_product_attention` writes out as much as we do, and converts to another graph.
KERNELS = {"gpu": ("float16", "bfloat16")}
SHORTEST = 16  # Of fewer places the maps are nothing, and cuDNN refuses some of them.


def fused(query, key, value, scale, bias=None, is_causal=False):
    """What attention gives for queries (batch, heads, queries, head_dim), or None.

    None where there is no kernel: the maps are made then; so they are everywhere after
    `keras.config.disable_flash_attention()`.

    Args:
        query, key, value: as above; of keys and values as many heads, or a fraction of them.
        scale: what the products are multiplied by.
        bias: what is added to them for all heads, (batch or 1, 1, queries or 1, keys): constants,
            cuDNN has no gradient of them.
        is_causal: whether a query sees the keys up to its own place alone.
    """
    if not _has_kernel(query, key, bias):
        return None
    if bias is not None:  # cuDNN wants it for each query.
        shape = (ops.shape(bias)[0], 1, ops.shape(query)[2], ops.shape(key)[2])
        bias = ops.broadcast_to(bias, shape)
    query, key, value = (ops.transpose(each, (0, 2, 1, 3)) for each in (query, key, value))
    y = ops.dot_product_attention(query, key, value, bias=bias, scale=scale, is_causal=is_causal)
    return ops.transpose(y, (0, 2, 1, 3))


def _has_kernel(query, key, bias):
    """Whether a kernel takes them, and has gradients: with a bias cuDNN has none of odd lengths."""
    allowed = keras.config.is_flash_attention_enabled() is not False
    if not allowed:
        return False
    dtype = keras.backend.standardize_dtype(query.dtype)
    if dtype not in KERNELS.get(jax_platform(), ()):
        return False
    places = query.shape[2], key.shape[2]
    return min(places) >= SHORTEST and (bias is None or not any(count % 2 for count in places))
