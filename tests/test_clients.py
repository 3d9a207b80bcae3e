"""`kzoo verify --clients`: programs that speak the protocol are held against Python."""

import json
import math
import sys

import pytest
from test_device import writer

import kzoo
from kzoo.bundle import answering, clients, export_bundle
from kzoo.bundle.agreement import disagreement
from kzoo.bundle.predict import open_bundle
from kzoo.cli import main

# A client in Python, which may be told to answer wrong: it has no code of clients.py.
PROGRAM = """
import json, sys
import kzoo
WRONG = {wrong!r}
command, path, *options = sys.argv[1:]
lines = sys.stdin.buffer.read().decode().removesuffix("\\n").split("\\n")
if WRONG == "dies":
    sys.exit("error: no memory is left.")
if WRONG == "refuses":
    print("error: this is no film.", file=sys.stderr)
    sys.exit(2)
if command == "encode":
    rows = kzoo.Tokenizer.load(path).encode(lines)["token_ids"]
    rows = [row[::-1] if WRONG == "ids" and "film" in line else row
            for row, line in zip(rows, lines)]
    found = [{{"ids": row}} for row in rows]
else:
    texts = [json.loads(line) for line in lines] if options else lines
    found = kzoo.predict_bundle(path, texts)
    if WRONG == "labels":
        names = list(found[0]["scores"])
        found[0]["label"] = names[1 - names.index(found[0]["label"])]
        found[0]["scores"][names[0]] += 0.25
    if WRONG == "spans":
        for each in found:
            for entity in each.get("entities", ()):
                entity["label"] += "-"
            if "answer" in each:
                each["start"] += 1
    if WRONG == "scores":
        for each in found:
            for entity in each.get("entities", [each]):
                entity["score"] = (entity["score"] + 0.5) % 1
    if WRONG == "texts":
        found[0]["continuation"] += "!"
    if WRONG == "fields":
        del found[0]["scores"]
    if WRONG == "nan":
        found[0]["scores"][list(found[0]["scores"])[0]] = float("nan")
    if WRONG == "lists":
        found[0] = []
print("\\n".join(json.dumps(each) for each in found[: 1 if WRONG == "short" else None]))
"""


@pytest.fixture
def client(tmp_path, monkeypatch):
    """Install the program as the JVM client, and nothing else."""
    for other in clients.CLIENTS:
        monkeypatch.setenv(f"KZOO_CLIENT_{other.name.upper()}", "no-such-program")

    def install(wrong=None):
        path = tmp_path / "client.py"
        path.write_text(PROGRAM.format(wrong=wrong))
        monkeypatch.setenv("KZOO_CLIENT_JVM", f"{sys.executable} {path}")

    return install


def row_of(found, name):
    return next(row for row in found["clients"] if row["client"] == name)


def test_a_client_that_agrees(made, client):
    client()
    texts = ["the film is good", "a\nvery dull film", ""]
    found = clients.compare(made[1], texts)
    golden = len(json.loads((made[1] / "kzoo.json").read_text())["golden"])
    python, row = (row_of(found, name) for name in ("Python", "JVM"))
    assert python["texts"] == python["ids_equal"] == golden and python["worst_difference"] < 1e-5
    assert row["texts"] == row["ids_equal"] == row["labels_equal"] == golden + 3
    assert row["worst_difference"] == 0 and row["other_ids"] is None
    assert row["latency_ratio"] is None or row["latency_ratio"] > 0  # None where noise is more
    assert "did not run" in row_of(found, "MediaPipe")["failed"]


@pytest.mark.parametrize(
    ("wrong", "key", "expected"),
    [
        ("ids", "ids_equal", lambda value, row: value < row["texts"]),
        ("labels", "labels_equal", lambda value, row: value == row["texts"] - 1),
        ("labels", "worst_difference", lambda value, row: value == pytest.approx(0.25)),
        ("ids", "other_ids", lambda value, row: value["texts"] == value["labels_equal"] > 0),
        ("dies", "failed", lambda value, row: "code 1: no memory is left." in value),
        ("refuses", "refused", lambda value, row: value == "this is no film."),
        ("fields", "failed", lambda value, row: "answered other fields" in value),
        ("nan", "failed", lambda value, row: "no number" in value),
        ("lists", "failed", lambda value, row: "no JSON object" in value),
        ("short", "failed", lambda value, row: "answered 1 of" in value),
    ],
)
def test_what_differs_is_seen(made, client, wrong, key, expected):
    client(wrong)
    row = row_of(clients.compare(made[1], ["the film is good"]), "JVM")
    assert expected(row[key], row)


@pytest.mark.parametrize("task", ["TokenClassifier", "QuestionAnswering"])
def test_entities_and_answers_are_compared(bundles, client, task):
    client()
    texts = ["he lives in paris", "the film"]
    if task == "QuestionAnswering":
        texts = [("who", text) for text in texts]
    row = row_of(clients.compare(bundles[task][1], texts), "JVM")
    assert row["labels_equal"] == row["texts"] == row["ids_equal"] == row["answers_equal"]
    for wrong, words in (("spans", "in place of"), ("scores", "scores off by")):
        client(wrong)
        compared = clients.compare(bundles[task][1], texts)
        row = row_of(compared, "JVM")
        assert row["answers_equal"] < row["texts_compared"] == row["texts"]
        with pytest.raises(
            kzoo.KzooError, match="JVM answers .* texts otherwise than Python"
        ) as error:
            clients.check_agreement(compared)
        assert words in str(error.value)


def test_a_golden_example_without_a_number_is_no_small_difference(made):
    predictor = open_bundle(made[1])
    predictor.manifest["golden"][1]["outputs"]["logits"][0][0] = math.nan
    assert math.isnan(answering.run_again(predictor)[1])


def test_what_is_written_is_compared(client, tmp_path):
    folder = tmp_path / "writer"
    export_bundle(writer(), folder, "float32")
    client()
    compared = clients.compare(folder)
    python, row = (row_of(compared, name) for name in ("Python", "JVM"))
    assert python["ids_equal"] == python["texts"] == compared["golden"]
    assert python["labels_equal"] == compared["golden"]
    assert python["worst_difference"] == 0
    assert row["answers_equal"] == row["ids_equal"] == row["labels_equal"] == compared["golden"]
    client("texts")
    compared = clients.compare(folder)
    assert row_of(compared, "JVM")["answers_equal"] == compared["golden"] - 1
    with pytest.raises(kzoo.KzooError, match="JVM answers 1 of .* continuation"):
        clients.check_agreement(compared)


def test_answers_agree_but_for_rounding():
    def differs(answer, expected, threshold=0.5):
        return disagreement(answer, expected, 0.01, {"threshold": threshold})

    one = {"label": "a", "score": 0.52, "scores": {"a": 0.52, "b": 0.48}}
    other = {"label": "b", "score": 0.515, "scores": {"a": 0.515, "b": 0.485}}
    assert differs(other, one) is None  # as good as equal: another may be the likeliest
    sure = {"label": "a", "score": 0.6, "scores": {"a": 0.6, "b": 0.4}}
    assert "'b'" in differs({**sure, "label": "b"}, sure)
    assert "scores off by" in differs({**one, "scores": {"a": 0.6, "b": 0.4}}, one)
    several = {"labels": ["a"], "scores": {"a": 0.9, "b": 0.51, "c": 0.1}}
    assert differs({**several, "labels": ["a", "b"]}, several) is None
    assert "'b'" in differs({**several, "labels": ["a", "b"]}, several, threshold=0.3)
    assert "'c'" in differs({**several, "labels": ["a", "c"]}, several)
    values = {"values": {"a": 70.0, "b": 0.1}}
    assert differs({"values": {"a": 70.5, "b": -0.1}}, values) is None
    assert "scores off by" in differs({"values": {"a": 71.0, "b": 0.1}}, values)
    assert "scores off by" in differs({"embedding": [3.0, 4.1]}, {"embedding": [3.0, 4.0]})
    text = {"text": "a", "embedding": [1.0]}
    assert "in place of 'a'" in differs({**text, "text": "a "}, text)


def test_the_command_line(made, client, tmp_path, capfd, monkeypatch):
    def run(*arguments):
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main(["verify", str(made[1]), *map(str, arguments)])
        return left.value.code, *capfd.readouterr()

    client()
    monkeypatch.delenv("KZOO_CLIENT_MEDIAPIPE")
    monkeypatch.setattr(clients, "ROOT", tmp_path)  # a place without a checkout
    (tmp_path / "texts.txt").write_text("a dull film\nthe film is good\n\n", encoding="utf-8")
    code, out, _ = run("--clients", "--texts", tmp_path / "texts.txt")
    assert code == 0
    assert "JVM" in out and "Not installed: `python3 -m venv" in out
    client("labels")
    code, out, err = run("--clients", "--texts", tmp_path / "texts.txt")
    assert code == 2 and err.startswith("error: JVM answers 1 of ")
    told = " ".join(out.split())  # Of labels that are as likely the score differs, not the label.
    assert "in place of" in told or "scores off by 0.25" in told
    client()
    code, out, _ = run("--clients", "--texts", tmp_path / "texts.txt", "--json")
    assert code == 0 and row_of(json.loads(out)["clients"], "JVM")["texts"] > 2
    for options, words in (
        (["--texts", "texts.txt"], "add --clients"),
        (["--clients", "--texts", tmp_path / "none.txt"], "is missing"),
    ):
        code, out, err = run(*options)
        assert (code, out) == (2, "") and words in err and err.count("\n") == 1
    with pytest.raises(
        kzoo.KzooError, match="Line 1 of .*texts.txt is 'a dull film', with no tabs"
    ):
        clients.read_texts(tmp_path / "texts.txt", pairs=True)


def test_an_installed_kzoo_without_a_checkout_says_so(made, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(clients, "ROOT", tmp_path)
    for each in clients.CLIENTS:
        monkeypatch.delenv(each.variable, raising=False)
    with pytest.raises(SystemExit) as left:
        main(["verify", str(made[1]), "--clients"])
    out, err = capfd.readouterr()
    assert (left.value.code, out) == (2, "") and "installed without one: run it in a" in err
