"""Which panel shows an alert: it links to the runbook.

The alert links to the panel, with `dashboard_url` in infra/prometheus/alerts.yml.
"""

from grafana_foundation_sdk.models.dashboard import (
    DashboardLink,
    DashboardLinkType,
    Panel,
)

# Board and title of a panel, and the alerts that it shows.
SHOWN_IN = {
    ("device", "State"): ("DeviceStale",),
    ("fleet", "Drifting"): ("DevicesDrift",),
    ("fleet", "Births"): ("DevicesReboot", "DevicesMissing"),
    ("fleet", "Updates"): ("UpdateStuck", "UpdateFailed"),
    ("ingestion", "Messages"): ("BridgeDown", "FleetSilent"),
    ("ingestion", "Connected"): ("BridgeNotReady", "SinkDown"),
    ("ingestion", "Ledger"): ("BooksDoNotBalance",),
    ("ingestion", "From the device to the bridge"): (
        *("ReadingsLate", "ClockWrong", "ClockJumped"),
    ),
    ("ingestion", "From receipt to each database"): ("SinkSlow",),
    ("ingestion", "From receipt to PUBACK"): ("BridgeLag",),
    ("ingestion", "Unacknowledged"): ("BridgeWindowFull",),
    ("ingestion", "Spooled"): ("SpoolGrowing", "SpoolExpired"),
    ("ingestion", "Spool"): ("SpoolNearLimit", "SpoolDown", "FileDamaged", "FileLost"),
    ("ingestion", "Queue of the broker"): ("BrokerQueueNearLimit",),
    ("ingestion", "Break the contract"): (
        *("DeadLetters", "DeadLettersWait", "DeadLettersDropped", "ReadingsDropped"),
    ),
    ("ingestion", "Refused by a database"): ("SinkRefuses", "SinkRefusesFields"),
    ("ingestion", "Missing, late, twice"): ("SequenceGaps",),
    ("ingestion", "Sessions"): ("BridgeReconnects", "SessionLost"),
    ("ingestion", "Certificates"): (
        *("CertificateExpiry", "AuthorityExpiry", "CertificatesNotWatched"),
    ),
    ("ingestion", "Dropped"): ("BrokerMessagesDropped",),
    ("ingestion", "Clients"): (
        *("BrokerDown", "BrokerNotWatched", "ClientsDropped", "ReconnectStorm"),
    ),
    ("ingestion", "Memory"): ("BrokerHeapHigh", "BridgeMemoryHigh"),
    ("ingestion", "Traffic"): ("BrokerMetricsStale",),
}


def link_to_runbook(board: str, panel: Panel) -> None:
    """Give the panel a link for each alert; `docs` is a variable of the dashboard."""
    names = SHOWN_IN.get((board, str(panel.title)), ())
    if names:
        panel.links = [
            DashboardLink(
                title=f"Runbook: {name}",
                type_val=DashboardLinkType.LINK,
                url=f"${{docs}}/runbook.html#{name.lower()}",
                target_blank=True,
            )
            for name in names
        ]
