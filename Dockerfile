# The base image's own build steps install packages.txt and requirements.txt and copy the project, as the user astro.
FROM astrocrpublic.azurecr.io/runtime:3.3-8-python-3.12

# Where packages come without bytecode, each process of each container would compile anew what it imports: a third of
# the CPU time of a start. Done once here, as root, who owns them; what has its bytecode is passed over. Files that are
# no Python 3 can't be compiled and are never imported, nor is the large Kubernetes client.
USER root
RUN python -m compileall -qq -j 0 -x kubernetes "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" || true
USER astro

# The manifest lies outside dbt/, which `astro dev start` mounts over what the image holds.
ENV DBT_MANIFEST=/usr/local/airflow/manifest/manifest.json \
    DBT_SEND_ANONYMOUS_USAGE_STATS=False \
    AIRFLOW__COSMOS__ENABLE_TELEMETRY=False \
    AIRFLOW__COSMOS__ENABLE_WATCHER_RELIABLE_RETRY=False

# The folders that become volumes take their owner from here. The manifest is what Cosmos renders the warehouse DAG from.
RUN mkdir -p manifest local/landing local/landing_archive local/web && python -m include build --parse
