"""Sounds to learn to make, as examples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from pervade.core.contracts import Codes
from pervade.core.types import Rows
from pervade.data.sound import mu_law
from pervade.data.text.corpus import IGNORED
from pervade.domains.waveform import PLACE, Waveform
from pervade.testing import check_domain
from tests.asking import asked

RATE = 1000


def write(folder: Path) -> Path:
    """Two labels, two speakers: 0.3 to 0.8 seconds of noise."""
    rng = np.random.default_rng(0)
    for number in range(8):
        label, speaker = "ab"[number % 2], ("anna", "bert")[number // 4]
        path = folder / label / f"{speaker}_{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, rng.uniform(-0.5, 0.5, 300 + 70 * number), RATE)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data") / "sounds")


def fitted(folder: Path, **settings: object) -> tuple[Waveform, Rows]:
    domain = Waveform(rate=RATE, hop=10, group_pattern="([a-z]+)_", **settings)  # type: ignore[arg-type]
    return check_domain(domain, folder)  # type: ignore[return-value]


def test_what_is_learnt(folder: Path) -> None:
    domain, _ = fitted(folder)
    assert domain.labels == ("a", "b")
    assert domain.speakers == ("anna", "bert")
    # a: 0.30, 0.44, 0.58, 0.72 seconds.
    assert domain.lengths[0][0] == pytest.approx(0.51)
    assert domain.length_of("a") == 510
    told = Codes(1000, 256, 10, 2, 2, PLACE)
    assert domain.inputs() == told


@pytest.mark.parametrize("context", [0, 25, 2048])
def test_every_sample_is_foretold_once(folder: Path, context: int) -> None:
    domain, rows = fitted(folder, seconds=0.1, context=context)
    row = rows[5]
    codes = mu_law.encode(np.asarray(row["samples"]) / 32768)
    windows = domain.transform(row, None)
    assert len(windows) == -(-len(codes) // 100)
    asked = np.concatenate([each["target"][each["target"] != IGNORED] for each in windows])
    assert (asked == codes).all()
    for each in windows:
        # What is heard is what comes before what is asked, and before everything there is silence.
        assert (each["input"][1:] == each["target"][:-1])[each["target"][:-1] != IGNORED].all()
        assert len(each["local"]) == -(-len(each["target"]) // 10)
    assert windows[0]["input"][0] == mu_law.SILENCE
    ignored = int((windows[3]["target"] == IGNORED).sum())
    assert ignored == min(-(-context // 10) * 10, 300)


def test_of_a_long_recording_the_beginning_is_measured(folder: Path) -> None:
    domain, rows = fitted(folder, seconds=0.2, measured=0.5)
    row = rows[7]  # 790 samples
    asked = sum(int((each["target"] != IGNORED).sum()) for each in domain.transform(row, None))
    assert asked == len(domain.plain_features(rows, rows).rows[7]) == 500
    assert any("5 of 8 recordings the first 0.5 s alone are measured" in each for each in domain.remarks(rows))


def test_training_takes_a_window_from_anywhere(folder: Path) -> None:
    domain, rows = fitted(folder, seconds=0.1, context=20)
    starts = set()
    for number in range(40):
        (example,) = domain.transform(rows[7], np.random.default_rng(number))
        starts.add(round(float(example["local"][-1, -2]), 2))
        assert (example["target"] != IGNORED).sum() in (100, 90)  # the last frame of 790 samples is whole
    assert len(starts) > 20
    unknown = [domain.transform(rows[0], np.random.default_rng(i))[0]["speaker"] == 0 for i in range(200)]
    assert 20 < sum(unknown) < 60
    assert domain.transform(rows[0], None)[0]["speaker"] == 1


@pytest.mark.parametrize("local", ["place", "mel", "none"])
@pytest.mark.parametrize("context", [0, 25, 2048])
def test_a_window_is_cut_out_of_the_whole(folder: Path, context: int, local: str) -> None:
    """Codes, targets and places are those that the recording has when it is read at once."""
    domain, rows = fitted(folder, seconds=0.1, context=context, local=local)
    row = rows[7]
    whole = mu_law.encode(np.asarray(row["samples"]) / 32768)
    given = {name: value for name, value in row.items() if name != "hash"}
    told = domain.transform(given, None)[0]["local"]
    starts = set()
    for number in range(30):
        (example,) = domain.transform(row, np.random.default_rng(number))
        rng = np.random.default_rng(number)
        rng.random()  # whether the speaker is told
        start = int(rng.integers(0, 79 - 10 + 1)) * 10  # of 79 frames, ten at once
        first = max(start - -(-context // 10) * 10, 0)
        assert (example["input"] == np.r_[np.uint8(128), whole][first : start + 100][: len(example["input"])]).all()
        assert (example["target"] == np.r_[[IGNORED] * (start - first), whole[start : start + 100]]).all()
        assert (example["local"] == told[first // 10 : start // 10 + 10]).all()
        starts.add(start)
    assert len(starts) > 15


def test_no_more_is_coded_than_is_heard(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    domain, rows = fitted(folder, seconds=0.1, context=20)
    encode, sizes = mu_law.encode, []
    monkeypatch.setattr(mu_law, "encode", lambda wave: sizes.append(len(wave)) or encode(wave))  # type: ignore[func-returns-value]
    for number in range(10):
        domain.transform(rows[7], np.random.default_rng(number))
    assert max(sizes) == 1 + 20 + 100  # the sample before, the context, and what is asked


def test_someone_unknown(folder: Path) -> None:
    domain, rows = fitted(folder)
    example = domain.transform({**rows[0], "group": "clara"}, None)[0]
    assert (example["class"], example["speaker"]) == (1, 0)


def test_a_batch_is_filled_up_with_silence_that_is_not_asked_for(folder: Path) -> None:
    domain, rows = fitted(folder)
    batch = domain.collate([domain.transform(rows[i], None)[0] for i in (0, 7)])
    sizes = [int(rows.column("size")[i]) for i in (0, 7)]
    assert batch["input"]["codes"].shape == batch["target"].shape == (2, max(sizes))
    shorter = int(np.argmin(sizes))
    assert (batch["target"] != IGNORED).sum(1).tolist() == sizes
    assert (batch["input"]["codes"][shorter, min(sizes) :] == mu_law.SILENCE).all()
    assert batch["input"]["local"].shape == (2, -(-max(sizes) // 10), PLACE)


def test_what_is_asked_for(folder: Path) -> None:
    domain, _ = fitted(folder)
    rows, _ = asked(domain, ["b", "a/bert", "b"])
    assert rows.column("id") == ["b", "a/bert", "b"]
    batch = domain.collate([domain.transform(row, None)[0] for row in rows])["input"]
    assert batch["class"].tolist() == [2, 1, 2]
    assert batch["speaker"].tolist() == [0, 2, 0]
    assert batch["length"].tolist() == [580, 510, 580]
    rows, left_out = asked(domain, ["c", "a", "a/carl", "/bert"])
    assert rows.column("id") == ["a"]
    assert [each.source for each in left_out] == ["c", "a/carl", "/bert"]
    assert left_out[0].reason == "it learnt no label 'c'; allowed: a, b"
    assert "it learnt from no speaker 'carl' (nor can it sound like one who was kept to measure it by)" in (
        left_out[1].reason
    )


def test_mel_bands_of_a_recording(folder: Path) -> None:
    domain, rows = fitted(folder, local="mel")
    (example,) = domain.transform(rows[0], None)
    assert example["local"].shape == (-(-int(rows.column("size")[0]) // 10), domain.inputs().local)
    # A recording that is given to predict is heard again by its bands.
    given, _ = asked(domain, [str(next((folder / "a").iterdir()))])
    given, _ = domain.prepare(given, lambda done, total: None, keep=False)
    batch = domain.collate(domain.transform(given[0], None))
    assert set(batch) == {"input"}
    assert batch["input"]["length"].dtype == torch.int64
