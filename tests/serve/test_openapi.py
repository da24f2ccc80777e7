"""/openapi.json is true: Schemathesis, with all its checks, finds no request that is answered otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from pervade import api
from pervade.run import serving
from tests.serve.served import server

SETTINGS = Path(__file__).with_name("schemathesis.toml")
COMMAND = ("--checks", "all", "--max-examples", "3", "--seed", "1", "--phases", "coverage,fuzzing,stateful")


def test_schemathesis_finds_no_violation(pictures: api.Run, promised: api.Run, tmp_path: Path) -> None:
    opened = [serving.opened(str(run.path), Path()) for run in (pictures, promised)]
    with server(*opened, max_inputs=8) as (client, _):
        known = f'[parameters]\n"path.run" = "reviews"\n"path.version" = "{opened[1].about.version}"\n\n'
        (tmp_path / "schemathesis.toml").write_text(known + SETTINGS.read_text(encoding="utf-8"), encoding="utf-8")
        program = str(Path(sys.executable).with_name("schemathesis"))
        command = [program, "run", f"{client.base_url}/openapi.json", *COMMAND]
        ended = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=tmp_path, env={**os.environ, "NO_COLOR": "1"}
        )
        assert ended.returncode == 0, ended.stdout
        paths = client.get("/openapi.json").json()["paths"]
        assert {"/v2/models/{run}/infer", "/v1/models/{run}/watch", "/v1/models/{run}/predict"} <= set(paths)
