"""`vyre-dist submit`: run a scan as a job of a Ray cluster."""

from __future__ import annotations

import os

import click

from vyre_dist.cli import log
from vyre_dist.cli.jobs import ADDRESS
from vyre_dist.cli.store_option import STORE_VARIABLE
from vyre_dist.errors import UsageError


@click.command(
    context_settings={"ignore_unknown_options": True},
    short_help="Run a scan as a job of a Ray cluster.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, required=True)
@ADDRESS
@click.option(
    "--working-dir",
    type=click.Path(exists=True, file_okay=False),
    help="Upload this folder, for example with rule packs. The job runs in it, but runs no code of "
    "it.",
)
@click.option(
    "--ship-package",
    is_flag=True,
    help="Send this vyre-dist along, for a cluster that lacks it or has another version.",
)
@click.option("--no-wait", is_flag=True, help="Print the job's id and leave.")
def submit(
    arguments: tuple[str, ...],
    address: str | None,
    working_dir: str | None,
    ship_package: bool,
    no_wait: bool,
) -> int:
    """Run `vyre-dist ARGUMENTS` on a cluster: vyre-dist submit --address http://head:8265 -- scan
    /data.

    Prints the job's output as it comes; the exit code is the scan's. Ctrl-C stops the job. See
    `vyre-dist jobs` for what comes after --no-wait.
    """
    from vyre_dist.actors.jobs import submit_scan
    from vyre_dist.autotune.urls import has_password

    if any(has_password(argument.removeprefix("--store=")) for argument in arguments):
        log.say(
            "warning: a store's password is among the job's arguments, where all who "
            "may list the cluster's "
            f"jobs see it: set {STORE_VARIABLE} in the environment of the cluster's head node "
            "instead"
        )
    if working_dir is not None:
        _keep_key_here(arguments, working_dir)
    return submit_scan(
        address,
        arguments,
        working_dir=working_dir,
        follow=not no_wait,
        ship_package=ship_package,
        announce=lambda job: click.echo(job, err=not no_wait),
        warn=log.say,
    )


def _keep_key_here(arguments: tuple[str, ...], working_dir: str) -> None:
    """Raise UsageError if the folder to upload holds the secret key: the cluster's users could
    read it.
    """
    name = "--secret-key-file"
    for position, argument in enumerate(arguments):
        if argument == name:
            path = "".join(arguments[position + 1 : position + 2])
        elif argument.startswith(f"{name}="):
            path = argument.removeprefix(f"{name}=")
        else:
            continue
        folder = os.path.realpath(working_dir)
        real = os.path.realpath(os.path.join(folder, path))
        if os.path.isfile(real) and os.path.commonpath((folder, real)) == folder:
            raise UsageError(
                f"{name} {path} lies in --working-dir {working_dir}, which is uploaded to the "
                "cluster, where others may "
                "read it: put the key on the cluster's head node yourself, and name it by its "
                "absolute path"
            )
