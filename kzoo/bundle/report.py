"""The report of an export: `report.json` for programs, `report.html` for people.

The page is one file without scripts or links. Plots are SVG drawn by matplotlib in placeholder
colours, which become CSS variables: so they follow the reader's light or dark scheme.
"""

import html
import io
import json
import re
from pathlib import Path

from ..litert.gpu import told
from .limits import KNOWN, TOLERANCE, greedy_tokens
from .manifest import PAGE, REPORT
from .mediapipe import client_file
from .senses import TEXTS, sense_of, short
from .towers import COUNTED, scales

DRAWN, LISTED = 20, 12  # labels of a picture of confusions at most, and rows of its table
MEASURED = {
    "accuracy": "right of", "f1": "F1 on", "exact_match": "word by word right of",
    "ap50": "AP50 on", "ap": "AP on",
}  # fmt: skip
NAMES = {
    "accuracy": "accuracy", "f1": "F1", "exact_match": "exact match", "ap50": "AP50", "ap": "AP",
}  # fmt: skip
FOUND = 5  # things in a picture that are named, the likeliest
# Placeholder colour of a plot: the CSS variable it becomes.
INK, FAINT, GRID, MAIN = "#010101", "#020202", "#030303", "#040404"
PALE, CARD = "#050505", "#060606"
VARIABLES = {
    INK: "--ink", FAINT: "--faint", GRID: "--line", MAIN: "--main", PALE: "--pale", CARD: "--card",
}  # fmt: skip


def write_report(report, folder):
    """Write `report.json` and `report.html` into a folder."""
    folder = Path(folder)
    text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
    (folder / REPORT).write_text(text, encoding="utf-8")
    (folder / PAGE).write_text(page(report, folder), encoding="utf-8")


def write_report_of_towers(report, folder):
    """The same of a bundle of towers, whose own reports the page shows one after the other."""
    folder, found = Path(folder), report["together"]
    text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
    (folder / REPORT).write_text(text, encoding="utf-8")
    nouns = [sense_of(own["reads"]).nouns for own in report["towers"].values()]
    inputs = zip(found["inputs"].values(), nouns, strict=True)
    words = (
        f"{COUNTED[len(nouns)].capitalize()} towers make vectors of one space, of "
        f"{' and of '.join(nouns)}. Of {', '.join(f'{count} {noun}' for count, noun in inputs)} "
        "that are shipped file and Keras find the same one of another kind nearest for "
        f"{100 * found['same_nearest']:.1f} %; a cosine differs by "
        f"{found['cosine_difference']:.2g} on average and by "
        f"{found['cosine_difference_max']:.2g} at most. Cosines times {scales(report)} are the "
        "logits of labels."
    )
    title = f"{_name_of(report)} as {report['quantization']}"
    body = [_section(" and ".join(nouns).capitalize(), words)]
    body += [_body(own, folder / name) for name, own in report["towers"].items()]
    (folder / PAGE).write_text(_page(title, "\n".join(body)), encoding="utf-8")


def page(report, folder):
    """The report as one HTML page; pictures of golden examples lie in the folder."""
    return _page(f"{_name_of(report)} as {report['quantization']}", _body(report, folder))


def _name_of(report):
    """The preset that was exported, or the task of what is none."""
    return str(report["source"] or report["task"])


def _page(title, body):
    return TEMPLATE.format(title=html.escape(title), style=STYLE, body=body)


def _body(report, folder):
    sections = [
        _summary(report),
        _section("Size", _size_words(report), size_plot(report["sizes"])),
        _section("Faithful to its source", _parity_words(report), parity_plot(report)),
        _evaluation(report),
        _section("Speed", _latency_words(report), *_latency_plots(report["latency"])),
        _for_gpu(report),
        _compat(report),
        _mediapipe(report),
        _litertlm(report),
        _limits(report),
        _examples(report, folder),
        _inside(report),
    ]
    return "\n".join(sections)


# -- words --------------------------------------------------------------------------------------


def _summary(report):
    sizes, parity, latency = report["sizes"], report["parity"], report["latency"]
    sense = sense_of(report["reads"])
    tiles = [
        (f"{sizes['file'] / 1e6:.1f} MB", f"{sizes['float32'] / sizes['file']:.1f} times smaller"),
    ]
    if report["evaluation"]:
        evaluation = report["evaluation"]
        for name in (name for name in MEASURED if name in evaluation):
            tiles.append(
                (
                    f"{100 * evaluation[name]:.1f} %",
                    f"{MEASURED[name]} {evaluation['examples']} {sense.nouns}; Keras "
                    f"{100 * evaluation[name + '_keras']:.1f} %",
                )
            )
    if "label_agreement" in parity:
        share = {**parity, **(report["evaluation"] or {})}["label_agreement"]
        tiles.append((f"{100 * share:.1f} %", "of labels as Keras gives them"))
    elif "value_difference" in parity:
        share = 100 * parity["value_difference"]
        tiles.append((f"{share:.2g} %", "of the values' spread between file and Keras"))
    elif "tokens_equal" in parity:
        share = 100 * parity["tokens_equal"]
        tiles.append((f"{share:.1f} %", f"of {greedy_tokens(parity)}, as Keras writes them"))
    else:
        tiles.append((f"{parity['cosine']:.4f}", "mean cosine to Keras"))
    if "token" in latency:
        tiles.append(
            (
                f"{1000 / latency['token']['file']:.1f}",
                "tokens a second, one thread, on the machine of the export",
            )
        )
    at = min(range(len(latency["lengths"])), key=lambda i: abs(latency["lengths"][i] - 32))
    tiles.append(
        (
            f"{latency['file'][at]:.1f} ms",
            f"for {sense.long(latency['lengths'][at])}, one thread, on the machine of the export",
        )
    )
    shown = "".join(
        f'<div class="tile"><b>{html.escape(big)}</b><span>{html.escape(small)}</span></div>'
        for big, small in tiles
    )
    runtime = report["audit"]["minimum_runtime"]
    count = len(report["limits"])
    met = "Its one limit is met." if count == 1 else f"All {count} limits are met."
    takes, ranges = html.escape(sense.takes(report)), ""
    if found := report.get("calibration"):  # Reports that older versions wrote have none.
        count = f", {found['examples']:,} examples" if found["examples"] else ""
        ranges = f" Its ranges are those of {html.escape(found['from'])}{count}."
    return f"""<header>
<p class="kicker">kzoo export report</p>
<h1>{html.escape(_name_of(report))}</h1>
<p class="lead">{html.escape(report["task"])} ({html.escape(report["family"])}) as
<b>{html.escape(report["quantization"])}</b>, {takes}, for LiteRT {runtime["litert"]} or newer
(TFLite {runtime["tflite"]}).{ranges}
<span class="ok">{met}</span></p>
<div class="tiles">{shown}</div></header>"""


def _section(title, words, *parts):
    return f"<section><h2>{title}</h2><p>{words}</p>{''.join(parts)}</section>"


def _size_words(report):
    sizes = report["sizes"]
    kinds = ", ".join(
        f"{count / 1e6:.2f} MB {kind}" for kind, count in sizes["weight_bytes"].items()
    )
    return (
        f"{sizes['parameters'] / 1e6:.1f} million parameters. The float32 file takes "
        f"{sizes['float32'] / 1e6:.1f} MB, this one {sizes['file'] / 1e6:.1f} MB: {kinds}."
    )


def _parity_words(report):
    parity, sense = report["parity"], sense_of(report["reads"])
    words = f"The file and Keras were given the same {html.escape(sense.compared(parity))}. "
    if "label_agreement" in parity:
        return words + (
            f"A probability differs by {_percent(parity['probability_difference'])} on average "
            f"and by {_percent(parity['probability_difference_max'])} at most. A dot is one of them"
            f"{', labelled ones too' if report['evaluation'] else ''}; on the diagonal both give "
            "the likeliest label the same probability."
        )
    if "tokens_equal" in parity:
        shipped = (
            f"{parity['texts']} English prompts that ship, of {min(parity['tokens'])} to "
            f"{max(parity['tokens'])} tokens"
            if sense is TEXTS
            else html.escape(sense.compared(parity))
        )
        return (
            f"File and Keras each wrote freely, always the likeliest token, from the same "
            f"{shipped}: of {greedy_tokens(parity)} "
            f"{100 * parity['tokens_equal']:.1f} % are the same at their places. One token that is "
            f"another changes what comes behind it. On {parity['perplexity_on']} the file's "
            f"perplexity is "
            f"{parity['perplexity']:.4g}, {parity['perplexity_ratio']:.4f} times Keras' "
            f"({parity['perplexity_tokens']} tokens). A dot is a prompt or a source."
        )
    if "value_difference" in parity:
        return words + (
            f"A value differs by {100 * parity['value_difference']:.2g} % of the spread of Keras' "
            f"values on average and by {100 * parity['value_difference_max']:.2g} % at most; the "
            f"spread, their standard deviation over them, is {parity['spread']:.4g}. A dot is "
            "one of them; on the diagonal both give the same value."
        )
    return words + (
        f"The cosine between their outputs is {parity['cosine']:.5f} on average and "
        f"{parity['cosine_min']:.5f} for the worst of them; 1 is equal."
    )


def _evaluation(report):
    evaluation = report["evaluation"]
    if not evaluation:
        return ""
    note = f" {html.escape(evaluation['note'])}" if evaluation["note"] else ""
    if "perplexity" in evaluation:
        return _section("Perplexity", _perplexity_words(evaluation, note))
    sense, file = sense_of(report["reads"]), html.escape(evaluation["file"])
    count, nouns = evaluation["examples"], sense.nouns
    words = f"{count} labelled {sense.noun if count == 1 else nouns} of {file}.{note} "
    if "accuracy" not in evaluation:
        return _section("Right answers", words + _privacy(evaluation, nouns), _scores(evaluation))
    low, high = interval(evaluation["accuracy"], evaluation["examples"])
    words += (
        f"The file is right on {100 * evaluation['accuracy']:.1f} %; from so few the share "
        f"may as well be {100 * low:.1f} to {100 * high:.1f} % (Wilson, 95 %). "
        f"It gives Keras' label to {100 * evaluation['label_agreement']:.1f} %; a probability "
        f"differs by {_percent(evaluation['probability_difference'])} on average. "
    )
    return _section(
        "Right answers",
        words + _privacy(evaluation, nouns),
        accuracy_plot(evaluation),
        *_confusions(report["labels"], evaluation.get("confusion")),
    )


def _perplexity_words(evaluation, note):
    return (
        f"The first {evaluation['perplexity_tokens']} tokens of {html.escape(evaluation['file'])}."
        f"{note} The file reads them token by token, as an app does, with a perplexity of "
        f"{evaluation['perplexity']:.4g}; the float32 file has "
        f"{evaluation['perplexity_float32']:.4g} and Keras "
        f"{evaluation['perplexity_keras']:.4g}. {_privacy(evaluation)}"
    )


def _privacy(evaluation, nouns="texts"):
    """Whether inputs of the evaluation file lie in the bundle."""
    if evaluation.get("texts_shared"):
        return f"Some of these {nouns} travel in the bundle (share_texts), see the golden examples."
    return f"None of these {nouns} is in the bundle, only numbers."


def _scores(evaluation):
    """A table of what isn't an accuracy: of Keras, the float32 file and this file."""
    names = {"keras": "Keras", "float32": "float32 file", "": "this file"}
    measures = [name for name in MEASURED if name in evaluation]
    head = "".join(f"<th>{NAMES[name]}</th>" for name in measures)
    rows = ""
    for suffix, shown in names.items():
        cells = [evaluation["_".join(part for part in (m, suffix) if part)] for m in measures]
        cells = "".join(f"<td>{100 * value:.1f} %</td>" for value in cells)
        rows += f"<tr><td>{shown}</td>{cells}</tr>"
    table = f"<table><tr><th></th>{head}</tr>{rows}</table>"
    kinds = "".join(
        f"<tr><td>{html.escape(kind)}</td><td>{100 * row['precision']:.1f} %</td>"
        f"<td>{100 * row['recall']:.1f} %</td><td>{100 * row['f1']:.1f} %</td>"
        f"<td>{row['support']}</td></tr>"
        for kind, row in evaluation.get("kinds", {}).items()
    )
    if not kinds:
        return table
    head = "".join(f"<th>{name}</th>" for name in ("kind", "precision", "recall", "F1", "right"))
    return f"{table}<table><tr>{head}</tr>{kinds}</table>"


def _confusions(labels, confusion):
    """What is taken for what: a picture of few labels, and the pairs that are confused most."""
    if not confusion:
        return []
    names = list(labels) if len(labels) > 1 else [f"not {labels[0]}", labels[0]]
    parts = [confusion_plot(names, confusion)] if len(names) <= DRAWN else []
    totals = [sum(row) for row in confusion]
    pairs = sorted(
        (
            (count, right, given)
            for right, row in enumerate(confusion)
            for given, count in enumerate(row)
            if count and right != given
        ),
        key=lambda pair: -pair[0],
    )
    if not pairs:
        return parts
    rows = "".join(
        f"<tr><td>{_name(names[right])}</td><td>{_name(names[given])}</td>"
        f"<td>{count} of {totals[right]}</td></tr>"
        for count, right, given in pairs[:LISTED]
    )
    more = f"; {len(pairs) - LISTED} more pairs" if len(pairs) > LISTED else ""
    head = f"<tr><th>right</th><th>taken for</th><th>examples{more}</th></tr>"
    return [*parts, f'<table class="pairs">{head}{rows}</table>']


def interval(share, count, z=1.96):
    """The Wilson interval of a share of `count` trials (Wilson 1927)."""
    centre = share + z * z / (2 * count)
    half = z * ((share * (1 - share) + z * z / (4 * count)) / count) ** 0.5
    scale = 1 + z * z / count
    return (centre - half) / scale, (centre + half) / scale


def _latency_words(report):
    latency, sense = report["latency"], sense_of(report["reads"])
    words = (
        f"Processor time for one {sense.noun} on one thread, float32 and this file in turn, "
        f"median of {latency['rounds']}. A phone's numbers differ; the ratio"
    )
    words += " tells more." if len(latency["lengths"]) == 1 else " and the slope tell more."
    if "token" in latency:
        words = (
            "Processor time from a prompt to the first token behind it on one thread, float32 and "
            f"this file in turn, median of {latency['rounds']}. Each one more takes "
            f"{latency['token']['file']:.1f} ms here and {latency['token']['float32']:.1f} ms in "
            "float32. A phone's numbers differ; the ratio tells more."
        )
    elif len(latency["lengths"]) == 1:
        file, float32 = latency["file"][0], latency["float32"][0]
        words += f" This file takes {file:.2f} ms, float32 {float32:.2f} ms."
    elif report["length"] is None:
        words += " One file serves all lengths, so a short text costs little."
    return words


def _for_gpu(report):
    if not report["for"]:
        return ""
    return _section(
        "For a GPU",
        f"{html.escape(told(report['audit']['gpu']))}. Where a delegate lacks an operator, others "
        "that compute the same stand. The rules are what LiteRT's own delegate took over Vulkan, "
        "on a processor that plays the GPU; this file was run on no GPU and on no phone.",
    )


def _compat(report):
    compat, latency = report["compat"], report["latency"]
    if not compat:
        return ""
    size, runtime = report["sizes"]["file"], compat["usual_runtime"]["tflite"]
    slower = max(
        file / usual for file, usual in zip(latency["file"], latency["usual"], strict=True)
    )
    words = (
        f"Made for {html.escape(compat['asked'])}. The usual {html.escape(report['quantization'])} "
        f"file of the same model needs TFLite {runtime}; exported and measured in the same run it "
        f"has {compat['usual_bytes'] / 1e6:.2f} MB (this one {size / 1e6:.2f})"
    )
    if compat["usual_cosine"] is not None:
        words += (
            f" and a mean cosine to Keras of {compat['usual_cosine']:.5f} (this one "
            f"{report['parity']['cosine']:.5f})"
        )
    words += "."
    if compat["usual_accuracy"] is not None:
        words += (
            f" It is right on {100 * compat['usual_accuracy']:.1f} % of the labelled examples "
            f"(this one {100 * report['evaluation']['accuracy']:.1f} %)."
        )
    words += f" This file takes at most {slower:.2f} times its time."
    return _section("For older runtimes", words)


def _mediapipe(report):
    written = report["mediapipe"]
    if not written:
        return ""
    words = (
        f"mediapipe.tflite ({written['bytes'] / 1e6:.2f} MB) is this file with the metadata that "
        f"MediaPipe's {written['task']} wants; its numbers differ from this file's by at most "
        f"{written['largest_difference']:.1g}. {client_file(report['reads']).words(written)}"
    )
    if "tokenizer" not in written:
        return _section("For MediaPipe", words)
    rows = "".join(
        f"<tr><td>{kind}<small>{html.escape(short(entry['example'] or ''))}</small></td>"
        f"<td>{entry['differ']} of {entry['texts']}</td></tr>"
        for kind, entry in written["tokenizer"].items()
    )
    head = "<tr><th>texts, and the first that it tokenizes otherwise</th><th>otherwise</th></tr>"
    return _section("For MediaPipe", words, f"<table>{head}{rows}</table>")


def _litertlm(report):
    written = report["litertlm"]
    if not written:
        return ""
    parts = " or ".join(map(str, written["prefill"]))
    words = (
        f"model.litertlm ({written['bytes'] / 1e6:.2f} MB) is this model in the functions that "
        f"LiteRT-LM's engine calls, with the tokenizer: prompts are read {parts} tokens at once, "
        f"and a text has at most {written['cache']}. Run in plain steps, without that engine, it "
        f"writes {100 * written['tokens_equal']:.4g} % of the golden examples' tokens as this file "
        f"does; its logits differ by at most {100 * written['difference']:.1g} %."
    )
    return _section("For LiteRT-LM", words)


def _limits(report):
    rows = "".join(
        f"<tr><td>{html.escape(row['meaning'])}<small>{html.escape(row['on'])}"
        f"{_worst(report, row)}</small></td>"
        f"<td>{_number(row['measured'])}</td><td>{_bound(row)}</td></tr>"
        for row in report["limits"]
    )
    return f"""<section><h2>Limits</h2><p>An export that misses one of these leaves no file.</p>
<table class="limits"><tr><th>what</th><th>measured</th><th>limit</th></tr>{rows}</table>
</section>"""


def _worst(report, row):
    """What the worst example has, where the limit is one on a mean."""
    figures = [report["parity"], report["evaluation"] or {}]
    of_row = next((f for f in figures if f.get(row["limit"]) == row["measured"]), {})
    for ending in ("_max", "_min"):
        if (value := of_row.get(row["limit"] + ending)) is not None:
            return f"; the worst example has {_number(value)}, on which there is no limit"
    return ""


def _bound(row):
    return f"{'&ge;' if KNOWN[row['limit']][0] else '&le;'} {_number(row['bound'])}"


def _examples(report, folder):
    sense = sense_of(report["reads"])
    if not any("file" in entry for entry in report["examples"]):
        return ""
    rows = "".join(
        f"<tr><td>{sense.cell(entry, folder)}</td>"
        f"<td>{_answer(entry['file'])}</td><td>{_answer(entry['keras'])}</td></tr>"
        for entry in report["examples"]
    )
    return f"""<section><h2>Golden examples</h2>
<p>These travel in the bundle, so that <code>kzoo verify</code> and any app can answer them again.
On another processor their numbers may lie up to {100 * TOLERANCE[report["quantization"]]:g} % off.
{_whose_examples(report)}</p>
<table class="examples"><tr><th>{sense.noun}</th><th>file</th><th>Keras</th></tr>
{rows}</table></section>"""


def _answer(answer):
    """An answer: labels with their probabilities, values, entities, or a span of the context."""
    if "entities" in answer:
        parts = [
            (entity["text"], f"{entity['label']} {100 * entity['score']:.1f} %")
            for entity in answer["entities"]
        ] or [("none", "")]
    elif "objects" in answer:
        parts = [
            (thing["label"], f"{100 * thing['score']:.1f} %") for thing in answer["objects"][:FOUND]
        ] or [("none", "")]
    elif "continuation" in answer:
        parts = [(short(answer["continuation"]), "")]
    elif "answer" in answer:
        parts = [(short(answer["answer"]) or "no answer", f"{100 * answer['score']:.1f} %")]
    elif "values" in answer:
        parts = [(label, f"{value:.4g}") for label, value in answer["values"].items()]
    else:
        scores = answer.get("scores") or {answer["label"]: answer["score"]}
        named = answer["labels"] if "labels" in answer else [answer["label"]]
        parts = [(label, f"{100 * scores[label]:.1f} %") for label in named] or [("none", "")]
    return "".join(
        f"<div>{_name(label)} <small>{_name(text)}</small></div>" for label, text in parts
    )


def _name(text):
    """A label in HTML, which may break where its words do."""
    return re.sub(r"([_/.-])", r"\1<wbr>", html.escape(text))


def _whose_examples(report):
    """Where the golden examples are from."""
    shipped = sense_of(report["reads"]).shipped
    if (report["evaluation"] or {}).get("texts_shared"):
        return f"Half of them are of the evaluation file; the others are {shipped}."
    return f"They are {shipped}, of all kinds, so that some fit no answer well."


def _inside(report):
    audited = report["audit"]
    operators = ", ".join(f"{count} {name}" for name, count in audited["operators"].items())
    outside = ", ".join(f"{count} {name}" for name, count in audited["outside"].items())
    but = f" but for {html.escape(outside)}" if outside else ""
    made = ", ".join(f"{name} {value}" for name, value in report["made_with"].items())
    return f"""<section><h2>Inside the file</h2>
<p>{sum(audited["operators"].values())} built-in operators, no custom ones. XNNPACK runs all of them
as {audited["partitions"]} partition{but}.
{html.escape(told(audited["gpu"]))}.</p>
<details><summary>All operators</summary><p>{html.escape(operators)}</p></details>
<p class="faint">Made with {html.escape(made)}.</p></section>"""


def _percent(share):
    return f"{100 * share:.2g} points"


def _number(value):
    return f"{value:.5g}"


# -- plots --------------------------------------------------------------------------------------


def size_plot(sizes):
    """Bars of the float32 file and this one."""
    figure, axis = _figure(1.5)
    values = [sizes["float32"] / 1e6, sizes["file"] / 1e6]
    axis.barh([1, 0], values, height=0.56, color=[PALE, MAIN])
    for place, value in zip([1, 0], values, strict=True):
        axis.annotate(
            f"{value:.1f} MB",
            (value, place),
            color=INK,
            va="center",
            xytext=(6, 0),
            textcoords="offset points",
        )
    axis.set_yticks([1, 0], ["float32", "this file"])
    axis.set_xlim(0, max(values) * 1.28)
    axis.set_xticks([])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return _svg(figure, "Bars: size of the float32 file and of this one")


def parity_plot(report):
    """A classifier's probabilities, or its values, against Keras'; else cosines by length."""
    parity = report["parity"]
    figure, axis = _figure(3.3)
    if "probabilities" in parity:
        source = (report["evaluation"] or {}).get("probabilities", []) + parity["probabilities"]
        axis.plot([0, 1], [0, 1], color=GRID, zorder=1)
        axis.scatter(*zip(*source, strict=True), s=18, color=MAIN, alpha=0.55, linewidth=0)
        low = min(min(pair) for pair in source)
        axis.set_xlim(low - 0.02, 1.02)
        axis.set_ylim(low - 0.02, 1.02)
        axis.set_xlabel("probability in Keras")
        axis.set_ylabel("in the file")
        axis.set_aspect("equal")
        axis.locator_params(nbins=5)
    elif "values" in parity:
        ends = min(map(min, parity["values"])), max(map(max, parity["values"]))
        axis.plot(ends, ends, color=GRID, zorder=1)
        axis.scatter(*zip(*parity["values"], strict=True), s=18, color=MAIN, alpha=0.55)
        axis.set_xlabel("value in Keras")
        axis.set_ylabel("in the file")
        axis.locator_params(nbins=5)
    elif "continuations" in parity:
        alike = [_alike(*pair) for pair in parity["continuations"]]
        axis.scatter(parity["tokens"], alike, s=26, color=MAIN, alpha=0.55, linewidth=0)
        axis.set_xlabel("tokens in the prompt, 1 for a picture")
        axis.set_ylabel("tokens alike, up to the first that isn't")
        axis.set_ylim(0, 1.06 * max(len(one) for one, _ in parity["continuations"]))
    else:
        axis.axhline(parity["cosine"], color=PALE, zorder=0)
        axis.set_ylabel("cosine")
        if max(parity["tokens"]) > 1:
            axis.scatter(parity["tokens"], parity["cosines"], s=26, color=MAIN, linewidth=0)
            axis.set_xlabel("tokens in the text")
            axis.set_xscale("log", base=2)
            axis.xaxis.set_major_formatter("{x:.0f}")
        else:  # Of what has no length they stand side by side.
            near = sorted(parity["cosines"], reverse=True)
            axis.scatter(range(1, len(near) + 1), near, s=26, color=MAIN, linewidth=0)
            axis.set_xlabel(f"{sense_of(report['reads']).nouns}, the nearest first")
        # Cosines that are 1 but for rounding are no landscape: at least this much is in sight.
        axis.set_ylim(bottom=min(min(parity["cosines"]), 1 - 1e-4) - 2e-5)
        axis.yaxis.set_major_formatter("{x:.5f}")
    return _svg(figure, "Scatter: outputs of the file against those of Keras")


def _alike(one, other):
    """How many tokens two rows begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def accuracy_plot(evaluation):
    """Accuracies with their intervals."""
    figure, axis = _figure(1.9)
    names = ["accuracy_keras", "accuracy_float32", "accuracy"]
    for place, name in enumerate(reversed(names)):
        share = evaluation[name]
        low, high = interval(share, evaluation["examples"])
        colour = MAIN if name == "accuracy" else FAINT
        axis.plot(
            [100 * low, 100 * high],
            [place, place],
            color=PALE,
            linewidth=7,
            solid_capstyle="round",
            zorder=1,
        )
        axis.scatter([100 * share], [place], s=60, color=colour, zorder=2)
        axis.text(100 * share, place + 0.26, f"{100 * share:.1f} %", ha="center", color=INK)
    axis.set_yticks([2, 1, 0], ["Keras", "float32 file", "this file"])
    axis.set_ylim(-0.5, 2.7)
    axis.locator_params(axis="x", nbins=5)
    axis.set_xlabel("right, %")
    axis.spines["left"].set_visible(False)
    axis.tick_params(axis="y", length=0)
    return _svg(figure, "Dots with intervals: accuracy of Keras, the float32 file and this file")


def _latency_plots(latency):
    """The plot, where there is more than one length: a point alone shows nothing."""
    return [latency_plot(latency)] if len(latency["lengths"]) > 1 else []


def latency_plot(latency):
    """Milliseconds by length, both files."""
    figure, axis = _figure(2.8)
    top = max(latency["float32"] + latency["file"])
    lengths, ends = latency["lengths"], [latency[name][-1] for name in ("float32", "file")]
    # Names of lines that end together stand one above the other.
    apart = max(0.0, 14 - 150 * abs(ends[0] - ends[1]) / top) / 2
    for name, label, colour in (("float32", "float32", FAINT), ("file", "this file", MAIN)):
        axis.plot(lengths, latency[name], "o-", color=colour, markersize=5)
        shift = apart if (name == "float32") == (ends[0] >= ends[1]) else -apart
        axis.annotate(
            label,
            (lengths[-1], latency[name][-1]),
            color=colour,
            va="center",
            xytext=(7, shift),
            textcoords="offset points",
        )
    axis.set_xticks(lengths, _with_room(lengths))
    axis.set_xlim(0, lengths[-1] * 1.3)
    axis.set_ylim(0, top * 1.12)
    axis.set_xlabel("tokens")
    axis.set_ylabel("ms a text")
    axis.grid(axis="y", color=GRID, linewidth=0.8)
    axis.set_axisbelow(True)
    return _svg(figure, "Lines: milliseconds a text by length, float32 and this file")


def _with_room(places, room=0.09):
    """The places as texts, from the last one on; none where it would touch the one behind it."""
    texts, behind = [], float("inf")
    for place in reversed(places):
        if behind - place < room * places[-1]:
            texts.append("")
        else:
            texts.append(str(place))
            behind = place
    return texts[::-1]


def confusion_plot(names, confusion):
    """A cell for each pair of labels, darker where more of a label's examples get another.

    Args:
        names: of the labels, few enough to read.
        confusion: counts, a row a right label, a column a given one.
    """
    from matplotlib.patches import Rectangle

    count = len(names)
    figure, axis = _figure(1.9 + 0.34 * count)
    for right, row in enumerate(confusion):
        for given, number in enumerate(row):
            share = number / max(1, sum(row))
            axis.add_patch(
                Rectangle((given - 0.5, right - 0.5), 1, 1, color=MAIN, alpha=share, linewidth=0)
            )
            if number:
                colour = INK if share < 0.55 else CARD
                axis.text(given, right, str(number), ha="center", va="center", color=colour, size=9)
    shown = [name if len(name) <= 18 else f"{name[:17]}…" for name in names]
    axis.set_xticks(range(count), shown, rotation=90 if count > 3 else 0)
    axis.set_yticks(range(count), shown)
    axis.set_xlim(-0.5, count - 0.5)
    axis.set_ylim(count - 0.5, -0.5)
    axis.set_xlabel("label of the file")
    axis.set_ylabel("right label")
    axis.tick_params(length=0, labelsize=9)
    axis.spines[:].set_visible(False)
    return _svg(figure, "Matrix: how many examples of each label the file gives each label")


def _figure(height):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4, height), layout="constrained")
    axis = figure.add_subplot()
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axis.spines[side].set_color(GRID)
    axis.tick_params(colors=FAINT, labelcolor=FAINT, labelsize=10.5)
    axis.xaxis.label.set_color(FAINT)
    axis.yaxis.label.set_color(FAINT)
    return figure, axis


def _svg(figure, description):
    """The figure as an SVG element that scales to the page and takes its colours."""
    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "kzoo", "font.size": 11}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    drawing = text.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r'width="[\d.]+pt"', 'width="100%"', drawing, count=1)
    drawing = re.sub(r' height="[\d.]+pt"', "", drawing, count=1)
    drawing = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", drawing)
    for colour, variable in VARIABLES.items():
        drawing = drawing.replace(colour, f"var({variable})")
    label = f'<svg role="img" aria-label="{html.escape(description)}" '
    return f"<figure>{drawing.replace('<svg ', label, 1)}</figure>"


STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --faint: #66707f; --line: #d9dee5;
  --main: #0b7a75; --pale: #b9d8d4; --page: #f6f7f9; --card: #ffffff; --good: #0b6b3a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf2; --faint: #98a3b3; --line: #333c49;
  --main: #4fd1c5; --pale: #2c5a58; --page: #11151b; --card: #1a2029; --good: #6ee7a0; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 46rem; margin: 0 auto; padding: 1.2rem 1rem 3rem; }
header { padding: 1.4rem 0 .4rem; }
.kicker { margin: 0; color: var(--main); font-weight: 600; letter-spacing: .02em; }
h1 { margin: .1rem 0 .5rem; font-size: clamp(1.5rem, 6vw, 2.3rem); line-height: 1.15;
  overflow-wrap: anywhere; }
h2 { margin: 0 0 .4rem; font-size: 1.2rem; }
.lead { margin: 0 0 1rem; }
.ok { color: var(--good); font-weight: 600; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.2rem, 1fr)); gap: .7rem; }
.tile, section { background: var(--card); border: 1px solid var(--line); border-radius: .8rem; }
.tile { padding: .8rem .9rem; }
.tile b { display: block; font-size: 1.55rem; line-height: 1.2;
  font-variant-numeric: tabular-nums; }
.tile span { display: block; color: var(--faint); font-size: .86rem; line-height: 1.35; }
section { padding: 1rem 1.1rem; margin-top: .9rem; }
section p { margin: .2rem 0 .6rem; }
figure { margin: .4rem auto 0; max-width: 28rem; }
figure svg { display: block; width: 100%; height: auto; }
figure svg text { font-family: inherit; }
table { width: 100%; border-collapse: collapse; font-size: .94rem; }
th { text-align: left; color: var(--faint); font-weight: 500; font-size: .86rem; }
th, td { padding: .45rem .5rem .45rem 0; border-top: 1px solid var(--line); vertical-align: top; }
tr:first-child th { border-top: 0; }
td + td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; min-width: 4.5rem; }
.limits td + td { white-space: nowrap; }
.examples { table-layout: fixed; }
.examples th:first-child { width: 50%; }
.examples td, .pairs td { overflow-wrap: anywhere; }
.examples td + td { hyphens: auto; }
small { display: block; color: var(--faint); font-size: .82rem; }
details { color: var(--faint); font-size: .9rem; }
summary { cursor: pointer; }
.faint { color: var(--faint); font-size: .88rem; }
code { font-size: .92em; }
"""

TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body><main>
{body}
</main></body>
</html>
"""
