"""What a training writes down as it goes: log.jsonl, a line an event, from which curves are drawn and a time limit's
plan is repeated after a kill; TensorBoard's files where they are asked for; and what it makes at each moment at which
it is judged."""

from __future__ import annotations

import json
import math
from typing import Any

import torch
from torch.nn import Module

from pervade.core import files
from pervade.core.contracts import Context, Task
from pervade.core.contracts.abilities import ShowsProgress
from pervade.core.errors import ConfigError
from pervade.core.run import RunDirectory
from pervade.core.types import Rows
from pervade.engine import ranks
from pervade.engine.predictor import undisturbed


class Log:
    """In the first rank alone. Raises ConfigError where TensorBoard is asked for and not there."""

    def __init__(self, run: RunDirectory, tensorboard: bool) -> None:
        self.run, self.last_time = run, 0.0
        self.file: Any = None
        self.writer: Any = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                raise ConfigError(
                    "--tensorboard needs the package tensorboard; pip install 'pervade[tensorboard]'"
                ) from None
            self.writer = SummaryWriter(str(run.path / "tensorboard"))

    def cut_back(self, step: int, passes: int) -> tuple[float, dict[int, int | None]]:
        """Drops what was logged after the saved state (this step, these passes): it will happen again. Returns the
        seconds of training logged so far, and the number of steps planned for, by the step after which it was; up to
        the last step logged nothing else was planned, so that one stands there too, with None."""
        if ranks.rank() != 0:
            return 0.0, {}
        entries = self.run.read_log()
        later = [e for e in entries if e["step"] > step]
        planned: dict[int, int | None] = {later[-1]["step"]: None} if later else {}
        planned |= {e["step"]: e["total_steps"] for e in later if e["event"] == "plan"}
        elapsed = max((e["elapsed"] for e in entries if "elapsed" in e), default=0.0)
        within = [e for e in entries if step and e["step"] <= step]
        kept = [e for e in within if e["event"] in ("step", "plan") or e["pass"] <= passes]
        files.write_text(self.run.log, "".join(json.dumps(entry) + "\n" for entry in kept))
        self.last_time = next((entry["elapsed"] for entry in reversed(kept) if "elapsed" in entry), 0.0)
        self.file = self.run.log.open("a", encoding="utf-8")
        return elapsed, planned

    def write(self, entry: dict[str, Any]) -> None:
        if self.file is None:
            return
        # A figure beside the loss may not be defined, and JSON has no such number.
        known = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in entry.items()}
        with files.writing(self.run.log):
            self.file.write(json.dumps(known, allow_nan=False) + "\n")
            self.file.flush()
        if self.writer is not None:
            for name, value in entry.items():
                if isinstance(value, float):
                    self.writer.add_scalar(name.replace(" ", "/"), value, entry["step"])

    def close(self) -> None:
        for output in (self.file, self.writer):
            if output is not None:
                with files.writing(self.run.log):
                    output.close()


def keep_progress(run: RunDirectory, task: Task, network: Module, train: Rows, context: Context, at: float) -> None:
    """media/progress/<pass>.png, where the task shows what it has learnt after `at` passes; in the first rank alone."""
    if ranks.rank() != 0 or not isinstance(task, ShowsProgress):
        return
    with undisturbed(network), torch.inference_mode():
        media = task.progress(network, train, context)
    if media is not None:
        data = media.data.encode() if isinstance(media.data, str) else media.data
        with files.replacing(run.path / "media" / "progress" / f"{at:g}.{media.kind}") as temporary:
            temporary.write_bytes(data)
