"""The dashboards of Grafana as code: `hatch run dashboards` writes their JSON."""
