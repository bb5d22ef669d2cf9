"""Ask a human where the gate does not decide."""

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Context, Param
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.execution_time.hitl import HITLUser

from airflow_evergreen.alerts import tell_incidents
from airflow_evergreen.links import MlflowLink, ModelLink, OutcomeLink, model_page
from airflow_evergreen.operators.attempt import AttemptOperator
from airflow_evergreen.runtime import acting_for, load_model, locate
from evergreen.config.locations import Locations
from evergreen.config.model_folder import ModelFolder
from evergreen.foreign_text import for_markdown
from evergreen.records import ApprovalRecord, AttemptRecord
from evergreen.storage.stores import stores_of

_YES, _NO = "Approve", "Reject"
_REASON = Param("", type="string", title="Reason", description="Why; it goes on record.", source="task")
_UNKNOWN = timedelta(days=1)


class ApproveModelOperator(AttemptOperator, HITLOperator):
    """Wait for a human's yes or no, without a worker, where an attempt needs one; go on at once where it does not.

    The question has all that is on record of the attempt. Silence to ``gate.approval_wait`` is a no. Returns the
    outcome of the attempt and who decided. Parameters: see ``AttemptOperator``.

    :param judged: what ``JudgeModelOperator`` returned. (templated)
    """

    template_fields = (*AttemptOperator.template_fields, "judged", "subject", "body")
    operator_extra_links = (MlflowLink(), OutcomeLink(), ModelLink())

    def __init__(self, *, judged: Any, **kwargs: Any) -> None:
        # The DAG's own Params stand on its form, not on this one.
        kwargs["params"] = ParamsDict({"reason": _REASON})
        super().__init__(
            subject="Promote the challenger of {{ task.model_id }}?",
            body="{{ task.judged['attempt'] }}: {{ task.judged['why'] }}",
            options=[_YES, _NO],
            defaults=_NO,
            # Without one it takes the task's time limit for it; how long is waited is known when it runs.
            response_timeout=_UNKNOWN,
            **kwargs,
        )
        self.judged = judged

    def run_step(self, model: ModelFolder, at: Locations, context: Context) -> dict[str, Any]:
        """Ask, unless nothing is to be asked or the answer is on record."""
        outcome = self.judged["outcome"]
        if outcome != "needs approval":
            return {"outcome": outcome, "by": "the gate"}
        answer = stores_of(model, at).ledger.get(ApprovalRecord, self.due.verdict)
        if answer is not None:
            return {"outcome": "approved" if answer.approved else "rejected", "by": answer.by}
        # Before the wait, not after it: this is the alert that somebody has to act on.
        tell_incidents(model, at)
        wait = model.config.gate.approval_wait
        self.body = self._write_question(model, at, context)
        self.assigned_users = [HITLUser(id=name, name=name) for name in model.config.gate.approvers] or None
        self.response_timeout = None if wait.days > 10_000 else wait
        HITLOperator.execute(self, context)
        raise RuntimeError("waiting for a human ended without an answer")

    def _write_question(self, model: ModelFolder, at: Locations, context: Context) -> str:
        """What there is to decide by, in Markdown."""
        from evergreen.replay.status import describe_attempt

        stores = stores_of(model, at)
        attempt = stores.ledger.get(AttemptRecord, self.due.verdict)
        evidence = describe_attempt(stores, attempt) if attempt is not None else ()
        pages = {"The model": model_page(context["ti"].dag_id), "The challenger in MLflow": self.judged.get("page")}
        links = ", ".join(f"[{name}]({page})" for name, page in pages.items() if page)
        lines = [for_markdown(str(self.body)), "", *(f"- {for_markdown(line.strip())}" for line in evidence)]
        return "\n".join([*lines, f"- {links}"])

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Put the answer on record."""
        from evergreen.steps.approve_model import approve_model

        answer = HITLOperator.execute_complete(self, context, event)
        who = answer["responded_by_user"]
        by = str(who["name"] if who else "nobody within the time")
        model = load_model(self.model_id)
        with acting_for(context):
            approved = answer["chosen_options"] == [_YES]
            why = str(answer["params_input"].get("reason", ""))
            record = approve_model(model, locate(self.mlflow_conn_id), self.due, approved, by, why)
        return {"outcome": "approved" if record.approved else "rejected", "by": record.by}
