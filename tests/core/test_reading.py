"""A stored file may come from a stranger: it is read at once or refused in one line, whatever its path leads to."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pervade.core import files, plain_yaml, registry, spec
from pervade.core.errors import CheckpointError, ConfigError


@pytest.mark.parametrize("reader", [files.read_json, files.read_text, plain_yaml.read, files.sha256])
@pytest.mark.parametrize("what", ["pipe", "device", "folder", "dangling", "loop", "zero byte"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, reader: Any, what: str) -> None:
    path = tmp_path / "x.json"
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    elif what == "zero byte":
        path = tmp_path / "x\0.json"
    else:
        path.symlink_to({"device": "/dev/zero", "dangling": tmp_path / "nothing", "loop": path}[what])
    caught: list[BaseException] = []

    def read() -> None:
        try:
            reader(path)
        except (CheckpointError, OSError) as error:
            caught.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
    assert "x" in str(caught[0]) and "\n" not in str(caught[0])
    assert isinstance(caught[0], OSError if reader is files.sha256 else CheckpointError)


def test_a_link_to_a_file_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "there").write_text('{"format": 1, "a": 2}')
    (tmp_path / "link").symlink_to("there")
    assert files.read_json(tmp_path / "link") == {"format": 1, "a": 2}


def test_sizes_are_bounded_and_said(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b"a" * 11)
    assert files.read_bytes(path, 11) == b"a" * 11
    with pytest.raises(CheckpointError, match=r"x\.json has 11 bytes, and at most 10 of such a file are read"):
        files.read_bytes(path, 10)
    with path.open("ab") as file:
        file.truncate(1 << 40)  # a hole: nothing on the disk
    with pytest.raises(CheckpointError, match=r"1,099,511,627,776 bytes, and at most 67,108,864 "):
        files.read_json(path)
    with pytest.raises(ConfigError, match=r"1,099,511,627,776 bytes, and at most 1,048,576 "):
        plain_yaml.read(path, ConfigError)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[NaN]", "NaN is not a number"),
        ("[-Infinity]", "-Infinity is not a number"),
        ("[1e999]", "1e999 is not a number"),
        ("[" + "9" * 41 + "]", "9{40} is not a number"),
        ("[" + "9" * 5000 + "]", "9{40} is not a number"),
        ('{"a": 1, "b": 2, "a": 3}', "'a' stands twice"),
        ("[" * 101 + "]" * 101, "more than 100 deep"),
        ("[" * 100_000 + "]" * 100_000, "more than 100 deep"),
        ('{"a":' * 101 + "1" + "}" * 101, "more than 100 deep"),
        ("{", "Expecting"),
    ],
)
def test_json_that_is_not_read(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        files.parse_json(text)
    path = tmp_path / "x.json"
    path.write_text('{"format": 1, "a": ' + text + "}")
    with pytest.raises(CheckpointError, match=rf"x\.json is damaged \(.*{reason}"):
        files.read_json(path)


def test_json_that_is_read() -> None:
    deep = "[" * 100 + "]" * 100
    assert files.parse_json(deep) == json.loads(deep)
    wide = json.dumps([[{}] * 200, "[" * 500, 2**128, 1e-400, "\ud800"])
    assert files.parse_json(wide) == json.loads(wide)


@settings(max_examples=30)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.integers(-(2**64), 2**64)
        | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_is_read_as_the_library_reads_it(value: Any) -> None:
    assert files.parse_json(json.dumps(value)) == value


@pytest.mark.parametrize("found", [True, "1", None, 1.0, [1], 0, -1])
def test_a_format_is_a_number(tmp_path: Path, found: Any) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"format": found}))
    with pytest.raises(CheckpointError, match=r"x\.json is damaged \(its format is"):
        files.read_json(path)
    path.write_text(yaml.safe_dump({"format": found}))
    with pytest.raises(CheckpointError, match=r"x\.json is damaged \(its format is"):
        plain_yaml.read(path)


BOMB = "a: &a [x]\n" + "".join(f"{n}: &{n} [{', '.join(['*' + (chr(ord(n) - 1))] * 9)}]\n" for n in "bcdefghijklmn")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB, "anchors and aliases are not read"),
        ("&a 1", "anchors and aliases are not read"),
        ("[" * 101 + "]" * 101, "more than 100 deep"),
        ("[" * 500_000, "more than 100 deep"),
        ("{a: " * 101 + "1" + "}" * 101, "more than 100 deep"),
        ("a: 1\nb: 2\na: 3", "'a' stands twice"),
        ("[.nan]", ".nan is not a finite number"),
        ("-.inf", "-.inf is not a finite number"),
        ("1.0e+999", "not a finite number"),
        ("9" * 41, "too long for a number"),
        ("1" + ":1" * 300_000, "too long for a number"),
        ("a" * (1 << 20) + "b", "1,048,577 characters of YAML are too many"),
    ],
)
def test_yaml_that_is_not_read(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        plain_yaml.parse(text)
    with pytest.raises(ConfigError, match=f"setting 'domain.size': .*{reason}"):
        spec.change({"domain": {}}, [f"domain.size={text}"])


@pytest.mark.parametrize(
    "text", ["[1", "*a", "!!int x", "!!int ''", "!!bool x", "!!float ''", "!!binary YQ==", "!!set {a}"]
)
def test_yaml_that_is_none(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        plain_yaml.parse(text)
    assert spec.change({"a": 1}, [f"a={text}"]) == {"a": text}  # a text: patterns look like this


@settings(max_examples=50)
@given(st.text(alphabet="!&*{}[]:-#|>%@`?,'\"ab1.\n \t\\<=~", max_size=30))
def test_any_text_is_yaml_or_refused(text: str) -> None:
    with contextlib.suppress(yaml.YAMLError, ConfigError):
        plain_yaml.parse(text)


def test_yaml_is_read_as_the_library_reads_it() -> None:
    text = "{a: [1, -2, 0x10, 1_000, 1:30], b: {c: 1.5, d: 1e-3, e: yes, f: ~}, g: 'x', h: '2001-01-01'}"
    assert plain_yaml.parse(text) == yaml.safe_load(text)
    assert plain_yaml.parse("2001-01-01") == "2001-01-01"  # a date is no setting; a name may look like one


EVERY = [(kind, name) for kind in registry.PACKAGES for name in registry.names(kind)]


def test_every_registered_spec_comes_back_from_yaml() -> None:
    for kind, name in EVERY:
        cls, fields = registry.find(kind, name)
        try:
            data = spec.encode(cls(**fields))
        except TypeError:  # it has fields without a default
            continue
        assert plain_yaml.parse(yaml.safe_dump(data)) == data, (kind, name)


def test_a_damaged_recipe_is_named(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    for text, reason in (("[1, 2]", "holds no settings"), ("a: [", "cannot be read"), (BOMB, "anchors")):
        path.write_text(text)
        with pytest.raises(CheckpointError, match=rf"recipe\.yaml .*{reason}.*; use another checkpoint's recipe"):
            plain_yaml.read(path)
        with pytest.raises(ConfigError, match=rf"recipe\.yaml .*{reason}.*; mend it"):
            plain_yaml.read(path, ConfigError)
    path.write_bytes(b"a: \xff")
    with pytest.raises(CheckpointError, match=r"recipe\.yaml is damaged \(it is not UTF-8: byte 3\)"):
        plain_yaml.read(path)
