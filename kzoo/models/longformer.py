"""Longformer: Beltagy et al. 2020, arXiv:2004.05150. RoBERTa in windows, with global places."""

import keras

from ..errors import KzooError
from ..parts import completed
from .bert import Bert
from .roberta import Roberta

WINDOW = 512  # as it is counted there, on both sides
SEPARATOR = 2  # RoBERTa's `</s>`
# Which places are global, by task; in any other, and of a backbone, none are.
GLOBAL = {
    "TextClassifier": {"kind": "window_and_first", "first": 1},
    "QuestionAnswering": {"kind": "window_and_question", "separator_id": SEPARATOR},
    "MultipleChoice": {"kind": "window_and_choice", "separator_id": SEPARATOR},
}
NONE = {"kind": "window_and_first", "first": 0}
COMMON = ("window", "bias", "scale", "num_heads")


def attention(windows, config):
    """The attention of each layer; KzooError for a window that has no two sides."""
    depth = config.get("num_hidden_layers", 12)
    windows = windows if isinstance(windows, list) else [windows] * depth
    if any(window % 2 or window < 4 for window in windows):
        raise KzooError(
            f"config.json has attention_window = {windows!r:.60}; even numbers from 4 on are "
            "expected, half of which lie on each side of a place."
        )
    return [{**NONE, "window": size // 2} for size in windows]


def windows(held, config):
    """The windows there of the layers' attention, as they were spelled."""
    sizes = [2 * each["window"] for each in held]
    as_one = not isinstance(config.get("attention_window", WINDOW), list) and len(set(sizes)) == 1
    return sizes[0] if as_one else sizes


def slots_of(spec):
    """The attention slots of a spec, each with every option."""
    held = spec.attention if isinstance(spec.attention, list) else [spec.attention]
    return [completed("attention", slot) for slot in held]


def with_slots(spec, slots):
    """The spec with other attention slots."""
    return spec.replace(attention=slots if len(slots) > 1 else slots[0])


def with_places(slot, places):
    """A slot whose global places are those of a task, where it has none, or of another task."""
    own = places is None or (slot["kind"] == places["kind"] and slot["first"])
    if own or not slot["kind"].startswith("window_and"):
        return slot
    return completed("attention", {**{key: slot[key] for key in COMMON}, **places})


def without_places(slot, places):
    """A slot without the global places that a task of transformers has by itself."""
    is_told = places is not None and slot["kind"] == places["kind"]
    if not is_told or slot != {**slot, **places}:
        return slot
    return completed("attention", {**{key: slot[key] for key in COMMON}, **NONE})


@keras.saving.register_keras_serializable("kzoo")
class Longformer(Roberta):
    """Longformer, an encoder of long texts.

    A task says which places are global, as in transformers: of a classifier the first one, of
    question answering the question's, of a choice its own; of others and of a backbone none, but
    `{"kind": "window_and_first", "first": 1}` makes them so.
    """

    family = "longformer"

    # Hugging Face, as in bert.py.
    MODEL_TYPES = {"longformer": "Longformer"}
    PREFIX = "longformer."
    SELF = f"{Bert.BLOCK}.attention.self"
    ROWS = f"""
        {Roberta.ROWS}
        {SELF}.{{query|key|value}}_global  block_{{step}}/attention/first_{{query|key|value}}
    """
    CONFIG = {
        **Roberta.CONFIG,
        "attention_window": (
            "attention_by_layer", lambda config: WINDOW, (attention, windows),
        ),
    }  # fmt: skip
    REQUIRED = {"sep_token_id": ((SEPARATOR,), SEPARATOR)}
    HARMLESS = "attention_mode ignore_attention_mask onnx_export"
    HEAD_DROPOUT = {}

    def reading_for(self, task_name):
        """See `Network`."""
        before = slots_of(self.spec)
        slots = [with_places(slot, GLOBAL.get(task_name)) for slot in before]
        return self if slots == before else self.under(with_slots(self.spec, slots))

    @classmethod
    def spec_there(cls, spec, task_name):
        """See `Network`."""
        slots = [without_places(slot, GLOBAL.get(task_name)) for slot in slots_of(spec)]
        return with_slots(spec, slots)
