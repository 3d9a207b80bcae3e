"""Writing text: from the scores of a next token to tokens, pieces of text and whole answers.

A network stands behind a function `step`, see `decoding`; what is here needs NumPy alone. `runner`
makes such a function of a Keras model, and is imported only by who has one.
"""

from .chat import ChatTemplate
from .decoding import Written, generate, stream
from .few_shot import FewShot
from .options import Generation
from .streaming import TextStream

__all__ = ["ChatTemplate", "FewShot", "Generation", "TextStream", "Written", "generate", "stream"]
