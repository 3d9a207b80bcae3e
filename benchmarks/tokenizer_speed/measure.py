"""How fast the Kotlin tokenizers are, beside Hugging Face's Rust library and DJL's binding to it.

    python benchmarks/tokenizer_speed/measure.py SHARED_DATA [--rounds 7] [--djl CLASSPATH]

SHARED_DATA is the folder with tokenizers, xquad and tatoeba_laser. Needs `mvn package` in
android_demo first, and sentencepiece. Every arm encodes the same lines one by one with ids, tokens
and offsets, on one thread; the arms take turns in every round, and medians are reported after two
rounds of warm-up, so that ratios mean something on another machine. A cold start is a fresh JVM:
from opening the file to having encoded a word, of 5 JVMs the median, its own start not counted. DJL
needs its jars (ai.djl.huggingface:tokenizers and what it depends on) as a classpath.
"""

import argparse
import gzip
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tokenizer_parity"))

import tokenizers
from texts import tatoeba
from tokenizer_files import make_all

HERE = Path(__file__).resolve().parent
JAR = HERE.parents[1] / "android_demo/desktop/target/kzoo-desktop.jar"
NAMES = (
    *("bert-base-uncased", "bert-base-multilingual-cased", "gpt2", "clip"),
    *("t5-small", "xlm-roberta-base"),
)
JVM = ["java", "-XX:+UseSerialGC", "-XX:ActiveProcessorCount=1"]


def english(data):
    with gzip.open(data / "xquad" / "xquad.en.json.gz") as file:
        articles = json.load(file)["data"]
    for article in articles:
        for paragraph in article["paragraphs"]:
            yield paragraph["context"].replace("\n", " ")
            yield from (question["question"] for question in paragraph["qas"])


class Arm:
    """A JVM that times files on request."""

    def __init__(self, command, file, *flags):
        self.process = subprocess.Popen(
            [*command, str(file), *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.ready = float(self.process.stdout.readline())

    def __call__(self, lines_file):
        self.process.stdin.write(f"{lines_file}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Rust:
    def __init__(self, file):
        start = time.perf_counter()
        self.tokenizer = tokenizers.Tokenizer.from_file(str(file))
        self.tokenizer.encode("Ready")
        self.ready = time.perf_counter() - start

    def __call__(self, lines_file):
        lines = lines_file.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        start = time.perf_counter()
        self.tokenizer.encode_batch(lines)
        return time.perf_counter() - start

    def close(self):
        pass


def median(values, digits=3):
    return round(statistics.median(values), digits)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--djl", default="")
    parser.add_argument("--output", type=Path, default=HERE / "result.json")
    arguments = parser.parse_args()
    kotlin = [*JVM, "-jar", str(JAR), "encode"]
    djl = [*JVM, "-cp", arguments.djl, str(HERE / "Djl.java")]
    result = {"python": platform.python_version(), "tokenizers": version("tokenizers")}
    result["rounds"] = arguments.rounds
    tables = ("megabytes_per_second", "ratios", "cold_start_seconds", "long_word_seconds")
    result.update({key: {} for key in ("megabytes", *tables)})
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        files = make_all(arguments.data, folder)
        texts = {
            "english": [*english(arguments.data)] * 2,
            "tatoeba": [*tatoeba(arguments.data)][::8],
        }
        paths = {}
        for name, lines in texts.items():
            paths[name] = folder / f"{name}.txt"
            paths[name].write_text(
                "\n".join(line.replace("\r", " ") for line in lines) + "\n", encoding="utf-8"
            )
            result["megabytes"][name] = round(paths[name].stat().st_size / 1e6, 3)
        word = folder / "word.txt"
        word.write_text("ab" * 524_288 + "\n", encoding="utf-8")
        for name in NAMES:
            arms = {"kotlin": Arm([*kotlin], files[name], "--time"), "rust": Rust(files[name])}
            if arguments.djl:
                arms["djl"] = Arm(djl, files[name])
            starts = {arm: [each.ready] for arm, each in arms.items()}
            for _ in range(4):
                for arm, make in (
                    ("kotlin", lambda f: Arm([*kotlin], f, "--time")),
                    ("rust", Rust),
                ):
                    fresh = make(files[name])
                    starts[arm].append(fresh.ready)
                    fresh.close()
            result["cold_start_seconds"][name] = {arm: median(each) for arm, each in starts.items()}
            speeds = result["megabytes_per_second"][name] = {}
            result["ratios"][name] = {}
            for text, path in paths.items():
                took = {arm: [] for arm in arms}
                for number in range(arguments.rounds + 2):
                    for arm, run in arms.items():
                        seconds = run(path)
                        if number >= 2:
                            took[arm].append(seconds)
                size = result["megabytes"][text]
                speeds[text] = {
                    arm: median([size / s for s in each], 2) for arm, each in took.items()
                }
                result["ratios"][name][text] = {
                    f"kotlin / {arm}": round(speeds[text]["kotlin"] / speed, 2)
                    for arm, speed in speeds[text].items()
                    if arm != "kotlin"
                }
            result["long_word_seconds"][name] = {
                arm: round(run(word), 3) for arm, run in arms.items() if arm == "kotlin"
            }
            for arm in arms.values():
                arm.close()
            print(name, json.dumps({key: result[key][name] for key in tables}), flush=True)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
