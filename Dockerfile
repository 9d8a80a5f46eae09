# Airflow with the pipeline in it, for `astro dev start`. The images of docker-compose.yml are docker/Dockerfile.
#
# There is one FROM, since versions of the Astro CLI differ in which of several they take for the Runtime. By
# Astronomer's list of Runtimes, 3.3-8 is the one with Airflow 3.3.2 and comes with Python 3.12 to 3.14; without a word
# about it in the tag it is 3.14, for which there is no Bytewax.
#
# What the base has ONBUILD runs before anything below: as root it installs packages.txt, which must exist though the
# pipeline needs no Debian package, and requirements.txt; then it copies what .dockerignore lets in to
# /usr/local/airflow for its user astro.
FROM astrocrpublic.azurecr.io/runtime:3.3-8-python-3.12

USER root
RUN sh docker/astro.sh
USER astro

# What .env says wins over these. Of the folders that `astro dev start` mounts (dags, include, plugins, tests), include
# is the one for data. The broker is docker-compose.yml's, on the machine that the containers run on.
ENV BATTERY_WORK_DIR=/usr/local/airflow/include \
    WAREHOUSE=/usr/local/airflow/include/data/battery.duckdb \
    OBJECT_STORE=file:///usr/local/airflow/include/data/objects \
    DBT_PROFILES_DIR=/usr/local/airflow/dbt_project \
    KAFKA_BOOTSTRAP_SERVERS=host.docker.internal:29092
