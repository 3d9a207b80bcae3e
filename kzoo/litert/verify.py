"""Re-checking a bundle, on LiteRT alone: files, audit, golden examples, limits."""

import json
from pathlib import Path

import numpy as np

from ..answers import probabilities
from ..errors import KzooError
from . import bundle, limits
from .audit import audit, check_audit


def verify_bundle(folder):
    """Check a bundle anew, as it lies there.

    Its seal and format; size and SHA-256 of every file; the audit of `model.tflite` and what the
    manifest says of it; the golden examples, tokenized and run again; and the limits, against
    what is measured here (size, partitions) and what the sealed report holds (the rest).

    Returns:
        A dict with `folder`, `task`, `quantization`, `minimum_runtime` and `checks`, a list of
        {"check", "found"} in the order in which they passed.

    Raises:
        KzooError: one sentence on the first check that fails.
    """
    folder = Path(folder)
    manifest = bundle.read_manifest(folder)
    checks = []

    def passed(check, found):
        checks.append({"check": check, "found": found})

    passed("kzoo.json", f"format {manifest['format']}, the seal fits")
    bundle.check_files(folder, manifest)
    _check_no_others(folder, manifest)
    total = sum(entry["bytes"] for entry in manifest["files"].values())
    passed("files", f"{len(manifest['files'])} as written, {total / 1e6:.1f} MB")
    _check_labels(folder, manifest)

    found = audit(folder / bundle.MODEL)
    check_audit(found, manifest["limits"].get("partitions", 1))
    for name, key in (("signature", "signatures"), ("minimum_runtime", "minimum_runtime")):
        if manifest[name] != found[key]:
            raise KzooError(
                f"{folder / bundle.MANIFEST} says of {name} {manifest[name]}; the file has "
                f"{found[key]}: export anew."
            )
    runtime = found["minimum_runtime"]
    passed(
        "audit",
        f"{sum(found['operators'].values())} built-in operators, {found['partitions']} XNNPACK "
        f"partition, LiteRT {runtime['litert']} or newer",
    )
    worst = _run_golden(folder, manifest)
    passed(
        "golden examples",
        f"{len(manifest['golden'])} tokenized and run again, "
        + ("equal to the digit" if worst == 0 else f"off by at most {100 * worst:.2g} %"),
    )
    report = json.loads((folder / bundle.REPORT).read_text(encoding="utf-8"))
    measured = {row["limit"]: row["measured"] for row in report["limits"]}
    measured |= {"megabytes": found["bytes"] / 1e6, "partitions": found["partitions"]}
    for row in limits.check(manifest["limits"], measured):
        sign = ">=" if limits.KNOWN[row["limit"]][0] else "<="
        passed(row["limit"], f"{row['measured']:.6g} {sign} {row['bound']:.6g}")
    return {
        "folder": str(folder),
        "task": manifest["task"],
        "quantization": manifest["quantization"],
        "minimum_runtime": runtime,
        "checks": checks,
    }


def _check_no_others(folder, manifest):
    known = {bundle.MANIFEST, *manifest["files"]}
    others = sorted(path.name for path in folder.iterdir() if path.name not in known)
    if others:
        raise KzooError(f"{folder / others[0]} is not one of the bundle's files: take it away.")
    needed = {bundle.MODEL, bundle.TOKENIZER, bundle.REPORT, bundle.PAGE}
    missing = sorted(needed - set(manifest["files"]))
    if missing:
        raise KzooError(f"{folder} was written without {missing[0]}: export anew.")


def _check_labels(folder, manifest):
    if manifest["labels"] is None:
        return
    path = folder / bundle.LABELS
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    if lines != manifest["labels"]:
        raise KzooError(
            f"{path} holds {lines}; the manifest says {manifest['labels']}: export anew."
        )


def _run_golden(folder, manifest):
    """The largest distance of a golden output, as a share of the largest number in it."""
    from ..text.tokenizer import Tokenizer
    from .interpreter import Interpreter

    tokenizer = Tokenizer.load(folder / bundle.TOKENIZER)
    interpreter = Interpreter(folder / bundle.MODEL)
    worst = 0.0
    for place, entry in enumerate(manifest["golden"]):
        text = entry["text"]
        first, second = (text, None) if isinstance(text, str) else text
        outputs, columns, _ = interpreter.run_text(tokenizer, first, second, manifest["max_length"])
        ids = columns["token_ids"][0].tolist()
        if ids != entry["token_ids"]:
            at = next(
                (i for i, pair in enumerate(zip(ids, entry["token_ids"], strict=False))
                 if pair[0] != pair[1]),
                min(len(ids), len(entry["token_ids"])),
            )  # fmt: skip
            raise KzooError(
                f"Golden example {place} ({text!r:.40}) is tokenized otherwise from token {at} on: "
                "take the tokenizers version that the report names, or export anew."
            )
        for name, written in entry["outputs"].items():
            here, there = np.asarray(outputs[name], "float64"), np.asarray(written)
            scale = max(float(np.abs(there).max()), 1e-6)
            off = float(np.abs(here - there).max()) / scale
            # Written with seven digits: what is nearer than that is equal.
            worst = max(worst, 0.0 if off < 1e-6 else off)
            if not off <= manifest["tolerance"]:
                raise KzooError(
                    f"Golden example {place} ({text!r:.40}) gives {name} that lies "
                    f"{100 * off:.3g} % off; {100 * manifest['tolerance']:.3g} % is allowed: this "
                    "runtime computes otherwise, or the file was not made by this export."
                )
        if manifest["task"] == "TextClassifier":
            _check_label(place, entry, outputs)
    return worst


def _check_label(place, entry, outputs):
    """The label must stay, unless two probabilities are as good as equal."""
    here = probabilities(outputs["logits"])[0]
    there = probabilities(np.asarray(entry["outputs"]["logits"]))[0]
    ranked = np.sort(there)
    clear = len(there) == 1 or ranked[-1] - ranked[-2] > 0.05
    if clear and here.argmax() != there.argmax():
        raise KzooError(
            f"Golden example {place} ({entry['text']!r:.40}) gets another label than at the "
            "export: this runtime computes otherwise."
        )
