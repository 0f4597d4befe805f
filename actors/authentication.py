"""Ray's tokens: whether a cluster asks for one, and having Ray send the one that is there.

Ray sends none unless RAY_AUTH_MODE says so, tries for long to reach a cluster that wants one, and
then does not say why.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]
from ray.exceptions import AuthenticationError

_MODE = "RAY_AUTH_MODE"
_TOKEN = "RAY_AUTH_TOKEN"  # noqa: S105 (a variable's name)
_TOKEN_FILE = "RAY_AUTH_TOKEN_PATH"  # noqa: S105

HOW = f"give its token: {_TOKEN_FILE} names the file that holds it, or {_TOKEN} is the token itself"
"""What to do about a cluster that asks for a token."""

_ANSWER_SECONDS = 5.0
# calls without an argument, that a head, and its server of clients, answer
_OF_A_HEAD = "/ray.rpc.NodeInfoGcsService/GetClusterId"
_OF_CLIENTS_SERVER = "/ray.rpc.RayletDriver/ClusterInfo"

_set_here = False


def settle(target: str, *, client: bool = False) -> str:
    """See to it that Ray can connect to the host:port; "" or why it can't.

    `client`: it serves ray:// there.

    Nobody who answers there is no reason: Ray says that itself.
    """
    asked = asks(target, client)
    if reason := use_token_if(asked):
        return reason
    if asked and asks(target, client, token_head()):
        return f"it does not take the token {_source()}: {HOW}"
    return ""


def use_token_if(asked: bool | None) -> str:
    """Have Ray send its token if a cluster asks for one; "" or why it can't.

    `asked`: None for not known.

    It is told to Ray by RAY_AUTH_MODE, unless the user has set that, and taken back for the next
    cluster.
    """
    global _set_here
    if _set_here:
        os.environ.pop(_MODE, None)
    _set_here = False
    mode = os.environ.get(_MODE)
    if asked and mode is not None and mode.lower() != "token":
        return (
            f"it asks for a token, and {_MODE}={mode} keeps Ray from sending one: unset it, and "
            f"{HOW}"
        )
    if asked and not token_head():
        return f"it asks for a token, and there is none {_source()}: {HOW}"
    if asked is not None and mode is None:
        _set_here = True
        # to be said also where none is asked for: for this machine's cluster Ray takes a token that
        # is there for a sign, and would turn away workers that have none
        os.environ[_MODE] = "token" if asked else "disabled"
    # both have read the environment, or the token's file, before
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()
    return ""


def let_ray_choose() -> None:
    """Leave RAY_AUTH_MODE to Ray, which is about to start a cluster and sets it for that one."""
    global _set_here
    use_token_if(None)
    _set_here = _MODE not in os.environ


def token_head() -> Sequence[tuple[str, str]]:
    """The token that Ray would send, as the fields of a call's head; nothing if there is none."""
    loader = AuthenticationTokenLoader.instance()
    loader.reset_cache()
    try:
        if loader.has_token(ignore_auth_mode=True):
            return tuple(loader.get_token_for_http_header().items())
    except AuthenticationError:
        pass  # RAY_AUTH_TOKEN_PATH names a file that can't be read
    return ()


def _source() -> str:
    if _TOKEN in os.environ:
        return f"in {_TOKEN}"
    return f"in {os.environ.get(_TOKEN_FILE) or os.path.expanduser('~/.ray/auth_token')}"


def asks(target: str, client: bool = False, head: Sequence[tuple[str, str]] = ()) -> bool | None:
    """Whether a call with that head is refused for want of a token.

    None when nobody answers there as a cluster does.
    """
    import grpc

    method = _OF_CLIENTS_SERVER if client else _OF_A_HEAD
    with grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel:
        call = channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
        try:
            call(b"", timeout=_ANSWER_SECONDS, metadata=[(k.lower(), v) for k, v in head])
        except grpc.RpcError as error:
            return True if error.code() == grpc.StatusCode.UNAUTHENTICATED else None
    return False


def token_without_a_file() -> dict[str, str]:
    """Environment variables with a token for a local cluster, where Ray can't keep one in a file.

    That is so without a home folder, or with one that can't be written; elsewhere there is nothing
    to set. The token lives as long as the cluster, in its processes' environment, which nobody but
    this user can read.
    """
    try:
        protect_token_file()
    except (OSError, RuntimeError):  # RuntimeError: of Path.home
        return {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
    return {}


def protect_token_file() -> None:
    """See to it that only its owner can read the token that Ray guards local clusters with.

    Ray creates the file where it is missing, with the mode that the umask leaves, often readable
    for everybody, and never changes it. Other places (RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH) are
    their owner's business. Raises OSError where there can be no such file, or none that this user
    can read, and RuntimeError where there is no home folder.
    """
    if os.environ.get("RAY_AUTH_MODE", "token") != "token":
        return
    if "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ:
        return
    path = Path.home() / ".ray" / "auth_token"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        found = path.stat()
        if found.st_uid == os.geteuid() and found.st_mode & 0o077:
            path.chmod(0o600)
        if not found.st_size or not os.access(path, os.R_OK):
            raise PermissionError(
                errno.EACCES, "there is no token in it that this user can read", str(path)
            ) from None
        return
    try:
        with os.fdopen(descriptor, "w") as file:
            # in Ray's own format
            file.write(secrets.token_hex(32))
    except OSError:
        # an empty file would be taken for a token by all who come later
        path.unlink(missing_ok=True)
        raise
