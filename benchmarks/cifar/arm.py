"""One arm of `measure.py`: learn CIFAR-10's pictures in so many seconds of the processor.

    python benchmarks/cifar/arm.py ARM --work FOLDER --seed N

FOLDER holds `pictures.npz` and `settings.json`, which `measure.py` writes, and takes what the arm
leaves. The arms are fed alike: each epoch shows every picture mirrored or not, moved by up to 4
pixels, and with a grey square of up to 16 pixels on it (arXiv:1708.04552). The rate goes up and
down by the share of the seconds that are used, from the end of the first batch on, so that no arm
pays for the making of its graph. An arm has one core for all its threads: on two, those that wait
for others use as much of the processor as those that work, and how long they wait is a matter of
what else the machine does.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # TensorFlow counts them when it loads.

import keras  # noqa: E402
import numpy as np  # noqa: E402

ARMS = ("teacher", "kzoo", "kzoo distilled", "keras_hub")


def moved(pictures, draw, most=4, erased=8):
    """Pictures (pictures, side, side, 3), mirrored or not, moved by up to `most`, partly grey."""
    side = pictures.shape[1]
    padded = np.pad(pictures, ((0, 0), (most, most), (most, most), (0, 0)), mode="reflect")
    result = np.empty_like(pictures)
    for place, (top, left) in enumerate(draw.integers(0, 2 * most + 1, (len(pictures), 2))):
        result[place] = padded[place, top : top + side, left : left + side]
    mirrored = draw.random(len(pictures)) < 0.5
    result[mirrored] = result[mirrored, :, ::-1]
    middle = pictures[:100].mean()
    corners = draw.integers(0, side, (len(result), 2))
    for picture, (top, left) in zip(result, corners, strict=True):
        picture[max(0, top - erased) : top + erased, max(0, left - erased) : left + erased] = middle
    return result


class Seconds(keras.callbacks.Callback):
    """Lets a model learn for so many seconds of the processor, and sets its rate by them."""

    def __init__(self, seconds, rate, warmup):
        super().__init__()
        self.seconds, self.rate, self.warmup = seconds, rate, warmup
        self.start, self.batches = None, 0

    def share(self):
        """How much of the time is used."""
        return 0.0 if self.start is None else (time.process_time() - self.start) / self.seconds

    def on_train_batch_begin(self, batch, logs=None):
        """Linear up to the peak, then along a cosine to zero."""
        share = min(1.0, self.share())
        after = (share - self.warmup) / (1 - self.warmup)
        height = share / self.warmup if after < 0 else (1 + np.cos(np.pi * after)) / 2
        self.model.optimizer.learning_rate = self.rate * max(height, 1e-3)

    def on_train_batch_end(self, batch, logs=None):
        """Begin the clock with the first batch, and stop at its end."""
        self.batches += 1
        self.start = time.process_time() if self.start is None else self.start
        if self.share() >= 1:
            self.model.stop_training = True


def learn(model, pictures, labels, settings, seconds, seed):
    """Train until the time is over; the epochs that were shown, and accuracy by epoch."""
    clock = Seconds(seconds, settings["learning_rate"], settings["warmup"])
    draw, course, epoch = np.random.default_rng(seed), [], 0
    while clock.share() < 1:
        history = model.fit(
            moved(pictures, draw),
            labels,
            batch_size=settings["batch_size"],
            initial_epoch=epoch,
            epochs=epoch + 1,
            callbacks=[clock],
            verbose=0,
        ).history
        epoch += 1
        course.append(round(float(history["accuracy"][0]), 4))
    return round(clock.batches * settings["batch_size"] / len(pictures), 1), course


def shape_of(settings):
    """What both libraries' networks have in common."""
    names = ("layers", "heads", "width", "intermediate", "square")
    return [settings[name] for name in names]


def kzoo_student(settings, teacher=None):
    """A ViT with fresh weights, compiled."""
    import kzoo
    from kzoo.models import build

    layers, heads, width, intermediate, square = shape_of(settings)
    spec = kzoo.Spec(
        "vit",
        embedding={"kind": "patch", "image_size": 32, "patch_size": square},
        hidden_dim=width,
        num_heads=heads,
        intermediate_dim=intermediate,
        schedule=tuple(range(layers)),
        max_sequence_length=1 + (32 // square) ** 2,
        dropout=0.0,
        initializer_range=settings["initializer_range"],
        attention_dropout=0.0,
        block="pre_norm",
        norm={"kind": "layer_norm", "epsilon": 1e-6},
        norms=["final"],
        pooler="none",
    )
    processor = kzoo.ImageProcessor(size=(32, 32))
    task = kzoo.ImageClassifier(build(spec), settings["labels"], image_processor=processor)
    decay = settings["weight_decay"]
    optimizer = kzoo.AdamW(1e-3, weight_decay=decay, warmup=0, decay="constant")
    task.compile(optimizer, teacher=teacher)
    return task


def keras_hub_student(settings):
    """The same shape in KerasHub, compiled; it takes pictures from -1 to 1."""
    import keras_hub

    layers, heads, width, intermediate, square = shape_of(settings)
    backbone = keras_hub.models.ViTBackbone((32, 32, 3), square, layers, heads, width, intermediate)
    model = keras_hub.models.ViTImageClassifier(backbone, 10, preprocessor=None, pooling="token")
    decay = settings["weight_decay"]
    model.compile(
        keras.optimizers.AdamW(1e-3, weight_decay=decay, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def convolutional():
    """A small convolutional network, compiled; it takes pictures of 0 to 255."""
    x = inputs = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1)(x)
    for width in (32, 64, 128):
        x = keras.layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
        x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Dropout(0.3)(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, keras.layers.Dense(10)(x))
    model.compile(
        keras.optimizers.AdamW(1e-3, weight_decay=1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def run(arm, folder, seed):
    """Learn, measure, and leave what was measured in `folder`."""
    settings = json.loads((folder / "settings.json").read_text())
    data = np.load(folder / "pictures.npz")
    keras.utils.set_random_seed(seed)
    pictures, seconds = data["train"], settings["seconds"]
    held = data["held"]
    if arm == "teacher":
        model, seconds = convolutional(), settings["teacher_seconds"]
        pictures, held = pictures.astype("float32"), held.astype("float32")
    elif arm == "keras_hub":
        model = keras_hub_student(settings)
        pictures, held = (part.astype("float32") / 127.5 - 1 for part in (pictures, held))
    else:
        teacher = None
        if arm == "kzoo distilled":
            from kzoo.compression import Teacher

            known = keras.saving.load_model(folder / "teacher.keras")
            teacher = Teacher(known, labels=settings["labels"], **settings["teacher"])
        model = kzoo_student(settings, teacher)
    start = time.time()
    epochs, course = learn(model, pictures, data["train_labels"], settings, seconds, seed)
    wall = time.time() - start
    right = np.asarray(model.predict(held, verbose=0)).argmax(-1) == data["held_labels"]
    if arm == "teacher":
        model.save(folder / "teacher.keras")
    elif arm.startswith("kzoo"):
        model.save_preset(folder / f"{arm} {seed}")
    result = {
        "arm": arm,
        "seed": seed,
        "accuracy": round(float(right.mean()), 4),
        "epochs": epochs,
        "processor_seconds": seconds,
        "wall_seconds": round(wall),
        "parameters": model.count_params(),
        "course": course,
    }
    (folder / f"{arm} {seed}.json").write_text(json.dumps(result))
    print(json.dumps({k: v for k, v in result.items() if k != "course"}), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("arm", choices=ARMS)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    run(arguments.arm, arguments.work, arguments.seed)
