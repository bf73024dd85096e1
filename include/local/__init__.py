"""The stack without Docker: embedded Postgres servers and Airflow as ordinary processes, and how to run them."""
