"""What Keras must know of kzoo to load a `.keras` file before anything of kzoo has been used.

Keras looks classes up by their registered names; a class registers itself when its module is
imported, which `import kzoo` leaves for later. Until then a stand-in holds its place.
"""

import importlib
import sys

# The module of every class that registers itself.
HOMES = {
    "Bert": "models.bert",
    "Roberta": "models.roberta",
    "DistilBert": "models.distilbert",
    "Albert": "models.albert",
    "Electra": "models.electra",
    "MPNet": "models.mpnet",
    "RoFormer": "models.roformer",
    "Gpt2": "models.gpt2",
    "Gpt": "models.gpt",
    "GptNeo": "models.gpt_neo",
    "Gpt3": "models.gpt3",
    "Bloom": "models.bloom",
    "Palm": "models.palm",
    "TransformerXl": "models.transformer_xl",
    "Lamda": "models.lamda",
    "Deberta": "models.deberta",
    "DebertaV2": "models.deberta_v2",
    "Reformer": "models.reformer",
    "Longformer": "models.longformer",
    "BigBird": "models.bigbird",
    "XlNet": "models.xlnet",
    "MobileBert": "models.mobilebert",
    "Vit": "models.vit",
    "Deit": "models.deit",
    "MobileVit": "models.mobilevit",
    "Clip": "models.clip",
    "ClipImage": "models.clip",
    "ClipText": "models.clip",
    "Detr": "models.detr",
    "DetrEncoder": "models.detr",
    "DetrDecoder": "models.detr",
    "AudioClip": "models.audio_clip",
    "Kwt": "models.kwt",
    "VisionEncoderDecoder": "models.vision_encoder_decoder",
    "BlipVision": "models.blip",
    "BlipDecoder": "models.blip",
    "BlipText": "models.blip",
    "BlipImageTower": "models.blip",
    "BlipTextTower": "models.blip",
    "BlipCaptioner": "models.blip",
    "BlipAnswerer": "models.blip",
    "BlipMatcher": "models.blip",
    "Ast": "models.ast",
    "T5": "models.t5",
    "T5Encoder": "models.t5",
    "T5Decoder": "models.t5",
    "Bart": "models.bart",
    "BartEncoder": "models.bart",
    "BartDecoder": "models.bart",
    "BartReader": "models.bart",
    "MBart": "models.mbart",
    "MBartEncoder": "models.mbart",
    "MBartDecoder": "models.mbart",
    "Marian": "models.marian",
    "MarianEncoder": "models.marian",
    "MarianDecoder": "models.marian",
    "Transformer": "models.transformer",
    "TransformerEncoder": "models.transformer",
    "TransformerDecoder": "models.transformer",
    "Linformer": "models.linformer",
    "SparseTransformer": "models.sparse_transformer",
    "Static": "models.static_embeddings",
    "TextClassifier": "tasks.text_classifier",
    "TokenClassifier": "tasks.token_classifier",
    "CrossEncoder": "tasks.cross_encoder",
    "ListLoss": "tasks.cross_encoder",
    "ListAccuracy": "tasks.cross_encoder",
    "QuestionAnswering": "tasks.question_answering",
    "SpanLoss": "tasks.question_answering",
    "MaskedLM": "tasks.masked_lm",
    "PreTraining": "tasks.pretraining",
    "NextSentence": "tasks.next_sentence",
    "PermutationLM": "tasks.permutation_lm",
    "ReplacedTokenDetection": "tasks.replaced_tokens",
    "SkipGram": "tasks.skip_gram",
    "CausalLM": "tasks.causal_lm",
    "Perplexity": "tasks.writing_task",
    "Seq2SeqLM": "tasks.seq2seq_lm",
    "MultipleChoice": "tasks.multiple_choice",
    "ImageClassifier": "tasks.image_classifier",
    "ImageEmbedder": "tasks.image_embedder",
    "ImageCaptioner": "tasks.image_captioner",
    "VisualQuestionAnswerer": "tasks.visual_question_answerer",
    "VisualQuestionClassifier": "tasks.joint_classifier",
    "ImageTextMatcher": "tasks.joint_classifier",
    "ObjectDetector": "tasks.object_detector",
    "SetLoss": "tasks.set_loss",
    "AudioClassifier": "tasks.audio_classifier",
    "AudioEmbedder": "tasks.audio_embedder",
    "TextEmbedder": "tasks.text_embedder",
    "LateInteraction": "tasks.late_interaction",
    "MaxSimLoss": "tasks.late_interaction",
    "MaxSimAccuracy": "tasks.late_interaction",
    "Embedding": "tasks.embedder",
    "CosineLoss": "tasks.text_embedder",
    "InBatchLoss": "tasks.text_embedder",
    "TripletLoss": "tasks.text_embedder",
    "CoSentLoss": "tasks.text_embedder",
    "MatryoshkaLoss": "tasks.text_embedder",
    "CosineError": "tasks.text_embedder",
    "PartnerAccuracy": "tasks.text_embedder",
    "ImageTextEmbedder": "tasks.image_text_embedder",
    "AudioTextEmbedder": "tasks.audio_text_embedder",
    "AudioImageTextEmbedder": "tasks.audio_image_text_embedder",
    "ZeroShotImageClassifier": "tasks.zero_shot_image_classifier",
    "ZeroShotAudioClassifier": "tasks.zero_shot_audio_classifier",
    "ContrastiveLoss": "tasks.contrastive",
    "PairwiseLoss": "tasks.contrastive",
    "PairwiseAccuracy": "tasks.contrastive",
    "PlaceAccuracy": "tasks.places",
    "PlaceLoss": "tasks.places",
    "ClassAccuracy": "tasks.classes",
    "EntityF1": "tasks.span_metrics",
    "ProbabilityMetric": "tasks.probabilities",
    "SpanExact": "tasks.span_metrics",
    "SpanF1": "tasks.span_metrics",
    "AdamW": "training.optimizer",
    "Lamb": "training.optimizer",
    "Adafactor": "training.optimizer",
    "Lion": "training.optimizer",
    "Muon": "training.optimizer",
    "WarmupDecay": "training.schedule",
    "AffinityLoss": "compression.affinity",
}


class StandIn:
    """A class by its name; imported when Keras wants an object of it."""

    def __init__(self, name):
        self.name = name

    def from_config(self, config):
        """What the class itself makes of `config`."""
        home = importlib.import_module(f".{HOMES[self.name]}", __package__)
        return getattr(home, self.name).from_config(config)


class WhenKerasComes:
    """Finds Keras as Python does, and tells it of kzoo once it is imported."""

    def find_spec(self, name, path=None, target=None):
        """The spec of Keras; None for every other module."""
        if name != "keras":
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        specs = (finder.find_spec(name, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None:
            run = spec.loader.exec_module

            def run_and_announce(module):
                run(module)
                announce(module)
                sys.meta_path.remove(self)

            spec.loader.exec_module = run_and_announce
        return spec


def announce(keras):
    """Put stand-ins where Keras looks, for the classes that are not there yet."""
    known = keras.saving.get_custom_objects()
    for name in HOMES:
        known.setdefault(f"kzoo>{name}", StandIn(name))


def register():
    """Announce kzoo's classes to Keras, now or when it is first imported."""
    keras = sys.modules.get("keras")
    if hasattr(keras, "saving"):
        announce(keras)
    else:
        sys.meta_path.insert(0, WhenKerasComes())
