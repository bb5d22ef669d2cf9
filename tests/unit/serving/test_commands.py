"""`evergreen serve` answers other machines only behind a guard, and no model that is not there."""

import logging
from pathlib import Path

import pytest
from click.testing import CliRunner

from evergreen.errors import Refused
from evergreen.serving.commands import serve


@pytest.mark.parametrize(
    ("arguments", "token", "told"),
    [
        (["--host", "0.0.0.0"], None, "callers of other machines would be answered without a guard"),
        (["--host", "example.org"], None, "callers of other machines would be answered without a guard"),
        (["--host", "::"], None, "callers of other machines would be answered without a guard"),
        ([], "short", "found 5 characters; valid: 16 or more"),
        (["--tls-cert", "CERT"], None, "found one without the other"),
        (["--client-ca", "CERT"], None, "found one without the other"),
        (["--tls-cert", "CERT", "--tls-key", "CERT"], None, "cert.pem: [SSL] PEM lib"),
        (["--host", "0.0.0.0"], "a" * 16, "there is no lake"),
        (["--host", "localhost"], None, "there is no lake"),
        (["--host", "::1"], None, "there is no lake"),
    ],
)
def test_what_cannot_be_served_is_refused_in_words(
    arguments: list[str], token: str | None, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cert.pem").touch()
    monkeypatch.setenv("EVERGREEN_HOME", str(tmp_path / "home"))
    if token is None:
        monkeypatch.delenv("EVERGREEN_SERVE_TOKEN", raising=False)
    else:
        monkeypatch.setenv("EVERGREEN_SERVE_TOKEN", token)
    given = [str(tmp_path / "cert.pem") if one == "CERT" else one for one in arguments]
    result = CliRunner().invoke(serve, ["taxi", *given])
    assert isinstance(result.exception, Refused)
    assert told in str(result.exception)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("port", ["65536", "-1", "http"])
def test_what_is_no_port_is_refused(port: str) -> None:
    result = CliRunner().invoke(serve, ["taxi", "--port", port])
    assert result.exit_code == 2
    assert "Invalid value for '--port'" in result.output


def test_what_the_service_does_without_is_told_though_other_commands_tell_errors_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("EVERGREEN_HOME", str(tmp_path))
    caplog.set_level(logging.ERROR)
    caplog.set_level(logging.NOTSET, "evergreen.serving")
    CliRunner().invoke(serve, ["taxi"])
    logging.getLogger("evergreen.serving.champions").warning("the next version cannot be loaded")
    assert "the next version cannot be loaded" in caplog.text
