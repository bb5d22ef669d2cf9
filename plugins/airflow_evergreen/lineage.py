"""What a task has read and made, as OpenLineage tells it: datasets by the names of our assets."""

from collections.abc import Iterable, Mapping
from typing import Any

from airflow_evergreen.assets import Product, product_of
from evergreen.config.locations import Locations
from evergreen.storage.stores import open_stores

_TABLES: Mapping[Product, str] = {"rows": "clean", "labels": "labels", "predictions": "predictions"}


def describe_lineage(model_id: str, reads: Iterable[Product], outlets: Iterable[Any], made: Mapping[str, Any]) -> Any:
    """The datasets of a task that has ended, for OpenLineage's listener.

    Each is ``<model>/<product>`` in the namespace ``evergreen://<env>``, and says where its table lies. What was made
    has the batch or the model's version for its version, and its rows where the task has counted them.

    :param reads: what the task has read of its model.
    :param outlets: the task's outlets.
    :param made: what the task has returned.
    """
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import InputDataset, OutputDataset
    from openlineage.client.facet_v2 import (
        dataset_version_dataset,
        datasource_dataset,
        output_statistics_output_dataset,
    )

    at = Locations.from_environment()

    def name(model: str, product: Product) -> dict[str, Any]:
        place = f"models:/{at.env}.{model}"
        if product in _TABLES:
            place = open_stores(at, model).lake.table_uri(_TABLES[product])
        source = datasource_dataset.DatasourceDatasetFacet(name=f"{at.env}/{model}", uri=place)
        return {"namespace": f"evergreen://{at.env}", "name": f"{model}/{product}", "facets": {"dataSource": source}}

    def describe_made(model: str, product: Product) -> OutputDataset:
        named, counted = name(model, product), made.get("clean", made.get("rows"))
        version = made.get("version" if product == "model" else "batch")
        if version is not None:
            facet = dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=str(version))
            named["facets"]["version"] = facet
        if counted is not None:
            statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=int(counted))
            named["outputFacets"] = {"outputStatistics": statistics}
        return OutputDataset(**named)

    return OperatorLineage(
        inputs=[InputDataset(**name(model_id, one)) for one in reads],
        outputs=[describe_made(*ours) for outlet in outlets if (ours := product_of(outlet)) is not None],
    )
