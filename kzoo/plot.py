"""Figures to look at: pictures with labels, attention, what is taken for what, learning curves.

Each function returns a matplotlib `Figure`, which a notebook shows and `figure.savefig("a.png")`
writes. Nothing here touches pyplot: no window opens, and no figure stays in memory behind one.
"""

import contextlib
import math

import numpy as np

from .audio.sounds import read_sound
from .errors import KzooError
from .files import writing_file
from .images.reading import read_picture
from .values import is_whole

INK, FAINT, GRID, PALE = "#1c2430", "#66707f", "#d9dee5", "#f1f3f6"
COLOURS = ("#0b7a75", "#c2571a")  # what learns, and what it is held against
# Of labels of boxes, in turn; all are seen on light and dark.
BOXED = ("#0b7a75", "#c2571a", "#5b4bb0", "#b0284f", "#2f6fb0", "#7a7a00", "#8a4b2a", "#3d7f3a")
COUNTED = 40  # Labels up to which the cells of a matrix show their counts.
LONGEST = 24  # characters of a label
LABEL = 0.035  # how high a label of a box is, as a share of the picture
MOST = 100  # pictures of a grid
BARS = 5  # labels beside a picture or a sound
SIDE = 1.7  # inches of a picture in a grid
THINNEST = 12  # times as long as wide; a thinner picture is shown wider
COARSE = 64  # A picture with fewer pixels a side is shown as squares.
# Digits of the numbers on a logarithmic axis, the more of them the shorter it is.
ROUND = (
    *((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)),
    *([1 + i / parts for i in range(9 * parts)] for parts in (1, 2, 4, 10, 20, 50)),
)
# Where the name of a point may stand, in points to the right and up, and which of its sides do.
BESIDE = (
    (5, 3, ("left", "bottom")), (5, -3, ("left", "top")), (-5, 3, ("right", "bottom")),
    (-5, -3, ("right", "top")), (0, 6, ("center", "bottom")), (0, -6, ("center", "top")),
)  # fmt: skip
MARKED = 4  # pixels about a point that its marker takes, at the dots an inch of a figure


def pictures(images, labels=None, columns=None):
    """A grid of pictures, each with its label above it.

    Args:
        images: a list of what `read_picture` takes (paths, bytes, PIL pictures, arrays), or one
            array (pictures, height, width, channels); 100 at most.
        labels: a text for each picture, or None.
        columns: how many stand side by side; about as many as below each other by default.
    """
    images = list(images)
    if not 1 <= len(images) <= MOST:
        raise KzooError(f"Got {len(images):,} pictures for a grid; expected 1 to {MOST} of them.")
    if labels is not None and len(labels) != len(images):
        raise KzooError(
            f"Got {len(labels):,} labels for {len(images):,} pictures; expected as many."
        )
    if columns is not None and not is_whole(columns, 1):
        raise KzooError(f"Got columns={columns!r:.40}; expected a whole number of at least 1.")
    columns = min(len(images), columns or math.ceil(math.sqrt(1.6 * len(images))))
    rows = math.ceil(len(images) / columns)
    with _figure(SIDE * columns, (SIDE + 0.3 * (labels is not None)) * rows, columns, rows) as (
        figure,
        axes,
    ):
        for place, axis in enumerate(np.ravel(axes)):
            axis.set_axis_off()
            if place < len(images):
                _show(axis, read_picture(images[place], f"Picture {place}"))
                if labels is not None:
                    axis.set_title(_shortened(str(labels[place])), color=INK, size=10)
    return figure


def picture(image, scores):
    """A picture beside bars of the likeliest of its labels.

    Args:
        image: what `read_picture` takes.
        scores: {label: probability or value}; the largest five are shown.
    """
    array = read_picture(image)
    wide = float(np.clip(3 * array.shape[1] / array.shape[0], 1.8, 4.5))
    with _figure(wide + 3.4, 3.0, 2, width_ratios=[wide, 3.4]) as (figure, (shown, bars)):
        shown.set_axis_off()
        _show(shown, array)
        _bars(bars, scores)
    return figure


def boxes(image, objects, expected=None, labels=None):
    """A picture with boxes round what was found in it.

    Args:
        image: what `read_picture` takes.
        objects: a list of {"label", "box"} and maybe "score", as `ObjectDetector.predict` gives it;
            a box is {"xmin", "ymin", "xmax", "ymax"} or [left, top, right, bottom] in pixels.
        expected: the right ones, which are drawn as broken lines; None for none.
        labels: all names in their order, by which colours are given; those in it by default.
    """
    array = read_picture(image)
    drawn = [(each, False) for each in objects] + [(each, True) for each in expected or ()]
    if labels is None:
        labels = sorted({str(each["label"]) for each, _ in drawn})
    height, width = array.shape[:2]
    wide = float(np.clip(5.0 * width / height, 2.5, 9.0))
    with _figure(wide, float(np.clip(wide * height / width, 2.0, 9.0))) as (figure, axis):
        axis.set_axis_off()
        _show(axis, array)
        for each, is_expected in drawn:
            label = str(each["label"])
            colour = BOXED[labels.index(label) % len(BOXED)] if label in labels else FAINT
            _box(axis, each, colour, is_expected)
        axis.set_xlim(-0.5, width - 0.5)
        axis.set_ylim(height - 0.5, -0.5)
    return figure


def sound(samples, scores, rate=16000, heard=None):
    """The waveform and the spectrogram of a sound beside bars of the likeliest of its labels.

    Args:
        samples: what `read_sound` takes.
        scores: as for `picture`.
        rate: samples a second at which it is read and shown.
        heard: how many of the first samples were heard, where not all: these alone are drawn, and
            the axis says of how much they are the beginning.
    """
    values = read_sound(samples, rate)
    whole, values = len(values) / rate, values[:heard]
    seconds = len(values) / rate
    with _figure(8.6, 3.2, width_ratios=[5.2, 3.4], mosaic="wb;sb") as (figure, axes):
        wave, spectrum, bars = (axes[name] for name in "wsb")
        wave.plot(*_outline(values, seconds), color=COLOURS[0], linewidth=0.7)
        most = max(float(np.abs(values).max()), 1e-6)
        wave.set_ylim(-1.05 * most, 1.05 * most)
        wave.set_ylabel("loudness")
        wave.set_xticklabels([])
        wave.set_yticks([])
        spectrum.imshow(
            _decibels(values, rate), origin="lower", aspect="auto", cmap="GnBu",
            extent=(0, seconds, 0, rate / 2000),
        )  # fmt: skip
        is_all = len(values) == round(whole * rate)
        beginning = "" if is_all else f" (heard: the first {seconds:.3g} of {whole:.3g})"
        spectrum.set_xlabel(f"seconds{beginning}")
        spectrum.set_ylabel("kHz")
        for axis in (wave, spectrum):
            axis.set_xlim(0, seconds)
            axis.spines[:].set_visible(False)
        _bars(bars, scores)
    return figure


def attention(model, image, step=-1):
    """A picture, and beside it where a model looks: brighter what its attention weighs more.

    That is the attention of the place that answers (the class token; the mean over all places
    where a network has none), the mean over the heads of one step.

    Args:
        model: a task on pictures with a network of blocks of attention: ViT, DeiT, CLIP.
        image: what the task reads one of.
        step: which of the schedule's steps; the last by default.
    """
    tower, maps = _maps(model, image)
    if not is_whole(step, -len(maps), len(maps) - 1):
        raise KzooError(
            f"Got step={step!r:.40} of {len(maps)} steps; expected {-len(maps)} to {len(maps) - 1}."
        )
    weights = np.asarray(maps[step], "float32")[0].mean(0)  # (queries, keys)
    before = weights.shape[1] - math.prod(tower.embedding.grid)
    row = (weights[0] if before else weights.mean(0))[before:]
    array = model.read_one(image)
    height, width = array.shape[:2]
    wide = float(np.clip(3 * width / height, 1.5, 5))
    with _figure(2 * wide, 3.2, 2) as (figure, axes):
        for axis in axes:
            axis.set_axis_off()
            _show(axis, array)
        axes[1].imshow(
            row.reshape(tower.embedding.grid), cmap="inferno", alpha=0.65,
            interpolation="bicubic", extent=(-0.5, width - 0.5, height - 0.5, -0.5),
        )  # fmt: skip
        axes[0].set_title("picture", color=FAINT, size=10)
        axes[1].set_title(f"attention of step {step % len(maps)}", color=FAINT, size=10)
    return figure


def confusion(truth, predictions=None, labels=None):
    """A cell for each pair of labels, darker the more of a label's examples are there.

    Args:
        truth: the right labels, as names or indices; or, without predictions, a matrix of counts,
            a row for each right label, a column for each given one.
        predictions: the given labels, or an array (examples, labels) as `predict` gives it.
        labels: the names, in the order of indices; by default those that occur.
    """
    matrix, labels = _counts(truth, predictions, labels)
    count = len(labels)
    size = count * (0.42 if count <= COUNTED else 0.2)
    with _figure(size + 3, size + 2.6) as (figure, axis):
        totals = [max(1, sum(row)) for row in matrix]
        shares = [
            [number / total for number in row] for row, total in zip(matrix, totals, strict=True)
        ]
        image = axis.imshow(shares, cmap="GnBu", vmin=0, vmax=1)
        for right, row in enumerate(matrix if count <= COUNTED else ()):
            for given, number in enumerate(row):
                if number:
                    colour = "white" if shares[right][given] > 0.6 else INK
                    place = {"ha": "center", "va": "center"}
                    axis.text(given, right, f"{number}", **place, color=colour, size=9)
        names = [_shortened(name) for name in labels]
        size = 9 if count <= COUNTED else 6
        axis.set_xticks(range(count), names, rotation=90 if count > 3 else 0, size=size)
        axis.set_yticks(range(count), names, size=size)
        axis.set_xlabel("given")
        axis.set_ylabel("right")
        axis.spines[:].set_visible(False)
        bar = figure.colorbar(image, shrink=0.6, pad=0.03)
        bar.set_label("share of the row", color=FAINT)
        bar.outline.set_visible(False)
        bar.ax.tick_params(colors=FAINT, length=0, labelsize=9)
    return figure


def history(history):
    """Each metric of a training over its epochs, with its course on the validation data.

    Args:
        history: what `fit` returned; or {metric: a value an epoch}, where `val_` begins the names
            of those on the validation data.
    """
    values = getattr(history, "history", history)
    names = [name for name in values if not name.startswith("val_")]
    if not names:
        raise KzooError("Got a history without a metric; expected that of at least one epoch.")
    with _figure(4.6 * len(names), 3.4, len(names)) as (figure, axes):
        for axis, name in zip(np.ravel(axes), names, strict=True):
            for key, label, colour in zip(
                (name, f"val_{name}"), ("training", "validation"), COLOURS, strict=True
            ):
                if course := list(values.get(key, ())):
                    epochs = range(1, len(course) + 1)
                    axis.plot(epochs, course, color=colour, label=label, marker="o", markersize=4)
            axis.set_title(name.replace("_", " "), color=INK, size=12)
            axis.set_xlabel("epoch")
            axis.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
            _ruled(axis)
            if f"val_{name}" in values:
                axis.legend(frameon=False, labelcolor=FAINT)
    return figure


def pareto(report):
    """How right the points of a search for a smaller model are, by their size and by their time.

    Args:
        report: what `kzoo.budget.search` returns: `points` and `model`, dicts with `megabytes`,
            `ms_ratio` and `score`, 0 to 1; `references` with `megabytes` and `score` as well; and
            `budget`, whose bounds are drawn.
    """
    own, budget = {"name": "the model itself", **report["model"]}, report["budget"]
    sides = (
        ("megabytes", "megabytes of the file", budget["max_mb"], report["references"]),
        ("ms_ratio", "time, as a share of the model's", budget["max_ms_ratio"], []),
    )
    drawn = []
    with _figure(10.4, 4.2, 2) as (figure, axes):
        for axis, (key, title, bound, others) in zip(axes, sides, strict=True):
            points = []
            for found, colour, marker in (
                ([own], COLOURS[1], "D"), (report["points"], COLOURS[0], "o"), (others, FAINT, "s"),
            ):  # fmt: skip
                for point in found:
                    place = (point[key], 100 * point["score"])
                    axis.plot(*place, color=colour, marker=marker, markersize=6, linestyle="none")
                    points.append((place, point["name"], colour))
            drawn.append((axis, points))
            if bound is not None:
                axis.axvline(bound, color=FAINT, linewidth=1, linestyle="--")
            axis.set_xscale("log")
            axis.margins(x=0.25, y=0.12)
            axis.autoscale_view()
            ticks = _log_ticks(*axis.get_xlim())
            axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axis.set_xticks([], minor=True)
            axis.set_xlabel(title)
            axis.set_ylabel(f"{report['measure'].replace('_', ' ')}, of 100")
            _ruled(axis)
        figure.draw_without_rendering()  # so that places are known
        for each in drawn:
            _name(*each)
    return figure


def tuning(report):
    """What the trials of a search over settings reached: in their order, and by each setting.

    Args:
        report: what `kzoo.training.tune` returns: `trials`, dicts with `values` and
            `value`; `best`; `objective` and `space`.
    """
    done = [trial for trial in report["trials"] if trial["value"] is not None]
    values = [trial["value"] for trial in done]
    best = next(trial for trial in done if trial["name"] == report["best"])
    panels = [("trial", range(1, len(done) + 1), None, False)]
    for key, asked in report["space"].items():
        is_list = isinstance(asked, list)
        places = [str(t["values"][key]) if is_list else t["values"][key] for t in done]
        if is_list:  # Every value at its place in the list, however far apart they are.
            order = [str(value) for value in asked if str(value) in places]
            places = [order.index(place) for place in places]
        panels.append((key.replace("_", " "), places, order if is_list else None,
                       not is_list and asked.get("log", False)))  # fmt: skip
    with _figure(3.6 * len(panels), 3.4, len(panels)) as (figure, axes):
        for axis, (title, places, names, is_log) in zip(axes, panels, strict=True):
            axis.plot(places, values, color=COLOURS[0], marker="o", markersize=5, linestyle="none")
            own = places[done.index(best)]
            axis.plot([own], [best["value"]], color=COLOURS[1], marker="D", markersize=7)
            axis.set_xlabel(title)
            if is_log:
                axis.set_xscale("log")
                axis.tick_params(which="minor", length=0)
            elif names is not None:
                axis.set_xticks(range(len(names)), [_shortened(name, 12) for name in names])
                axis.set_xlim(-0.6, len(names) - 0.4)
            axis.margins(0.12)
            _ruled(axis)
        axes[0].xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes[0].set_ylabel(report["objective"].replace("_", " "))
    return figure


def write(figure, path):
    """Write a figure as a .png file, which is there whole or not; the same one is the same file."""
    with writing_file(path) as tmp_path:
        # Without versions and dates, the same picture is the same file.
        figure.savefig(tmp_path, format="png", dpi=130, metadata={"Software": None})


# -- what is drawn -------------------------------------------------------------------------------


def _maps(model, image):
    """The network that sees a picture, and its maps (1, heads, queries, keys) by step."""
    backbone = getattr(model, "backbone", None)
    tower = getattr(backbone, "towers", {}).get("image", backbone)
    embedding = getattr(tower, "embedding", None)
    if not hasattr(embedding, "grid") or "images" not in tower.signature:
        raise KzooError(
            f"Got a {type(model).__name__} of {getattr(backbone, 'family', 'no family')}; expected "
            "a task on pictures whose network is blocks of attention over squares of them, such "
            "as an ImageClassifier of a ViT."
        )
    outputs = tower(model.prepared([image]), return_attention_maps=True)
    return tower, outputs["attention_maps"]


def _counts(truth, predictions, labels):
    """The matrix of counts as lists, and the names of its rows."""
    if predictions is None:
        matrix = np.asarray(truth)
        names = [str(i) for i in range(len(matrix))] if labels is None else list(labels)
        if matrix.shape != (len(names), len(names)):
            raise KzooError(
                f"Got a matrix of the shape {matrix.shape} for {len(names)} labels; expected a row "
                "and a column for each, or the right labels and the predictions."
            )
        return matrix.tolist(), names
    if getattr(predictions, "ndim", 1) == 2:
        predictions = np.argmax(predictions, axis=1)
    sides = [[_plain(label) for label in side] for side in (truth, predictions)]
    if len(sides[0]) != len(sides[1]):
        raise KzooError(
            f"Got {len(sides[0]):,} right labels and {len(sides[1]):,} predictions; expected as "
            "many of both."
        )
    if labels is None:
        labels = sorted({*sides[0], *sides[1]}, key=lambda label: (isinstance(label, str), label))
    # Indices stand for names that are given; names and indices may be mixed.
    places = dict(zip(range(len(labels)), range(len(labels)), strict=True))
    places = {**places, **{label: place for place, label in enumerate(labels)}}
    matrix = [[0] * len(labels) for _ in labels]
    for right, given in zip(*sides, strict=True):
        for label in (right, given):
            if label not in places:
                raise KzooError(
                    f"Got the label {label!r:.60}; expected one of {len(labels)} names or indices."
                )
        matrix[places[right]][places[given]] += 1
    return matrix, [str(label) for label in labels]


def _plain(label):
    """A label as Python's own string or number."""
    return label.item() if hasattr(label, "item") else label


def _show(axis, array):
    """A picture as it is; a small one as squares, not blurred."""
    height, width = array.shape[:2]
    axis.imshow(array, interpolation="nearest" if max(height, width) <= COARSE else "antialiased")
    if max(height, width) > THINNEST * min(height, width):  # A line of pixels would be unseen.
        axis.set_aspect("auto")
        axis.set_box_aspect(THINNEST if height > width else 1 / THINNEST)


def _box(axis, thing, colour, is_expected):
    """The outline of a box; where it isn't the right one, with its label and score on it.

    At the upper edge of a picture they stand within the box.
    """
    from matplotlib.patches import Rectangle

    sides = thing["box"]
    if isinstance(sides, dict):
        sides = [sides[name] for name in ("xmin", "ymin", "xmax", "ymax")]
    left, top, right, bottom = (float(side) - 0.5 for side in sides)  # A pixel's middle is whole.
    style = {"linestyle": (0, (4, 3)), "linewidth": 1.0} if is_expected else {"linewidth": 1.8}
    axis.add_patch(
        Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour, **style)
    )
    if is_expected:
        return
    score = f" {100 * thing['score']:.0f} %" if "score" in thing else ""
    lowest, highest = axis.get_ylim()  # of a picture the first row is the highest
    is_at_edge = abs(top - highest) < abs(lowest - highest) * LABEL
    axis.text(
        left, top, f"{_shortened(str(thing['label']))}{score}", color="white", size=7,
        va="top" if is_at_edge else "bottom", ha="left", clip_on=True,
        bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.2},
    )  # fmt: skip


def _bars(axis, scores):
    """The largest numbers, the first on top, each with its label over its bar."""
    largest = sorted(scores.items(), key=lambda pair: -pair[1])[:BARS]
    are_shares = all(0 <= value <= 1 for value in scores.values())
    reach = 1.0 if are_shares else max(max(abs(value) for _, value in largest), 1e-12)
    least = min([0.0, *(value for _, value in largest)])
    for place, (label, value) in enumerate(largest):
        colour = COLOURS[0] if not place else GRID
        axis.barh(place, reach - least, left=least, height=0.34, color=PALE)
        axis.barh(place, value, height=0.34, color=colour)
        number = f"{100 * value:.1f} %" if are_shares else f"{value:.4g}"
        axis.text(least, place - 0.27, _shortened(label, 34), color=INK, size=10, va="bottom")
        axis.text(reach, place - 0.27, number, color=FAINT, size=9, ha="right", va="bottom")
    axis.set_xlim(least, reach)
    axis.set_ylim(BARS - 0.4, -0.8)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)


def _outline(values, seconds, points=4000):
    """Times and values of a waveform: of a long one the smallest and largest of each piece."""
    if len(values) > points:
        piece = -(-2 * len(values) // points)
        whole = values[: len(values) // piece * piece].reshape(-1, piece)
        values = np.stack([whole.min(1), whole.max(1)], axis=1).ravel()
    return np.linspace(0, seconds, len(values)), values


def _decibels(values, rate, most=1000):
    """How strong each frequency is over time, (frequencies, times), 80 dB of it."""
    size = max(8, rate // 40)  # windows of 25 ms
    values = np.pad(values, (0, max(0, size - len(values))))
    hop = max(size // 4, (len(values) - size) // most, 1)
    starts = np.arange(0, len(values) - size + 1, hop)
    frames = values[starts[:, None] + np.arange(size)] * np.hanning(size)
    power = np.abs(np.fft.rfft(frames, axis=1)).T ** 2
    strength = 10 * np.log10(np.maximum(power, 1e-12))
    return np.maximum(strength, strength.max() - 80)


def _ruled(axis):
    """An axis for lines and points: ruled, and open to the top and the right."""
    axis.grid(color=GRID, linewidth=0.8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(GRID)


def _log_ticks(low, high):
    """Round numbers between two on a logarithmic axis: 4 to 8 of them, or as near to that."""
    every = []
    for digits in ROUND:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        found = (float(f"{digit * 10.0**ten:g}") for ten in decades for digit in digits)
        every.append([tick for tick in found if low <= tick <= high])
    few = [ticks for ticks in every if len(ticks) <= 8]
    return next((ticks for ticks in few if len(ticks) >= 4), max(few, key=len))


def _name(axis, points):
    """Names beside points (place, name, colour), over no other name and no other point."""
    spots = [axis.transData.transform(place) for place, *_ in points]
    inside, placed = axis.get_window_extent(), []
    for own, (place, name, colour) in zip(spots, points, strict=True):
        others = [spot for spot in spots if spot is not own]
        label = axis.annotate(name, place, (0, 0), textcoords="offset points", size=7, color=colour)
        tried = []
        for beside in BESIDE:
            _put(label, *beside)
            box = label.get_window_extent()
            over = sum(box.overlaps(other) for other in placed)
            over += sum(box.padded(MARKED).contains(*spot) for spot in others)
            over += not (inside.contains(*box.min) and inside.contains(*box.max))
            tried.append((over, beside))
        _put(label, *min(tried, key=lambda each: each[0])[1])
        placed.append(label.get_window_extent())


def _put(label, right, up, sides):
    label.xyann = (right, up)
    label.set(ha=sides[0], va=sides[1])


def _shortened(name, most=LONGEST):
    """A label that is cut in its middle where it is long: labels often differ at their ends."""
    half = most // 2
    return name if len(name) <= most else f"{name[:half]}…{name[1 - half :]}"


@contextlib.contextmanager
def _figure(width, height, columns=1, rows=1, width_ratios=None, mosaic=None):
    """A figure and its axes, in which a $ of a label is a character like any other."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"text.parse_math": False}):
        figure = Figure(figsize=(width, height), layout="constrained")
        if mosaic is None:
            axes = figure.subplots(rows, columns, width_ratios=width_ratios)
        else:
            axes = figure.subplot_mosaic(mosaic, width_ratios=width_ratios)
        for axis in figure.axes:
            axis.tick_params(colors=FAINT, labelcolor=INK, length=0)
            axis.xaxis.label.set_color(FAINT)
            axis.yaxis.label.set_color(FAINT)
        yield figure, axes
