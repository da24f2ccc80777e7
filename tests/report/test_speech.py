"""Pages of models that hear, write down or make sounds: what they say, show and play."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pervade.core import files, spec
from pervade.core.contracts import Domain
from pervade.core.run import RunDirectory
from pervade.core.words import group_nouns
from pervade.engine.predictions import read_columns
from pervade.report import cautions, preprocessing, sound, sound_cautions, verdict, wording
from pervade.report.details import baseline as against
from pervade.report.record import Figure, Record, Result
from pervade.report.record import read as read_record
from tests.report import test_browser
from tests.report.test_card import card
from tests.report.test_report import Reader, read
from tests.sound_run import BITS, TRANSCRIPTION, classified, held_out, synthesised, transcribed, write_predictions

Page = tuple[Reader, str, RunDirectory]


def measured_by(patch: pytest.MonkeyPatch, metrics: dict[str, Any]) -> None:
    """Puts these metrics in place of the task's own."""
    task = SimpleNamespace(metrics=lambda domain: metrics)
    patch.setattr(preprocessing, "task", lambda record: task)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Page:
    run = classified(tmp_path_factory.mktemp("classified"))
    return *read(run), run


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Page:
    run = transcribed(tmp_path_factory.mktemp("transcribed"))
    with pytest.MonkeyPatch.context() as patch:
        measured_by(patch, TRANSCRIPTION)
        return *read(run), run


def test_mistakes_can_be_heard_and_seen(spoken: Page) -> None:
    reader, text, _ = spoken
    assert "13 of 60 recordings got a wrong answer" in text
    assert reader.tags.count("audio") == 12
    sources = [link for link in reader.links if link.startswith("data:")]
    assert sum(each.startswith("data:image/png") for each in sources) == 12
    assert sum(each.startswith("data:audio/wav") for each in sources) == 12
    assert all(link.startswith(("#", "data:")) for link in reader.links)
    # 95, 80 and 60% of three speakers: with Student's t of two degrees of freedom that may be chance.
    assert "This model was to tell “no” from “yes”, and is not shown to do better than guessing." in text
    assert "measured again and again on recordings of as many other speakers, 95 of 100 such ranges would hold" in text


def test_sounds_beyond_the_pages_room_are_left_out_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound, "PAGE_BYTES", 0)
    monkeypatch.setattr(sound.ByteBudget, "left", 50_000, raising=False)
    monkeypatch.setattr(sound.ByteBudget.__init__, "__defaults__", (50_000, 0))
    reader, text = read(classified(tmp_path))
    shown = reader.tags.count("audio")
    assert 0 < shown < 12
    assert f"The last {12 - shown} recordings are shown without a player" in text


def test_every_speaker_has_a_figure_and_the_worst_comes_first(spoken: Page) -> None:
    _, text, _ = spoken
    # Wilson of 12, 16 and 19 in 20.
    shown = re.findall(r"(<cy>|ada|ben) ?(\d+\.\d%) (\d+\.\d to \d+\.\d%)", text)
    assert shown == [
        ("<cy>", "60.0%", "38.7 to 78.1%"),
        ("ben", "80.0%", "58.4 to 91.9%"),
        ("ada", "95.0%", "76.4 to 99.1%"),
    ]
    # The deviation of 60, 80 and 95.
    assert "The standard deviation between speakers is 17.6 points." in text
    assert "60.0% with “<cy>”, the worst, and 95.0% with “ada”, the best of 3 speakers" in text


def test_durations_are_in_quarters(spoken: Page) -> None:
    _, text, _ = spoken
    section = text[text.index("The recordings sorted by their length") :]
    assert re.findall(r"(\d\.\d\d to \d\.\d\d s) ?(\d+\.\d%)", section) == [
        ("0.25 to 0.49 s", "100.0%"),
        ("0.49 to 0.72 s", "40.0%"),
        ("0.72 to 0.96 s", "73.3%"),
        ("0.96 to 1.20 s", "100.0%"),
    ]


def test_groups_go_by_the_name_of_their_column(tmp_path: Path) -> None:
    _, text = read(classified(tmp_path, group_column="client_id"))
    assert "Client by client" in text
    assert "From client to client" in text


@pytest.mark.parametrize(
    ("column", "pattern", "domain", "noun"),
    [
        (None, None, "sound", "speakers"),
        (None, None, "image", "groups"),
        ("patient_id", None, "image", "patients"),
        ("<b>", None, "image", "groups"),
        ("Room No", None, "sound", "rooms"),
        (None, "_(.+)_", "sound", "groups"),
        (None, "_(?P<machine>.+)_", "sound", "machines"),
    ],
)
def test_what_groups_are_called(column: str | None, pattern: str | None, domain: str, noun: str) -> None:
    about = {"use": domain, "group_column": column, "group_pattern": pattern}
    assert wording.group_of(group_nouns(spec.decode(about, Domain)), {}) == noun


def test_each_speaker_held_out(tmp_path: Path) -> None:
    reader, text = read(held_out(tmp_path))
    assert "Each speaker held out in turn" in text
    assert "Each of the 3 speakers was tested by a model that was trained on the others and never met this one." in text
    # t of 2 degrees of freedom is 4.303: 78.3 less 4.303 x 17.56 / sqrt(3); above 100% there is nothing.
    assert "is 78.3%; the 95% interval over speakers (34.7 to 100.0%, t of 2 degrees of freedom)" in text
    assert [link for link in reader.links if link.startswith("members/")] == [
        *(f"members/{name}/report.html" for name in ("cy", "ben", "ada")),
        *(f"members/{name}/report.html" for name in ("ada", "ben", "cy")),
    ]
    assert "Speaker by speaker" not in text
    assert reader.tags.count("audio") == 12  # by the first member's domain


def test_a_speaker_held_out_has_the_interval_of_his_own_recordings(tmp_path: Path) -> None:
    run = held_out(tmp_path)
    _, text = read(run)
    assert re.search(r"<cy> ?60\.0% 38\.7 to 78\.1%", text)


def test_transcripts_stand_below_what_was_said(written: Page) -> None:
    reader, text, run = written
    assert "This model writes down what is said in a recording." in text
    # 18 + 18 + 1 wrong ones of 180 words.
    assert "its word error rate was 20.6% (95% interval 18.2 to 22.9%): for every 100 words said, about 21" in text
    assert "30 of 60 recordings were not written down to the word" in text
    assert reader.tags.count("audio") == 12
    assert "Said: three four five. Written: tree four." in text
    page = re.sub(r"[ \n]+", " ", run.report.read_text(encoding="utf-8"))
    assert '<span class="step swapped"><i>three</i><b>tree</b></span>' in page
    assert '<span class="step missed"><i>five</i><b>\u00a0</b></span>' in page
    # "tree please" for "three": of two ways with as few changes the one that the figures are counted by.
    assert '<span class="step added"><i>\u00a0</i><b>tree</b></span>' in page
    assert "Of 180 words said, 18 were taken for another and 18 left out; 1 was put in that nobody said." in text


def test_error_rates_are_percentages_of_speakers_and_lengths(written: Page) -> None:
    reader, text, _ = written
    assert {"#groups", "#durations", "#mistakes", "#wrong-words"} <= set(reader.links)
    # Of 60 words 12, or 13 where one was put in: the worst first.
    assert re.findall(r"(<cy>|ada|ben) ?(\d+\.\d%)", text) == [("<cy>", "21.7%"), ("ada", "20.0%"), ("ben", "20.0%")]
    assert "Further to the left is better." in text
    assert "five one two" not in text[text.rindex("Data and split") :]  # a transcript is no class


def test_an_error_rate_beyond_all_words_is_not_drawn_on_a_scale_of_shares(tmp_path: Path) -> None:
    run = transcribed(tmp_path)
    result = files.read_json(run.result("evaluate", "last"))
    result["metrics"]["word_error_rate"] |= {"value": 1.2, "low": 0.9, "high": 1.4}
    files.write_json(run.result("evaluate", "last"), result)
    _, text = read(run)
    assert "its word error rate was 120.0% (95% interval 90.0 to 140.0%)" in text
    assert 'class="comparison"' not in run.report.read_text(encoding="utf-8")


def test_kinds_of_errors_are_those_of_the_figures(tmp_path: Path) -> None:
    run = transcribed(tmp_path)
    path = run.predictions("last", "test")
    table = read_columns(path)
    errors = table.pop("word_errors")
    zero = 0 * errors
    write_predictions(path, {**table, "word_substitutions": zero, "word_deletions": errors, "word_insertions": zero})
    _, text = read(run)
    assert "30 of 60 recordings were not written down to the word" in text
    assert "0 were taken for another and 37 left out; 0 were put in" in text


def test_sounds_that_were_made_can_be_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured_by(monkeypatch, BITS)
    reader, text = read(synthesised(tmp_path))
    assert "This model generates sound like the recordings it learnt from." in text
    assert "it needed 2.980 (95% interval" in text
    assert reader.tags.count("audio") == 4
    assert "yes, seed 3" in text
    assert "How natural it sounds was not measured" in text


def test_sounds_are_taken_from_the_run_alone(tmp_path: Path) -> None:
    run = synthesised(tmp_path)
    result = files.read_json(run.result("evaluate", "last"))
    result["details"] = {"sounds": [{"kind": "wav", "file": "../../sounds/no_0.wav", "caption": "one/ada, seed 0"}]}
    assert (run.path / "../../sounds/no_0.wav").exists()
    files.write_json(run.result("evaluate", "last"), result)
    reader, text = read(run)
    assert "audio" not in reader.tags
    assert "the sound is not there any more" in text
    assert "one/ada, seed 0" in text


@pytest.mark.parametrize(
    ("make", "pipeline", "metric", "words"),
    [
        (classified, "audio-classification", "accuracy", "another speaker, microphone, room or accent"),
        (transcribed, "automatic-speech-recognition", "wer", "should be checked against the recording"),
        (synthesised, "text-to-audio", "bits_per_sample", "was said by nobody"),
    ],
)
def test_the_card(tmp_path: Path, make: Any, pipeline: str, metric: str, words: str) -> None:
    front, body = card(make(tmp_path))
    assert front["pipeline_tag"] == pipeline
    assert front["metrics"][0] == metric
    assert words in body


# what to be careful of


@pytest.fixture(scope="module")
def record(spoken: Page) -> Record:
    return read_record(spoken[2])


def with_groups(record: Record, groups: list[str] | None) -> Record:
    columns = {name: each for name, each in record.columns.items() if name != "group"}
    columns |= {} if groups is None else {"group": groups}
    return replace(record, data={**record.data, "columns": columns})


def test_the_same_speaker_on_both_sides(record: Record) -> None:
    assert sound_cautions.groups_on_both_sides(record) is None
    groups = ["ada"] * 3 + ["ben"] * 3 + record.columns["group"][6:]
    said = sound_cautions.groups_on_both_sides(with_groups(record, groups)) or ""
    assert "2 of the 3 speakers measured were also trained on (“ada” and “ben”): the figures flatter" in said


def test_few_speakers(record: Record) -> None:
    assert "Only 3 speakers were measured, and it learnt from 1" in (sound_cautions.few_speakers(record) or "")
    many = [f"speaker {i}" for i in range(66)]
    assert sound_cautions.few_speakers(with_groups(record, many)) is None


def test_unknown_speakers(record: Record) -> None:
    assert cautions.groups_unknown(record) is None
    assert "--group-pattern or --group-by" in (cautions.groups_unknown(with_groups(record, None)) or "")


def test_what_was_done_to_texts_is_named(written: Page) -> None:
    said = sound_cautions.normalisation(read_record(written[2])) or ""
    assert said.startswith("Words are compared after this was done to both texts: lower case, without punctuation.")


def test_a_model_that_writes_nothing_says_so(written: Page) -> None:
    record = read_record(written[2])
    assert record.main is not None
    for number, said in ((0, None), (12, "It wrote nothing for 12 of the 60 recordings measured.")):
        main = replace(record.main, details={**record.main.details, "unwritten": number})
        assert sound_cautions.wrote_nothing(replace(record, results=[main])) == said
    main = replace(record.main, details={**record.main.details, "unwritten": 60})
    assert "It has not learnt to write" in (sound_cautions.wrote_nothing(replace(record, results=[main])) or "")


@pytest.mark.parametrize(("value", "proven"), [(0.95, False), (0.9, False), (0.85, True)])
def test_one_that_is_no_better_in_value_claims_nothing(written: Page, value: float, proven: bool) -> None:
    stored = {"value": value, "low": None, "high": None, "n": 60, "higher_is_better": False}
    baseline = {"name": "always 'one'", "metrics": {"word_error_rate": {**stored, "value": 0.9}}}
    record = read_record(written[2])
    result = Result.of(
        "evaluate", "last", {"metrics": {"word_error_rate": stored}, "details": {"baseline": baseline}}, record.words
    )
    said = verdict.of(replace(record, results=[result]))
    assert ("not shown to do better" not in said.does) == proven
    assert "the word error rate of always 'one' would be 90.0% on the same" in said.baseline


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ({"low": -0.8, "high": -0.5, "method": "paired bootstrap of 9 resamples by row"}, "again and again resampled."),
        ({"low": -0.8, "high": -0.5, "method": "paired jackknife over 3 groups"}, "one group at a time was left out."),
        ({"low": None, "high": None, "method": "none", "why": "one group alone"}, "both had the same rows."),
    ],
)
def test_how_a_difference_was_found_is_said_where_it_was(stored: dict[str, Any], said: str, tmp_path: Path) -> None:
    """Of one speaker alone nothing is resampled, and the page says why there is no interval."""
    record = read_record(synthesised(tmp_path))
    figures = {"bits_per_sample": Figure("bits_per_sample", 4.08, 4.0, 4.1, 60)}
    detail = {
        "name": "FLAC",
        "metrics": {"bits_per_sample": {"value": 4.736, "low": 4.6, "high": 4.8, "n": 60}},
        "differences": {"bits_per_sample": {"difference": -0.656, **stored}},
    }
    section = against.section(detail, Result("evaluate", "last", "test", 60, figures, {"baseline": detail}), record)
    assert section is not None and said in section.body
    assert ("No interval of the difference: one group alone." in section.body) == ("why" in stored)


def test_reasons_of_what_was_left_out_are_counted(record: Record) -> None:
    left_out = [{"source": f"{i}.wav", "reason": "the file is empty (0 bytes)" if i else "damaged"} for i in range(3)]
    said = cautions.left_out(replace(record, data={**record.data, "left_out": left_out}))
    assert said == "3 files were left out of the data: the file is empty (0 bytes) (2) and damaged."


@pytest.mark.skipif(test_browser.BROWSER is None, reason="no Chromium here")
@pytest.mark.parametrize("made", ["spoken", "written"])
def test_fits_a_phone(tmp_path: Path, made: str, request: pytest.FixtureRequest) -> None:
    page = html.escape(request.getfixturevalue(made)[2].report.read_text(encoding="utf-8"))
    framed = tmp_path / "framed.html"
    frame = test_browser.FRAME.format(page=page, width=360) + test_browser.MEASURE
    framed.write_text(f"<!doctype html><meta charset=utf-8>{frame}", "utf-8")
    found = re.search(r"width (\d+) of (\d+)", test_browser.browse(tmp_path, framed.as_uri(), "--dump-dom"))
    assert found is not None
    assert found[1] == found[2] == "360"
