"""How fast the Kotlin tokenizers are, beside Hugging Face's Rust library and DJL's binding to it.

    python benchmarks/tokenizer_speed/measure.py SHARED_DATA [--rounds 7] [--djl CLASSPATH]

SHARED_DATA is the folder with tokenizers, xquad and tatoeba_laser. Needs `mvn package` in
android_demo first, and sentencepiece. Every arm encodes the same lines one by one with ids, tokens
and offsets, on one thread; the arms take turns in every round. Speeds are medians, after warm-up,
of seconds of the processor (for a JVM its compiler's and collector's too), so a busy machine does
them little harm. A cold start is a fresh JVM, from
opening the file to having encoded a word, its own start not counted: of 5 the median, by the clock
and of the processor. A long word is a megabyte without a space. DJL needs its jars
(ai.djl.huggingface:tokenizers and what it depends on) as a classpath.
"""

import argparse
import gzip
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tokenizer_parity"))

import tokenizers
from texts import tatoeba
from tokenizer_files import make

sys.path.insert(0, str(Path(__file__).parent.parent))
from provenance import provenance  # noqa: E402

HERE = Path(__file__).resolve().parent
JAR = HERE.parents[1] / "android_demo/desktop/target/kzoo-desktop.jar"
NAMES = (
    *("bert-base-uncased", "bert-base-multilingual-cased", "gpt2", "clip"),
    *("t5-small", "xlm-roberta-base"),
)
SOURCES = [
    "android_demo/core/src/main/kotlin/kzoo/core/tokenizer",
    "android_demo/core/src/main/kotlin/kzoo/core/unicode",
]  # fmt: skip
ONE_CORE = ["-XX:+UseSerialGC", "-XX:ActiveProcessorCount=1"]
WARM_UP = 3


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
        self.ready = self.seconds()

    def seconds(self):
        clock, process = map(float, self.process.stdout.readline().split())
        return {"clock": clock, "processor": process}

    def __call__(self, lines_file):
        self.process.stdin.write(f"{lines_file}\n")
        self.process.stdin.flush()
        return self.seconds()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Rust:
    def __init__(self, file):
        def read():
            self.tokenizer = tokenizers.Tokenizer.from_file(str(file))
            self.tokenizer.encode("Ready")

        self.ready = self.timed(read)

    def timed(self, work):
        clock, process = time.perf_counter(), time.process_time()
        work()
        return {
            "clock": time.perf_counter() - clock,
            "processor": time.process_time() - process,
        }

    def __call__(self, lines_file):
        lines = lines_file.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        return self.timed(lambda: self.tokenizer.encode_batch(lines))

    def close(self):
        pass


def median(values, digits=3):
    return round(statistics.median(values), digits)


def write(path, lines):
    path.write_text("\n".join(line.replace("\r", " ") for line in lines) + "\n", encoding="utf-8")


def cold_starts(makers, file):
    """{arm: {clock, processor}}: medians of five."""
    found = {arm: [] for arm in makers}
    for _ in range(5):
        for arm, start in makers.items():
            fresh = start(file)
            found[arm].append(fresh.ready)
            fresh.close()
    return {
        arm: {kind: median(each[kind] for each in starts) for kind in ("clock", "processor")}
        for arm, starts in found.items()
    }


def speeds(arms, path, rounds):
    """{arm: megabytes a second}."""
    took = {arm: [] for arm in arms}
    for _ in range(rounds + WARM_UP):
        for arm, run in arms.items():
            took[arm].append(run(path)["processor"])
    size = path.stat().st_size / 1e6
    return {arm: median((size / s for s in each[WARM_UP:]), 2) for arm, each in took.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--java", default=f"java -jar {shlex.quote(str(JAR))}")
    parser.add_argument("--djl", default="")
    parser.add_argument("--output", type=Path, default=HERE / "result.json")
    arguments = parser.parse_args()
    java = shlex.split(arguments.java)
    kotlin = [java[0], *ONE_CORE, *java[1:], "encode"]
    makers = {"kotlin": lambda file: Arm(kotlin, file, "--time"), "rust": Rust}
    if arguments.djl:
        djl = [java[0], *ONE_CORE, "-cp", arguments.djl, str(HERE / "Djl.java")]
        makers["djl"] = lambda file: Arm(djl, file)
    result = {
        "provenance": provenance(SOURCES, ["tokenizers"]),
        "rounds": arguments.rounds,
    }
    tables = ("megabytes_per_second", "ratios", "cold_start_seconds", "long_word_seconds")
    result.update({key: {} for key in ("megabytes", *tables)})
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        files = {name: make(name, arguments.data, folder) for name in NAMES}
        texts = {
            "english": [*english(arguments.data)] * 2,
            "tatoeba": [*tatoeba(arguments.data)][::8],
        }
        paths = {name: folder / f"{name}.txt" for name in texts}
        for name, lines in texts.items():
            write(paths[name], lines)
            result["megabytes"][name] = round(paths[name].stat().st_size / 1e6, 3)
        write(folder / "word.txt", ["ab" * 2**19])
        for name in NAMES:
            result["cold_start_seconds"][name] = cold_starts(makers, files[name])
            arms = {arm: start(files[name]) for arm, start in makers.items()}
            found = {text: speeds(arms, path, arguments.rounds) for text, path in paths.items()}
            result["megabytes_per_second"][name] = found
            result["ratios"][name] = {
                text: {
                    f"kotlin / {arm}": round(each["kotlin"] / each[arm], 2)
                    for arm in each
                    if arm != "kotlin"
                }
                for text, each in found.items()
            }
            took = arms["kotlin"](folder / "word.txt")
            result["long_word_seconds"][name] = {
                key: round(value, 3) for key, value in took.items()
            }
            for arm in arms.values():
                arm.close()
            print(name, json.dumps({key: result[key][name] for key in tables}), flush=True)
            arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
