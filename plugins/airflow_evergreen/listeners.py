"""What Airflow's DAG processor tells us: a DAG file that it cannot read any more."""

from pathlib import Path

from airflow.listeners import hookimpl


@hookimpl
def on_new_dag_import_error(filename: str, stacktrace: str) -> None:
    """Tell the deployment's sinks, once, of a DAG file with Evergreen's DAGs or operators that cannot be imported.

    :param filename: path of the DAG file.
    :param stacktrace: the error with its trace; its last line names it.
    """
    # Both take their time, which every process that reads the plugin would wait for.
    from airflow_evergreen.alerts import deployment_sinks, tell_at_once
    from evergreen.sinks import Message

    try:
        if "evergreen" not in Path(filename).read_text(encoding="utf-8", errors="replace"):
            return
    except OSError:
        # A file that cannot be read may have been one of ours.
        pass
    error = stacktrace.strip().rpartition("\n")[2][:600]
    message = Message(
        "evergreen",
        f"import-error.{Path(filename).name}",
        "opened",
        "",
        f"The DAG file {filename} cannot be imported: {error}.",
        1,
        "Evergreen",
        done="Its DAGs are missing until it can.",
        todo="Mend the file. Airflow's page of import errors has the trace, and is empty then.",
        heading="a DAG file cannot be imported",
    )
    tell_at_once(message, deployment_sinks())
