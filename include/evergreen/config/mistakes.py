"""What is wrong with a contract, one line a mistake: field, what was found, what is valid."""

import difflib
import re
import reprlib
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import ValidationError

from evergreen.config.fields import Contract, Misfit

# Forms of one field, which pydantic names in the path of a mistake.
_TAGS = ("none form", "inside form", "files form", "query form")
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80
# Pydantic's words for what a user of YAML calls otherwise.
_WORDS = {
    "a valid dictionary": "a mapping such as {name: value}",
    "a valid tuple": "a list such as [a, b]",
    "a valid string": "a text; in quotes where YAML reads it otherwise",
    "Keys should be strings": "a text for a field's name; in quotes where YAML reads it otherwise",
}
_NAMES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", type(None): "none"}


def describe_mistakes(error: ValidationError, contract: type[Contract]) -> list[str]:
    """One line a mistake: field, what was found, what is valid."""
    lines = []
    mistakes = error.errors()
    for mistake in mistakes:
        # A list whose only entry is wrong is empty to pydantic; one mistake is one line.
        if mistake["type"] == "too_short" and any(
            other["loc"][: len(mistake["loc"])] == mistake["loc"] for other in mistakes if other is not mistake
        ):
            continue
        path = tuple(part for part in mistake["loc"] if part not in _TAGS)
        named = ".".join(str(part) for part in path) or "the file"
        lines.append(f"{named}: {_describe(mistake, path, contract)}")
    return lines


def _describe(mistake: Any, path: tuple[int | str, ...], contract: type[Contract]) -> str:
    message = mistake["msg"].removeprefix("Input should be ")
    found = f"found {_show(mistake['input'])}"
    match mistake["type"]:
        case "extra_forbidden":
            known = _fields_at(path[:-1], contract)
            if path[-1] in known:
                return "unknown field; it belongs to another form of this part; see docs/configuration.md"
            return f"unknown field; {suggest(str(path[-1]), known)}"
        case "missing":
            return f"missing; valid: {_valid(_kinds_at(path, contract))}"
        case "value_error":
            error = mistake["ctx"]["error"]
            # Where fields disagree, the message says which; all that stands beside them would bury it.
            return str(error) if isinstance(error, Misfit) else f"{found}; {error}"
        case "union_tag_invalid":
            tags = mistake["ctx"]["expected_tags"]
            close = difflib.get_close_matches(str(mistake["ctx"]["tag"]), [tag.strip(" '") for tag in tags.split(",")])
            return f"found {mistake['ctx']['tag']!r}; {f'did you mean {close[0]}? ' if close else ''}valid: {tags}"
        case "model_type" | "model_attributes_type" | "dataclass_type" | "dict_type":
            return f"{found}; valid: {_valid(_kinds_at(path, contract))}"
        case _:
            return f"{found}; valid: {_WORDS.get(message, message)}"


def _show(value: Any) -> str:
    """A value in short. A URL may stand where it should not, and what in it is a password cannot be told."""
    shown = _SHORT.repr(value)
    plain = isinstance(value, str) and "@" not in value and "password" not in value.lower()
    return shown if plain else re.sub(r"://[^\s'\"]*", "://***", shown)


def _kinds_at(path: tuple[int | str, ...], contract: type[Contract]) -> list[Any]:
    """What may stand at a path of fields: contracts, and other types as they are annotated."""
    kinds: list[Any] = [contract]
    for part in path:
        kinds = [below for kind in kinds for below in _below(kind, part)]
    return kinds


def _below(kind: Any, part: int | str) -> list[Any]:
    if get_origin(kind) is dict:
        return _forms(get_args(kind)[1])
    if get_origin(kind) is tuple:
        return _forms(get_args(kind)[0])
    if not _is_contract(kind):
        return []
    fields = kind.model_fields
    if part in fields:
        return _forms(fields[part].annotation)
    # Of several contracts for one field, pydantic names the one that was meant.
    named = any(get_origin(field.annotation) is Literal and field.default == part for field in fields.values())
    return [kind] if named else []


def _forms(annotation: Any) -> list[Any]:
    """An annotation without what says how it is read, in each of its forms."""
    if get_origin(annotation) is Annotated:
        return _forms(get_args(annotation)[0])
    if get_origin(annotation) in (dict, tuple, Literal) or not get_args(annotation):
        return [annotation]
    return [form for one in get_args(annotation) for form in _forms(one)]


def _is_contract(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Contract)


def _fields_at(path: tuple[int | str, ...], contract: type[Contract]) -> list[str]:
    return [name for kind in _kinds_at(path, contract) if _is_contract(kind) for name in kind.model_fields]


def suggest(name: str, known: list[str]) -> str:
    """The known name that somebody may have meant; all of them where none is near."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"valid: {', '.join(known) or 'none'}"


def _valid(kinds: list[Any]) -> str:
    """What may be written where nothing, or something else, was found."""
    forms = []
    for kind in kinds:
        if _is_contract(kind):
            needed = [name for name, field in kind.model_fields.items() if field.is_required()]
            forms.append(f"a mapping with {', '.join(needed or list(kind.model_fields))}")
        elif get_origin(kind) is Literal:
            forms.append("one of " + ", ".join(str(one) for one in get_args(kind)))
        elif get_origin(kind) is dict:
            forms.append("a mapping such as {name: value}")
        else:
            forms.append(_NAMES.get(kind, "a list" if get_origin(kind) is tuple else "see docs/configuration.md"))
    return f"{' or '.join(forms) or 'a value'} (see docs/configuration.md)"
