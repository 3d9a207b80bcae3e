"""Tokens a second of a MarianMT translator in a LiteRT file, on one thread, beside its peers.

    python benchmarks/translation/measure.py [--rounds 5] [--files FOLDER] [--peers-python PYTHON]

All arms have the same weights, those of a MarianMT of OPUS-MT's size (6 and 6 blocks, width 512,
58,101 tokens), drawn and not trained, since time does not depend on them:

    kzoo float32, kzoo int8                the file of a Seq2SeqLM, encode and decode
    torch                                  transformers' MarianMTModel in float32
    ctranslate2 float32, ctranslate2 int8  CTranslate2, run by --peers-python, which needs
                                           ctranslate2, torch and transformers

Each arm is a process of its own that stays alive and takes its turn, so that a busy moment of the
machine falls on all; ratios are medians of the ratios within a round. A turn reads a source of 24
tokens and writes `--new` of it, once greedily and once by a search with four beams; none ends
before. In float32 kzoo and transformers must write the same. Beside the clock the processor's time
is given, which other processes lengthen less. Files are kept in FOLDER and made only once.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from kzoo.turns import middle, ratio, serve, take, timed  # noqa: E402

ARMS = ("kzoo float32", "kzoo int8", "torch", "ctranslate2 float32", "ctranslate2 int8")
SEARCHES = {"greedy": 1, "beams": 4}
SOURCE, VOCABULARY, CACHE, END = 24, 58101, 64, 0
PADDING = VOCABULARY - 1  # the last, with which the decoder begins
TARGET = 1.0  # kzoo float32 against torch
SOURCES = [
    "benchmarks/translation", "kzoo/bundle/file_step.py", "kzoo/generation", "kzoo/graphs.py",
    "kzoo/litert", "kzoo/models/marian.py", "kzoo/nn", "kzoo/tasks/seq2seq_lm.py",
]  # fmt: skip
PACKAGES = ("kzoo", "keras", "tensorflow", "ai-edge-litert", "torch", "transformers")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--new", type=int, default=32)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    parser.add_argument("--files", type=Path, default=Path("build/translation"))
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "result.json")
    parser.add_argument("--peers-python", default=sys.executable)
    parser.add_argument("--worker", choices=ARMS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments)
        return
    result = compare(arguments)
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({k: v for k, v in result.items() if k != "provenance"}, indent=2))


def compare(arguments):
    """Let the arms take turns; returns what is written down."""
    from provenance import provenance

    arguments.files.mkdir(parents=True, exist_ok=True)
    commands = {arm: command(arm, arguments) for arm in arguments.arms}
    turns, loads = take(
        commands, arguments.rounds, dict.fromkeys(commands, {"OMP_NUM_THREADS": "1"})
    )
    exact = [arm for arm in ("kzoo float32", "torch") if arm in turns]
    for search in SEARCHES:
        if len({str(turn[search]) for arm in exact for turn in turns[arm]}) > 1:
            raise SystemExit(f"error: the float32 arms write different tokens ({search}).")
    short = [a for a in turns for t in turns[a] for s in SEARCHES if len(t[s]) != arguments.new]
    if short:
        raise SystemExit(f"error: {short[0]} writes another number of tokens.")
    peers = [arm for arm in turns if arm.startswith("ctranslate2")]
    return {
        "what": "a translation by MarianMT's shape, batch 1, one thread; kzoo on LiteRT",
        "provenance": provenance(SOURCES, PACKAGES),
        "peers": {"ctranslate2": version(arguments.peers_python)} if peers else {},
        "rounds": arguments.rounds,
        "load_1min_by_round": loads,
        "source_tokens": SOURCE,
        "new_tokens": arguments.new,
        "float32_arms_write_the_same": len(exact) > 1,
        "tokens_per_second": {
            search: {
                arm: round(arguments.new / middle(turns, arm, f"{search}_seconds"), 2)
                for arm in turns
            }
            for search in SEARCHES
        },
        "ratios": {
            f"{arm} / {other}": {
                search: {
                    "clock": ratio(turns, arm, other, f"{search}_seconds"),
                    "processor": ratio(turns, arm, other, f"{search}_processor"),
                }
                for search in SEARCHES
            }
            for arm in turns
            if arm.startswith("kzoo")
            for other in turns
            if not other.startswith("kzoo")
        },
        "targets": {"kzoo float32 / torch": TARGET},
        "megabytes": {
            path.name: round(path.stat().st_size / 1e6, 1)
            for path in sorted(arguments.files.glob("*.tflite"))
        },
    }


def command(arm, arguments):
    """What serves an arm."""
    python = arguments.peers_python if arm.startswith("ctranslate2") else sys.executable
    options = ["--files", arguments.files, "--new", arguments.new, "--worker", arm]
    return [python, __file__, *options]


def version(python):
    """That of CTranslate2."""
    code = "from importlib.metadata import version; print(version('ctranslate2'))"
    run = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.strip()


def source():
    """The ids that every arm translates."""
    import numpy as np

    return np.random.default_rng(0).integers(2, PADDING, SOURCE - 1).tolist() + [END]


def work(arguments):
    """Serve an arm: a turn is a translation by each search."""
    kind, _, precision = arguments.worker.partition(" ")
    makers = {"kzoo": kzoo_side, "torch": torch_side, "ctranslate2": ctranslate2_side}
    write, ids = makers[kind](arguments.files, precision), source()

    def turn():
        result = {}
        for search, beams in SEARCHES.items():
            tokens, *times = timed(lambda beams=beams: write(ids, arguments.new, beams))
            result[search] = list(map(int, tokens))
            result[f"{search}_seconds"], result[f"{search}_processor"] = times
        return result

    serve(turn)


def reference(files):
    """MarianMT in OPUS-MT's size; wide weights, so that the likeliest token stands out."""
    import torch
    import transformers

    torch.set_num_threads(1)
    folder = files / "hf"
    if not folder.is_dir():
        torch.manual_seed(0)
        config = transformers.MarianConfig(
            vocab_size=VOCABULARY,
            d_model=512,
            encoder_layers=6,
            decoder_layers=6,
            encoder_attention_heads=8,
            decoder_attention_heads=8,
            encoder_ffn_dim=2048,
            decoder_ffn_dim=2048,
            max_position_embeddings=512,
            activation_function="swish",
            scale_embedding=True,
            pad_token_id=PADDING,
            decoder_start_token_id=PADDING,
            eos_token_id=END,
            forced_eos_token_id=None,
            init_std=0.05,
        )
        transformers.MarianMTModel(config).save_pretrained(folder)
    return transformers.MarianMTModel.from_pretrained(folder).eval()


def kzoo_side(files, precision):
    """A function that writes so many tokens of a source, with so many beams."""
    from kzoo.bundle.file_step import open_step
    from kzoo.generation.writer import Writer

    path = files / f"{precision}.tflite"
    if not path.is_file():
        reference(files)  # before TensorFlow: torch may crash where it is loaded behind it
        import kzoo
        from kzoo.litert.convert import exportable, sizes_of, traced, write_file

        task = kzoo.Seq2SeqLM(kzoo.from_huggingface(files / "hf"))
        with traced(exportable(task), sizes_of(task, cache=CACHE)) as graphs:
            write_file(graphs, path, precision)
    writer = Writer(open_step(path), None, CACHE)
    options = {"forbidden_token_ids": (END, PADDING), "early_stopping": True}

    def write(ids, count, beams):
        options["num_beams"], options["max_new_tokens"] = beams, count
        ((best, *_),) = writer.generate([[PADDING]], None, [ids], **options)
        return best.token_ids

    return write


def torch_side(files, _):
    """The same of transformers."""
    import torch

    model = reference(files)
    model.generation_config.eos_token_id = None

    def write(ids, count, beams):
        ids = torch.tensor([ids])
        with torch.inference_mode():
            whole = model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False,
                num_beams=beams, early_stopping=beams > 1, suppress_tokens=[END, PADDING],
            )  # fmt: skip
        return whole[0, 1:].tolist()

    return write


def ctranslate2_side(files, precision):
    """The same of CTranslate2; its tokens have names, of which n's is "tn"."""
    import ctranslate2

    folder = files / f"ctranslate2_{precision}"
    if not folder.is_dir():
        from ctranslate2.converters.transformers import MarianMTLoader

        model, names = reference(files), [f"t{number}" for number in range(PADDING)]
        spec = MarianMTLoader().get_model_spec(model)
        spec.config.eos_token = spec.config.decoder_start_token = names[END]
        spec.config.unk_token = names[1]
        spec.register_source_vocabulary(names)
        spec.register_target_vocabulary(names)
        spec.validate()
        spec.optimize(quantization=precision)
        folder.mkdir()
        spec.save(str(folder))
    translator = ctranslate2.Translator(
        str(folder), compute_type=precision, inter_threads=1, intra_threads=1
    )

    def write(ids, count, beams):
        (result,) = translator.translate_batch(
            [[f"t{number}" for number in ids]],
            beam_size=beams,
            min_decoding_length=count,
            max_decoding_length=count,
        )
        return [int(token[1:]) for token in result.hypotheses[0][:count]]

    return write


if __name__ == "__main__":
    main()
