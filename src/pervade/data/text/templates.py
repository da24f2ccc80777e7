"""Chat templates: Jinja, rendered as the library transformers does: sandboxed, with `messages`,
`add_generation_prompt`, `bos_token` and `eos_token`. They are told no date, so that the same conversation is the same
text on every day.

A template of others is rendered in a process of its own (data/text/chat.py), which imports no more than this. So what
can be asked and told is JSON.
"""

from __future__ import annotations

import functools
import json
from typing import Any

import jinja2
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment

LARGEST = 10_000_000  # letters of what is rendered; a conversation that is longer does not fit any model
LEFT_OUT = ("lipsum", "cycler", "joiner")  # of Jinja's own functions: they make text for web pages


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Of "template", "tokens" and conversations "wanted", each with whether an answer is to begin: their "texts"; or
    "none" where it is no template, "refused" where it cannot render these, with the reason."""
    try:
        template = _compiled(asked["template"])
    except (jinja2.TemplateError, SyntaxError, RecursionError, ValueError) as error:
        return {"none": _first(error)}
    texts: list[str] = []
    for messages, begun in asked["wanted"]:
        settings = {"tools": None, "documents": None, "add_generation_prompt": begun, **asked["tokens"]}
        try:
            texts.append(template.render(messages=messages, **settings))
        except MemoryError:
            raise
        except Exception as error:  # whatever a template's expressions can raise
            return {"refused": _first(error)}
        if sum(map(len, texts)) > LARGEST:
            return {"refused": f"it becomes longer than {LARGEST:,} letters"}
    return {"texts": texts}


class _Generation(Extension):
    """`{% generation %}` around answers, which some templates have for other programs: what is inside is rendered."""

    tags = {"generation"}  # noqa: RUF012  (jinja's own way)

    def parse(self, parser: Any) -> Any:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


@functools.lru_cache(8)
def _compiled(template: str) -> jinja2.Template:
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    made.filters["tojson"] = _to_json  # jinja's own makes & and < safe for HTML
    made.globals["raise_exception"] = _refuse
    for name in LEFT_OUT:
        del made.globals[name]
    return made.from_string(template)


def _to_json(value: Any, ensure_ascii: bool = False, **settings: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, **settings)


def _refuse(text: str) -> str:
    raise jinja2.TemplateError(text)


def _first(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0][:300]
