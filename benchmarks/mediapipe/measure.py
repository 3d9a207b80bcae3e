"""Does MediaPipe give kzoo's labels and embeddings, and how often are its tokenizer's ids others?

    python benchmarks/mediapipe/measure.py SHARED_DATA [--work build] [--output result.json]

Makes an environment with mediapipe in WORK/mediapipe and bundles with a file for it, once: the
sentiment recipe, an embedder on the same encoder, the preset that reads digits and an embedder on
its encoder, and the Keyword Transformer. SHARED_DATA holds nltk_udhr, tatoeba_laser, mnist and
fsdd_600. Every line goes through MediaPipe's own tokenizer, through Hugging
Face's, and through what kzoo takes for MediaPipe's at an export (kzoo/bundle/mediapipe.py), which
must not differ. Pictures and sounds go through MediaPipe's own readers: of a file's own size and
rate they must give the bundle's answers; what its code for others changes is measured.
"""

import argparse
import gzip
import io
import json
import subprocess
import sys
import tarfile
import venv
import wave
from pathlib import Path

import numpy as np
from PIL import Image

import kzoo
from kzoo.bundle import clients, export_bundle, mediapipe, senses
from kzoo.data.sources import read_examples
from kzoo.litert.interpreter import Interpreter

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tokenizer_parity"))
from texts import languages, tatoeba  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent.parent))
from provenance import provenance  # noqa: E402

SOURCES = [
    "benchmarks/mediapipe", "kzoo/audio", "kzoo/bundle/mediapipe.py", "kzoo/images",
    "kzoo/litert/metadata.py",
]  # fmt: skip
DIGITS, WORDS = "vit_micro_4_28.mnist", "kwt1_speech_commands"
LARGER = 3  # times MNIST's size

EXPORT = HERE.parent.parent / "export"
PACKAGE = "mediapipe==1.2.2"
NEAR = 1e-4


def environment(work):
    """The command of client.py in an environment with mediapipe, made when it is not there."""
    python = work / "mediapipe" / "bin" / "python"
    if not python.is_file():
        venv.create(work / "mediapipe", with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", PACKAGE], check=True)
    return [str(python), str(HERE / "client.py")]


def bundles(work):
    """{name: the bundle with a file for MediaPipe}, made when it is not there."""
    names = ("classifier", "embedder", "digits", "digits_embedder", "words")
    folders = {name: work / "mediapipe_bundles" / name for name in names}
    recipe = json.loads((EXPORT / "sentiment.json").read_text(encoding="utf-8"))
    if not folders["classifier"].is_dir():
        changes = {"mediapipe": True}
        kzoo.export_recipe(EXPORT / "sentiment.json", folders["classifier"], changes=changes)
    if not folders["embedder"].is_dir():
        export_bundle(
            kzoo.TextEmbedder(recipe["preset"]),
            folders["embedder"],
            length=mediapipe.LENGTH,
            recipe={"preset": recipe["preset"], "mediapipe": True},
        )
    others = {
        "digits": (kzoo.load, DIGITS, "int8"),
        "digits_embedder": (kzoo.ImageEmbedder, DIGITS, "float32"),
        "words": (kzoo.load, WORDS, "float32"),
    }
    for name, (made, preset, quantization) in others.items():
        if not folders[name].is_dir():
            recipe = {"preset": preset, "mediapipe": True}
            export_bundle(made(preset), folders[name], quantization, recipe=recipe)
    return folders


def pictures(data, work):
    """{what they are: paths} of MNIST's test pictures, as they are and larger."""
    content = gzip.decompress((data / "mnist" / "t3k-images-idx3-ubyte.gz").read_bytes())
    pixels = np.frombuffer(content, "uint8", offset=16).reshape(-1, 28, 28)
    folders = {"as the file takes them": 1, f"{LARGER} times as large": LARGER}
    paths = {}
    for kind, times in folders.items():
        folder = work / "mediapipe_inputs" / f"mnist_{times}"
        folder.mkdir(parents=True, exist_ok=True)
        paths[kind] = [folder / f"{place:04}.png" for place in range(len(pixels))]
        for picture, path in zip(pixels, paths[kind], strict=True):
            image = Image.fromarray(picture)
            image.resize((28 * times, 28 * times), Image.Resampling.BICUBIC).save(path)
    return paths


def clips(data, work):
    """{what they are: paths} of the official test part of spoken digits, as WAV."""
    from kzoo.audio.sounds import read_sound

    folder = work / "mediapipe_inputs"
    as_is, resampled = folder / "fsdd", folder / "fsdd_16000"
    for each in (as_is, resampled):
        each.mkdir(parents=True, exist_ok=True)
    with tarfile.open(data / "fsdd_600" / "fsdd_600.tar.xz") as archive:
        for member in archive.getmembers():
            name = Path(member.name).name
            if not name.endswith(".wav") or int(name[:-4].split("_")[-1]) > 4:
                continue  # Takes from 5 on are for training.
            content = archive.extractfile(member).read()
            (as_is / name).write_bytes(content)
            samples = np.clip(read_sound(io.BytesIO(content).getvalue(), 16000, name), -1, 1)
            with wave.open(str(resampled / name), "wb") as file:
                file.setparams((1, 2, 16000, 0, "NONE", ""))
                file.writeframes(np.round(samples * (2**15 - 1)).astype("<i2").tobytes())
    return {
        "as the file takes them": sorted(resampled.iterdir()),
        "of 8,000 samples a second": sorted(as_is.iterdir()),
    }


def tokenizers(command, folder, sources):
    """How many lines have other ids than Hugging Face's, and than kzoo's idea of MediaPipe's."""
    own = kzoo.Tokenizer.load(folder)
    copy = mediapipe.tokenizer(own)
    found = {}
    for name, lines in sources.items():
        real = [
            row["ids"]
            for row in clients.run([*command, "encode", folder / "tokenizer.json"], lines)
        ]
        reference = own.encode(lines)["token_ids"]
        frame = own.encode(["a"])["token_ids"][0]
        thought = [[frame[0], *each.ids, frame[-1]] for each in copy.encode_batch(lines)]
        differ = sum(a != b for a, b in zip(real, reference, strict=True))
        mistaken = [line for line, a, b in zip(lines, real, thought, strict=True) if a != b]
        for line in mistaken[:5]:
            print(f"kzoo takes MediaPipe's ids for others: {line!r}")
        found[name] = {
            "lines": len(lines),
            "other_ids_than_hugging_face": differ,
            "share": round(differ / len(lines), 4),
            "other_ids_than_kzoo_says": len(mistaken),
        }
        print(name, found[name], flush=True)
    return found


def same_file(command, folder, lines):
    """The largest distance to the file itself on LiteRT, on the ids that MediaPipe gives it."""
    interpreter = Interpreter(folder / mediapipe.FILE)
    ids = [
        row["ids"] for row in clients.run([*command, "encode", folder / "tokenizer.json"], lines)
    ]
    answers = clients.run([*command, "predict", folder], lines)
    worst = 0.0
    for row, answer in zip(ids, answers, strict=True):
        row = row if len(row) <= interpreter.length else [*row[: interpreter.length - 1], row[-1]]
        columns = {name: np.zeros((1, interpreter.length), "int32") for name in mediapipe.INPUTS}
        columns["token_ids"][0, : len(row)] = row
        columns["padding_mask"][0, : len(row)] = 1
        (expected,) = interpreter.run(columns).values()
        got = answer["embedding"] if "embedding" in answer else list(answer["scores"].values())
        worst = max(worst, float(np.abs(np.array(got) - expected[0]).max()))
    return worst


def of_files(command, folder, paths):
    """What MediaPipe answers for pictures or sounds."""
    lines = "".join(f"{path}\n" for path in paths)
    ran = subprocess.run(
        [*command, "predict", folder], input=lines, stdout=subprocess.PIPE, text=True, check=True
    )
    return [json.loads(line) for line in ran.stdout.splitlines()]


def against_python(folder, lines, answers):
    """Labels and scores, or embeddings, of MediaPipe beside those of `kzoo predict`."""
    expected = kzoo.predict_bundle(folder, lines)
    found = {"inputs": len(lines)}
    if "label" in expected[0]:
        found["labels_equal"] = sum(
            one["label"] == other["label"] for one, other in zip(answers, expected, strict=True)
        )
        distances = [
            max(abs(one["scores"][label] - other["scores"][label]) for label in other["scores"])
            for one, other in zip(answers, expected, strict=True)
        ]
    else:
        distances = [
            float(np.abs(np.subtract(one["embedding"], other["embedding"])).max())
            for one, other in zip(answers, expected, strict=True)
        ]
    return {
        **found,
        "largest_difference": max(distances),
        "mean_difference": float(np.mean(distances)),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=Path("build"))
    parser.add_argument("--output", type=Path, default=HERE / "result.json")
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    command, folders = environment(work), bundles(work)
    english = read_examples(EXPORT / "sentiment.tsv").x
    texts = {
        "labelled English": english,
        "shipped English": senses.sentences(),
        "languages": senses.languages(),
    }
    sources = {
        **texts,
        "udhr": [
            " ".join(line.split("\r")) for _, lines in languages(arguments.data) for line in lines
        ],
        "tatoeba": [line for line in tatoeba(arguments.data) if line.strip()],
    }
    result = {
        "mediapipe": PACKAGE.partition("==")[2],
        "provenance": provenance(SOURCES, ["kzoo", "tokenizers", "ai-edge-litert"]),
        "tokenizer": tokenizers(command, folders["classifier"], sources),
        "tasks": {
            name: {
                "to_the_same_file": same_file(command, folders[name], sum(texts.values(), [])),
                "to_python": {
                    kind: against_python(
                        folders[name],
                        lines,
                        clients.run([*command, "predict", folders[name]], lines),
                    )
                    for kind, lines in texts.items()
                },
            }
            for name in ("classifier", "embedder")
        },
        "pictures_and_sounds": {
            name: {
                kind: against_python(folders[name], paths, of_files(command, folders[name], paths))
                for kind, paths in of.items()
            }
            for of, names in (
                (pictures(arguments.data, work), ("digits", "digits_embedder")),
                (clips(arguments.data, work), ("words",)),
            )
            for name in names
        },
    }
    print(json.dumps([result["tasks"], result["pictures_and_sounds"]], indent=1))
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    own = [entry["as the file takes them"] for entry in result["pictures_and_sounds"].values()]
    distances = [entry["to_the_same_file"] for entry in result["tasks"].values()]
    distances += [entry["largest_difference"] for entry in own]
    near = all(distance <= NEAR for distance in distances)
    known = all(not entry["other_ids_than_kzoo_says"] for entry in result["tokenizer"].values())
    return 0 if near and known else 1


if __name__ == "__main__":
    sys.exit(main())
