# The base image's own build steps install packages.txt and requirements.txt and copy the project, as the user astro.
FROM astrocrpublic.azurecr.io/runtime:3.3-8-python-3.12

# Outside dbt/, which `astro dev start` mounts over what the image holds.
ENV DBT_MANIFEST=/usr/local/airflow/manifest/manifest.json \
    DBT_SEND_ANONYMOUS_USAGE_STATS=False

# The folders that become volumes take their owner from here. The manifest is what Cosmos renders the warehouse DAG from.
RUN mkdir -p manifest local/landing local/landing_archive local/web && python -m include.containers manifest
