"""Conversations as one text: templates, where answers begin and end, and special tokens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pervade.core.errors import ConfigError, DataError
from pervade.data import vocabulary
from pervade.data.chat import PLAIN, Chat, ending, marked, specials
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
