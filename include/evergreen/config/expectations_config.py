"""expectations.yaml: what must hold, in Great Expectations' own vocabulary.

A list entry is ``{expect_…: {arguments}}``. ``severity`` says what a failure does: ``warning`` sends the failing rows
to quarantine, ``critical`` rejects the batch, ``info`` is noted in its record, as is a warning that is about no single
row. Where it is left out, an expectation about single rows is a warning and one about the whole batch is critical.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from evergreen.config.fields import Contract

Severity = Literal["info", "warning", "critical"]


class ExpectationConfig(Contract):
    """One expectation: its type, its arguments, and what its failure does (None: by its kind)."""

    type: str
    arguments: dict[str, Any] = {}
    severity: Severity | None = None


def _parse_expectation(value: Any) -> Any:
    if isinstance(value, dict) and len(value) == 1 and str(next(iter(value))).startswith("expect_"):
        name, arguments = next(iter(value.items()))
        if not isinstance(arguments, dict | None):
            raise ValueError("valid: {expect_…: {argument: value}}")
        arguments = dict(arguments or {})
        return {"type": name, "severity": arguments.pop("severity", None), "arguments": arguments}
    if not (isinstance(value, dict) and "type" in value):
        raise ValueError("valid: {expect_…: {argument: value}}, one expectation an entry")
    return value


Expectation = Annotated[ExpectationConfig, BeforeValidator(_parse_expectation)]


class ExpectationsConfig(Contract):
    """What must hold of rows and of labels."""

    rows: tuple[Expectation, ...] = ()
    labels: tuple[Expectation, ...] = ()
