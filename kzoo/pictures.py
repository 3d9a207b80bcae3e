"""Pictures as PNG files: what is taken for what, and how a training went."""

from .files import writing_file

INK, FAINT, GRID = "#1c2430", "#66707f", "#d9dee5"
COLOURS = ("#0b7a75", "#c2571a")  # what learns, and what it is held against
COUNTED = 40  # Labels up to which the cells show their counts.
LONGEST = 24  # characters of a label


def draw_confusion(labels, confusion, path):
    """Draw a cell for each pair of labels, darker the more of a label's texts are there.

    Args:
        labels: the names.
        confusion: counts, a row for each right label, a column for each given one.
        path: the .png file to write.
    """
    count = len(labels)
    size = count * (0.42 if count <= COUNTED else 0.2)
    figure, axis = _figure(size + 3, size + 2.6)
    totals = [max(1, sum(row)) for row in confusion]
    shares = [
        [number / total for number in row] for row, total in zip(confusion, totals, strict=True)
    ]
    image = axis.imshow(shares, cmap="GnBu", vmin=0, vmax=1)
    for right, row in enumerate(confusion if count <= COUNTED else ()):
        for given, number in enumerate(row):
            if number:
                colour = "white" if shares[right][given] > 0.6 else INK
                axis.text(given, right, f"{number}", ha="center", va="center", color=colour, size=9)
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
    _save(figure, path)


def draw_history(history, path):
    """Draw each metric of a training over its epochs, with its course on the validation data.

    Args:
        history: {metric: a value an epoch} as Keras' `History.history` has it; `val_` begins the
            names of those on the validation data.
        path: the .png file to write.
    """
    names = [name for name in history if not name.startswith("val_")]
    figure, axes = _figure(4.6 * len(names), 3.4, len(names))
    for axis, name in zip(axes if len(names) > 1 else [axes], names, strict=True):
        for key, label, colour in zip(
            (name, f"val_{name}"), ("training", "validation"), COLOURS, strict=True
        ):
            values = history.get(key)
            if values:
                epochs = range(1, len(values) + 1)
                axis.plot(epochs, values, color=colour, label=label, marker="o", markersize=4)
        axis.set_title(name.replace("_", " "), color=INK, size=12)
        axis.set_xlabel("epoch")
        axis.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axis.grid(color=GRID, linewidth=0.8)
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[["left", "bottom"]].set_color(GRID)
        if f"val_{name}" in history:
            axis.legend(frameon=False, labelcolor=FAINT)
    _save(figure, path)


def _shortened(name):
    """A label that is cut in its middle where it is long: labels often differ at their ends."""
    half = LONGEST // 2
    return name if len(name) <= LONGEST else f"{name[:half]}…{name[1 - half :]}"


def _figure(width, height, columns=1):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns)
    for axis in axes if columns > 1 else [axes]:
        axis.tick_params(colors=FAINT, labelcolor=INK, length=0)
        axis.xaxis.label.set_color(FAINT)
        axis.yaxis.label.set_color(FAINT)
    return figure, axes


def _save(figure, path):
    with writing_file(path) as tmp_path:
        # Without versions and dates, the same picture is the same file.
        figure.savefig(tmp_path, format="png", dpi=130, metadata={"Software": None})
