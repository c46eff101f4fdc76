"""The bridge and its peers: same Mosquitto, same database, same messages, in turn."""
