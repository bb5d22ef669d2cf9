"""The one Airflow plugin: the links of our operators, and what we listen to."""

from airflow.plugins_manager import AirflowPlugin

from airflow_evergreen import listeners
from airflow_evergreen.links import MlflowLink


class EvergreenPlugin(AirflowPlugin):
    """What Airflow's own processes must know of Evergreen beside its DAGs."""

    name = "evergreen"
    operator_extra_links = [MlflowLink()]
    listeners = [listeners]
