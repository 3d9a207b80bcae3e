"""kzoo: Keras 3 transformers from a checkpoint to a device file that proves itself.

Names load on first use, so that `import kzoo` is quick and imports no TensorFlow.
"""

import importlib

from . import registry

__version__ = "0.1.0"

_HOME = {
    "KzooError": "errors",
    "Spec": "spec",
    "Bert": "models",
    "Roberta": "models",
    "DistilBert": "models",
    "Albert": "models",
    "Deberta": "models",
    "DebertaV2": "models",
    "Electra": "models",
    "MPNet": "models",
    "RoFormer": "models",
    "Gpt2": "models",
    "Gpt": "models",
    "GptNeo": "models",
    "Gpt3": "models",
    "Bloom": "models",
    "Palm": "models",
    "Lamda": "models",
    "Linformer": "models",
    "Reformer": "models",
    "Longformer": "models",
    "BigBird": "models",
    "SparseTransformer": "models",
    "Static": "models",
    "static_embedder": "compression.token_vectors",
    "Vit": "models",
    "Deit": "models",
    "MobileBert": "models",
    "MobileVit": "models",
    "Clip": "models",
    "ClipImage": "models",
    "ClipText": "models",
    "VisionEncoderDecoder": "models",
    "BlipCaptioner": "models",
    "BlipAnswerer": "models",
    "BlipMatcher": "models",
    "AudioClip": "models",
    "Kwt": "models",
    "Ast": "models",
    "Detr": "models",
    "T5": "models",
    "T5Encoder": "models",
    "Bart": "models",
    "MBart": "models",
    "Marian": "models",
    "Transformer": "models",
    "TransformerXl": "models",
    "XlNet": "models",
    "TextClassifier": "tasks",
    "TokenClassifier": "tasks",
    "CrossEncoder": "tasks",
    "ListLoss": "tasks.cross_encoder",
    "QuestionAnswering": "tasks",
    "MaskedLM": "tasks",
    "PreTraining": "tasks",
    "NextSentence": "tasks",
    "PermutationLM": "tasks",
    "ReplacedTokenDetection": "tasks",
    "SkipGram": "tasks",
    "CausalLM": "tasks",
    "Seq2SeqLM": "tasks",
    "MultipleChoice": "tasks",
    "AudioClassifier": "tasks",
    "AudioEmbedder": "tasks",
    "TextEmbedder": "tasks",
    "LateInteraction": "tasks",
    "ImageTextEmbedder": "tasks",
    "ZeroShotImageClassifier": "tasks",
    "AudioTextEmbedder": "tasks",
    "AudioImageTextEmbedder": "tasks",
    "ZeroShotAudioClassifier": "tasks",
    "ImageClassifier": "tasks",
    "ImageEmbedder": "tasks",
    "ImageCaptioner": "tasks",
    "VisualQuestionAnswerer": "tasks",
    "VisualQuestionClassifier": "tasks",
    "ImageTextMatcher": "tasks",
    "ObjectDetector": "tasks",
    "Corpus": "data.corpus",
    "InBatchLoss": "tasks.text_embedder",
    "TripletLoss": "tasks.text_embedder",
    "CoSentLoss": "tasks.text_embedder",
    "MatryoshkaLoss": "tasks.text_embedder",
    "MaxSimLoss": "tasks.late_interaction",
    "WrittenScores": "tasks.text_scores",
    "TargetTokenizer": "text.tokenizer",
    "Tokenizer": "text.tokenizer",
    "AudioProcessor": "audio.audio_processor",
    "ImageProcessor": "images.image_processor",
    "bottleneck": "adapters",
    "lora": "adapters",
    "merged": "adapters",
    "bitfit": "adapters",
    "trainable_share": "adapters",
    "AdamW": "training",
    "Lamb": "training",
    "Adafactor": "training",
    "Lion": "training",
    "Muon": "training",
    "train": "training",
    "load": "presets",
    "save_preset": "presets",
    "from_huggingface": "checkpoints",
    "from_kerashub": "checkpoints",
    "from_peft": "checkpoints",
    "recognised": "checkpoints",
    "to_hub": "checkpoints",
    "to_huggingface": "checkpoints",
    "to_kerashub": "checkpoints",
    "to_peft": "checkpoints",
    "convert": "conversion",
    "Index": "index",
    "rerank": "index",
    "pipeline": "pipelines",
    "export_litert": "bundle",
    "export_recipe": "bundle",
    "evaluate": "evaluation",
    "verify_bundle": "bundle",
    "predict_bundle": "bundle",
    "predict_table": "bundle",
    "search_bundle": "bundle",
    "export_savedmodel": "serving",
    "count_parameters": "models",
    "describe": "models",
}
__all__ = sorted(_HOME)

registry.register()


def __getattr__(name):
    if name == "plot":  # A module whose functions are called by its name: kzoo.plot.pictures.
        return importlib.import_module(".plot", __name__)
    if name not in _HOME:
        raise AttributeError(f"kzoo has no {name!r}; it has {', '.join(__all__)}.")
    from .logs import hidden

    with hidden():
        return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


def __dir__():
    return __all__
