"""All measurements of one group, one after another: `make bench-frame` (25 minutes on 2 cores), `make bench-image`,
`make bench-text`, `make bench-rl` (45 minutes),
`make bench-rl-long` (90 minutes), `make bench-speech` (three hours, by what its parts took), `make bench-faults` (bad
and hostile input, kills, many classes, threads, time limits: more than four hours), `make bench-default` (the ladder,
five hours), `make bench-rare` (rare classes and promises, two hours), `make bench-generate` (pictures that are made,
five hours), `make bench-deploy` (int8, pruning, students, parity of exports, two hours and a half),
`make bench-serve` (the server under load beside others' servers, an hour),
`make bench-autogluon` (four hours, 7 GB); longer scripts go on where they were stopped.

    python benchmarks/group.py frame

Each is a script of its own that prints a table; docs/results.md holds what they printed, with hardware and date.
"""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from pathlib import Path

GROUPS = {
    "frame": ("start_up", "fit_overhead", "folder_rate", "keras_comparison", "mlp_baseline"),
    "image": (
        "photos",
        "transfer",
        "faces",
        "augmentation_cost",
        "trainer_comparison",
        "two_ranks",
        "noisy_labels",
    ),
    "text": ("encoder", "text_trainer", "python_docs", "writing_speed", "pretraining", "questions"),
    "rl": ("rl_scores", "rl_speed", "rl_time_to_solve", "rl_agents"),
    "speech": ("spoken_digits", "connected_digits", "wavenet", "sound_trainer --rows 24", "read_speech"),
    "faults": ("fuzz", "resume_kills", "many_classes", "threads", "time_limit"),
    "default": ("default",),
    "rare": ("rare", "unlike"),
    "generate": ("generate",),
    "deploy": ("deploy", "deploy_students", "deploy_parity"),
    "serve": ("serve",),
    "autogluon": ("autogluon_comparison",),
    "rl-long": ("rl_scores --long", "rl_pong"),
}


def hardware() -> str:
    from pervade.core import environment

    about = environment.describe()
    return f"{about['processor']}, {about['cores']} cores, {about['memory_gb']} GB; torch {about['packages']['torch']}"


def main(group: str) -> None:
    print(f"{datetime.date.today().isoformat()}; {hardware()}", flush=True)
    failed = []
    for line in GROUPS[group]:
        name, *arguments = line.split()
        script = Path(__file__).with_name(f"{name}.py")
        command = " ".join(["python", f"benchmarks/{name}.py", *arguments])
        print(f"\n## {name}\n\n`{command}`\n", flush=True)
        environment = {**os.environ, "PYTHONWARNINGS": "default"}
        if subprocess.run([sys.executable, str(script), *arguments], env=environment, check=False).returncode:
            failed.append(line)
    if failed:
        sys.exit(f"did not finish: {', '.join(failed)}")


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in GROUPS:
        sys.exit(f"give one group: {', '.join(GROUPS)}")
    main(sys.argv[1])
