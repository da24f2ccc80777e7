"""Runs and models that somebody else made to do harm: code to run, memory to fill, time to take."""

# ruff: noqa: E501 (odd values stand many in a line)

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from fuzzing.bad_settings import bomb
from fuzzing.damaged_runs import arguments
from fuzzing.samples import ONE, TABLES, class_folders, picture
from fuzzing.sandbox import CANARY, Case, Place

CODE = f"{CANARY}:Canary"


def _change(path: Path, change: Callable[[Any], Any]) -> None:
    load, dump = (yaml.safe_load, yaml.safe_dump) if path.suffix == ".yaml" else (json.loads, json.dumps)
    path.write_text(dump(change(load(path.read_text()))))


def _everywhere(value: Any, change: Callable[[Any], None]) -> None:
    """Calls `change` on every object of a JSON value, the inner ones first."""
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _everywhere(each, change)
    if isinstance(value, dict):
        change(value)


def _set(name: str, new: Any) -> Callable[[Any], Any]:
    """Every key of this name means something else."""

    def change(content: Any) -> Any:
        def one(each: dict[str, Any]) -> None:
            if name in each:
                each[name] = new

        _everywhere(content, one)
        return content

    return change


def _environment(name: str, given: Any) -> Callable[[Any], Any]:
    def change(content: Any) -> Any:
        def one(each: dict[str, Any]) -> None:
            if str(each.get("use", "")).startswith(("world", "gym", "acting")) or "arguments" in each:
                each.update(name=name, arguments=given)

        _everywhere(content, one)
        return content

    return change


STORED = ("recipe.yaml", "preprocess.json", "architecture.json", "decision.json", "data.json", "environment.json")
# Kinds of runs, and what is set in every stored file that has it.
CHANGES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "a command": ("agent", _environment("os:system", {"command": f"touch {CANARY}; touch CANARY"})),
    "a module here": ("agent", _environment(CODE, {})),
    "a function": ("agent", _environment("subprocess:Popen", {"args": ["touch", "CANARY"]})),
    "a command of a dqn": ("memory", _environment("os:system", {"command": "touch CANARY"})),
    "an argument": ("agent", _environment("CartPole-v1", {"render_mode": CODE, "max_episode_steps": 10**9})),
    "an entry point": ("agent", _environment(f"{CANARY}:x/CartPole-v1", {"entry_point": CODE})),
    "parts": ("pictures", _set("use", CODE)),
    "parts of texts": ("texts", _set("use", f"{CANARY}.Canary")),
    "parts with paths": ("sounds", _set("use", f"../{CANARY}")),
    "a published model": ("pictures", _set("model", {"use": "hf", "name": "../../x", "config": {"auto_map": {"AutoModel": CODE}}})),
    "depth": ("texts", _set("depth", 10**7)),
    "width": ("texts", _set("width", 2**40)),
    "filters": ("pictures", _set("filters", [2**30, 2**30, 2**30])),
    "size": ("pictures", _set("size", 10**6)),
    "length": ("texts", _set("length", 2**40)),
    "tokens": ("book", _set("num_tokens", 2**40)),
    "length of windows": ("book", _set("length", 65_536)),
    "rate": ("sounds", _set("rate", 2**40)),
    "windows": ("sounds", _set("windows", 10**9)),
    "seconds": ("sounds", _set("seconds", 1e300)),
    "labels again": ("texts", _set("labels", ["good", "good"])),
    "fewer labels": ("pictures", _set("labels", ["cat"])),
    "labels with escapes": ("pictures", _set("labels", ["\x1b]0;x\x07", "a\nb\tc"])),
    "many labels": ("pictures", _set("labels", [str(i) for i in range(100_000)])),
    "temperature none": ("pictures", _set("temperature", float("nan"))),
    "temperature nothing": ("texts", _set("temperature", 0)),
    "temperature a word": ("texts", _set("temperature", "x")),
    "format": ("texts", _set("format", True)),
    "rows": ("texts", _set("rows", 10**12)),
    "episodes": ("agent", _set("episodes", 10**9)),
    "units": ("agent", _set("units", [10**6, 10**6])),
    "environments": ("agent", _set("environments", 10**7)),
    "dilation": ("voices", _set("longest", 2**30)),
    "stacks": ("voices", _set("stacks", 10**6)),
    "bands": ("speech", _set("bands", 10**7)),
    "hop": ("speech", _set("hop", 1e-12)),
    "kernel": ("speech", _set("kernel", 2**31 - 1)),
    "threads": ("texts", _set("threads", 100_000)),
    "workers": ("texts", _set("workers", 100_000)),
    "batch": ("texts", _set("batch_size", 2**62)),
    "encoding": ("texts", _set("encoding", "zip_codec")),
    "separator": ("tags", _set("separator", "")),
    "pattern": ("sounds", _set("label_pattern", "(a+)+$")),
    "seed": ("pictures", _set("seed", 2**70)),
    "time limit": ("pictures", _set("time_limit", float("nan"))),
    "path": ("pictures", _set("path", ["/dev/zero"] * 20)),
    "id": ("pictures", _set("id", ["../../../etc/passwd"] * 20)),
    "source": ("pictures", _set("source", "/dev/zero")),
}  # fmt: skip


def _stored_case(name: str, verb: str) -> Case:
    base, change = CHANGES[name]

    def make(place: Place) -> list[str]:
        run = place.run(base)
        place.plant()
        if verb == "compare":
            place.rng.random()
            import shutil

            shutil.copytree(run, run.with_name(f"{base}-whole"), symlinks=True)
        for path in sorted(run.rglob("*")):
            if path.name in STORED:
                _change(path, change)
        return arguments(verb, base)

    return Case(f"hostile/{name} {verb}", make, base=base)


TEMPLATES = {
    "nested loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}",
    "doubling": "{% set x = namespace(v='aa') %}{% for i in range(60) %}{% set x.v = x.v + x.v %}{% endfor %}{{ x.v }}",
    "power": "{{ 9 ** 9 ** 9 }}",
    "many letters": "{{ 'a' * 10 ** 10 }}",
    "lipsum": "{{ lipsum(n=100000, max=1000) }}",
    "lipsum's globals": "{{ lipsum.__globals__['os'].system('touch CANARY') }}",
    "classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "a format": "{{ '%1000000000d' % 1 }}",
    "a wide format": "{{ '{:1000000000}'.format(1) }}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "an include": "{% include '/etc/passwd' %}",
    "no template": "{% if %}",
    "nothing": "",
    "an exception": "{{ raise_exception('\x1b[2J') }}",
    "a join": "{{ (range(99999) | join(messages | string * 1000)) }}",
    "deep": "{% if 1 %}" * 3000,
    "deep brackets": "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "centre": "{{ 'a' | center(10000000000) }}",
}


def _template_case(name: str, verb: str) -> Case:
    def make(place: Place) -> list[str]:
        run = place.run("chats")
        for path in sorted(run.rglob("preprocess.json")):
            _change(path, _set("template", TEMPLATES[name]))
        return arguments(verb, "chats")

    return Case(f"hostile/template of {name} {verb}", make, base="chats")


def _tokenizer(name: str, change: Callable[[Any], None], base: str, verb: str) -> Case:
    def make(place: Place) -> list[str]:
        import hashlib

        run = place.run(base)
        for path in sorted(run.rglob("tokenizer-*.json")):
            content = json.loads(path.read_text())
            change(content)
            text = json.dumps(content)
            digest = hashlib.sha256(text.encode()).hexdigest()  # it says that it is the one that belongs here
            path.unlink()
            (path.parent / f"tokenizer-{digest[:12]}.json").write_text(text)
            _change(path.parent / "preprocess.json", _set("tokenizer", digest))
        return arguments(verb, base)

    return Case(f"hostile/tokenizer {name} {verb}", make, base=base)


def _field(name: str, value: Any) -> Callable[[Any], None]:
    def change(content: Any) -> None:
        content[name] = value

    return change


def _regex(content: Any) -> None:
    replace = {"type": "Replace", "pattern": {"Regex": ""}, "content": "a" * 1000}
    content["normalizer"] = {"type": "Sequence", "normalizers": [replace] * 4}


TOKENIZERS: dict[str, Callable[[Any], None]] = {
    "without model": _field("model", None),
    "of another kind": _field("model", {"type": "Unigram", "vocab": [], "unk_id": 5}),
    "with no words": lambda content: content["model"].update(vocab={}),
    "with wrong numbers": lambda content: content["model"].update(
        vocab=dict.fromkeys(content["model"]["vocab"], 10**6)
    ),
    "that writes on": _regex,
    "that splits for ever": _field(
        "pre_tokenizer", {"type": "Split", "pattern": {"Regex": "(a+)+b"}, "behavior": "Isolated", "invert": False}
    ),
    "with a bad pattern": _field(
        "pre_tokenizer", {"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": False}
    ),
    "cutting all": _field(
        "truncation", {"direction": "Right", "max_length": 0, "strategy": "LongestFirst", "stride": 5}
    ),
    "filling up": _field(
        "padding",
        {
            "strategy": {"Fixed": 10**9},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "x",
        },
    ),
    "that is a list": lambda content: content.clear(),
}
SMALL = {"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 99}
CONFIGS: dict[str, dict[str, Any]] = {
    "code": {"model_type": "bert", "auto_map": {"AutoConfig": f"{CANARY}.Canary", "AutoModel": f"{CANARY}.Canary"}},
    "attention": {**SMALL, "_attn_implementation": f"nobody/{CANARY}:canary"},
    "own attention": {**SMALL, "attn_implementation": "nobody/kernel"},
    "unknown": {"model_type": "nope"},
    "no kind": {},
    "huge": {"model_type": "bert", "hidden_size": 2**30, "num_hidden_layers": 10**6},
    "deep": {"model_type": "bert", "num_hidden_layers": 10**7, "hidden_size": 16, "num_attention_heads": 2},
    "words": {"model_type": "bert", "vocab_size": 2**40, "hidden_size": 16, "num_attention_heads": 2},
    "wrong types": {"model_type": "bert", "hidden_size": "x", "num_attention_heads": None},
    "no heads": {"model_type": "bert", "hidden_size": 16, "num_attention_heads": 0},
    "list": {"model_type": ["bert"]},
    "quantised": {"model_type": "bert", "quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}},
    "writer": {"model_type": "gpt2", "n_embd": 2**30},
    "path": {"model_type": "../../x", "_name_or_path": "/dev/zero"},
    # Built for the size that the pictures have; with patches of one pixel it would learn, for hours.
    "picture": {**SMALL, "model_type": "vit", "intermediate_size": 16, "image_size": 10**6, "patch_size": 16},
    "layers": {"model_type": "timm_wrapper", "architecture": f"{CANARY}.x"},
}


def _config_case(name: str) -> Case:
    def make(place: Place) -> list[str]:
        place.plant()
        model = place.folder / "model"
        model.mkdir()
        (model / "config.json").write_text(json.dumps(CONFIGS[name]))
        (model / f"{CANARY}.py").write_bytes((place.folder / f"{CANARY}.py").read_bytes())
        (place.folder / "texts.csv").write_bytes(TABLES[0].content(place.folder))
        kind = CONFIGS[name].get("model_type")
        if kind == "gpt2":
            return ["train", "texts.csv", "--task", "text-generation", "--model", "hf:model", "--init", "random", *ONE]
        if kind == "vit":
            class_folders(place.folder / "photos", picture, ".png")
            return ["train", "photos", "--model", "hf:model", "--init", "random", *ONE]
        return ["train", "texts.csv", "--model", "hf:model", "--init", "random", *ONE]

    return Case(f"hostile/config of {name}", make)


RECIPES = {
    "bomb": bomb(),
    "code": "!!python/object/apply:os.system ['touch CANARY']",
    "deep": "[" * 5000,
    "list": "[1, 2]",
    "nothing": "",
    "itself": "&a {format: 1, domain: *a}",
    "anchors": "a: &a [x]\n" + "\n".join(f"b{i}: [*a, *a]" for i in range(2000)),
    "long number": "epochs: " + "9" * 50_000,
    "parts": f"format: 1\nmodel: {{use: '{CODE}'}}\n",
    "date": "format: 2001-01-01",
    "zeros": "\x00" * 100,
}


def _recipe_case(name: str, flags: tuple[str, ...]) -> Case:
    def make(place: Place) -> list[str]:
        place.plant()
        (place.folder / "r.yaml").write_text(RECIPES[name])
        class_folders(place.folder / "photos", picture, ".png")
        return ["train", "photos", "--recipe", "r.yaml", *flags]

    return Case(f"hostile/recipe of {name}", make)


def cases(seed: int) -> list[Case]:
    rng = random.Random(f"{seed}/hostile")
    found = []
    for name, (base, _) in CHANGES.items():
        verbs = ["predict", "evaluate", "resume", "report", "compare"]
        chosen = verbs[:3] if base in ("agent", "memory") and "command" in name else rng.sample(verbs, 2)
        found += [_stored_case(name, verb) for verb in chosen]
    found += [_template_case(name, rng.choice(["predict", "evaluate"])) for name in TEMPLATES]
    for name, change in TOKENIZERS.items():
        for base in ("texts", rng.choice(["book", "chats", "questions"])):
            found.append(_tokenizer(f"{name} of {base}", change, base, rng.choice(["predict", "evaluate"])))
    found += [_config_case(name) for name in CONFIGS]
    found += [_recipe_case(name, ONE) for name in RECIPES]
    return found
