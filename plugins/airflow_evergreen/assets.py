"""What a model makes, as assets of Airflow: other DAGs are scheduled on them by their URIs."""

from typing import Any, Literal, get_args

from airflow.sdk import Asset

# Validated rows and labels of a batch; its predictions; the version in force.
Product = Literal["rows", "labels", "predictions", "model"]


def asset_of(model_id: str, product: Product) -> Asset:
    """The asset ``evergreen://<model>/<product>``, by its URI alone: who names it so elsewhere means the same one."""
    return Asset(f"evergreen://{model_id}/{product}")


def product_of(outlet: Any) -> tuple[str, Product] | None:
    """The model and the product of one of our assets; None of any other outlet."""
    scheme, _, place = str(getattr(outlet, "uri", "")).partition("://")
    model_id, _, named = place.partition("/")
    return next(((model_id, one) for one in get_args(Product) if scheme == "evergreen" and one == named), None)
