"""What stands in a picture, and where: labels and boxes."""

from pathlib import Path

import keras
import numpy as np
from keras import ops

from ..answers import detections
from ..data.annotations import BoxPlan, label_names, read_boxes, target_rows
from ..errors import KzooError
from ..images.mirroring import Mirrored
from ..values import an, is_number
from .image_task import ImageTask
from .set_loss import SetLoss

ROUNDED = 64  # pixels of which sides are multiples where each new shape is compiled
THRESHOLD = 0.5  # what a label's probability must be above


@keras.saving.register_keras_serializable("kzoo")
class ObjectDetector(ImageTask):
    """Find things of some labels in pictures.

    On {"images"}, and a "pixel_mask" where pictures were filled up to one size, it returns
    {"logits": (batch, queries, labels + 1), "boxes": (batch, queries, 4)}: of the labels and, last,
    of nothing; centre x and y, width and height as shares of the picture. `predict` gives for each
    picture a list of {"label", "score", "box"}, the likeliest first, a box {"xmin", "ymin", "xmax",
    "ymax"} in pixels of the picture that was given.

    `fit` takes what `kzoo.data.annotations.read_boxes` reads: COCO's JSON, Pascal VOC's folders and
    lists, a .jsonl table; or pictures and for each a list of {"label", "box"}, a box [left, top,
    right, bottom] in pixels, empty where nothing is there. It learns by `SetLoss`, of every step of
    the decoder in training, and of the last one in validation.

    Args:
        backbone, head, image_processor, name: as for `ImageTask`; the backbone is one whose decoder
            asks a picture, such as `Detr`. A processor that keeps the ratio of a picture's sides
            makes pictures of many sizes; a file takes one of a fixed size, see `resized`.
        labels: their names; or a file or folder of boxes, whose labels they are.
        threshold: what a label's probability must be above, 0.5 by default.
    """

    task_name = "ObjectDetector"
    names_labels = True
    rule = "boxes"
    default_head = "boxes"
    augmented_by = "RandomFlip"

    def __init__(
        self,
        backbone,
        labels=None,
        head=None,
        image_processor=None,
        name=None,
        threshold=None,
    ):
        if threshold is not None and not is_number(threshold, 0, 1):
            raise KzooError(f"Got threshold={threshold!r:.40}; expected a probability, 0 to 1.")
        self.threshold = threshold
        if isinstance(labels, (str, Path)):
            labels = label_names(read_boxes(labels))
        super().__init__(backbone, labels, head, image_processor, name)
        self.threshold = THRESHOLD if self.threshold is None else float(self.threshold)

    def inherit(self, before):
        """Answer with the threshold of the task that this one goes on from."""
        self.threshold = before.threshold if self.threshold is None else self.threshold
        return super().inherit(before)

    def check_backbone(self, backbone):
        """Raise KzooError for a network that has no queries."""
        if "queries" not in backbone.output_axes.get("sequence_output", ()):
            raise KzooError(
                f"Got {an(backbone.family)} for {an(self.task_name)}; expected a backbone whose "
                "decoder asks a picture, such as a Detr."
            )

    def check_processors(self):
        """See `ImageTask`; a box means nothing once the middle of a picture is cut out."""
        super().check_processors()
        processor = self.processors.get("image_processor")
        if processor is not None and processor.crop is not None:
            raise KzooError(
                f"Got an image processor that cuts {list(processor.crop)} out of the middle; "
                f"expected one that keeps all of a picture for {an(self.task_name)}."
            )

    def order_of(self, before):
        """See `Task`; nothing stays the last one."""
        return [*super().order_of(before), len(before.labels)]

    def task_options(self):
        """The threshold as well."""
        return {**super().task_options(), "threshold": self.threshold}

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "threshold": self.threshold}

    def call(self, inputs, training=None, seen=None):
        """The raw outputs, see `Task`; in training those of every step of the decoder as well.

        These are `step_logits` (batch, steps, queries, labels + 1) and `step_boxes`.
        """
        if not training:
            return super().call(inputs, training=training, seen=seen)
        inner = self.backbone.run(inputs, training=training, return_steps=True)
        steps = ops.stack(inner["step_outputs"], axis=1)
        given = self.run_head({"sequence_output": steps}, inputs, training)
        given = {name: ops.cast(value, "float32") for name, value in given.items()}
        return {
            **{name: value[:, -1] for name, value in given.items()},
            **{f"step_{name}": value for name, value in given.items()},
        }

    # -- pictures -------------------------------------------------------------------------------

    @property
    def array_shape(self):
        """(height, width, channels); names of sizes where a picture decides them."""
        height, width, channels = self.image_processor.shape
        return height or "height", width or "width", channels

    @property
    def functions(self):
        """See `Served`; KzooError unless all pictures have one size, as a file's have."""
        if self.image_processor.sides == (None, None):
            raise KzooError(
                f"Got {an(self.task_name)} that reads pictures of many sizes; expected one size "
                "for a file: export task.resized([height, width])."
            )
        return super().functions

    @classmethod
    def read_file(cls, path, column, label, targets):
        """See `kzoo.data.annotations.read_boxes`, which knows no columns."""
        if (column, label) != (None, None):
            raise KzooError(
                f"Got the columns {column!r:.40} and {label!r:.40} for {path}; expected none: what "
                "boxes stand in has names of its own."
            )
        return read_boxes(path, targets)

    @classmethod
    def understand(cls, examples, problem=None, labels=None, learning=True):
        """The labels of the boxes."""
        if examples.y is None:
            return {}, examples
        return {"labels": label_names(examples, labels)}, examples

    def in_graph(self, arrays):
        """{"images"}, see `ImageProcessor.scaled`; of several sizes a `pixel_mask` as well."""
        if not isinstance(arrays, list):
            return super().in_graph(arrays)
        processor = self.image_processor
        if processor.sides != (None, None):
            return super().in_graph(np.stack(arrays))
        multiple = 1 if keras.backend.backend() == "tensorflow" else ROUNDED
        images, mask = processor.filled(arrays, multiple)
        return {"images": images, "pixel_mask": mask}

    def augmentation(self, augment):
        """`Mirrored`, of Keras' RandomFlip or of itself."""
        if isinstance(augment, list) and len(augment) == 1:
            (augment,) = augment
        if isinstance(augment, keras.layers.RandomFlip):
            augment = Mirrored(augment.mode)
        if not isinstance(augment, Mirrored):
            raise KzooError(
                f"Got {augment!r:.60} to augment pictures with boxes; expected "
                f"{self.augmented_by}, which turns both over."
            )
        return augment

    @classmethod
    def augmenting(cls, kind):
        """What a recipe calls RandomFlip, or None."""
        return Mirrored if kind == "RandomFlip" else None

    def loss_of_augmented(self, augment):
        """None: the task's own."""
        return None

    def plan_of(self, columns):
        """See `ArrayTask`."""
        return BoxPlan, {}

    # -- learning -------------------------------------------------------------------------------

    def encode_targets(self, y, x=None):
        """See `kzoo.data.annotations.target_rows`."""
        return target_rows(x, y, self.labels)

    def compile(self, optimizer=None, loss=None, metrics=None, teacher=None, **kwargs):
        """See `Task.compile`; there is no teacher, and how right boxes are `evaluate` says."""
        if teacher is not None:
            raise KzooError(
                f"Got a teacher for {an(self.task_name)}, whose queries have no order to compare; "
                "expected none: leave it out."
            )
        super().compile(optimizer, loss, metrics, **kwargs)

    def suited_loss(self, loss):
        """A `SetLoss`."""
        if not isinstance(loss, SetLoss):
            raise KzooError(
                f"Got the loss {getattr(loss, '__name__', type(loss).__name__)} for "
                f"{an(self.task_name)}; expected a kzoo.tasks.set_loss.SetLoss, or none: it has "
                "one by default."
            )
        return loss

    def default_loss(self):
        """See `SetLoss`."""
        return SetLoss()

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Keras' hook: the loss of all steps of the decoder, where they are there."""
        logits, boxes = (
            y_pred.get(f"step_{name}", ops.expand_dims(y_pred[name], 1))
            for name in ("logits", "boxes")
        )
        return self.loss.of_batch(y, logits, boxes, sample_weight)

    # -- answering ------------------------------------------------------------------------------

    def predict(self, x, batch_size=8, verbose=0, column=None, threshold=None):
        """For each picture a list of {"label", "score", "box"}, the likeliest first.

        Args:
            x, batch_size, verbose, column: as for `ArrayTask.predict`.
            threshold: what a label's probability must be above; the task's own by default.
        """
        if threshold is not None and not is_number(threshold, 0, 1):
            raise KzooError(f"Got threshold={threshold!r:.40}; expected a probability, 0 to 1.")
        threshold = self.threshold if threshold is None else threshold
        columns = self.encode_examples(self.given(x, column))
        plan = self.plan(columns, batch_size)
        order, batches = self.run_batches(columns, batch_size, verbose, plan=plan)
        outputs = (
            pair for batch in batches for pair in zip(batch["logits"], batch["boxes"], strict=True)
        )
        answers = [None] * plan.size
        for place, (logits, boxes) in zip(order.tolist(), outputs, strict=True):
            size = plan.sizes[place]
            answers[place] = detections(logits, boxes, self.labels, size, threshold)
        return answers
