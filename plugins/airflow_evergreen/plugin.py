"""The one Airflow plugin: pages, the links of our operators, and what we listen to."""

from airflow.plugins_manager import AirflowPlugin

from airflow_evergreen import listeners
from airflow_evergreen.links import PREFIX, EvidentlyLink, MlflowLink, ModelLink, OutcomeLink
from airflow_evergreen.pages import list_views, pages


class EvergreenPlugin(AirflowPlugin):
    """What Airflow's own processes must know of Evergreen beside its DAGs."""

    name = "evergreen"
    operator_extra_links = [MlflowLink(), ModelLink(), OutcomeLink(), EvidentlyLink()]
    listeners = [listeners]
    fastapi_apps = [{"app": pages, "url_prefix": PREFIX, "name": "Evergreen"}]
    external_views = list_views()
