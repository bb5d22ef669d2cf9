"""What a model asks of Kubernetes, and what kubernetes/values.yaml tells Airflow's official Helm chart."""

import re

import yaml
from airflow.configuration import conf
from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
from airflow.providers.fab.auth_manager.security_manager.override import FabAirflowSecurityManagerOverride
from airflow.serialization.serialized_objects import DagSerialization
from kubernetes.client import V1Container, V1Pod, V1PodSpec, V1ResourceRequirements

from tests.dags.parsing import ROOT, parse

VALUES = yaml.safe_load((ROOT / "kubernetes" / "values.yaml").read_text())
PAGE = (ROOT / "docs" / "kubernetes.md").read_text()
HEAVY = {"train_model", "judge_model", "register_model"}
# Of the chart's template, what a worker's pod has.
ORDINARY = V1ResourceRequirements(requests={"cpu": "1", "memory": "3Gi"}, limits={"memory": "4Gi"})


def pod_of(task):
    """A task's pod, as the executor makes it of its template."""
    template = V1Pod(spec=V1PodSpec(containers=[V1Container(name="base", image="evergreen", resources=ORDINARY)]))
    return PodGenerator.reconcile_pods(template, PodGenerator.from_obj(task.executor_config)).spec.containers


def test_heavy_tasks_ask_for_what_config_yaml_says(add_model):
    add_model("taxi", tasks={"heavy": {"cpu": 2.5, "memory": "16Gi"}})
    dag = parse("retrain.py").dags["taxi__retrain"]
    for task in dag.tasks:
        if task.task_id not in HEAVY:
            assert not task.executor_config, task.task_id
            continue
        (container,) = pod_of(task)
        assert container.image == "evergreen"
        assert container.resources.requests == {"cpu": "2.5", "memory": "16Gi"}
        assert container.resources.limits == {"memory": "16Gi"}
    # The scheduler reads it from the database.
    kept = DagSerialization.from_dict(DagSerialization.to_dict(dag)).get_task("train_model")
    assert kept.executor_config["pod_override"].spec.containers[0].resources.limits == {"memory": "16Gi"}


def test_without_a_word_of_it_the_pod_is_the_charts_own(add_model):
    add_model("taxi")
    assert not any(task.executor_config for task in parse("retrain.py").dags["taxi__retrain"].tasks)


def test_each_setting_is_one_of_airflow():
    said = {(section, name) for section, names in VALUES["config"].items() for name in names}
    for one in VALUES["env"]:
        found = re.fullmatch(r"AIRFLOW__([A-Z_]+?)__(\w+)", one["name"])
        if found:
            said.add((found[1].lower(), found[2].lower()))
    described = conf.configuration_description
    options = {(section, name) for section in described for name in described[section]["options"]}
    assert said <= options
    assert len(said) > 8


def test_each_secret_is_made_in_the_page():
    wanted = {(one["secretName"], one["secretKey"]) for one in VALUES["secret"]}
    wanted |= {
        (VALUES["data"]["metadataSecretName"], "connection"), (VALUES["fernetKeySecretName"], "fernet-key"),
        (VALUES["apiSecretKeySecretName"], "api-secret-key"), (VALUES["jwtSecretName"], "jwt-secret"),
    }  # fmt: skip
    made = {
        (name, key)
        for name, rest in re.findall(r"^make_secret (\S+) (.*)$", PAGE, re.MULTILINE)
        for key in re.findall(r"--from-literal=([\w-]+)=", rest)
    }
    assert made == wanted


def test_the_chart_mounts_where_the_image_looks():
    image = (ROOT / "Dockerfile").read_text()
    assert f"AIRFLOW_HOME={VALUES['airflowHome']}" in image
    assert f"--uid {VALUES['uid']}" in image
    assert VALUES["executor"].split(",") == ["CeleryExecutor", "KubernetesExecutor"]


def test_roles_may_what_the_page_says():
    viewer = set(FabAirflowSecurityManagerOverride.VIEWER_PERMISSIONS)
    operator = set(FabAirflowSecurityManagerOverride.USER_PERMISSIONS)
    assert {("can_read", "DAGs"), ("can_read", "Task Logs"), ("can_read", "HITL Detail")} <= viewer
    own = {"My Password", "My Profile"}
    assert {action for action, what in viewer if what not in own} <= {"can_read", "menu_access"}
    assert {("can_create", "DAG Runs"), ("can_edit", "DAGs"), ("can_edit", "Task Instances")} <= operator
    assert ("can_edit", "HITL Detail") in operator
