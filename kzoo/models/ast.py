"""AST: Gong, Chung, Glass 2021, arXiv:2104.01778. A DeiT on overlapping squares of a sound."""

import keras

from ..graphs import Stack
from ..nn.patches import places
from .vit import Vit

OF_PICTURES = ("image_size", "patch_size", "num_channels")


@keras.saving.register_keras_serializable("kzoo")
class Ast(Stack):
    """Audio Spectrogram Transformer in its published size, with any stride."""

    family = "ast"
    HEADS = {"AudioClassifier": {"kind": "first_two", "dropout": 0.0}}

    # Hugging Face, as in bert.py.
    MODEL_TYPES = {"audio-spectrogram-transformer": "AST"}
    PREFIX = "audio_spectrogram_transformer."
    CLASSES = {"Model": None, "ForAudioClassification": "AudioClassifier"}
    FIXED = {
        "embedding": {
            "kind": "spectrogram",
            "size": [1024, 128],
            "stride": [10, 10],
            "across": True,
            "tokens": ["class", "distillation"],
        },
        "max_sequence_length": lambda fields: places(fields["embedding"]),
        "block": "pre_norm",
        "norms": ["final"],
    }
    RENAMED = Vit.RENAMED
    ROWS = f"""
        embeddings.patch_embeddings.projection    patch_embedding
        embeddings.cls_token:1,1                  patch_embedding/class_token
        embeddings.distillation_token:1,1         patch_embedding/distillation_token
        embeddings.position_embeddings:1          position/embeddings
        {Vit.LAYERS}
        layernorm                                 final_norm
    """
    TASK_ROWS = """
        classifier.layernorm  head/norm    AudioClassifier
        classifier.dense      head/logits  AudioClassifier
    """
    CONFIG = {
        **{key: entry for key, entry in Vit.CONFIG.items() if key not in OF_PICTURES},
        "max_length": ("embedding.size.0", 1024),
        "num_mel_bins": ("embedding.size.1", 128),
        "patch_size": ("embedding.patch_size", 16),
        "time_stride": ("embedding.stride.0", 10),
        "frequency_stride": ("embedding.stride.1", 10),
    }
