"""Pervade: take a large model into your own field.

import pervade

run = pervade.fit("photos/", model="resnet18")
run.evaluate()
run.predict("cat.jpg")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Run", "compare", "fit", "load", "resume", "tune"]

if TYPE_CHECKING:
    from pervade.api import Run, compare, fit, load, resume, tune


def __getattr__(name: str) -> Any:
    # Loaded when first used, so that `import pervade` costs nothing.
    if name in __all__:
        from pervade.core import runtime

        runtime.prepare()
        from pervade import api

        return getattr(api, name)
    raise AttributeError(f"module 'pervade' has no attribute {name!r}")
