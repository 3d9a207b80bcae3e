"""The command `kzoo`: each command calls one function of the library and shows what it returns."""

import contextlib
import os
import re
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from .errors import EmptyTextError, KzooError
from .terminal import INTERRUPTED, complain, session
from .values import an

app = typer.Typer(
    name="kzoo",
    help="Transformers for Keras 3 that end as LiteRT files which prove themselves.",
    epilog="Bad input is one sentence on stderr and exit code 2; KZOO_DEBUG=1 shows where.",
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 100},
)
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A folder that export wrote.")]
Threads = Annotated[int, typer.Option(min=1, help="How many threads the model may use.")]
Text = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN",
        help="The column of the texts (or of the paths of pictures or sounds) in a file; two for "
        "pairs.",
    ),
]
# What options are called that have other names than the settings of `Generation`.
OPTIONS = {
    "num_beams": "--beams",
    "stop_strings": "--stop",
    "no_repeat_ngram_size": "--no-repeat-ngram",
}
Preset = Annotated[str, typer.Argument(metavar="PRESET", help="A name in `kzoo list` or a folder.")]


def main(arguments=None):
    """Run the command line and leave with its exit code."""
    try:
        code = app(args=arguments, prog_name="kzoo", standalone_mode=False)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:
        # Typer's own errors (a command, option or value that doesn't exist) know their text.
        if not hasattr(error, "format_message"):
            raise
        context = getattr(error, "ctx", None)
        hint = f" (see `{context.command_path} --help`)" if context else ""
        message = error.format_message().rstrip(".").replace(": Value error, ", ": ")
        complain(f"{message}{hint}.")
        code = 2
    sys.exit(code if isinstance(code, int) else 0)


@app.callback()
def _start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
):
    if version:
        from . import __version__

        print(f"kzoo {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command("list")
def list_presets(as_json: Json = False):
    """List presets and recipes.

    Presets are shown with their size and whether they hold weights, recipes with what they make.
    """
    with session(as_json) as screen:
        from . import presets, views
        from .files import read_json

        data = {
            "presets": [{"name": name, **presets.card(name)} for name in presets.names()],
            "recipes": [
                {"name": path.stem, "path": str(path), **read_json(path, "a recipe")}
                for path in sorted(presets.shipped("export").glob("*.json"))
            ],
        }
        screen.result(data, views.listing)


SHOWN_UNANSWERED = 10  # sentences about what has no answer that a terminal shows
WRITE = ("continuation", "rewriting")  # by which rules tasks answer that write


@app.command()
def show(
    preset: Annotated[
        str, typer.Argument(metavar="MODEL", help="A name in `kzoo list`, or a folder.")
    ],
    as_json: Json = False,
):
    """Show one model, flat.

    Every slot with the file and line of its class, every tensor with its shape, and which steps
    share weights; of what another library wrote also what it was recognised by. Nothing of a
    preset is allocated.
    """
    with session(as_json) as screen:
        from . import views

        with screen.working(f"Laying out {preset}"):
            data = views.flat(preset)
        screen.result(data, views.flat_view)


@app.command()
def convert(
    source: Annotated[str, typer.Argument(metavar="SRC", help="A preset, a folder or a hub id.")],
    destination: Annotated[Path, typer.Argument(metavar="DST", help="The folder to write.")],
    to: Annotated[
        Literal["huggingface", "kerashub", "preset"] | None,
        typer.Option(help="What to write; by default huggingface of a preset, else a preset."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the model that DST holds.")
    ] = False,
    as_json: Json = False,
):
    """Convert between presets and what other libraries write.

    SRC is a preset's name or folder, a folder that another library wrote (kzoo sees which, and
    says so), or the id of a repository on Hugging Face's hub. DST is a folder that is new or
    empty, unless --overwrite says that what it holds may go; files that no conversion writes are
    never lost.
    """
    with session(as_json) as screen:
        from . import views

        if not overwrite and destination.is_dir() and any(destination.iterdir()):
            raise KzooError(
                f"Got {destination} to write to, which holds {_first(destination)}; expected a "
                "folder that is new or empty: name another, or add --overwrite to replace it."
            )
        with screen.working(f"Converting {source}"):
            from .checkpoints.formats import recognised
            from .conversion import convert as convert_folder
            from .network import parameters_of, weights_by_path

            found = recognised(source)
            model = convert_folder(source, destination, to)
        written = to or ("preset" if (destination / "spec.json").is_file() else "huggingface")
        data = {
            "source": source,
            "format": found and found.format.name,
            "known_by": found and found.why,
            "destination": str(destination),
            "to": written,
            "model": type(model).__name__,
            "family": model.spec.family,
            "tensors": len(weights_by_path(model)),
            "parameters": parameters_of(model),
            "files": _files(destination),
        }
        screen.result(data, views.converted)


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A training recipe, .json.")],
    workers: Annotated[
        int,
        typer.Option(
            min=1, help="Processes of this machine that learn together, as a cluster's do."
        ),
    ] = 1,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin anew where a run before it didn't end.")
    ] = False,
    every: Annotated[
        float, typer.Option(metavar="SECONDS", help="The time between two checkpoints.")
    ] = 60,
    as_json: Json = False,
):
    """Fine-tune as a recipe says, and write a preset.

    A run that was killed goes on where it was when it is started again, and ends in the same
    weights. What it has learnt lies in OUTPUT.unfinished until then.

    The recipe names the model, the training file (of pictures and sounds also a folder with a
    folder for each class), the output folder and the settings; its keys are in
    kzoo/training/recipe.py. With --json there is a line for each epoch, and one for the result.
    """
    if workers > 1:
        _train_on(workers, recipe, fresh, every, as_json)
    with session(as_json) as screen:
        from . import views
        from .files import read_json
        from .training.recipe import read_recipe
        from .training.recipe import train as run_recipe
        from .training.strategy import is_chief

        on_event = partial(screen.event, "epoch") if as_json else None
        task, history = run_recipe(recipe, fresh=fresh, every=every, on_event=on_event)
        if not is_chief():
            return
        output = Path(read_recipe(recipe)["output"])
        data = {
            "output": str(output),
            "model": type(task).__name__,
            "family": task.spec.family,
            "read": read_json(output / "training.json", "the record of a training")["data"],
            "epochs": len(history.epoch),
            "history": history.history,
            "files": _files(output),
        }
        screen.last(data, views.trained)


def _train_on(workers, recipe, fresh, every, as_json):
    """Leave with what a training on several workers ends with."""
    with session(as_json):
        from .files import read_json
        from .training.workers import cluster, run

        if "TF_CONFIG" in os.environ:
            raise KzooError(
                f"Got --workers {workers} and TF_CONFIG, which names workers of its own; expected "
                "one of them: unset TF_CONFIG, or leave --workers out."
            )
        kind = read_json(recipe, "a training recipe").get("strategy", "auto")
        if kind not in ("auto", "multi_worker"):
            raise KzooError(
                f"Got --workers {workers} and a recipe with the strategy {kind!r:.40}; expected "
                "auto or multi_worker: change it, or leave --workers out."
            )
    arguments = ["train", str(recipe), "--every", str(every)]
    arguments += ["--fresh"] * fresh + ["--json"] * as_json
    raise typer.Exit(run(arguments, cluster(workers)))


@app.command()
def tune(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe of a search, .json.")],
    workers: Annotated[
        int,
        typer.Option(min=1, help="Processes of this machine that learn, each a trial at a time."),
    ] = 1,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin anew where a search was stopped.")
    ] = False,
    as_json: Json = False,
):
    """Search the settings with which a model learns best, and write the preset that did.

    The recipe names a training recipe, the space of its settings and how it is searched; its keys
    are in kzoo/training/tune.py. A search that was stopped goes on behind its last trial. With
    --json there is a line for each trial, and one for the result.
    """
    if workers > 1:
        with session(as_json):
            from .training.workers import run, tuners

            arguments = ["tune", str(recipe), *["--fresh"] * fresh, *["--json"] * as_json]
            environments = tuners(workers)
        raise typer.Exit(run(arguments, environments))
    with session(as_json) as screen:
        from . import views
        from .training.tune import tune as search

        with screen.working(f"Searching as {recipe} says") as say:
            on_event = partial(screen.event, "trial") if as_json else None
            data = search(recipe, fresh=fresh, say=say, on_event=on_event)
        if data is None:
            return
        output = Path(data["recipe"]["output"])
        screen.last({**data, "output": str(output), "files": _files(output)}, views.tuned)


@app.command()
def compress(
    source: Annotated[
        str,
        typer.Argument(metavar="RECIPE_OR_PRESET", help="A recipe of steps, .json; or a preset."),
    ],
    task: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Of a preset, a folder with train.tsv and dev.tsv, as GLUE's tasks lie: what "
            "learns, and what measures and decides nothing.",
            show_default=False,
        ),
    ] = None,
    train: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A file to learn from.", show_default=False),
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A file that measures alone.", show_default=False),
    ] = None,
    validation: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What shapes are chosen by; a tenth of what is learnt from by default.",
            show_default=False,
        ),
    ] = None,
    text: Text = None,
    label: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column of the labels.")
    ] = None,
    max_mb: Annotated[
        float | None,
        typer.Option(help="Megabytes of the int8 file at most.", show_default=False),
    ] = None,
    max_ms_ratio: Annotated[
        float | None,
        typer.Option(
            help="Its time at most, as a share of that of the preset's own int8 file.",
            show_default=False,
        ),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            help="Points of 100 that it may lose at most, on what shapes are chosen by.",
            show_default=False,
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(help="Shapes that are tried; 6 by default.", min=1, show_default=False),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Passes over the examples, for the last; 3 by default.",
            min=1,
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Of all draws; 0 by default.", min=0, max=2**32 - 1, show_default=False),
    ] = None,
    references: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Published models to draw beside: a JSON list of name, megabytes, score, source.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="The folder of a search, build/NAME-compressed by default; a recipe names its "
            "own.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
):
    """Make a model smaller, as a recipe says or within a budget.

    A recipe's steps (trim, prune, factorize, train and others) are in kzoo/training/steps.py. Of a
    preset shapes are tried that keep to --max-mb and --max-ms-ratio, each learning of the preset
    itself; a table and a picture say what each costs. A run that was stopped goes on where it was.
    """
    budget = {"max_mb": max_mb, "max_ms_ratio": max_ms_ratio, "max_drop": max_drop}
    with session(as_json) as screen:
        from . import views

        if source.endswith(".json"):
            given = {"--task": task, "--train": train, "--test": test, "--output": output}
            given |= {f"--{name.replace('_', '-')}": value for name, value in budget.items()}
            given |= {"--validation": validation, "--text": text, "--label": label}
            given |= {"--references": references, "--trials": trials, "--epochs": epochs}
            given["--seed"] = seed
            other = next((name for name, value in given.items() if value is not None), None)
            if other is not None:
                raise KzooError(f"{other} is for a preset; a recipe says it itself: leave it out.")
            from .evaluation import scores_of
            from .training.steps import compress as follow

            def told(step):
                screen.note(views.step_line(step))

            with screen.working(f"Following {source}", takes_long=True) as say:
                _, record = follow(source, verbose=0, say=say, on_step=told, measure=scores_of)
            recipe = record["recipe"]
            folder = Path(source).parent / recipe["output"]
            data = {**record, "source": recipe["model"], "output": str(folder)}
            screen.result({**data, "files": _files(folder)}, views.compressed)
            return
        from . import presets

        presets.check_has_weights(source, "there is nothing to make smaller")
        if (task is None) == (train is None):
            came = "neither --task nor --train" if task is None else "both --task and --train"
            raise KzooError(
                f"Got {came}; expected one of them: --task, a folder with train.tsv and dev.tsv, "
                "or --train, a file."
            )
        if max_mb is None and max_ms_ratio is None:
            raise KzooError("Got no budget; expected --max-mb, --max-ms-ratio or both.")
        if task is not None:
            train, test = (_of_task(task, name) for name in ("train", "dev"))
        from .budget import search
        from .files import read_json

        counts = {"trials": trials, "epochs": epochs, "seed": seed}
        shown = None if references is None else read_json(references, "published models", list)
        with screen.working(f"Searching smaller shapes of {source}", takes_long=True) as say:
            data = search(
                source,
                train,
                output or Path("build") / f"{Path(source).name}-compressed",
                validation=validation and str(validation),
                test=test,
                **budget,
                text=text[0] if text and len(text) == 1 else text,
                label=label,
                references=shown,
                **{name: value for name, value in counts.items() if value is not None},
                say=say,
            )
        screen.result(data, views.searched)
        if data["best"] is None:
            raise KzooError(
                f"No shape keeps to the budget: {data['closest']} comes nearest, see "
                f"{data['output']}/report.json."
            )


def _of_task(folder, name):
    """The file of a GLUE task's folder: train or dev, a .tsv, .csv or .jsonl, maybe with .gz."""
    endings = [f"{end}{gz}" for end in (".tsv", ".csv", ".jsonl") for gz in ("", ".gz")]
    if not folder.is_dir():
        raise KzooError(f"{folder} is no folder; expected one with train.tsv and dev.tsv.")
    found = next((p for end in endings if (p := folder / f"{name}{end}").is_file()), None)
    if found is None:
        raise KzooError(
            f"{folder} has no {name}.tsv (or .csv, .jsonl, maybe .gz); expected train and dev."
        )
    return found


@app.command()
def export(
    source: Annotated[
        str,
        typer.Argument(metavar="RECIPE_OR_PRESET", help="A recipe, or a preset."),
    ],
    to: Annotated[
        Literal["litert", "mediapipe", "litertlm", "savedmodel"],
        typer.Option(
            help="A bundle for devices, one with a file for MediaPipe's tasks or for LiteRT-LM's "
            "engine too, or a SavedModel."
        ),
    ] = "litert",
    quantization: Annotated[
        Literal["float32", "float16", "int8", "int8_int4_table", "int8_static", "int4"] | None,
        typer.Option(help="In place of the recipe's; int8 for a preset.", show_default=False),
    ] = None,
    length: Annotated[
        str | None,
        typer.Option(
            metavar="N|dynamic",
            help="Tokens that the file takes, in place of the recipe's; dynamic for a preset.",
            show_default=False,
        ),
    ] = None,
    compat: Annotated[
        Literal["tflite-2.16", "tflite-2.14"] | None,
        typer.Option(help="An older runtime that is to load the file.", show_default=False),
    ] = None,
    target: Annotated[
        Literal["gpu"] | None,
        typer.Option(
            "--for",
            help="What is to run the file: a GPU's delegate takes it whole, of one length and as "
            "float16.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="The folder to write; build/NAME by default.", show_default=False),
    ] = None,
    text: Annotated[
        bool,
        typer.Option("--text/--no-text", help="Whether a SavedModel takes strings, not ids alone."),
    ] = True,
    as_json: Json = False,
):
    """Export to a file that proves itself.

    Writes a bundle, model.tflite with its tokenizer and its report, after checking it against
    Keras and against the limits of the recipe; one that misses a limit leaves no file. With
    --to savedmodel, a SavedModel that takes strings and token ids.
    """
    with session(as_json) as screen:
        from . import views

        if to == "savedmodel":
            if quantization or length or compat or target:
                raise KzooError(
                    "--quantization, --length, --compat and --for are LiteRT's: leave them out."
                )
            with screen.working(f"Exporting {source}") as say:
                data = _export_savedmodel(source, output, text, say)
            screen.result(data, views.saved)
            return
        if not text:
            raise KzooError("--no-text is for --to savedmodel: a bundle takes token ids anyway.")
        from .bundle import export_recipe

        options = {"quantization": quantization, "compat": compat, "for": target}
        changes = {key: value for key, value in options.items() if value is not None}
        if to != "litert":
            changes[to] = True
        if length is not None:
            changes["length"] = _length(length)
        with screen.working(f"Exporting {source}") as say:
            report = export_recipe(source, output, say=say, changes=changes)
        screen.result(report, views.report)


def _export_savedmodel(source, output, text, say):
    from . import presets
    from .bundle.recipes import asked

    order = asked(source)
    preset, folder = order.preset, output or Path("build") / f"{order.name}-savedmodel"
    say(f"Loading {preset}")
    from .serving import export_savedmodel, how_to_call

    model = presets.load(preset)
    say("Exporting, and comparing with Keras")
    export_savedmodel(model, folder, text=text)
    return {
        "folder": str(folder),
        "source": preset,
        "model": type(model).__name__,
        "files": _files(folder),
        "call": how_to_call(model, folder, text),
    }


def _length(text):
    if text == "dynamic":
        return None
    if not text.isdecimal():
        raise KzooError(f"--length is {text!r}; a number of tokens, or dynamic, is expected.")
    return int(text)


@app.command()
def verify(
    bundle: Bundle,
    clients: Annotated[
        bool, typer.Option("--clients", help="Hold every installed client against Python as well.")
    ] = False,
    texts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Texts for the clients, one a line.", show_default=False),
    ] = None,
    as_json: Json = False,
):
    """Check a bundle again, as it lies there.

    Seal, sizes and checksums, the operators of the file, its golden examples and its limits. Runs
    on LiteRT alone. With --clients the programs of other languages that are installed (JVM,
    Chromium, MediaPipe, ARM64) answer the golden examples and a file of texts too, and are held
    against Python's labels, spans and scores.
    """
    with session(as_json) as screen:
        from . import views
        from .bundle import verify_bundle

        if texts is not None and not clients:
            raise KzooError("--texts is for the clients: add --clients.")
        if clients:
            from .bundle.clients import check_there

            check_there()
        with screen.working(f"Verifying {bundle}") as say:
            data = verify_bundle(bundle)
            if clients:
                from .bundle.clients import check_agreement, compare, read_texts

                lines = None if texts is None else read_texts(texts, data["reads"] == "pair")
                data["clients"] = compare(bundle, lines, say)
        screen.result(data, views.verified)
        if clients:
            check_agreement(data["clients"])


@app.command()
def bench(
    bundle: Annotated[
        Path | None, typer.Argument(metavar="BUNDLE", help="A folder that export wrote.")
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="BUNDLE", help="Another one to run in turn with it, such as float32."),
    ] = None,
    lengths: Annotated[
        str | None,
        typer.Option(
            "--lengths",
            "--length",
            metavar="N,N...",
            help="Numbers of tokens; by default 16, 32 and so on to 256, as far as the file goes; "
            "of --attention 512 to 4096.",
        ),
    ] = None,
    attention: Annotated[
        bool,
        typer.Option(
            "--attention", help="In place of a bundle, a block of every kind of attention."
        ),
    ] = False,
    width: Annotated[
        int | None, typer.Option(help="Of --attention, hidden_dim; 512.", show_default=False)
    ] = None,
    heads: Annotated[
        int | None, typer.Option(help="Of --attention, how many; 8.", show_default=False)
    ] = None,
    block: Annotated[
        int | None,
        typer.Option(
            help="Of --attention, the places of a pattern's block; near the root of the length.",
            show_default=False,
        ),
    ] = None,
    threads: Threads = 1,
    rounds: Annotated[
        int | None,
        typer.Option(
            min=1, help="Measurements a length; 20, of --attention 5.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
):
    """Measure the latency of a bundle by length, or which attention to take.

    On a shared machine only ratios mean something: --against runs a second bundle in turn. With
    --attention kinds of attention take turns on this machine: which is fastest at a length and a
    width, from which length on each beats attention to all pairs, and what it gives up for that.
    """
    with session(as_json) as screen:
        from . import views

        asked = None
        if lengths is not None:
            parts = [part.strip() for part in lengths.split(",")]
            if not all(part.isdecimal() for part in parts):
                raise KzooError(
                    f"--lengths is {lengths!r}; numbers of tokens with commas between are expected."
                )
            asked = [int(part) for part in parts]
        sizes = {"hidden_dim": width, "num_heads": heads, "block": block}
        given = {"lengths": asked, "rounds": rounds}
        given = {key: value for key, value in given.items() if value is not None}
        sizes = {key: value for key, value in sizes.items() if value is not None}
        if attention:
            from .chooser import choose

            if bundle is not None or against is not None:
                raise KzooError("--attention measures no bundle: leave BUNDLE and --against out.")
            with screen.working("Measuring kinds of attention"):
                data = choose(**sizes, **given, threads=threads)
            screen.result(data, views.chosen)
            return
        from .bundle.bench import bench_bundle

        if sizes:
            raise KzooError("--width, --heads and --block are for --attention: leave them out.")
        if bundle is None:
            raise KzooError("Got no BUNDLE to measure; expected a folder, or --attention.")
        with screen.working(f"Measuring {bundle}"):
            data = bench_bundle(bundle, against, threads=threads, **given)
        screen.result(data, views.benched)


@app.command()
def predict(
    bundle: Bundle,
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT",
            help="Texts; files of pictures or sounds, or folders of them; or one .csv, .tsv or "
            ".jsonl file. Without any, standard input's lines.",
        ),
    ] = None,
    pair: Annotated[
        bool,
        typer.Option(
            "--pair", "--pairs", help="Each text is two: a tab between them, or a JSON array."
        ),
    ] = False,
    text: Text = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A table to write: the file's columns, and the answers beside them.",
            show_default=False,
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="Of a bundle of pictures and texts, what a picture may show; may be repeated.",
        ),
    ] = None,
    search: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Of such a bundle, find the pictures that fit this text best.",
            show_default=False,
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many pictures --search finds.")] = 5,
    draw: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="A new folder for drawings: each picture or sound with its likeliest labels.",
            show_default=False,
        ),
    ] = None,
    threads: Threads = 1,
    as_json: Json = False,
):
    """Answer texts, pictures or sounds with a bundle.

    Labels, vectors, entities, or answers: a question and its context are a --pair. A file is read
    by the same rules as a training file, and with --output becomes a table with the answers. A
    bundle of towers (CLIP) says which --label a picture shows or a sound has, or finds them by
    words: --search. What can't be answered is told on standard error and the rest is answered; the
    exit code is 2 only where nothing could be. Runs on LiteRT alone: neither TensorFlow nor Keras
    is imported.
    """
    with session(as_json) as screen:
        from . import views
        from .bundle.towers import is_of_towers

        if is_of_towers(bundle):
            if pair or text or output:
                raise KzooError(
                    f"Got {'--pair' if pair else '--text' if text else '--output'} for {bundle}, a "
                    "bundle of pictures and texts; expected --label or --search: leave it out."
                )
            _predict_towers(screen, bundle, texts or _lines(), label, (search, top), draw, threads)
            return
        if label is not None or search is not None:
            raise KzooError(
                f"Got {'--label' if label is not None else '--search'} for {bundle}; expected a "
                "bundle of pictures and texts, of an ImageTextEmbedder or "
                "ZeroShotImageClassifier: leave it out."
            )
        from .bundle.predict import (
            check_drawable,
            draw_answers,
            inputs_of,
            predict_each,
            predict_table,
        )
        from .data.sources import is_file
        from .lines import as_pair

        if draw is not None:
            check_drawable(bundle, draw)
            if output is not None:
                raise KzooError("Got --output and --draw; expected one of the two.")
        one = texts[0] if texts and len(texts) == 1 else None
        if output is not None or text is not None or (one is not None and is_file(one)):
            if one is None or pair:
                raise KzooError(
                    "--output and --text are for one file of texts; expected kzoo predict BUNDLE "
                    "FILE, without --pair: name two columns, --text A --text B, for pairs."
                )
            with screen.working(f"Answering {one}"):
                data = predict_table(bundle, one, output, _columns(text), threads)
            if output is not None:
                _tell_unanswered(screen, data["unanswered"])
                screen.result(data, views.answered)
                return
        else:
            inputs = [_utf8(text, "A text") for text in texts] if texts else _lines()
            what = "Text {}" if texts else "Line {} of standard input"
            if pair:
                names = [what.format(number) for number in range(1, len(inputs) + 1)]
                inputs = list(map(as_pair, inputs, names))
            inputs = inputs_of(bundle, inputs)
            names = [what.format(number) for number in range(1, len(inputs) + 1)]
            with screen.working(f"Answering {len(inputs):,}"):
                data = predict_each(bundle, inputs, names, threads)
        _tell_unanswered(screen, [each for each in data if "error" in each])
        if draw is not None:
            drawn = [each for each in data if "error" not in each]
            with screen.working(f"Drawing into {draw}"):
                paths = draw_answers(bundle, drawn, draw)
            for each, path in zip(drawn, paths, strict=True):
                each["drawing"] = path
        screen.result(data, views.answers)


def _tell_unanswered(screen, errors):
    """Say on stderr what had no answer, the first few of many."""
    for each in errors[:SHOWN_UNANSWERED]:
        screen.note(f"not answered: {' '.join(each['error'].split())}")
    if len(errors) > SHOWN_UNANSWERED:
        screen.note(f"not answered: {len(errors) - SHOWN_UNANSWERED:,} more; --json has them all.")


def _predict_towers(screen, bundle, given, labels, search, draw, threads):
    """`kzoo predict` of a bundle of towers."""
    from . import views
    from .bundle.predict import check_free, draw_answers
    from .bundle.towers import TowersPredictor

    query, top = search
    if query is not None and (labels is not None or draw is not None):
        other = "--draw" if labels is None else "--label"
        raise KzooError(f"Got --search and {other}; expected one of the two.")
    if draw is not None:
        check_free(draw)
    with screen.working(f"Loading {bundle}") as say:
        predictor = TowersPredictor(bundle, threads)
        media = [predictor.towers[name].sense.medium for name in predictor.others]
        nouns = [f"{medium.name}s" for medium in media]
        endings = [ending for medium in media for ending in medium.endings]
        for each in given:
            is_there = Path(each).exists() or "://" in each or each.lower().endswith((*endings,))
            if each and not is_there:
                raise KzooError(
                    f"Got {each!r:.60} in the place of {' or '.join(nouns)}; expected files, or "
                    "folders of them: a text stands behind --search or --label."
                )
        tower = predictor.tower_of(given)
        say(f"Reading the {predictor.towers[tower].sense.nouns}")
        if query is not None:
            data = predictor.search(_utf8(query, "The text"), given, top, tower=tower)
        else:
            data = predictor.classify(given, labels, tower=tower)
        if draw is not None:
            say(f"Drawing into {draw}")
            paths = draw_answers(bundle / tower, data, draw)
            data = [{**each, "drawing": path} for each, path in zip(data, paths, strict=True)]
    screen.result(data, views.answers if query is None else views.found)


@app.command()
def generate(
    source: Annotated[
        str, typer.Argument(metavar="PRESET_OR_BUNDLE", help="A CausalLM or Seq2SeqLM.")
    ],
    prompt: Annotated[
        str | None,
        typer.Argument(
            metavar="PROMPT", help="A text to write on from; - or none for standard input."
        ),
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(help="Tokens to write at most.", show_default="64")
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(help="Draw tokens: above 1 more varied, below it less.", show_default=False),
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(help="Draw from the so many likeliest tokens.", show_default=False)
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(help="Draw from the likeliest with this probability.", show_default=False),
    ] = None,
    min_p: Annotated[
        float | None,
        typer.Option(help="Draw from those this near to the likeliest.", show_default=False),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Draw the same each time.", show_default=False)
    ] = None,
    beams: Annotated[
        int | None,
        typer.Option(help="Search the likeliest text with so many.", show_default=False),
    ] = None,
    stop: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Stop before this text; may be repeated."),
    ] = None,
    repetition_penalty: Annotated[
        float | None,
        typer.Option(help="Above 1, what was there is less likely.", show_default=False),
    ] = None,
    no_repeat_ngram: Annotated[
        int | None,
        typer.Option(metavar="N", help="No N tokens in a row twice.", show_default=False),
    ] = None,
    target_language: Annotated[
        str | None,
        typer.Option(
            metavar="CODE",
            help="Of a Seq2SeqLM that knows languages, the one to write in, such as de_DE.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
):
    """Write on from a text, or of it: what a Seq2SeqLM makes of it.

    The text appears as it is written, the likeliest one unless an option says how to draw; Ctrl-C
    ends it. With --json, one object: prompt, text, tokens (how many were written), reason (end,
    stop or length) and tokens_per_second behind the prompt.
    """
    options = {
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "seed": seed,
        "num_beams": beams,
        "stop_strings": None if stop is None else tuple(stop),
        "repetition_penalty": repetition_penalty,
        "no_repeat_ngram_size": no_repeat_ngram,
    }
    options = {name: value for name, value in options.items() if value is not None}
    with session(as_json) as screen:
        from .generation import Generation

        with _by_options():
            Generation(**options)  # What doesn't go together is said before anything is loaded.
        if target_language is not None:
            options["target_language"] = target_language
        prompt = _whole_input() if prompt in (None, "-") else _utf8(prompt, "The prompt")
        with screen.working(f"Loading {source}"):
            writer = _writer(source)
        try:
            (ids,) = writer.prompt_ids([prompt])
        except EmptyTextError as error:
            is_empty = "The prompt is empty: give a text to write on from."
            raise KzooError(error.named("The prompt") if prompt else is_empty) from None
        if not as_json and options.get("num_beams", 1) == 1:
            with _by_options():
                pieces = writer.write_pieces(ids, **options)
            screen.pieces(pieces)
            return
        clock = writer.clocked()
        with _by_options():
            ((answer,),) = writer.write([ids], **options)
        if not as_json:
            screen.pieces([answer.text])
            return
        screen.result(
            {
                "prompt": prompt,
                "text": answer.text,
                "tokens": len(answer.token_ids),
                "reason": answer.reason,
                "tokens_per_second": clock.tokens_per_second,
            }
        )


@contextlib.contextmanager
def _by_options():
    """Let an error about settings of `Generation` name the options of the command instead."""
    from .generation import Generation

    try:
        yield
    except KzooError as error:
        text = str(error)
        for name in Generation.__dataclass_fields__:
            option = OPTIONS.get(name, f"--{name.replace('_', '-')}")
            text = re.sub(rf"(?<!-)\b{name}\b( =)?", option, text)
        raise KzooError(text) from None


def _writer(source):
    """What writes: the task of a preset, or a bundle that is open."""
    from .bundle.manifest import MANIFEST

    if (Path(source) / MANIFEST).is_file():
        from .bundle.predict import open_writer

        return open_writer(source)
    from . import presets

    # Neither a model without weights nor one that doesn't write is built, which may take minutes.
    presets.check_has_weights(source, "it would write at random")
    kind = presets.class_of(source)
    if kind is not None:
        _check_writes(source, kind)
    model = presets.load(source)
    _check_writes(source, type(model))
    return model


def _check_writes(source, kind):
    if getattr(kind, "rule", None) not in WRITE:
        raise KzooError(
            f"Got {source}, {an(kind.__name__)}; expected a CausalLM, a Seq2SeqLM or an "
            "ImageCaptioner, which write."
        )


@app.command()
def evaluate(
    source: Annotated[
        str, typer.Argument(metavar="PRESET_OR_BUNDLE", help="A trained preset, or a bundle.")
    ],
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Labelled texts, pictures or sounds: a file as for training, or a folder with a "
            "folder for each class.",
        ),
    ],
    text: Text = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="The column of the paths of pictures or sounds; of pictures with texts a second "
            "one for these.",
            show_default=False,
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN", help="The column of the labels; several of values or marks."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="A folder for the wrong answers, the confusion matrix and all figures.",
            show_default=False,
        ),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(
            help="Of a CausalLM, by how many tokens its windows move on; the fewer, the more "
            "context each token has.",
            show_default=False,
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A public task, by whose measures and file layout: cola, sst2, mrpc, qqp, stsb, "
            "mnli, qnli, rte, wnli, sts, ner, squad or squad_v2.",
            show_default=False,
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A .png file for the confusion matrix.",
            show_default=False,
        ),
    ] = None,
    resamples: Annotated[
        int,
        typer.Option(min=0, help="Draws of the examples for the scores' 95 % intervals."),
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of these draws.")] = 0,
    threads: Threads = 1,
    as_json: Json = False,
):
    """Measure a model on labelled texts, pictures or sounds.

    Accuracy, and precision, recall and F1 of every label; F1 of entities; exact matches and F1 of
    answers; perplexity of a CausalLM, which plain text will do for: --text line or --text file;
    BLEU, chrF, ROUGE and exact matches of what a Seq2SeqLM writes of the first column of pairs.
    A bundle runs on LiteRT, a preset on Keras.
    """
    with session(as_json) as screen:
        from . import views

        with screen.working(f"Evaluating {source}"):
            from .evaluation import evaluate as measure

            if text is not None and column is not None:
                raise KzooError("Got --text and --column; expected the one that the model reads.")
            columns = _columns(column or text), _columns(label)
            data = measure(
                source, file, *columns, output, threads, stride, task, plot, resamples, seed
            )
        if output is not None:
            data = {**data, "files": {f"{output}/{n}": size for n, size in _files(output).items()}}
        screen.result(data, views.evaluated)


Encoder = Annotated[
    str | None,
    typer.Option(
        metavar="PRESET_OR_BUNDLE",
        help="What encodes queries, where the one that made the index lies elsewhere now.",
        show_default=False,
    ),
]


@app.command()
def index(
    model: Annotated[
        str,
        typer.Argument(
            metavar="PRESET_OR_BUNDLE", help="A TextEmbedder or LateInteraction that encodes."
        ),
    ],
    documents: Annotated[
        Path,
        typer.Argument(
            metavar="DOCUMENTS",
            help="A folder or file of plain text, in which blank lines part documents, or a table.",
        ),
    ],
    output: Annotated[Path, typer.Argument(metavar="INDEX", help="The folder to write.")],
    second: Annotated[
        str | None,
        typer.Option(
            metavar="PRESET_OR_BUNDLE",
            help="What ranks again what the first finds, such as a LateInteraction.",
            show_default=False,
        ),
    ] = None,
    threads: Threads = 1,
    as_json: Json = False,
):
    """Make an index of documents: their vectors in int8, for kzoo search.

    A bundle runs on LiteRT, a preset on Keras. Queries must be encoded by the same model.
    """
    with session(as_json) as screen:
        from . import views

        with screen.working(f"Indexing {documents}"):
            from .index import Index

            made = Index.build(model, documents, second, threads)
            made.save(output)
        stages = [stage.facts() for stage in made.stages]
        data = {"index": str(output), "documents": len(made), "stages": stages}
        data["files"] = {f"{output}/{n}": size for n, size in _files(output).items()}
        screen.result(data, views.indexed)


@app.command()
def search(
    index: Annotated[Path, typer.Argument(metavar="INDEX", help="A folder of kzoo index.")],
    queries: Annotated[
        list[str] | None,
        typer.Argument(metavar="QUERY", help="What is asked; by default standard input's lines."),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many documents are found.")] = 5,
    candidates: Annotated[
        int, typer.Option(min=0, help="How many the first stage leaves to the next; 0 for all.")
    ] = 100,
    reranker: Annotated[
        str | None,
        typer.Option(
            metavar="PRESET_OR_BUNDLE",
            help="A classifier of pairs with one label, which ranks candidates again.",
            show_default=False,
        ),
    ] = None,
    model: Encoder = None,
    second: Encoder = None,
    threads: Threads = 1,
    as_json: Json = False,
):
    """Find the documents of an index that answer queries best."""
    with session(as_json) as screen:
        from . import views

        with screen.working(f"Loading {index}"):
            from .index import Index

            asked = [_utf8(query, "A query") for query in queries] if queries else _lines()
            opened = Index.load(index, model, second, threads)
            every = opened.search(asked, top, candidates or None, reranker, threads)
        data = [{"query": q, "found": found} for q, found in zip(asked, every, strict=True)]
        screen.result(data, views.documents_found)


@app.command()
def rerank(
    model: Annotated[
        str,
        typer.Argument(metavar="PRESET_OR_BUNDLE", help="A CrossEncoder, or a LateInteraction."),
    ],
    query: Annotated[str, typer.Argument(metavar="QUERY", help="What is asked.")],
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help="What may answer; by default standard input's lines."),
    ] = None,
    top: Annotated[
        int | None, typer.Option(min=1, help="How many are shown.", show_default=False)
    ] = None,
    threads: Threads = 1,
    as_json: Json = False,
):
    """Put texts in the order in which they answer a query, by a model that reads both."""
    with session(as_json) as screen:
        from . import views

        with screen.working(f"Loading {model}"):
            from .index import rerank as ranked

            given = [_utf8(text, "A text") for text in texts] if texts else _lines()
            found = ranked(model, _utf8(query, "The query"), given, top, threads)
        screen.result([{"query": query, "found": found}], views.documents_found)


def _columns(names):
    """One column, or a list of several, as a file's reader takes them; numbers are places."""
    if names is None:
        return None
    columns = [int(name) if name.isdecimal() else name for name in names]
    return columns[0] if len(columns) == 1 else columns


def _lines():
    """The lines of standard input."""
    from .lines import read_lines

    if sys.stdin.isatty():
        print("One text a line; Ctrl-D ends.", file=sys.stderr)
    lines = read_lines(sys.stdin.buffer.read(), "standard input")
    if not lines:
        raise KzooError("No text came: give texts after the bundle, or lines on standard input.")
    return lines


def _whole_input():
    """The lines of standard input as one text."""
    from .lines import read_lines

    if sys.stdin.isatty():
        print("A text to write on from; Ctrl-D ends it.", file=sys.stderr)
    return "\n".join(read_lines(sys.stdin.buffer.read(), "standard input"))


def _utf8(text, what):
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise KzooError(f"{what} is not UTF-8: {text!r:.60} came.") from None
    return text


def _first(folder):
    """The name of something in a folder, as a sign of what it is."""
    return min(path.name for path in folder.iterdir())


def _files(folder):
    """{path within: bytes} of what a command wrote."""
    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.stat().st_size for path in paths}


if __name__ == "__main__":
    main()
