"""Everything that production never imports: the stack on one machine and the data of the demo.

    local/    the stack without Docker: embedded Postgres servers and Airflow as ordinary processes
    docker/   the stack in Docker: what compose.yml adds to the Astro CLI's Airflow
    demo/     made-up files and tables, for both

`local` and `docker` know nothing of each other.
"""
