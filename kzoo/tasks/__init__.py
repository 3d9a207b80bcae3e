"""Tasks: Keras models that take raw text. A new task is a file here and a line in `TASKS`."""

from .audio_classifier import AudioClassifier
from .causal_lm import CausalLM
from .image_classifier import ImageClassifier
from .image_embedder import ImageEmbedder
from .image_text_embedder import ImageTextEmbedder
from .masked_lm import MaskedLM
from .multiple_choice import MultipleChoice
from .object_detector import ObjectDetector
from .permutation_lm import PermutationLM
from .pretraining import PreTraining
from .question_answering import QuestionAnswering
from .replaced_tokens import ReplacedTokenDetection
from .seq2seq_lm import Seq2SeqLM
from .text_classifier import TextClassifier
from .text_embedder import TextEmbedder
from .token_classifier import TokenClassifier
from .zero_shot_image_classifier import ZeroShotImageClassifier

TASKS = {
    cls.task_name: cls
    for cls in (
        TextClassifier,
        TokenClassifier,
        QuestionAnswering,
        MaskedLM,
        PreTraining,
        PermutationLM,
        ReplacedTokenDetection,
        CausalLM,
        Seq2SeqLM,
        MultipleChoice,
        TextEmbedder,
        ImageClassifier,
        ImageEmbedder,
        ImageTextEmbedder,
        ZeroShotImageClassifier,
        ObjectDetector,
        AudioClassifier,
    )
}
