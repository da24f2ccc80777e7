"""Pervade: take a large model into your own field.

import pervade

run = pervade.fit("photos/", model="resnet18")
run.evaluate()
run.predict("cat.jpg")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Run", "compare", "fit", "load", "open_data", "resume", "trust_remote_code", "tune"]

if TYPE_CHECKING:
    from pervade.api import Run, compare, fit, load, open_data, resume, tune


def trust_remote_code(yes: bool = True) -> None:
    """From now on, in this process, code may run that comes with a model (`auto_map` in its config.json) or that a run
    names (an environment, module:Class). It is said which; read it first: it can do anything that you can. No recipe,
    run or checkpoint keeps this."""
    from pervade.core import trust

    trust.allow(yes)


def __getattr__(name: str) -> Any:
    # Loaded when first used, so that `import pervade` costs nothing.
    if name in __all__:
        from pervade.core import runtime

        runtime.prepare()
        from pervade import api

        return getattr(api, name)
    raise AttributeError(f"module 'pervade' has no attribute {name!r}")
