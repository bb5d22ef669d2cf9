"""What all operators of a model have in common."""

from abc import abstractmethod
from typing import Any, ClassVar

from airflow.sdk import BaseOperator, Context

from airflow_evergreen.assets import Product
from airflow_evergreen.hooks.spark_connect import SparkConnectHook
from airflow_evergreen.hooks.tracking import MlflowHook
from airflow_evergreen.listeners import FAILURE
from airflow_evergreen.retries import RETRIES
from airflow_evergreen.runtime import acting_for, batch_of, load_model, locate
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.errors import EvergreenError, Refused


class StepOperator(BaseOperator):
    """Run one step of the loop for one model; the base of the operators beside this file.

    :param model_id: the model folder's name. (templated)
    :param batch: the batch, such as ``2024-01-31``; by default the run's Param ``batch``, else the last batch that had
        ended when the run's data interval ended. (templated)
    :param mlflow_conn_id: Airflow connection of the MLflow server; without a connection of the default name,
        ``MLFLOW_TRACKING_URI`` holds.
    """

    template_fields: tuple[str, ...] = ("model_id", "batch")
    # What of the model the step reads, for OpenLineage; what it makes is told by the task's outlets.
    reads: ClassVar[tuple[Product, ...]] = ()
    ui_color = "#dff0e3"

    def __init__(
        self,
        *,
        model_id: str,
        batch: str | None = None,
        mlflow_conn_id: str = MlflowHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("retry_policy", RETRIES)
        super().__init__(**kwargs)
        self.model_id, self.batch, self.mlflow_conn_id = model_id, batch, mlflow_conn_id
        self.made: dict[str, Any] = {}

    def execute(self, context: Context) -> dict[str, Any]:
        """Load the model folder and run the step; what it returns is also the ``extra`` of the events of its assets."""
        try:
            model = load_model(self.model_id)
            with acting_for(context):
                at = locate(self.mlflow_conn_id)
                if model.config.engine == "spark":
                    at = SparkConnectHook().locate(at)
                made = self.run_step(model, at, context)
        except EvergreenError as error:
            # A task that fails returns nothing: of this the note of a lever's run is made.
            if (instance := context.get("ti")) is not None:
                word = "refused" if isinstance(error, Refused) else "failed"
                instance.xcom_push(key=FAILURE, value=f"{word}: {' '.join(str(error).split())}")
            raise
        for name, fact in made.items():
            self.log.info("%s: %s", name.replace("_", " "), fact)
        for outlet in self.outlets:
            context["outlet_events"][outlet].extra = made
        self.made = made
        return made

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """What was read and made, for OpenLineage."""
        from airflow_evergreen.lineage import describe_lineage

        return describe_lineage(self.model_id, self.reads, self.outlets, self.made)

    @abstractmethod
    def run_step(self, model: ModelFolder, at: Locations, context: Context) -> dict[str, Any]:
        """Call the step and tell in ids and numbers what became of it."""

    def as_of(self, model: ModelFolder, context: Context) -> str:
        """The batch that this task is for."""
        return batch_of(model, self.batch, context)
