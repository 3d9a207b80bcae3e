"""Text to token ids and back.

`tokenizer` needs only the `tokenizers` library and numpy; `in_graph` needs TensorFlow and
tensorflow-text and is imported only by who builds a graph.
"""

from .tokenizer import TargetTokenizer, Tokenizer

__all__ = ["TargetTokenizer", "Tokenizer"]
