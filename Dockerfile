# syntax=docker/dockerfile:1
# Two images: `pipeline` runs producer, worker and dashboard; `airflow` is Airflow's own with the pipeline beside it.
# Everything that runs while they are built is docker/install.sh, which the tests run too.

ARG PYTHON=3.11.14-slim-bookworm
ARG AIRFLOW=3.3.2-python3.11

FROM python:${PYTHON} AS build
WORKDIR /src
COPY docker/install.sh docker/
COPY pyproject.toml uv.lock ./
RUN sh docker/install.sh /opt/battery dashboard
COPY . .
RUN sh docker/install.sh /opt/battery dashboard

FROM python:${PYTHON} AS pipeline
COPY --from=build /opt/battery /opt/battery
# The user of Airflow's image: both write to one volume.
COPY --chown=50000:0 docker/state/ /var/lib/battery/
ENV PATH=/opt/battery/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1
WORKDIR /var/lib/battery
USER 50000:0
ENTRYPOINT ["battery"]
CMD ["--help"]

FROM apache/airflow:${AIRFLOW} AS airflow
USER root
WORKDIR /src
COPY . .
RUN sh docker/install.sh /opt/battery
COPY --chown=50000:0 docker/state/ /var/lib/battery/
COPY --chown=50000:0 docker/state/ /opt/airflow/state/
COPY docker/airflow-init.sh /opt/airflow/
WORKDIR /opt/airflow
USER 50000:0
