"""docs/configuration.md: every field of config.yaml, as the contract itself declares and describes it."""

import inspect
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from evergreen.config.contract import ModelConfig
from evergreen.config.feeds_config import FilesConfig, LabelFeed, QueryConfig
from evergreen.config.fields import ColumnType, Contract
from evergreen.config.patterns import FilePattern

PAGE = Path(__file__).parent.parent / "docs" / "configuration.md"
_BEGIN, _END = "<!-- fields -->\n", "<!-- /fields -->"
_HEAD = "| field | valid | default | meaning |\n|---|---|---|---|\n"
_NAMES = {
    bool: "`true`, `false`",
    int: "whole number",
    float: "percentage",
    str: "text",
    datetime: "date",
    timedelta: "duration",
    FilePattern: "file pattern",
    ColumnType: "column",
    Any: "value of the column's type",
}
_BOUNDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
_UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1), "s": timedelta(seconds=1)}


def describe_fields() -> str:
    """The fields as Markdown: a section for each part of config.yaml, a table for each form that it may have."""
    own, parts = [], []
    for name, field in ModelConfig.model_fields.items():
        forms = [form for form in _forms(field.annotation) if _is_contract(form)]
        if not forms:
            own.append(_row(name, field))
        for form in forms:
            title = "\n\n".join(filter(None, [f"### {name}", field.description])) if form is forms[0] else ""
            parts.append(
                f"{title}\n\n{_told(form)}{_like_source(form)}\n\n{_HEAD}{''.join(_rows(name, form))}".lstrip()
            )
    return f"### The model\n\n{_HEAD}{''.join(own)}\n" + "\n".join(parts)


def put_fields(page: str) -> str:
    """A page with the fields between its two marks."""
    pattern = re.compile(re.escape(_BEGIN) + ".*?" + re.escape(_END), re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"{PAGE}: no fields; expected the lines {_BEGIN.strip()} and {_END}")
    return pattern.sub(lambda _: f"{_BEGIN}\n{describe_fields()}\n{_END}", page)


def _shared(contract: type[Contract]) -> list[str]:
    """The fields that a feed of labels has as a source has them."""
    if not issubclass(contract, LabelFeed):
        return []
    source = FilesConfig if issubclass(contract, FilesConfig) else QueryConfig
    return [name for name, one in source.model_fields.items() if contract.model_fields[name].default == one.default]


def _like_source(contract: type[Contract]) -> str:
    shared = ", ".join(f"`{name}`" for name in _shared(contract))
    return f" {shared} are those of `source`." if shared else ""


def _rows(path: str, contract: type[Contract]) -> Iterator[str]:
    for name, field in contract.model_fields.items():
        place = f"{path}.{name}"
        below = [form for form in _forms(field.annotation) if _is_contract(form)]
        if name in _shared(contract) or name == "policy":
            continue
        if field.description is not None:
            yield _row(place, field)
        for form in below:
            if get_origin(_bare(field.annotation)) is tuple:
                kind = form.model_fields["policy"].default
                yield f"| `{place}.{kind}` | policy | | {_told(form)} |\n"
                yield from _rows(f"{place}.{kind}", form)
            elif get_origin(_bare(field.annotation)) is dict:
                # A target is a column, too: the columns are told where the rows are.
                yield from () if path == "labels" else _rows(f"{place}.NAME", form)
            else:
                yield from _rows(place, form)


def _row(place: str, field: FieldInfo) -> str:
    kind = _kind(field.annotation)
    as_written = float if kind == "percentage" else int
    bounds = [f"{told} {_value(as_written(one))}" for key, told in _BOUNDS.items() for one in _bounds(field, key)]
    valid = ", ".join([kind, *bounds]).replace("above `0`", "at least `1`")
    default = "**needed**" if field.is_required() else _value(field.default)
    assert field.description is not None, f"{place}: no description"
    return f"| `{place}` | {valid} | {default} | {field.description} |\n"


def _bounds(field: FieldInfo, key: str) -> list[Any]:
    found = [*field.metadata, *(one for part in get_args(field.annotation) for one in _metadata(part))]
    return [getattr(one, key) for one in found if getattr(one, key, None) is not None]


def _metadata(annotation: Any) -> list[Any]:
    if get_origin(annotation) is not Annotated:
        return []
    said = [
        one for part in annotation.__metadata__ for one in (part.metadata if isinstance(part, FieldInfo) else [part])
    ]
    return [*said, *_metadata(get_args(annotation)[0])]


def _kind(annotation: Any) -> str:
    """What may be written, in words."""
    bare = _bare(annotation)
    arguments = [one for one in get_args(bare) if one is not type(None)]
    if get_origin(bare) is Literal:
        return ", ".join(f"`{one}`" for one in arguments)
    if get_origin(bare) is tuple:
        return "list of policies" if _is_contract(_forms(arguments[0])[0]) else "list"
    if get_origin(bare) is dict:
        kind = _kind(arguments[1])
        return "column by name" if kind == "column" else f"by column: {kind}"
    if arguments:
        return " or ".join(_kind(one) for one in arguments)
    return _NAMES.get(bare, "mapping")


def _value(value: Any) -> str:
    """A value as config.yaml writes it."""
    if value is None or value in ((), {}, ""):
        return "none"
    if isinstance(value, timedelta):
        unit, length = next((unit, length) for unit, length in _UNITS.items() if value % length == timedelta(0))
        return f"`{value // length}{unit}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{value:.0%}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(repr(one) for one in value)}]`".replace("'", '"')
    return f"`{value}`"


def _told(contract: type[Contract]) -> str:
    """What a part is, by its own docstring."""
    told = (inspect.getdoc(contract) or "").partition("\n\n")[0].replace("``", "`")
    return " ".join(told.split())


def _bare(annotation: Any) -> Any:
    """An annotation without None and without what says how it is read."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    others = [one for one in get_args(annotation) if one is not type(None)]
    if len(others) == 1 and get_origin(annotation) not in (tuple, dict, Literal):
        return _bare(others[0])
    return annotation


def _forms(annotation: Any) -> list[Any]:
    """Every kind of value that an annotation lets in, below lists and mappings, too."""
    bare = _bare(annotation)
    if get_origin(bare) is Literal or not get_args(bare):
        return [bare]
    parts = get_args(bare)[1:] if get_origin(bare) is dict else get_args(bare)
    return [form for one in parts for form in _forms(one)]


def _is_contract(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Contract)


if __name__ == "__main__":
    PAGE.write_text(put_fields(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
