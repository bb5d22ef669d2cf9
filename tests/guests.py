"""An auth manager for tests: Airflow's simple one, with a guest who may read one model's DAGs and no logs."""

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager


class GuestsSeeOneModel(SimpleAuthManager):
    """Whoever is called guest may read the DAGs of the model ``small`` alone."""

    def is_authorized_dag(self, *, user: Any, access_entity: Any = None, details: Any = None, **kwargs: Any) -> bool:
        """Whether a user may act on a DAG."""
        theirs = details is not None and (details.id or "").startswith("small__") and access_entity is None
        if user.username == "guest" and not theirs:
            return False
        return super().is_authorized_dag(user=user, access_entity=access_entity, details=details, **kwargs)
