"""The stack in Docker: compose.yml adds services to the Astro CLI's Airflow; `setup` is the first of them to run."""
