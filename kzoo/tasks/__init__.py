"""Tasks: Keras models that take raw text. A new task is a file here and a line in `TASKS`."""

from .audio_classifier import AudioClassifier
from .audio_embedder import AudioEmbedder
from .audio_image_text_embedder import AudioImageTextEmbedder
from .audio_text_embedder import AudioTextEmbedder
from .causal_lm import CausalLM
from .cross_encoder import CrossEncoder
from .image_captioner import ImageCaptioner
from .image_classifier import ImageClassifier
from .image_embedder import ImageEmbedder
from .image_text_embedder import ImageTextEmbedder
from .joint_classifier import ImageTextMatcher, VisualQuestionClassifier
from .late_interaction import LateInteraction
from .masked_lm import MaskedLM
from .multiple_choice import MultipleChoice
from .next_sentence import NextSentence
from .object_detector import ObjectDetector
from .permutation_lm import PermutationLM
from .pretraining import PreTraining
from .question_answering import QuestionAnswering
from .replaced_tokens import ReplacedTokenDetection
from .seq2seq_lm import Seq2SeqLM
from .skip_gram import SkipGram
from .text_classifier import TextClassifier
from .text_embedder import TextEmbedder
from .token_classifier import TokenClassifier
from .visual_question_answerer import VisualQuestionAnswerer
from .zero_shot_audio_classifier import ZeroShotAudioClassifier
from .zero_shot_image_classifier import ZeroShotImageClassifier

__all__ = ["TASKS", "CrossEncoder"]  # It is a TextClassifier by another name: no task of its own.

TASKS = {
    cls.task_name: cls
    for cls in (
        TextClassifier,
        TokenClassifier,
        QuestionAnswering,
        MaskedLM,
        PreTraining,
        NextSentence,
        PermutationLM,
        ReplacedTokenDetection,
        SkipGram,
        CausalLM,
        Seq2SeqLM,
        MultipleChoice,
        TextEmbedder,
        LateInteraction,
        ImageClassifier,
        ImageEmbedder,
        ImageCaptioner,
        VisualQuestionAnswerer,
        VisualQuestionClassifier,
        ImageTextMatcher,
        ImageTextEmbedder,
        ZeroShotImageClassifier,
        ObjectDetector,
        AudioClassifier,
        AudioEmbedder,
        AudioTextEmbedder,
        ZeroShotAudioClassifier,
        AudioImageTextEmbedder,
    )
}
