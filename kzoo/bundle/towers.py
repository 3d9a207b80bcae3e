"""A bundle of two or three towers: each a bundle that reads one sense, in one space (CLIP).

image/       a bundle whose vectors are those of pictures; each proves itself as any other does
text/        a bundle whose vectors are those of texts
audio/       a bundle whose vectors are those of sounds; a bundle has two of these, or all
towers.json  what holds them together: format, task, `scale` (what cosines are multiplied by before
             a softmax; of three towers an object of those of each two, as "image_text"), `labels`
             and `templates` of a classifier, the seal of each tower's kzoo.json, the SHA-256 of
             report.json, and last its own seal, see `manifest`
report.json  what all reports say, and how alike file and Keras find one sense for another
report.html  the same to look at
"""

import hashlib
import itertools
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ..answers import centred, check_top, fitting, nearest
from ..errors import KzooError
from ..files import read_json, sha256
from ..values import is_number
from .manifest import MANIFEST, REPORT, UNSEALED, read_manifest, resealed
from .predict import Predictor
from .senses import TEXTS

TOGETHER = "towers.json"
FORMAT = 1
TOWERS = ("image", "text", "audio")
COUNTED = {2: "two", 3: "three"}
FIELDS = {
    "format": int, "kzoo": str, "task": str, "scale": (int, float, dict),
    "labels": (list, type(None)), "templates": list, "towers": dict, "report": str, "seal": str,
}  # fmt: skip
ALONE = ("{}",)  # the template of labels that are texts themselves


def is_of_towers(folder):
    """Whether a folder is a bundle of towers."""
    return (Path(folder) / TOGETHER).is_file()


def towers_in(folder):
    """The names of a bundle's towers, in their order."""
    return [name for name in TOWERS if name in read_together(folder)["towers"]]


def scales(report):
    """What cosines of a bundle of towers are multiplied by, for a sentence."""
    scale = report["scale"]
    if not isinstance(scale, dict):
        return f"{scale:.4g}"
    return ", ".join(f"{each:.4g} ({pair.replace('_', ' and ')})" for pair, each in scale.items())


def write_together(folder, towers, **facts):
    """Write and seal `towers.json` beside the towers; facts as there, but for format and seals."""
    folder = Path(folder)
    together = {
        "format": FORMAT,
        "kzoo": version("kzoo"),
        **facts,
        "towers": {name: read_manifest(folder / name)["seal"] for name in towers},
        "report": sha256(folder / REPORT),
        "seal": UNSEALED,
    }
    text = json.dumps(together, indent=1, ensure_ascii=False) + "\n"
    seal = hashlib.sha256(text.encode("utf-8")).hexdigest()
    (folder / TOGETHER).write_text(resealed(text, UNSEALED, seal), encoding="utf-8")


def read_together(folder):
    """What `towers.json` holds, after its seal, and those of the towers, were checked."""
    path = Path(folder) / TOGETHER
    together = read_json(path, "what holds towers together")
    if together.get("format") != FORMAT:
        raise KzooError(
            f"{path} is of format {together.get('format')!r:.40}; this kzoo reads {FORMAT}: export "
            "anew, or take the kzoo that wrote it."
        )
    seal, text = str(together.get("seal")), path.read_bytes().decode("utf-8")
    unsealed = hashlib.sha256(resealed(text, seal, UNSEALED).encode("utf-8")).hexdigest()
    fits = (
        unsealed == seal
        and set(together) == set(FIELDS)
        and all(isinstance(together[name], kind) for name, kind in FIELDS.items())
        and _fits(together["towers"], together["scale"])
    )
    if not fits:
        raise KzooError(f"{path} was changed after the export: its seal doesn't fit; export anew.")
    for name, own in together["towers"].items():
        manifest = read_manifest(Path(folder) / name)
        if manifest["seal"] != own or manifest["rule"] != "embedding":
            raise KzooError(
                f"{Path(folder) / name / MANIFEST} isn't the one that {path} was written for: "
                "export anew."
            )
    return together


def _fits(towers, scale):
    """Whether there are towers that a bundle may have, with a scale for each two."""
    names = [name for name in TOWERS if name in towers]
    if len(names) != len(towers) or len(names) not in COUNTED:
        return False
    if len(names) == 2:
        return is_number(scale, 0)
    pairs = {"_".join(pair) for pair in itertools.combinations(names, 2)}
    return isinstance(scale, dict) and set(scale) == pairs and all(map(is_number, scale.values()))


class TowersPredictor:
    """A bundle of two or three towers that is open.

    Args:
        folder: the bundle.
        threads: how many each tower may use.
    """

    def __init__(self, folder, threads=1):
        self.folder, self.together = Path(folder), read_together(folder)
        self.towers = {
            name: Predictor(self.folder / name, threads)
            for name in TOWERS
            if name in self.together["towers"]
        }
        if "text" not in self.towers:
            raise KzooError(
                f"{self.folder} has the towers {' and '.join(self.towers)}; expected one of texts."
            )

    @property
    def others(self):
        """The names of the towers that read no texts."""
        return [name for name in self.towers if name != "text"]

    def tower_of(self, given):
        """The name of the tower that reads what is given: of several by the ending of a file.

        given: a list, the first of which counts, or one input.
        """
        first = given[0] if isinstance(given, list) and given else given
        path = Path(first) if isinstance(first, (str, Path)) else None
        if path is not None and path.is_dir():
            path = next((file for file in sorted(path.rglob("*")) if file.is_file()), path)
        ending = "" if path is None else path.suffix.lower()
        fitting = (n for n in self.others if ending in self.towers[n].sense.medium.endings)
        return next(fitting, self.others[0])

    def scale(self, one, other):
        """What cosines of two towers are multiplied by before a softmax."""
        scale = self.together["scale"]
        pair = (name for name in self.towers if name in (one, other))
        return scale["_".join(pair)] if isinstance(scale, dict) else scale

    def classify(self, given, labels=None, templates=None, tower=None):
        """Which of several labels each picture or sound has, of which only the names are known.

        Args:
            given: a list of what a tower reads, or a folder of such files.
            labels: texts; those of the bundle by default.
            templates: texts with {} in the place of a label. The bundle's for its own labels; none
                for others, which are read as they are.
            tower: "image" or "audio"; by default what `tower_of` says.

        Returns:
            A dict each: `image` or `sound` (its path, or None), `label`, `score` and `scores`.
        """
        tower = self.tower_of(given) if tower is None else tower
        own = labels is None
        labels = self.together["labels"] if own else list(labels)
        if not labels:
            raise KzooError(
                f"Got no labels for {self.folder}, whose {self.together['task']} has none of its "
                "own; expected some: on the command line, --label for each."
            )
        if len(set(labels)) < len(labels):
            raise KzooError(f"Got the labels {', '.join(labels)[:80]}; expected each once.")
        templates = templates or (self.together["templates"] if own else ALONE)
        texts = [template.replace("{}", label) for label in labels for template in templates]
        shape = len(labels), len(templates), -1
        names = centred(self._texts(texts).reshape(shape))
        answers = []
        scale, predictor = self.scale(tower, "text"), self.towers[tower]
        for each in predictor.sense.listed(given):
            answer = predictor(each)
            row = fitting(np.array([answer.pop("embedding")]), names, scale)[0]
            best = int(row.argmax())
            scores = {label: float(score) for label, score in zip(labels, row, strict=True)}
            answers.append({**answer, "label": labels[best], "score": float(row[best]),
                            "scores": scores})  # fmt: skip
        return answers

    def search(self, query, given, top=5, by="text", tower=None):
        """The pictures or sounds that a text fits best, or that are near to another input.

        Args:
            query: a text.
            given: a list of what a tower reads, or a folder of such files.
            top: how many.
            by: the name of the tower that reads the query.
            tower: "image" or "audio"; by default what `tower_of` says.

        Returns:
            A list of {"index", "score" (the cosine), "image" or "sound"}, the nearest first.
        """
        check_top(top)
        tower = self.tower_of(given) if tower is None else tower
        sense = self.towers[tower].sense
        given = sense.listed(given)
        asked = self._texts([query]) if by == "text" else vectors(self.towers[by], [query])
        scores = asked @ vectors(self.towers[tower], given).T
        paths = [sense.echo(each, 0, False)[sense.noun] for each in given]
        return nearest(scores[0], paths, top, sense.noun)

    def _texts(self, texts):
        """A vector of length one for each text; what a tower would cut is refused."""
        answers = [self.towers["text"](text) for text in TEXTS.listed(texts)]
        cut = next((answer for answer in answers if answer["truncated"]), None)
        if cut is not None:
            raise KzooError(
                f"Got the text {cut['text']!r:.60}, which is longer than the {cut['tokens']} "
                "tokens that are read; expected a shorter one."
            )
        return np.array([answer["embedding"] for answer in answers])


def vectors(predictor, given):
    """A vector for each input of an embedder's `Predictor`, (inputs, dim)."""
    return np.array([predictor(each)["embedding"] for each in given])
