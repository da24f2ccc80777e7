"""Conversations as one text, by a chat template, and which parts of that text are answers.

A template is Jinja (data/text/templates.py) and comes with the model or the run, so it is rendered in a process of its
own, which may take so much time and memory and no more (core/bounded.py). Ours is rendered here.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pervade.core.bounded import Bounded, LimitExceeded
from pervade.core.errors import ConfigError, DataError
from pervade.data.text import templates, vocabulary

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Message = dict[str, str]  # "role": system, user or assistant; "content": a text

# Where a model brings no template of its own. A turn is its role in a line and what was said; an answer ends with the
# token that ends a text:
#
#     [END]### user
#     What is the capital of France?
#
#     ### assistant
#     Paris[END]
PLAIN = (
    r"{{ bos_token }}{% for message in messages %}{{ '### ' + message['role'] + '\n' + message['content'] }}"
    r"{{ eos_token if message['role'] == 'assistant' }}{{ '\n\n' }}{% endfor %}"
    r"{{ '### assistant\n' if add_generation_prompt }}"
)
PROBE = "An answer, 1."  # to find what a template puts behind an answer
SECONDS = 2.0  # of processor time for a conversation and its beginnings, which take a millisecond
AT_ONCE = 32  # beginnings

_foreign = Bounded("pervade.data.text.templates:answer", SECONDS)


@dataclass(frozen=True)
class Chat:
    template: str = PLAIN
    bos: str = vocabulary.END
    eos: str = vocabulary.END

    def render(self, messages: Sequence[Message], asked: bool = False) -> str:
        """`asked`: with the beginning of the answer that is to come. Raises DataError where the template refuses these
        messages, ConfigError where it is none, or takes too long."""
        return self._rendered([(messages, asked)])[0]

    def _rendered(self, wanted: Sequence[tuple[Sequence[Message], bool]]) -> list[str]:
        if len(wanted) > AT_ONCE:
            return [*self._rendered(wanted[:AT_ONCE]), *self._rendered(wanted[AT_ONCE:])]
        tokens = {name: text for name, text in (("bos_token", self.bos), ("eos_token", self.eos)) if text}
        asked: dict[str, Any] = {"template": self.template, "tokens": tokens}
        asked["wanted"] = [([dict(message) for message in messages], begun) for messages, begun in wanted]
        try:
            answer = templates.answer(asked) if self.template == PLAIN else _foreign.ask(asked)
        except LimitExceeded as error:
            raise ConfigError(
                f"the chat template {error} to render one conversation; set domain.template to another"
            ) from None
        if "none" in answer:
            raise ConfigError(
                f"the chat template is no Jinja template ({answer['none']}); mend it, or set domain.template to another"
            )
        if "refused" in answer:
            raise DataError(f"the chat template cannot render it ({answer['refused']})")
        texts: list[str] = answer["texts"]
        return texts

    def parts(self, messages: Sequence[Message], asked: bool = False) -> list[tuple[str, bool]]:
        """The text in pieces, each with whether the model is to say it: an answer, and what ends it. Together they are
        `render(messages, asked)`.

        Answers are found by rendering the conversation up to them. Raises ConfigError where that is not how the whole
        begins, since then nobody can say which letters are the answer's.
        """
        answers = [number for number, message in enumerate(messages) if message["role"] == "assistant"]
        pairs = ([(messages[:number], True), (messages[: number + 1], False)] for number in answers)
        whole, *around = self._rendered([(messages, asked), *(rendering for pair in pairs for rendering in pair)])
        pieces: list[tuple[str, bool]] = []
        done = 0
        for number, before, through in zip(answers, around[::2], around[1::2], strict=True):
            message = messages[number]
            good = done <= len(before) and through.startswith(before) and whole.startswith(through)
            if not good or message["content"].strip() not in through[len(before) :]:
                raise ConfigError(
                    f"the chat template writes message {number + 1} of a conversation of {len(messages)} otherwise "
                    "than what was asked and then its text, or changes it as the conversation goes on, so the answer "
                    f"cannot be found (it begins {message['content'][:40]!r}); set domain.template to one that adds "
                    "each turn to those before it, or cut conversations after their first answer"
                )
            pieces += [(whole[done : len(before)], False), (through[len(before) :], True)]
            done = len(through)
        return [piece for piece in [*pieces, (whole[done:], False)] if piece[0]]


@functools.lru_cache(16)
def ending(chat: Chat, tokenizer: str) -> int:
    """The token that ends an answer. Raises ConfigError where the template puts none there that is special, so that a
    model could not learn where to stop."""
    try:
        parts = chat.parts([{"role": "user", "content": "Hm?"}, {"role": "assistant", "content": PROBE}])
    except DataError as error:
        raise ConfigError(f"{error}, the simplest conversation; set domain.template to another") from None
    behind = next(text for text, answer in parts if answer).partition(PROBE)[2]
    special = specials(tokenizer)
    for token in marked(tokenizer, behind):
        if token in special:
            return token
    raise ConfigError(
        f"the chat template ends an answer with {behind!r}, in which the tokenizer finds no special token, so a model "
        "could not learn where to stop; set domain.template to one that ends answers with eos_token"
    )


# tokens


@functools.lru_cache(16)
def specials(digest: str) -> dict[int, str]:
    """The tokens that a text is not cut into by itself, by their numbers: those that mark beginnings and ends."""
    there = vocabulary.tokenizer(digest).get_added_tokens_decoder()
    return {number: token.content for number, token in there.items() if token.special}


@functools.lru_cache(16)
def _parsing(digest: str) -> Tokenizer:
    """The tokenizer, which takes a special token's name in a text for that token."""
    from tokenizers import Tokenizer

    made = Tokenizer.from_str(vocabulary.text_of(digest))
    made.no_truncation()
    made.no_padding()
    made.encode_special_tokens = False
    return made


def marked(digest: str, text: str, quotes: Sequence[str] = ()) -> list[int]:
    """The numbers of a text that a template rendered. The special tokens in it are those that the template wrote; a
    special token's name in what was `said`, in this order, is letters like others."""
    names = {name: number for number, name in specials(digest).items()}
    pattern = re.compile("|".join(re.escape(name) for name in sorted(names, key=len, reverse=True)) or r"(?!)")
    letters: list[tuple[int, int]] = []
    for quoted in (text_said.strip() for text_said in quotes if pattern.search(text_said)):
        start = text.find(quoted, letters[-1][1] if letters else 0)
        if start >= 0:
            letters.append((start, start + len(quoted)))
    if not letters:
        ids: list[int] = _parsing(digest).encode(text, add_special_tokens=False).ids
        return ids
    tokens, done, plain = [], 0, vocabulary.tokenizer(digest)
    for match in pattern.finditer(text):
        if any(start <= match.start() < stop for start, stop in letters):
            continue
        tokens += [*plain.encode(text[done : match.start()], add_special_tokens=False).ids, names[match.group()]]
        done = match.end()
    return [*tokens, *plain.encode(text[done:], add_special_tokens=False).ids]
