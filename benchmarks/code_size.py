"""How large the code is and how much of it hangs on names, at a commit or in turns at several.

python benchmarks/code_size.py 42ea472 HEAD
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATTERNS = {
    "ignores of hidden attributes (attr-defined)": r"attr-defined",
    "hasattr on a domain": r"hasattr\((self\.|loaded\.)?domain\b",
    '.get("use") in report/': r"\.get\(\"use\"\)",
}


def git(*words: str) -> str:
    return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True).stdout


def members(text: str) -> int | None:
    """Of the class Task, but for `kind`, which every contract has; None where the file has no such class."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef) and node.name == "Task":
            own = [part.name if isinstance(part, ast.FunctionDef) else "" for part in node.body]
            own += [part.target.id for part in node.body if isinstance(part, ast.AnnAssign)]  # type: ignore[union-attr]
            return len({name for name in own if name} - {"kind"})
    return None


def bindings(text: str, name: str) -> int:
    """How often a variable, an argument or a function of this name is made."""
    nodes = list(ast.walk(ast.parse(text)))
    stored = [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    arguments = [node.arg for node in nodes if isinstance(node, ast.arg)]
    return [*stored, *arguments, *(node.name for node in nodes if isinstance(node, ast.FunctionDef))].count(name)


def counted(commit: str) -> dict[str, int]:
    paths = [path for path in git("ls-tree", "-r", "--name-only", commit, "src").split() if path.endswith(".py")]
    texts = {path: git("show", f"{commit}:{path}") for path in paths}
    sizes = {"lines in src/": sum(len(text.splitlines()) for text in texts.values())}
    contracts = [members(text) for path, text in texts.items() if "/core/protocols.py" in path or "/contracts/" in path]
    sizes["members of Task"] = next(number for number in contracts if number is not None)
    for what, pattern in PATTERNS.items():
        of = {path: text for path, text in texts.items() if "report/" not in what or "/report/" in path}
        sizes[what] = sum(len(re.findall(pattern, text)) for text in of.values())
    for name in ("each", "found"):
        sizes[f"bindings of `{name}`"] = sum(bindings(text, name) for text in texts.values())
    fit = next(text for path, text in texts.items() if path.endswith("engine/fit.py"))
    return {**sizes, "engine/fit.py, lines": len(fit.splitlines())}


def main() -> None:
    commits = sys.argv[1:] or ["HEAD"]
    columns = [counted(commit) for commit in commits]
    print(f"{'':46}" + "".join(f"{commit:>10}" for commit in commits))
    for what in columns[0]:
        print(f"{what:46}" + "".join(f"{column[what]:>10,}" for column in columns))


if __name__ == "__main__":
    main()
