"""What KerasHub answers from folders that another wrote.

    python benchmarks/on_disk/answers_kerashub.py WORK

runs where keras-hub is installed, without kzoo. Each folder FOLDER in WORK is loaded with
`from_preset` and run on FOLDER.inputs.npz; its answers go to FOLDER.task.npz and
FOLDER.backbone.npz. Where a folder has a tokenizer and WORK a texts.json, a list of strings, the
ids of each text go to FOLDER.tokens.json.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras_hub
import numpy as np

BATCH = 256


def answers(model, given):
    """The outputs of a model by name."""
    named = isinstance(model.input, dict)
    outputs = model({n: given[n] for n in model.input} if named else given["images"])
    outputs = outputs if isinstance(outputs, dict) else {"output": outputs}
    return {name: np.asarray(array) for name, array in outputs.items()}


def cut(tokenizer, texts, start):
    """The ids of as many texts as a batch holds."""
    rows = tokenizer(texts[start : start + BATCH])
    return (
        rows.to_list() if hasattr(rows, "to_list") else [np.asarray(row).tolist() for row in rows]
    )


def main(work):
    texts = json.loads((work / "texts.json").read_text()) if (work / "texts.json").is_file() else []
    for folder in sorted(path for path in work.iterdir() if path.is_dir()):
        classes = {"backbone": keras_hub.models.Backbone}
        if (folder / "task.json").is_file():
            name = json.loads((folder / "task.json").read_text())["class_name"]
            classes["task"] = getattr(keras_hub.models, name)
        inputs = work / f"{folder.name}.inputs.npz"
        for part, cls in classes.items() if inputs.is_file() else ():
            with np.load(inputs) as given:
                outputs = answers(cls.from_preset(str(folder)), given)
            np.savez(work / f"{folder.name}.{part}.npz", **outputs)
        if texts and (folder / "tokenizer.json").is_file():
            tokenizer = keras_hub.models.Tokenizer.from_preset(str(folder))
            ids = [row for at in range(0, len(texts), BATCH) for row in cut(tokenizer, texts, at)]
            (work / f"{folder.name}.tokens.json").write_text(json.dumps(ids))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
