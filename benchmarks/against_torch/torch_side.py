"""One case in transformers and torch, written out: the loss, the groups, the steps."""

import math
import re

import torch
import transformers
from cases import (
    BATCH,
    EPOCHS,
    FAMILIES,
    IGNORED,
    LABELS,
    LENGTHS,
    RATE,
    SETTINGS,
    SGD_RATE,
    TASKS,
    class_weights,
    examples,
    options,
    suffix,
)
from torch.nn import functional

NAMES = {
    "token_ids": "input_ids",
    "padding_mask": "attention_mask",
    "segment_ids": "token_type_ids",
    "encoder_token_ids": "input_ids",
    "encoder_padding_mask": "attention_mask",
    "decoder_token_ids": "decoder_input_ids",
    "decoder_padding_mask": "decoder_attention_mask",
}


def train(case, folder):
    """Losses of all batches; `folder` then holds the model before (start) and after (end)."""
    setting, task = SETTINGS[case.setting], TASKS[case.task]
    model = noisy(case)
    model.save_pretrained(folder / "start")
    model.train()
    given, total = options(setting), EPOCHS * -(-len(LENGTHS) // BATCH)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = not (setting.frozen and setting.frozen[1] in name)
    if setting.sgd:
        optimizer = torch.optim.SGD(model.parameters(), lr=SGD_RATE)
    else:
        optimizer = torch.optim.AdamW(groups(model, given), lr=RATE, eps=given["epsilon"])
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: share(step, total, given))
    averaged = None
    if given.get("use_ema"):
        rule = torch.optim.swa_utils.get_ema_multi_avg_fn(given["ema_momentum"])
        averaged = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=rule)
    scaler = torch.amp.GradScaler("cpu", 2.0**15, enabled=setting.precision == "float16")
    parts = given.get("gradient_accumulation_steps", 1)
    losses = []
    for number, (inputs, targets, weight) in enumerate(batches(case) * EPOCHS, 1):
        half = setting.precision != "float32"
        dtype = getattr(torch, setting.precision) if half else torch.bfloat16
        with torch.autocast("cpu", dtype, enabled=half):
            outputs = model(**inputs) if task.rows == 1 or "Choice" in task.suffix else None
            vectors = None if outputs else embedded(model, inputs)
        loss = LOSSES[task.loss](outputs or vectors, targets, weight, inputs)
        losses.append(float(loss.detach()))
        scaler.scale(loss / parts).backward()
        if number % parts == 0:
            scaler.unscale_(optimizer)
            if given["clip_norm"] and not setting.sgd:
                torch.nn.utils.clip_grad_norm_(model.parameters(), given["clip_norm"])
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            if averaged:
                averaged.update_parameters(model)
        schedule.step()
    (averaged.module if averaged else model).save_pretrained(folder / "end")
    return losses


def noisy(case):
    """A tiny model with noise on every trainable number."""
    torch.manual_seed(len(case.name))
    stem, sizes, _ = FAMILIES[case.family]
    labels = {}
    if "Sequence" in suffix(case) or "Token" in suffix(case):
        labels = {"id2label": dict(enumerate(LABELS))}
        labels["label2id"] = {name: number for number, name in labels["id2label"].items()}
    config = getattr(transformers, f"{stem}Config")(**sizes, **labels)
    config._attn_implementation = "eager"
    model = getattr(transformers, stem + suffix(case))(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


def batches(case):
    """(inputs, targets, weights) of an epoch, padded; without weights they are ones."""
    columns, targets, weights = examples(case)
    fills = {"token_ids": FAMILIES[case.family][1].get("pad_token_id", 0)}
    setting, made = SETTINGS[case.setting], []
    for start in range(0, len(LENGTHS), BATCH):
        part = slice(start, start + BATCH)
        inputs = {NAMES[k]: padded(rows[part], fills.get(k, 0)) for k, rows in columns.items()}
        y = targets[part]
        y = padded(y, IGNORED) if isinstance(y, list) else torch.tensor(y)
        weight = torch.ones(len(y))
        if setting.sample_weight:
            weight = torch.tensor(weights[part])
        if setting.class_weight:
            weight = torch.tensor([class_weights()[int(label)] for label in y])
        made.append((inputs, y.long() if y.dtype == torch.int32 else y, weight))
    return made


def padded(rows, fill):
    """Ragged rows as a tensor; rows of several sequences to (rows, sequences, length)."""
    nested = isinstance(rows[0][0], list)
    flat = [part for row in rows for part in row] if nested else rows
    length = max(map(len, flat))
    filled = torch.tensor([[*part, *[fill] * (length - len(part))] for part in flat])
    return filled.view(len(rows), -1, length) if nested else filled


def embedded(model, inputs):
    """Unit mean vectors (batch, 2, dim), pooled over what isn't padding."""
    flat = {name: value.flatten(0, 1) for name, value in inputs.items()}
    hidden, mask = model(**flat).last_hidden_state, flat["attention_mask"][..., None]
    pooled = (hidden * mask).sum(1) / mask.sum(1)
    return functional.normalize(pooled, dim=-1).view(len(pooled) // 2, 2, -1)


def of_rows(outputs, targets, weight, inputs):
    """Cross-entropy of one choice an example."""
    each = functional.cross_entropy(outputs.logits.float(), targets, reduction="none")
    return (each * weight).mean()


def of_places(outputs, targets, weight, inputs):
    """Cross-entropy over the places that have a target."""
    logits = outputs.logits.float().transpose(1, 2)
    each = functional.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="none")
    return (each * weight[:, None]).sum() / (targets != IGNORED).sum()


def of_spans(outputs, targets, weight, inputs):
    """The mean of the cross-entropies of start and end, among the tokens that aren't padding."""
    hidden = inputs["attention_mask"] == 0
    sides = [outputs.start_logits, outputs.end_logits]
    sides = [side.float().masked_fill(hidden, -math.inf) for side in sides]
    each = [
        functional.cross_entropy(side, targets[:, place], reduction="none")
        for place, side in enumerate(sides)
    ]
    return ((each[0] + each[1]) / 2 * weight).mean()


def of_cosines(vectors, targets, weight, inputs):
    """Squared error of cosines, as in sentence-transformers' CosineSimilarityLoss."""
    cosines = functional.cosine_similarity(vectors[:, 0], vectors[:, 1])
    return ((cosines - targets) ** 2 * weight).mean()


def of_partners(vectors, targets, weight, inputs):
    """sentence-transformers' MultipleNegativesRankingLoss, at its scale of 20."""
    scores = 20 * vectors[:, 0] @ vectors[:, 1].T
    each = functional.cross_entropy(scores, torch.arange(len(scores)), reduction="none")
    return (each * weight).mean()


LOSSES = {
    "rows": of_rows,
    "places": of_places,
    "span": of_spans,
    "cosine": of_cosines,
    "in_batch": of_partners,
}


def groups(model, given):
    """Parameter groups: matrices decay, and each layer has its rate."""
    names = [name for name, _ in model.named_parameters()]
    blocks = {match[1] for match in map(_block, names) if match}
    prefix = f"{model.base_model_prefix}."
    whole = not any(name.startswith(prefix) for name in names)  # A backbone without a head.
    made = []
    for name, parameter in model.named_parameters():
        if _block(name):
            below = len(blocks) - int(_block(name)[1])
        elif not whole and not name.startswith(prefix):
            below = 0
        else:
            below = 1 if "pooler" in name else len(blocks) + 1
        decay = given["weight_decay"] if parameter.ndim > 1 else 0.0
        rate = RATE * given["layer_decay"] ** below
        made.append({"params": [parameter], "weight_decay": decay, "lr": rate})
    return made


def _block(name):
    return re.search(r"layer(?:_groups)?\.(\d+)\.", name)


def share(step, total, given):
    """The rate at a batch, as a share of the highest."""
    rise = given["warmup"] if given["warmup"] >= 1 else math.ceil(given["warmup"] * total)
    if step < rise:
        return (step + 1) / rise
    done = min((step - rise) / max(total - rise, 1), 1.0)
    falls = {"linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2, "constant": 1.0}
    return falls[given["decay"]]
