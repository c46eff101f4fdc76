#!/bin/sh
# The exporter's configuration is that of bare metal; here the broker is another container.
set -eu
sed 's/localhost:1883/mosquitto:1883/' /etc/prometheus/mqtt-exporter.yml >/tmp/exporter.yml
exec prometheus-mqtt-exporter -config /tmp/exporter.yml -treat-mqtt-password-as-file-name
