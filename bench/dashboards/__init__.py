"""What the queries of the dashboards cost with a large fleet."""
