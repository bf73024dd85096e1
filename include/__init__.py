"""The stages of the warehouse and what they share; `python -m include --help` runs them without Airflow."""
