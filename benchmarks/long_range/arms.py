"""What the benchmarks of long inputs share: one thread an arm, tables and pictures.

An arm is a process of its own, with one thread, which serves turns (`kzoo.turns`). A cell of a
paper's table stands beside what was measured here, reached or not.
"""

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from provenance import provenance  # noqa: E402

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}
PACKAGES = ["keras", "tensorflow", "jax", "torch", "transformers", "numpy"]
MARKS = "x+1234"  # of what papers say, one a curve
COLOURS = ("#0b7a75", "#c2571a", "#5b4b8a", "#1c2430", "#b08900")


def cell(actual, paper):
    """A number beside the paper's, and whether it reaches it."""
    return {"actual": round(actual, 2), "paper": paper, "reached": paper and actual >= paper}


def record(name, found, sources):
    """Write NAME.json beside this script, with where it comes from."""
    own = [f"benchmarks/long_range/{file}" for file in ("arms.py", Path(sys.argv[0]).name)]
    found = {**found, "provenance": provenance([*own, *sources], PACKAGES)}
    (HERE / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def picture(name, panels):
    """Write NAME.png: curves, log-log unless a panel says otherwise.

    Args:
        panels: a list of {"title", "x", "y": the names of the axes, "curves": {name: [(x, y)]},
            "paper": {name: [(x, y)]}, "scale": that of both axes}; the paper's are points.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter, StrMethodFormatter

    figure = Figure(figsize=(5.5 * len(panels), 4.2), layout="constrained")
    for panel, axis in zip(panels, figure.subplots(1, len(panels), squeeze=False)[0], strict=True):
        for number, (label, points) in enumerate(panel["curves"].items()):
            colour = COLOURS[number % len(COLOURS)]
            axis.plot(*zip(*points, strict=True), "o-", ms=3, color=colour, label=label)
        for (label, points), mark in zip(panel.get("paper", {}).items(), MARKS, strict=False):
            axis.plot(*zip(*points, strict=True), mark, color="#66707f", label=label)
        scale = panel.get("scale", "log")
        axis.set(title=panel["title"], xlabel=panel["x"], ylabel=panel["y"])
        axis.set(xscale=scale, yscale=scale)
        if scale == "log":
            axis.set_xticks(sorted({x for points in panel["curves"].values() for x, _ in points}))
            axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            axis.xaxis.set_minor_formatter(NullFormatter())
            axis.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
            axis.yaxis.set_minor_formatter(NullFormatter())
        axis.grid(True, which="major", color="#d9dee5")
        axis.legend(frameon=False, fontsize=8)
    figure.savefig(HERE / f"{name}.png", dpi=110)
