"""pervade serve: models over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pervade.cli.options import CheckpointOption, DeviceOption, RunsOption, TrustOption, finite, waiting
from pervade.core.terminal import echo


def add_to(app: typer.Typer) -> None:
    app.command()(serve)


def serve(
    runs_given: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN…", help="Runs: their folders, or their names inside --runs; or exported graphs (model.onnx)."
        ),
    ],
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0: any that is free.")] = 8000,
    max_wait: Annotated[
        str, typer.Option(metavar="TIME", help="How long an input waits for others to be answered with: 5ms, 0.1s.")
    ] = "5ms",
    max_batch: Annotated[int, typer.Option(min=1, max=4096, help="Inputs that are answered together, at most.")] = 32,
    max_queue: Annotated[
        int, typer.Option(min=1, max=10**6, help="Inputs of a model that wait, at most; more are told to come again.")
    ] = 256,
    max_inputs: Annotated[int, typer.Option(min=1, max=10**6, help="Inputs of one request, at most.")] = 256,
    max_body: Annotated[float, typer.Option(min=0.001, max=10**5, callback=finite, help="MB of a request.")] = 64.0,
    deadline: Annotated[str, typer.Option(metavar="TIME", help="How long an answer may take.")] = "60s",
    stop_within: Annotated[
        str, typer.Option(metavar="TIME", help="How long requests under way have once the server is asked to stop.")
    ] = "30s",
    max_pixels: Annotated[int, typer.Option(min=1, max=10**9, help="Pixels of a picture, at most.")] = 50_000_000,
    max_seconds: Annotated[
        float, typer.Option(min=0.1, max=10**6, callback=finite, help="Seconds of a recording, at most.")
    ] = 600.0,
    cache_tokens: Annotated[
        int | None,
        typer.Option(min=1, max=10**9, help="Tokens of all texts under way that a model which writes keeps, at most."),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="Tokens, one a line, of which requests must bear one; needed beyond loopback.")
    ] = None,
    admin_token_file: Annotated[
        Path | None, typer.Option(help="The same for what changes the server; without, one is made and printed.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="A certificate in PEM form, to be asked by https.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key.")] = None,
    behind_tls: Annotated[
        bool, typer.Option("--behind-tls", help="A proxy or an ingress speaks TLS for this server.")
    ] = False,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A further name by which the server may be called.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Threads that models compute with; unless given, one a core.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Open the models, say what would be served, and end.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch/--no-watch", help="Compare what comes in with what the model learnt from.")
    ] = True,
    checkpoint: CheckpointOption = None,
    device: DeviceOption = "auto",
    runs: RunsOption = Path("runs"),
    trust_remote_code: TrustOption = False,
) -> None:
    """Answer over HTTP what predict answers: JSON and files, several runs in one process, inputs batched."""
    from pervade.core import runtime
    from pervade.core.errors import ConfigError
    from pervade.serve import exposure

    exposure.require_installed()
    from pervade.run import serving
    from pervade.serve.settings import Settings

    times = {"--max-wait": max_wait, "--deadline": deadline, "--stop-within": stop_within}
    waits, answers, stops = (waiting(flag, text) for flag, text in times.items())
    if max_inputs > max_queue:
        raise ConfigError(f"--max-inputs {max_inputs} is more than --max-queue {max_queue}; no such request could wait")
    settings = Settings(
        host=host,
        port=port,
        threads=threads,
        max_batch=max_batch,
        max_wait=waits,
        max_queue=max_queue,
        max_inputs=max_inputs,
        max_body=round(max_body * 2**20),
        deadline=answers,
        stop_within=stops,
        max_pixels=max_pixels,
        max_seconds=max_seconds,
        token_file=token_file,
        admin_token_file=admin_token_file,
        tls_cert=tls_cert,
        tls_key=tls_key,
        behind_tls=behind_tls,
        allow_host=tuple(allow_host or ()),
        watch=watch,
    )
    runtime.rest_when_idle()
    runtime.prepare(threads)
    sources = [serving.source(given, runs, checkpoint, device, cache_tokens=cache_tokens) for given in runs_given]
    serving.serve(sources, settings, echo, check)
