"""Re-checking a bundle, on LiteRT alone: files, audit, golden examples, limits."""

import contextlib
from pathlib import Path

import numpy as np

from ..answers import PROBLEMS, RULES, class_scores, described
from ..errors import KzooError
from ..files import read_json, sha256
from ..litert.audit import KINDS, audit, check_audit, check_quantization
from ..litert.gpu import TARGETS, check_taken, told
from ..spec import Spec
from ..values import an
from . import continuation, limits
from .kinds import kind_of
from .limits import BETTER_ON_LABELLED
from .manifest import (
    LABELS,
    LEAST_GOLDEN,
    MANIFEST,
    MODEL,
    PAGE,
    REPORT,
    check_files,
    is_of_finder,
    read_manifest,
)
from .parity import compared_on
from .senses import sense_of
from .towers import TOGETHER, is_of_towers, read_together, towers_in

ROUNDED = 1e-4  # how far figures may lie apart that are one but for rounding and padding
# What a backbone gives; a manifest before format 3 declares nothing.
BACKBONE = {
    "sequence_output": ("batch", "length", "hidden_dim"), "pooled_output": ("batch", "hidden_dim")
}  # fmt: skip


def verify_bundle(folder):
    """Check a bundle anew, as it lies there.

    Its seal and format; size and SHA-256 of every file; the audit of `model.tflite`, and what the
    manifest says of the file: signature, runtime, quantization, task, labels, the sizes of the
    spec; the golden examples, tokenized and run again; that the report tells of this file and
    that its figures follow from each other; and every limit, against what is measured here (size,
    partitions) and what the report holds (the rest).

    The seal notices accidents; it is no signature, and who rewrites manifest and report in accord
    with each other can write a new one. What needs the Keras model or labelled texts (distance,
    accuracy, latency), the parts of the spec that leave no mark on a file (family, heads, dropout)
    and the page `report.html` are believed: export anew where you don't trust who exported.

    Returns:
        A dict with `folder`, `task`, `reads`, `quantization`, `minimum_runtime` and `checks`, a
        list of {"check", "found"} in the order in which they passed.

    Raises:
        KzooError: one sentence on the first check that fails.
    """
    folder = Path(folder)
    if is_of_towers(folder):
        return _verify_towers(folder)
    manifest = read_manifest(folder)
    checks = []

    def passed(check, result):
        checks.append({"check": check, "found": result})

    passed("kzoo.json", f"format {manifest['format']}, the seal fits")
    check_files(folder, manifest)
    _check_no_others(folder, manifest)
    total = sum(entry["bytes"] for entry in manifest["files"].values())
    passed("files", f"{len(manifest['files'])} as written, {total / 1e6:.1f} MB")
    _check_labels(folder, manifest)

    limits.check_names(manifest["limits"], f"limits in {folder / MANIFEST}")
    audited = audit(folder / MODEL)
    check_audit(audited, manifest["limits"].get("partitions", 1))
    for name, key in (("signature", "signatures"), ("minimum_runtime", "minimum_runtime")):
        if manifest[name] != audited[key]:
            raise KzooError(
                f"{folder / MANIFEST} says of {name} {manifest[name]}; the file has "
                f"{audited[key]}: export anew."
            )
    runtime = audited["minimum_runtime"]
    passed(
        "audit",
        f"{sum(audited['operators'].values())} built-in operators, {audited['partitions']} XNNPACK "
        f"partition, LiteRT {runtime['litert']} or newer",
    )
    _check_target(folder, manifest, audited)
    passed("GPU", told(audited["gpu"]))
    _check_quantization(folder, manifest, audited)
    _check_shapes(folder, manifest, audited)
    kinds = " and ".join(sorted(audited["weight_bytes"]))
    sense = sense_of(manifest["reads"])
    passed("model", f"{manifest['task']} as {manifest['quantization']}: {kinds}")
    with _as_written(folder / MANIFEST):
        worst = _run_golden(folder, manifest)
    passed(
        "golden examples",
        f"{len(manifest['golden'])} {sense.again_words} and run again, "
        + ("equal to the digit" if worst == 0 else f"off by at most {100 * worst:.2g} %")
        + f" ({100 * manifest['tolerance']:.3g} % is allowed)",
    )
    with _as_written(folder / REPORT):
        rows = _check_report(folder, manifest, audited)
    passed("report", "of this file, and its figures follow from each other")
    for row in rows:
        sign = ">=" if limits.KNOWN[row["limit"]][0] else "<="
        passed(row["limit"], f"{row['measured']:.6g} {sign} {row['bound']:.6g} ({row['on']})")
    return {
        "folder": str(folder),
        "task": manifest["task"],
        "reads": manifest["reads"],
        "quantization": manifest["quantization"],
        "minimum_runtime": runtime,
        "checks": checks,
    }


def _verify_towers(folder):
    """`verify_bundle` of a bundle of towers: each, and what holds them together."""
    together, towers = read_together(folder), towers_in(folder)
    names = {path.name for path in folder.iterdir() if not is_of_finder(path.name)}
    others = sorted(names - {TOGETHER, REPORT, PAGE, *towers})
    if others:
        raise KzooError(f"{folder} holds {others[0]}, which no export writes: take it out.")
    path = folder / REPORT
    if not path.is_file() or sha256(path) != together["report"]:
        raise KzooError(
            f"{path} was changed after the export: its SHA-256 is another; export anew."
        )
    results = {name: verify_bundle(folder / name) for name in towers}
    checks = [{"check": TOGETHER, "found": "its seal fits, and those of all towers"}]
    for name, result in results.items():
        checks += [{**row, "check": f"{name}: {row['check']}"} for row in result["checks"]]
    reads = next(result["reads"] for name, result in results.items() if name != "text")
    return {**results["text"], "folder": str(folder), "task": together["task"], "reads": reads,
            "checks": checks}  # fmt: skip


def _check_no_others(folder, manifest):
    known = {MANIFEST, *manifest["files"]}
    names = {path.name for path in folder.iterdir() if not is_of_finder(path.name)}
    others = sorted(names - known)
    if others:
        raise KzooError(f"{folder / others[0]} is not one of the bundle's files: take it away.")
    needed = {MODEL, *sense_of(manifest["reads"]).files, REPORT, PAGE}
    missing = sorted(needed - set(manifest["files"]))
    if missing:
        raise KzooError(f"{folder} was written without {missing[0]}: export anew.")


def _check_target(folder, manifest, audited):
    """A file for a GPU is one that its delegate takes, as it did at the export."""
    if "for" not in manifest and "delegates" not in manifest:
        return
    if manifest.get("for") not in TARGETS or manifest.get("delegates") != audited["gpu"]:
        raise KzooError(
            f"{folder / MANIFEST} says that the file is for {manifest.get('for')!r:.40} and that "
            f"delegates leave {manifest.get('delegates')}; expected {audited['gpu']}, as the file "
            "has it: export anew."
        )
    check_taken(audited["gpu"])


def _check_labels(folder, manifest):
    path = folder / LABELS
    text = path.read_bytes().decode("utf-8") if path.is_file() else ""
    lines = text.removesuffix("\n").split("\n") if text else []
    if lines != (manifest["labels"] or []):
        raise KzooError(
            f"{path} holds {lines}; the manifest says {manifest['labels']}: export anew."
        )


def _check_quantization(folder, manifest, audited):
    """The types of the weights, and the tolerance that goes with them."""
    path, quantization = folder / MANIFEST, manifest["quantization"]
    if quantization not in KINDS:
        raise KzooError(
            f"{path} says quantization {quantization!r}; known: {', '.join(KINDS)}: export anew."
        )
    check_quantization(audited, quantization)
    usual = limits.TOLERANCE[quantization]
    if not 0 <= manifest["tolerance"] <= usual:
        raise KzooError(
            f"{path} lets golden examples lie {manifest['tolerance']:.3g} off; for {quantization} "
            f"at most {usual:.3g} is expected: export anew."
        )


def _check_shapes(folder, manifest, audited):
    """What goes into the file and comes out of it is what task, labels and spec ask for."""
    path = folder / MANIFEST
    spec = Spec.from_dict(manifest["spec"]).head
    embedding = {"vocabulary_size": 0, "num_segments": 0, "dim": 0, "rank": 0, **spec.embedding}
    rows = embedding["vocabulary_size"]
    width = embedding["rank"] or embedding["dim"] or spec.hidden_dim
    if rows and [rows, width] not in audited["tables"]:
        raise KzooError(
            f"{path} has a spec of {rows} tokens by {width}; the file looks tokens up in "
            f"{' and '.join(f'{rows} by {width}' for rows, width in audited['tables'])}: export "
            "anew."
        )
    if not 2 <= manifest["max_length"] <= spec.max_sequence_length:
        raise KzooError(
            f"{path} says max_length {manifest['max_length']}; 2 to {spec.max_sequence_length} of "
            "its spec is expected: export anew."
        )
    _check_source(path, manifest)
    length = -1 if manifest["length"] is None else manifest["length"]
    rule = manifest["rule"]
    sizes = {
        "past_length": manifest["max_length"],  # that many tokens fit a cache
        "labels": len(manifest["labels"] or []) + (RULES[rule].beside if rule else 0),
        "length": length,
        "hidden_dim": spec.hidden_dim,
        "vocabulary": rows,
    }
    with _as_written(path):
        declared = manifest["signatures"] or _undeclared(manifest, spec, embedding)
        if set(declared) != set(audited["signatures"]):
            raise KzooError(
                f"{path} declares the functions {sorted(declared)}; the file has "
                f"{sorted(audited['signatures'])}: export anew."
            )
        _check_rule(path, manifest, [sides["outputs"] for sides in declared.values()])
        for name, sides in declared.items():
            _check_ids(path, manifest, embedding, sides["inputs"])
            _check_sides(path, manifest, sides, audited["signatures"][name], sizes)


def _check_source(path, manifest):
    """A source, where one is read, is no longer than its encoder has places."""
    stated = manifest["task_options"].get("source_length")
    if stated is None:
        return
    towers = Spec.from_dict(manifest["spec"]).towers
    places = towers.get("question", towers["encoder"]).max_sequence_length
    most = min(places, manifest["length"] or places)
    if stated > most:
        raise KzooError(
            f"{path} says source_length {stated}; 1 to {most} is expected: export anew."
        )


def _undeclared(manifest, spec, embedding):
    """What a manifest before format 3 would have declared: by its rule, and the inputs of texts."""
    ids = {"token_ids": embedding["vocabulary_size"], "padding_mask": 0}
    if embedding["num_segments"] > 1:
        ids["segment_ids"] = embedding["num_segments"]
    inputs = {
        name: {"axes": ("batch", "length"), "dtype": "int32", "below": below}
        for name, below in ids.items()
    }
    (function, file), *_ = manifest["signature"].items()
    outputs = {}  # A class of the user's own may return anything.
    if manifest["rule"]:
        outputs = RULES[manifest["rule"]].outputs
    elif manifest["task"].lower() == spec.family:
        outputs = {
            k: v for k, v in BACKBONE.items() if k in file["outputs"] or k == "sequence_output"
        }
    return {function: {"inputs": inputs, "outputs": outputs}}


def _check_ids(path, manifest, embedding, inputs):
    """Ids go up to the ends of the spec's tables."""
    below = {name: entry["below"] for name, entry in inputs.items() if entry["below"]}
    sizes = {"token_ids": embedding["vocabulary_size"], "segment_ids": embedding["num_segments"]}
    # Those of an encoder and a decoder begin with its name.
    towers = [name.removesuffix("token_ids") for name in inputs if name.endswith("token_ids")]
    expected = {f"{t}{name}": size for t in towers for name, size in sizes.items() if size > 1}
    if towers and below != expected:
        raise KzooError(
            f"{path} says that this is {an(manifest['task'])}, whose inputs are ids below {below}; "
            f"its spec has {expected}: export anew."
        )


def _check_rule(path, manifest, functions):
    """The rule finds the outputs that it reads among those of a function."""
    needed = RULES[manifest["rule"]].outputs if manifest["rule"] else {}
    missing = {name: list(axes) for name, axes in needed.items()}
    if not any(
        all(list(outputs.get(name, ())) == axes for name, axes in missing.items())
        for outputs in functions
    ):
        raise KzooError(
            f"{path} says that this answers by {manifest['rule']}, which reads {missing}; the "
            f"outputs are {' and '.join(map(str, functions))}: export anew."
        )


def _check_sides(path, manifest, declared, file, sizes):
    """The file's inputs and outputs have the names, types and sizes that are declared."""
    inputs = {name: entry["axes"] for name, entry in declared["inputs"].items()}
    for side, expected in (("inputs", inputs), ("outputs", declared["outputs"])):
        if side == "outputs" and not expected:
            continue  # Nothing is said of them.
        actual = {name: tensor["shape"] for name, tensor in file[side].items()}
        for name, shape in actual.items():  # A size that nothing else tells is the file's own.
            for axis, size in zip(expected.get(name, ()), shape, strict=False):
                if isinstance(axis, str) and axis != "batch":
                    sizes.setdefault(axis, size)
        wanted = {
            name: [sizes.get(axis, axis) for axis in axes[1:]] for name, axes in expected.items()
        }
        given = {name: shape[1:] for name, shape in actual.items()}
        if given != wanted or any(shape[0] not in (1, -1) for shape in actual.values()):
            raise KzooError(
                f"{path} says that this is {an(manifest['task'])}, whose {side} are {wanted} "
                f"behind the batch (-1: any length); the file has {given}: export anew."
            )
    for name, entry in declared["inputs"].items():
        if entry["dtype"] != file["inputs"][name]["type"]:
            raise KzooError(
                f"{path} says that {name} is {entry['dtype']}; the file has "
                f"{file['inputs'][name]['type']}: export anew."
            )


def _check_report(folder, manifest, audited):
    """Whether the report is of this file; the limits with all that was measured for them."""
    path = folder / REPORT
    report = read_json(path, "a bundle's report")
    stated = {name: report[name] for name in ("task", "quantization", "length", "labels", "family")}
    stated |= {"bytes": report["sizes"]["file"]}
    true = {name: manifest[name] for name in ("task", "quantization", "length", "labels")}
    true |= {"family": manifest["spec"]["family"], "bytes": audited["bytes"]}
    for name in ("bytes", "operators", "signatures", "parameters", "weight_bytes"):
        stated[f"audit {name}"], true[f"audit {name}"] = report["audit"][name], audited[name]
    for name, value in true.items():
        if stated[name] != value:
            raise KzooError(f"{path} says {name} {stated[name]!r:.60}; {value!r:.60} is true.")
    _check_examples(path, report, manifest)
    parity, evaluation = report["parity"], report["evaluation"]
    _check_figures(path, parity, parity["texts"])
    own = {"megabytes": audited["bytes"] / 1e6, "partitions": audited["partitions"]}
    where = compared_on(parity, sense_of(manifest["reads"]))
    sources = [limits.on("here", own), limits.on(where, parity)]
    if evaluation:
        _check_figures(path, evaluation, evaluation["examples"])
        for name in {"accuracy", "f1", "exact_match"} & set(evaluation):
            drop = evaluation[f"{name}_keras"] - evaluation[name]
            _expect(path, f"{name}_drop", evaluation[f"{name}_drop"], drop)
        if confusion := evaluation.get("confusion"):
            right = sum(row[place] for place, row in enumerate(confusion))
            _expect(path, "accuracy", evaluation["accuracy"], right / evaluation["examples"])
        # Where texts have labels, agreement is measured on them alone.
        for name in BETTER_ON_LABELLED:
            sources[-1].pop(name, None)
        sources.append(limits.on(evaluation["file"], evaluation))
    rows = limits.held(manifest["limits"], sources)
    stated, true = (
        sorted((row["limit"], row["bound"], row["measured"]) for row in some)
        for some in (report["limits"], rows)
    )
    if stated != true:
        odd = (row for row in [*stated, *true] if stated.count(row) != true.count(row))
        limit, bound, value = next(odd)
        raise KzooError(
            f"{path} has other rows of limits than its own figures and {MANIFEST} give, "
            f"such as that of {limit}, {value:.6g} against {bound:.6g}: export anew."
        )
    return rows


def _check_examples(path, report, manifest):
    """The examples that the report shows are the golden ones, with the answers that they had."""
    examples, golden, sense = report["examples"], manifest["golden"], sense_of(manifest["reads"])
    expected = [sense.described(entry) for entry in golden]
    shown = [{k: v for k, v in entry.items() if k not in ("file", "keras")} for entry in examples]
    if shown != expected:
        raise KzooError(
            f"{path} shows {len(examples)} examples; they are not the {len(golden)} golden ones "
            f"of {MANIFEST}: export anew."
        )
    if manifest["rule"] not in PROBLEMS:
        return
    options, labels, parity = manifest["task_options"], manifest["labels"], report["parity"]
    is_values = options["problem"] == "regression"
    if is_values:
        rounded = ROUNDED * parity["spread"]
        allowed = {"file": 0, "keras": parity["value_difference_max"] * parity["spread"]}
    else:
        rounded = ROUNDED
        sources = [entry for entry in (parity, report["evaluation"]) if entry]
        allowed = {"file": 0, "keras": max(e["probability_difference_max"] for e in sources)}
    allowed["keras"] = max(allowed["keras"], report.get("golden_difference") or 0)
    for entry, shown in zip(golden, examples, strict=True):
        row = class_scores(np.asarray(entry["outputs"]["logits"]), options["problem"])[0]
        true = dict(zip(labels, row, strict=True))
        for side, distance in allowed.items():
            for label, score in _shown_scores(shown[side]).items():
                if not abs(score - true[label]) <= distance + rounded:
                    raise KzooError(
                        f"{path} gives {sense.title(entry)} the {'value' * is_values or 'score'} "
                        f"{score:.4f} in {side}; by the golden outputs {true[label]:.4f} is in the "
                        f"file, and at most {distance:.2g} lies between: export anew."
                    )
        if options["problem"] == "multi_label" and (
            shown["file"]["labels"] != described(row, labels, options)["labels"]
        ):
            raise KzooError(
                f"{path} gives {sense.title(entry)} other labels than the golden outputs: export "
                "anew."
            )


def _shown_scores(answer):
    """The numbers in a classifier's answer by label; of one label a text, that of it alone."""
    if "label" in answer:
        return {answer["label"]: answer["score"]}
    return answer.get("values") or answer["scores"]


def _check_figures(path, figures, count):
    """Whether figures over texts follow from those of each text, as far as these are there."""
    if "cosines" in figures:
        cosines = figures["cosines"]
        _expect(path, "texts", len(cosines), count)
        _expect(path, "cosine", figures["cosine"], np.mean(cosines))
        _expect(path, "cosine_min", figures["cosine_min"], np.min(cosines))
    if "continuations" in figures:
        pairs = figures["continuations"]
        _expect(path, "texts", len(pairs), count)
        _expect(path, "tokens_equal", figures["tokens_equal"], continuation.equal_share(pairs))
    if "perplexity" in figures:
        ratio = figures["perplexity"] / figures["perplexity_keras"]
        _expect(path, "perplexity_ratio", figures["perplexity_ratio"], ratio)
    if "values" in figures:
        pairs = np.asarray(figures["values"], "float64")
        _expect(path, "texts", len(pairs), count)
        off = np.abs(pairs[:, 0] - pairs[:, 1]) / figures["spread"]
        _expect(path, "value_difference", figures["value_difference"], off.mean())
        _expect(path, "value_difference_max", figures["value_difference_max"], off.max())
    if "probabilities" in figures:
        pairs = np.asarray(figures["probabilities"], "float64")
        _expect(path, "texts", len(pairs), count)
        off = np.abs(pairs[:, 0] - pairs[:, 1])
        # Those of the likeliest label; another one's may be larger.
        for name, least in (("", off.mean()), ("_max", off.max())):
            name = f"probability_difference{name}"
            _expect(path, name, figures[name], max(least, figures[name]))


def _expect(path, name, stated, true):
    if not abs(stated - true) <= ROUNDED * 1e-3:
        raise KzooError(
            f"{path} says {name} {stated:.6g}; by the figures of its texts {true:.6g} is expected: "
            "export anew."
        )


@contextlib.contextmanager
def _as_written(path):
    """Whoever rewrote a file may have left out anything."""
    try:
        yield
    except KzooError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise KzooError(
            f"{path} is not as an export writes it ({type(error).__name__}: {error}): export anew."
        ) from None


def _run_golden(folder, manifest):
    """The largest distance of a golden output, as a share of its largest number in all examples."""
    if len(manifest["golden"]) < LEAST_GOLDEN:
        raise KzooError(
            f"{folder / MANIFEST} holds {len(manifest['golden'])} golden examples; at least "
            f"{LEAST_GOLDEN} are expected: export anew."
        )
    processor = sense_of(manifest["reads"]).load(folder)
    return kind_of(manifest["rule"]).check_golden(folder, processor, manifest)
