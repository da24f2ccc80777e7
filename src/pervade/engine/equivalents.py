"""Networks of a run as classes of the library transformers, which give the same numbers.

A network that came from that library is put back into its own class, with adapters merged and the head that was trained
here; ours of the same structure into the class that has it: `models/gpt.py` is Llama, a `models/resnet.py` that begins
with 7x7 is ResNet, and one of timm is TimmWrapper. What is computed of a head's outputs by multiplying and adding (the
temperature, shares of classes that training changed) is worked into its weights. Both networks are asked the same
before anything is written.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pervade.core import registry, spec
from pervade.core.contracts import Context, Model, Pixels, Tokens
from pervade.core.contracts.capabilities import labels_of
from pervade.core.errors import ConfigError
from pervade.engine import building
from pervade.engine.checkpoint import Loaded
from pervade.models import gpt, resnet, timm
from pervade.nn.backbone import Backbone
from pervade.nn.decoder import DecoderLanguageModel
from pervade.nn.filler import NAMES, Filler
from pervade.nn.text_encoder import TextEncoder

TOLERANCE = 1e-4  # of logits, between two orders of adding up in single precision
INSTEAD = "take --format onnx"
Head = tuple[Tensor, Tensor]  # weight (k, d) and bias (k,)


@dataclass(frozen=True)
class Equivalent:
    """`network` is of transformers, in evaluation mode. `pipeline` is what the Hub calls its use; `mean` says that its
    answer about a text is the mean of those about each token; `scores` is "softmax", "sigmoid", or empty where logits
    are all that is asked for."""

    network: Any
    pipeline: str
    mean: bool = False
    scores: str = ""

    def logits(self, batch: Mapping[str, Any]) -> Tensor:
        """Of a batch as our loaders make it, pictures normalised."""
        with torch.no_grad():
            if "mask" not in batch:
                name = "pixel_values" if batch["input"].is_floating_point() else "input_ids"
                return self._of(self.network(**{name: batch["input"]}))
            mask = batch["mask"]
            more = {"token_type_ids": batch["types"]} if "types" in batch else {}
            return self._of(self.network(input_ids=batch["input"], attention_mask=mask.long(), **more), mask)

    def _of(self, output: Any, mask: Tensor | None = None) -> Tensor:
        if "start_logits" in output:
            return torch.stack([output.start_logits, output.end_logits], -1)
        logits: Tensor = output.logits
        if self.mean and mask is not None:
            weight = mask.to(logits)[:, :, None]
            return (logits * weight).sum(1) / weight.sum(1)
        return logits


def find(loaded: Loaded) -> Equivalent:
    """Raises ConfigError where transformers has no class that gives the same answers, with the reason and what to take
    instead."""
    network, left = building.merged(copy.deepcopy(loaded.network), loaded.changes)
    name = registry.full_name(loaded.task)
    if left:
        changed = ", ".join(registry.full_name(change) for change in left)
        raise refused(f"the network was changed ({changed}), and no class of transformers has these changes")
    if isinstance(network, DecoderLanguageModel):
        made = Equivalent(_writer(network), "text-generation")
    elif isinstance(network, gpt.LanguageModel):
        made = Equivalent(_llama(network), "text-generation")
    elif isinstance(network, Filler) and isinstance(network.body, TextEncoder):
        made = Equivalent(_filler(network), "fill-mask")
    elif isinstance(network, Backbone) and isinstance(network.body, TextEncoder):
        made = _reader(loaded, network, name)
    elif isinstance(network, Backbone) and network.normalise is not None:
        scores, head = _head(loaded, network, name)
        made = Equivalent(_pictures(loaded, network.body, head), "image-classification", scores=scores)
    else:
        raise refused("no network of transformers computes what this one does")
    made.network.eval()
    _compare(loaded, network, made)
    return made


def refused(why: str) -> ConfigError:
    return ConfigError(f"{why}; {INSTEAD}")


# heads


def _head(loaded: Loaded, network: Backbone, task: str) -> tuple[str, Head]:
    """How scores come of the logits, and the one linear head with all that is multiplied and added behind it."""
    if list(network.head) != ["logits"] or not labels_of(loaded.domain):
        raise refused(f"the task {task} answers otherwise than by a score of each label")
    layer = network.head["logits"]
    assert isinstance(layer, nn.Linear)
    drawn = torch.randn((64, layer.out_features), generator=torch.Generator().manual_seed(0))
    drawn[0] = 0.0
    context = Context(loaded.domain, decision=loaded.decision, targets=False)
    rows = torch.arange(len(drawn))
    table = loaded.task.predictions({"logits": drawn}, {"row": rows, "part": torch.zeros_like(rows)}, context)
    if "probabilities" not in table:
        raise refused(f"the task {task} answers otherwise than by a probability of each label")
    probabilities = torch.from_numpy(np.asarray(table["probabilities"], np.float64))
    sums = bool((probabilities.sum(1) - 1).abs().max() < 1e-6)
    told = probabilities.log() if sums else torch.logit(probabilities)
    scale = _scale(drawn.double(), told, sums)
    expected = drawn.double() * scale + told[0]
    expected = expected.softmax(1) if sums else expected.sigmoid()
    if not torch.allclose(expected, probabilities, atol=1e-6):
        raise refused(f"what the task {task} makes of its scores is no multiplying and adding")
    bias = layer.bias.detach().double() * scale + told[0]
    return "softmax" if sums else "sigmoid", ((layer.weight.detach().double() * scale).float(), bias.float())


def _scale(logits: Tensor, told: Tensor, centred: bool) -> float:
    """By what the logits (n, k) were multiplied, of which the first row is 0."""
    change = told - told[0]
    if centred:
        change, logits = (value - value.mean(1, keepdim=True) for value in (change, logits))
    return float((change * logits).sum() / logits.square().sum())


def _with_labels(config: Any, labels: list[str]) -> Any:
    config.num_labels = len(labels)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}
    return config


def _filled(network: Any, weights: Mapping[str, Tensor], head: Head) -> Any:
    """`network` with these weights, and the head in the one linear layer that is left."""
    missing, unknown = network.load_state_dict(dict(weights), strict=False)
    ends = sorted(name.rpartition(".")[2] for name in missing)
    if unknown or ends != ["bias", "weight"] or len({name.rpartition(".")[0] for name in missing}) != 1:
        more = ", ".join([*unknown, *missing][:3])
        raise refused(f"{type(network).__name__} has other layers than the network that was trained ({more})")
    layer = network.get_submodule(missing[0].rpartition(".")[0])
    with torch.no_grad():
        layer.weight.copy_(head[0])
        layer.bias.copy_(head[1])
    return network


# pictures


def _pictures(loaded: Loaded, body: nn.Module, head: Head) -> Any:
    import transformers

    labels, seen = list(labels_of(loaded.domain)), loaded.domain.inputs()
    assert isinstance(seen, Pixels)
    model: Model = spec.decode(loaded.architecture["model"], Model)
    if isinstance(inner := getattr(body, "network", None), transformers.PreTrainedModel):
        config = _with_labels(copy.deepcopy(inner.config), labels)
        return _filled(type(inner)(config), inner.state_dict(), head)
    if isinstance(model, timm.Timm):
        architecture = model.name.partition(".")[0]
        fixed = {"img_size": seen.shape[1]} if hasattr(body, "patch_embed") else {}
        arguments = {"in_chans": seen.shape[0], **fixed}
        config = transformers.TimmWrapperConfig(architecture=architecture, model_args=arguments)
        made = transformers.TimmWrapperForImageClassification(_with_labels(config, labels))
        return _filled(made, {f"timm_model.{name}": weight for name, weight in body.state_dict().items()}, head)
    if isinstance(model, resnet.ResNet):
        return _resnet(body, seen.shape[0], labels, head)
    raise refused("transformers has no class of this network's structure")


def _resnet(body: nn.Module, channels: int, labels: list[str], head: Head) -> Any:
    """Where it begins with 7x7 and pooling, and its shortcuts are strided convolutions, as the library's."""
    import transformers

    parts: dict[str, Any] = dict(body.named_children())
    if "maxpool" not in parts or any(isinstance(module, nn.AvgPool2d) for module in body.modules()):
        raise refused("ResNet of transformers begins with 7x7 and pooling, and has strided shortcuts; this one differs")
    stages: list[Any] = [parts[f"layer{number}"] for number in range(1, 5)]
    deep = hasattr(stages[0][0], "conv3")
    config = transformers.ResNetConfig(
        num_channels=channels,
        embedding_size=parts["conv1"].out_channels,
        hidden_sizes=[stage[0].get_submodule("conv3" if deep else "conv2").out_channels for stage in stages],
        depths=[len(stage) for stage in stages],
        layer_type="bottleneck" if deep else "basic",
    )
    weights = {_of_resnet(name): weight for name, weight in body.state_dict().items()}
    return _filled(transformers.ResNetForImageClassification(_with_labels(config, labels)), weights, head)


def _of_resnet(name: str) -> str:
    """Our name of a weight, as the library's.

    >>> _of_resnet("layer2.0.conv1.weight")
    'resnet.encoder.stages.1.layers.0.layer.0.convolution.weight'
    >>> _of_resnet("layer2.0.downsample.1.bias"), _of_resnet("bn1.bias")
    ('resnet.encoder.stages.1.layers.0.shortcut.normalization.bias', 'resnet.embedder.embedder.normalization.bias')
    """
    kinds = {"conv": "convolution", "bn": "normalization", "0": "convolution", "1": "normalization"}
    first, *rest = name.split(".")
    if not first.startswith("layer"):
        return f"resnet.embedder.embedder.{kinds[first[:-1]]}.{rest[0]}"
    block, part, *last = rest
    where = f"resnet.encoder.stages.{int(first[5:]) - 1}.layers.{block}"
    if part == "downsample":
        return f"{where}.shortcut.{kinds[last[0]]}.{last[1]}"
    return f"{where}.layer.{int(part[-1]) - 1}.{kinds[part[:-1]]}.{last[0]}"


# texts


def _reader(loaded: Loaded, network: Backbone, task: str) -> Equivalent:
    """An encoder with a linear head about each token, the whole text (the mean over its tokens), or where an answer
    begins and ends. A head that is linear gives the mean of its answers about each token as its answer about their
    mean; classes of the library for whole texts look at the first token alone, through layers of their own."""
    import transformers

    encoder = network.body
    assert isinstance(encoder, TextEncoder)
    if encoder.layers > 1:
        raise refused(f"its head reads {encoder.layers} layers, and the library's classes read the last")
    inner: Any = encoder.network
    config = copy.deepcopy(inner.config)
    if list(network.head) == ["span"]:
        layer = network.head["span"]
        assert isinstance(layer, nn.Linear)
        config.num_labels = 2
        kind: Any = transformers.AutoModelForQuestionAnswering
        scores, head = "", (layer.weight.detach(), layer.bias.detach())
    else:
        scores, head = _head(loaded, network, task)
        kind = transformers.AutoModelForTokenClassification
        _with_labels(config, list(labels_of(loaded.domain)))
    try:
        made = kind.from_config(config).float()
    except ValueError as error:
        raise refused(
            f"transformers has no such class for {config.model_type} ({str(error).split(chr(10))[0][:100]})"
        ) from None
    inside = {f"{made.base_model_prefix}.{name}": weight for name, weight in inner.state_dict().items()}
    made = _filled(made, inside, head)
    pipeline = "text-classification" if encoder.pooled else "token-classification"
    return Equivalent(made, pipeline if scores else "question-answering", encoder.pooled, scores)


def _filler(network: Filler) -> Any:
    import transformers

    inner: Any = network.body.network
    config = copy.deepcopy(inner.config)
    config.tie_word_embeddings = True
    made: Any = transformers.AutoModelForMaskedLM.from_config(config).float()
    getattr(made, made.base_model_prefix).load_state_dict(inner.state_dict(), strict=False)
    own = {f"fill.{name}": weight for name, weight in network.fill.state_dict().items()}
    state = made.state_dict()
    for theirs in state:
        for prefix, ours in NAMES.items():
            if theirs.startswith(prefix):
                state[theirs] = own[ours + theirs.removeprefix(prefix)]
    made.load_state_dict(state)
    return made


def _writer(network: DecoderLanguageModel) -> Any:
    """The network itself, without numbers of no token."""
    inner: Any = network.body.network
    vocabulary: Any = network.body.vocabulary
    if inner.config.get_text_config(decoder=True).vocab_size > vocabulary:
        inner.resize_token_embeddings(vocabulary)
    return inner


def _llama(network: gpt.LanguageModel) -> Any:
    """Llama's block is ours: RMSNorm before, rotary positions by halves, SwiGLU, no biases, tied embeddings."""
    import transformers

    body: Any = network.body
    vocabulary, width = body.embedding.weight.shape
    config = transformers.LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=body.blocks[0].feed.out.in_features,
        num_hidden_layers=len(body.blocks),
        num_attention_heads=body.heads,
        max_position_embeddings=network.longest,
        rms_norm_eps=body.norm.eps,
        tie_word_embeddings=True,
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=None,
    )
    weights = {"model.embed_tokens.weight": body.embedding.weight, "model.norm.weight": body.norm.weight}
    for number, block in enumerate(body.blocks):
        query, key, value = block.attention.into.weight.chunk(3)
        gate, up = block.feed.into.weight.chunk(2)
        named = {"self_attn.q_proj": query, "self_attn.k_proj": key, "self_attn.v_proj": value}
        named |= {"self_attn.o_proj": block.attention.out.weight, "mlp.down_proj": block.feed.out.weight}
        named |= {"mlp.gate_proj": gate, "mlp.up_proj": up}
        named |= {"input_layernorm": block.norm1.weight, "post_attention_layernorm": block.norm2.weight}
        weights |= {f"model.layers.{number}.{name}.weight": weight for name, weight in named.items()}
    made: Any = transformers.LlamaForCausalLM(config).float()
    made.load_state_dict({**weights, "lm_head.weight": body.embedding.weight})
    return made


# comparing


def _compare(loaded: Loaded, network: nn.Module, made: Equivalent) -> None:
    """Asks both the same. Raises ConfigError where they differ."""
    seen, draw = loaded.domain.inputs(), torch.Generator().manual_seed(0)
    batch: dict[str, Any]
    if isinstance(seen, Pixels):
        batch = {"input": torch.rand((2, *seen.shape), generator=draw)}
    else:
        assert isinstance(seen, Tokens)
        length = min(seen.length, 16)
        batch = {"input": torch.randint(seen.vocabulary, (2, length), generator=draw)}
        if not seen.causal:
            batch["mask"] = torch.arange(length)[None] < torch.tensor([[length], [length // 2 + 1]])
    with torch.no_grad():
        output = network(**batch)
    separator = getattr(network.body, "separator", None)
    given = {**batch, "input": normalised(network, batch["input"])} | types(separator, batch)
    theirs, (ours,) = made.logits(given), output.values()
    if made.scores:
        context = Context(loaded.domain, decision=loaded.decision, targets=False)
        table = loaded.task.predictions(output, {"row": torch.arange(2)}, context)
        ours = torch.as_tensor(np.asarray(table["probabilities"])).float()
        theirs = theirs.softmax(1) if made.scores == "softmax" else theirs.sigmoid()
    inside = batch["mask"] if not made.mean and "mask" in batch else torch.ones(ours.shape[:1], dtype=torch.bool)
    furthest = float((ours[inside] - theirs[inside]).abs().max())
    if not furthest <= TOLERANCE:
        name = type(made.network).__name__
        raise refused(f"{name} of transformers computes otherwise with these weights (by {furthest:.2g})")


def normalised(network: nn.Module, input: Tensor) -> Tensor:
    layer: Callable[[Tensor], Tensor] | None = getattr(network, "normalise", None)
    return input if layer is None else layer(input)


def types(separator: int | None, batch: Mapping[str, Any]) -> dict[str, Tensor]:
    """Which of a pair's texts each token is of, for encoders that are told."""
    if separator is None:
        return {}
    ends = (batch["input"] == separator).long()
    return {"types": (ends.cumsum(1) - ends).clamp(max=1) * batch["mask"].long()}
