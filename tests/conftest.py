"""What every test run needs before the first import of TensorFlow, and what modules share."""

import atexit
import contextlib
import gc
import os
import shutil
import sys
import tempfile

import pytest

# JAX's compiler needn't make code fast here, which takes half of its time; children inherit it.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

# Nor compile the same program again, for a second model or in another process of this run.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="compiled-")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

# torch's compiler (triton) and TensorFlow each bring an LLVM: loaded in this order they get along,
# in the other the process dies in the parity suite. Without torch there is no triton either.
with contextlib.suppress(ImportError):
    import triton  # noqa: F401


@pytest.fixture(scope="session", autouse=True)
def functions_run_as_they_are_traced(request):
    """Graphs of a few tiny steps run no quicker rewritten, which takes a quarter of their time.

    The parity suite has them rewritten, as users do.
    """
    if "tensorflow" in sys.modules and request.config.option.markexpr != "parity":
        import tensorflow as tf

        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


@pytest.fixture(scope="module", autouse=True)
def earlier_modules_out_of_garbage_collection():
    """Each conversion looks through all objects for garbage: those of before needn't be again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """The model of a preset; the bundle that a recipe with every key makes of it; its report."""
    import bundles

    return bundles.of_a_recipe(tmp_path_factory.mktemp("recipe"))


@pytest.fixture(scope="session")
def bundles(tmp_path_factory):
    """{task: (its model, its bundle)} for those that find spans, in float32."""
    import bundles

    return bundles.of_spans(tmp_path_factory.mktemp("spans"))


def pytest_collection_modifyitems(items):
    """Long files first: the last one that a worker takes is short, and none waits for it long."""
    items.sort(key=lambda item: item.path.stat().st_size, reverse=True)
