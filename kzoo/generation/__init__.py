"""Writing text: from the scores of a next token to tokens, pieces of text and whole answers.

A network stands behind a function `step`, see `decoding`; what is here needs NumPy alone. `runner`
makes such a function of a Keras model, and is imported only by who has one.
"""

from ..text.chat import ChatTemplate
from .decoding import Written, generate, stream
from .few_shot import FewShot
from .options import Generation
from .streaming import TextStream
from .writer import Clock, Writer

__all__ = [
    "ChatTemplate",
    "Clock",
    "FewShot",
    "Generation",
    "TextStream",
    "Writer",
    "Written",
    "generate",
    "stream",
]
