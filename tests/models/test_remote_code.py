"""Models that come with code of their own: refused, unless this process was told to trust it; never stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import pervade
from pervade.core import spec, trust
from pervade.core.contracts import Model, Tokens
from pervade.core.errors import CheckpointError, ConfigError
from pervade.core.types import Rows
from pervade.data.text import vocabulary
from pervade.recipes import language, text
from pervade.run.training import Options
from pervade.weights import locate, remote_code, voice
from tests.texts import encoder_folder, fitted, reviews, write, writer_folder

WRITER = '''
"""A model that only its own code knows."""
from torch import nn
from transformers import PreTrainedModel, GenerationMixin
from transformers.modeling_outputs import CausalLMOutput
from .configuration_own import OwnConfig


class OwnModel(PreTrainedModel, GenerationMixin):
    config_class = OwnConfig
    main_input_name = "input_ids"

    def __init__(self, config):
        super().__init__(config)
        self.tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.reader = nn.GRU(config.hidden_size, config.hidden_size, batch_first=True)
        self.scores = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_output_embeddings(self):
        return self.scores

    def _init_weights(self, module):
        pass

    def forward(self, input_ids, use_cache=None, **more):
        return CausalLMOutput(logits=self.scores(self.reader(self.tokens(input_ids))[0]))
'''
ENCODER = '''
"""BERT, with the features of every token doubled."""
from transformers import BertModel


class TwiceModel(BertModel):
    def forward(self, *given, **more):
        output = super().forward(*given, **more)
        output.last_hidden_state = 2 * output.last_hidden_state
        return output
'''
CONFIG = """
from transformers import PreTrainedConfig


class OwnConfig(PreTrainedConfig):
    model_type = "own-kind"

    def __init__(self, vocab_size=10, hidden_size=8, **more):
        self.vocab_size, self.hidden_size = vocab_size, hidden_size
        super().__init__(**more)
"""


@pytest.fixture(autouse=True)
def _nobody_is_trusted() -> Iterator[None]:
    trust.allow(False)
    remote_code._said.clear()
    yield
    trust.allow(False)


def own_writer(folder: Path) -> Path:
    """A causal language model whose network is in a file beside it."""
    import safetensors.torch

    writer_folder(folder)
    settings = json.loads((folder / "config.json").read_text())
    size, end = settings["vocab_size"], settings["eos_token_id"]
    (folder / "modeling_own.py").write_text(WRITER)
    (folder / "configuration_own.py").write_text(CONFIG)
    (folder / "generation_config.json").unlink()
    mapped = {"AutoConfig": "configuration_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnModel"}
    config = {"model_type": "own-kind", "vocab_size": size, "hidden_size": 16, "eos_token_id": end, "auto_map": mapped}
    (folder / "config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    shapes = {"tokens.weight": (size, 16), "scores.weight": (size, 16)}
    shapes |= {"reader.weight_ih_l0": (48, 16), "reader.weight_hh_l0": (48, 16)}
    shapes |= {"reader.bias_ih_l0": (48,), "reader.bias_hh_l0": (48,)}
    weights = {name: torch.randn(shape) for name, shape in shapes.items()}
    safetensors.torch.save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


def own_encoder(folder: Path) -> Path:
    encoder_folder(folder)
    (folder / "modeling_twice.py").write_text(ENCODER)
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "modeling_twice.TwiceModel"}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number:02d}.txt").write_text("\n".join(text for text, _ in reviews(8, seed=number)))
    return folder


def test_it_is_refused_until_trusted_and_then_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = own_writer(tmp_path / "own")
    with pytest.raises(ConfigError, match=r"code of its own .* --trust-remote-code"):
        language.recipe(f"hf:{folder}")
    pervade.trust_remote_code()
    made = language.recipe(f"hf:{folder}")
    domain = made.domain.fit(Rows({"id": ["a"]}))
    network = made.model.build(domain.inputs(), made.task.outputs(domain)).eval()
    started = made.init.apply(network, made.model, domain)
    assert not started.new
    assert not started.left_out
    said = capsys.readouterr().err
    assert f"running code that is not ours: {folder / 'configuration_own.py'}" in said
    assert f"running code that is not ours: {folder / 'modeling_own.py'}" in said
    assert type(network.body.network).__name__ == "OwnModel"


def test_the_trust_is_stored_nowhere(texts: Path, tmp_path: Path) -> None:
    """Whoever gets the run must trust the code anew, in whichever way it is used."""
    torch.set_num_threads(1)
    folder = own_writer(tmp_path / "own")
    pervade.trust_remote_code()
    made = language.recipe(f"hf:{folder}")
    made = replace(made, domain=replace(made.domain, length=24), epochs=1, validation=0.1, test=0.2)
    run = pervade.fit(texts, recipe=made, name="a", runs=tmp_path, options=Options())
    expected = run.predict("the film", temperature=0, length=10)
    trust.allow(False)
    for use in (run.load, run.evaluate, lambda: run.predict("the film"), lambda: pervade.resume(run.path)):
        with pytest.raises(ConfigError, match="--trust-remote-code"):
            use()
    stored = [*run.path.rglob("recipe.yaml"), *run.path.rglob("architecture.json")]
    assert len(stored) == 5
    assert not any("trust_remote" in each.read_text() for each in stored)
    pervade.trust_remote_code()
    assert pervade.load(run.path).predict("the film", temperature=0, length=10) == expected


def test_every_verb_asks(texts: Path, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    from pervade import cli

    folder = own_writer(tmp_path / "own")
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["pervade", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0), capsys.readouterr().err

    settings = ["-o", "domain.length=24", "-o", "validation=0.1", "-o", "test=0.2", "--epochs", 1, "--name", "a"]
    train = ["train", texts, "--model", f"hf:{folder}", *settings]
    assert call(*train)[0] == 2
    status, said = call(*train, "--trust-remote-code")
    assert status == 0
    assert str(folder / "modeling_own.py") in said
    for verb in (["predict", "a", "the film"], ["evaluate", "a"], ["resume", "a"], ["merge", "a"]):
        status, said = call(*verb)
        assert status == 2
        assert "comes with code of its own" in said
        assert "Traceback" not in said
    assert call("predict", "a", "the film", "--trust-remote-code")[0] == 0
    assert call("evaluate", "a", "--trust-remote-code")[0] == 0
    status, said = call("merge", "a", "--trust-remote-code")
    assert "has no adapters to merge" in said


def test_an_encoder_with_code(tmp_path: Path) -> None:
    plain, own = encoder_folder(tmp_path / "plain"), own_encoder(tmp_path / "own")
    with pytest.raises(ConfigError, match="code of its own"):
        text.recipe(f"hf:{own}")
    pervade.trust_remote_code()
    features = []
    for folder in (plain, own):
        model, domain = spec.decode(f"hf:{folder}", Model), fitted(folder, length=12)
        network = model.build(domain.inputs(), {"logits": 2}).eval()
        started = text.recipe(f"hf:{folder}").init.apply(network, model, domain)
        assert all(name.startswith("head.") for name in started.new), started
        with torch.no_grad():
            features.append(network.features(torch.tensor([[5, 6, 7, 8]])))
    torch.testing.assert_close(features[1], 2 * features[0], rtol=1e-5, atol=1e-6)
    made = text.recipe(f"hf:{own}")
    made = replace(made, domain=replace(made.domain, length=16), epochs=1)
    run = pervade.fit(
        write(tmp_path / "reviews.tsv", reviews(60)), recipe=made, name="a", runs=tmp_path, options=Options()
    )
    assert run.predict("a lovely film")[0]["top"]


class TestRefusals:
    def test_a_config_inside_the_config(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text(
            '{"model_type": "vit", "text_config": {"auto_map": {"AutoModel": "x.Y"}}}'
        )
        with pytest.raises(ConfigError, match="code of its own"):
            spec.decode(f"hf:{tmp_path}", Model)

    def test_code_that_is_gone_or_fails(self, tmp_path: Path) -> None:
        import shutil

        folder = own_writer(tmp_path / "own")
        pervade.trust_remote_code()
        made = language.recipe(f"hf:{folder}")
        domain = made.domain.fit(Rows({"id": ["a"]}))
        (folder / "modeling_own.py").write_text("raise ValueError('not today')")
        with pytest.raises(CheckpointError, match=r"modeling_own.py cannot be run \(ValueError: not today\)"):
            made.model.build(domain.inputs(), made.task.outputs(domain))
        (folder / "modeling_own.py").write_text(
            "class OwnModel:\n    def __init__(self, config):\n        config.nothing"
        )
        with pytest.raises(ConfigError, match=r"by its own code \(AttributeError: .*nothing"):
            made.model.build(domain.inputs(), made.task.outputs(domain))
        (folder / "modeling_own.py").write_text("import nothing_of_this_name\n")
        with pytest.raises(CheckpointError, match=r"cannot be run \(ImportError: .*nothing_of_this_name"):
            made.model.build(domain.inputs(), made.task.outputs(domain))
        shutil.rmtree(folder)
        with pytest.raises(CheckpointError, match=r"the network's code is not there: .*modeling_own.py; put it back"):
            made.model.build(domain.inputs(), made.task.outputs(domain))

    def test_code_that_is_not_in_the_cache(self) -> None:
        pervade.trust_remote_code()
        config = {"model_type": "own", "auto_map": {"AutoModelForCausalLM": "modeling.M"}, "_name_or_path": "no/body"}
        model = spec.decode({"use": "hf", "name": "no/body", "config": config}, Model)
        with pytest.raises(CheckpointError, match=r"no/body/blob/main/modeling.py cannot be run \(OSError"):
            model.build(Tokens(300, 16, pooled=False, causal=True), {"logits": 300})


def test_no_tokenizer_runs_code(tmp_path: Path) -> None:
    """What lies beside it is read as data alone, trusted or not."""
    folder = own_writer(tmp_path / "own")
    pervade.trust_remote_code()
    (folder / "tokenizer.json").unlink()
    settings = {"auto_map": {"AutoTokenizer": ["tokenization_own.Own", None]}, "tokenizer_class": "Own"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "tokenization_own.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(CheckpointError, match="holds no tokenizer that can be read"):
        vocabulary.of_folder(folder)


KERNEL = {
    "_attn_implementation": "nobody/kernels",
    "attn_implementation": {"": "nobody/kernels"},
    "_attn_implementation_internal": "nobody/kernels",
    "experts_implementation": "nobody/kernels",
    "use_kernels": True,
    "backbone": "nobody/network",
    "use_pretrained_backbone": True,
}


class TestWhatALibraryWouldFetch:
    """Fields of a config.json by which transformers loads kernels from the Hub, which are programs, or networks."""

    def test_they_are_taken_out_at_every_depth(self) -> None:
        config = {"model_type": "vit", "conv_kernel": [3], "text_config": {**KERNEL, "depth": 2}, "parts": [KERNEL]}
        left = {"model_type": "vit", "conv_kernel": [3], "text_config": {"depth": 2}, "parts": [{}]}
        assert remote_code.harmless({**config, **KERNEL}) == left
        assert remote_code.harmless({"architecture": "resnet18"}) == {"architecture": "resnet18"}
        assert remote_code.harmless({"architecture": "hf-hub:nobody/network"}) == {}

    @pytest.mark.parametrize("make", [encoder_folder, writer_folder])
    def test_a_network_is_built_without_them(self, tmp_path: Path, make) -> None:
        config = make(tmp_path) / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | KERNEL))
        made = (text if make is encoder_folder else language).recipe(f"hf:{tmp_path}")
        assert not set(KERNEL) & set(made.model.config)
        stored = spec.encode(made.model)
        stored["config"] |= KERNEL  # as a recipe of somebody else's may say
        reads = make is encoder_folder
        inputs = Tokens(100, 16, pooled=reads, causal=not reads)
        network = spec.decode(stored, Model).build(inputs, {"logits": 100})
        assert network.body.network.config._attn_implementation in ("sdpa", "eager")
        assert locate.read(tmp_path).config.get("attn_implementation") is None

    def test_quantised_weights_are_refused(self, tmp_path: Path) -> None:
        """They are unpacked by kernels from the Hub; read as they are they would be other numbers."""
        for config in ({"quantization_config": {"quant_method": "mxfp4"}}, {"a": [{"compression_config": {"b": 1}}]}):
            (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2", **config}))
            with pytest.raises(ConfigError, match="has quantised weights"):
                spec.decode(f"hf:{tmp_path}", Model)

    def test_a_voice(self, tmp_path: Path) -> None:
        for config, words in (({"auto_map": {"AutoModel": "a.B"}}, "code of its own"), (KERNEL, "of the kind 'bert'")):
            folder = encoder_folder(tmp_path / words[:4])
            path = folder / "config.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | config))
            with pytest.raises(ConfigError, match=words):
                voice.load(str(folder))
