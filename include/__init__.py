"""The stages of the warehouse and what they share; the program `warehouse` runs them without Airflow."""
