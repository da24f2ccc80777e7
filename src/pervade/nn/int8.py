"""Networks that compute with whole numbers of eight bits or fewer, simulated in torch, and written so into ONNX graphs.

A number x is stored as q = round(x / scale) + zero, cut off at the ends of the type (Jacob et al. 2017,
arXiv:1712.05877). The network keeps its class, its modules and its float weights: while it runs, a
`TorchFunctionMode` sees each call of a convolution, a linear layer, a sum or an embedding, and rounds what goes in and
comes out. Gradients pass through the rounding as if it were not there (Bengio et al. 2013, arXiv:1308.3432), but
for what is cut off. While an ONNX graph is traced, the same calls write QuantizeLinear, DequantizeLinear and the
operators on whole numbers, which ONNX Runtime has kernels for.

Static: activations (uint8) have ranges that were measured before; a batch normalisation after a convolution is worked
into its weights. Dynamic: each linear layer finds the range of its input when it runs, here row by
row. Weights alone: these are stored
in 4 or 8 bits, in blocks. Weights are rounded by output channel, symmetrically.

Signed activations are about three times slower on processors with VNNI; hence unsigned ones. An x86 processor
without VNNI or AMX adds two products of an activation and a weight in 16 bits, which weights of eight bits can
overflow, so that it answers otherwise; weights of seven bits cannot.

Axis letters: n rows, i inputs and o outputs of a layer, k numbers of a block.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

LEVELS = 255  # of uint8, above the lowest
MOST = 127  # of int8, as far from zero on both sides
INTEGERS = 4  # of MatMulNBits: products of int8, which are faster than of floats
TINY = 1e-12  # least scale: of weights that are all zero

How = Literal["static", "dynamic", "weights"]
CONVOLUTIONS = ("conv1d", "conv2d")
CLAMPS = ("relu", "relu_", "relu6", "hardtanh")  # what a graph works into the rounding of the layer before
SUMS = ("add", "add_")
POOLS = ("max_pool1d", "max_pool2d", "_max_pool1d", "_max_pool2d")


class Grid(NamedTuple):
    scale: float
    zero: int


def grid(low: float, high: float) -> Grid:
    """Of unsigned bytes from `low` to `high`, with zero among them."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / LEVELS, TINY)
    return Grid(scale, min(max(round(-low / scale), 0), LEVELS))


@dataclass(frozen=True)
class Plan:
    """Which layers compute how. Layers go by the name of their weight in the network; a sum by that of the layer called
    last before it, with a plus for each sum since."""

    how: How
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # static: of what a layer is given ("name")
    # and gives ("name>")
    norms: Mapping[str, str] = field(default_factory=dict)  # static: batch normalisation worked into a convolution
    clamped: frozenset[str] = frozenset()  # static: layers and sums with a ReLU behind them
    kept: frozenset[str] = frozenset()  # weights that stay in float
    bits: int = 8  # of weights
    block: int = 32  # numbers of a row of weights with one scale


@dataclass
class _Mark:
    """What is known of a tensor while the network runs."""

    grid: Grid | None = None  # it is on it
    waits: str = ""  # what gave it, where it is rounded behind the ReLU
    norm: str = ""  # the batch normalisation that it has had already
    origin: str = ""  # what gave it, while ranges are measured
    rounded: Tensor | None = None  # itself on a grid


class _Walk(TorchFunctionMode):
    """One run of a network: hands each call that matters to a method named after what it is."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.names: dict[int, str] = {}
        for name, tensor in (*network.named_parameters(), *network.named_buffers()):
            self.names[id(tensor)] = name
        self.last = ""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        kind = _KINDS.get(name)
        if kind is not None:
            return getattr(self, kind)(func, *args, **kwargs)
        result = func(*args, **kwargs)
        if name.endswith("_") and isinstance(result, Tensor):  # in place: nothing is known of it any more
            result.__dict__.pop("_mark", None)
        return result

    def called(self, weight: Any) -> str:
        """The layer's name, empty where the weight is no parameter."""
        name = self.names.get(id(weight), "")
        self.last = name or self.last
        return name

    def summed(self) -> str:
        self.last += "+"
        return self.last


def _mark(tensor: Any) -> _Mark:
    mark: _Mark = tensor.__dict__.get("_mark") or _Mark()
    return mark


def _marked(tensor: Tensor, **facts: Any) -> Tensor:
    tensor._mark = _Mark(**facts)  # type: ignore[attr-defined]
    return tensor


_KINDS = {
    **dict.fromkeys(CONVOLUTIONS, "convolution"),
    **dict.fromkeys(CLAMPS, "clamp"),
    **dict.fromkeys(SUMS, "sum"),
    **dict.fromkeys(POOLS, "pool"),
    "linear": "linear",
    "addmm": "transposed_linear",
    "embedding": "embedding",
    "multi_head_attention_forward": "attention",
    "batch_norm": "batch_norm",
    "dropout": "dropout",
}


class Arithmetic(_Walk):
    """The run in whole numbers, by a plan."""

    def __init__(self, network: nn.Module, plan: Plan, rows: int = 1, mask: Tensor | None = None) -> None:
        super().__init__(network)
        self.plan, self.rows, self.mask = plan, rows, mask

    # static

    def convolution(self, func: Any, input: Tensor, weight: Any, bias: Any = None, *more: Any, **named: Any) -> Tensor:
        name = self.called(weight)
        if self.plan.how != "static" or not self._static(name):
            return func(input, weight, bias, *more, **named)
        norm = self.plan.norms.get(name, "")
        if norm:
            weight, bias = _with_norm(weight, bias, self.network.get_submodule(norm))
        input, on = self._on_grid(input, name)
        weight, scales = rounded_rows(weight, self.plan.bits)
        bias = None if bias is None else _rounded_bias(bias, scales, on.scale)
        made = func(input, weight, bias, *more, **named)
        return self._given(made, name, norm)

    def sum(self, func: Any, input: Any, other: Any, *more: Any, **named: Any) -> Any:
        if not isinstance(input, Tensor) or not isinstance(other, Tensor) or input.shape != other.shape:
            return func(input, other, *more, **named)
        name = self.summed()
        ready = _mark(input).grid is not None and _mark(other).grid is not None
        made = func(input, other, *more, **named)
        made.__dict__.pop("_mark", None)
        if self.plan.how != "static" or f"{name}>" not in self.plan.ranges or not ready:
            return made
        return self._given(made, name)

    def _given(self, made: Tensor, name: str, norm: str = "") -> Tensor:
        """What a layer or a sum gives, rounded now or behind the ReLU."""
        if name in self.plan.clamped:
            return _marked(made, waits=name, norm=norm)
        on = grid(*self.plan.ranges[f"{name}>"])
        return _marked(rounded(made, on), grid=on, norm=norm)

    def clamp(self, func: Any, input: Tensor, *more: Any, **named: Any) -> Tensor:
        waits = _mark(input).waits
        on = grid(*self.plan.ranges[f"{waits}>"]) if waits else None
        if on is not None and on.zero == 0 and exporting():
            made = input  # what is below zero is cut off in rounding, and engines join the rounding to the layer
        else:
            made = func(input, *more, **named)
            made.__dict__.pop("_mark", None)
        if on is None:
            return made
        return _marked(rounded(made, on), grid=on)

    def batch_norm(self, func: Any, input: Tensor, mean: Any = None, *more: Any, **named: Any) -> Tensor:
        own = self.names.get(id(mean), "").rpartition(".")[0]
        if own and _mark(input).norm == own:
            return input
        return func(input, mean, *more, **named)

    def pool(self, func: Any, input: Tensor, *more: Any, **named: Any) -> Any:
        made, on = func(input, *more, **named), _mark(input).grid
        # The largest of numbers on a grid is on it; said again so that the graph pools bytes.
        return made if on is None or not isinstance(made, Tensor) else _marked(rounded(made, on), grid=on)

    def dropout(self, func: Any, input: Tensor, p: float = 0.5, training: bool = True, *more: Any, **named: Any) -> Any:
        return func(input, p, training, *more, **named) if training else input

    def _static(self, name: str) -> bool:
        return name in self.plan.ranges and name not in self.plan.kept

    def _on_grid(self, input: Tensor, name: str) -> tuple[Tensor, Grid]:
        mark = _mark(input)
        if mark.grid is not None:
            return input, mark.grid
        on = grid(*self.plan.ranges[name])
        if mark.rounded is not None and _mark(mark.rounded).grid == on:
            return mark.rounded, on
        made = _marked(rounded(input, on), grid=on)
        mark.rounded = made
        input._mark = mark  # type: ignore[attr-defined]
        return made, on

    # layers that multiply rows by a matrix

    def linear(self, func: Any, input: Tensor, weight: Any, bias: Any = None) -> Tensor:
        name = self.called(weight)
        if not name or name in self.plan.kept or not input.is_floating_point():
            return func(input, weight, bias)
        if self.plan.how == "weights":
            return by_blocks(input, weight, bias, self.plan.bits, self.plan.block)
        if self.plan.how == "dynamic":
            return dynamic_linear(input, weight, bias, self.rows, self.mask, self.plan.bits)
        if not self._static(name):
            return func(input, weight, bias)
        input, on = self._on_grid(input, name)
        weight, scales = rounded_rows(weight, self.plan.bits)
        return F.linear(input, weight, None if bias is None else _rounded_bias(bias, scales, on.scale))

    def transposed_linear(self, func: Any, input: Any, rows: Any, weight: Any, *more: Any, **named: Any) -> Any:
        """GPT-2's layers, whose weights are (i, o)."""
        name = self.names.get(id(weight), "")
        if not name or more or named or self.plan.how == "static":
            return func(input, rows, weight, *more, **named)
        self.names[id(turned := weight.t())] = name
        made = self.linear(lambda *given: func(input, rows, weight), rows, turned, input)
        del self.names[id(turned)]
        return made

    def embedding(self, func: Any, input: Tensor, weight: Any, *more: Any, **named: Any) -> Tensor:
        name = self.names.get(id(weight), "")
        if not name or name in self.plan.kept:
            return func(input, weight, *more, **named)
        if not exporting():
            return func(input, rounded_rows(weight)[0], *more, **named)
        scales = _row_scales(weight)
        stored = _stored_rows(weight, scales)
        shape = (*input.shape, weight.shape[1])
        rows = torch.onnx.ops.symbolic("Gather", (stored, input), {"axis": 0}, dtype=torch.int8, shape=shape)
        return rows.to(torch.float32) * F.embedding(input, scales[:, None])

    def attention(self, func: Any, *given: Any, **named: Any) -> Any:
        """torch's MultiheadAttention, one function with its linear layers inside, which stay in float."""
        return func(*given, **named)


class Observer(_Walk):
    """The run in float that looks at what each layer is given ("name" in `seen`) and gives ("name>"). What it gives is
    what comes out behind its normalisation and its ReLU. `norms` and `clamped` are then as a plan has them."""

    def __init__(self, network: nn.Module, measure: Callable[[Tensor], tuple[float, ...]]) -> None:
        super().__init__(network)
        self.measure = measure
        self.seen: dict[str, tuple[float, ...]] = {}
        self.layers: dict[str, str] = {}  # the kind of each, in the order of their calls
        self.looked_up: set[str] = set()  # embeddings, those too that multiply besides
        self.norms: dict[str, str] = {}
        self.clamped: set[str] = set()

    def look(self, name: str, tensor: Tensor) -> None:
        self.seen[name] = self.measure(tensor)

    def convolution(self, func: Any, input: Tensor, weight: Any, *more: Any, **named: Any) -> Tensor:
        made: Tensor = func(input, weight, *more, **named)
        return self._seen("convolution", input, weight, made)

    def linear(self, func: Any, input: Tensor, weight: Any, *more: Any, **named: Any) -> Tensor:
        made: Tensor = func(input, weight, *more, **named)
        return self._seen("linear", input, weight, made)

    def transposed_linear(self, func: Any, input: Any, rows: Any, weight: Any, *more: Any, **named: Any) -> Tensor:
        made: Tensor = func(input, rows, weight, *more, **named)
        return self._seen("linear", rows, weight, made)

    def _seen(self, kind: str, input: Tensor, weight: Any, made: Tensor) -> Tensor:
        name = self.called(weight)
        if not name:
            return made
        self.layers[name] = kind
        self.look(name, input)
        if kind == "convolution":
            self.look(f"{name}>", made)
            return _marked(made, origin=name)
        return made

    def embedding(self, func: Any, input: Tensor, weight: Any, *more: Any, **named: Any) -> Any:
        if name := self.names.get(id(weight), ""):
            self.layers.setdefault(name, "embedding")
            self.looked_up.add(name)
        return func(input, weight, *more, **named)

    def attention(self, func: Any, *given: Any, **named: Any) -> Any:
        for tensor in (*given, *named.values()):
            if isinstance(tensor, Tensor) and tensor.ndim == 2 and (name := self.names.get(id(tensor), "")):
                self.layers[name] = "attention"
        return func(*given, **named)

    def sum(self, func: Any, input: Any, other: Any, *more: Any, **named: Any) -> Any:
        tensors = isinstance(input, Tensor) and isinstance(other, Tensor) and input.shape == other.shape
        made = func(input, other, *more, **named)
        if not tensors:
            return made
        name = self.summed()
        self.look(f"{name}>", made)
        return _marked(made, origin=name)

    def batch_norm(self, func: Any, input: Tensor, mean: Any = None, *more: Any, **named: Any) -> Any:
        made, origin = func(input, mean, *more, **named), _mark(input).origin
        own = self.names.get(id(mean), "").rpartition(".")[0]
        if not origin or origin.endswith("+") or not own or origin in self.clamped:
            return made
        self.norms[origin] = own
        self.look(f"{origin}>", made)
        return _marked(made, origin=origin)

    def clamp(self, func: Any, input: Tensor, *more: Any, **named: Any) -> Tensor:
        origin = _mark(input).origin
        made: Tensor = func(input, *more, **named)
        made.__dict__.pop("_mark", None)
        if origin:
            self.clamped.add(origin)
            self.look(f"{origin}>", made)
        return made

    def pool(self, func: Any, input: Tensor, *more: Any, **named: Any) -> Any:
        return func(input, *more, **named)

    def dropout(self, func: Any, input: Tensor, *more: Any, **named: Any) -> Any:
        return func(input, *more, **named)


class _Around:
    """Hooks that run a module within a mode; copied with it."""

    def __init__(self, begin: Callable[[nn.Module, int, Tensor | None], _Walk]) -> None:
        self.begin = begin
        self.running: list[_Walk] = []

    def enter(self, module: nn.Module, given: Any, named: Any) -> None:
        first = next(iter((*given, *named.values())), None)
        first = next(iter(first.values()), None) if isinstance(first, Mapping) else first
        rows, mask = 1, named.get("mask")
        if isinstance(first, Tensor) and first.ndim and not torch.compiler.is_exporting():
            rows = max(len(first), 1)
        mask = mask if isinstance(mask, Tensor) and not torch.compiler.is_exporting() else None
        self.running.append(self.begin(module, rows, mask).__enter__())

    def leave(self, module: nn.Module, given: Any, made: Any) -> None:
        if self.running:
            self.running.pop().__exit__(None, None, None)


def simulate(network: nn.Module, plan: Plan) -> nn.Module:
    """The same network, which from now on computes by the plan wherever it is called."""
    around = _Around(_Begin(plan))
    network.register_forward_pre_hook(around.enter, with_kwargs=True)
    network.register_forward_hook(around.leave, always_call=True)
    return network


@dataclass(frozen=True)
class _Begin:
    plan: Plan

    def __call__(self, network: nn.Module, rows: int, mask: Tensor | None) -> _Walk:
        return Arithmetic(network, self.plan, rows, mask)


def is_simulated(network: nn.Module) -> bool:
    return any(isinstance(getattr(hook, "__self__", None), _Around) for hook in network._forward_hooks.values())


def float_again(network: nn.Module) -> nn.Module:
    """The same network, which computes in float again."""
    for hooks in (network._forward_pre_hooks, network._forward_hooks):
        for number, hook in list(hooks.items()):
            if isinstance(getattr(hook, "__self__", None), _Around):
                del hooks[number]
                network._forward_hooks_always_called.pop(number, None)
                network._forward_pre_hooks_with_kwargs.pop(number, None)
    return network


# the arithmetic


def adds_in_16_bits() -> bool:
    """Whether this processor is an x86 without VNNI and AMX, or does not say."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    told: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return not any(told.get(name) for name in ("avx512_vnni", "avx_vnni", "amx_int8"))


def exporting() -> bool:
    """Whether an ONNX graph is being traced."""
    return torch.onnx.is_in_onnx_export()


def rounded(x: Tensor, on: Grid) -> Tensor:
    """x on the grid, of the same shape."""
    if not exporting():
        return torch.fake_quantize_per_tensor_affine(x, on.scale, on.zero, 0, LEVELS)
    scale, zero = torch.full((), on.scale), torch.full((), on.zero, dtype=torch.uint8)
    stored = torch.onnx.ops.symbolic("QuantizeLinear", (x, scale, zero), dtype=torch.uint8, shape=x.shape)
    return torch.onnx.ops.symbolic("DequantizeLinear", (stored, scale, zero), dtype=x.dtype, shape=x.shape)


def rounded_rows(weight: Tensor, bits: int = 8) -> tuple[Tensor, Tensor]:
    """(o, …) rounded to int8, of which `bits` are used, each output by a scale of its own; the scales (o,)."""
    scales = _row_scales(weight, bits)
    if not exporting():
        zeros = torch.zeros_like(scales, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weight, scales, zeros, 0, -MOST - 1, MOST), scales
    stored = _stored_rows(weight, scales)
    zeros = torch.zeros_like(scales, dtype=torch.int8)
    given = (stored, scales, zeros)
    made = torch.onnx.ops.symbolic("DequantizeLinear", given, {"axis": 0}, dtype=weight.dtype, shape=weight.shape)
    return made, scales


def _row_scales(weight: Tensor, bits: int = 8) -> Tensor:
    return (weight.detach().flatten(1).abs().amax(1) / ((1 << (bits - 1)) - 1)).clamp(min=TINY)


def _stored_rows(weight: Tensor, scales: Tensor) -> Tensor:
    given = (weight, scales, torch.zeros_like(scales, dtype=torch.int8))
    return torch.onnx.ops.symbolic("QuantizeLinear", given, {"axis": 0}, dtype=torch.int8, shape=weight.shape)


def _rounded_bias(bias: Tensor, scales: Tensor, of_input: float) -> Tensor:
    """(o,) to whole numbers of 32 bits, on the grid of the sums that it is added to."""
    step = scales * of_input
    if not exporting():
        return bias + (torch.round(bias / step) * step - bias).detach()
    stored = torch.round(bias / step).to(torch.int32)
    given = (stored, step, torch.zeros_like(scales, dtype=torch.int32))
    return torch.onnx.ops.symbolic("DequantizeLinear", given, {"axis": 0}, dtype=bias.dtype, shape=bias.shape)


def _with_norm(weight: Tensor, bias: Tensor | None, norm: Any) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution with the batch normalisation behind it worked in, by its running statistics."""
    factor = (norm.running_var + norm.eps).rsqrt()
    factor = factor if norm.weight is None else factor * norm.weight
    shift = -norm.running_mean if bias is None else bias - norm.running_mean
    shift = shift * factor if norm.bias is None else shift * factor + norm.bias
    return weight * factor.view(-1, *(1,) * (weight.ndim - 1)), shift


def dynamic_linear(
    x: Tensor, weight: Tensor, bias: Tensor | None, rows: int = 1, mask: Tensor | None = None, bits: int = 8
) -> Tensor:
    """(…, i) to (…, o). Each of the `rows`, which come one after the other in x, has the range of uint8 that
    DynamicQuantizeLinear finds of it where it comes alone: without its padding, where the mask (n, t) is of what x
    holds. In a graph the rows of a batch have one range."""
    if not exporting():
        parts = x.reshape(rows if x.ndim > 1 and len(x) % rows == 0 else 1, -1, x.shape[-1])
        seen = parts.detach()
        if mask is not None and mask.shape == parts.shape[:2]:
            seen = seen.masked_fill(~mask[:, :, None], 0.0)
        low, high = seen.amin((1, 2)).clamp(max=0), seen.amax((1, 2)).clamp(min=0)
        scale = ((high - low) / LEVELS).clamp(min=TINY)
        zero = torch.round(-low / scale).clamp(0, LEVELS).to(torch.int32)
        x = torch.fake_quantize_per_channel_affine(parts, scale, zero, 0, 0, LEVELS).view(x.shape)
        return F.linear(x, rounded_rows(weight, bits)[0], bias)
    bytes_, scale, zero = torch.onnx.ops.symbolic_multi_out(
        "DynamicQuantizeLinear", (x,), dtypes=(torch.uint8, torch.float32, torch.uint8), shapes=(x.shape, (), ())
    )
    scales = _row_scales(weight, bits)
    stored = _stored_rows(weight, scales).t()
    shape = (*x.shape[:-1], weight.shape[0])
    sums = torch.onnx.ops.symbolic("MatMulInteger", (bytes_, stored, zero), dtype=torch.int32, shape=shape)
    made = sums.to(torch.float32) * (scale * scales)
    return made if bias is None else made + bias


def by_blocks(x: Tensor, weight: Tensor, bias: Tensor | None, bits: int, block: int) -> Tensor:
    """(…, i) to (…, o) with weights of `bits` in blocks of `block` inputs, each with a scale of its own; the last block
    may be shorter. Products are of whole numbers: to multiply, the kernel rounds the same blocks of x to int8."""
    outputs, inputs = weight.shape
    blocks, half = math.ceil(inputs / block), 1 << (bits - 1)
    parts = F.pad(weight, (0, blocks * block - inputs)).view(outputs, blocks, block)
    # The largest of a block is stored as -half, so that all 2 ** bits numbers are used.
    at = parts.detach().abs().argmax(2, keepdim=True)
    scales = parts.detach().gather(2, at) / -half
    scales = torch.where(scales.abs() < TINY, TINY, scales)
    whole = torch.round(parts.detach() / scales).clamp(-half, half - 1)
    if not exporting():
        back = (whole * scales).view(outputs, -1)[:, :inputs]
        return F.linear(_rounded_blocks(x, block), weight + (back - weight).detach(), bias)
    stored = (whole + half).to(torch.uint8)
    if bits == 4:
        stored = stored[..., 0::2] + stored[..., 1::2] * 16
    settings: dict[str, Any] = {
        "K": inputs,
        "N": outputs,
        "bits": bits,
        "block_size": block,
        "accuracy_level": INTEGERS,
    }
    made = torch.onnx.ops.symbolic(
        "com.microsoft::MatMulNBits",
        (x, stored, scales.flatten()),
        settings,
        dtype=torch.float32,
        shape=(*x.shape[:-1], outputs),
        version=1,
    )
    return made if bias is None else made + bias


def _rounded_blocks(x: Tensor, block: int) -> Tensor:
    """(…, i) rounded to int8, symmetrically, each row and block by a scale of its own."""
    inputs = x.shape[-1]
    parts = F.pad(x.detach(), (0, -inputs % block)).unflatten(-1, (-1, block))
    scales = (parts.abs().amax(-1, keepdim=True) / MOST).clamp(min=TINY)
    back = (torch.round(parts / scales) * scales).flatten(-2)[..., :inputs]
    return x + (back - x.detach())
