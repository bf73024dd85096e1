"""What the DAG files share: defaults, assets, what each pipeline decides, and Cosmos.

A DAG file wires tasks together. Each decision that a task takes is a function here, so that a test reaches it without
Airflow.
"""
