"""Where a result comes from: its processor, versions, commit, and the sources that it measures.

    python benchmarks/provenance.py          write the table of all results, benchmarks/README.md

A script that measures puts `provenance(...)` into its result under the key "provenance". Its
SHA-256 over the sources says later whether the result still speaks of them: the table lists which
results are older than their sources, and a test holds the table against the tree.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "benchmarks" / "README.md"
# What is no result: settings that a script reads, packages of Node.js.
OTHER = ("package.json", "package-lock.json", "_settings.json")
# What int8 and bfloat16 products run on: the first class whose flags a processor has. Ratios hold
# within a class, not between two.
CLASSES = (
    ("x86-64 with AMX", {"amx_int8"}),
    ("x86-64 with AVX-512 VNNI", {"avx512_vnni"}),
    ("x86-64 with AVX VNNI", {"avx_vnni"}),
    ("x86-64 with AVX-512", {"avx512f"}),
    ("x86-64 with AVX2", {"avx2"}),
    ("ARM64 with int8 matrix products", {"i8mm"}),
    ("ARM64 with int8 dot products", {"asimddp"}),
)
UNKNOWN = "not recorded"


def provenance(sources, packages):
    """What a result says of its making.

    Args:
        sources: files and folders, relative to the repository, whose change makes the result old.
        packages: the distributions whose versions matter.
    """
    return {
        "processor": processor(),
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in packages},
        },
        "commit": _git("rev-parse", "HEAD").strip()
        + (" and changes" if _git("status", "--porcelain", "--", *sources) else ""),
        "sources": sorted(sources),
        "sha256": sources_sha256(sources),
    }


def processor():
    """Name, class, cores and load of the machine, as far as Linux tells."""
    described = {}
    if Path("/proc/cpuinfo").is_file():
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            described.setdefault(key.strip(), value.strip())
    flags = set((described.get("flags") or described.get("Features") or "").split())
    gpus = _gpus()
    return {
        "name": described.get("model name", platform.machine()),
        "class": next((name for name, needed in CLASSES if needed <= flags), platform.machine()),
        "cores": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 2),
        **({"gpus": gpus} if gpus else {}),
    }


def _gpus():
    """The names of NVIDIA's cards, as their driver tells."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True).stdout.split("\n")[:-1]


def sources_sha256(sources):
    """The SHA-256 over the tracked files below `sources`: their names and contents.

    A result that lies among them is none of them.
    """
    total, made = hashlib.sha256(), set(result_paths())
    for name in sorted({*_git("ls-files", "-z", "--", *sources).split("\0")[:-1]} - made):
        content = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b""
        total.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return total.hexdigest()


def same_making(one, other):
    """Whether two results were made of the same sources with the same versions."""
    return all(one["provenance"][key] == other["provenance"][key] for key in ("versions", "sha256"))


def result_paths():
    """The path of every result in the tree, relative to it."""
    paths = [*ROOT.glob("benchmarks/*/*.json"), *ROOT.glob("android_demo/tools/bundles.json")]
    kept = (path for path in sorted(paths) if not path.name.endswith(OTHER))
    return [path.relative_to(ROOT).as_posix() for path in kept]


def results():
    """Every result in the tree, as (path relative to it, its content)."""
    for path in result_paths():
        yield path, json.loads((ROOT / path).read_text(encoding="utf-8"))


def table():
    """The text of `benchmarks/README.md`."""
    rows = []
    for path, result in results():
        origin = result["provenance"]
        current = sources_sha256(origin["sources"]) == origin["sha256"]
        rows.append(
            f"| [{path}]({os.path.relpath(ROOT / path, TABLE.parent)}) "
            f"| {origin['processor']['class']} | {origin['commit'][:8]} "
            f"| {'of these sources' if current else 'older than its sources'} "
            f"| {', '.join(f'`{source}`' for source in origin['sources'])} |"
        )
    return "\n".join(
        [
            "# Results",
            "",
            "Every result in this repository with what it was measured on, written by",
            "`python benchmarks/provenance.py`. A ratio holds on processors of its class, not",
            "beyond. Where a source has changed since, the result is older than its sources: it",
            "was true of the commit that it names, and the script beside it makes it anew.",
            "",
            "| result | processor | commit | state | sources |",
            "|---|---|---|---|---|",
            *rows,
            "",
            *_not_run(),
        ]
    )


def _not_run():
    """Lines that name the scripts which were never run where they have to be."""
    made = {Path(path).parent for path in result_paths()}
    scripts = sorted(Path(name) for name in _git("ls-files", "benchmarks/*/measure.py").split())
    names = [f"[{path}]({path.parent.name}/)" for path in scripts if path.parent not in made]
    if not names:
        return []
    return [
        f"Without a result, since no machine for it was at hand: {', '.join(names)}.",
        "",
    ]


def _git(*arguments):
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
    print(f"{TABLE.relative_to(ROOT)}: {sum(1 for _ in results())} results")
