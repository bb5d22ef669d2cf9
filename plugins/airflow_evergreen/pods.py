"""What a task asks of its pod, where the KubernetesExecutor runs it."""

import logging
from typing import Any

_logger = logging.getLogger(__name__)


def ask_for(cpu: float | None, memory: str | None) -> dict[str, Any] | None:
    """The part of a task's pod that says what it needs; memory is also its limit."""
    try:
        from kubernetes.client import V1Container, V1Pod, V1PodSpec, V1ResourceRequirements
    except ImportError:
        # Raised, it would take the DAGs of all models along.
        _logger.warning("tasks.heavy.cpu and memory count for nothing: the extra `kubernetes` is not installed")
        return None
    wanted = {"cpu": f"{cpu:g}"} if cpu is not None else {}
    held = {"memory": memory} if memory is not None else {}
    resources = V1ResourceRequirements(requests=wanted | held, limits=held or None)
    # Airflow's own container in a task's pod is called base.
    return {"pod_override": V1Pod(spec=V1PodSpec(containers=[V1Container(name="base", resources=resources)]))}
