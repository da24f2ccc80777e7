"""Layouts of texts to judge."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.layouts.made import HEAD, TEXT, WORDS, layout, records, reviews, separated, text, write

text("csv with text and label", "reviews.csv", separated([*HEAD, *reviews()]))
text("tsv without a line of names", "reviews.tsv", separated([(b, a) for a, b in reviews()], "\t"))
text("semicolons, as spreadsheets write in half of Europe", "reviews.csv", separated([*HEAD, *reviews()], ";"))
text("Excel's first line sep=;", "reviews.csv", "sep=;\n" + separated([*HEAD, *reviews()], ";"))
text("UTF-16 with a byte order mark", "reviews.csv", separated([*HEAD, *reviews()]), encoding="utf-16")
text(
    "cp1252",
    "rezensionen.csv",
    separated([*HEAD, *((f"{a}, schön für Müller", b) for a, b in reviews())]),
    encoding="cp1252",
    flags={"encoding": "cp1252"},
)
text("Chinese names of columns", "评论.csv", separated([("文本", "标签"), *((f"电影{a}", b) for a, b in reviews())]))
text(
    "an index that pandas wrote (Unnamed: 0)",
    "reviews.csv",
    separated([("", "text", "sentiment"), *((i, *each) for i, each in enumerate(reviews()))]),
)
text(
    "title and body",
    "news.csv",
    separated([("title", "body", "label"), *((f"Number {i}", *each) for i, each in enumerate(reviews()))]),
)
text(
    "SMS spam as Kaggle has it: v1, v2 and three empty columns",
    "spam.csv",
    separated([("v1", "v2", "", "", ""), *((b, a, "", "", "") for a, b in reviews())]),
)
text(
    "SMS spam as UCI has it: class, tab, text, no suffix of a table",
    "SMSSpamCollection.txt",
    separated([(b, a) for a, b in reviews()], "\t"),
)
text("a list of objects in .json", "reviews.json", json.dumps(records()))
text("JSON lines in .jsonl", "reviews.jsonl", "".join(json.dumps(each) + "\n" for each in records()))
text("JSON lines in .json", "reviews.json", "".join(json.dumps(each) + "\n" for each in records()))
text(
    "pandas' to_json by column",
    "reviews.json",
    json.dumps({name: {str(i): each[name] for i, each in enumerate(records())} for name in ("text", "label")}),
)
text(
    "pandas' to_json(orient='split')",
    "reviews.json",
    json.dumps({"columns": ["text", "label"], "index": list(range(20)), "data": [list(each) for each in reviews()]}),
)
text("pandas' to_json(orient='index')", "reviews.json", json.dumps({str(i): each for i, each in enumerate(records())}))
text("packed: .csv.gz", "reviews.csv.gz", gzip.compress(separated([*HEAD, *reviews()]).encode()))
text(
    "packed: .jsonl.gz",
    "reviews.jsonl.gz",
    gzip.compress("".join(json.dumps(each) + "\n" for each in records()).encode()),
)


@layout("packed: .zip with one table", "texts", TEXT, 20, set(WORDS))
def zipped(root: Path) -> Path:
    with zipfile.ZipFile(root / "reviews.zip", "w") as file:
        file.writestr("reviews.csv", separated([*HEAD, *reviews()]))
    return root / "reviews.zip"


@layout("Excel's .xlsx", "texts", TEXT, 20, set(WORDS))
def excel(root: Path) -> Path:
    import openpyxl

    book = openpyxl.Workbook()
    for row in [*HEAD, *reviews()]:
        book.active.append(row)
    book.save(root / "reviews.xlsx")
    return root / "reviews.xlsx"


@layout("parquet", "texts", TEXT, 20, set(WORDS))
def parquet_of_texts(root: Path) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(records()), root / "reviews.parquet")
    return root / "reviews.parquet"


text(
    "pairs by name (premise, hypothesis)",
    "pairs.csv",
    separated([("premise", "hypothesis", "label"), *((a, f"it was {i}", b) for i, (a, b) in enumerate(reviews()))]),
)
text(
    "pairs without a line of names",
    "pairs.tsv",
    separated([(a, f"it was said to be number {i} of them all", b) for i, (a, b) in enumerate(reviews())], "\t"),
    flags={"text_column": "column 1,column 2", "label_column": "column 3"},
)
text(
    "given splits in a column",
    "reviews.csv",
    separated(
        [
            ("text", "label", "split"),
            *((*each, ("train", "train", "train", "dev", "test")[i // 4]) for i, each in enumerate(reviews())),
        ]
    ),
    splits={"train": 12, "validation": 4, "test": 4},
)
text(
    "is_valid says which rows validate",
    "reviews.csv",
    separated([("text", "label", "is_valid"), *((*each, i >= 16) for i, each in enumerate(reviews()))]),
    splits={"validation": 4},
)
text(
    "a fold column of numbers is no split",
    "reviews.csv",
    separated([("text", "label", "fold"), *((*each, i % 5) for i, each in enumerate(reviews()))]),
)
text(
    "a number for each text",
    "stars.csv",
    separated([("text", "score"), *((a, 1.5 + 0.13 * i) for i, (a, _) in enumerate(reviews(40)))]),
    40,
    None,
    task="text-regression",
)
text(
    "several labels for each text",
    "topics.csv",
    separated(
        [("text", "tags"), *((a, ("sport;money", "sport", "money")[i % 3]) for i, (a, _) in enumerate(reviews(30)))]
    ),
    30,
    None,
    task="text-multi-label-classification",
)


@layout("class folders of .txt", "texts", TEXT, 20, set(WORDS))
def folders_of_texts(root: Path) -> Path:
    for i, (each, label) in enumerate(reviews()):
        write(root / "reviews" / label / f"{i}.txt", each)
    return root / "reviews"


@layout("class folders of .txt, with README.txt and CHANGES.txt beside them", "texts", TEXT, 20, set(WORDS), left_out=2)
def texts_with_readme(root: Path) -> Path:
    for i, (words, label) in enumerate(reviews()):
        write(root / "reviews" / label / f"{i}.txt", words)
    for name in ("README", "CHANGES"):
        write(root / "reviews" / f"{name}.txt", "About these reviews.")
    return root / "reviews"


@layout("20 Newsgroups: class folders of files without suffix", "texts", TEXT, 20, set(WORDS))
def newsgroups(root: Path) -> Path:
    for i, (each, label) in enumerate(reviews()):
        write(root / "news" / label / f"{50000 + i}", f"From: anna@example.org\nSubject: {i}\n\n{each}")
    return root / "news"


@layout(
    "IMDB: train/ and test/, pos/ and neg/, with unsup/",
    "texts",
    TEXT,
    32,
    {"pos", "neg"},
    splits={"test": 16},
    left_out=None,
)
def imdb(root: Path) -> Path:
    for split in ("train", "test"):
        for i, (each, label) in enumerate(reviews(16)):
            write(root / "aclImdb" / split / {"good": "pos", "bad": "neg"}[label] / f"{i}_7.txt", f"{split} {each}")
    for i in range(4):
        write(root / "aclImdb" / "train" / "unsup" / f"{i}_0.txt", f"nobody has judged number {i}")
    write(root / "aclImdb" / "README", "Large Movie Review Dataset")
    return root / "aclImdb"


text("a text and its class in .txt, parted by a tab", "titles.txt", separated([(a, b) for a, b in reviews()], "\t"))
LABELLED = "".join(f"__label__{label} {each}\n" for each, label in reviews())
text("fastText: __label__ in front of each text", "reviews.txt", LABELLED)
text(
    "fastText with several labels",
    "reviews.txt",
    "".join(
        f"__label__{label} __label__{('short', 'long')[i // 10]} {each}\n" for i, (each, label) in enumerate(reviews())
    ),
    20,
    None,
    task="text-multi-label-classification",
)


@layout("fastText's cooking.train and cooking.valid", "texts", TEXT, 20, set(WORDS), splits={"validation": 6})
def cooking(root: Path) -> Path:
    lines = LABELLED.splitlines(keepends=True)
    write(root / "cooking" / "cooking.train", "".join(lines[:14]))
    write(root / "cooking" / "cooking.valid", "".join(lines[14:]))
    return root / "cooking"


@layout("TREC: DESC:manner in front of each question", "texts", TEXT, 28, {"DESC", "HUM"}, splits={"test": 8})
def trec(root: Path) -> Path:
    lines = [f"{('DESC:manner How', 'HUM:ind Who')[i % 2]} did number {i} ?\n" for i in range(28)]
    write(root / "trec" / "train_5500.label", "".join(lines[:20]))
    write(root / "trec" / "TREC_10.label", "".join(lines[20:]))
    return root / "trec"


text(
    "Financial PhraseBank: @positive behind each text",
    "Sentences_50Agree.txt",
    "".join(f"{each} .@{label}\n" for each, label in reviews()),
)


@layout("rt-polarity.pos and rt-polarity.neg, a text a line", "texts", TEXT, 20, {"pos", "neg"})
def rt_polarity(root: Path) -> Path:
    for name, label in (("pos", "good"), ("neg", "bad")):
        lines = [f"{each}\n" for each, own in reviews() if own == label]
        write(root / "rt" / f"rt-polarity.{name}", "".join(lines))
    return root / "rt"


text(
    "a field of 200,000 characters",
    "long.csv",
    separated([*HEAD, *((a * (3500 if i == 3 else 1), b) for i, (a, b) in enumerate(reviews()))]),
)


def _beside(names: tuple[str, ...], cells: Callable[[int, str, str], tuple[Any, ...]], count: int = 20) -> str:
    """A table with these columns, of which the rows say what stands in each."""
    return separated([names, *(cells(i, *each) for i, each in enumerate(reviews(count)))])


TOXIC = ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate")
text(
    "six columns of 0 and 1, as Jigsaw's comments have them",
    "train.csv",
    _beside(
        ("id", "comment_text", *TOXIC), lambda i, a, b: (f"{i:016x}", a, *(int(i % (k + 2) == 0) for k in range(6)))
    ),
    20,
    None,
    task="text-multi-label-classification",
)
text(
    "one column of 0 and 1 for each class, exactly one of which is 1",
    "one_hot.csv",
    _beside(("text", "sport", "money", "art"), lambda i, a, b: (a, *(int(i % 3 == k) for k in range(3)))),
    20,
    {"sport", "money", "art"},
)
text(
    "title, plot and genres ('Drama, Comedy')",
    "movies.csv",
    _beside(
        ("title", "plot", "genres"),
        lambda i, a, b: (f"number {i}", a, ("Drama, Comedy", "Drama", "Comedy, Action", "Action")[i % 4]),
    ),
    20,
    None,
    task="text-multi-label-classification",
)
text(
    "a survey whose columns are called by questions",
    "form.csv",
    _beside(("How was your stay?", "Would you come again?"), lambda i, a, b: (a, ("Yes", "No", "Maybe")[i % 3])),
    20,
    {"Yes", "No", "Maybe"},
)
text(
    "a survey with short answers",
    "form.csv",
    _beside(
        ("What is the first word that comes to your mind?", "Which colour do you like best?"),
        lambda i, a, b: (f"word {i}", ("red", "blue")[i % 2]),
    ),
    20,
    {"red", "blue"},
)
text(
    "prices as people write them: $1,200.50",
    "prices.csv",
    _beside(("description", "price"), lambda i, a, b: (a, f"${1200.5 + 97 * i:,.2f}")),
    20,
    {1200.5 + 97 * i for i in range(20)},
    task="text-regression",
)
text(
    "prices as people write them: 1.200,50 €",
    "prices.csv",
    _beside(("text", "Preis"), lambda i, a, b: (a, f"{i + 1}.200,50 €")),
    20,
    {1000.0 * i + 1200.5 for i in range(20)},
    task="text-regression",
)
text(
    "per cent",
    "shares.csv",
    _beside(("text", "score"), lambda i, a, b: (a, f"{i}.5%")),
    20,
    {i + 0.5 for i in range(20)},
    task="text-regression",
)
text("empty rows at the end (,,,)", "reviews.csv", separated([*HEAD, *reviews()]) + ",\n" * 50)
text(
    "airline_sentiment, its confidence and a reason",
    "tweets.csv",
    _beside(
        ("tweet_id", "airline_sentiment", "airline_sentiment_confidence", "negativereason", "airline", "text"),
        lambda i, a, b: (i, b, i / 40, ("late", "rude")[i % 2], ("Delta", "United")[i % 2], a),
    ),
)
text(
    "Amazon's reviews in JSON lines (reviewText, summary, overall)",
    "reviews.json",
    "".join(
        json.dumps(
            {"reviewerID": f"A{i}", "asin": f"B{i % 4}", "reviewText": a, "summary": f"so {i}", "overall": 1.0 + i % 5}
        )
        + "\n"
        for i, (a, _) in enumerate(reviews())
    ),
    20,
    {"1", "2", "3", "4", "5"},
)
text(
    "MNLI's tsv: gold_label beside genre and label1",
    "mnli.tsv",
    separated(
        [
            ("index", "genre", "sentence1", "sentence2", "label1", "gold_label"),
            *((i, ("travel", "letters")[i % 2], a, f"it was {i}", "good", b) for i, (a, b) in enumerate(reviews())),
        ],
        "\t",
    ),
)
text(
    "CoLA's tsv without a line of names",
    "cola.tsv",
    separated([(f"gj{i:02d}", i % 2, "*" * (i % 2), a) for i, (a, _) in enumerate(reviews())], "\t"),
    20,
    {"0", "1"},
)
text(
    "AG News without a line of names: class, title, text",
    "train.csv",
    separated(
        [(1 + i % 4, f"News of day {i} from here", f"{a} and {a} and {a}") for i, (a, _) in enumerate(reviews())]
    ),
    20,
    {"1", "2", "3", "4"},
)
text(
    "mails with Subject, Message and Spam/Ham",
    "enron.csv",
    _beside(
        ("Message ID", "Subject", "Message", "Spam/Ham", "Date"),
        lambda i, a, b: (i, f"about number {i}", a, b, f"1999-12-{i + 1:02d}"),
    ),
)
text(
    "BoolQ: question, passage and an answer of true or false",
    "boolq.jsonl",
    "".join(
        json.dumps({"question": f"is it so that {a}", "passage": f"{a}, and {a}", "answer": i % 2 == 0}) + "\n"
        for i, (a, _) in enumerate(reviews())
    ),
    20,
    {"True", "False"},
)


def _prodigy(name: str, what: str, rows: int, targets: set[str], each: Callable[[int], dict[str, Any]]) -> None:
    lines = ({"text": a, "_task_hash": i, **each(i)} for i, (a, _) in enumerate(reviews()))
    text(what, name, "".join(json.dumps(line) + "\n" for line in lines), rows, targets, left_out=20 - rows)


_prodigy(
    "choice.jsonl",
    "Prodigy's choices: accept, and answers of which some are ignored",
    16,
    {"A", "B"},
    lambda i: {"accept": ["AB"[i % 2]], "answer": "ignore" if i % 5 == 0 else "accept"},
)
_prodigy(
    "binary.jsonl",
    "Prodigy's accept, reject and ignore",
    16,
    {"accept", "reject"},
    lambda i: {"label": "INSULT", "answer": "ignore" if i % 5 == 0 else ("accept", "reject")[i % 2]},
)


@layout("a workbook whose data are on its second sheet", "texts", TEXT, 20, set(WORDS))
def second_sheet(root: Path) -> Path:
    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(("Reviews of 2024",))
    book.active.append(("asked by", "Anna"))
    sheet = book.create_sheet("Data")
    for row in [*HEAD, *reviews()]:
        sheet.append(row)
    book.save(root / "reviews.xlsx")
    return root / "reviews.xlsx"
