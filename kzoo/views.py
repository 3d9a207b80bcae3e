"""What the commands show: plain data made into tables, and the flat view behind `kzoo show`.

Each view takes the data that `--json` would print and returns what rich prints. rich is imported
where a table is made, so that `kzoo --help` and `--json` do without it.
"""

import inspect
import math
from pathlib import Path

from .bundle.limits import greedy_tokens
from .bundle.senses import sense_of
from .data.examples import count_of
from .errors import KzooError
from .litert import gpu
from .metrics import sign_of

HERE = Path(__file__).parent
LONGEST_TEXT = 200  # characters of a text beside its answer
LONGEST_PATH = 48  # of a path, whose end says most
SHOWN_CLASSES = 100  # labels of an evaluation
SHOWN_WRONG = 10  # wrong answers that a screen shows
SPEEDS = (">float32", ">file", ">faster")


def table(title, columns, rows):
    """A table under its title; a column whose name begins with `>` is set to the right."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, show_header=any(columns), show_edge=False)
    for place, column in enumerate(columns):
        right = column.startswith(">")
        made.add_column(
            column.removeprefix(">"),
            justify="right" if right else "left",
            no_wrap=right or place == 0,
        )
    for row in rows:
        made.add_row(*[cell if isinstance(cell, Text) else _cell(cell) for cell in row])
    return Group(Text(title, style="bold"), made) if title else made


def listing(data):
    """`kzoo list`: the presets, then the recipes that start from them."""
    shown = [
        table(
            "Presets",
            ["name", ">parameters", "weights", "summary"],
            [
                [p["name"], f"{p['parameters']:,}", p["weights"], p["summary"]]
                for p in data["presets"]
            ],
        )
    ]
    if data["recipes"]:
        rows = [
            [r["name"], r.get("preset"), r.get("quantization", "int8")] for r in data["recipes"]
        ]
        shown.append(table("Recipes", ["name", "preset", "quantization"], rows))
    return shown


def flat(source):
    """The flat view of a model as data: of a preset's folder, without allocating its weights.

    What another library wrote is read. Several networks as one have `towers`, in the place of
    `spec` and `blocks`.
    """
    from . import presets
    from .checkpoints import formats
    from .files import read_json
    from .keras_hooks import abstract_build
    from .models import family_of
    from .network import parameters_of, weights_by_path

    found, path = formats.recognised(source), Path(source)
    if found or path.suffix == ".keras" and path.is_file():
        model = presets.load(source)
        if not hasattr(model, "spec"):
            raise KzooError(
                f"{source} is a {type(model).__name__} of Keras; expected a backbone or a task of "
                "kzoo: its summary() shows what it is."
            )
        spec, name = model.spec, path.name
        about = {"summary": spec.summary, "weights": True}
        about["format"] = found.format.name if found else "keras"
        about["known_by"] = found.why if found else "a file that save() wrote (.keras)"
    else:
        folder = presets.find(source)
        spec, name = presets.read_spec(folder), folder.name
        model = abstract_build(lambda: presets.empty(folder))
        about = read_json(folder / presets.CARD, "the preset's card")
    shape = _shown_spec(spec)
    if getattr(model, "head", None) is not None:  # A task on two towers has none.
        shape.setdefault("slots", []).append(_held("head", model.head_slot, type(model.head)))
    tensors = [
        {"path": path, "shape": list(weight.shape), "numbers": math.prod(weight.shape)}
        for path, weight in weights_by_path(model).items()
    ]
    return {
        "name": name,
        **about,
        "model": {"family": spec.family, **_where(family_of(spec))},
        "task": {"labels": model.labels, **_where(type(model))} if hasattr(model, "head") else None,
        "parameters": parameters_of(model),
        **shape,
        "tensors": tensors,
    }


def _shown_spec(spec):
    """What a spec says: its sizes, what its slots hold and the steps of its blocks, by tower."""
    from . import parts
    from .spec import Towers

    if isinstance(spec, Towers):
        towers = {name: _shown_spec(tower) for name, tower in spec.towers.items()}
        return {"towers": towers, "options": spec.options}
    fields, slots, steps = spec.to_dict(), [], {}
    for slot in (*spec.SLOTS, *(name for name in spec.MAYBE if name in fields)):
        held = fields.pop(slot)
        for each in held if isinstance(held, list) else [held]:  # Taken in turn by the blocks.
            cls, _ = parts.resolve(spec.MAYBE.get(slot, slot), each)
            slots.append(_held(slot, each, cls))
    for step, block in enumerate(spec.schedule):
        steps.setdefault(block, []).append(step)
    del fields["family"]
    blocks = [{"block": f"block_{b}", "steps": at} for b, at in sorted(steps.items())]
    return {"spec": fields, "slots": slots, "blocks": blocks}


def _held(slot, held, cls):
    """What a slot holds: the part's kind and options, and where it stands."""
    options = {"kind": held} if isinstance(held, str) else dict(held)
    return {"slot": slot, "kind": options.pop("kind"), "options": options, **_where(cls)}


def flat_view(data):
    """`kzoo show`."""
    head = [["format", data["known_by"]]] if "known_by" in data else []
    head.append(["family", f"{data['model']['class']}  {_place(data['model'])}"])
    if data["task"]:
        head.append(["task", f"{data['task']['class']}  {_place(data['task'])}"])
        head.append(["labels", ", ".join(data["task"]["labels"] or []) or "none"])
    head += [
        ["parameters", f"{data['parameters']:,}"],
        ["weights", "there" if data.get("weights") else "none: starts at random"],
    ]
    tensors = [[t["path"], _shape(t["shape"]), f"{t['numbers']:,}"] for t in data["tensors"]]
    return [
        table(f"{data['name']}: {data['summary']}", ["", ""], head),
        *_spec_view(data, ""),
        table("Tensors", ["path", "shape", ">numbers"], tensors),
    ]


def _spec_view(data, of):
    """The tables of a spec, tower by tower."""
    shown = []
    for name, tower in data.get("towers", {}).items():
        shown += _spec_view(tower, f"{of} of the {name}")
    if "spec" in data:
        spec = {**data["spec"], "schedule": _span(data["spec"]["schedule"])}
        if not spec["head_dim"]:
            spec["head_dim"] = f"{spec['hidden_dim'] // spec['num_heads']} (hidden_dim / num_heads)"
        if not spec["num_key_value_heads"]:
            spec["num_key_value_heads"] = f"{spec['num_heads']} (num_heads)"
        spec["norms"] = ", ".join(spec["norms"]) or "none"
        shared = [entry for entry in data["blocks"] if len(entry["steps"]) > 1]
        sharing = "; ".join(f"steps {_span(e['steps'])} share {e['block']}" for e in shared)
        steps = len(data["spec"]["schedule"])
        spec["steps"] = f"{steps}; {sharing or 'no step shares weights with another'}"
        shown.append(table(f"Sizes{of}", ["field", "value"], list(spec.items())))
    slots = [
        [s["slot"], s["kind"], _options(s["options"]), s["class"], _place(s)]
        for s in data.get("slots", ())
    ]
    columns = ["slot", "kind", "options", "class", "file"]
    return [*shown, table(f"Slots{of}", columns, slots)] if slots else shown


def converted(data):
    """`kzoo convert`."""
    rows = [["format", data["known_by"]]] if data["known_by"] else []
    rows.append(["model", f"{data['model']}, {data['family']}"])
    rows += [["tensors", f"{data['tensors']}"], ["parameters", f"{data['parameters']:,}"]]
    files = [[name, size_of(count)] for name, count in data["files"].items()]
    return [
        table(f"{data['source']} as {data['to']}: {data['destination']}", ["", ""], rows),
        table("", ["file", ">size"], files),
    ]


def trained(data):
    """`kzoo train`: the metrics by epoch, and what was written."""
    names = list(data["history"])
    rows = [
        [epoch + 1, *(f"{data['history'][name][epoch]:.4f}" for name in names)]
        for epoch in range(data["epochs"])
    ]
    files = [[name, size_of(count)] for name, count in data["files"].items()]
    return [
        table(f"{data['model']}, {data['family']}: {data['output']}",
              [">epoch", *(f">{name}" for name in names)], rows),
        table("", ["file", ">size"], files),
    ]  # fmt: skip


def tuned(data):
    """`kzoo tune`: the trials, the best first, and what was written."""
    sign = sign_of(data["objective"])
    done = [trial for trial in data["trials"] if trial["value"] is not None]
    failed = [trial for trial in data["trials"] if trial["value"] is None]
    rows = []
    for trial in sorted(done, key=lambda trial: -sign * trial["value"]) + failed:
        values = [f"{v:.3g}" if isinstance(v, float) else str(v) for v in trial["values"].values()]
        told = "failed" if trial["value"] is None else f"{trial['value']:.4f}"
        seconds = "" if trial["seconds"] is None else f"{trial['seconds']:.0f}"
        rows.append([trial["name"], *values, str(trial["epochs"] or ""), seconds, told])
    names = [f">{key.replace('_', ' ')}" for key in data["space"]]
    objective = f">{data['objective'].replace('_', ' ')}"
    files = [[name, size_of(count)] for name, count in data["files"].items()]
    return [
        table(f"{data['algorithm']}, {len(rows)} trials, the best: {data['output']}",
              ["trial", *names, ">epochs", ">seconds", objective], rows),
        table("", ["file", ">size"], files),
    ]  # fmt: skip


def step_line(step):
    """A step that `kzoo compress RECIPE` has done, as one line."""
    options = _asked(step["options"])
    title = f"Step {step['number']} of {step['of']}, {step['step']}{options and f' ({options})'}"
    time = "done before" if step["done_before"] else f"{step['seconds']:g} s"
    return f"{title}: {step['before']:,} -> {step['after']:,} parameters, {time}"


def _asked(step):
    """The options of a step; of those that are long their names alone."""
    return ", ".join(
        key if isinstance(value, (dict, list)) else f"{key}={value}"
        for key, value in step.items()
        if key != "step"
    )


def compressed(data):
    """`kzoo compress RECIPE`: what each step left, and what is right before and after."""
    before, rows = data["parameters"], []
    for row, step in zip(data["steps"], data["recipe"]["steps"], strict=True):
        left, seconds = row["parameters"], f"{row['seconds']:g}"
        rows.append([row["step"], _asked(step), f"{left:,}", f"{left / before:.1%}", seconds])
    shown = [
        table(
            f"{data['source']}, {before:,} parameters, made smaller: {data['output']}",
            ["step", "options", ">parameters left", ">of all", ">seconds"],
            rows,
        )
    ]
    if scores := data.get("scores"):
        rows = [
            [name.replace("_", " "), f"{first:.4g}", f"{scores['after'][name]:.4g}"]
            for name, first in scores["before"].items()
        ]
        shown.append(table(f"On {scores['file']}", ["measure", ">before", ">after"], rows))
    files = [[name, size_of(count)] for name, count in data["files"].items()]
    return [*shown, table("", ["file", ">size"], files)]


def searched(data):
    """`kzoo compress PRESET --max-mb ...`: the points of a budget."""
    own, measure = data["model"], data["measure"].replace("_", " ")
    rows = [["the model itself", *_point(own), ""]]
    rows += [
        [point["name"], *_point(point), "yes" if point["fits"] else "no"]
        for point in data["points"]
    ]
    bounds = {"max_mb": "MB", "max_ms_ratio": "of the time", "max_drop": "points less"}
    asked = ", ".join(f"at most {v:g} {bounds[k]}" for k, v in data["budget"].items() if v)
    title = f"{data['recipe']['model']}, {asked}: {data['output']}"
    names = ["shape", ">MB", ">time", f">{measure} in Keras", ">of the file", "fits"]
    best = data["best"]
    told = f"The best that fits is {best}." if best else f"None fits; nearest is {data['closest']}."
    return [table(title, names, rows), told]


def _point(point):
    return [
        f"{point['megabytes']:.2f}",
        f"{point['ms_ratio']:.2f}",
        f"{point['keras']:.2%}",
        f"{point['score']:.2%}",
    ]


def saved(data):
    """`kzoo export --to savedmodel`."""
    files = [[name, size_of(count)] for name, count in data["files"].items()]
    title = f"{data['source']}, {data['model']}, as a SavedModel: {data['folder']}"
    return [table(title, ["file", ">size"], files), data["call"]]


def report(data):
    """`kzoo export`: how far the file is from its source; of towers each, and all."""
    if "towers" in data:
        from .bundle.towers import scales

        found, shown = data["together"], []
        for name, own in data["towers"].items():
            shown += report({**own, "folder": f"{data['folder']}/{name}"})
        rows = [
            ["same nearest", f"{found['same_nearest']:.1%} of shipped inputs"],
            ["cosines off by", f"{found['cosine_difference']:.2g} (mean), "
             f"{found['cosine_difference_max']:.2g} (worst)"],
            ["scale", scales(data)],
        ]  # fmt: skip
        return [*shown, table(f"All towers: {data['folder']}", ["", ""], rows)]
    sizes, parity, evaluation = data["sizes"], data["parity"], data["evaluation"]
    runtime = data["audit"]["minimum_runtime"]
    smaller, sense = sizes["float32"] / sizes["file"], sense_of(data["reads"])
    facts = [
        ["size", f"{size_of(sizes['file'])}, float32 {size_of(sizes['float32'])} ({smaller:.1f}x)"],
        ["parameters", f"{sizes['parameters']:,}"],
        ["takes", sense.takes(data)],
        ["runtime", f"LiteRT {runtime['litert']} or newer (TFLite {runtime['tflite']})"],
    ]
    if evaluation:
        on = f"on {evaluation['examples']} {sense.nouns} of {evaluation['file']}"
        for name in (name for name in ("accuracy", "f1", "exact_match") if name in evaluation):
            shares = f"{evaluation[name]:.1%}, Keras {evaluation[name + '_keras']:.1%}"
            facts.append([name.replace("_", " "), f"{shares}, {on}"])
        if "perplexity" in evaluation:
            figures = f"{evaluation['perplexity']:.4g}, Keras {evaluation['perplexity_keras']:.4g}"
            facts.append(["perplexity", f"{figures}, {on}"])
    facts.append(["as Keras", _parity(parity)])
    if data["for"]:
        facts.append(["GPU", f"{gpu.told(data['audit']['gpu'])}; run on none"])
    if compat := data["compat"]:
        usual = f"the usual file {size_of(compat['usual_bytes'])},"
        if compat["usual_accuracy"] is not None:
            usual += f" {compat['usual_accuracy']:.1%} right,"
        if compat["usual_cosine"] is not None:
            usual += f" cosine {compat['usual_cosine']:.5f}"
        facts.append([compat["asked"], usual.rstrip(",")])
    if client := data["mediapipe"]:
        words = f"{size_of(client['bytes'])}, for its {client['task']}"
        if "tokenizer" in client:
            words += "; tokenizes otherwise: " + ", ".join(
                f"{entry['differ']} of {entry['texts']} {kind}"
                for kind, entry in client["tokenizer"].items()
            )
        facts.append(["MediaPipe", words])
    if engine := data["litertlm"]:
        equal = f"{engine['tokens_equal']:.1%} of the tokens as model.tflite"
        facts.append(["LiteRT-LM", f"{size_of(engine['bytes'])}; writes {equal}"])
    limits = [
        [row["limit"], f"{row['measured']:.5g}", f"{row['bound']:g}", row["on"]]
        for row in data["limits"]
    ]
    latency = data["latency"]
    speeds = [
        [n, f"{plain:.2f} ms", f"{file:.2f} ms", f"{plain / file:.2f}x"]
        for n, plain, file in zip(
            latency["lengths"], latency["float32"], latency["file"], strict=True
        )
    ]
    if token := latency.get("token"):  # What a step of writing takes, whatever stands before it.
        speeds.append(["one more", *(f"{token[name]:.2f} ms" for name in ("float32", "file"))])
        speeds[-1].append(f"{token['float32'] / token['file']:.2f}x")
    title = f"{data['source']}, {data['task']}, as {data['quantization']}: {data['folder']}"
    return [
        table(title, ["", ""], facts),
        table("Limits", ["limit", ">measured", ">bound", "on"], limits),
        table(f"One {sense.noun} on one thread", [sense.unit, *SPEEDS], speeds),
    ]


def _parity(parity):
    """How near a file is to Keras: the mean, on which a limit is, before the worst text."""
    if "tokens_equal" in parity:
        ratio = parity["perplexity_ratio"]
        equal = f"{parity['tokens_equal']:.1%} of {greedy_tokens(parity)}"
        return f"{equal}, {ratio:.4f} times its perplexity"
    for name, unit in (("probability_difference", "probabilities"), ("value_difference", "values")):
        if name in parity:
            near = f"{unit} off by {parity[name]:.2g} (mean), {parity[f'{name}_max']:.2g} (worst)"
            agreed = parity.get("label_agreement")
            return near if agreed is None else f"{agreed:.1%} of labels, {near}"
    return f"cosine {parity['cosine']:.5f} (mean), {parity['cosine_min']:.5f} (worst)"


def verified(data):
    """`kzoo verify`: the checks that passed, in order."""
    rows = [["ok", check["check"], check["found"]] for check in data["checks"]]
    shown = [table(f"{data['folder']}: {data['task']}, {data['quantization']}", ["", "", ""], rows)]
    return [*shown, *_clients(data["clients"])] if "clients" in data else shown


def _clients(data):
    """`kzoo verify --clients`: what each client made of the texts, and what to know of it."""
    from rich.text import Text

    ran = [row for row in data["clients"] if "texts" in row]
    columns = ["client", ">same ids", ">same labels", ">worst difference", ">time each"]
    rows = []
    for row in ran:
        worst = row["worst_difference"]
        ratio = row["latency_ratio"]
        time = "-" if ratio is None else f"{ratio:.2f}x" if ratio < 10 else f"{ratio:.0f}x"
        if row["client"] == "Python":
            time = f"{1000 * data['seconds']:.2f} ms"
        counts = [_share(row[key], row["texts"]) for key in ("ids_equal", "labels_equal")]
        rows.append([row["client"], *counts, "-" if worst is None else f"{worst:.2g}", time])
    inputs = f"{data['texts']} {data['reads']}"
    title = f"Clients beside Python, on {inputs}; its own row: the golden examples"
    yield table(title, columns, rows)
    remarks = [[row["client"], sentence] for row in ran for sentence in _told(row)]
    reasons = {"missing": "Not installed", "refused": "Can't", "failed": "Crashed"}
    for row in data["clients"]:
        for key, word in reasons.items():
            if key in row:
                style = "red" if key == "failed" else ""
                remarks.append([row["client"], Text(f"{word}: {row[key]}", style)])
    if remarks:
        yield table("", ["", ""], remarks)


def _share(count, texts):
    """How many of the texts, in a colour where it isn't all."""
    from rich.text import Text

    if count is None:
        return "-"
    return Text(f"{count} of {texts}", "green" if count == texts else "yellow")


def _told(row):
    """Sentences on a client that ran."""
    from rich.text import Text

    for each in row["differing"]:
        yield Text(f"{each['text']!r:.60}: {each['why']}.", "red")
    if other := row["other_ids"]:
        kept = ""
        if other["labels_equal"] is not None:
            kept = f"; of these {other['labels_equal']} have the same label"
        yield (
            f"{other['texts']} texts have other ids{kept}, and numbers differ by up to "
            f"{other['worst_difference']:.3g}."
        )
    if row["note"]:
        yield row["note"]


def benched(data):
    """`kzoo bench`: milliseconds by length, and against another bundle if one was named."""
    sense = sense_of(data["reads"])
    columns = [sense.unit or sense.noun, ">time", ">of the longest"]
    if data["against"]:
        columns += [">the other", ">faster"]
    rows = []
    for row in data["lengths"]:
        cells = [row["tokens"], f"{row['milliseconds']:.2f} ms", f"{row['share']:.2f}"]
        if data["against"]:
            cells += [f"{row['against_milliseconds']:.2f} ms", f"{row['speed']:.2f}x"]
        rows.append(cells)
    if "token" in data:
        row = data["token"]
        cells = [
            "each one more",
            f"{row['milliseconds']:.2f} ms",
            f"{row['per_second']:.1f} a second",
        ]
        if data["against"]:
            cells += [f"{row['against_milliseconds']:.2f} ms", f"{row['speed']:.2f}x"]
        rows.append(cells)
    title = f"{data['bundle']} on {data['threads']} thread(s), median of {data['rounds']}"
    return table(f"{title}, against {data['against']}" if data["against"] else title, columns, rows)


def chosen(data):
    """`kzoo bench --attention`: a table for each length, and which kind to take for what."""
    shown = []
    for length in data["lengths"]:
        rows = [
            (point["milliseconds"], kind, point)
            for kind in data["kinds"]
            for point in kind["points"]
            if point["length"] == length
        ]
        cells = [
            [
                kind["kind"],
                f"{milliseconds:.1f} ms",
                None if point["speed"] is None else f"{point['speed']:.2f}x",
                None if point["MiB"] is None else f"{point['MiB']:.0f} MiB",
                kind["is_causal"],
            ]
            for milliseconds, kind, point in sorted(rows, key=lambda row: row[0])
        ]
        title = (
            f"{length} places, width {data['hidden_dim']}, {data['num_heads']} heads: one block on "
            f"{data['device']} ({data['backend']}), time of the {data['time']}, "
            f"{data['threads']} thread(s), median of {data['rounds']}"
        )
        columns = ["kind", ">time", ">as fast as dense", ">memory", "may write (causal)"]
        shown.append(table(title, columns, cells))
    rows = [
        [kind["kind"], kind["beats_dense_from"] or ("never here" if kind["dense"] else None),
         kind["dense"], kind["gives_up"]]
        for kind in data["kinds"]
    ]  # fmt: skip
    columns = ["kind", ">beats dense from", "dense is", "what it gives up"]
    shown.append(table("From which length on, by these points", columns, rows))
    rows = [[row["length"], row["any"], row["causal"]] for row in data["fastest"]]
    shown.append(table("Fastest", ["length", "of all", "of those that may write"], rows))
    return shown


def answers(data):
    """`kzoo predict`: one row for each that was answered, and what was drawn."""
    data = [answer for answer in data if "error" not in answer]
    if "drawing" in data[0]:
        drawn = [[Path(answer["drawing"]).name, _shown(answer)] for answer in data]
        folder = str(Path(data[0]["drawing"]).parent)
        return [_answers(data), table(f"Drawn into {folder}", ["file", "of"], drawn)]
    return _answers(data)


def found(data):
    """`kzoo predict --search`: the nearest first."""
    return table("", [">cosine", "image"], [[f"{e['score']:.4f}", _shown(e)] for e in data])


def documents_found(data):
    """`kzoo search` and `kzoo rerank`: what was found for each query, the best first."""
    from rich.console import Group

    return Group(
        *(
            table(
                each["query"],
                [">score", "document", "text"],
                [
                    [f"{e['score']:.4f}", str(e.get("id", e["index"])), _shown(e)]
                    for e in each["found"]
                ],
            )
            for each in data
        )
    )


def indexed(data):
    """`kzoo index`: what was written."""
    stages = [
        [stage["task"], f"{stage['vectors']:,} of {stage['width']} numbers, {stage['measure']}"]
        for stage in data["stages"]
    ]
    files = [[name, size_of(count)] for name, count in data["files"].items()]
    return table(
        data["index"], ["", ""], [["documents", f"{data['documents']:,}"], *stages, *files]
    )


def _answers(data):
    given = _given(data[0])
    if "embedding" in data[0]:
        rows = []
        for answer in data:
            vector = answer["embedding"]
            start = ", ".join(f"{value:.4f}" for value in vector[:4])
            rows.append([f"[{start}, ...] ({len(vector)})", _shown(answer)])
        return table("", ["embedding", given], rows)
    if "vectors" in data[0]:
        rows = [
            [f"{len(answer['vectors'])} of {len(answer['vectors'][0])} numbers", _shown(answer)]
            for answer in data
        ]
        return table("", ["vectors", given], rows)
    if "entities" in data[0]:
        rows = [[_entities(answer), _shown(answer)] for answer in data]
        return table("", ["entities", given], rows)
    if "objects" in data[0]:
        rows = [[_objects(answer), _shown(answer)] for answer in data]
        return table("", ["objects", given], rows)
    if "answer" in data[0]:
        rows = [
            [_short(answer["answer"]), f"{answer['score']:.3f}", _shown(answer)] for answer in data
        ]
        return table("", ["answer", ">score", "question | context"], rows)
    if "labels" in data[0]:
        rows = [[_labels(answer), _shown(answer)] for answer in data]
        return table("", ["labels", given], rows)
    if "values" in data[0]:
        names = list(data[0]["values"])
        rows = [
            [*(f"{answer['values'][name]:.4g}" for name in names), _shown(answer)]
            for answer in data
        ]
        return table("", [*(f">{name}" for name in names), given], rows)
    if "continuation" in data[0]:
        rows = [[_shown(answer), _short(answer["continuation"])] for answer in data]
        return table("", ["prompt", "continuation"], rows)
    if "written" in data[0]:
        rows = [[_shown(answer), _short(answer["written"])] for answer in data]
        return table("", [given, "written"], rows)
    if "label" not in data[0]:
        rows = [[f"{answer['score']:.4f}", _shown(answer)] for answer in data]
        return table("", [">score", "query | document"], rows)
    rows = [[answer["label"], f"{answer['score']:.3f}", _shown(answer)] for answer in data]
    return table("", ["label", ">score", given], rows)


def _labels(answer):
    """`funny 0.98, warm 0.71`, or a dash."""
    named = [f"{label} {answer['scores'][label]:.2f}" for label in answer["labels"]]
    return _short(", ".join(named)) or "-"


def answered(data):
    """`kzoo predict --output`: what was written."""
    facts = [["rows", f"{data['rows']:,}"], ["columns", ", ".join(data["columns"])]]
    if data["truncated"]:
        facts.append(["cut", f"{data['truncated']:,} are longer than the model reads"])
    if data["unanswered"]:
        facts.append(["not answered", f"{len(data['unanswered']):,}"])
    return table(data["output"], ["", ""], facts)


# What is known of each label, and the head of its column.
OF_CLASSES = {
    "precision": "precision", "ap": "AP", "ap50": "AP50", "ap75": "AP75", "recall": "recall",
    "f1": "F1",
}  # fmt: skip


def evaluated(data):
    """`kzoo evaluate`: the scores, those of each class, and the first wrong answers."""
    read, wrong = data["read"], data["wrong"]
    count = count_of(data["examples"], "example")
    title = f"{data['source']}, {data['task']}, on {count} of {read['file']}"
    if "public_task" in data:
        title += f", as {data['public_task']}"
    columns, intervals = ["", ">"], data["intervals"]
    if intervals:
        columns.append(f">{100 * data['resampling']['level']:g} % interval")
    scores = [
        [
            name.replace("_", " "),
            f"{value:.4f}",
            *(["{:.4f} to {:.4f}".format(*intervals[name])] if intervals else []),
        ]
        for name, value in data["scores"].items()
    ]
    shown = [table(title, columns, scores)]
    if read["left_out"]:
        rows = [
            [why, f"{row['count']:,}", _places(row, read["unit"])]
            for why, row in read["left_out"].items()
        ]
        shown.append(table("Left out", ["why", ">rows", f"{read['unit']}s"], rows))
    if data["classes"]:
        first = next(iter(data["classes"].values()))
        keys = [key for key in OF_CLASSES if key in first]
        judged = "f1" if "f1" in first else keys[0]
        rows = [
            [name, *(f"{row[key]:.4f}" for key in keys), row["support"]]
            for name, row in data["classes"].items()
        ]
        heads, of = [f">{OF_CLASSES[key]}" for key in keys], ""
        if len(rows) > SHOWN_CLASSES:
            of = f"Labels of the lowest {OF_CLASSES[judged]}, {SHOWN_CLASSES} of {len(rows):,}"
            column = 1 + keys.index(judged)
            rows = sorted(rows, key=lambda row: float(row[column]))[:SHOWN_CLASSES]
        shown.append(table(of, ["label", *heads, ">support"], rows))
    if wrong:
        rows = [
            [row["line"], _listed(row["right"]), _listed(row["given"]), _shown(row)]
            for row in wrong[:SHOWN_WRONG]
        ]
        named = "Farthest" if "spearman" in data["scores"] else "Wrong"
        of = f"{named} answers, {len(rows)} of {len(wrong):,}"
        noun = next(noun for noun in ("image", "sound", "text") if noun in wrong[0])
        unit = ">line" if read["unit"] == "line" else read["unit"]
        shown.append(table(of, [unit, "right", "given", noun], rows))
    if "files" in data:
        files = [[name, size_of(count)] for name, count in data["files"].items()]
        shown.append(table("", ["file", ">size"], files))
    return shown


def _places(row, unit):
    """Where rows stand that were left out, of which the first few are kept."""
    places = row[f"{unit}s"]
    more = row["count"] - len(places)
    return ", ".join(map(str, places)) + (f" and {more:,} more" if more else "")


def _listed(value):
    """An answer in a cell."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {number:.4g}" for name, number in value.items())
    if isinstance(value, list):
        return _short(", ".join(value)) or "-"
    return f"{value:.4g}" if isinstance(value, float) else _short(value) or "-"


def _objects(answer):
    """`cat 0.98 (12 40 310 475), ...`, or a dash."""
    found = [
        f"{each['label']} {each['score']:.2f} "
        f"({' '.join(f'{side:.0f}' for side in each['box'].values())})"
        for each in answer["objects"]
    ]
    return _short(", ".join(found)) or "-"


def _entities(answer):
    """`Paris LOC 0.98, ...`, or a dash."""
    entities = [f"{e['text']} {e['label']} {e['score']:.2f}" for e in answer["entities"]]
    return _short(", ".join(entities)) or "-"


def _short(text):
    """A text on one line, cut where it is long."""
    text = " ".join(text.split())
    return f"{text[:LONGEST_TEXT]} ..." if len(text) > LONGEST_TEXT else text


def _given(answer):
    """What was answered: a text, an image, or a sound."""
    return next(noun for noun in ("text", "image", "sound") if noun in answer)


def _shown(answer):
    """It, for a cell."""
    if "text" not in answer:
        path = answer[_given(answer)] or "-"
        path = path if len(path) <= LONGEST_PATH else f"...{path[3 - LONGEST_PATH :]}"
        if answer.get("truncated"):
            seconds = f"{answer['seconds']:.3g}"
            path += f" (only the first {seconds} second{'s' * (seconds != '1')} read)"
        return path
    text = answer["text"] if isinstance(answer["text"], str) else " | ".join(answer["text"])
    text = _short(" | ".join([text, *([answer["text_pair"]] if "text_pair" in answer else [])]))
    is_cut = answer.get("truncated", False)
    return f"{text} (only the first {answer['tokens']} tokens read)" if is_cut else text


def size_of(count):
    """A number of bytes for a reader: 1 MB is 1,000,000 bytes."""
    if count >= 1e6:
        return f"{count / 1e6:.1f} MB"
    return f"{count / 1e3:.1f} kB" if count >= 1e3 else f"{count} B"


def _where(cls):
    path = Path(inspect.getsourcefile(cls)).resolve()
    root = HERE.parent.resolve()
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    return {"class": cls.__name__, "file": str(shown), "line": inspect.getsourcelines(cls)[1]}


def _place(entry):
    return f"{entry['file']}:{entry['line']}"


def _options(options):
    return ", ".join(f"{name}={value}" for name, value in options.items())


def _shape(shape):
    return " x ".join(str(size) for size in shape)


def _span(numbers):
    """Whole numbers as a short text: `0-11` for a run, else `0, 2, 4`."""
    if len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}-{numbers[-1]}"
    if len(numbers) > 2 and len(set(numbers)) == 1:
        return f"{numbers[0]}, {len(numbers)} times"
    return ", ".join(str(number) for number in numbers)


def _cell(value):
    if isinstance(value, bool):
        return "yes" if value else ""
    return "" if value is None else str(value)
