"""The stack without Docker: embedded Postgres servers and Airflow as ordinary processes.

postgres    one embedded Postgres server
airflow     Airflow's processes and their settings
api         a client of Airflow's REST API
lifecycle   start, stop and clean the stack
overview    what of it runs
psql        psql on its databases
pipelines   run every pipeline once
"""
