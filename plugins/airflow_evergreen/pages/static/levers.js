// A lever starts the DAG of its name by Airflow's own API, which decides whether this person may.
for (const form of document.querySelectorAll("form.lever")) {
  form.addEventListener("submit", async event => {
    event.preventDefault();
    const told = form.querySelector("output"), button = form.querySelector("button");
    const conf = {};
    for (const field of form.querySelectorAll("[name]")) {
      if (field.type === "checkbox") conf[field.name] = field.checked;
      else if (field.value !== "") conf[field.name] = "number" in field.dataset ? Number(field.value) : field.value;
    }
    button.disabled = true;
    told.textContent = "…";
    try {
      const answer = await fetch(form.action, {
        method: "POST",
        headers: {"Content-Type": "application/json"},
        body: JSON.stringify({logical_date: null, conf}),
      });
      const found = await answer.json();
      const problem = typeof found.detail === "string" ? found.detail : JSON.stringify(found.detail);
      told.textContent = answer.ok
        ? `Started as run ${found.dag_run_id} of ${found.dag_id}; its task says what became of it.`
        : `Not started (${answer.status}): ${problem}`;
    } catch (error) {
      told.textContent = `Not started: Airflow did not answer (${error.message}).`;
    }
    button.disabled = false;
  });
}
