# One image for all of Airflow's components, MLflow's server and the `evergreen` command.
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    AIRFLOW_HOME=/opt/evergreen/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/evergreen/dags \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    AIRFLOW__LOGGING__BASE_LOG_FOLDER=/opt/evergreen/logs \
    EVERGREEN_HOME=/opt/evergreen/home \
    EVERGREEN_MODELS=/opt/evergreen/include/models \
    EVERGREEN_LANDING=/opt/evergreen/landing

WORKDIR /opt/evergreen

# The pinned set without what only tests and lint need. Bytecode is kept: without it every process pays some twenty
# seconds of imports.
ARG EXTRAS="--extra deploy"
COPY requirements.txt pyproject.toml ./
RUN pip install --no-cache-dir --quiet uv==0.13.8 \
    && uv pip install --system --no-cache --compile-bytecode \
       --requirement pyproject.toml $EXTRAS --constraint requirements.txt \
    && uv pip check --system

COPY LICENSE README.md ./
COPY include/ include/
COPY plugins/ plugins/
COPY dags/ dags/

# The code belongs to root: a task cannot rewrite it. State lies in folders that the user owns; a new volume mounted over
# one of them takes its owner from here.
RUN uv pip install --system --no-cache --compile-bytecode --no-deps . \
    && install -D --mode 644 plugins/airflow_local_settings.py airflow/config/airflow_local_settings.py \
    && useradd --uid 50000 --no-create-home --home-dir /opt/evergreen/home evergreen \
    && install --directory --owner evergreen --group evergreen airflow logs home landing metrics

USER evergreen
