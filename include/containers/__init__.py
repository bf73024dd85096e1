"""The stack in containers: what Docker adds to the Astro CLI's Airflow (compose.yml) and its first steps (__main__)."""
