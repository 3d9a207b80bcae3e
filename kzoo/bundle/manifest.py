"""A bundle: the folder that a phone, `kzoo verify` and `kzoo predict` read.

model.tflite     one signature, batch 1; see `convert.export_litert`
tokenizer.json   the `tokenizers` library's file
labels.txt       one label a line, in the order of the logits; classifiers only
report.json      everything that was measured
report.html      the same to look at, one file without links
kzoo.json        the manifest: format, spec, task and its options, signature, quantization, limits,
                 minimum runtime, size and SHA-256 of every other file, golden examples, and last
                 the seal, the SHA-256 of kzoo.json itself with 64 zeros in place of the seal

Format 3 declares what formats 1 and 2 leave to the name of the task:

reads        what a user gives: "text", "pair", "either", "choices" or "prompt"; "marked": a text,
             or two, each read in a way of its own that the task option `readings` says
rule         by which of `answers.RULES` outputs become an answer; null where none does
signatures   {function: {"inputs": {name: {"axes", "dtype", "below"}}, "outputs": {name: axes}}};
             an axis is a size, or the name of one: "batch", "length", "labels", "vocabulary",
             "hidden_dim" (of the spec), or another of any size; ids lie from 0 to under `below`,
             which is 0 where the numbers are no ids

reading      what a client does to a picture or sound before it runs the file, see
             `senses.Sense.reading`; only of these
for          what the file was made for, "gpu"; only where it was
delegates    what delegates leave to the processor, see `litert.gpu.refused`; beside `for`

and `signature` has the tensors of the file as they lie there. Format 2 has no more than the options
of a task, `task_options`, with `reads` among them; format 1 not even these, see `DEFAULTS`.
"""

import hashlib
import json
from pathlib import Path

from ..answers import PROBLEMS, READS, RULES, check_names
from ..errors import KzooError
from ..files import MANIFEST, read_json, sha256, within
from ..values import is_number, is_whole

FORMAT = 3
GOLDEN = 12  # golden examples that an export writes
LEAST_GOLDEN = 6  # and where texts are few
FORMATS = (1, 2, 3)  # that are read
MODEL, TOKENIZER, LABELS = "model.tflite", "tokenizer.json", "labels.txt"
REPORT, PAGE = "report.json", "report.html"
UNSEALED = "0" * 64
FIELDS = {
    "format": int, "kzoo": str, "task": str, "spec": dict, "labels": (list, type(None)),
    "max_length": int, "signature": dict, "quantization": str, "length": (int, type(None)),
    "limits": dict, "minimum_runtime": dict, "files": dict, "golden": list,
    "tolerance": (int, float), "task_options": dict, "reads": str, "rule": (str, type(None)),
    "signatures": dict, "seal": str, "for": str, "delegates": dict,
    "reading": dict,
}  # fmt: skip
OPTIONAL = {"for", "delegates", "reading"}
# Fields by the format that they came with.
SINCE = {"task_options": 2, "reads": 3, "rule": 3, "signatures": 3}
# Of a task that writes of sources, see `generation.rewriter.rewriting_options`.
OF_SOURCES = {
    "start_id": lambda value: is_whole(value, 0),
    "source_length": lambda value: is_whole(value, 1),
    "generation": lambda value: isinstance(value, dict),
    "languages": lambda value: isinstance(value, dict) and _all_ids(value.values()),
    "source_language": lambda value: value is None or isinstance(value, str),
    "target_language": lambda value: value is None or isinstance(value, str),
    "starts_with_code": lambda value: isinstance(value, bool),
}
# One of the two ways in which texts are read that are compared token by token, the first text of a
# pair and the second, see `text.marked.marked_rows`. What is done in the file is nobody's else.
READING = {
    "name": lambda value: isinstance(value, str),
    "marker": lambda value: isinstance(value, str),
    "marker_id": lambda value: is_whole(value, 0),
    "length": lambda value: is_whole(value, 1),
    "fill_id": lambda value: value is None or is_whole(value, 0),
    "attend_to_fill": lambda value: isinstance(value, bool),
    "in_file": lambda value: isinstance(value, list) and _all_strings(value),
}
# What an option may be; a bundle has those of its task, see `TextTask.task_options`.
OPTIONS = {
    "reads": lambda value: value in READS,
    "problem": lambda value: value in PROBLEMS,
    "threshold": lambda value: is_number(value, 0, 1),
    "stride": lambda value: is_whole(value, 0),
    "no_answer": lambda value: value is None or is_number(value),
    "prompts": lambda value: isinstance(value, dict) and _all_strings(value.values()),
    "default_prompt": lambda value: value is None or isinstance(value, str),
    "similarity": lambda value: value in ("cosine", "dot", "euclidean", "manhattan"),
    "readings": lambda value: (
        isinstance(value, list) and len(value) == 2 and all(map(_is_reading, value))
    ),
    **OF_SOURCES,
}
# What a task's options are where a manifest has none. An embedder has a vector for a text: two
# texts in one were never learned.
DEFAULTS = {
    "TextClassifier": {"reads": "either", "problem": "single_label", "threshold": 0.5},
    "TokenClassifier": {"reads": "text"},
    "QuestionAnswering": {"reads": "pair", "no_answer": None},
    "TextEmbedder": {
        "reads": "text", "prompts": {}, "default_prompt": None, "similarity": "cosine",
    },
}  # fmt: skip
# The rule by which a task answered that a manifest only names; a classifier's is its problem.
OLD_RULES = {
    "TokenClassifier": "entities", "QuestionAnswering": "span", "TextEmbedder": "embedding",
    "MultipleChoice": "choice", "MaskedLM": "candidates",
}  # fmt: skip
ENTRY = {"bytes", "sha256"}  # what is written of a file


def is_of_finder(path):
    """Whether macOS put a file there, which is no part of a bundle, in a folder or in a zip.

    What Finder keeps of a folder, and what goes with a file where a disk or a zip can't hold it;
    `path` is as seen from the bundle's folder.
    """
    parts = Path(path).parts
    return "__MACOSX" in parts or parts[-1] == ".DS_Store" or parts[-1].startswith("._")


def write_manifest(folder, manifest):
    """Write `kzoo.json` over the files that lie in the folder, and seal it."""
    folder = Path(folder)
    manifest = {
        **manifest,
        "files": {
            path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)}
            for path in sorted(folder.iterdir())
            if path.name != MANIFEST and not is_of_finder(path.name)
        },
        "seal": UNSEALED,
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    seal = hashlib.sha256(text.encode("utf-8")).hexdigest()
    (folder / MANIFEST).write_text(resealed(text, UNSEALED, seal), encoding="utf-8")


def read_manifest(folder):
    """The manifest of a bundle, after its seal and format were checked.

    It has all `task_options`, with `reads` among them, and `reads` and `rule` whatever its format;
    `signatures` is None where it declares none.

    Raises:
        KzooError: if the folder is no bundle, of another format, or its manifest was changed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise KzooError(f"{folder} is no folder: a bundle that `kzoo export` wrote is expected.")
    path = folder / MANIFEST
    manifest = read_json(path, "a bundle's manifest")
    received = manifest.get("format")
    if received is None:
        raise KzooError(f"{path} names no format: a bundle that `kzoo export` wrote is expected.")
    if received not in FORMATS or isinstance(received, bool):
        raise KzooError(
            f"{path} is of format {received!r}; this kzoo reads {FORMATS[0]} to {FORMATS[-1]}: "
            "export anew, or take the kzoo that wrote it."
        )
    seal = str(manifest.get("seal"))
    text = path.read_bytes().decode("utf-8")
    unsealed = resealed(text, seal, UNSEALED)
    fields = {name for name in FIELDS if SINCE.get(name, 1) <= received}
    fields -= OPTIONAL - set(manifest)
    if hashlib.sha256(unsealed.encode("utf-8")).hexdigest() != seal or set(manifest) != fields:
        raise KzooError(f"{path} was changed after the export: its seal doesn't fit; export anew.")
    wrong = [
        name for name in FIELDS if name in fields and not isinstance(manifest[name], FIELDS[name])
    ]
    for name, entry in manifest["files"].items() if not wrong else ():
        within(folder, name, path)
        if not isinstance(entry, dict) or set(entry) != ENTRY:
            wrong = ["files"]
    manifest = manifest if wrong else _with_declarations(path, manifest)
    labels = manifest["labels"]
    if not wrong and _names_labels(manifest["rule"]) and not labels:
        wrong = ["labels"]
    if not wrong and labels and not all(isinstance(label, str) for label in labels):
        wrong = ["labels"]
    if wrong:
        raise KzooError(
            f"{path} has {wrong[0]} {manifest[wrong[0]]!r:.60}, as no export writes it: export "
            "anew."
        )
    if labels:
        check_names(labels, f"labels in {path}")
    return manifest


def _with_declarations(path, manifest):
    """A manifest of any format with all that format 3 declares, checked."""
    if manifest["format"] < SINCE["rule"]:
        given = manifest.get("task_options", {})
        options = {"reads": "either", **DEFAULTS.get(manifest["task"], {}), **given}
        rule = OLD_RULES.get(manifest["task"], options.get("problem"))
        manifest = {**manifest, "reads": options["reads"], "rule": rule, "signatures": None}
    else:
        options = {**manifest["task_options"], "reads": manifest["reads"]}
        if manifest["rule"] not in (None, *RULES):
            raise KzooError(
                f"{path} answers by the rule {manifest['rule']!r:.60}; expected one of "
                f"{', '.join(RULES)}: take the kzoo that wrote it."
            )
    _check_options(path, options)
    if manifest["rule"] in PROBLEMS and options.get("problem") != manifest["rule"]:
        raise KzooError(
            f"{path} answers by {manifest['rule']} and has the problem "
            f"{options.get('problem')!r:.60}; expected the same: export anew."
        )
    has_ways, of_tokens = "readings" in options, manifest["rule"] == "late_interaction"
    if not (options["reads"] == "marked") == has_ways == of_tokens:
        raise KzooError(
            f"{path} answers by {manifest['rule']} and reads {options['reads']!r:.40} "
            f"with{'out' * (not has_ways)} readings, as no export writes it: export anew."
        )
    if manifest["rule"] == "rewriting":
        _check_of_sources(path, options)
    return {**manifest, "task_options": options}


def _names_labels(rule):
    """Whether outputs have a number for each label."""
    return rule is not None and any("labels" in axes for axes in RULES[rule].outputs.values())


def _check_options(path, options):
    for name, value in options.items():
        if name not in OPTIONS:
            raise KzooError(
                f"{path} has the task option {name!r}; expected {', '.join(OPTIONS)}: take the "
                "kzoo that wrote it."
            )
        if not OPTIONS[name](value):
            raise KzooError(
                f"{path} has the task option {name} {value!r:.60}, as no export writes it: export "
                "anew."
            )
    prompt = options.get("default_prompt")
    if prompt is not None and prompt not in options["prompts"]:
        raise KzooError(
            f"{path} names the prompt {prompt!r:.60}; expected one of "
            f"{', '.join(options['prompts']) or 'its prompts, and it has none'}: export anew."
        )


def _check_of_sources(path, options):
    """What writes of sources has all of their options, which fit each other."""
    # Which needs a tokenizer's library, as no reader of pictures and labels does.
    from ..generation.options import Generation
    from ..generation.writer import check_names

    missing = [name for name in OF_SOURCES if name not in options]
    if missing:
        raise KzooError(f"{path} has no task option {missing[0]}: export anew.")
    for name in ("source_language", "target_language"):
        if options[name] not in (None, *options["languages"]):
            raise KzooError(
                f"{path} has the {name} {options[name]!r:.60}; expected one of "
                f"{', '.join(options['languages']) or 'its languages, and it has none'}: export "
                "anew."
            )
    try:
        check_names(options["generation"])
        Generation(**options["generation"])
    except KzooError as error:
        raise KzooError(f"{path} says how to write: {error}") from None


def _is_reading(value):
    return (
        isinstance(value, dict)
        and set(value) == set(READING)
        and all(fits(value[name]) for name, fits in READING.items())
    )


def _all_ids(values):
    return all(is_whole(value, 0) for value in values)


def _all_strings(values):
    return all(isinstance(value, str) for value in values)


def check_files(folder, manifest, names=None):
    """Raise KzooError unless the files (all by default) are there as they were written."""
    folder = Path(folder)
    for name, entry in manifest["files"].items():
        path = folder / name
        if names is not None and name not in names:
            continue
        if not path.is_file():
            raise KzooError(f"{path} is missing from the bundle: export anew.")
        size = path.stat().st_size
        if size != entry["bytes"]:
            raise KzooError(
                f"{path} was changed after the export: it has {size} bytes, {entry['bytes']} were "
                "written; export anew."
            )
        if sha256(path) != entry["sha256"]:
            raise KzooError(
                f"{path} was changed after the export: its SHA-256 is not the one in {MANIFEST}; "
                "export anew."
            )


def resealed(text, old, new):
    """The manifest's text with another seal, which is the last value in it."""
    head, mark, tail = text.rpartition(f'"seal": "{old}"')
    return f'{head}"seal": "{new}"{tail}' if mark else text
