"""Conversations as one text: templates, where answers begin and end, and special tokens."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from pervade.core.bounded import Bounded
from pervade.core.errors import ConfigError, DataError
from pervade.data.text import chat, vocabulary
from pervade.data.text.chat import PLAIN, Chat, ending, marked, specials
from pervade.weights import tokenizers
from tests.chats import CHATML, tokenizer_folder

TURNS = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "a <b> & 'c'?"},
    {"role": "assistant", "content": "yes"},
    {"role": "user", "content": "and d?"},
    {"role": "assistant", "content": "no"},
]


def test_the_plain_template_by_hand() -> None:
    assert Chat().parts(TURNS[1:4], asked=True) == [
        ("[END]### user\na <b> & 'c'?\n\n### assistant\n", False),
        ("yes[END]\n\n", True),
        ("### user\nand d?\n\n### assistant\n", False),
    ]


# Shaped as models of the Qwen and Llama families have them, and one with marks for other programs.
TEMPLATES = {
    "chatml": CHATML,
    "llama": "{{- bos_token }}{%- for message in messages %}{{- '<|start|>' + message.role + '<|stop|>\n\n' + "
    "message['content'] | trim + '<|im_end|>' }}{%- endfor %}{%- if add_generation_prompt %}"
    "{{- '<|start|>assistant<|stop|>\n\n' }}{%- endif %}",
    "marks": "{% for m in messages %}\n  {% if m.role == 'assistant' %}A: {% generation %}{{ m.content }}<|im_end|>"
    "{% endgeneration %}\n  {% else %}{{ m.content | tojson }} {% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}A: {% endif %}",
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_it_renders_as_transformers_does(name: str, tmp_path: Path) -> None:
    import transformers

    folder = tokenizer_folder(tmp_path, TEMPLATES[name], bos_token="<|endoftext|>")
    theirs = transformers.AutoTokenizer.from_pretrained(str(folder))
    ours = tokenizers.chat(str(folder))
    assert (ours.bos, ours.eos) == ("<|endoftext|>", "<|im_end|>")
    for asked, messages in ((False, TURNS), (True, TURNS[:2])):
        text = theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=asked)
        assert ours.render(messages, asked) == text
        if name != "marks":
            assert "".join(text for text, _ in ours.parts(messages, asked)) == text
        digest = vocabulary.keep(tokenizers.read(str(folder)))
        assert marked(digest, text) == theirs(text, add_special_tokens=False)["input_ids"]


def test_a_special_token_that_somebody_says_is_letters(tmp_path: Path) -> None:
    folder = str(tokenizer_folder(tmp_path))
    digest, chat = vocabulary.keep(tokenizers.read(folder)), tokenizers.chat(folder)
    said = "<|im_end|> is said, and <|im_start|>"
    ids = marked(digest, chat.render([{"role": "user", "content": said}]), [said])
    names = [specials(digest).get(each) for each in ids]
    assert [each for each in names if each] == ["<|im_start|>", "<|im_end|>"]
    assert names[0] == "<|im_start|>"
    assert names[-2] == "<|im_end|>"
    assert said in vocabulary.tokenizer(digest).decode(ids, skip_special_tokens=True)


def test_a_template_in_a_file_of_its_own_or_several_by_name(tmp_path: Path) -> None:
    folder = tokenizer_folder(tmp_path, "not this one")
    (folder / "chat_template.jinja").write_text(CHATML)
    assert tokenizers.chat(str(folder)).template == CHATML
    (folder / "chat_template.jinja").unlink()
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["chat_template"] = [{"name": "tool", "template": "x"}, {"name": "default", "template": "y"}]
    settings["eos_token"] = {"content": "<|im_end|>", "lstrip": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    assert tokenizers.chat(str(folder)) == Chat("y", "", "<|im_end|>")
    del settings["chat_template"], settings["eos_token"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    assert tokenizers.chat(str(folder)) == Chat(PLAIN, "<|endoftext|>", "<|endoftext|>")


class TestTemplatesThatCannotBeUsed:
    def test_none_of_jinja(self) -> None:
        with pytest.raises(ConfigError, match=r"no Jinja template \(.*\); mend it, or set domain.template"):
            Chat("{% for message in messages %}").render(TURNS)

    def test_one_that_refuses(self) -> None:
        refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system, please') }}{% endif %}x"
        with pytest.raises(DataError, match=r"cannot render it \(no system, please\)"):
            Chat(refusing).render(TURNS)
        assert Chat(refusing).render(TURNS[1:]) == "x"

    def test_one_that_reaches_for_more_than_messages(self) -> None:
        with pytest.raises(DataError, match=r"cannot render it .*unsafe"):
            Chat("{{ messages.__class__.__mro__ }}").render(TURNS)

    def test_one_that_changes_what_was_said_before(self) -> None:
        kept = "(message['content'] if loop.last or message['role'] != 'assistant' else '…')"
        forgetful = CHATML.replace("message['content']", kept)
        with pytest.raises(ConfigError, match=r"message 3 of a conversation of 5 otherwise .* begins 'yes'"):
            Chat(forgetful).parts(TURNS)
        assert Chat(forgetful).parts(TURNS[:3])[-1] == ("yes<|im_end|>\n", True)

    def test_one_that_leaves_answers_out(self) -> None:
        with pytest.raises(ConfigError, match="otherwise than what was asked and then its text"):
            Chat(CHATML.replace("message['content']", "'' ")).parts(TURNS)

    def test_one_that_does_not_say_where_an_answer_ends(self, tmp_path: Path) -> None:
        digest = vocabulary.keep(tokenizers.read(str(tokenizer_folder(tmp_path))))
        assert specials(digest)[ending(Chat(CHATML, "", "<|im_end|>"), digest)] == "<|im_end|>"
        with pytest.raises(ConfigError, match=r"ends an answer with '\\n', in which the tokenizer finds no special"):
            ending(Chat(CHATML.replace("<|im_end|>", "")), digest)


LOOPS = "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}"
BOMBS = {
    "loops": LOOPS,
    "loops over nothing new": "{% for a in 'x' * 99999 %}{% for b in 'x' * 99999 if false %}{% endfor %}{% endfor %}",
    "doubling": "{% set n = namespace(s='x') %}{% for _ in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
    "doubling lists": "{% set n = namespace(s=[1]) %}{% for _ in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}",
    "a power": "{{ 7 ** (10 ** 9) }}",
    "a repetition": "{{ 'x' * 10 ** 10 }}",
    "a width": "{{ '%' ~ '10000000000d' | format(1) }}{{ 'x'.center(10 ** 10) }}",
    "a filter": "{{ 'x' | center(10 ** 10) }}",
    "filters": "{{ range(99999) | map('center', 9999) | list | length }}",
    "macros": "{% macro m(n) %}{{ m(n - 1) }}{{ m(n - 1) if n }}{% endmacro %}{{ m(200) }}",
    "replacing": "{{ ('x' * 99999).replace('x', 'y' * 99999) }}",
}


@pytest.mark.parametrize("name", BOMBS)
def test_work_without_end_is_ended(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process that the kernel ends, after which the next conversation is rendered as ever."""
    monkeypatch.setattr(chat, "_foreign", Bounded("pervade.data.text.templates:answer", 0.2))
    began = time.monotonic()
    with pytest.raises((ConfigError, DataError), match=r"took more than|cannot render it"):
        Chat(BOMBS[name]).parts(TURNS)
    assert time.monotonic() - began < 20  # a loop of 10^10 takes minutes
    assert Chat("{{ messages | length }}").render(TURNS) == "5"
    chat._foreign.close()


def test_what_makes_pages_is_no_part_of_it() -> None:
    for name in ("lipsum()", "cycler(1)", "joiner()"):
        with pytest.raises(DataError, match="is undefined"):
            Chat("{{ " + name + " }}").render(TURNS)


def test_a_long_conversation_is_rendered_in_pieces() -> None:
    turns = [{"role": role, "content": f"{number} {role}"} for number in range(100) for role in ("user", "assistant")]
    parts = Chat(CHATML).parts(turns)
    assert "".join(text for text, _ in parts) == Chat(CHATML).render(turns)
    assert sum(answer for _, answer in parts) == 100
