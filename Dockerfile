# The base image's own build steps install packages.txt and requirements.txt and copy the project, as the user astro.
FROM astrocrpublic.azurecr.io/runtime:3.3-8-python-3.12

USER root
# The program `warehouse`. A script does, because the project's folder is on PYTHONPATH. `pip install --editable .` would
# have to fetch a build backend, in a version that the image's constraints may forbid.
RUN printf '#!/bin/sh\nexec python -m include "$@"\n' > /usr/local/bin/warehouse && chmod 755 /usr/local/bin/warehouse
# Where packages come without bytecode, each process of each container compiles what it imports, which takes a third of
# the CPU time of a start. root compiles it here once, because root owns the packages. A file that has bytecode is
# skipped. Files that are no Python 3 can't be compiled (hence `|| true`) and are never imported, nor is the large
# Kubernetes client.
RUN python -m compileall -qq -j 0 -x kubernetes "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" || true
USER astro

# The manifest lies outside dbt/, which `astro dev start` mounts over what the image holds.
# WAREHOUSE_DEMO: a Deployment has a source of its own, in which nothing of the demo may land; the compose file says
# otherwise for the demo's source.
ENV DBT_MANIFEST=/usr/local/airflow/manifest/manifest.json \
    WAREHOUSE_DEMO=off \
    DBT_SEND_ANONYMOUS_USAGE_STATS=False \
    AIRFLOW__COSMOS__ENABLE_TELEMETRY=False \
    AIRFLOW__COSMOS__ENABLE_WATCHER_RELIABLE_RETRY=False

# Settings of Airflow that suit a small machine and this project, on a laptop, a server and a cluster. They stand here, and
# in no compose file, so that those of .env win over them. include/stack/local/airflow.py has the same ones.
ENV AIRFLOW__API__WORKERS=1 \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES=2 \
    AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL=15 \
    AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL=15 \
    AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME=0.5
# Workers are forked from a process that has imported what tasks need. Otherwise each one imports it again. The lines of
# the list begin at the margin, because a value ends at the first blank.
ENV AIRFLOW__SCHEDULER__MP_START_METHOD=forkserver \
    AIRFLOW__CORE__MP_FORKSERVER_PRELOAD=\
airflow.providers.standard.decorators.python,airflow.sdk.execution_time.task_runner,cosmos.converter,\
cosmos.operators.watcher,cosmos.plugin.airflow3,dbt.adapters.postgres,dbt.cli.main,jsonschema_rs,\
open_data_contract_standard.model,psycopg

# Volumes that are mounted on these folders take their owner from them. Cosmos renders the warehouse DAG from the manifest.
RUN mkdir -p keys manifest local/landing local/landing_archive local/web && warehouse build --parse
