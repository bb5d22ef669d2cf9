"""`evergreen serve`."""

import ipaddress
import logging
import os
import ssl
import threading
from pathlib import Path

import click

from evergreen.config.locations import Locations, model_roots
from evergreen.config.model_folder import get_model_folder
from evergreen.errors import Refused, needs_extra
from evergreen.terminal import say

_TOKEN = "EVERGREEN_SERVE_TOKEN"  # noqa: S105 - a variable's name


@click.command()
@click.argument("models", metavar="MODEL…", nargs=-1, required=True)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address; others than this machine's want a guard."
)
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(0, 65_535), help="Port; 0 takes a free one."
)
@click.option(
    "--poll",
    default=5.0,
    show_default=True,
    type=click.FloatRange(0.1),
    help="Seconds between two looks at the ledger.",
)
@click.option("--rows", default=1_000, show_default=True, type=click.IntRange(1), help="Most rows of a request.")
@click.option("--body-kb", default=1_000, show_default=True, type=click.IntRange(1), help="Largest request.")
@click.option(
    "--at-once", default=2, show_default=True, type=click.IntRange(1), help="Predictions made at the same time."
)
@click.option(
    "--waiting",
    default=64,
    show_default=True,
    type=click.IntRange(0),
    help="Requests that may wait; one more is answered 503.",
)
@click.option(
    "--seconds", default=5.0, show_default=True, type=click.FloatRange(0.01), help="Longest wait of a request."
)
@click.option(
    "--flush",
    default=5.0,
    show_default=True,
    type=click.FloatRange(0.1),
    help="Seconds after which answers are written down, where config.yaml keeps them; a killed process loses so many.",
)
@click.option(
    "--spool-mb",
    default=256,
    show_default=True,
    type=click.IntRange(1),
    help="Answers that may wait to be taken into the lake; further ones are lost, and counted.",
)
@click.option(
    "--tls-cert", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Certificate of the service."
)
@click.option("--tls-key", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Its key.")
@click.option(
    "--client-ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Whose certificates callers must bring.",
)
def serve(
    models: tuple[str, ...],
    host: str,
    port: int,
    poll: float,
    rows: int,
    body_kb: int,
    at_once: int,
    waiting: int,
    seconds: float,
    flush: float,
    spool_mb: int,
    tls_cert: Path | None,
    tls_key: Path | None,
    client_ca: Path | None,
) -> None:
    """Answer rows over HTTP by the champions of MODELs; a new champion answers as soon as it is promoted."""
    with needs_extra("serve", "evergreen serve"):
        import uvicorn

        from evergreen.serving.answer_log import AnswerLog, keep_flushing
        from evergreen.serving.app import build_app
        from evergreen.serving.service import Limits
    from evergreen.serving.champions import Champion, follow_all
    from evergreen.storage.stores import require_lake

    # A service runs unseen: what it does without, and what waits, is told as errors are.
    log = logging.getLogger("evergreen.serving")
    log.setLevel(min(log.getEffectiveLevel(), logging.WARNING))
    token = os.environ.get(_TOKEN)
    _require_guard(host, token, tls_cert, tls_key, client_ca)
    at = Locations.from_environment()
    require_lake(at, registry=True)
    champions = {name: Champion(get_model_folder(name, model_roots()), at) for name in models}
    for name, champion in champions.items():
        champion.follow()
        current = champion.current
        told = f"version {current.version} answers" if current else f"nobody answers yet: {champion.trouble}"
        say(f"{name}  {told}")
    keeping = {name: one.model for name, one in champions.items() if one.model.config.serving.keeps}
    logs = {name: AnswerLog(model, at, spool_mb=spool_mb) for name, model in keeping.items()}
    app = build_app(champions, Limits(rows, body_kb * 1_000, at_once, waiting, seconds), token, at.env, logs)
    ended = threading.Event()
    follower = threading.Thread(target=follow_all, args=(champions.values(), poll, ended), daemon=True)
    follower.start()
    if logs:
        threading.Thread(target=keep_flushing, args=(logs.values(), flush, ended), daemon=True).start()
    try:
        uvicorn.run(
            app, host=host, port=port, access_log=False, log_level="info",
            ssl_certfile=tls_cert, ssl_keyfile=tls_key, ssl_ca_certs=str(client_ca) if client_ca else None,
            ssl_cert_reqs=ssl.CERT_REQUIRED if client_ca else ssl.CERT_NONE,
        )  # fmt: skip
    finally:
        ended.set()


def _require_guard(host: str, token: str | None, cert: Path | None, key: Path | None, client_ca: Path | None) -> None:
    """Refuse to answer other machines' callers without asking who they are.

    :raises Refused: saying what is missing.
    """
    if (cert is None) != (key is None) or (client_ca is not None and cert is None):
        raise Refused("--tls-cert, --tls-key, --client-ca: found one without the other; valid: both, or all three")
    if cert is not None and key is not None:
        _require_readable(cert, key, client_ca)
    if token is not None and len(token) < 16:
        raise Refused(f"{_TOKEN}: found {len(token)} characters; valid: 16 or more, such as openssl rand -hex 32")
    if not (_is_loopback(host) or token or client_ca):
        raise Refused(
            f"--host {host}: callers of other machines would be answered without a guard; set {_TOKEN}, or ask for "
            "their certificates (--tls-cert, --tls-key, --client-ca)"
        )


def _require_readable(cert: Path, key: Path, client_ca: Path | None) -> None:
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        if client_ca is not None:
            context.load_verify_locations(client_ca)
    except OSError as error:
        named = ", ".join(str(file) for file in (cert, key, client_ca) if file is not None)
        raise Refused(f"--tls-cert, --tls-key, --client-ca: {named}: {error}; valid: PEM, a key of its cert") from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
