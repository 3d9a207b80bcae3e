"""A small Transformer writes numbers as words of three languages: the preset that ships.

    pip install num2words==0.5.14
    python benchmarks/number_words/measure.py --output PRESET

num2words says what is right, in English, German and French. A source is a language and digits,
"fr 71071"; a target is "soixante et onze mille soixante et onze". All numbers below 100 train,
several times an epoch, and of those with 3 to 6 digits as many as `SIZES` says, each in all three
languages. The numbers of the held-out part, which gives the curve, and of the test were drawn
likewise and trained in none. Nothing is chosen by the test, which the weights as stored are
measured on. It writes the preset, and `result.json` and `curve.png` beside this script.
"""

import argparse
import random
import sys
from pathlib import Path

import num2words

import kzoo
from kzoo import presets, stored

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import pairs  # noqa: E402

LANGUAGES = {"en": "English", "de": "German", "fr": "French"}
SETTINGS = {
    "layers": 2,
    "width": 128,
    "heads": 4,
    "intermediate": 384,
    "places": 64,
    "tokens": 400,
    "initializer_range": 128**-0.5,
    "dropout": 0.0,
    "batch_size": 64,
    "epochs": 8,
    "learning_rate": 1.5e-3,
    "warmup": 300,
    "decay": "linear",
    "weight_decay": 0.01,
    "beta_2": 0.98,
    "label_smoothing": 0.0,
    "seed": 0,
}
SIZES = {"train": 10_000, "held_out": 100, "test": 1_000}  # Numbers, each in every language.
OFTEN = 12  # times that numbers below 100 are in an epoch: there are few, and they are irregular.
SHOWN = ("en 7", "en 90210", "de 1777", "de 65536", "fr 80", "fr 71071", "fr 999999")
CARD = {
    "summary": "The Transformer of 2017 in small that writes numbers as words in English, German "
    "and French: 2 and 2 layers, width 128.",
    "paper": "Vaswani et al. 2017, Attention Is All You Need, arXiv:1706.03762",
    "source": "numbers drawn by the script, and num2words 0.5.14, which says their words",
    "license": "apache-2.0",
}


def in_words(number, language):
    """The pair of a number in a language."""
    return f"{language} {number}", num2words.num2words(number, lang=language)


def drawn(seed):
    """The pairs of each part; no number lies in two."""
    draw, numbers = random.Random(seed), {}
    while len(numbers) < sum(SIZES.values()):
        digits = draw.randint(3, 6)
        numbers[draw.randrange(10 ** (digits - 1), 10**digits)] = None
    rest = iter(draw.sample(list(numbers), len(numbers)))
    parts = {part: [next(rest) for _ in range(size)] for part, size in SIZES.items()}
    parts["train"] += [*range(100)] * OFTEN
    return {
        part: [in_words(number, language) for number in some for language in LANGUAGES]
        for part, some in parts.items()
    }


def main():
    """Train, round to what ships, look at the test once, and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="the preset's folder")
    args = parser.parse_args()
    parts, watch = drawn(SETTINGS["seed"]), pairs.Watch()
    words = [target for _, target in parts["train"]]
    tokenizer = pairs.byte_tokenizer(words, SETTINGS["tokens"])
    network = pairs.network("transformer_base_en_de", SETTINGS, tokenizer)
    task = kzoo.Seq2SeqLM(network, tokenizer=tokenizer)
    steps = -(-len(parts["train"]) // SETTINGS["batch_size"]) * SETTINGS["epochs"]
    pairs.compile_task(task, SETTINGS, steps)
    course = pairs.Course()
    task.fit(
        parts["train"],
        batch_size=SETTINGS["batch_size"],
        epochs=SETTINGS["epochs"],
        seed=SETTINGS["seed"],
        callbacks=[kzoo.WrittenScores(parts["held_out"], scores=["exact"]), course],
        verbose=0,
    )
    spent = watch.read()
    stored.round_weights(task)
    sources, targets = zip(*parts["test"], strict=True)
    shown = pairs.examples(parts["test"], task.generate(list(sources), batch_size=500))
    wrong = [each for each in shown if each["written"] != each["expected"]]
    share = {
        name: 1 - sum(each["source"].startswith(code) for each in wrong) / SIZES["test"]
        for code, name in LANGUAGES.items()
    }
    exact = 1 - len(wrong) / len(targets)
    trained = [in_words(number, language) for number in range(100) for language in LANGUAGES]
    small = pairs.examples(trained, task.generate([source for source, _ in trained]))
    small_wrong = [each for each in small if each["written"] != each["expected"]]
    below = 1 - len(small_wrong) / len(small)
    measured = {
        "data": f"{SIZES['test']:,} numbers of 3 to 6 digits in each language, of which none was "
        "trained in any, and by which nothing was chosen",
        "exact": round(exact, 5),
        "by_language": share,
        "exact_below_100_which_was_trained": below,
        "command": "python benchmarks/number_words/measure.py",
    }
    made = (
        "benchmarks/number_words/measure.py: trained from nothing on "
        f"{len(parts['train']):,} pairs, whose numbers are those below 100, {OFTEN} times, and "
        f"{SIZES['train']:,} of 3 to 6 digits. Then the token table was rounded to int8 with a "
        "scale a row and the other matrices to float16, which is how they are stored; the figures "
        "are of the rounded weights. Numbers above 999,999 it never saw."
    )
    card = {**CARD, "made": made, "settings": SETTINGS, "measured": measured}
    written = dict(zip(SHOWN, task.generate(list(SHOWN)), strict=True))
    presets.save_preset(task, args.output, card={**card, "samples": written}, rounded="tables")
    result = {
        "what": "a small Transformer that writes numbers as words in English, German and French: "
        "the share of numbers it was not trained on that is right to the character",
        "settings": SETTINGS,
        "numbers": SIZES,
        "parameters": task.count_params(),
        "exact": exact,
        "by_language": share,
        "below_100_which_was_trained": below,
        **spent,
        "files_megabytes": round(sum(f.stat().st_size for f in args.output.iterdir()) / 1e6, 2),
        "samples": written,
        "wrong": [*wrong[:10], *small_wrong[:10]],
        "course": course.rows,
    }
    pairs.write(HERE / "result.json", result, ["benchmarks/number_words/measure.py"], ["num2words"])
    curve = {"": [(row["epoch"], row["val_exact"]) for row in course.rows]}
    pairs.draw(curve, HERE / "curve.png", "numbers right to the character, %")


if __name__ == "__main__":
    main()
