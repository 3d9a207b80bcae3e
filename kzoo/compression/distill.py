"""A student cut from its teacher that learns the teacher's scores: Hinton 2015, arXiv:1503.02531.

The cut keeps some steps of the teacher's schedule, as DistilBERT does (arXiv:1910.01108).
"""

import keras
import numpy as np
from keras import ops

from ..errors import KzooError
from ..tasks.task import Task
from ..values import an


def cut(task, schedule):
    """A copy of a task whose backbone runs only the steps of `schedule`.

    `cut(teacher, (0, 2, 4))` keeps the blocks 0, 2 and 4 of six, with their weights. What stands
    still in the teacher stands still in the student, unless that is its whole backbone.
    """
    if not isinstance(task, Task):
        raise KzooError(f"Got {an(type(task).__name__)} to cut; expected a task.")
    known = task.spec.schedule
    if not isinstance(schedule, (list, tuple)) or not schedule or not {*schedule} <= {*known}:
        raise KzooError(
            f"Got the schedule {schedule!r:.60}; expected one step at least, each of the model's "
            f"{list(known)}."
        )
    backbone = task.backbone.with_spec(schedule=tuple(schedule))
    if not backbone.trainable_weights:  # A teacher stands still; a student of it is to learn.
        backbone.trainable = True
    backbone.processors = dict(task.processors)
    return task.on(backbone)


def answers(teacher, x, batch_size=64, verbose=0):
    """The output that a teacher's loss looks at, (examples, ...), for a list of examples."""
    order, outputs = teacher.run_batches(teacher.encode_examples(x), batch_size, verbose)
    values = np.concatenate([out[teacher.scored_output] for out in outputs])
    restored = np.empty_like(values)
    restored[order] = values
    return restored


def soft_cross_entropy(there, here, temperature):
    """Cross-entropy of a teacher's and a student's logits (batch, labels), both at a temperature.

    It is multiplied by the temperature's square, so that gradients keep their scale.
    """
    taught = ops.softmax(there / temperature)
    loss = keras.losses.categorical_crossentropy(taught, here / temperature, from_logits=True)
    return loss * temperature**2
