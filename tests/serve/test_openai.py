"""What OpenAI's own client is told, by a real server with small models."""

from __future__ import annotations

import base64
import json
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import torch

import pervade
from pervade.domains.corpus import Corpus
from pervade.models.gpt import GPT
from pervade.recipes import language
from pervade.run import serving
from pervade.run.training import Options
from tests import chats
from tests.serve.served import Counting, server

STORY = "the cat sees a small bird and then it sleeps.\nthe dog likes a small bird and then it sleeps.\n"
PROMPTS = [
    f"the {animal} {verb}{more}" for animal in ("cat", "dog") for verb in ("sees", "likes") for more in ("", " a")
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ "stories" writes on from texts, "colours" answers in conversations."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("writing")
    (folder / "stories").mkdir()
    for number in range(12):
        (folder / "stories" / f"{number}.txt").write_text(STORY * 4 + f"{number} birds.\n", encoding="utf-8")
    recipe = replace(
        language.scratch(GPT(width=32, depth=2, heads=2)),
        domain=Corpus(length=48, num_tokens=320),
        epochs=8,
        batch_size=8,
    )
    pervade.fit(folder / "stories", recipe=recipe, name="stories", runs=folder / "runs", options=Options())
    asked = chats.write(folder / "colours.jsonl", chats.colours(60))
    pervade.fit(asked, recipe=chats.recipe(epochs=2), name="colours", runs=folder / "runs", options=Options())
    return folder / "runs"


@pytest.fixture(scope="module")
def api(runs: Path) -> Iterator[openai.OpenAI]:
    models = [serving.opened(name, runs) for name in ("stories", "colours")]
    with server(*models, Counting(), deadline=20.0) as (client, _), asking(client) as own:
        yield own


def asking(client: httpx.Client) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{client.base_url}/v1", api_key="none", max_retries=0, timeout=30)


class Endless(Counting):
    """Writes an x every 5 ms, as long as it is asked to."""

    class Text:
        asked = 1

        def __init__(self, length: int) -> None:
            self.length, self.number, self.told, self.reason = length, 0, 0, "length"

        over = property(lambda self: self.number >= self.length)
        text = property(lambda self: "x" * self.number)

        def news(self) -> str:
            new, self.told = "x" * (self.number - self.told), self.number
            return new

    takes_turns, length = False, 10

    def __init__(self) -> None:
        super().__init__("endless")
        self.writer, self.texts = self, list[Any]()

    def begin(self, asked: Any, wanted: Any) -> Any:
        return self.Text(wanted["length"])

    def has_room(self, text: Any) -> bool:
        return len(self.texts) < 2

    def join(self, text: Any) -> None:
        self.texts.append(text)

    def leave(self, text: Any) -> None:
        self.texts.remove(text)

    def reset(self) -> None:
        self.texts.clear()

    def step(self) -> list[Any]:
        time.sleep(0.005)
        written = list(self.texts)
        for text in written:
            text.number += 1
        self.texts = [text for text in self.texts if not text.over]
        return written


@pytest.fixture(scope="module")
def stories(runs: Path) -> pervade.Run:
    return pervade.load("stories", runs)


def refused(call: Any, **asked: Any) -> dict[str, Any]:
    with pytest.raises(openai.BadRequestError) as caught:
        call(**asked)
    return dict(caught.value.body)  # type: ignore[call-overload]


def test_models(api: openai.OpenAI) -> None:
    assert [model.id for model in api.models.list()] == ["stories", "colours", "lengths"]
    assert api.models.retrieve("colours").owned_by == "pervade"
    page = httpx.get(f"{api.base_url}page").json()["models"]
    assert {model["name"]: model["writes"] for model in page} == {"stories": "text", "colours": "chat", "lengths": ""}
    with pytest.raises(openai.NotFoundError, match="no model 'storys' here; did you mean 'stories'"):
        api.completions.create(model="storys", prompt="the")


@pytest.mark.parametrize(
    "sampling",
    [
        {"temperature": 0, "length": 40},  # beyond what the model sees at once
        {"temperature": 1.0, "seed": 3, "length": 60},
        {"temperature": 1.3, "seed": 4, "length": 25, "top_p": 0.8, "top_k": 40, "repetition_penalty": 1.2},
    ],
)
def test_company_changes_nothing(api: openai.OpenAI, stories: pervade.Run, sampling: dict[str, Any]) -> None:
    """Sixteen at once, of different lengths, are told what `predict` says of each alone."""
    prompts = [*PROMPTS, *(f"{prompt} small" for prompt in PROMPTS)]
    lengths = [max(sampling["length"] - 3 * place, 5) for place in range(len(prompts))]
    alone = [
        stories.predict(prompt, **{**sampling, "length": length})[0]["text"]
        for prompt, length in zip(prompts, lengths, strict=True)
    ]
    own = {name: sampling[name] for name in ("top_k", "repetition_penalty") if name in sampling}
    chosen = {name: sampling[name] for name in ("temperature", "seed", "top_p") if name in sampling}

    def ask(prompt: str, length: int) -> str:
        told = api.completions.create(model="stories", prompt=prompt, max_tokens=length, extra_body=own, **chosen)
        return told.choices[0].text

    with ThreadPoolExecutor(len(prompts)) as pool:
        assert list(pool.map(ask, prompts, lengths)) == alone


def test_a_stream_says_the_same(api: openai.OpenAI) -> None:
    asked = {"model": "stories", "prompt": "the cat", "max_tokens": 30, "temperature": 1.0, "seed": 5}
    whole = api.completions.create(**asked)
    events = list(api.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert "".join(event.choices[0].text for event in events[:-1]) == whole.choices[0].text
    assert len(events) > 10
    assert [event.choices[0].finish_reason for event in events[:-1]] == [None] * (len(events) - 2) + ["length"]
    assert events[-1].usage == whole.usage
    assert whole.usage.completion_tokens == 30
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + 30


def test_it_ends_where_it_is_to_stop(api: openai.OpenAI, stories: pervade.Run) -> None:
    asked = {"model": "stories", "prompt": "the cat", "max_tokens": 40, "temperature": 0}
    free = api.completions.create(**asked).choices[0].text
    stop = free[5:9]
    expected = stories.predict("the cat", temperature=0, length=40, stop=[stop])[0]["text"]
    told = api.completions.create(**asked, stop=stop).choices[0]
    assert (told.text, told.finish_reason) == (expected, "stop")
    assert expected == free[: free.index(stop)]
    events = [event.choices[0] for event in api.completions.create(**asked, stop=["zebra", stop], stream=True)]
    assert "".join(event.text for event in events) == expected
    assert events[-1].finish_reason == "stop"


def test_a_conversation(api: openai.OpenAI, runs: Path) -> None:
    messages = [{"role": "user", "content": "1: the cat is red. the cat?"}]
    told = api.chat.completions.create(model="colours", messages=messages, temperature=0, max_completion_tokens=12)
    expected = pervade.load("colours", runs).predict([messages], temperature=0, length=12)[0]["text"]
    assert told.choices[0].message.content == expected
    assert told.choices[0].message.role == "assistant"
    parts = [{"role": "user", "content": [{"type": "text", "text": messages[0]["content"]}]}]
    stream = api.chat.completions.create(
        model="colours", messages=parts, temperature=0, max_tokens=12, stream=True, user="anna", n=1, logprobs=False
    )
    events = [event.choices[0] for event in stream]
    assert events[0].delta.role == "assistant"
    assert "".join(event.delta.content or "" for event in events) == expected
    assert events[-1].finish_reason == told.choices[0].finish_reason


def test_several_prompts_are_choices(api: openai.OpenAI) -> None:
    told = api.completions.create(model="stories", prompt=PROMPTS[:3], max_tokens=5, temperature=0)
    single = [
        api.completions.create(model="stories", prompt=prompt, max_tokens=5, temperature=0) for prompt in PROMPTS[:3]
    ]
    assert [choice.text for choice in told.choices] == [one.choices[0].text for one in single]
    assert [choice.index for choice in told.choices] == [0, 1, 2]


def test_what_cannot_be_asked(api: openai.OpenAI) -> None:
    write, chat = api.completions.create, api.chat.completions.create
    hello = [{"role": "user", "content": "hello"}]
    long = refused(write, model="stories", prompt=STORY * 5)
    assert long["code"] == "context_length_exceeded"
    assert "the model reads 47 at most" in long["message"]
    turns = [{"role": "user", "content": "the cat is red " * 40}]
    assert refused(chat, model="colours", messages=turns)["code"] == "context_length_exceeded"
    for asked, parameter in (
        ({"n": 2}, "n"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 10**6}, "max_tokens"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"logit_bias": {"5": 10}}, "logit_bias"),
        ({"logprobs": 0}, "logprobs"),
        ({"extra_body": {"min_p": 0.1}}, "min_p"),
        ({"extra_body": {"top_k": True}}, "top_k"),
        ({"stream": True, "prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
    ):
        fault = refused(write, **{"model": "stories", "prompt": "the", **asked})
        assert fault["param"] == parameter, fault
        assert fault["type"] == "invalid_request_error"
    body = {"model": "stories", "prompt": "half \ud800"}
    told = httpx.post(
        f"{api.base_url}completions", content=json.dumps(body), headers={"Content-Type": "application/json"}
    )
    assert (told.status_code, told.json()["error"]["param"]) == (400, "prompt")
    picture = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}]
    assert "reads texts alone" in refused(chat, model="colours", messages=picture)["message"]
    assert refused(chat, model="colours", messages=[])["param"] == "messages"
    assert refused(chat, model="colours", messages=[{"role": "tool", "content": "x"}])["param"] == "messages[0].role"
    answered = [*hello, {"role": "assistant", "content": "hi"}]
    assert "nothing is asked" in refused(chat, model="colours", messages=answered)["message"]
    assert "/v1/completions" in refused(chat, model="stories", messages=hello)["message"]
    assert "writes no texts" in refused(write, model="lengths", prompt="the")["message"]
    assert "no embeddings" in refused(api.embeddings.create, model="lengths", input="the")["message"]
    fault = refused(api.audio.transcriptions.create, model="stories", file=("a.wav", b"RIFF"))
    assert "does not transcribe" in fault["message"]


def test_embeddings_in_both_forms() -> None:
    class Embedding(Counting):
        def answers(self, inputs: Any, top: int, compute: Any = None) -> list[dict[str, Any]]:
            return [
                {"input": str(each.content["input"]), "embedding": [0.5, float(each.number)], "error": None}
                for each in inputs
            ]

    with server(Embedding("vectors")) as (client, _), asking(client) as own:
        for asked in ({}, {"encoding_format": "float"}, {"dimensions": 2}):  # the client itself asks for base64
            told = own.embeddings.create(model="vectors", input=["a", "b"], **asked)
            assert [row.embedding for row in told.data] == [[0.5, 1.0], [0.5, 2.0]]
        raw = client.post("/v1/embeddings", json={"model": "vectors", "input": "a", "encoding_format": "base64"}).json()
        assert struct.unpack("<2f", base64.b64decode(raw["data"][0]["embedding"])) == (0.5, 1.0)
        assert refused(own.embeddings.create, model="vectors", input="a", dimensions=3)["param"] == "dimensions"


def test_transcriptions() -> None:
    class Hearing(Counting):
        def answers(self, inputs: Any, top: int, compute: Any = None) -> list[dict[str, Any]]:
            if inputs[0].content["input"] != b"RIFF":
                return [{"input": inputs[0].name, "error": "no sound file"}]
            words = [{"word": "one", "start": 0.1, "end": 0.5, "confidence": 0.9}]
            return [{"input": inputs[0].name, "text": "one", "confidence": 0.9, "words": words, "error": None}]

    hearing = Hearing("hearing")
    field = replace(hearing.about.takes[0], kind="sound", suffixes=(".wav",))
    hearing.about = replace(hearing.about, task="automatic-speech-recognition", takes=(field,))
    with server(hearing) as (client, _), asking(client) as own:
        create = own.audio.transcriptions.create
        assert create(model="hearing", file=("a.wav", b"RIFF"), language="en").text == "one"
        assert create(model="hearing", file=("a.wav", b"RIFF"), response_format="text") == "one\n"
        told = create(model="hearing", file=("a.wav", b"RIFF"), response_format="verbose_json")
        assert (told.words[0].word, told.words[0].end, told.segments[0].text) == ("one", 0.5, "one")
        assert "no sound file" in refused(create, model="hearing", file=("b.wav", b"x"))["message"]
        assert (
            refused(create, model="hearing", file=("a.wav", b"RIFF"), response_format="srt")["param"]
            == "response_format"
        )
        assert (
            refused(create, model="hearing", file=("a.wav", b"RIFF"), prompt="Anna")["code"] == "unsupported_parameter"
        )


# a queue that is full, time that runs out, clients that go away


def test_a_client_that_goes_away_ends_its_text() -> None:
    model = Endless()
    with server(model, max_tokens=10**5) as (client, shelf):
        body = {"model": "endless", "prompt": "the", "max_tokens": 10**5, "stream": True}
        with client.stream("POST", "/v1/completions", json=body) as told:
            lines = told.iter_lines()  # kept, since the connection ends with it
            next(lines)
            with shelf.taken("endless") as place:
                assert len(model.texts) == 1
                assert place.requests == 2
        with pytest.raises(httpx.ReadTimeout):
            client.post("/v1/completions", json={**body, "stream": False}, timeout=0.3)
        until = time.monotonic() + 10
        while (model.texts or place.requests) and time.monotonic() < until:
            time.sleep(0.02)
        assert not model.texts
        assert place.requests == 0


def test_deadlines_and_a_full_queue() -> None:
    with server(Endless(), max_tokens=10**6, deadline=0.5, max_queue=1) as (client, _):
        body = {"model": "endless", "prompt": "the", "max_tokens": 10**6}
        with ThreadPoolExecutor(6) as pool:
            told = list(pool.map(lambda _: client.post("/v1/completions", json=body), range(6)))
        assert {answer.status_code for answer in told} == {429, 503}
        assert all(answer.headers["Retry-After"] == "1" for answer in told)
        assert {answer.json()["error"]["code"] for answer in told} == {"queue_full", "deadline"}
        with client.stream("POST", "/v1/completions", json={**body, "stream": True}) as stream:
            lines = [line for line in stream.iter_lines() if line]
        assert stream.status_code == 200
        assert json.loads(lines[-1].removeprefix("data: "))["error"]["code"] == "deadline"
        answer = client.post("/v1/completions", json={**body, "max_tokens": 3}).json()  # it goes on
        assert answer["choices"][0]["text"] == "xxx"


def test_a_fault_ends_what_is_written_and_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    class Failing(Endless):
        def step(self) -> list[Any]:
            if any(text.length == 13 for text in self.texts):
                raise RuntimeError("what nobody foresaw, with what a client sent in it")
            return super().step()

    with server(Failing()) as (client, _):
        body = {"model": "endless", "prompt": "the"}
        told = client.post("/v1/completions", json={**body, "max_tokens": 13})
        assert (told.status_code, told.json()["error"]["type"]) == (500, "server_error")
        assert client.post("/v1/completions", json={**body, "max_tokens": 3}).json()["usage"]["completion_tokens"] == 3
    assert "RuntimeError at" in (said := capsys.readouterr().err)
    assert "a client sent" not in said


def test_prompts_wait_where_memory_is_full(runs: Path) -> None:
    """Two texts fit into memory at a time; all are written, and as ever."""
    served = serving.opened("stories", runs, cache_tokens=128)
    with server(served) as (client, shelf):
        most, watching = 0, threading.Event()

        def watch() -> None:
            nonlocal most
            while not watching.wait(0.001):
                with shelf.taken("stories") as place:
                    most = max(most, len(place.writing.running))

        watcher = threading.Thread(target=watch)
        watcher.start()
        body = {"model": "stories", "max_tokens": 30, "temperature": 0}
        with ThreadPoolExecutor(8) as pool:
            told = list(pool.map(lambda text: client.post("/v1/completions", json=body | {"prompt": text}), PROMPTS))
        watching.set()
        watcher.join()
        assert most == 2
        alone = [client.post("/v1/completions", json=body | {"prompt": text}) for text in PROMPTS]
    assert [each.json()["choices"] for each in told] == [each.json()["choices"] for each in alone]


def test_too_small_a_memory(runs: Path) -> None:
    with pytest.raises(pervade.core.errors.ConfigError, match="a cache of 63 tokens does not hold one text"):
        serving.opened("stories", runs, cache_tokens=63)
