"""What is trained on both sides: families, tasks, settings, and which of them meet.

A family or a task that comes is a line here. Everything is numbers and names: neither library is
imported.
"""

from dataclasses import dataclass, field

import numpy as np

VOCABULARY, LABELS, IGNORED = 60, ("bad", "fair", "good"), -100
BATCH, EPOCHS = 4, 3
START = 0  # what a decoder is given first, the padding
# Examples are sorted by length, as kzoo's batches are, and the last batch is a smaller one.
LENGTHS = (2, 3, 3, 5, 6, 6, 7, 9, 11, 12)
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 24,
    "hidden_dropout_prob": 0.0,  # The two libraries draw other numbers.
    "attention_probs_dropout_prob": 0.0,
}
# The stem of transformers' classes, the config, and the segments it tells apart.
FAMILIES = {
    "bert": ("Bert", SIZES, 2),
    "roberta": (
        "Roberta",
        {**SIZES, "type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1},
        1,
    ),
    "distilbert": (
        "DistilBert",
        {
            "vocab_size": VOCABULARY,
            "dim": 32,
            "n_layers": 2,
            "n_heads": 4,
            "hidden_dim": 48,
            "max_position_embeddings": 24,
            "dropout": 0.0,
            "attention_dropout": 0.0,
            "seq_classif_dropout": 0.0,
            "qa_dropout": 0.0,
        },
        1,
    ),
    "albert": (
        "Albert",
        {**SIZES, "embedding_size": 16, "num_hidden_layers": 3, "classifier_dropout_prob": 0.0},
        2,
    ),
    "electra": ("Electra", {**SIZES, "embedding_size": 16, "summary_last_dropout": 0.0}, 2),
    "mpnet": ("MPNet", {**SIZES, "layer_norm_eps": 1e-5}, 1),
    "mobilebert": (
        "MobileBert",
        {
            **SIZES,
            "embedding_size": 12,
            "intra_bottleneck_size": 16,
            "num_feedforward_networks": 2,
            "classifier_dropout": 0.0,
        },
        2,
    ),
    "gpt2": (
        "GPT2",
        {
            "vocab_size": VOCABULARY,
            "n_embd": 32,
            "n_layer": 2,
            "n_head": 4,
            "n_positions": 24,
            "pad_token_id": 0,
            "embd_pdrop": 0.0,
            "resid_pdrop": 0.0,
            "attn_pdrop": 0.0,
            "classifier_dropout": 0.0,
        },
        1,
    ),
    "gpt": (
        "OpenAIGPT",
        {
            "vocab_size": VOCABULARY,
            "n_embd": 32,
            "n_layer": 2,
            "n_head": 4,
            "n_positions": 24,
            "pad_token_id": 0,
            "embd_pdrop": 0.0,
            "resid_pdrop": 0.0,
            "attn_pdrop": 0.0,
        },
        1,
    ),
    "gpt_neo": (
        "GPTNeo",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 4,
            "max_position_embeddings": 24,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 4,
            "pad_token_id": 0,
            "classifier_dropout": 0.0,
        },
        1,
    ),
    "bloom": (
        "Bloom",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": 36,
            "n_layer": 2,
            "n_head": 6,
            "pad_token_id": 0,
            "hidden_dropout": 0.0,
            "attention_dropout": 0.0,
        },
        1,
    ),
    "palm": (
        "Cohere",
        {
            **{key: value for key, value in SIZES.items() if "dropout" not in key},
            "num_key_value_heads": 1,
            "head_dim": 16,
            "logit_scale": 0.3,
        },
        1,
    ),
    "t5": (
        "T5",
        {
            "vocab_size": VOCABULARY,
            "d_model": 32,
            "d_kv": 8,
            "d_ff": 48,
            "num_layers": 2,
            "num_heads": 4,
            "relative_attention_num_buckets": 8,
            "relative_attention_max_distance": 12,
            "decoder_start_token_id": START,
            "dropout_rate": 0.0,
        },
        1,
    ),
}
# Those of a source and a target: their task is one of their own. T5 stands for them all.
PAIRS = ("t5",)
# Not held against torch: transformers' hashes are drawn anew, it has no such class any more, it
# reads the last place of a row or choice, be it padding, or a test beside transformers holds the
# gradients.
APART = (
    "reformer", "transformer_xl", "roformer", "xlnet", "deberta", "deberta_v2", "longformer",
    "bigbird",
)  # fmt: skip
# Of which a test holds the loss itself: of SkipGram and LateInteraction written out, of the others
# beside transformers.
TASKS_APART = (
    "PreTraining", "NextSentence", "ReplacedTokenDetection", "PermutationLM", "SkipGram",
    "LateInteraction",
)  # fmt: skip
BY_PLACE = ("sequence classification", "token classification", "question answering")
# Those that write: what follows the name of the class with that head, and the other tasks.
WRITERS = {
    "gpt": ("LMHeadModel", BY_PLACE[:1]),
    "gpt2": ("LMHeadModel", BY_PLACE),
    "gpt_neo": ("ForCausalLM", BY_PLACE),
    "bloom": ("ForCausalLM", BY_PLACE),
    "palm": ("ForCausalLM", ()),
}


@dataclass(frozen=True)
class Task:
    """One thing to learn: transformers' class, kzoo's, the targets, and how many rows an example.

    `loss` is the name of a loss of torch's side (`torch_side.LOSSES`) and, where kzoo's isn't the
    task's default, of kzoo's. `moot` are ends of paths of kzoo's weights that move no loss, as a
    number that is added to all logits of a softmax: their gradient is rounding alone.
    """

    suffix: str
    kzoo: str
    targets: str
    loss: str
    rows: int = 1
    kzoo_loss: str | None = None
    moot: tuple = ()


SAME_FOR_ALL = ("head/logits/bias",)
# What the head turns into such a bias.
LAST_SHIFT = ("block_1/feedforward_norm/beta", "final_norm/beta")
MOOT = ("attention/key/bias",)  # of every task: it adds the same to all scores of a query
TASKS = {
    "sequence classification": Task("ForSequenceClassification", "TextClassifier", "class", "rows"),
    "token classification": Task("ForTokenClassification", "TokenClassifier", "places", "places"),
    "question answering": Task(
        "ForQuestionAnswering", "QuestionAnswering", "span", "span", moot=SAME_FOR_ALL + LAST_SHIFT
    ),
    "masked language model": Task("ForMaskedLM", "MaskedLM", "tokens", "places"),
    "causal language model": Task("", "CausalLM", "tokens", "places"),
    "sequence to sequence": Task("ForConditionalGeneration", "Seq2SeqLM", "tokens", "places"),
    "multiple choice": Task(
        "ForMultipleChoice", "MultipleChoice", "choice", "rows", 2, moot=SAME_FOR_ALL
    ),
    "cosines": Task("Model", "TextEmbedder", "score", "cosine", 2),
    "in-batch ranking": Task("Model", "TextEmbedder", "score", "in_batch", 2, "InBatchLoss"),
}


@dataclass(frozen=True)
class Setting:
    """How it is learnt; `limit` is the largest difference of a loss that is allowed."""

    optimizer: dict = field(default_factory=dict)  # arguments of kzoo.AdamW
    sgd: bool = False
    # Part of the path of kzoo's weights that stand still, and of the name on torch's side.
    frozen: tuple | None = None
    sample_weight: bool = False
    class_weight: bool = False
    precision: str = "float32"
    limit: float = 2e-6
    weight_limit: float = 2e-5


FULL = {"clip_norm": 0.5, "warmup": 2, "decay": "linear"}
ACCUMULATED = {"gradient_accumulation_steps": 2}
AVERAGED = {"use_ema": True, "ema_momentum": 0.5}
SETTINGS = {
    "AdamW, clipping, warm-up, linear decay": Setting(FULL),
    "SGD": Setting(sgd=True),
    "AdamW": Setting(),
    "epsilon 1e-4": Setting({"epsilon": 1e-4}),
    "clipping": Setting({"clip_norm": 0.05}),
    "cosine decay": Setting({"warmup": 0.2, "decay": "cosine"}),
    "layer decay": Setting({"layer_decay": 0.7}),
    "frozen first block": Setting(frozen=("/block_0/", ".layer.0.")),
    "frozen table": Setting(frozen=("/token_embedding/", ".word_embeddings.")),
    "sample weights": Setting(sample_weight=True),
    "class weights": Setting(class_weight=True),
    "averages": Setting(AVERAGED),
    "accumulation": Setting(ACCUMULATED),
    "accumulation, clipping, averages": Setting(ACCUMULATED | AVERAGED | {"clip_norm": 0.05}),
    # The two libraries leave other steps in float32, so these are bounds on what rounding does.
    "bfloat16": Setting(precision="bfloat16", limit=5e-2, weight_limit=2e-2),
    "float16": Setting(precision="float16", limit=5e-3, weight_limit=2e-2),
}
# Where kzoo runs: TensorFlow, JAX, or two replicas of TensorFlow on one processor.
TENSORFLOW, JAX, REPLICAS = "tensorflow", "jax", "replicas"
COMMON = "AdamW, clipping, warm-up, linear decay"
WRITING, REWRITING = "causal language model", "sequence to sequence"
READ = tuple(task for task in TASKS if task not in (WRITING, REWRITING))
READERS = tuple(family for family in FAMILIES if family not in (*WRITERS, *PAIRS))
RUNS = (
    (TENSORFLOW, READERS, READ, (COMMON,)),
    *((TENSORFLOW, (name,), (WRITING, *tasks), (COMMON,)) for name, (_, tasks) in WRITERS.items()),
    (TENSORFLOW, PAIRS, (REWRITING,), (COMMON,)),
    (TENSORFLOW, ("bert",), ("sequence classification",), SETTINGS),
    (TENSORFLOW, ("bert",), BY_PLACE[1:], ("sample weights", "accumulation")),
    (TENSORFLOW, ("albert",), ("masked language model",), ("layer decay", "accumulation")),
    (REPLICAS, ("bert",), BY_PLACE, (COMMON, "accumulation, clipping, averages")),
    (JAX, ("bert",), BY_PLACE, ("accumulation, clipping, averages",)),
    (JAX, ("albert",), ("sequence classification",), (COMMON,)),
)
# What differs on purpose, and how torch's side is told.
ON_PURPOSE = {
    "question answering": "logits at padding are left out of the softmax; transformers, which "
    "lets them in, is given logits of -inf there",
    "schedules": "the rate of kzoo's first warm-up step isn't zero, and a schedule counts batches "
    "(also those of an accumulation); torch's LambdaLR is given the same numbers",
    "weights": "the loss of weighted examples is divided by their number, as Keras does, and not "
    "by the sum of the weights, as torch's cross-entropy does with weights of classes",
    "weight decay": "norms and biases don't decay: parameter groups on torch's side",
    "layer decay": "the rates by layer are parameter groups on torch's side",
    "epsilon": "1e-6 where the setting has no other, so that gradients near zero don't become "
    "whole steps of Adam; weights whose gradient is rounding alone (the biases of keys, and of "
    "logits over places or choices) aren't compared",
    "dropout": "off, since the two draw other numbers",
}
MAPPED = {"clip_norm": None, "warmup": 0, "decay": "constant", "weight_decay": 0.1}
RATE, SGD_RATE = 2e-3, 5e-2


@dataclass(frozen=True)
class Case:
    """One training."""

    where: str
    family: str
    task: str
    setting: str

    @property
    def name(self):
        return f"{self.family}, {self.task}, {self.setting}"


def cases():
    """Every case, each once."""
    rows = [
        Case(where, family, task, setting)
        for where, families, tasks, settings in RUNS
        for family in families
        for task in tasks
        for setting in settings
    ]
    return list(dict.fromkeys(rows))


def options(setting):
    """The arguments of kzoo.AdamW for a setting, which torch's side reads too."""
    return {**MAPPED, "layer_decay": 1.0, "epsilon": 1e-6, **setting.optimizer}


def suffix(case):
    """What follows the family's name in the name of transformers' class."""
    return TASKS[case.task].suffix or WRITERS[case.family][0]


def examples(case):
    """Ragged columns, targets and weights; rows of several sequences are nested."""
    task, segments = TASKS[case.task], FAMILIES[case.family][2]
    draw = np.random.default_rng(len(case.family) + 7 * len(case.task))
    if case.task == REWRITING:
        return pairs(draw)
    columns = {"token_ids": [], "padding_mask": []}
    columns |= {"segment_ids": []} if segments > 1 else {}
    for length in LENGTHS:
        sides = [draw.integers(max(2, length - side), length + 1) for side in range(task.rows)]
        made = {
            "token_ids": [draw.integers(5, VOCABULARY, size).tolist() for size in sides],
            "padding_mask": [[1] * size for size in sides],
            "segment_ids": [np.sort(draw.integers(0, segments, size)).tolist() for size in sides],
        }
        for name, rows in columns.items():
            rows.append(made[name] if task.rows > 1 else made[name][0])
    sizes = {
        "class": lambda length: draw.integers(0, len(LABELS)),
        "choice": lambda length: draw.integers(0, task.rows),
        "score": lambda length: draw.uniform(-1, 1),
        "span": lambda length: np.sort(draw.integers(0, length, 2)).tolist(),
        "places": lambda length: draw.choice([IGNORED, 0, 1, 2], length).tolist(),
        "tokens": lambda length: [
            int(draw.integers(5, VOCABULARY)) if draw.random() < 0.4 or place == 1 else IGNORED
            for place in range(length)
        ],
    }
    targets = [sizes[task.targets](length) for length in LENGTHS]
    if task.targets in ("class", "choice"):
        targets = np.array(targets, "int32")
    elif task.targets in ("score", "span"):
        targets = np.array(targets, "float32" if task.targets == "score" else "int32")
    return columns, targets, draw.uniform(0.2, 2.0, len(LENGTHS)).astype("float32")


def pairs(draw):
    """Sources and targets of other lengths, with the decoder's tokens, and weights."""
    columns = {}
    for tower, more in (("encoder", 1), ("decoder", 0)):
        rows = [draw.integers(5, VOCABULARY, length + more).tolist() for length in LENGTHS]
        columns[f"{tower}_token_ids"] = rows
        columns[f"{tower}_padding_mask"] = [[1] * len(row) for row in rows]
    targets = columns["decoder_token_ids"]
    columns["decoder_token_ids"] = [[START, *row[:-1]] for row in targets]
    return columns, targets, np.ones(len(LENGTHS), "float32")


def class_weights():
    """A weight for each label."""
    return {0: 0.5, 1: 1.0, 2: 2.5}
