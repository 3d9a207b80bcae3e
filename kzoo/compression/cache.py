"""A teacher's answers, computed once and kept on disk for students to learn."""

import hashlib
import json
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from keras import ops

from .. import processors
from ..errors import KzooError
from ..files import read_json, sha256, writing_file
from ..network import weights_by_path
from ..tasks.classifier import Classifier
from ..tasks.embedder import Embedder
from ..values import an
from .distill import answers
from .lessons import places_of

MANIFEST, KEYS = "answers.json", "keys.npy"
SHARD = 4096  # Examples a file: what a kill costs at most.
TYPES = ("float32", "float16")
TAUGHT = "taught"  # What the answers are called among the inputs of a batch.


def cached(teacher, x, folder, read_as=None, dtype="float32", batch_size=64, verbose=0):
    """Write a teacher's answers to examples into a folder; those that it has are not made again.

    A file that is there is whole, so that a run that was killed goes on where it was. Students
    find answers by the examples themselves, in any order, some of them or all: they may read
    them with another tokenizer.

    Args:
        teacher: a classifier or an embedder of kzoo's; its logits or vectors are kept.
        x: examples as its `predict` takes them: a list of texts, of pairs, of pictures.
        folder: where the answers are kept, or are to be.
        read_as: what a student reads in the place of each, in the same order: translations of the
            texts, for a student of several languages (arXiv:2004.09813). By default x itself.
        dtype: the type that answers are kept in, "float32" or "float16".
        batch_size, verbose: as for `predict`.

    Returns:
        A `Cache`, which `Teacher` takes in the place of the model.

    Raises:
        KzooError: for a task that gives something else, a folder of other files, and one with the
            answers of another teacher or to other examples.
    """
    if not isinstance(teacher, (Classifier, Embedder)):
        raise KzooError(
            f"Got {an(type(teacher).__name__)} to keep the answers of; expected a classifier or "
            "an embedder of kzoo's, which give a row of numbers for each example."
        )
    if dtype not in TYPES:
        raise KzooError(f"Got dtype={dtype!r:.40} for answers; expected {' or '.join(TYPES)}.")
    folder, x = Path(folder), list(teacher.as_inputs(x))
    read_as = x if read_as is None else list(read_as)
    if len(read_as) != len(x):
        raise KzooError(f"Got {len(read_as)} in read_as for {len(x)} examples; expected one each.")
    keys = keys_of(read_as)
    manifest = {
        "task": teacher.task_name,
        "name": teacher.name,
        "labels": teacher.labels,
        "output": teacher.scored_output,
        "dtype": dtype,
        "examples": len(x),
        "shard": SHARD,
        "examples_sha256": hashlib.sha256(keys_of(x).tobytes() + keys.tobytes()).hexdigest(),
        "teacher_sha256": fingerprint(teacher),
    }
    _begin(folder, manifest)
    if not (folder / KEYS).is_file():
        with writing_file(folder / KEYS) as path:
            np.save(path, keys)
    for number, start in enumerate(range(0, len(x), SHARD)):
        if not (file := _shard(folder, number)).is_file():
            values = answers(teacher, x[start : start + SHARD], batch_size, verbose)
            with writing_file(file) as path:
                np.save(path, values.astype(dtype))
    return Cache(folder)


def _begin(folder, manifest):
    """Write what the answers are of, or check that the folder's are of the same."""
    if not (folder / MANIFEST).is_file():
        if folder.exists() and any(not path.name.startswith(".") for path in folder.iterdir()):
            raise KzooError(f"{folder} holds other files: name a folder that is new or empty.")
        with writing_file(folder / MANIFEST) as path:
            path.write_text(json.dumps(manifest, indent=1), "utf-8")
        return
    known = read_json(folder / MANIFEST, "a teacher's answers")
    other = [name for name in manifest if known.get(name) != manifest[name] and name != "name"]
    if other:
        of = "another teacher" if "teacher_sha256" in other else "the same teacher"
        to = "other examples" if "examples_sha256" in other else "the same examples"
        raise KzooError(
            f"{folder} holds answers of {of} to {to}, and differs in {', '.join(other)}; expected "
            "the same in all: name another folder."
        )


def _shard(folder, number):
    return folder / f"answers-{number:05d}.npy"


class Cache:
    """A teacher's answers in a folder that `cached` wrote; `Teacher(Cache(folder))` takes them.

    Answers are read from the files batch by batch, and held in memory no longer than that.

    Args:
        folder: the folder.

    Raises:
        KzooError: for a folder without answers, or with a part of them.
    """

    backbone = None

    def __init__(self, folder):
        self.folder = Path(folder)
        manifest = read_json(self.folder / MANIFEST, "a teacher's answers, see cached()")
        self.name, self.kind = manifest["name"], manifest["task"]
        self.labels, self.scored_output = manifest["labels"], manifest["output"]
        self.size, self.shard = manifest["examples"], manifest["shard"]
        files = [_shard(self.folder, i) for i in range(-(-self.size // self.shard))]
        missing = [file.name for file in (self.folder / KEYS, *files) if not file.is_file()]
        if missing:
            raise KzooError(
                f"{self.folder} lacks {len(missing)} of its files, such as {missing[0]}: call "
                "cached() again, which goes on where it was."
            )
        self._parts = [np.load(file, mmap_mode="r") for file in files]
        keys = np.load(self.folder / KEYS)
        if len(keys) != self.size or sum(map(len, self._parts)) != self.size:
            raise KzooError(
                f"{self.folder} has not as many answers as its {MANIFEST} says, {self.size}: name "
                "a new folder for cached()."
            )
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

    @property
    def width(self):
        """How many numbers a vector has; None of what is no vector."""
        return self._parts[0].shape[-1] if self.scored_output == "embedding" else None

    def rows_of(self, x):
        """The numbers of examples among those of the cache."""
        keys = keys_of(x)
        places = np.minimum(np.searchsorted(self._keys, keys), self.size - 1)
        unknown = np.flatnonzero(self._keys[places] != keys)
        if unknown.size:
            first = int(unknown[0])
            raise KzooError(
                f"{self.folder} has no answer to {unknown.size} of {len(keys)} examples, such as "
                f"example {first}, {x[first]!r:.60}: make one with cached() of all of them."
            )
        return self._order[places]

    def read(self, rows):
        """The answers of some numbers, float32 (rows, ...)."""
        rows = np.asarray(rows)
        parts, places = rows // self.shard, rows % self.shard
        values = np.empty((len(rows), *self._parts[0].shape[1:]), "float32")
        for part in np.unique(parts):
            chosen = parts == part
            values[chosen] = self._parts[part][places[chosen]]
        return values

    # -- what a `Teacher` asks of it --------------------------------------------------------------

    def check(self, student):
        """Raise KzooError for a student whose examples are no rows of a batch."""
        if not isinstance(student, (Classifier, Embedder)):
            raise KzooError(
                f"Got kept answers for {an(student.task_name)}; expected a classifier or an "
                "embedder, or the teacher itself."
            )

    def batching(self, x):
        """What gives the answers beside the examples of a batch."""
        return {"beside": partial(self._beside, self.rows_of(x))}

    def _beside(self, rows, numbers):
        return {TAUGHT: self.read(rows[numbers])}

    def outputs(self, student, inputs, needs):
        """The answers beside the student's inputs, by name."""
        if TAUGHT not in inputs:
            raise KzooError(
                f"Got batches without the answers of {self.folder} beside them; expected examples, "
                "of which fit() makes its own batches."
            )
        return {self.scored_output: ops.cast(inputs[TAUGHT], "float32")}

    def scored(self, outputs, inputs):
        """The answers."""
        return outputs[self.scored_output]

    def places_of(self, student):
        """Where the student's classes stand among its own, or None where they are the same."""
        return places_of(self.labels, student)


def keys_of(examples):
    """What examples are found by: the first 64 bits of their SHA-256, uint64 (examples,)."""
    digests = [hashlib.sha256(_content(example)).digest()[:8] for example in examples]
    return np.frombuffer(b"".join(digests), "<u8")


def _content(example):
    """The bytes that say what a text, a pair of texts, a file or an array is."""
    if isinstance(example, bytes):
        return example
    # A text of NumPy's is a str, and an array as well.
    if isinstance(example, (str, list, tuple, dict)) or not hasattr(example, "__array__"):
        return json.dumps(example, default=str).encode()
    array = np.asarray(example)
    return f"{array.dtype} {array.shape} ".encode() + array.tobytes()


def fingerprint(task):
    """The SHA-256 of all that a task's answers depend on, in hexadecimal digits."""
    config = task.get_config()
    config = {key: value for key, value in config.items() if key not in ("backbone", "name")}
    facts = {"spec": task.spec.to_dict(), "dtype": task.dtype_policy.name, **config}
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
    for path, weight in sorted(weights_by_path(task).items()):
        value = ops.convert_to_numpy(weight)
        digest.update(f"{path} {value.dtype} {value.shape} ".encode() + value.tobytes())
    with tempfile.TemporaryDirectory() as folder:
        processors.save(task.processors, folder)
        for file in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
            digest.update(f"{file.name} {sha256(file)}".encode())
    return digest.hexdigest()
