"""Where a training runs: on one device, on several GPUs, on several machines, or on a TPU."""

import contextlib
import json
import os
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import keras

from ..errors import KzooError
from ..values import is_whole

KINDS = ("auto", "mirrored", "multi_worker", "tpu", "none")
CONFIG = "TF_CONFIG"  # The variable in which TensorFlow looks for the workers of a cluster.
_EXAMPLE = (
    '{"cluster": {"worker": ["host1:12345", "host2:12345"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


@dataclass(frozen=True)
class Strategy:
    """What `strategy` gives: where models that are made in its `scope()` lie and learn.

    Attributes:
        kind: "mirrored", "multi_worker", "tpu" or "none".
        distribute: the `tf.distribute.Strategy`; None where there is one device.
        worker, workers: which of how many processes this one is. Worker 0, the chief, writes what
            is to be kept; the others write nothing.
    """

    kind: str = "none"
    distribute: Any = None
    worker: int = 0
    workers: int = 1

    @property
    def replicas(self):
        """On how many devices a batch is learnt at once, those of all workers together."""
        return 1 if self.distribute is None else self.distribute.num_replicas_in_sync

    @contextlib.contextmanager
    def scope(self):
        """Models, optimizers and metrics made inside lie on every replica.

        Raises:
            KzooError: where another worker is gone, which TensorFlow says in many ways.
        """
        if self.distribute is None:
            yield self
            return
        with self._naming_who_is_gone(), self.distribute.scope():
            yield self

    def gathered(self, number):
        """The whole number that each worker comes with, as a list; all of them must call this."""
        if self.workers == 1:
            return [number]
        import tensorflow as tf

        with self._naming_who_is_gone():
            numbers = self.distribute.run(_gather(), args=(tf.constant([number]),))
            return self.distribute.experimental_local_results(numbers)[0].numpy().tolist()

    def agree(self, number, what):
        """Raise KzooError unless all workers come with the same whole number, of `what`.

        All workers must call this, or all of them wait.
        """
        numbers = self.gathered(number)
        if len(set(numbers)) > 1:
            raise KzooError(
                f"The workers have {', '.join(map(str, numbers))} {what}; expected the same on "
                "all: let them read the same recipe, data and output folder."
            )

    @contextlib.contextmanager
    def chief_first(self):
        """What is done inside is done by the chief, and then by the others, who find its files."""
        if self.worker:
            self.agree(0, "")
        yield
        if not self.worker:
            self.agree(0, "")

    @contextlib.contextmanager
    def _naming_who_is_gone(self):
        try:
            yield
        except Exception as error:
            if self.workers == 1 or not _tells_of_loss(error):
                raise
            gone = re.findall(r"/task:(\d+)", str(error))
            gone = [task for task in gone if int(task) != self.worker]
            raise KzooError(
                f"Worker {gone[0] if gone else 'that this one waits for'} is gone, of the "
                f"{self.workers} that {CONFIG} names ({str(error):.100}): start all of them again."
            ) from error


@cache
def _gather():
    """What a replica calls with a number, to get those of all: one graph for all calls."""
    import tensorflow as tf

    def gather(number):
        # What is handed in has no device yet, for which workers ask.
        return tf.distribute.get_replica_context().all_gather(tf.identity(number), axis=0)

    return tf.function(gather)


def _tells_of_loss(error):
    """Whether an error is one of those by which TensorFlow says that a worker is gone."""
    import tensorflow as tf

    kinds = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError)
    words = "ollective|peer|Connection|oordination"
    return isinstance(error, kinds) or (
        isinstance(error, (tf.errors.InternalError, tf.errors.CancelledError))
        and re.search(words, str(error)) is not None
    )


def strategy(kind="auto"):
    """Where models are to learn: `with kzoo.training.strategy().scope():` make and fit them.

    Args:
        kind: "mirrored" for all GPUs of this machine (or its logical processors, where TensorFlow
            was told to make several); "multi_worker" for the processes that the variable TF_CONFIG
            names, of which this is one; "tpu" for a TPU; "none" for one device. "auto" is
            multi_worker where TF_CONFIG names workers, tpu where there is one, mirrored where
            there is more than one GPU, else none. On JAX it is none: there
            `keras.distribution.set_distribution` spreads a model.

    Returns:
        A `Strategy`; the same one each time, since TensorFlow bears no second of a kind.

    Raises:
        KzooError: for a strategy that this machine has not, and for a TF_CONFIG that doesn't agree
            with itself. Workers are made before anything is computed.
    """
    if not isinstance(kind, str) or kind not in KINDS:
        raise KzooError(f"Got the strategy {kind!r:.40}; expected one of {', '.join(KINDS)}.")
    if kind == "none":
        return Strategy()
    if keras.backend.backend() != "tensorflow":
        if kind == "auto" and not os.environ.get(CONFIG):
            return Strategy()
        why = f"the strategy {kind}" if kind != "auto" else f"a {CONFIG}"
        raise KzooError(
            f"Got {why} on the backend {keras.backend.backend()}; expected none, which it has of "
            "TensorFlow's: call keras.distribution.set_distribution before the model is made, or "
            "set KERAS_BACKEND=tensorflow."
        )
    return _MAKERS[_found() if kind == "auto" else kind]()


def check_alone(what):
    """Raise KzooError where TF_CONFIG names workers, for what one process alone does."""
    if os.environ.get(CONFIG):
        raise KzooError(
            f"Got {CONFIG}, which names workers, and {what}; expected one process: unset {CONFIG}."
        )


def among_workers():
    """The strategy of the workers of which this process is one; that of one device without any."""
    return _multi_worker() if _multi_worker.cache_info().currsize else Strategy()


def is_chief():
    """Whether this process is the one that writes: the only one, or worker 0 of several."""
    return among_workers().worker == 0


def workers_named(text=None):
    """The workers of a TF_CONFIG, that of the environment by default, and which one this is.

    Returns:
        A list of "host:port", the chief first, and a place in it; KzooError where they don't agree.
    """
    text = os.environ.get(CONFIG, "") if text is None else text
    try:
        config = json.loads(text)
    except ValueError:
        config = None
    if not isinstance(config, dict):
        raise _bad(f"holds {text!r:.60}" if text else "is not set", f"JSON such as {_EXAMPLE}")
    cluster, task = config.get("cluster"), config.get("task")
    if not isinstance(cluster, dict) or not _are_addresses(cluster.get("worker")):
        raise _bad(
            f"has the cluster {json.dumps(cluster):.60}", 'a list of "host:port" as its "worker"'
        )
    others = sorted(set(cluster) - {"chief", "worker"})
    if others:
        raise _bad(f"has a {others[0]!r:.30} in its cluster", "a chief and workers alone")
    if not _are_addresses(cluster.get("chief", ["host:1"])) or len(cluster.get("chief", "1")) != 1:
        raise _bad(f"has the chief {json.dumps(cluster['chief']):.60}", 'a list of one "host:port"')
    addresses = [*cluster.get("chief", []), *cluster["worker"]]
    repeated = sorted({address for address in addresses if addresses.count(address) > 1})
    if repeated:
        raise _bad(f"names {repeated[0]} more than once", "an address of its own for each worker")
    kind, place = (task.get(key) for key in ("type", "index")) if isinstance(task, dict) else [0, 0]
    if not isinstance(kind, str) or kind not in cluster:
        raise _bad(f"has the task {json.dumps(task):.60}", f"a type of {' or '.join(cluster)}")
    place = int(place) if isinstance(place, str) and place.isdecimal() else place
    count = len(cluster[kind])
    if not is_whole(place, 0, count - 1):
        raise _bad(
            f"has the index {place!r:.20} for {count} of the type {kind}",
            f"a whole number from 0 to {count - 1}",
        )
    return addresses, place + (len(addresses) - count if kind == "worker" else 0)


def _are_addresses(value):
    return (
        isinstance(value, list)
        and len(value) > 0
        and all(isinstance(v, str) and re.fullmatch(r".+:\d+", v) for v in value)
    )


def _bad(got, expected):
    return KzooError(f"{CONFIG} {got}; expected {expected}: set it anew for each worker.")


def _found():
    """The kind of strategy that there is here."""
    import tensorflow as tf

    if os.environ.get(CONFIG):
        return "multi_worker"
    if _has_tpu():
        return "tpu"
    return "mirrored" if len(tf.config.list_physical_devices("GPU")) > 1 else "none"


def _has_tpu():
    import tensorflow as tf

    named = os.environ.get("TPU_NAME") or os.environ.get("COLAB_TPU_ADDR")
    return bool(named or tf.config.list_physical_devices("TPU"))


@cache
def _mirrored():
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return Strategy("mirrored", tf.distribute.MirroredStrategy())
    cpus = [device.name for device in tf.config.list_logical_devices("CPU")]
    if len(cpus) < 2:
        raise KzooError(
            "Got the strategy mirrored on a machine on which TensorFlow sees no GPU; expected one "
            "or more: take auto or none, or see why tf.config.list_physical_devices('GPU') is "
            "empty."
        )
    return Strategy("mirrored", tf.distribute.MirroredStrategy(cpus))


@cache
def _multi_worker():
    import tensorflow as tf

    if not os.environ.get(CONFIG):
        raise KzooError(
            f"Got the strategy multi_worker without {CONFIG}; expected it to name the workers and "
            f"which one this is, such as {_EXAMPLE}: set it, or run kzoo train RECIPE --workers 2 "
            "for workers on this machine."
        )
    addresses, place = workers_named()
    try:
        made = tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        if "startup" not in str(error):
            raise
        raise KzooError(
            "Got the strategy multi_worker after something was computed; expected it first: call "
            'kzoo.training.strategy("multi_worker") before a model is made or loaded.'
        ) from None
    except tf.errors.OpError as error:
        raise KzooError(
            f"Worker {place} can't meet the others at {addresses[place]} ({str(error):.100}): see "
            f"that each port in {CONFIG} is free on its machine, and can be reached from the "
            "others."
        ) from None
    return Strategy("multi_worker", made, place, len(addresses))


@cache
def _tpu():
    """As TensorFlow's guide says, https://www.tensorflow.org/guide/tpu; not run on one."""
    import tensorflow as tf

    if not _has_tpu():
        raise KzooError(
            "Got the strategy tpu on a machine on which TensorFlow sees no TPU; expected one, or "
            "TPU_NAME to name it: take auto or none."
        )
    name = os.environ.get("TPU_NAME") or ("" if os.environ.get("COLAB_TPU_ADDR") else "local")
    resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
    if name != "local":  # The local one is this process' own.
        tf.config.experimental_connect_to_cluster(resolver)
    tf.tpu.experimental.initialize_tpu_system(resolver)
    return Strategy("tpu", tf.distribute.TPUStrategy(resolver))


_MAKERS = {
    "mirrored": _mirrored,
    "multi_worker": _multi_worker,
    "tpu": _tpu,
    "none": Strategy,
}
