"""deploy/: what can be known of it without a builder or a cluster. Its commands are given, and what one file says
another one takes."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from pervade import cli

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
KNOWN = ["FROM", "ENV", "RUN", "WORKDIR", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD", "COPY", "USER"]


def dockerfile() -> list[tuple[str, str]]:
    """Each instruction with what stands behind it, lines joined."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


def stages() -> dict[str, list[tuple[str, str]]]:
    made: dict[str, list[tuple[str, str]]] = {}
    for name, rest in dockerfile():
        if name == "FROM":
            base, _, stage = rest.split()
            made[stage] = list(made.get(base, []))
        made[stage].append((name, rest))
    return made


def take(arguments: list[str]) -> None:
    """As the command line does; raises where a flag is unknown, or a value cannot be."""
    cli._register()
    typer.main.get_command(cli.app).commands["serve"].make_context("serve", list(arguments))


@pytest.fixture(scope="module")
def manifests() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")))


def test_the_dockerfile_is_whole() -> None:
    assert {name for name, _ in dockerfile()} <= set(KNOWN)
    for stage, told in stages().items():
        if stage == "base":
            continue
        assert told[-1] == ("USER", "pervade")  # nothing runs as root
        for name, rest in told:
            if name == "COPY":
                *sources, _ = rest.split()
                assert all((ROOT / source).exists() for source in sources)
            if name == "RUN":
                script = subprocess.run(["sh", "-n", "-c", rest], capture_output=True, text=True, check=False)
                assert script.returncode == 0, script.stderr
    take(json.loads(dict(stages()["whole"])["CMD"]))


def test_the_image_installs_what_there_is() -> None:
    """Extras by their names; and graphs need nothing that the project itself does not, but what is in its extras."""
    about = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = re.findall(r"/src\[([\w,]+)\]", " ".join(rest for _, rest in dockerfile()))[0].split(",")
    assert set(extras) <= set(about["optional-dependencies"])
    own = [*about["dependencies"], *(one for extra in about["optional-dependencies"].values() for one in extra)]
    lines = (DEPLOY / "graphs.txt").read_text(encoding="utf-8").splitlines()
    needed = [line for line in lines if line and not line.startswith("#")]
    assert set(needed) <= set(own)
    assert not any(line.startswith("torch") for line in needed)


def test_compose_takes_what_the_image_gives() -> None:
    (name, service), *others = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"].items()
    assert (name, others) == ("pervade", [])
    assert service["build"]["target"] in stages()
    assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    assert service["command"] == json.loads(dict(stages()["whole"])["CMD"])
    assert service["ports"] == ["127.0.0.1:8000:8000"]  # others come by a proxy that speaks TLS
    assert service["read_only"] and service["cap_drop"] == ["ALL"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_the_unit_is_verified(tmp_path: Path) -> None:
    """By systemd itself, with a program in place of the one that is not installed here."""
    text = (DEPLOY / "pervade.service").read_text(encoding="utf-8")
    (tmp_path / "pervade.service").write_text(text.replace("/opt/pervade/bin/pervade", sys.executable))
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / "pervade.service")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "pervade.service" not in ended.stderr


def test_the_unit_gives_a_command_that_is_taken() -> None:
    text = (DEPLOY / "pervade.service").read_text(encoding="utf-8")
    (started,) = re.findall(r"^ExecStart=(.+)$", text, re.MULTILINE)
    program, verb, *arguments = shlex.split(started)
    assert (Path(program).name, verb) == ("pervade", "serve")
    take(arguments)
    longest = float(re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)[0])
    assert longest > 30  # of --stop-within


def test_the_manifest_fits_together(manifests: list[dict[str, Any]]) -> None:
    deployment, service = manifests
    assert (deployment["apiVersion"], deployment["kind"]) == ("apps/v1", "Deployment")
    assert (service["apiVersion"], service["kind"]) == ("v1", "Service")
    template = deployment["spec"]["template"]
    labels = template["metadata"]["labels"]
    assert labels == deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
    (container,) = template["spec"]["containers"]
    take(container["args"])
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert service["spec"]["ports"][0]["targetPort"] in ports
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        one["name"] for one in template["spec"]["volumes"]
    }
    mounted = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert container["args"][0] in mounted and mounted[container["args"][0]]["readOnly"]
    assert "/tmp" in mounted  # where uploaded files lie, since all else is read-only
    assert container["securityContext"]["readOnlyRootFilesystem"]


def test_probes_ask_what_is_there(manifests: list[dict[str, Any]]) -> None:
    """And need no token."""
    from pervade.serve.answered import Server
    from pervade.serve.metrics_routes import routes
    from pervade.serve.settings import Settings
    from pervade.serve.shelf import Shelf

    settings = Settings()
    there = {route.path for route in routes(Server(Shelf(settings), settings)).routes}
    (container,) = manifests[0]["spec"]["template"]["spec"]["containers"]
    probes = [container[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")]
    asked = re.findall(r"127\.0\.0\.1:8000(/\w+)", dict(stages()["whole"])["HEALTHCHECK"])
    assert {*probes, *asked} == {"/readyz", "/healthz"} <= there


def test_the_manifest_is_valid(manifests: list[dict[str, Any]]) -> None:
    """By Kubernetes' own schemas, where `pip install kubernetes-validate` (22 MB) brought them."""
    schemas = pytest.importorskip("kubernetes_validate")
    for manifest in manifests:
        schemas.validate(manifest, "1.32", strict=True)


def test_the_health_check_of_the_image(tmp_path: Path) -> None:
    """Its command tells a server that takes requests from one that is not there."""
    from tests.serve.served import Counting, server

    command = json.loads(dict(stages()["whole"])["HEALTHCHECK"].partition("CMD ")[2])
    with server(Counting()) as (client, _):
        for port, status in ((client.base_url.port, 0), (1, 1)):
            changed = [sys.executable, *(word.replace(":8000", f":{port}") for word in command[1:])]
            ended = subprocess.run(changed, capture_output=True, text=True, check=False)
            assert ended.returncode == status, ended.stderr
