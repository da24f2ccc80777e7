"""What requests in OpenAI's form may say, and what becomes of it: taken, passed over because it changes no answer, or
refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from pervade.serve.faults import Fault
from pervade.serve.settings import Settings

# Say something about the request, and nothing about its answer.
HARMLESS = (
    "user",
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
)
# Ask for what is not done here, unless they have one of these values, by which they ask for nothing.
NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "suffix": ("",),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
}
MOST_STOPS = 4
LONGEST_STOP = 256  # characters
OWN = ("top_k", "repetition_penalty")  # not OpenAI's: the client sends them as `extra_body`


class Number(NamedTuple):
    kind: type  # int or float
    least: float
    most: float


NUMBERS = {
    "temperature": Number(float, 0, 2),
    "top_p": Number(float, 0, 1),
    "seed": Number(int, -(2**63), 2**63 - 1),
    "top_k": Number(int, 0, 10**9),
    "repetition_penalty": Number(float, 1, 10),
}
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


class Asked(NamedTuple):
    wanted: dict[str, Any]  # fields of the model's sampling
    stream: bool
    usage: bool  # whether a stream ends with its counts


def refuse(sentence: str, parameter: str, code: str = "invalid_value") -> NoReturn:
    raise Fault(400, sentence, code, parameter)


def fields(body: Any, *own: str) -> dict[str, Any]:
    """The body's fields, without those that are None or ask for nothing. `own` are those of this address. Raises
    Fault 400 for what is not done here."""
    if not isinstance(body, dict):
        refuse("the body is no object; send JSON with a model and what it is asked", "")
    known = ("model", *own)
    there = {}
    for name, value in body.items():
        if value is None or (name in HARMLESS and name not in own):
            continue
        if name not in known and name in NEUTRAL:
            if not any(
                value == neutral and isinstance(value, bool) == isinstance(neutral, bool) for neutral in NEUTRAL[name]
            ):
                refuse(f"{name} {short(value)} is not done here; leave it out", name, "unsupported_parameter")
            continue
        if name not in known:
            refuse(
                f"{name[:80]!r} is unknown here, and might change the answer; leave it out",
                name[:80],
                "unknown_parameter",
            )
        there[name] = value
    if not isinstance(there.get("model"), str):
        refuse("model is not given; GET /v1/models lists their names", "model", "missing_required_parameter")
    return there


WRITING = ("stream", "stream_options", "stop", "max_tokens", "max_completion_tokens", *NUMBERS)


def writing(there: Mapping[str, Any], settings: Settings) -> Asked:
    """What is said of how to write. Raises Fault 400."""
    wanted: dict[str, Any] = {}
    for name, (kind, least, most) in NUMBERS.items():
        if name in there:
            wanted[name] = _number(name, there[name], kind, least, most)
    if "top_p" in wanted:
        wanted["top_p"] = max(wanted["top_p"], 1e-6)  # the likeliest token alone
    if "seed" in wanted:
        wanted["seed"] %= 2**31
    for name in ("max_tokens", "max_completion_tokens"):
        if name in there:
            wanted["length"] = int(_number(name, there[name], int, 1, settings.max_tokens))
    if "stop" in there:
        wanted["stop"] = _stops(there["stop"])
    stream, options = there.get("stream", False), there.get("stream_options", {})
    if not isinstance(stream, bool):
        refuse(f"stream is {short(stream)}; it must be true or false", "stream")
    if options and not stream:
        refuse("stream_options is for streams; set stream, or leave it out", "stream_options")
    if not isinstance(options, dict) or options.keys() - {"include_usage", "include_obfuscation"}:
        refuse(f"stream_options is {short(options)}; allowed: include_usage", "stream_options")
    return Asked(wanted, stream, options.get("include_usage") is True)


def _number(name: str, value: Any, kind: type, least: float, most: float) -> Any:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not (whole or (kind is float and isinstance(value, float))) or not least <= value <= most:
        what = "a whole number" if kind is int else "a number"
        refuse(f"{name} is {short(value)}; it must be {what} from {least:,} to {most:,}", name)
    return kind(value)


def _stops(value: Any) -> tuple[str, ...]:
    stops = [value] if isinstance(value, str) else value
    good = isinstance(stops, list) and len(stops) <= MOST_STOPS
    if not good or not all(isinstance(stop, str) and 0 < len(stop) <= LONGEST_STOP for stop in stops):
        refuse(
            f"stop is {short(value)}; it must be a text, or up to {MOST_STOPS}, of 1 to {LONGEST_STOP} characters",
            "stop",
        )
    return tuple(plain(stop, "stop") for stop in stops)


def messages(value: Any) -> list[dict[str, str]]:
    """A conversation. Raises Fault 400 where there is more in it than texts."""
    if not isinstance(value, list) or not value:
        refuse("messages is no list of one message or more", "messages")
    return [_message(message, f"messages[{place}]") for place, message in enumerate(value)]


def _message(message: Any, where: str) -> dict[str, str]:
    if not isinstance(message, dict):
        refuse(f"{where} is no message; write {{'role': 'user', 'content': '…'}}", where)
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        refuse(f"{where}.role is {short(role)}; allowed: {', '.join(ROLES)}", f"{where}.role")
    if unknown := [name for name in message if name not in ("role", "content", "name", "refusal") and message[name]]:
        refuse(f"{where}.{unknown[0][:80]} is not done here; leave it out", f"{where}.{unknown[0][:80]}")
    content = message.get("content")
    if isinstance(content, list):
        kinds = [part.get("type") if isinstance(part, dict) else None for part in content]
        if strange := [kind for kind in kinds if kind != "text"]:
            sentence = f"{where}.content holds a part of type {short(strange[0])}; this model reads texts alone"
            refuse(sentence, f"{where}.content")
        content = "".join(str(part.get("text", "")) for part in content)
    return {"role": ROLES[role], "content": plain(content, f"{where}.content")}


def prompts(value: Any, settings: Settings) -> list[str]:
    """One text or several. Raises Fault 400."""
    several = value if isinstance(value, list) else [value]
    if not several or not all(isinstance(text, str) for text in several):
        refuse("prompt is no text; numbers of tokens are not taken, and texts may be several", "prompt")
    if len(several) > settings.max_inputs:
        refuse(f"prompt holds {len(several):,} texts; up to {settings.max_inputs:,} are answered", "prompt")
    return [plain(text, "prompt") for text in several]


def plain(text: Any, where: str) -> str:
    """Raises Fault 400 where it is no text that a tokenizer can read."""
    if not isinstance(text, str):
        refuse(f"{where} is {short(text)}, which is no text", where)
    try:
        whole = "\0" not in text and bool(text.encode() or not text)
    except UnicodeEncodeError:
        whole = False
    if not whole:
        refuse(f"{where} holds a character of 0, or half a character (a lone surrogate); mend it", where)
    return text


def short(value: Any) -> str:
    return repr(value)[:80]
