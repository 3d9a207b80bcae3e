"""Files are read as they were meant, or asked about in a sentence with the answer to type."""

import csv
import gzip
import json
from dataclasses import replace

import pytest

from kzoo.data.examples import Examples, listed
from kzoo.data.labels import class_names, held_out
from kzoo.data.questions import read_pairs, read_questions
from kzoo.data.sources import is_file, read_examples, read_texts
from kzoo.data.tables import read_table, write_table
from kzoo.data.words import read_words, tag_names
from kzoo.errors import KzooError

LONG = "a sentence of several words"


@pytest.fixture
def file(tmp_path):
    """Write a file of examples; returns its path."""

    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


# -- tables ---------------------------------------------------------------------------------------

FILES = {
    "a.tsv": 'sentence\tlabel\nsay "it\t1\nno\t0\n',
    "b.csv": 'label,text\n1,"say ""it"\n0,no\n',
    "c.jsonl": '{"text": "say \\"it", "label": 1}\n\n{"text": "no", "label": 0}\n',
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("packed", [False, True])
def test_files_of_examples(file, name, packed):
    data = FILES[name].encode()
    texts, labels = read_examples(
        file(name + ".gz" * packed, gzip.compress(data) if packed else data)
    )
    assert texts == ['say "it', "no"]
    assert [int(label) for label in labels] == [1, 0]


@pytest.mark.parametrize(
    ("header", "text", "label"),
    [
        ("index,question,sentence,label", ["question", "sentence"], "label"),  # QNLI
        ("Quality,#1 ID,#2 ID,#1 String,#2 String", ["#1 String", "#2 String"], "Quality"),  # MRPC
        (
            "id,qid1,qid2,question1,question2,is_duplicate",
            ["question1", "question2"],
            "is_duplicate",
        ),  # QQP
        ("text,text_pair,label", ["text", "text_pair"], "label"),
        ("pairID,premise,hypothesis,gold_label", ["premise", "hypothesis"], "gold_label"),
        ("genre,sentence1,sentence2,score", ["sentence1", "sentence2"], "score"),
        (
            "genre,sentence1_parse,sentence1,sentence2,label1,gold_label",
            ["sentence1", "sentence2"],
            "gold_label",
        ),
        ("Text,Category", "Text", "Category"),
        ("TEXT, Intent", "TEXT", "Intent"),
        ("labels,sentence", "sentence", "labels"),
        ("class,text,id", "text", "class"),
    ],
)
def test_columns_that_everybody_names_so(file, header, text, label):
    names = header.split(",")
    texts = [text] if isinstance(text, str) else text
    rows = [[f"{i} {LONG}" if name in texts else str(i % 2) for name in names] for i in range(9)]
    examples = read_examples(file("a.csv", "\n".join([header, *map(",".join, rows)])))
    assert (examples.text, examples.label) == (text, label)
    assert examples.x[8] == (f"8 {LONG}" if isinstance(text, str) else (f"8 {LONG}",) * 2)


def test_one_side_of_pairs_may_repeat(file):
    """Each of a few passages stands with several texts: it is text all the same."""
    passage = "a passage that stands with many texts"
    for repeated, few in ((passage, 3), ("who wrote that", 40)):
        rows = [f"{i % few} {repeated},{i} {LONG},{i % 2}" for i in range(400)]
        with pytest.raises(KzooError, match="has the text columns passage, text: say"):
            read_examples(file("a.csv", "passage,text,label\n" + "\n".join(rows)))
    rows = [f"is not so good,{i} {LONG},{i % 2}" for i in range(400)]  # Names of something.
    assert read_examples(file("a.csv", "what,text,label\n" + "\n".join(rows))).text == "text"


def test_a_blank_behind_the_comma_is_none_of_the_value(file):
    found = read_examples(file("a.csv", 'text, label\n"good, film", "pos"\n dull, neg\n'))
    assert (found.x, found.y) == (["good, film", "dull"], ["pos", "neg"])
    plain = read_examples(file("b.csv", "text,label\n so it is,pos\n"))
    assert plain.x == [" so it is"]


def test_the_label_to_type_is_the_likely_one(file):
    rows = [f"{i},{i} {LONG},{'good' if i else 'bad'}" for i in range(2)]
    with pytest.raises(KzooError, match="such as label='sentiment'"):
        read_examples(file("a.csv", "id,review,sentiment\n" + "\n".join(rows)), text="review")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("poem.txt", r'no tabs .* read by a CausalLM, with "text": "line" or "file"\.$'),
        ("poem.csv", "it has 'First Citizen:': name one that has labels"),
    ],
)
def test_plain_text_is_no_table(file, name, message):
    with pytest.raises(KzooError, match=message) as error:
        read_examples(file(name, "First Citizen:\nSpeak.\n\nAll:\nSpeak.\n"))
    assert "::" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "question"),
    [
        # Two columns of text, of which one alone would be trained on.
        ("title,text,label\n", r"text columns title, text: say text=\['title', 'text'\] for pairs"),
        (
            "sentence1,sentence2,answer,label\n",
            r"say text=\['sentence1', 'sentence2'\] for pairs, or text='sentence2' for one",
        ),
        ("text,answer,label\n", r"say text=\['text', 'answer'\] for pairs, or text='text'"),
        ("review,stars:\n", r"it has 'review, stars:': say which, such as label='stars:'"),
        ("review,stars\n", r"no column called label; it has review, stars: say which, such as"),
        ("review,label\n", r"no column called sentence or text; .*such as text='review'"),
        ("text,label,score\n", r"label columns label, score: say label='label', or which"),
    ],
)
def test_doubt_is_a_question(file, content, question):
    names = content.strip().split(",")
    holding = ("title", "text", "answer", "review", "sentence1", "sentence2")
    rows = [
        ",".join(f"{i} {LONG}" if name in holding else str(i % 3) for name in names)
        for i in range(9)
    ]
    with pytest.raises(KzooError, match=question) as error:
        read_examples(file("a.csv", content + "\n".join(rows)))
    assert len(str(error.value).replace(str(file("a.csv", "")), "")) < 200


def test_a_file_without_a_header(file):
    """Its first example is no header, and its columns have places."""
    rows = [f"gj04\t{i % 2}\t\tThe sailors rode the breeze {i}." for i in range(9)]
    path = file("cola.tsv", "\n".join(rows))
    with pytest.raises(KzooError, match=r"line 1: got an example .* say text=3, label=1, the pl"):
        read_examples(path)
    examples = read_examples(path, text=3, label=1)
    assert (len(examples), examples.x[0], examples.y[:2]) == (9, rows[0].split("\t")[3], ["0", "1"])
    rows = [f"A man is number {i}.,A woman is number {i}.,{i / 4}\r" for i in range(9)]
    path = file("sts.csv", "\n".join(rows))
    with pytest.raises(KzooError, match=r"say text=\[0, 1\], label=2"):
        read_examples(path)
    assert read_examples(path, text=[0, 1], label=2).x[0] == (
        "A man is number 0.",
        "A woman is number 0.",
    )
    headed = file("a.tsv", "sentence\tlabel\nx\t1\n")
    with pytest.raises(KzooError, match=r"names its columns \(sentence, label\): take those"):
        read_examples(headed, text=0, label=1)


def test_rows_without_a_label_or_text_are_left_out_and_counted(file):
    path = file("a.csv", "text,label\na,1\nb,\n , 1\nd, \ne,0\n")
    examples = read_examples(path)
    assert examples.x == ["a", "e"] and examples.y == ["1", "0"]
    assert examples.left_out == {"no label": [3, 5], "no text": [4]}
    assert "left out: 2 with no label (line 3, 5)" in examples.describe(["0", "1"])
    assert examples.record(["0", "1"])["labels"] == {"0": 1, "1": 1}
    assert examples.where(1).endswith("a.csv, line 6")
    assert read_texts(path) == ["a", "b", " ", "d", "e"], "predict answers every row"
    rows = '{"text": "a", "label": null}\n{"text": "b", "label": NaN}\n{"text": "c", "label": 0}\n'
    assert read_examples(file("a.jsonl", rows)).left_out == {"no label": [1, 2]}
    judged = "premise\thypothesis\tgold_label\na\tb\t-\na\tb\tneutral\n"
    assert read_examples(file("snli.tsv", judged)).left_out == {"no gold_label": [2]}


def test_a_source_is_a_text_where_its_target_is_a_label(file):
    path = file("a.tsv", "source\ttarget\tscore\nle chat\tthe cat\t1\n")
    assert read_texts(path) == ["le chat"]
    path = file("b.tsv", "source\ttarget\nle chat\tthe cat\n")
    assert read_texts(path) == ["le chat"]
    assert read_examples(path, targets="none").x == [("le chat", "the cat")]
    with pytest.raises(KzooError, match="no column called sentence or text"):
        read_texts(file("c.tsv", "source\tlabel\nreuters\t1\n"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bom.csv", b"\xef\xbb\xbftext,label\r\na b,1\r\nc,0\r\n"),
        ("crlf.tsv", b"text\tlabel\r\na b\t1\r\nc\t0\r\n"),
        ("trailing.csv", b"text,label,\na b,1,\nc,0,\n"),
        ("trailing.csv", b"text,label\na b,1,,\nc,0,,\n"),
        ("semicolons.csv", b"text;label\na b;1\nc;0\n"),
        ("index.csv", b",text,label\n0,a b,1\n1,c,0\n"),
        ("quoted.tsv", b'"text"\t"label"\n"a b"\t"1"\n"c"\t"0"\n'),
        ("mac.tsv", b"text\tlabel\ra b\t1\rc\t0\r"),
    ],
)
def test_files_as_other_programs_write_them(file, name, content):
    texts, labels = read_examples(file(name, content))
    assert (texts, labels) == (["a b", "c"], ["1", "0"])


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # pandas and R quote what needs it, or all.
        (['"say ""it"""\t1', "no\t0"], ['say "it"', "no"]),
        (['"one\ttwo"\t1', "no\t0"], ["one\ttwo", "no"]),
        (['"one"\t1', '"no"\t0'], ["one", "no"]),
        # GLUE doesn't quote: the quotes are the sentences' own.
        (['"Stop!"\t1', "no\t0"], ['"Stop!"', "no"]),
        (['"Stop", he said\t1', "no\t0"], ['"Stop", he said', "no"]),
        (['he said "stop"\t1', '"No"\t0'], ['he said "stop"', '"No"']),
    ],
)
def test_quotes_of_a_tsv(file, rows, expected):
    """A column that is quoted throughout, or quotes that the field needs, are a writer's."""
    header = '"text"\tlabel' if rows[0].startswith('"one"') else "text\tlabel"
    texts, labels = read_examples(file("a.tsv", "\n".join([header, *rows]) + "\n"))
    assert (texts, labels) == (expected, ["1", "0"])


def test_named_columns(file):
    path = file("pairs.tsv", "id\tsentence1\tsentence2\tgold\n7\ta\tb\tyes\n")
    assert list(read_examples(path, label="gold")) == [[("a", "b")], ["yes"]]
    assert list(read_examples(path, text="sentence2", targets="none")) == [["b"], None]
    assert read_examples(path, text=["Sentence2", "sentence1"], label="GOLD").x == [("b", "a")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", b"sentence\tlabel\nx\t1\t2\n", "line 2: got 3 fields; expected 2"),
        ("a.csv", b'text,label\n"a\nb",1\n"c\nd",1,2\n', "line 4: got 3 fields"),
        ("a.tsv", b"sentence\nx\n", "called label"),
        ("a.tsv", b"sentence\tlabel\n", "no examples"),
        ("a.tsv", b"", "no examples"),
        ("a.tsv", b"a\ta\n1\t1\n", "line 1: two columns are named 'a'"),
        ("a.tsv", b"sentence\tlabel\n\xff\t1\n", "byte 15"),
        ("a.tsv", "sentence\tlabel\n".encode("utf-16"), "not UTF-8 but UTF-16"),
        ("a.csv", b'text,label\n"x,1\n', "line 2"),
        ("a.jsonl", b'{"text": "x", "label": 1}\n{"text"', "line 2 is not JSON"),
        ("a.jsonl", b'{"text": "x", "label": 1}\n{"text": "y"}\n', "line 2: got the keys text"),
        ("a.jsonl", b'{"text": 3, "label": 1}\n', "line 1: text is 3"),
        ("a.jsonl", b"[1]\n", "line 1 holds \\[1\\]; an example, a JSON object"),
        ("a.md", b"x\n", ".tsv, .txt, .csv, .jsonl"),
        ("a.tsv.gz", gzip.compress(b"sentence\tlabel\nx\t1\n", mtime=0)[:-9], "not a whole gzip"),
        ("a.tsv.gz", b"sentence\tlabel\nx\t1\n", "not a whole gzip"),
    ],
)
def test_bad_files(file, name, content, message):
    path = file(name, content)
    with pytest.raises(KzooError, match=message):
        read_examples(path)
    with pytest.raises(KzooError, match="doesn't exist"):
        read_examples(path.parent / "none.tsv")


# -- labels ---------------------------------------------------------------------------------------


def labelled(file, labels, name="a.jsonl"):
    rows = [json.dumps({"text": f"text {i}", "label": label}) for i, label in enumerate(labels)]
    return read_examples(file(name, "\n".join(rows)))


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([str(i % 12) for i in range(30)], [str(i) for i in range(12)]),
        ([i % 12 for i in range(30)], [str(i) for i in range(12)]),
        ([1.0, 0.0, 2.0], ["0", "1", "2"]),  # As pandas writes whole numbers beside empty cells.
        ([-1, 1, 0], ["-1", "0", "1"]),
        ([True, False], ["False", "True"]),
        (["b", "a", "10"], ["10", "a", "b"]),
        (["10", "2", "-2", "-10", "-3", "02"], ["-10", "-3", "-2", "02", "2", "10"]),
        # `int` takes no text of more than 4,300 digits.
        (["2" * 5000, "7", "1" + "2" * 4999], ["7", "1" + "2" * 4999, "2" * 5000]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_names_of_classes_in_their_order(file, labels, names):
    problem, found, examples = class_names(labelled(file, labels))
    assert (problem, found) == ("single_label", names)
    assert set(examples.y) == set(names)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["['a', 'b']", "['a']"], r"the label \"\['a', 'b'\]\" is a list written as text"),
        ([0.5, 1, 1.556], "line 1: the label is 0.5, a decimal number: say problem='regression'"),
        (["1", "2.5"], "line 2: the label is 2.5, a decimal"),
        (
            ["1", "2,5"],
            "line 2: the label is '2,5', digits and a comma: write decimal numbers with",
        ),
        (["a"] * 9, "the one label 'a' in all of its 9 examples"),
        ([f"id {i}" for i in range(30)], "30 different labels in 30 examples of the column label"),
        ([{"a": 1}, {"a": 2}], "line 1: the label is {'a': 1}; expected text"),
        (
            [[1, 0, 1], [0, 1, 0]],
            r"the label is \[1, 0, 1\], a row of 0 and 1 as",
        ),
        (
            [[1.5, 0], [0.5, 2]],
            r"the label is \[1.5, 0\], decimal numbers",
        ),
        (["a;b", "b;c", "a;c", "b"], "line 1: the label is 'a;b': write several labels as a list"),
    ],
)
def test_doubtful_labels_are_a_question(file, labels, message):
    with pytest.raises(KzooError, match=message) as error:
        class_names(labelled(file, labels))
    assert len(str(error.value)) < 300


def test_a_list_in_one_column_is_a_row_of_numbers(file):
    bits = labelled(file, [[1, 0, 1], [0, 1, 0]])
    problem, names, examples = class_names(bits, labels=["a", "b", "c"])
    assert (problem, names, examples.y) == ("multi_label", ["a", "b", "c"], [[1, 0, 1], [0, 1, 0]])
    values = labelled(file, [[1.5, 0], [0.5, 2]])
    problem, names, examples = class_names(values, "regression")
    assert (names, examples.y) == (["label_1", "label_2"], [[1.5, 0], [0.5, 2]])
    with pytest.raises(KzooError, match="line 2: got .*; expected 2 numbers to learn"):
        class_names(labelled(file, [[1.5, 0], [0.5]]), "regression")
    ids = labelled(file, [[0, 2], [1], [2, 1]])  # Ids of labels, which aren't as many in each row.
    assert class_names(ids)[1] == ["0", "1", "2"]


def test_numbers_and_several_labels(file):
    problem, names, examples = class_names(labelled(file, ["0.5", "2"]), "regression")
    assert (problem, names, examples.y) == ("regression", ["label"], [0.5, 2.0])
    assert "values from 0.5 to 2" in examples.describe(names)
    plain = read_examples(file("plain.csv", "a,b,2.5\nc,d,1\n"), text=[0, 1], label=2)
    assert class_names(plain, "regression")[1] == ["score"]
    problem, names, examples = class_names(labelled(file, [["b"], [], ["a", "b"]]))
    assert (problem, names) == ("multi_label", ["a", "b"])
    assert examples.y == [[0, 1], [0, 0], [1, 1]]
    assert "2 labels: a (1), b (2)" in examples.describe(names)
    assert examples.record(names)["labels"] == {"a": 1, "b": 2}
    path = file("toxic.csv", "text,toxic,rude\na,1,0\nb,0,0\n")
    problem, names, examples = class_names(read_examples(path, label=["toxic", "rude"]))
    assert (problem, names, examples.y) == ("multi_label", ["toxic", "rude"], [[1, 0], [0, 0]])
    with pytest.raises(KzooError, match="line 2: the label is 'c'; expected one of a, b"):
        class_names(labelled(file, [["a"], ["c"]]), "multi_label", ["a", "b"])
    with pytest.raises(KzooError, match="the one label 'a'"):
        class_names(labelled(file, ["a", "a"]), labels=["a", "b"])
    assert class_names(labelled(file, ["a"]), None, ["a", "b"], learning=False)[2].y == ["a"]
    with pytest.raises(KzooError, match="line 2: got 'x'; expected a number"):
        class_names(labelled(file, ["1.5", "x"]), "regression")


def test_a_share_of_each_class_is_held_out():
    targets = ["a"] * 60 + ["b"] * 38 + ["c"] * 1 + ["d"] * 1
    for seed in range(4):
        held, rest = held_out(targets, 100, 0.1, seed)
        assert sorted(held + rest) == list(range(100))
        assert sorted(targets[i] for i in held) == ["a"] * 6 + ["b"] * 4
        held, rest = held_out([*"abcdddddddd"], 11, 0.5, seed)
        assert {"abcdddddddd"[i] for i in rest} == set("abcd") and len(held) == 4
    held, rest = held_out(targets, 100, 0.1, seed=3)
    assert held_out(targets, 100, 0.1, seed=3) == (held, rest)
    assert held_out(targets, 100, 0.1, seed=4) != (held, rest)
    held, rest = held_out(None, 10, 0.3, seed=0)
    assert (len(held), len(rest)) == (3, 7)


# -- words ----------------------------------------------------------------------------------------

CONLL_2003 = """-DOCSTART- -X- -X- O

EU NNP I-NP I-ORG
rejects VBZ I-VP O

# NN I-NP O
Peter NNP I-NP I-PER
Ann NNP I-NP B-PER
"""
WORDS = [["EU", "rejects"], ["#", "Peter", "Ann"]]
TAGS = [["B-ORG", "O"], ["O", "B-PER", "B-PER"]]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.conll", CONLL_2003),
        ("a.txt", CONLL_2003.replace("I-ORG", "B-ORG").replace("I-PER", "B-PER")),
        ("a.conll", "# sent 1\nEU\tB-ORG\nrejects\tO\n\t\n#\tO\nPeter\tB-PER\r\nAnn\tB-PER"),
        ("a.tsv", "word\ttag\nEU\tB-ORG\nrejects\tO\n\n#\tO\nPeter\tB-PER\nAnn\tB-PER"),
        (
            "a.jsonl",
            "".join(
                json.dumps({"tokens": words, "ner_tags": tags}) + "\n"
                for words, tags in zip(WORDS, TAGS, strict=True)
            ),
        ),
    ],
)
def test_words_and_tags(file, name, content):
    examples = read_words(file(name, content))
    assert (examples.x, examples.y) == (WORDS, TAGS)
    assert tag_names(examples) == ["O", "B-ORG", "B-PER"]


SPANS = [[(2, 5, "PER")], []]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("spacy.jsonl", '{"text": "\U0001f600 ann", "entities": [[2, 5, "PER"]]}\n'
                        '{"text": "x", "entities": []}'),
        ("spacy.json", '[["\U0001f600 ann", {"entities": [[2, 5, "PER"]]}], ["x", {"entities": []}]]'),  # noqa: E501
        ("doccano.jsonl", '{"id": 1, "text": "\U0001f600 ann", "label": [[2, 5, "PER"]]}\n'
                          '{"id": 2, "text": "x", "label": []}'),
        ("prodigy.jsonl", '{"text": "\U0001f600 ann", "spans": [{"start": 2, "end": 5, "label": "PER"}]}\n'  # noqa: E501
                          '{"text": "x", "spans": []}'),
        # Label Studio counts UTF-16 units.
        ("studio.json", json.dumps([
            {"data": {"text": "\U0001f600 ann"}, "annotations": [{"result": [
                {"value": {"start": 3, "end": 6, "text": "ann", "labels": ["PER"]}},
                {"value": {"choices": ["good"]}}]}]},
            {"data": {"text": "x"}, "annotations": [{"result": []}]},
            {"data": {"text": "nobody looked"}, "annotations": []},
        ])),
    ],
)  # fmt: skip
def test_texts_and_spans(file, name, content):
    examples = read_words(file(name, content))
    assert (examples.x, examples.y) == (["\U0001f600 ann", "x"], SPANS)
    assert tag_names(examples) == ["O", "B-PER", "I-PER"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.conll", "a O\nb\n", "line 2: got 1 columns; expected 2"),
        ("a.conllu", "1\tA\tx\tB-PER\tO\n", "say text=1, label=3, the places"),
        ("a.conll", "a NN x\nb VB y\n", "3 columns, the first line being a, NN, x: say"),
        ("a.jsonl", '{"tokens": ["a"], "ner_tags": [0, 1]}', "line 1: got 1 tokens and 2 ner_tags"),
        ("a.jsonl", '{"tokens": ["a"], "ner_tags": ["O"], "tags": ["O"]}', "ner_tags, tags: say"),
        ("a.jsonl", '{"text": "ann", "entities": [[0, 9, "X"]]}', "isn't within the text's 3"),
        ("a.jsonl", '{"text": "ann", "entities": [[0, 2, "X"], [1, 3, "X"]]}', "overlap; keep one"),
        ("a.jsonl", '{"text": "ann", "entities": [[0, "X"]]}', "expected \\[start, end, kind\\]"),
        ("a.csv", "x", "no kind of file with words"),
        ("a.json", "[]", "no examples"),
    ],
)
def test_bad_files_of_words(file, name, content, message):
    with pytest.raises(KzooError, match=message):
        read_words(file(name, content))


def test_tags_that_teach_nothing_are_a_question(file):
    numbers = read_words(file("a.jsonl", '{"tokens": ["a"], "ner_tags": [1]}'))
    with pytest.raises(KzooError, match="say labels=\\['O', 'B-PER', ...\\]"):
        tag_names(numbers)
    with pytest.raises(KzooError, match="the tag O alone"):
        tag_names(read_words(file("a.conll", "a O\n")))


# -- questions ------------------------------------------------------------------------------------

CONTEXT = "john lives in paris , the cat sat"
SQUAD = {"version": "v2.0", "data": [{"title": "t", "paragraphs": [{"context": CONTEXT, "qas": [
    {"id": "1", "question": "who?", "answers": [
        {"text": "john", "answer_start": 0}, {"text": "john lives", "answer_start": 0},
        {"text": "john", "answer_start": 0}]},
    {"id": "2", "question": "why?", "is_impossible": True,
     "answers": [{"text": "john", "answer_start": 0}]},
    {"id": "3", "question": "when?", "answers": [{"text": "paris", "answer_start": 3}]},
    {"id": "4", "question": "where?", "answers": [{"text": "paris", "answer_start": 14}]},
]}]}]}  # fmt: skip


def test_questions(file):
    """A question of which no answer stands where it says is left out, and said."""
    examples = read_questions(file("dev.json", json.dumps(SQUAD)))
    assert examples.x == [(q, CONTEXT) for q in ("who?", "why?", "where?")]
    assert examples.y == [[(0, 4), (0, 10)], None, (14, 19)]
    assert examples.left_out == {"answers that don't stand where they say": ["3"]}
    assert "1 questions have no answer" in examples.describe()
    lines = [
        {"question": "who?", "context": CONTEXT,
         "answers": {"text": ["john", "john lives"], "answer_start": [0, 0]}},
        {"question": "why?", "context": CONTEXT, "answers": {"text": [], "answer_start": []}},
        {"question": "where?", "context": CONTEXT,
         "answers": {"text": ["paris"], "answer_start": [14]}},
    ]  # fmt: skip
    again = read_questions(file("dev.jsonl", "\n".join(map(json.dumps, lines))))
    assert (again.x, again.y) == (examples.x, examples.y)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"data": [{"paragraphs": [{"context": "c"}]}]}', "expected a context and its qas"),
        ('{"data": [{"paragraphs": [{"context": "c", "qas": [{"id": "q7", "question": "x"}]}]}]}',
         "question q7: got the keys context, id, question; expected answers"),
        ('[{"question": "x", "context": 3, "answers": []}]', "entry 1: expected an object with a"),
        ('[{"question": "x", "context": "c", "answers": ["c"]}]', "expected text and answer_start"),
        ("[]", "no questions that can be used"),
        ('"x"', "holds 'x'; SQuAD's questions"),
    ],
)  # fmt: skip
def test_bad_files_of_questions(file, content, message):
    with pytest.raises(KzooError, match=message):
        read_questions(file("a.json", content))
    with pytest.raises(KzooError, match="leave it out"):
        read_questions(file("a.json", content), text="question")


# -- what is said of them -------------------------------------------------------------------------


def test_a_file_is_described_before_it_is_learned(file):
    content = "id;a;b;gold\n1;x y;z;yes\n2;p q;r;no\n3;u v;w;\n4;o;l;yes\n"
    examples = read_examples(file("a.csv", content), text=["a", "b"], label="gold")
    path = examples.path
    assert examples.describe(["no", "yes"]) == (
        f"{path}: 3 examples as comma-separated; text: a + b; label: gold; "
        "2 labels: no (1), yes (2); left out: 1 with no gold (line 4); "
        "its fields were parted at semicolons."
    )
    assert examples.record(["no", "yes"]) == {
        "file": "a.csv", "kind": "comma-separated", "columns": ["id", "a", "b", "gold"],
        "text": ["a", "b"], "label": "gold", "unit": "line", "examples": 3,
        "left_out": {"no gold": {"count": 1, "lines": [4]}},
        "notes": ["its fields were parted at semicolons"], "labels": {"no": 1, "yes": 2},
    }  # fmt: skip
    part = examples.part([2, 0])
    assert (part.x, part.y, part.lines) == ([("o", "l"), ("x y", "z")], ["yes", "yes"], [5, 2])
    assert part.where(0) == f"{path}, line 5" and part.label == "gold"
    assert replace(examples, y=None).part([1]).y is None
    several = Examples("f", [["a"], ["b"]], [["O", "X"], ("O",)], [1, 2], text="t", unit="entry")
    assert several.counts(["X", "O", "Y"]) == {"X": 1, "O": 2, "Y": 0}
    rows = Examples("f", [*"abc"], [[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]], [1, 2, 3])
    assert rows.counts(["a", "b"]) == {"a": 1, "b": 2}
    assert rows.record(["a", "b"])["labels"] == {"a": 1, "b": 2}
    values = Examples("f", [*"abc"], [0.5, -1.0, 2.25], [1, 2, 3], kind="x")
    assert values.counts(["score"]) is None and values.values() == (-1.0, 2.25)
    assert values.record(["score"])["values"] == (-1.0, 2.25)
    assert values.describe(["score"]) == "f: 3 examples as x; values from -1 to 2.25."
    assert replace(values, y=[[0.5, 3.0], (1.0, 2.0)]).values() == (0.5, 3.0)
    assert several.describe() == "f: 2 examples as ; text: t."


def test_long_lists_are_cut():
    assert listed("abcdef") == "a, b, c, d, e, f"
    assert listed("abcdefgh") == "a, b, c, d, e, f and 2 more"
    assert listed(["x" * 40]) == "x" * 40
    assert listed(["x" * 41]) == "x" * 37 + "..."


@pytest.mark.parametrize(
    ("name", "content", "kind", "columns", "lines", "notes"),
    [
        ("a.tsv", "a\tb\n1\t2\n\n3\t4\n", "tab-separated", {"a": ["1", "3"], "b": ["2", "4"]},
         [2, 4], []),
        ("a.txt", "a\n1\n", "tab-separated", {"a": ["1"]}, [2], []),
        ("a.tsv", 'a\n"x"y\n"z"\n"\n', "tab-separated", {"a": ['"x"y', '"z"', '"']}, [2, 3, 4],
         ["1 fields stand in quotes, which are kept: a .csv would drop them"]),
        ("a.tsv", 'a\tb\n"x"\t1\n"y"\t\n', "tab-separated", {"a": ['"x"', '"y"'], "b": ["1", ""]},
         [2, 3], ["2 fields stand in quotes, which are kept: a .csv would drop them"]),
        ("a.tsv", 'a\tb\nx\t"1\t2"\ny\tz\n', "tab-separated", {"a": ["x", "y"], "b": ["1\t2", "z"]},
         [2, 3], ["its quotes were read as a .csv's are"]),
        ("a.csv", "a\tb;c\n1;2\n", "comma-separated", {"a\tb": ["1"], "c": ["2"]}, [2],
         ["its fields were parted at semicolons"]),
        ("a.csv", "a\tb\n1\t2\n", "comma-separated", {"a": ["1"], "b": ["2"]}, [2],
         ["its fields were parted at tabs"]),
        ("a.csv", "a,,b\n1,x,2\n", "comma-separated", {"a": ["1"], "b": ["2"]}, [2],
         ["1 columns without a name were left out"]),
        ("a.csv", 'a,b\n"1\n2",3\n4,5\n', "comma-separated", {"a": ["1\n2", "4"], "b": ["3", "5"]},
         [2, 4], []),
        ("a.jsonl", '{"a": 1}\n\n{"a": null}\n', "JSON lines", {"a": [1, None]}, [1, 3], []),
    ],
)  # fmt: skip
def test_tables_and_what_was_done_to_read_them(file, name, content, kind, columns, lines, notes):
    table = read_table(file(name, content))
    assert (table.columns, table.lines, table.kind) == (columns, lines, kind)
    assert (table.notes, table.headed, len(table)) == (notes, True, len(lines))


def test_fields_may_be_long_and_other_readers_keep_their_limit(file):
    before = csv.field_size_limit()
    table = read_table(file("a.csv", "a,b\n" + "x" * 200_000 + ",1\n"))
    assert len(table.columns["a"][0]) == 200_000 and csv.field_size_limit() == before
    table = read_table(file("a.tsv", "1\t2\n3\t4\n"), headed=False)
    assert table.columns == {"0": ["1", "3"], "1": ["2", "4"]} and not table.headed
    with pytest.raises(KzooError, match="line 2: got 1 fields; expected 2, as in the first line"):
        read_table(file("a.tsv", "1\t2\n3\n"), headed=False)
    with pytest.raises(KzooError, match=r"expected 2, as in the header \(a, b\)"):
        read_table(file("a.tsv", "a\tb\n3\n"))
    with pytest.raises(KzooError, match="is a folder; a file of examples"):
        read_table(
            file("b.tsv", "").parent / "b.tsv" / ".." / ".." / "x.tsv" / ".." / ".."
        ) if False else read_table(_folder(file))


def _folder(file):
    path = file("x", "").with_name("folder.tsv")
    path.mkdir()
    return path


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ([["a"], ["b"]], {"problem": "single_label"}, r"got the labels \['a'\]; expected one"),
        (["a", "b"], {"problem": "multi_label"}, "line 1: the label is 'a'; expected a list of"),
        (["b"] * 9, {}, "the one label 'b'"),
    ],
)  # fmt: skip
def test_labels_of_another_problem_are_refused(file, labels, options, message):
    with pytest.raises(KzooError, match=message):
        class_names(labelled(file, labels), **options)


def test_columns_of_labels_are_zeros_and_ones_or_numbers(file):
    for one, zero in (("1", "0"), ("1.0", "0.0")):
        path = file("a.csv", f"text,x,y\na,{one},{zero}\nb,{zero},{zero}\n")
        problem, names, found = class_names(read_examples(path, label=["x", "y"]))
        assert (problem, names, found.y) == ("multi_label", ["x", "y"], [[1, 0], [0, 0]])
    path = file("a.csv", "text,x,y\na,1,0\nb,2,0\n")
    with pytest.raises(KzooError, match="several labels a text that aren't all 0 or 1"):
        class_names(read_examples(path, label=["x", "y"]))
    with pytest.raises(KzooError, match="line 3: got the labels 2, 0; expected 0 or 1"):
        class_names(read_examples(path, label=["x", "y"]), "multi_label")
    found = class_names(read_examples(path, label=["x", "y"]), "regression")
    assert (found[1], found[2].y) == (["x", "y"], [[1, 0], [2, 0]])


def test_many_labels_are_asked_about_where_they_are_half_of_the_examples(file):
    def names(different, count):
        return class_names(labelled(file, [f"n{i % different}" for i in range(count)]))[1]

    assert len(names(20, 20)) == 20 and len(names(21, 43)) == 21
    with pytest.raises(KzooError, match="has 21 different labels in 42 examples"):
        names(21, 42)


# -- columns of words -----------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["conll", "bio", "iob", "iob2", "ner", "txt", "tsv"])
def test_endings_of_files_with_a_word_a_line(file, ending):
    assert read_words(file(f"a.{ending}", "ann B-PER\n")).y == [["B-PER"]]


@pytest.mark.parametrize("words", ["tokens", "words"])
@pytest.mark.parametrize("tags", ["tags", "ner_tags", "labels", "ner"])
def test_keys_of_words_and_tags(file, words, tags):
    row = json.dumps({words: ["ann", "is"], tags: ["B-PER", "O"]})
    examples = read_words(file("a.jsonl", row))
    assert (examples.x, examples.y) == ([["ann", "is"]], [["B-PER", "O"]])


@pytest.mark.parametrize("header", ["word tag", "token label", "tokens ner_tags", "words ner"])
def test_a_first_line_that_names_the_columns_is_no_word(file, header):
    examples = read_words(file("a.conll", f"{header}\nann B-PER\n\nhi O\n"))
    assert (examples.x, examples.lines) == ([["ann"], ["hi"]], [2, 4])
    assert examples.notes == [f"its first line names the columns ({header.replace(' ', ', ')})"]


@pytest.mark.parametrize(
    ("tags", "expected", "turned"),
    [
        ("O I-A I-A O I-A I-B", "O B-A I-A O B-A B-B", True),
        ("I-A B-A I-A", "B-A B-A I-A", True),
        ("B-A I-A I-B", "B-A I-A I-B", False),  # a B- that parts nothing: it is IOB2
        ("I-A I-A O", "I-A I-A O", False),  # no B- at all: IO
        ("S-A B-B E-B", "S-A B-B E-B", False),
    ],
)
def test_iob1_becomes_iob2(file, tags, expected, turned):
    if tags.startswith("O I-A"):  # a B- that parts two spans that touch shows the scheme
        tags, expected = f"{tags} B-B", f"{expected} B-B"
    lines = "".join(f"w{i} {tag}\n" for i, tag in enumerate(tags.split()))
    examples = read_words(file("a.conll", lines))
    assert examples.y == [expected.split()]
    assert examples.notes == ["tags were turned from IOB1 into IOB2"] * turned


def test_tags_in_the_first_of_two_columns_are_no_words(file):
    path = file("a.bio", "O\tare\nB-X\tann\nI-X\t#\n\nO\tO\n")
    examples = read_words(path)
    assert (examples.x, examples.y) == ([["are", "ann", "#"], ["O"]], [["O", "B-X", "I-X"], ["O"]])
    assert (examples.text, examples.label) == (1, 0)
    assert examples.notes == ["its tags stand in the first column"]
    assert read_words(path, text=1).y == read_words(path, label=0).y == examples.y
    headed = read_words(file("b.bio", "ner_tag\ttoken\nO\tis\nB-X\tann\n"))
    assert (headed.x, headed.lines) == ([["is", "ann"]], [2])


@pytest.mark.parametrize("rows", ["O B-X\nO I-X\n", "ann PER\nis NONE\n"])
def test_tags_of_two_columns_that_are_not_clear_are_the_last(file, rows):
    assert read_words(file("a.conll", rows)).label == 1


@pytest.mark.parametrize(
    ("header", "row", "other", "options"),
    [
        ("Word\tEntity", "ann\tB-X", "is\tO", {}),
        ("token\tner_tag", "ann\tB-X", "is\tO", {}),
        ("Sentence #\tWord\tPOS\tTag", "7\tann\tNN\tB-X", "7\tis\tV\tO", {}),
        ("n\tText\tPOS\tTag\tx", "7\tann\tNN\tB-X\t-", "7\tis\tV\tO\t-", {"text": 1, "label": 3}),
        ("a\tb", "ann\tB-X", "is\tO", {"label": 1}),
    ],
)  # fmt: skip
def test_a_first_line_without_a_tag_above_tags_names_the_columns(file, header, row, other, options):
    examples = read_words(file("a.tsv", f"{header}\n{row}\n{other}\n"), **options)
    assert (examples.x, examples.y, examples.lines) == ([["ann", "is"]], [["B-X", "O"]], [2])
    names = header.replace("\t", ", ")
    assert examples.notes == [f"its first line names the columns ({names})"]


@pytest.mark.parametrize("rows", ["ann PER\nis O\n", "ann PER\nbob PER\nis B-X\n", "ann B-X\n"])
def test_a_first_word_is_kept_where_nothing_says_it_is_a_header(file, rows):
    assert read_words(file("a.conll", rows)).x[0][0] == "ann"


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ("ann\tB-X\n\nin\t\n", {}, "line 3: in has no tag in column 1; expected one for each"),
        ("in\t\nann\tB-X\n", {}, "line 1: in has no tag in column 1"),
        ("ann\tN\tB-X\nin\tP\t\n", {}, "line 2: in has no tag in column 2"),
        ("ann\tB-X\tx\nin\t\tx\n", {"label": 1}, "line 2: in has no tag in column 1"),
        ("ann\tN\tx\nin\tP\t\n", {}, "3 columns, the first line being ann, N, x: say"),
    ],
)
def test_a_word_without_a_tag_is_said_with_its_line(file, rows, options, message):
    with pytest.raises(KzooError, match=message):
        read_words(file("a.conll", rows), text=0 if options else None, **options)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
@pytest.mark.parametrize("blank", [" ", "\t"])
def test_lines_of_words_end_as_any_system_ends_them(file, end, blank):
    rows = [f"ann{blank}B-X", f"is{blank}O", "", f"bob{blank}B-X", ""]
    examples = read_words(file("a.conll", end.join(rows)))
    assert (examples.x, examples.y) == ([["ann", "is"], ["bob"]], [["B-X", "O"], ["B-X"]])
    assert examples.lines == [1, 4]
    row = json.dumps({"tokens": ["ann"], "tags": ["B-X"]})
    assert read_words(file("a.jsonl", end.join([row, row]))).lines == [1, 2]


def test_places_of_words_and_tags(file):
    path = file("a.conll", "1\tann\tB-PER\tB-X\n2\tis\tO\tO\n")
    examples = read_words(path, text=1, label=2)
    assert (examples.x, examples.y) == ([["ann", "is"]], [["B-PER", "O"]])
    assert (examples.text, examples.label, examples.columns) == (1, 2, [0, 1, 2, 3])
    assert read_words(path, label=3).x == [["ann", "is"]]
    assert read_words(path, text=0, label=3).x == [["1", "2"]]
    plain = file("b.conll", "ann B-PER\nis O\n")
    assert read_words(plain, text=0).y == read_words(plain, label=1).y == [["B-PER", "O"]]
    three = read_words(file("c.conll", "ann NN B-PER\nis V O\n"))
    assert (three.x, three.label) == ([["ann", "is"]], 2)
    for wrong in (4, -1):
        with pytest.raises(KzooError, match=f"has no column {wrong}; it has 4, from 0 on"):
            read_words(path, text=0, label=wrong)
    with pytest.raises(KzooError, match="'word' names a column of .*; expected its place"):
        read_words(path, text="word", label=3)
    for empty in ("", "ann\nis\n"):
        with pytest.raises(KzooError, match="holds no words with tags"):
            read_words(file("d.conll", empty))


# -- tables that are written ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'a,é\n"x,""y""",1\n,"[""ü""]"\ntrue,2.5\n'),
        ("a.TSV", 'a\té\n"x,""y"""\t1\n\t"[""ü""]"\ntrue\t2.5\n'),
        ("a.jsonl", '{"a": "x,\\"y\\"", "é": 1}\n{"a": null, "é": ["ü"]}\n{"a": true, "é": 2.5}\n'),
    ],
)
def test_a_table_is_written_whole_and_over_nothing(tmp_path, name, content):
    columns = {"a": ['x,"y"', None, True], "é": [1, ["ü"], 2.5]}
    write_table(tmp_path / name, columns)
    assert (tmp_path / name).read_bytes() == content.encode()
    with pytest.raises(KzooError, match="exists and isn't replaced"):
        write_table(tmp_path / name, columns)
    with pytest.raises(KzooError, match="a.md to write a table to; expected a path that ends in"):
        write_table(tmp_path / "a.md", columns)
    with pytest.raises(ValueError):
        write_table(tmp_path / f"b{name}", {"a": [1], "b": []})
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_text_is_no_file_unless_it_can_be_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my data.csv").write_text("text\n")
    for name in ("a.csv", "dir/a.tsv.gz", "a.jsonl", "my data.csv"):
        assert is_file(name), name
    for text in ("a.txt", "I like a.csv", "no", "a\nb.csv"):
        assert not is_file(text), text


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("a.csv", "text,label\na,1\n", {"text": "text", "label": 1}, "by name and by place"),
        ("a.csv", "text,label\na,1\n", {"label": "x"}, "has no column 'x'; it has text, label"),
        ("a.csv", "text,label\na,\nb,\n", {}, "all of its 2 rows have no label"),
        ("a.jsonl", '{"a": "x", "b": 1}', {"text": 0, "label": 1}, r"names its columns \(a, b\)"),
    ],
)
def test_columns_that_are_not_there(file, name, content, options, message):
    with pytest.raises(KzooError, match=message):
        read_examples(file(name, content), **options)


# -- annotations ----------------------------------------------------------------------------------


def studio(*annotations, text="ann is", **data):
    """A task of Label Studio whose annotations are lists of spans, with what else they say."""
    return {"data": {"text": text, **data}, "annotations": [
        {**more, "result": [{"value": {"start": a, "end": b, "labels": ["X"]}} for a, b in spans]}
        for spans, more in annotations
    ]}  # fmt: skip


def test_annotations_that_count(file):
    one, other = [(0, 3)], [(4, 6)]
    tasks = [
        studio((one, {}), (one, {})),
        studio((one, {"was_cancelled": True}), (other, {})),
        studio((one, {}), (other, {"ground_truth": True})),
        studio((one, {"was_cancelled": True})),
        studio((other + one, {})),
    ]
    examples = read_words(file("a.json", json.dumps(tasks)))
    first, second = (0, 3, "X"), (4, 6, "X")
    assert examples.y == [[first], [second], [second], [first, second]]
    assert (examples.lines, examples.left_out) == ([1, 2, 3, 5], {"no annotation": [4]})
    assert (examples.text, examples.label, examples.unit) == ("text", "annotations", "entry")
    choice = {"value": {"choices": ["x"]}}
    tasks[0]["annotations"] = [{"result": [choice, *tasks[0]["annotations"][0]["result"]]}]
    assert read_words(file("a.json", json.dumps(tasks))).y[0] == [first]
    named = [{"data": {"body": "ann", "n": 1}, "annotations": [{"result": []}]}]
    assert read_words(file("a.json", json.dumps(named))).text == "body"
    twice = [studio((one, {}), other="ann")]
    assert read_words(file("a.json", json.dumps(twice)), text="other").x == ["ann"]


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([studio(([(0, 3)], {}), ([(4, 6)], {}))], "entry 1: got 2 annotations that differ"),
        ([studio()], "none of its 1 tasks has an annotation"),
        ([studio(([(0, 9)], {}))], "isn't within the text's 6 characters"),
        ([studio(([(0, 0)], {}))], "isn't within the text's"),
        ([{"data": {"a": "x", "b": "y"}, "annotations": []}], "a, b in its data: say .* text='a'"),
        ([{"data": {"a": 1}, "annotations": []}], "no strings in its data: say .* text='text'"),
        ([studio(([], {})), {"data": {"text": 3}}], "entry 2: expected data with 'text', a string"),
        ([studio(([], {})), {"data": [1]}], "entry 2: expected data with 'text'"),
        ([{"data": {"text": "ann"}, "annotations": [{"result": [
            {"value": {"start": 0, "end": 2, "labels": ["X"], "text": "no"}}]}]}],
         "the span at 0 is 'an'; expected 'no'"),
    ],
)  # fmt: skip
def test_annotations_that_do_not_fit(file, tasks, message):
    with pytest.raises(KzooError, match=message):
        read_words(file("a.json", json.dumps(tasks)))


@pytest.mark.parametrize(
    ("row", "spans"),
    [
        ({"content": "ann", "spans": [[0, 3, "X"]]}, [(0, 3, "X")]),
        ({"sentence": "ann", "entities": None}, []),
        ({"text": "a b", "entities": [{"start": 2, "end": 3, "type": "Y"}, [0, 1, "X"]]},
         [(0, 1, "X"), (2, 3, "Y")]),
        ({"text": "ab", "entities": [{"start_offset": 0, "end_offset": 1, "label": "X"},
                                     [1, 2, "Y"]]}, [(0, 1, "X"), (1, 2, "Y")]),
        ({"text": "ab", "entities": [{"start": 0, "end": 2, "labels": ["X"]}]}, [(0, 2, "X")]),
    ],
)  # fmt: skip
def test_spans_as_many_tools_write_them(file, row, spans):
    assert read_words(file("a.jsonl", json.dumps(row))).y == [spans]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"text": 3, "entities": []}], "line 1: expected text, a string, and entities, a list"),
        ([{"text": "a", "entities": "x"}], "expected text, a string, and entities"),
        ([{"text": "ab", "entities": [[0, 1.0, "X"]]}], "got the span"),
        ([{"text": "ab", "entities": [[0, 1, 2]]}], "got the span"),
        ([{"text": "ab", "entities": [{"start": 0, "end": 1, "label": [1]}]}], "got the span"),
        ([{"text": "ab", "entities": [[-1, 1, "X"]]}], "isn't within"),
        ([{"text": "a \t b", "entities": [[1, 3, "X"]]}], "line 1: the span .* holds blanks alone"),
        ([{"tokens": ["a"], "tags": "O"}], "line 1: tags is 'O'; expected a list of tags"),
        ([{"tokens": [1], "tags": ["O"]}], "tokens is .*; expected a list of words"),
        ([{"tokens": [], "tags": []}], "all of its 1 rows have no words"),
        ([{"tokens": ["a"], "other": ["O"]}], "has the keys tokens, other; expected"),
        ([{"tokens": ["a"], "tags": ["O"]}, {"tokens": ["a"]}],
         "line 2: got the keys tokens; expected"),
    ],
)  # fmt: skip
def test_rows_of_words_that_do_not_fit(file, rows, message):
    with pytest.raises(KzooError, match=message):
        read_words(file("a.jsonl", "\n".join(map(json.dumps, rows))))
    some = [{"tokens": [], "tags": []}, {"tokens": ["a"], "tags": ["O"]}]
    found = read_words(file("b.jsonl", "\n".join(map(json.dumps, some))))
    assert (found.x, found.lines, found.left_out) == ([["a"]], [2], {"no words": [1]})


# -- what is known of questions -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"is_impossible": "False"}, "line 1: is_impossible is 'False'; expected true or false"),
        ({"answers": []}, "all of its 1 questions have empty answers"),
    ],
)
def test_no_answer_must_be_said(file, more, message):
    row = {"question": "who?", "context": "ann", "answers": [{"text": "ann", "answer_start": 0}]}
    with pytest.raises(KzooError, match=message):
        read_questions(file("a.jsonl", json.dumps(row | more)))


def test_questions_alone_and_their_numbers(file):
    answers = [{"text": "no", "answer_start": 0}]
    rows = [
        {"question": "who?", "context": "ann"},
        {"question": "why?", "context": "b", "answers": answers},
    ]
    path = file("a.jsonl", "\n".join(map(json.dumps, rows)))
    assert read_pairs(path) == [("who?", "ann"), ("why?", "b")]
    alone = read_questions(path, targets="none")
    assert (alone.y, alone.notes, alone.unit, alone.left_out) == (None, [], "line", {})
    with pytest.raises(KzooError, match="line 1: got the keys question, context; expected answers"):
        read_questions(path)
    rows[0]["is_impossible"] = True
    found = read_questions(file("a.json", json.dumps(rows)))
    assert (found.x, found.y, found.lines) == ([("who?", "ann")], [None], ["1"])
    assert found.left_out == {"answers that don't stand where they say": ["2"]}
    assert (found.text, found.label, found.unit) == ("question + context", "answers", "entry")
    assert found.columns == ["question", "context", "answers"]
    qas = [
        {"question": "a?", "answers": []},
        {"question": "b?", "answers": [{"text": "n", "answer_start": 1}]},
    ]
    squad = {
        "data": [
            {"paragraphs": [{"context": "ann", "qas": qas[:1]}, {"context": "ann", "qas": qas[1:]}]}
        ]
    }
    found = read_questions(file("b.json", json.dumps(squad)))
    assert (found.lines, found.y, found.unit) == ([1, 2], [None, (1, 2)], "question")


QUESTION = '{"question": "x", "context": "c", "answers": %s}'


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "x", "no kind of file with questions"),
        ("a.json", '{"version": 1}', "got no list of questions"),
        ("a.json", '{"data": [{"paragraphs": [{"context": "c", "qas": [3]}]}]}',
         "question 1: expected an"),
        ("a.jsonl", QUESTION % '{"text": ["c"], "answer_start": []}',
         "expected text and answer_start"),
        ("a.jsonl", QUESTION % '{"text": "c", "answer_start": [0]}',
         "expected text and answer_start"),
        ("a.jsonl", QUESTION % "3", "expected text and answer_start"),
    ],
)  # fmt: skip
def test_questions_that_are_none(file, name, content, message):
    with pytest.raises(KzooError, match=message):
        read_questions(file(name, content))
