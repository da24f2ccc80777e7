"""GGUF, the one file that llama.cpp and what is built on it (Ollama, LM Studio) reads: a language model of a structure
that llama.cpp names, with its tokenizer inside, in single precision. Quantise it further by llama.cpp's own tools.

Names of tensors and fields are those of the package gguf, llama.cpp's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from pervade.core import files
from pervade.core.contracts import Exporter
from pervade.core.contracts.capabilities import Tokenised, Written
from pervade.core.errors import ConfigError
from pervade.core.registry import register
from pervade.core.types import Batch
from pervade.data.text import vocabulary
from pervade.engine import equivalents
from pervade.engine.checkpoint import Loaded
from pervade.export.huggingface import quiet

ARCHITECTURES = ("gpt2", "llama", "qwen2", "qwen3")  # of transformers and llama.cpp alike
INSTEAD = "take --format huggingface or onnx"
TRANSPOSED = (".c_attn.weight", ".c_proj.weight", ".c_fc.weight")  # GPT-2 keeps these the other way round
# How words are parted before their bytes are paired, by llama.cpp's names: GPT-2's way is that of ByteLevel alone.
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_FIRST = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
PARTED = {_FIRST + r"\p{N}" + _REST: "qwen2", _FIRST + r"\p{N}{1,3}" + _REST: "llama-bpe"}


@register("export")
@dataclass(frozen=True)
class Gguf(Exporter):
    main: ClassVar[str] = "model.gguf"
    tolerance: ClassVar[float] = 1e-4
    by_signature: ClassVar[bool] = False
    tasks: ClassVar[tuple[str, ...]] = ("language-model", "prefer")

    def __call__(self, loaded: Loaded, folder: Path) -> Path:
        if not isinstance(loaded.domain, Tokenised):
            raise ConfigError(f"GGUF is for language models, and this one reads {loaded.domain.reads}; {INSTEAD}")
        made = equivalents.find(loaded)
        config = made.network.config
        if made.pipeline != "text-generation" or config.model_type not in ARCHITECTURES:
            raise ConfigError(
                f"GGUF is written here of {', '.join(ARCHITECTURES)}, and this is {config.model_type} for "
                f"{made.pipeline}; {INSTEAD}"
            )
        pre_tokenizer = _parted(json.loads(vocabulary.text_of(loaded.domain.tokenizer)))
        place = folder / self.main
        with files.writing(place):
            _write(place, made.network, loaded.domain, pre_tokenizer)
        return place

    def reopened(self, folder: Path) -> Callable[[Batch], dict[str, Tensor]]:
        """The file as transformers reads it (`gguf_file`): {"input"} to "logits"."""
        import gguf
        import transformers

        fields = gguf.GGUFReader(folder / self.main).fields
        positions = fields.get("gpt2.context_length")  # which transformers takes for 1,024, whatever it says
        more = {"n_positions": positions.contents()} if positions is not None else {}
        with quiet():
            network: Any = transformers.AutoModelForCausalLM.from_pretrained(
                folder, gguf_file=self.main, dtype=torch.float32, local_files_only=True, **more
            ).eval()

        def answer(batch: Batch) -> dict[str, Tensor]:
            with torch.no_grad():
                return {"logits": network(input_ids=batch["input"], use_cache=False).logits}

        return answer


def _parted(tokenizer: dict[str, Any]) -> str:
    """What llama.cpp calls the way in which a tokenizer.json parts words. Raises ConfigError where it has no name."""
    model, before = tokenizer.get("model") or {}, tokenizer.get("pre_tokenizer") or {}
    parts = before.get("pretokenizers", [before])
    bytewise = parts[-1].get("type") == "ByteLevel" and not parts[-1].get("add_prefix_space")
    if model.get("type") == "BPE" and bytewise and not model.get("byte_fallback"):
        if len(parts) == 1 and parts[0].get("use_regex", True):
            return "gpt-2"
        split = (parts[0].get("pattern") or {}).get("Regex")
        if len(parts) == 2 and split in PARTED:
            return PARTED[split]
    raise ConfigError(f"llama.cpp has no name for the way in which this tokenizer parts words; {INSTEAD}")


def _write(place: Path, network: Any, domain: Tokenised, pre_tokenizer: str) -> None:
    import gguf

    config, kind = network.config, network.config.model_type
    _require_plain(config)
    writer = gguf.GGUFWriter(place, kind)
    writer.add_name("pervade")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    if kind == "gpt2":
        writer.add_feed_forward_length(config.n_inner or 4 * config.hidden_size)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
    else:
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_dimension_count(width)
        writer.add_rope_freq_base(float(config.rope_parameters["rope_theta"]))
        writer.add_key_length(width)
        writer.add_value_length(width)
        writer.add_vocab_size(config.vocab_size)
    _add_tokenizer(writer, domain, pre_tokenizer, config.vocab_size)
    architecture = next(arch for arch, name in gguf.MODEL_ARCH_NAMES.items() if name == kind)
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    for name, weight in network.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        its = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if its is None:
            raise ConfigError(f"llama.cpp has no place for the weight {name!r} of a {kind}; {INSTEAD}")
        writer.add_tensor(its, _as_llama_cpp(name, weight.detach().float(), config).contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _require_plain(config: Any) -> None:
    """Raises ConfigError where the config says something that is not written here."""
    parameters = getattr(config, "rope_parameters", None) or {"rope_type": "default"}
    others = {
        f"rope_type {parameters.get('rope_type')}": parameters.get("rope_type") != "default",
        "a sliding window": bool(getattr(config, "use_sliding_window", False)),
        f"the activation {getattr(config, 'activation_function', '')}": config.model_type == "gpt2"
        and config.activation_function != "gelu_new",
        f"the activation {getattr(config, 'hidden_act', '')}": config.model_type != "gpt2"
        and config.hidden_act != "silu",
    }
    if any(others.values()):
        names = ", ".join(name for name, there in others.items() if there)
        raise ConfigError(f"this {config.model_type} has {names}, which is not written to GGUF here; {INSTEAD}")


def _as_llama_cpp(name: str, weight: Tensor, config: Any) -> Tensor:
    """Llama's queries and keys are turned there by pairs of neighbours, here by halves of a head."""
    if config.model_type == "gpt2":
        return weight.T if name.endswith(TRANSPOSED) else weight
    if config.model_type == "llama" and ("q_proj" in name or "k_proj" in name):
        heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
        halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
        return halves.swapaxes(1, 2).reshape(weight.shape)
    return weight


def _add_tokenizer(writer: Any, domain: Tokenised, pre_tokenizer: str, size: int) -> None:
    import gguf

    parsed = json.loads(vocabulary.text_of(domain.tokenizer))
    added = {token["id"]: token for token in parsed.get("added_tokens", ())}
    spelled = {number: token for token, number in parsed["model"]["vocab"].items()}
    spelled |= {number: token["content"] for number, token in added.items()}
    kinds = []
    for number in range(size):
        special = added.get(number, {}).get("special")
        other = gguf.TokenType.CONTROL if special else gguf.TokenType.USER_DEFINED
        plain = gguf.TokenType.NORMAL if number in spelled else gguf.TokenType.UNUSED
        kinds.append(other if number in added else plain)
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in parsed["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre_tokenizer)
    writer.add_token_list([spelled.get(number, f"[PAD{number}]") for number in range(size)])
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    begins = domain.begins if isinstance(domain, Written) else ()
    ends = domain.ends if isinstance(domain, Written) else ()
    end = ends[0] if ends else vocabulary.special(domain.tokenizer, vocabulary.END)
    writer.add_add_bos_token(bool(begins))
    if begins:
        writer.add_bos_token_id(begins[0])
    if end is not None:
        writer.add_eos_token_id(end)
