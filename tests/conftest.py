"""What every test run needs before the first import of TensorFlow."""

import contextlib

# torch's compiler (triton) and TensorFlow each bring an LLVM: loaded in this order they get along,
# in the other the process dies in the parity suite. Without torch there is no triton either.
with contextlib.suppress(ImportError):
    import triton  # noqa: F401
