"""Tokenizers: text to numbers, by the library tokenizers.

A tokenizer is JSON in that library's own format (tokenizer.json) and known by its SHA-256, so that a frozen domain can
name it in a field (core/assets.py).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from pervade.core import files
from pervade.core.assets import Assets
from pervade.core.bounded import Bounded, LimitExceeded
from pervade.core.errors import CheckpointError, ConfigError, ResourceError
from pervade.data.rows import cache

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Kind = Literal["wordpiece", "bpe"]

# What our own tokenizers call their special tokens; published ones have other names for some of them.
PADDING, UNKNOWN, BEGINNING, SEPARATOR, MASK, END = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[END]"
SPECIAL = (PADDING, UNKNOWN, BEGINNING, SEPARATOR, MASK, END)
NAMES = {  # ours, and what it is called elsewhere
    PADDING: (PADDING, "<pad>", "<|endoftext|>"),
    BEGINNING: (BEGINNING, "<s>"),
    SEPARATOR: (SEPARATOR, "</s>"),
    MASK: (MASK, "<mask>"),
    END: (END, "<|endoftext|>", "</s>", "<|im_end|>", "<eos>"),
}

LONGEST_WORD = 100  # letters; WordPiece takes a longer one for unknown
LARGEST = 256 << 20  # bytes of a tokenizer.json; those published for 260,000 tokens have 35 million
SECONDS = 20.0  # of processor time to try one, of which reading it is the most
KEPT_OPEN = 1 << 20  # letters of one after which the process that tries them stays, for the next

_trial = Bounded("pervade.data.text.tokenizer_trial:answer", SECONDS)


def read(path: Path) -> str:
    """A tokenizer.json, tried. Raises CheckpointError where it is damaged, or takes too long."""
    return _tried(files.read_text(path, LARGEST), path)


def _tried(text: str, path: Path) -> str:
    """The text, which got through data/text/tokenizer_trial.py, now or before: that is kept by its SHA-256 in this
    user's cache."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    mark = cache.folder().with_name("tokenizers") / digest
    if digest in assets.known or mark.is_file():
        return text
    try:
        fault = _trial.ask(text)
    except LimitExceeded as error:
        fault = f"trying it {error}"
    if len(text) > KEPT_OPEN:
        _trial.close()  # which has taken memory for it
    if fault is not None:
        raise CheckpointError(f"{path} is damaged ({fault}); copy or download it again, or take another tokenizer")
    with contextlib.suppress(ResourceError):  # where nothing can be kept it is tried anew each time
        files.write_text(mark, "")
    return text


assets = Assets("tokenizer", "tokenizer", read)
keep, text_of, file_name, attach = assets.keep, assets.text_of, assets.file_name, assets.attach


class _Guarded:
    """A tokenizer whose faults in the middle of a text are errors of ours: the library's panics are no Exception."""

    def __init__(self, made: Tokenizer) -> None:
        self._made = made

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._made, name)
        return functools.partial(_call, value) if callable(value) else value


def _call(function: Callable[..., Any], *given: Any, **settings: Any) -> Any:
    try:
        return function(*given, **settings)
    except BaseException as error:
        if type(error) is not Exception and type(error).__name__ != "PanicException":
            raise
        first = str(error).strip().split("\n")[0]
        raise CheckpointError(f"the tokenizer cannot read a text ({first[:200]}); take another model") from None


@functools.lru_cache(16)
def tokenizer(digest: str, length: int | None = None) -> Tokenizer:
    """The tokenizer, which does not pad, and takes a special token's name in a text for plain letters. `length` cuts
    what is longer, of a pair the longer text; what belongs at the beginning and the end stays there."""
    from tokenizers import Tokenizer

    made = Tokenizer.from_str(text_of(digest))
    if length is None:
        made.no_truncation()
    else:
        made.enable_truncation(length, strategy="longest_first")
    made.no_padding()
    made.encode_special_tokens = True
    return cast("Tokenizer", _Guarded(made))


@functools.lru_cache(64)
def special(digest: str, name: str) -> int | None:
    """The number of one of our special tokens, under whichever of its names the tokenizer has; None: it has none."""
    made = tokenizer(digest)
    numbers = (made.token_to_id(spelling) for spelling in NAMES[name])
    return next((number for number in numbers if number is not None), None)


def require(digest: str, name: str, what: str) -> int:
    """Raises ConfigError where the tokenizer lacks a special token that `what` needs."""
    number = special(digest, name)
    if number is None:
        raise ConfigError(
            f"the tokenizer has no token {' or '.join(NAMES[name])}, which {what} needs; take another model, or "
            "--init random, which learns a tokenizer of its own"
        )
    return number


@functools.lru_cache(16)
def size(digest: str) -> int:
    """The largest token's number and one more: a vocabulary may have gaps."""
    return max(tokenizer(digest).get_vocab(with_added_tokens=True).values()) + 1


@functools.lru_cache(64)
def begins(digest: str) -> tuple[int, ...]:
    """The tokens that a published tokenizer puts in front of every text ("<s>"); empty where it puts none. Ours put
    there what a text to be classified begins with, and no writer has seen that."""
    made = tokenizer(digest)
    if made.token_to_id(END) is not None:
        return ()
    bare, whole = (made.encode("a", add_special_tokens=with_special).ids for with_special in (False, True))
    place = next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), 0)
    return tuple(whole[:place])


def continued(digest: str, tokens: Sequence[int]) -> str:
    """The text of tokens that follow others: a tokenizer that marks words by the space before them takes the first
    one's away, so another is put there meanwhile."""
    made = tokenizer(digest)
    before = made.encode("a", add_special_tokens=False).ids
    return str(made.decode([*before, *tokens])).removeprefix(str(made.decode(before)))


class Continuing:
    """The text of tokens that follow others, as they come, which costs as little at the end of a long text as at its
    beginning: a few tokens are spelt again, no more."""

    def __init__(self, digest: str) -> None:
        self._made = tokenizer(digest)
        self._window: list[int] = self._made.encode("a", add_special_tokens=False).ids  # as of `continued`
        self._told = len(self._window)  # tokens of the window whose text was told

    def add(self, token: int) -> str:
        """What is known of the text beyond what was told: of half a character nothing, until the rest is there."""
        self._window.append(token)
        before, text = (str(self._made.decode(some)) for some in (self._window[: self._told], self._window))
        if len(text) <= len(before) or text.endswith("\ufffd"):
            return ""
        self._window, self._told = self._window[self._told :], len(self._window) - self._told
        return text[len(before) :]


# where tokenizers come from


def learn(texts: Iterable[str], kind: Kind, size: int) -> str:
    """A tokenizer.json learnt from these texts alone: WordPiece of lower-cased words (Schuster & Nakajima 2012), or
    byte-level BPE, which loses nothing (Sennrich et al. 2016, arXiv:1508.07909). The same texts give the same one.

    `size` is the number of tokens at most. Chinese characters are words of their own in WordPiece.
    """
    from tokenizers import processors

    made = _wordpiece(list(texts), size) if kind == "wordpiece" else _byte_level(texts, size)
    made.post_processor = processors.TemplateProcessing(
        single=f"{BEGINNING} $A {SEPARATOR}",
        pair=f"{BEGINNING} $A {SEPARATOR} $B:1 {SEPARATOR}:1",
        special_tokens=[(name, made.token_to_id(name)) for name in (BEGINNING, SEPARATOR)],
    )
    return str(made.to_str())


def _byte_level(texts: Iterable[str], size: int) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(SPECIAL), show_progress=False, initial_alphabet=alphabet
    )
    made.train_from_iterator(_pieces(texts), trainer)
    return made


def _wordpiece(texts: Sequence[str], size: int) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    made = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    made.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    # The library numbers the letters inside words ("##a") in the order of a hash table, another one each time, and
    # pairs that are as frequent are merged by their numbers. So they are learnt first, and then given in order.
    _learn_pieces(made, texts, size, [])
    letters = sorted(token for token in made.get_vocab() if len(token) == 3 and token.startswith("##"))
    _learn_pieces(made, texts, size, letters)
    made.model = models.WordPiece(made.get_vocab(with_added_tokens=True), unk_token=UNKNOWN)
    parsed = json.loads(made.to_str())
    parsed["added_tokens"] = [token for token in parsed["added_tokens"] if token["content"] in SPECIAL]
    return Tokenizer.from_str(json.dumps(parsed))


def _learn_pieces(made: Tokenizer, texts: Sequence[str], size: int, letters: Sequence[str]) -> None:
    from tokenizers import pre_tokenizers, trainers

    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=[*SPECIAL, *letters], show_progress=False, min_frequency=2
    )
    words = made.pre_tokenizer
    # Learning takes the square of a word's length. What is longer than this is unknown to WordPiece in any case.
    made.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.FixedLength(LONGEST_WORD)])
    made.train_from_iterator(_pieces(texts), trainer)
    made.pre_tokenizer = words


def _pieces(texts: Iterable[str], most: int = 1000) -> Iterator[list[str]]:
    """In bunches, which the library learns from faster than from one at a time."""
    bunch: list[str] = []
    for text in texts:
        bunch.append(text)
        if len(bunch) == most:
            yield bunch
            bunch = []
    yield bunch


def of_folder(folder: Path) -> str:
    """The tokenizer.json of a model's folder; made from its older files (vocab.txt, merges.txt) where it has none.

    Raises CheckpointError where there is none, or it cannot be read.
    """
    path = folder / "tokenizer.json"
    if path.exists():
        return read(path)
    import transformers

    try:
        made = transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        text = str(made.backend_tokenizer.to_str())
    except BaseException as error:  # a panic of the library's is no Exception
        if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
            raise
        first = str(error).strip().split("\n")[0]
        raise CheckpointError(
            f"{folder} holds no tokenizer that can be read ({first}); put its tokenizer.json there"
        ) from None
    return _tried(text, folder)


# use


def encode(digest: str, text: str, second: str | None = None, length: int | None = None) -> list[int]:
    """The numbers of a text, or of a pair, with the tokens that belong at the beginning and the end."""
    ids: list[int] = tokenizer(digest, length).encode(text, second).ids
    return ids


def lengths(digest: str, texts: Sequence[str], seconds: Sequence[str] | None = None) -> list[int]:
    """How many tokens each has, with those at the beginning and the end; all processors at once."""
    given = texts if seconds is None else list(zip(texts, seconds, strict=True))
    return [len(encoding.ids) for encoding in tokenizer(digest).encode_batch_fast(given)]


@dataclass(frozen=True)
class Window:
    """A question and a piece of its context: `tokens`, whether each is `inside` the context, and the `spans` (from, to)
    of characters of the context that those inside stand for."""

    tokens: list[int]
    inside: list[bool]
    spans: list[tuple[int, int]]


def windows(digest: str, question: str, context: str, length: int, overlap: int, longest: int) -> list[Window]:
    """The context in pieces of at most `length` tokens with the question before each, `overlap` tokens of one in the
    next. Of the question at most `longest` tokens are kept."""
    made = tokenizer(digest)
    asked = made.encode(question, add_special_tokens=False)
    asked.truncate(longest)
    room = max(length - len(asked) - made.num_special_tokens_to_add(True), 2)
    text = made.encode(context, add_special_tokens=False)
    text.truncate(room, stride=min(overlap, room // 2))
    windows = []
    for piece in (text, *text.overflowing):
        whole = made.post_process(asked, piece)
        inside = [part == 1 for part in whole.sequence_ids]
        windows.append(Window(whole.ids, inside, whole.offsets))
    return windows
