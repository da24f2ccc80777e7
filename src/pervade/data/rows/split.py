"""Which rows train, which choose the checkpoint (validation), which give the final figures (test).

Rows that hold the same bytes ("hash") or belong together ("group", or "bundle" where what is never divided is larger
than what intervals resample) are one unit, and a unit is never divided. Units are drawn by seed, class by class, so
that every split has the classes in the same shares.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from typing import Any

from pervade.core import seed as seeds
from pervade.core.errors import DataError
from pervade.core.types import LeftOut, Rows
from pervade.data.read import account

WORDS = {
    "train": "train training trainieren entrenamiento entrenar entraînement entrainement apprentissage treino "
    "treinamento addestramento allenamento trainen trening träning eğitim обучение 训练 訓練 学習 학습 훈련",
    "validation": "val valid validation dev development eval evaluation validierung validieren validación validacion "
    "validação validacao validazione validatie valideren walidacja doğrulama валидация 验证 驗證 検証 검증",
    "test": "test testing holdout testen prueba pruebas essai teste testes prova тест 测试 測試 テスト 테스트",
}
NAMES = {word: split for split, words in WORDS.items() for word in words.split()}
# What may stand beside the name of a split (training_set, seg_train, "test data"), and behind it: Testdaten, 训练集.
BESIDE = {"set", "data", "dataset", "split", "seg", "part", "images", "files"}
BEHIND = re.compile(r"(?<=.)(sets?|s?daten|s?satz|s?data|数据集|数据|集合|集|セット|データ)$")
SHARD = re.compile(r"-\d+-of-\d+$")  # train-00000-of-00002
# Where a unit stands in two given splits it stays in the one nearest to the final figures.
PRECEDENCE = ("test", "validation", "train")
MOST_TOLD = 5  # contradictions


@functools.lru_cache(1000)
def named(text: str) -> str | None:
    """The split that a name of a folder, a file or a cell says; None where it says none, or more than that.

    >>> [named(name) for name in ("Test", "seg_train", "testset", "val2017", "hold-out", "contest", "train_labels")]
    ['test', 'train', 'test', 'validation', 'test', None, None]
    """
    # macOS spells ó as two characters, Linux as one.
    plain = SHARD.sub("", unicodedata.normalize("NFC", text).strip().lower())
    plain = re.sub("hold[-_]out", "holdout", plain)
    words = re.findall(r"[^\W\d_]+", plain)
    splits = [NAMES.get(word) or NAMES.get(BEHIND.sub("", word)) for word in words if word not in BESIDE]
    return splits[0] if len(splits) == 1 else None


def given(rows: Rows) -> list[str] | None:
    """The splits that the data themselves have; None where they have none. Raises DataError where nothing is given to
    train on, or only some rows have one."""
    if "split" not in rows or not len(rows):
        return None
    splits = list(rows.column("split"))
    if None in splits:
        where = rows.column("id")[splits.index(None)]
        raise DataError(f"{where} has no split, but others have; give every row one, or none")
    if "train" not in splits:
        there = " and ".join(sorted(set(splits)))
        raise DataError(f"the data has {there} but no train split; add one, or rename the others")
    return splits


def assign(rows: Rows, *, validation: float, test: float, seed: int) -> tuple[Rows, list[LeftOut]]:
    """Rows with a "split" each, and what was taken out of a split because another one has its bytes or its group.

    Splits that the data already has are kept; one that is missing is drawn from the training rows. `validation` and
    `test` are shares in 0-1 of the rows that are drawn from.
    """
    splits = given(rows) or ["train"] * len(rows)
    keep, left_out = one_split_each(rows, splits)
    rows, splits = rows.select(keep), [splits[i] for i in keep]
    if "group" in rows and len(set(rows.column("group"))) == 1 < len(rows):
        account.note(
            f"groups: all rows are of one ({rows.column('group')[0]}), which no split divides", "--group-by none"
        )
    shares = {
        name: share for name, share in (("test", test), ("validation", validation)) if share > 0 and name not in splits
    }
    return rows.with_columns(split=draw(rows, splits, shares, seed)), left_out


def one_split_each(rows: Rows, given: Sequence[str]) -> tuple[list[int], list[LeftOut]]:
    """The positions to keep, so that a unit stands in one of the `given` splits only, and what is left out.

    Where every class is a group (people), only the same bytes are looked at: that the people of a given test split are
    known from training may be what is asked, it would leave nothing to train on, and `gaps` says it.

    Raises DataError where nothing to train on is left.
    """
    together = without(rows, "group") if by_person(rows) else rows
    why: dict[int, str] = {}  # by position, of the rows that are left out
    for unit in units(together, range(len(rows))):
        nearest = min((given[position] for position in unit), key=PRECEDENCE.index)
        kept = [position for position in unit if given[position] == nearest]
        if len(kept) < len(unit):
            why |= _reasons(together, given, kept, [position for position in unit if given[position] != nearest])
    left_out = [LeftOut(str(rows.column("id")[position]), why[position]) for position in sorted(why)]
    keep = [position for position in range(len(rows)) if position not in why]
    if "train" in given and all(given[position] != "train" for position in keep):
        first = list(given).index("train")
        raise DataError(
            "nothing is left to train on, since every training row belongs to one in another split (the first, "
            f"{rows.column('id')[first]}: {why[first]}); take what belongs to them out of the other splits, or go "
            "without groups (--group-by none) or without splits (--split-column none)"
        )
    if divided := sum("group" in reason for reason in why.values()):
        account.note(f"splits: {divided:,} rows left out, whose group stands in another of them", "--group-by none")
    return keep, left_out


def _reasons(rows: Rows, given: Sequence[str], kept: Sequence[int], others: Sequence[int]) -> dict[int, str]:
    """Of each of the `others`, how it belongs to the `kept` rows of its unit, which stand in another split."""
    words = {"hash": "the same as", "group": "of the same group as", "bundle": "of the same document as"}
    columns = [rows.column(name) if name in rows else None for name in words]
    first = [{column[position]: position for position in reversed(kept)} if column else {} for column in columns]
    reasons = {}
    for position in others:
        how, other = "bound by groups and copies to", kept[0]
        for column, there, what in zip(columns, first, words.values(), strict=True):
            if column and column[position] in there:
                how, other = what, there[column[position]]
                break
        twin = rows.column("id")[other]
        reasons[position] = f"{how} {twin} in the {given[other]} split, so not used for {given[position]}"
    return reasons


def draw(rows: Rows, given: Sequence[str], shares: dict[str, float], seed: int) -> list[str]:
    """`given` with the splits in `shares` drawn from its "train", unit by unit, class by class."""
    splits = list(given)
    if not shares:
        return splits
    rows = whole_classes(rows)
    balanced, members_of = strata(rows), defaultdict[Hashable, list[list[int]]](list)
    trained: Counter[Hashable] = Counter()  # in how many units that train each class stands
    for unit in units(rows, [i for i, split in enumerate(given) if split == "train"]):
        members_of[balanced[unit[0]]].append(unit)
        trained.update(classes(rows, unit))
    for number, stratum in enumerate(sorted(members_of, key=str)):
        members = members_of[stratum]
        order = iter(seeds.generator(seed, number).permutation(len(members)))
        for position, (name, share) in enumerate(shares.items()):
            # At least one of every class where there are enough.
            wanted = max(round(share * len(members)), 1) if len(members) > position + 1 else 0
            while wanted and (index := next(order, None)) is not None:
                held = classes(rows, members[index])
                if any(trained[label] == 1 for label in held):
                    continue  # the last unit of a class always trains
                trained.subtract(held)
                for row in members[index]:
                    splits[row] = name
                wanted -= 1
    return splits


def by_person(rows: Rows) -> bool:
    """Whether every row's class is its group too: then classes are drawn whole, and no class stands in two splits."""
    return "group" in rows and "target" in rows and list(rows.column("group")) == list(rows.column("target"))


def whole_classes(rows: Rows) -> Rows:
    """Without the target where classes are drawn whole, so that there is nothing to balance in a split."""
    if not by_person(rows):
        return rows
    return without(rows, "target")


def without(rows: Rows, column: str) -> Rows:
    return Rows({name: values for name, values in rows.columns.items() if name != column}, rows.number)


def strata(rows: Rows) -> list[Hashable]:
    """Of each row, what is kept balanced: its class; of several labels the rarest, since common ones balance
    themselves; a number that is measured, not named, has none."""
    targets: Sequence[Any] = rows.column("target") if "target" in rows else [None] * len(rows)
    counts = Counter(label for target in targets for label in _several(target))

    def balanced(target: Any) -> Hashable:
        if isinstance(target, (str, int)):
            return target
        return min(_several(target), key=lambda label: (counts[label], label), default=None)

    return [balanced(target) for target in targets]


def classes(rows: Rows, positions: Sequence[int]) -> set[Hashable]:
    """The classes and labels that stand in these rows."""
    labels: set[Hashable] = set()
    for position in positions:
        target: Any = rows.column("target")[position] if "target" in rows else None
        labels |= set(_several(target)) or {target if isinstance(target, (str, int)) else None}
    return labels


def _several(target: Any) -> list[str]:
    """The labels of a row that may have several; none where its target is of another kind."""
    return target if isinstance(target, list) and all(isinstance(label, str) for label in target) else []


def without_single(rows: Rows) -> tuple[Rows, list[LeftOut]]:
    """Without the rows that are the only one of their class, from which it cannot be both learnt and measured; what is
    left out. Rows whose target is no class stay."""
    targets = rows.columns.get("target", ())
    counts = Counter(target for target in targets if isinstance(target, (str, int)))
    single = [i for i, target in enumerate(targets) if isinstance(target, (str, int)) and counts[target] == 1]
    reason = "the only row of class {!r}, and it takes two: one to learn from and one to measure"
    left_out = [LeftOut(str(rows.column("id")[i]), reason.format(targets[i])) for i in single]
    gone = set(single)
    return (rows.select([i for i in range(len(rows)) if i not in gone]) if single else rows), left_out


def note_contradictions(rows: Rows) -> None:
    """Into the account: rows of the same content with different classes or labels. None of them is wrong for certain,
    so they stay, in one split."""
    if not {"hash", "target"} <= rows.columns.keys():
        return
    there: dict[Hashable, dict[str, int]] = defaultdict(dict)  # content to what it is called, and the first row so
    for position, (content, target) in enumerate(zip(rows.column("hash"), rows.column("target"), strict=True)):
        if isinstance(target, (str, int)) or _several(target):
            label = ", ".join(sorted(_several(target))) if isinstance(target, list) else str(target)
            there[content].setdefault(label, position)
    doubtful = [names for names in there.values() if len(names) > 1]
    if not doubtful:
        return
    names = rows.column("id")
    shown = "; ".join(
        " but ".join(f"{names[position]} is {label!r}" for label, position in positions.items())
        for positions in doubtful[:MOST_TOLD]
    )
    more = f"; and {len(doubtful) - MOST_TOLD:,} more" if len(doubtful) > MOST_TOLD else ""
    account.note(
        f"contradictions: {len(doubtful):,} times the same content has different labels ({shown}{more}); each stays "
        "whole in one split, and no model can be right on all of its rows"
    )


def _positions(rows: Rows) -> dict[str, list[int]]:
    return {name: [i for i, split in enumerate(rows.column("split")) if split == name] for name in PRECEDENCE}


def refuse_unseen(rows: Rows) -> None:
    """Raises DataError where a class or label is to be measured but never trains."""
    if "split" not in rows or "train" not in rows.column("split"):
        return
    there = _positions(rows)
    trained = sorted(map(str, classes(rows, there["train"]) - {None}))
    for name in PRECEDENCE[::-1]:
        unknown = sorted(set(map(str, classes(rows, there[name]) - {None})) - set(trained))
        if unknown:
            first = next(i for i in there[name] if unknown[0] in map(str, classes(rows, [i])))
            shown = ", ".join(map(repr, trained[:8])) + (" …" if len(trained) > 8 else "")
            raise DataError(
                f"class {unknown[0]!r} stands in the {name} split ({rows.column('id')[first]}) but never in train, "
                f"which has {shown}; rename or remove it there, or move some of it"
            )


def gaps(rows: Rows) -> list[str]:
    """Classes and labels that train and are missing in another split, in words: nothing will be known of how well they
    are recognised, or how well the checkpoint chosen recognises them."""
    remarks = []
    there = _positions(rows)
    trained = classes(rows, there["train"]) - {None}
    if by_person(rows):
        return _known_people(trained, {name: classes(rows, there[name]) for name in ("validation", "test")})
    for name, what in (("validation", "the checkpoint is chosen without"), ("test", "nothing will be measured of")):
        here = classes(rows, there[name])
        missing = sorted(map(str, trained - here))
        if missing and here & trained:  # where they share none, they were divided by class on purpose
            shown = ", ".join(map(repr, missing[:5])) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
            remarks.append(f"in train but not in {name}: {shown}; {what} {'it' if len(missing) == 1 else 'them'}")
    return remarks


def _known_people(trained: set[Hashable], classes_of: dict[str, set[Hashable]]) -> list[str]:
    return [
        f"{len(here & trained)} of {len(here)} people in {name} are in train as well; figures on them are too kind for "
        "people who were never trained on"
        for name, here in classes_of.items()
        if here & trained
    ]


def bound(rows: Rows) -> Rows:
    """Rows with a "group" each, which those have in common that must stay together. As they are where none must."""
    together = units(rows, range(len(rows)))
    if len(together) == len(rows):
        return rows
    number = {position: str(k) for k, unit in enumerate(together) for position in unit}
    return rows.with_columns(group=[number[position] for position in range(len(rows))])


def units(rows: Rows, positions: Sequence[int]) -> list[list[int]]:
    """Positions that must stay together, because they share a group or their bytes (by union-find)."""
    parent = {position: position for position in positions}

    def root(position: int) -> int:
        while parent[position] != position:
            parent[position] = parent[parent[position]]
            position = parent[position]
        return position

    for column in ("group", "bundle", "hash"):
        if column not in rows:
            continue
        first: dict[Any, int] = {}
        values = rows.column(column)
        for position in positions:
            other = first.setdefault(values[position], position)
            parent[root(position)] = root(other)
    together: dict[int, list[int]] = defaultdict(list)
    for position in positions:
        together[root(position)].append(position)
    return list(together.values())
