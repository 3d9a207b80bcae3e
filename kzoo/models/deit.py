"""DeiT: Touvron et al. 2020, arXiv:2012.12877. A ViT with a token that a teacher speaks to."""

import keras

from .vit import Vit


@keras.saving.register_keras_serializable("kzoo")
class Deit(Vit):
    """DeiT with its distillation token, in every published size."""

    family = "deit"
    HEADS = {"ImageClassifier": ["distilled", *Vit.HEADS.values()]}

    # Hugging Face, as in bert.py.
    MODEL_TYPES = {"deit": "DeiT"}
    PREFIX = "deit."
    CLASSES = {
        "Model": None,
        "ForImageClassificationWithTeacher": "ImageClassifier",
        "ForImageClassification": "ImageClassifier",
    }
    CLASS_HEADS = {
        "ForImageClassificationWithTeacher": "distilled",
        "ForImageClassification": "first",
    }
    FIXED = {**Vit.FIXED, "embedding": {"kind": "patch", "tokens": ["class", "distillation"]}}
    ROWS = f"""
        {Vit.ROWS}
        embeddings.distillation_token:1,1         patch_embedding/distillation_token
    """
    TASK_ROWS = f"""
        {Vit.TASK_ROWS}
        {{cls|distillation}}_classifier  head/{{class|distillation}}_logits  ImageClassifier
    """
