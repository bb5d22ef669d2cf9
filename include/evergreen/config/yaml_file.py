"""YAML as a contract needs it: each field once, yes and no as texts, nothing that unfolds without end."""

import re
from pathlib import Path
from typing import Any

import yaml

from evergreen.config.regular_files import read_regular
from evergreen.errors import ConfigInvalid

# Values in a file, with those that aliases stand for: some hundred times what a large contract has.
_MOST_VALUES = 100_000


class _FieldTwice(ValueError):
    """A mapping names a field twice."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which would take the last of two equal keys without a word.

    Truths are true and false alone, as in YAML 1.2: to PyYAML a column called ``no`` and a value ``Yes`` are truths.
    """

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key.value, str):
                continue
            line = key.start_mark.line + 1
            if key.value in lines:
                found = f"found in line {lines[key.value]} and again in line {line}"
                raise _FieldTwice(f"{key.value}: {found}; valid: each field once")
            lines[key.value] = line
        return node


_Loader.yaml_implicit_resolvers = {
    first: [(tag, fits) for tag, fits in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_TRUTHS = re.compile(r"(true|True|TRUE|false|False|FALSE)\Z")
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", _TRUTHS, list("tTfF"))


def read_yaml(path: Path) -> Any:
    """The content of a YAML file; None where it says nothing.

    :raises ConfigInvalid: naming the line where there is one, and what to do.
    """
    try:
        content = read_regular(path)
    except OSError as error:
        raise ConfigInvalid(str(path), [f"cannot be read: {error.strerror}"]) from error
    try:
        # A safe loader, of which ruff knows by its name alone.
        read = yaml.load(content.decode("utf-8-sig"), _Loader)  # noqa: S506
    except UnicodeDecodeError as error:
        line, found = content[: error.start].count(b"\n") + 1, content[error.start : error.start + 1].hex()
        problem = f"line {line}: is not YAML: byte 0x{found} is not UTF-8; save it as text in UTF-8"
        raise ConfigInvalid(str(path), [problem]) from error
    except _FieldTwice as error:
        raise ConfigInvalid(str(path), [str(error)]) from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigInvalid(str(path), [f"is not YAML: {' '.join(str(error).split())}"]) from error
    except RecursionError as error:
        raise ConfigInvalid(
            str(path), ["is not YAML: nested too deeply; valid: the fields of docs/configuration.md"]
        ) from error
    _require_small(path, read)
    return read


def _require_small(path: Path, read: Any) -> None:
    """Refuse aliases of aliases, a few lines of which unfold to more than any machine holds."""
    left, seen = [read], 0
    while left:
        value, seen = left.pop(), seen + 1
        if seen > _MOST_VALUES:
            problem = (
                f"unfolds to more than {_MOST_VALUES:,} values; valid: each value written out, without aliases (*)"
            )
            raise ConfigInvalid(str(path), [problem])
        if isinstance(value, dict | list):
            left.extend(value.values() if isinstance(value, dict) else value)
