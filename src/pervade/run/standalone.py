"""run.py beside an exported graph: at most 40 lines that answer files without Pervade and torch, by numpy, onnxruntime
and what opens the files (Pillow; soundfile with soxr; tokenizers). Which of them, its inputs' names tell.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pervade.core.contracts import Domain, Signature, Tokens
from pervade.core.contracts.capabilities import Tokenised
from pervade.domains.composite import Composite

WHOLE = '''\
"""python run.py {given}…: what the graph beside it answers (needs numpy, onnxruntime{packages})."""
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
{imports}
HERE, given = Path(__file__).parent, Path(__file__).with_name("{main}")
if __name__ == "__main__":  # what cannot be opened is said in a line
    sys.excepthook = lambda _, error, __: print(f"{{given}}: {{error}}; {{__doc__}}", file=sys.stderr) or sys.exit(2)
SIGNATURE = json.loads((HERE / "signature.json").read_text(encoding="utf-8"))
SESSION = onnxruntime.InferenceSession(given, providers=["CPUExecutionProvider"])
{body}

def answer(given):
    return dict(zip([one.name for one in SESSION.get_outputs()], SESSION.run(None, read(given)), strict=True))


if __name__ == "__main__":
    for given in sys.argv[1:]:
        told = {{name: value[0].tolist() for name, value in answer(given).items()}}
        if SIGNATURE["labels"] and isinstance(told.get("prediction"), int):
            told["label"] = SIGNATURE["labels"][told["prediction"]]
        print(json.dumps({{"input": given, **told}}))
'''

PICTURES = """

def opened(file, twice):
    picture = Image.open(file)
    picture.draft("RGB", (twice, twice))
    picture = ImageOps.exif_transpose(picture)
    if picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture.convert("RGBA"))
    return np.asarray(picture.convert("{mode}")).reshape(1, picture.height, picture.width, {channels})


def read(file):
    return {{name: opened(file, twice) for name, twice in {sides}.items()}}
"""
SOUNDS = """

def read(file):{heard}
    samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    peak, wave = max(np.abs(samples).max(), 1.0), samples.mean(1)
    if rate != {rate}:
        wave = soxr.resample(wave, rate, {rate}, quality="HQ")
    wave = np.rint(np.clip(wave * (32767 / peak), -32767, 32767)).astype(np.float32) / 32768
"""
ONE_SPEED = (
    SOUNDS
    + """\
    return {{"waveform": wave[None], "lengths": np.array([len(wave)])}}

"""
)
SPEEDS = (
    SOUNDS
    + """\
    waves = [wave, *(soxr.resample(wave, factor, 1, quality="LQ") for factor in {faster})]
    lengths = np.array([[len(one) for one in waves]])
    filled = np.stack([np.pad(one, (0, lengths.max() - len(one))) for one in waves])[None]
    return {{"waveform": filled, "lengths": lengths}}

"""
)
TOKENIZER = """\
TOKENIZER = Tokenizer.from_file(str(HERE / "tokenizer.json"))
TOKENIZER.enable_truncation({length}, strategy="{strategy}")
TOKENIZER.no_padding()
TOKENIZER.encode_special_tokens = True


def read(given):
    text = Path(given).read_text(encoding="utf-8") if given.endswith(".txt") else given
"""
TEXTS = (
    TOKENIZER
    + """\
    text = unicodedata.normalize("NFC", re.sub(r"[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f\\ufeff]", "", text))
    tokens = np.array([TOKENIZER.encode({parts}).ids])
    return {{"input_ids": tokens, "attention_mask": np.ones_like(tokens)}}

"""
)
QUESTIONS = (
    TOKENIZER
    + """\
    question, context = re.sub(r"[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f\\ufeff]", " ", text).split("\\t", 1)
    made = TOKENIZER.encode(question, context)
    tokens, inside = np.array([made.ids]), np.array([[int(part == 1) for part in made.sequence_ids]])
    return {{"input_ids": tokens, "attention_mask": np.ones_like(tokens), "inside": inside}}

"""
)
ARRAYS = """

def read(file):
    held = np.load(file, allow_pickle=False)
    return {{spec["name"]: held[spec["name"]].astype(spec["type"]) for spec in SIGNATURE["inputs"]}}

"""


def script(domain: Domain, signature: Signature, main: str) -> str:
    """The text of run.py."""
    names, about = [spec.name for spec in signature.inputs], dict(vars(domain))
    body, given, packages, imports = ARRAYS, "FILE.npz", "", ""
    if _are_pictures(names) and len({spec.shape[3] for spec in signature.inputs}) == 1:
        channels = int(signature.inputs[0].shape[3])
        read_by = {"pixels": domain}
        if isinstance(domain, Composite):
            read_by = {name: domain.parts[part] for name, (part, _) in domain.fed_by().items()}
        sides = {name: 2 * _side(part) for name, part in read_by.items()}
        about = {"sides": json.dumps(sides), "channels": channels, "mode": "RGB" if channels == 3 else "L"}
        body, given, packages, imports = PICTURES, "PICTURE", ", Pillow", "from PIL import Image, ImageOps\n"
    elif names == ["waveform", "lengths"]:
        faster = getattr(domain, "speeds", ())[1:]  # of domains that answer by several views
        about, body = about | {"faster": faster, "heard": _heard(domain)}, SPEEDS if faster else ONE_SPEED
        given, packages, imports = "RECORDING", ", soundfile, soxr", "import soundfile\nimport soxr\n"
    elif isinstance(domain, Tokenised) and names[:2] == ["input_ids", "attention_mask"] and len(names) <= 3:
        takes = domain.inputs()
        pair = isinstance(takes, Tokens) and takes.separator is not None
        asked = names[2:] == ["inside"]
        body, given = (QUESTIONS, r"$'QUESTION\tTEXT'") if asked else (TEXTS, r"$'TEXT\tTEXT'" if pair else "TEXT")
        about |= {"length": domain.length, "strategy": "only_second" if asked else "longest_first"}
        about |= {"parts": '*text.split("\\t", 1)' if pair else "text"}
        packages, imports = ", tokenizers", "from tokenizers import Tokenizer\n"
    if body in (TEXTS, QUESTIONS):
        first = "import re\n" + ("import unicodedata\n" if body == TEXTS else "")
        return (
            WHOLE.format(**_filled(about, body, given, packages, imports, main))
            .replace("import json\n", f"import json\n{first}", 1)
            .replace("import re\nimport unicodedata\nimport sys\n", "import re\nimport sys\nimport unicodedata\n")
        )
    return WHOLE.format(**_filled(about, body, given, packages, imports, main))


def _filled(about: Mapping[str, Any], body: str, given: str, packages: str, imports: str, main: str) -> dict[str, str]:
    escaped = given.replace("\\", "\\\\")
    return {"given": escaped, "packages": packages, "imports": imports, "main": main, "body": body.format(**about)}


def _are_pictures(names: Sequence[str]) -> bool:
    """Whether each input is the same picture, for a way of reading it."""
    return all(name.partition("_")[0] == "pixels" for name in names)


def _side(domain: Any) -> int:
    """To what the shorter side of a picture is scaled."""
    side: int = domain.stored_side
    return side


def _heard(domain: Any) -> str:
    """A comment on recordings of which the graph hears a part."""
    if getattr(domain, "masked", True):  # which hears all
        return ""
    seconds = domain.length / domain.rate
    return f"  # longer than {seconds:g} s: the graph hears the middle alone, and `pervade predict RUN` windows of all"


def asked(row: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """What run.py is given for a row; None where there is no file of it alone."""
    if "inside" in names:
        return f"{row['question']}\t{row['context']}" if "question" in row else None
    if "input_ids" in names:
        parts = [row.get("text"), row.get("second")]
        return "\t".join(str(part) for part in parts if part is not None) if parts[0] is not None else None
    if (_are_pictures(names) or names[0] == "waveform") and not row.get("piece"):
        return str(row["path"]) if row.get("path") is not None else None
    return None
