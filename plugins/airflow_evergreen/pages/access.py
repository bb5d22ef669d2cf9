"""Who may see what: a model's pages are open to whoever may read its batch DAG in Airflow."""

from collections.abc import Callable
from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.base_auth_manager import ResourceMethod
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import get_user
from airflow.models.dag import DagModel
from fastapi import Depends, HTTPException, Request

from evergreen.config.locations import model_roots
from evergreen.config.model_folder import BrokenFolder, ModelFolder, find_model_folders, get_model_folder
from evergreen.errors import ConfigInvalid, ModelNotFound

User = Annotated[BaseUser, Depends(get_user)]
_LEVERS = ("rollback", "reingest", "rescore", "reproduce", "arms", "forget", "acknowledge")
_KINDS = ("batch", "drift", "retrain", *_LEVERS, "broken")


def readable_models(user: User) -> dict[str, ModelFolder | BrokenFolder]:
    """The model folders whose batch DAG a user may read; of a broken one the DAG that shows its reason."""
    readable = get_auth_manager().get_authorized_dag_ids(user=user, method="GET")
    found = find_model_folders(model_roots())
    return {
        name: folder
        for name, folder in found.items()
        if f"{name}__{'batch' if isinstance(folder, ModelFolder) else 'broken'}" in readable
        or f"{name}__batch" in readable
    }


def readable_model(request: Request, user: User) -> ModelFolder:
    """The folder of the model that a route names, itself or by one of its DAGs.

    :raises HTTPException: 404 both where there is none and where the user may not read it, so that nobody learns names.
    """
    model, dag_id = request.path_params.get("model"), request.path_params.get("dag_id")
    if dag_id is not None:
        model, _, kind = dag_id.rpartition("__")
        if not model or kind not in _KINDS or not _may_read(dag_id, user):
            raise HTTPException(404, f"{dag_id} is not a DAG of a model that you may read.")
    unknown = HTTPException(404, f"There is no model {model!r} that you may read.")
    if not _may_read(f"{model}__batch", user):
        raise unknown
    try:
        # This one alone: a look at each of a thousand folders takes longer than the page.
        return get_model_folder(str(model), model_roots())
    except ModelNotFound:
        raise unknown from None
    except ConfigInvalid as error:
        raise HTTPException(409, f"The folder of model {model!r} does not load: {error}") from error


def model_with_rows(folder: Annotated[ModelFolder, Depends(readable_model)], user: User) -> ModelFolder:
    """The same, of which a user may read rows too: whoever may read the logs of its tasks, which quote them.

    :raises HTTPException: 403 where the user may not.
    """
    if not _may_read(f"{folder.id}__batch", user, DagAccessEntity.TASK_LOGS):
        raise HTTPException(
            403, f"You may see model {folder.id!r}, but not its rows: that takes the right to read logs."
        )
    return folder


def starter(folder: Annotated[ModelFolder, Depends(readable_model)], user: User) -> Callable[[str], bool]:
    """What says of a kind of DAG whether a user may start a run of the model's."""

    def may_start(kind: str) -> bool:
        return _is_authorized(f"{folder.id}__{kind}", user, "POST", DagAccessEntity.RUN)

    return may_start


def _may_read(dag_id: str, user: BaseUser, entity: DagAccessEntity | None = None) -> bool:
    return _is_authorized(dag_id, user, "GET", entity)


def _is_authorized(dag_id: str, user: BaseUser, method: ResourceMethod, entity: DagAccessEntity | None) -> bool:
    details = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))
    return get_auth_manager().is_authorized_dag(method=method, access_entity=entity, details=details, user=user)


Models = Annotated[dict[str, ModelFolder | BrokenFolder], Depends(readable_models)]
Model = Annotated[ModelFolder, Depends(readable_model)]
ModelWithRows = Annotated[ModelFolder, Depends(model_with_rows)]
Starter = Annotated[Callable[[str], bool], Depends(starter)]
