"""YAML as a contract needs it: each field once, yes and no as texts, nothing that unfolds without end."""

import re
from pathlib import Path
from typing import Any

import yaml
from yaml._yaml import CParser
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from evergreen.config.regular_files import read_regular
from evergreen.errors import ConfigInvalid

# Values in a file, with those that aliases stand for: some hundred times what a large contract has.
_MOST_VALUES = 100_000


class _FieldTwice(ValueError):
    """A mapping names a field twice."""


class _Loader(Composer, CParser, SafeConstructor, Resolver):
    """PyYAML's safe loader, which would take the last of two equal keys without a word.

    libyaml reads the text, in a seventh of the time. Its own composer is left out: it runs out of stack, and ends the
    process, where a file is nested deeply.

    Truths are true and false alone, as in YAML 1.2: to PyYAML a column called ``no`` and a value ``Yes`` are truths.
    Nor are 1:30 and 010 numbers, a time and a code, which to PyYAML are 90 and 8.
    """

    def __init__(self, stream: str) -> None:
        CParser.__init__(self, stream)
        Composer.__init__(self)
        SafeConstructor.__init__(self)
        Resolver.__init__(self)

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


_OURS = {f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float")}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, fits) for tag, fits in resolvers if tag not in _OURS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_TRUTHS = re.compile(r"(true|True|TRUE|false|False|FALSE)\Z")
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", _TRUTHS, list("tTfF"))
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F]+)\Z")
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _WHOLE, list("-+0123456789"))
# Those alone that PyYAML takes for numbers too: what it has written without quotes is read as it was.
_BROKEN = re.compile(
    r"([-+]?((0|[1-9][0-9_]*)\.[0-9_]*|\.[0-9][0-9_]*)([eE][-+][0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))\Z"
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _BROKEN, list("-+.0123456789"))


def read_yaml(path: Path) -> Any:
    """The content of a YAML file; None where it says nothing.

    :raises ConfigInvalid: naming the line where there is one, and what to do.
    """
    try:
        content = read_regular(path)
    except OSError as error:
        raise ConfigInvalid(str(path), [f"cannot be read: {error.strerror}"]) from error
    try:
        read = _Loader(content.decode("utf-8-sig")).get_single_data()
    except UnicodeDecodeError as error:
        line, found = content[: error.start].count(b"\n") + 1, content[error.start : error.start + 1].hex()
        problem = f"line {line}: is not YAML: byte 0x{found} is not UTF-8; save it as text in UTF-8"
        raise ConfigInvalid(str(path), [problem]) from error
    except _FieldTwice as error:
        raise ConfigInvalid(str(path), [str(error)]) from error
    except (yaml.YAMLError, ValueError) as error:
        told = " ".join(str(error).split())
        if (mark := getattr(error, "problem_mark", None)) is not None:
            lines = content.decode("utf-8-sig").splitlines()
            told += f"; found {lines[mark.line][:80]!r}" if mark.line < len(lines) else "; the file ends there"
        raise ConfigInvalid(str(path), [f"is not YAML: {told}"]) from error
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
