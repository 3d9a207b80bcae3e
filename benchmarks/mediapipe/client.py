"""MediaPipe as a client of a bundle; the protocol is in kzoo/bundle/clients.py.

    python client.py predict BUNDLE < texts, or the paths of pictures or sounds
    python client.py encode BUNDLE/tokenizer.json < texts

Runs in an environment of its own, with `mediapipe` and without what kzoo needs, on the
`mediapipe.tflite` that `kzoo export --to mediapipe` puts into a bundle; this checkout's reader of
bundles, which is plain Python, checks it. MediaPipe doesn't show ids: `encode` swaps the file's
network for one operator that gives the ids back as an embedding.
"""

import contextlib
import io
import json
import sys
import wave
import zipfile
from pathlib import Path

import flatbuffers
import mediapipe
import numpy as np
from mediapipe.tasks.metadata import metadata_schema_py_generated as metadata
from mediapipe.tasks.metadata import schema_py_generated as schema
from mediapipe.tasks.python import audio, text, vision
from mediapipe.tasks.python.components.containers import AudioData
from mediapipe.tasks.python.core.base_options import BaseOptions

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from kzoo.bundle.manifest import check_files, read_manifest  # noqa: E402
from kzoo.errors import KzooError  # noqa: E402
from kzoo.lines import read_lines  # noqa: E402

FILE = "mediapipe.tflite"
TASKS = {
    "TextClassifier": (text.TextClassifier, text.TextClassifierOptions),
    "TextEmbedder": (text.TextEmbedder, text.TextEmbedderOptions),
    "ImageClassifier": (vision.ImageClassifier, vision.ImageClassifierOptions),
    "ImageEmbedder": (vision.ImageEmbedder, vision.ImageEmbedderOptions),
    "AudioClassifier": (audio.AudioClassifier, audio.AudioClassifierOptions),
}
LONGEST = 4096  # tokens of the file that gives ids back


def lines():
    read = read_lines(sys.stdin.buffer.read(), "standard input")
    if not read:
        raise KzooError("No text came: lines on standard input are expected.")
    return read


def opened_bundle(folder):
    """The manifest of a bundle, and its file for MediaPipe, both checked."""
    manifest = read_manifest(folder)
    if manifest["task"] not in TASKS:
        raise KzooError(f"{folder} holds a {manifest['task']}; MediaPipe has {', '.join(TASKS)}.")
    options = manifest["task_options"]
    if manifest["reads"] == "pair":
        raise KzooError(f"{folder} reads pairs of texts; MediaPipe reads one text at a time.")
    if options.get("problem", "single_label") != "single_label":
        raise KzooError(
            f"{folder} has the problem {options['problem']}; MediaPipe gives an input one label."
        )
    if FILE not in manifest["files"]:
        raise KzooError(f"{folder} holds no {FILE}: make it with `kzoo export --to mediapipe`.")
    check_files(folder, manifest, {FILE})
    return manifest, (folder / FILE).read_bytes()


def identity(content):
    """The same file, but what comes out is the ids that went in."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    graph = model.subgraphs[0]
    for index in graph.inputs:
        graph.tensors[index].shape = np.array([1, LONGEST], "int32")
        graph.tensors[index].shapeSignature = None
    entry = next(entry for entry in model.metadata if entry.name == b"TFLITE_METADATA")
    data = bytes(model.buffers[entry.buffer].data)
    inputs = metadata.ModelMetadataT.InitFromObj(metadata.ModelMetadata.GetRootAs(data, 0))
    names = [each.name for each in inputs.subgraphMetadata[0].inputTensorMetadata]
    output = schema.TensorT()
    output.name, output.type, output.buffer = b"embedding", schema.TensorType.FLOAT32, 0
    output.shape = np.array([1, LONGEST], "int32")
    graph.tensors.append(output)
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CAST
    code.version = 1
    model.operatorCodes = [code]
    cast = schema.OperatorT()
    cast.inputs = np.array([graph.inputs[names.index(b"ids")]], "int32")
    cast.outputs = graph.outputs = np.array([len(graph.tensors) - 1], "int32")
    graph.operators, model.signatureDefs = [cast], None
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    stream = io.BytesIO(bytes(builder.Output()))
    with zipfile.ZipFile(io.BytesIO(content)) as behind, zipfile.ZipFile(stream, "a") as archive:
        for name in behind.namelist():
            archive.writestr(name, behind.read(name))
    return stream.getvalue()


@contextlib.contextmanager
def opened(task, content):
    """One of `TASKS` on a file; what MediaPipe raises, of many kinds, becomes one sentence."""
    kind, options = TASKS[task]
    try:
        base = BaseOptions(model_asset_buffer=content)
        with kind.create_from_options(options(base_options=base)) as made:
            yield made
    except (KzooError, GeneratorExit):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        raise KzooError(f"{FILE} is refused by MediaPipe ({reason}): export anew.") from None


def picture(path):
    """A picture that MediaPipe reads itself; one in grey with three equal channels."""
    read = mediapipe.Image.create_from_file(path)
    if read.channels != 1:
        return read
    pixels = np.repeat(read.numpy_view().reshape(read.height, read.width, 1), 3, axis=2)
    return mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)


def sound(path):
    """A WAV file of 16 bits and one channel."""
    with wave.open(path, "rb") as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return AudioData.create_from_array((samples / 2**15).astype("float32"), file.getframerate())


READ = {"image": picture, "sound": sound}


def answers(task, content, read=str):
    """Each line of standard input, and what a task says of it."""
    with opened(task, content) as made:
        answer = made.embed if task.endswith("Embedder") else made.classify
        for line in lines():
            answered = answer(read(line))
            # Of a sound there is an answer for each piece; kzoo answers for the first.
            yield line, answered[0] if isinstance(answered, list) else answered


def encode(path):
    _, content = opened_bundle(path.parent)
    for _, answer in answers("TextEmbedder", identity(content)):
        ids = answer.embeddings[0].embedding.astype(int)
        yield {"ids": ids[: np.flatnonzero(ids)[-1] + 1].tolist()}


def predict(folder):
    manifest, content = opened_bundle(folder)
    noun, options = manifest["reads"], manifest["task_options"]
    prompt = options.get("prompts", {}).get(options.get("default_prompt"), "")
    read, noun = (READ[noun], noun) if noun in READ else (lambda line: prompt + line, "text")
    for line, answer in answers(manifest["task"], content, read):
        if manifest["labels"] is None:
            yield {noun: line, "embedding": answer.embeddings[0].embedding.tolist()}
            continue
        scores = {c.category_name: c.score for c in answer.classifications[0].categories}
        if set(scores) != set(manifest["labels"]):
            raise KzooError(f"{folder / FILE} has other labels than kzoo.json: export anew.")
        scores = {label: scores[label] for label in manifest["labels"]}
        best = max(scores, key=scores.get)
        yield {noun: line, "label": best, "score": scores[best], "scores": scores}


def main():
    commands = {"encode": encode, "predict": predict}
    arguments = sys.argv[1:]
    try:
        if "--pairs" in arguments:
            raise KzooError("MediaPipe reads one text at a time: pairs are for other clients.")
        if len(arguments) != 2 or arguments[0] not in commands:
            raise KzooError(
                "encode TOKENIZER.json or predict BUNDLE is expected, one input a line."
            )
        for answer in commands[arguments[0]](Path(arguments[1])):
            print(json.dumps(answer, ensure_ascii=False))
    except KzooError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
