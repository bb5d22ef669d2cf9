"""The contract of a model as OpenAPI has it, with an example row that is nobody's data."""

from datetime import UTC, datetime
from typing import Any

from evergreen.config.fields import ColumnType
from evergreen.config.model_folder import ModelFolder
from evergreen.features.signature import example_of
from evergreen.serving.request import RowContract

_KINDS: dict[str, dict[str, Any]] = {
    "string": {"type": "string"},
    "category": {"type": ["string", "number"]},
    "float": {"type": "number"},
    "integer": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "timestamp": {"type": "string", "format": "date-time"},
    "date": {"type": "string", "format": "date"},
}
_ERROR = {
    "type": "object",
    "properties": {
        "request_id": {"type": "string"},
        "error": {"type": "string"},
        "mistakes": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "row": {"type": ["integer", "null"]},
                    "field": {"type": ["string", "null"]},
                    "found": {"type": "string"},
                    "valid": {"type": "string"},
                },
            },
        },
    },
}
_ANSWER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "request_id": {"type": "string"},
        "model": {"type": "string"},
        "version": {"type": "integer"},
        "promotion": {"type": "integer"},
        "batch": {
            "type": "string",
            "description": "To which the rows are taken to belong: the one that is scored next.",
        },
        "predictions": {"type": "array", "items": {"type": "number"}, "description": "One a row, in their order."},
    },
}
_EXPLAINED = {
    **_ANSWER,
    "properties": {
        **_ANSWER["properties"],
        "explanations": {
            "type": "array",
            "items": {"type": "object", "additionalProperties": {"type": "number"}},
            "description": "One a row: by feature what it brings to the prediction.",
        },
        "method": {"type": "string", "enum": ["SHAP", "occlusion"]},
        "scale": {
            "type": "string",
            "enum": ["prediction", "log odds", "logarithm"],
            "description": "Of what is brought: SHAP values and the base add up to the prediction on it.",
        },
        "base": {"type": ["number", "null"], "description": "Null of occlusion, which adds up to nothing."},
        "why": {"type": "string", "description": "Why it is not SHAP, if it is not."},
    },
}
_PROBLEMS = {
    401: "No token, or another.",
    404: "No such model or version.",
    413: "Larger than a request may be.",
    422: "Rows that do not fit the contract.",
    500: "The version's own code failed.",
    501: "The version cannot be explained.",
    503: "No version answers yet, or too many requests wait.",
}


def describe_contract(model: ModelFolder, contract: RowContract) -> dict[str, Any]:
    """What a row must be, for whoever asks about a model."""
    return {
        "title": model.config.title,
        "row": _row_schema(contract),
        "rows": contract.most_rows,
        "rules": [f"{rule.column}: {rule.valid}" for rule in contract.rules],
        "asked_of_batches_only": list(contract.unasked),
    }


def describe_route(model: ModelFolder, contract: RowContract, batch: str, way: str) -> dict[str, Any]:
    """What OpenAPI says of a model's routes, as arguments of a route.

    :param batch: to which the example's row belongs.
    :param way: predict or explain.
    """
    body = {
        "type": "object",
        "required": ["rows"],
        "additionalProperties": False,
        "properties": {
            "rows": {"type": "array", "minItems": 1, "maxItems": contract.most_rows, "items": _row_schema(contract)}
        },
    }
    content = {"application/json": {"schema": body, "example": {"rows": [example_row(model, batch)]}}}
    answer = _said("Predictions, and who made them.", _ANSWER)
    if way == "explain":
        answer = _said("What each feature brings to the prediction.", _EXPLAINED)
    problems = {status: _said(told, _ERROR) for status, told in _PROBLEMS.items() if way == "explain" or status != 501}
    return {
        "tags": [model.id],
        "description": model.config.title,
        "openapi_extra": {"requestBody": {"required": True, "content": content}},
        "responses": {200: answer, **problems},
    }


def example_row(model: ModelFolder, batch: str) -> dict[str, Any]:
    """A row of a batch that the contract takes, made of the declared ranges and values."""
    rows = model.config.rows
    row = example_of(rows.columns, model.expectations).iloc[0].to_dict()
    row[rows.event_time] = model.config.calendar.moment(batch).replace(tzinfo=None)
    return {name: _as_json(row[name], declared) for name, declared in rows.columns.items()}


def _as_json(value: Any, declared: ColumnType) -> Any:
    if declared.type in ("timestamp", "date"):
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if declared.epoch:
            return int(moment.replace(tzinfo=UTC).timestamp() * 1_000_000) // declared.epoch
        if declared.format:
            return moment.strftime(declared.format)
        return moment.isoformat() if declared.type == "timestamp" else moment.date().isoformat()
    return value.item() if hasattr(value, "item") else value


def _row_schema(contract: RowContract) -> dict[str, Any]:
    named = {name: _column_schema(name, declared, contract) for name, declared in contract.columns.items()}
    required = [name for name, declared in contract.columns.items() if not declared.has_default]
    return {"type": "object", "required": required, "additionalProperties": False, "properties": named}


def _column_schema(name: str, declared: ColumnType, contract: RowContract) -> dict[str, Any]:
    schema = dict(_KINDS[declared.type])
    if declared.format:
        schema = {"type": "number" if declared.epoch else "string", "description": f"Written as {declared.format}."}
    if declared.yes:
        schema = {"type": ["boolean", "string"], "description": f"{declared.yes[0]} or {(declared.no or ('',))[0]}."}
    if name not in contract.required:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        schema["type"] = [*kinds, "null"]
    return schema


def _said(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
