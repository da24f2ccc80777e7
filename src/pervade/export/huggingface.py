"""A folder in the Hugging Face Hub's layout, which `transformers` opens by itself and which gives the same answers.

config.json model.safetensors          the network, in a class of the library (engine/equivalents.py)
preprocessor_config.json / tokenizer*  what comes before it
answers.json                           how answers come of its scores, and what else the run decides by
README.md                              how it is used, and what it leaves to its user
MLmodel code/pervade_mlflow_loader.py  MLflow's python_function: code that can be read, and nothing pickled
"""

from __future__ import annotations

import json
import logging
import platform
import shutil
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
import yaml
from torch import Tensor

from pervade.core import files
from pervade.core.contracts import Exporter
from pervade.core.contracts.capabilities import Preprocessed, Tokenised, Written, labels_of
from pervade.core.registry import register
from pervade.core.terminal import visible
from pervade.core.types import Batch
from pervade.data.text import vocabulary
from pervade.engine import equivalents, mlflow_loader
from pervade.engine.checkpoint import Loaded
from pervade.engine.equivalents import Equivalent, refused

ANSWERS = "answers.json"
WORKED_IN = ("temperature", "answers_temperature", "format", "tried")  # of a decision, what nobody has to do again
LOADER = "pervade_mlflow_loader"
# By the pipeline, what a user writes; of texts answered by the mean over their tokens transformers has no pipeline.
PIPELINE = """\
from transformers import pipeline

answer = pipeline({pipeline!r}, model="FOLDER")
print(answer({example}))
"""
MEAN = """\
import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("FOLDER")
model = AutoModelForTokenClassification.from_pretrained("FOLDER").eval()
tokens = tokenizer("a text", truncation=True, return_tensors="pt")
scores = model(**tokens).logits.mean(1).{scores}[0]  # the answer about a text is the mean of those about its tokens
print({{model.config.id2label[i]: float(score) for i, score in enumerate(scores)}})
"""
EXAMPLES = {
    "image-classification": '"picture.jpg"',
    "text-generation": '"A text that begins"',
    "fill-mask": '"A text with a hidden [MASK]."',
    "question-answering": 'question="Who?", context="A text."',
    "token-classification": '"a text"',
}


@register("export")
@dataclass(frozen=True)
class HuggingFaceFolder(Exporter):
    tolerance: ClassVar[float] = 1e-4
    by_signature: ClassVar[bool] = False
    tasks: ClassVar[tuple[str, ...]] = ("classify", "tag", "answer-span", "fill-mask", "language-model", "prefer")

    def __call__(self, loaded: Loaded, folder: Path) -> Path:
        with quiet():
            made = equivalents.find(loaded)
        domain = loaded.domain
        scores = {"softmax": "softmax(-1)", "sigmoid": "sigmoid()"}.get(made.scores, "")
        with files.writing(folder / "model.safetensors"), quiet():
            made.network.config._name_or_path = ""  # which may be a folder of this machine
            made.network.save_pretrained(folder)
        if isinstance(domain, Preprocessed):
            files.write_text(folder / "preprocessor_config.json", json.dumps(domain.preprocessor(), indent=2))
        elif isinstance(domain, Tokenised):
            write_tokenizer(folder, domain, made.pipeline)
        else:
            raise refused("transformers does not know how to prepare what this model reads")
        left = {name: value for name, value in loaded.decision.items() if name not in WORKED_IN}
        told = {"pipeline": made.pipeline, "mean": made.mean, "scores": made.scores, "decision": left}
        separator = getattr(loaded.network.body, "separator", None)
        told |= {"labels": list(labels_of(domain)), "separator": separator}
        files.write_json(folder / ANSWERS, told)
        code = (
            MEAN.format(scores=scores)
            if made.mean
            else PIPELINE.format(pipeline=made.pipeline, example=EXAMPLES[made.pipeline])
        )
        files.write_text(folder / "README.md", card(loaded, made, code, left))
        _write_mlmodel(folder)
        return folder / "model.safetensors"

    def reopened(self, folder: Path) -> Callable[[Batch], dict[str, Tensor]]:
        """The folder as transformers opens it: a batch of our loaders to "probabilities", or to "logits" where no label
        is answered. No network of this package is built."""
        import transformers

        told = files.read_json(folder / ANSWERS, "pipeline", "mean", "scores", "separator")
        named = json.loads(files.read_text(folder / "config.json"))["architectures"][0]
        with quiet():
            network: Any = getattr(transformers, named).from_pretrained(folder, local_files_only=True).eval()
        made = Equivalent(network, told["pipeline"], told["mean"], told["scores"])
        shown = folder / "preprocessor_config.json"
        scale = json.loads(files.read_text(shown)) if shown.exists() else None

        def answer(batch: Batch) -> dict[str, Tensor]:
            given: dict[str, Any] = {name: batch[name] for name in ("input", "mask") if name in batch}
            if scale is not None:
                mean, deviation = (torch.tensor(scale[f"image_{name}"])[:, None, None] for name in ("mean", "std"))
                given["input"] = (given["input"] - mean) / deviation
            given |= equivalents.types(told["separator"], given)
            logits = made.logits(given)
            if not made.scores:
                return {"logits": logits}
            return {"probabilities": logits.softmax(-1) if made.scores == "softmax" else logits.sigmoid()}

        return answer


def write_tokenizer(folder: Path, domain: Tokenised, pipeline: str) -> None:
    """tokenizer.json, as our loaders use it, and what transformers wants to know beside it."""
    parsed = json.loads(vocabulary.text_of(domain.tokenizer))
    if pipeline == "text-generation" and not (isinstance(domain, Written) and domain.begins):
        parsed["post_processor"] = None  # which puts round a text what belongs round one that is classified
    parsed["truncation"] = parsed["padding"] = None
    files.write_text(folder / "tokenizer.json", json.dumps(parsed, ensure_ascii=False))
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": domain.length,
        "clean_up_tokenization_spaces": False,
        # A special token's name in a text is plain letters, but for the one that is to be filled in.
        "split_special_tokens": pipeline != "fill-mask",
    }
    made = vocabulary.tokenizer(domain.tokenizer)
    roles = {"pad_token": vocabulary.PADDING, "sep_token": vocabulary.SEPARATOR, "cls_token": vocabulary.BEGINNING}
    roles |= {"mask_token": vocabulary.MASK, "eos_token": vocabulary.END}
    for role, name in roles.items():
        number = vocabulary.special(domain.tokenizer, name)
        if number is not None:
            settings[role] = made.id_to_token(number)
    files.write_text(folder / "tokenizer_config.json", json.dumps(settings, indent=2, ensure_ascii=False))


def card(loaded: Loaded, made: Equivalent, code: str, left: dict[str, Any]) -> str:
    """README.md: the Hub's metadata, how it is used, and what of the run's decisions the folder cannot hold."""
    front = {"library_name": "transformers", "pipeline_tag": made.pipeline, "tags": ["pervade"]}
    metadata = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    lines = [f"---\n{metadata}---\n", "## How to use it", f"```python\n{code}```"]
    if "temperature" in loaded.decision:
        by = float(loaded.decision["temperature"])
        lines.append(f"Scores are calibrated: the temperature {by:g} is inside the head's weights.")
    if left:
        said = visible(json.dumps(left, ensure_ascii=False))
        lines += [
            "## What it leaves to you",
            f"The run answers by these as well, and transformers does not: `{said}`. `pervade predict` and an ONNX "
            "export (`pervade export RUN --format onnx`) apply them.",
        ]
    return "\n\n".join(lines) + "\n"


def _write_mlmodel(folder: Path) -> None:
    """MLflow's description of the folder (its python_function flavour)."""
    (folder / "code").mkdir(exist_ok=True)
    shutil.copyfile(Path(mlflow_loader.__file__), folder / "code" / f"{LOADER}.py")
    flavour: dict[str, Any] = {"loader_module": LOADER, "code": "code", "env": {"virtualenv": "python_env.yaml"}}
    flavour["python_version"] = platform.python_version()
    versions = ["python: 3.11", "dependencies:", "  - transformers", "  - torch", "  - pillow"]
    files.write_text(folder / "python_env.yaml", "\n".join(versions) + "\n")
    files.write_text(folder / "MLmodel", yaml.safe_dump({"flavors": {"python_function": flavour}}, sort_keys=False))


@contextmanager
def quiet() -> Any:
    """Without transformers' bars and accounts, and what torch logs when transformers imports torchao, which calls what
    torch is to leave out."""
    torch_log = logging.getLogger("torch.utils._pytree")
    torch_level = torch_log.level
    torch_log.setLevel(logging.ERROR)
    from transformers.utils import logging as accounts

    level, bars = accounts.get_verbosity(), accounts.is_progress_bar_enabled()
    accounts.set_verbosity_error()
    accounts.disable_progress_bar()
    try:
        yield
    finally:
        torch_log.setLevel(torch_level)
        accounts.set_verbosity(level)
        if bars:
            accounts.enable_progress_bar()
