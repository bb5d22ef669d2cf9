"""What docker-compose.yaml, .env.example and the Dockerfile say, read as compose and Docker read them."""

import base64
import os
import re
import secrets
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
# Innermost first: a default may name another variable.
_VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?::([-?])([^${}]*))?\}")


def make_env(path: Path, **settings: str) -> dict[str, str]:
    """A .env made of .env.example as it tells people to: each empty name gets a value."""
    text = (ROOT / ".env.example").read_text()
    values = {name: secrets.token_hex(16) for name in re.findall(r"^(\w+)=$", text, re.MULTILINE)}
    values["AIRFLOW_FERNET_KEY"] = base64.urlsafe_b64encode(os.urandom(32)).decode()
    values |= settings
    path.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    return values


def interpolate(node: Any, values: dict[str, str]) -> Any:
    """Put variables in as compose does.

    :raises KeyError: if one that has no default is unset or empty.
    """
    if isinstance(node, dict):
        return {key: interpolate(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [interpolate(value, values) for value in node]

    def replace(found: re.Match[str]) -> str:
        name, form, text = found.groups()
        if not values.get(name) and form == "-":
            return str(text)
        if not values.get(name):
            raise KeyError(f"{name}: {text}")
        return values[name]

    if not isinstance(node, str):
        return node
    while (put_in := _VARIABLE.sub(replace, node)) != node:
        node = put_in
    return node.replace("$$", "$")


def image_environment() -> dict[str, str]:
    """What the Dockerfile's ENV sets."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return dict(re.findall(r"(\w+)=(\S+)", re.findall(r"^ENV (.*)$", text, re.MULTILINE)[0]))
