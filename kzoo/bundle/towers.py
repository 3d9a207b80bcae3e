"""A bundle of two towers: a bundle that reads pictures, one that reads texts, in one space (CLIP).

image/       a bundle whose vectors are those of pictures; each proves itself as any other does
text/        a bundle whose vectors are those of texts
towers.json  what holds them together: format, task, `scale` (what cosines are multiplied by before
             a softmax), `labels` and `templates` of a classifier, the seal of each tower's
             kzoo.json, the SHA-256 of report.json, and last its own seal, see `manifest`
report.json  what both reports say, and how alike file and Keras find texts for pictures
report.html  the same to look at
"""

import hashlib
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
from .senses import SENSES, TEXTS

TOGETHER = "towers.json"
FORMAT = 1
TOWERS = ("image", "text")
FIELDS = {
    "format": int, "kzoo": str, "task": str, "scale": (int, float), "labels": (list, type(None)),
    "templates": list, "towers": dict, "report": str, "seal": str,
}  # fmt: skip
ALONE = ("{}",)  # the template of labels that are texts themselves


def is_of_towers(folder):
    """Whether a folder is a bundle of two towers."""
    return (Path(folder) / TOGETHER).is_file()


def write_together(folder, **facts):
    """Write and seal `towers.json` beside the towers; facts as there, but for format and seals."""
    folder = Path(folder)
    together = {
        "format": FORMAT,
        "kzoo": version("kzoo"),
        **facts,
        "towers": {name: read_manifest(folder / name)["seal"] for name in TOWERS},
        "report": sha256(folder / REPORT),
        "seal": UNSEALED,
    }
    text = json.dumps(together, indent=1, ensure_ascii=False) + "\n"
    seal = hashlib.sha256(text.encode("utf-8")).hexdigest()
    (folder / TOGETHER).write_text(resealed(text, UNSEALED, seal), encoding="utf-8")


def read_together(folder):
    """What `towers.json` holds, after its seal, and those of the towers, were checked."""
    path = Path(folder) / TOGETHER
    together = read_json(path, "what holds two towers together")
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
        and is_number(together["scale"], 0)
        and set(together["towers"]) == set(TOWERS)
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


class TowersPredictor:
    """A bundle of two towers that is open.

    Args:
        folder: the bundle.
        threads: how many each tower may use.
    """

    def __init__(self, folder, threads=1):
        self.folder, self.together = Path(folder), read_together(folder)
        self.image, self.text = (Predictor(self.folder / name, threads) for name in TOWERS)

    def classify(self, pictures, labels=None, templates=None):
        """Which of several labels each picture has, of which only the names are known.

        Args:
            pictures: a list of what the image tower reads, or a folder of pictures.
            labels: texts; those of the bundle by default.
            templates: texts with {} in the place of a label. The bundle's for its own labels; none
                for others, which are read as they are.

        Returns:
            A dict a picture: `image` (its path, or None), `label`, `score` and `scores`.
        """
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
        for picture in SENSES["image"].listed(pictures):
            answer = self.image(picture)
            row = fitting(np.array([answer.pop("embedding")]), names, self.together["scale"])[0]
            best = int(row.argmax())
            scores = {label: float(score) for label, score in zip(labels, row, strict=True)}
            answers.append({**answer, "label": labels[best], "score": float(row[best]),
                            "scores": scores})  # fmt: skip
        return answers

    def search(self, query, pictures, top=5):
        """The pictures that a text fits best.

        Args:
            query: a text.
            pictures: a list of what the image tower reads, or a folder of pictures.
            top: how many.

        Returns:
            A list of {"index", "score" (the cosine), "image"}, the nearest first.
        """
        check_top(top)
        given = SENSES["image"].listed(pictures)
        scores = self._texts([query]) @ vectors(self.image, given).T
        paths = [SENSES["image"].echo(each, 0, False)["image"] for each in given]
        return nearest(scores[0], paths, top, "image")

    def _texts(self, texts):
        """A vector of length one for each text; what a tower would cut is refused."""
        answers = [self.text(text) for text in TEXTS.listed(texts)]
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
