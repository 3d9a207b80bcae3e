"""Pictures with boxes round things: COCO's JSON, Pascal VOC's folders, .jsonl tables."""

import json
import math
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ..answers import check_labels
from ..errors import KzooError
from ..files import path_of, read_json, read_text, within
from ..images.reading import ENDINGS, picture_size
from ..values import is_number
from .arrays import ArrayPlan
from .examples import Examples, count_of, listed
from .labels import ordered
from .media import PICTURES

KINDS = "COCO's .json, a folder or list of Pascal VOC's, or a .jsonl table"
NUMBERS = 5  # of a target: the label's index, or below 0 where there is none, and the box
SLACK = 1.0  # pixels that a box may reach beyond its picture, as tools that count from 1 write
SIDES = ("xmin", "ymin", "xmax", "ymax")


@dataclass
class BoxExamples(Examples):
    """Pictures, each with a list of {"label", "box"}, a box [left, top, right, bottom] in pixels.

    `names` are the labels in the order of the file, where it has one.
    """

    names: list | None = None

    def counts(self, labels):
        """{label: how many boxes have it}."""
        counted = Counter(each["label"] for row in self.y or () for each in row)
        return {label: counted[label] for label in labels}


def read_boxes(path, targets="required"):
    """The pictures and boxes that a file or folder names.

    Args:
        path: COCO's .json, whose pictures lie beside it, in a folder `images` there or beside its
            own folder; a folder of Pascal VOC, with its .xml files in `Annotations` and pictures in
            `JPEGImages`, or both side by side; one of its lists of names, a .txt in
            `ImageSets/Main`; or a .jsonl table of {"image": path, "objects": [{"label": name,
            "box": [left, top, right, bottom]}]}. With targets "none" also a folder of pictures or a
            table that names some.
        targets: "required", "optional" or "none": whether there must be boxes. A picture may have
            none.

    Returns:
        `BoxExamples`.

    Raises:
        KzooError: naming the file and the box that is none.
    """
    path = path_of(path, "The file or folder of boxes")
    if not path.exists():
        raise KzooError(f"{path} doesn't exist: {KINDS} was expected there.")
    if targets == "none":
        is_annotated = path.suffix in (".json", ".txt") or (path.is_dir() and _xml_files(path))
        is_annotated = is_annotated or (
            path.suffix == ".jsonl" and '"objects"' in read_text(path, "The table of boxes")
        )
        if not is_annotated:
            return PICTURES.read(path, targets="none")
    if path.suffix == ".json":
        examples = _coco(path)
    elif path.is_dir():
        examples = _voc(path, _xml_files(path))
    elif path.suffix == ".txt":
        examples = _voc_list(path)
    elif path.suffix == ".jsonl":
        examples = _table(path)
    else:
        raise KzooError(f"Got {path}; expected {KINDS}.")
    if not len(examples):
        raise KzooError(f"{path} names no picture; expected at least one.")
    return examples


def _coco(path):
    held = read_json(path, "COCO's annotations")
    lists = {name: held.get(name) for name in ("images", "annotations", "categories")}
    missing = [name for name, value in lists.items() if not isinstance(value, list)]
    if missing:
        raise KzooError(
            f"{path} lacks the list {missing[0]}; expected COCO's images, annotations, categories."
        )
    try:
        names = {each["id"]: str(each["name"]) for each in lists["categories"]}
        rows = {each["id"]: (each["file_name"], []) for each in lists["images"]}
        crowds = []
        for each in lists["annotations"]:
            if each.get("iscrowd"):
                crowds.append(each.get("id"))
                continue
            left, top, width, height = each["bbox"]
            box = [left, top, left + width, top + height]
            rows[each["image_id"]][1].append({"label": names[each["category_id"]], "box": box})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise KzooError(
            f"{path} isn't COCO's annotations ({type(error).__name__}: {error}): each annotation "
            "needs an image_id and a category_id that are there, and a bbox of 4 numbers."
        ) from None
    files = [_coco_file(path, name) for name, _ in rows.values()]
    # What COCO calls a crowd is a region of many, which is no box to learn.
    left_out = {"iscrowd": crowds} if crowds else {}
    return BoxExamples(
        path=path,
        x=files,
        y=[boxes for _, boxes in rows.values()],
        lines=[str(name) for name, _ in rows.values()],
        kind="COCO's annotations",
        left_out=left_out,
        unit="picture",
        names=list(dict.fromkeys(names.values())),
    )


def _coco_file(path, name):
    """Where a picture of COCO's annotations lies."""
    beside = path.parent
    folders = (beside, beside / "images", beside.parent, beside.parent / "images")
    for folder in folders:
        file = within(folder, name, str(path), nested=True)
        if file.is_file():
            return file
    raise KzooError(
        f"{path} names the picture {name!r:.80}, which isn't there; expected it beside the file, "
        "or in a folder images."
    )


def _xml_files(folder):
    held = folder / "Annotations" if (folder / "Annotations").is_dir() else folder
    return sorted(held.glob("*.xml"))


def _voc_list(path):
    """The pictures that a list in `ImageSets/Main` names."""
    root = path.parent.parent.parent
    names = [
        line.split()[0]
        for line in read_text(path, "a list of pictures").splitlines()
        if line.strip()
    ]
    files = [within(root / "Annotations", f"{name}.xml", str(path)) for name in names]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise KzooError(
            f"{path} names {listed(missing)}, {count_of(len(missing), 'file')} that {root} lacks "
            "in Annotations: take them out of the list, or fetch them."
        )
    return _voc(root, files, path)


def _voc(folder, files, path=None):
    path = path or folder
    if not files:
        raise KzooError(f"{folder} holds no .xml files of Pascal VOC; expected {KINDS}.")
    x, y = [], []
    for file in files:
        try:
            root = ElementTree.fromstring(read_text(file, "an annotation of Pascal VOC"))
            boxes = [
                {
                    "label": each.findtext("name", "").strip(),
                    "box": [float(each.findtext(f"bndbox/{side}")) for side in SIDES],
                }
                for each in root.iter("object")
            ]
        except (ElementTree.ParseError, TypeError, ValueError) as error:
            raise KzooError(f"{file} isn't an annotation of Pascal VOC ({error}).") from None
        x.append(_voc_file(folder, file, root.findtext("filename", "").strip()))
        y.append(boxes)
    lines = [file.name for file in files]
    return BoxExamples(path, x, y, lines, kind="Pascal VOC's annotations", unit="file")


def _voc_file(folder, file, name):
    """Where the picture of an annotation lies: by the name that it says, or by its own."""
    held = folder / "JPEGImages" if (folder / "JPEGImages").is_dir() else file.parent
    for each in [name, *(file.stem + ending for ending in ENDINGS)]:
        if each and (found := within(held, each, str(file))).is_file():
            return found
    raise KzooError(f"{file} is about the picture {name!r:.80}, which {held} lacks.")


def _table(path):
    rows, lines = [], []
    for number, line in enumerate(read_text(path, "a table").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            boxes = [
                {"label": str(each["label"]), "box": list(each["box"])} for each in row["objects"]
            ]
            name = row.get("image", row.get("file_name"))
            rows.append((within(path.parent, name, f"{path}, line {number},", nested=True), boxes))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise KzooError(
                f"{path}, line {number}: {type(error).__name__}: {error}; expected "
                '{"image": path, "objects": [{"label": name, "box": [left, top, right, bottom]}]}.'
            ) from None
        lines.append(number)
    missing = [str(file) for file, _ in rows if not file.is_file()]
    if missing:
        names = listed([os.path.relpath(name, path.parent) for name in missing])
        raise KzooError(f"{path} names {names}, {count_of(len(missing), 'picture')} not there.")
    x, y = ([row[place] for row in rows] for place in (0, 1))
    return BoxExamples(path, x, y, lines, text="image", label="objects", kind="a .jsonl table")


def label_names(examples, labels=None):
    """The labels of boxes, in the order of the file where it has one.

    Args:
        examples: `BoxExamples`.
        labels: those that are known; a box with another is an error.
    """
    seen = {each["label"] for row in examples.y for each in row}
    if labels is None:
        names = examples.names or ordered(seen)
        if not names:
            raise KzooError(
                f"{examples.path} has no box at all, so there is nothing to learn; expected some, "
                "or labels= for what is only measured."
            )
        check_labels(names, f"{examples.path}")
        return list(names)
    for place, row in enumerate(examples.y):
        other = next((each["label"] for each in row if each["label"] not in labels), None)
        if other is not None:
            raise KzooError(
                f"{examples.where(place)}: got a box of {other!r:.60}; expected one of "
                f"{listed(labels)}."
            )
    return list(labels)


def target_rows(pictures, targets, labels):
    """Boxes as what `ObjectDetector` learns: (pictures, most boxes, 5), float32.

    The five numbers are the index of the label, -1 where a picture has no further box, and centre
    x and y, width and height as shares of the picture.

    Args:
        pictures: what `picture_size` takes.
        targets: for each a list of {"label", "box"}: a name or its index, and [left, top, right,
            bottom] or {"xmin", "ymin", "xmax", "ymax"} in pixels.
        labels: their names.

    Raises:
        KzooError: for a box of no number, of no area or outside its picture, naming it.
    """
    rows = []
    for place, (picture, target) in enumerate(zip(pictures, targets, strict=True)):
        shown = picture if isinstance(picture, (str, Path)) else f"Picture {place}"
        if not isinstance(target, (list, tuple)) or not all(_is_thing(each) for each in target):
            raise KzooError(
                f"{shown} has the target {target!r:.80}; expected a list of "
                '{"label": name, "box": [left, top, right, bottom]}, empty where nothing is there.'
            )
        height, width = picture_size(picture, f"Picture {place}")
        rows.append([_row(shown, each, height, width, labels) for each in target])
    most = max([1, *map(len, rows)])
    made = np.full((len(rows), most, NUMBERS), -1, "float32")
    for place, row in enumerate(rows):
        if row:
            made[place, : len(row)] = row
    return made


def _is_thing(value):
    return isinstance(value, dict) and {"label", "box"} <= set(value)


def _row(shown, thing, height, width, labels):
    """The five numbers of a box."""
    label, box = thing["label"], thing["box"]
    box = [box.get(side) for side in SIDES] if isinstance(box, dict) else box
    numbers = list(box) if isinstance(box, (list, tuple, np.ndarray)) else []
    if len(numbers) != 4 or not all(is_number(n) and math.isfinite(n) for n in numbers):
        raise KzooError(
            f"{shown} has the box {box!r:.80}; expected left, top, right and bottom as numbers."
        )
    left, top, right, bottom = map(float, numbers)
    if right <= left or bottom <= top:
        raise KzooError(
            f"{shown} has the box {numbers} of no area; expected right above left and bottom above "
            "top: take it out."
        )
    if min(left, top) < -SLACK or right > width + SLACK or bottom > height + SLACK:
        raise KzooError(
            f"{shown} has the box {numbers}, which reaches out of the picture of {width} by "
            f"{height} pixels; expected one within: cut it off, or take it out."
        )
    left, right = np.clip([left, right], 0, width) / width
    top, bottom = np.clip([top, bottom], 0, height) / height
    index = label if isinstance(label, int) and 0 <= label < len(labels) else None
    index = labels.index(label) if label in labels else index
    if index is None:
        raise KzooError(f"{shown} has a box of {label!r:.60}; expected one of {listed(labels)}.")
    return [index, (left + right) / 2, (top + bottom) / 2, right - left, bottom - top]


class BoxPlan(ArrayPlan):
    """Pictures of several sizes with their boxes; see `ArrayPlan`.

    `inputs` is given a list of a batch's pictures. `sizes` has (height, width) of each picture that
    was read, by its number, before it was resized.
    """

    def __init__(self, examples, read, inputs, *args, **options):
        super().__init__(examples, read, inputs, *args, **options)
        self.sizes = {}

    def arrays(self, rows):
        """The examples `rows` as a list of arrays."""
        return list(self._threads.map(self._array, np.asarray(rows).tolist()))

    def _array(self, row):
        if row not in self.sizes:
            self.sizes[row] = picture_size(self.examples[row], f"Example {row}")
        return super()._array(row)

    def open_axes(self, value, is_weight):
        """Height and width as well."""
        return {0, 1, 2} if value.ndim > 3 or value.dtype == "int32" else {0}
