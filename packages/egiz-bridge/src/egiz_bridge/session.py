"""The main loop: one thread owns the connection, reads, decodes and acknowledges.

Sinks write in threads of their own, so whatever they do, the socket is serviced and the
broker gets its pings. Pressure shows as a window (Receive Maximum) that fills, because
nothing is acknowledged before it is stored.
"""

import selectors
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog
from egiz_schema import BrokerUrl

from egiz_bridge.config.settings import Settings
from egiz_bridge.errors import MqttError
from egiz_bridge.ledger.counts import Ledger
from egiz_bridge.mqtt import packets
from egiz_bridge.mqtt.broker import Broker, broker_of
from egiz_bridge.mqtt.certificates import expiries
from egiz_bridge.mqtt.connection import Connection, open_connection
from egiz_bridge.mqtt.retries import Retries
from egiz_bridge.mqtt.waits import Waits, Waker
from egiz_bridge.pipeline.dispatch import Dispatcher
from egiz_bridge.pipeline.intake import Intake
from egiz_bridge.session_record import SessionRecord

# Longer than a write can last, so that a stop leaves nothing to be sent again.
STOP_DEADLINE_S = 25.0

# How long a stop goes on reading, in search of a quiet moment.
_READ_ON_S = 5.0
_FINISH_TICK_S = 0.02
# What a broker has in hand comes within that time.
_QUIET_S = 0.005

_TICK_S = 1.0

_log = structlog.get_logger()


class Session:
    """Keeps the bridge subscribed until `stop` is called."""

    def __init__(
        self,
        settings: Settings,
        intake: Intake,
        dispatcher: Dispatcher,
        ledger: Ledger,
        waker: Waker,
        record: SessionRecord,
    ) -> None:
        self._settings = settings
        self._wanted = settings
        self._record = record
        self._dispatcher = dispatcher
        self._ledger = ledger
        self._waker = waker
        self._intake = intake
        self._connections = 0
        self._retries = Retries()
        self._is_stopping = self._is_reload_due = False
        self._broker_expiry: dict[str, float] = {}
        self.last_turn = time.monotonic()

    def certificate_expiries(self) -> dict[str, float]:
        """When each certificate expires, in seconds since 1970; any thread may ask.

        That of the broker is as old as the connection; the others are read now.
        """
        return expiries(self._settings.mqtt) | self._broker_expiry

    def busy_seconds(self) -> dict[str, float]:
        """How long each part has been at what it does; any thread may ask."""
        loop = {"main loop": time.monotonic() - self.last_turn}
        return loop | self._dispatcher.busy_seconds()

    def stop(self) -> None:
        """End `run`: store and acknowledge what was received, then disconnect."""
        self._is_stopping = True
        self._waker()

    def configure(self, settings: Settings) -> None:
        """Go on with other settings; nothing that was received is lost."""
        self._wanted = settings

    def reload_soon(self) -> None:
        """Let the main loop call `reload`; for a signal handler."""
        self._is_reload_due = True
        self._waker()

    def run(self, reload: Callable[[], None] = lambda: None) -> None:
        """Until stopped.

        Args:
            reload: called, between two turns, after `reload_soon`; it may `configure`.

        Raises:
            BridgeError: if a part of the bridge has died.
        """
        self._reload = reload
        self._apply(self._settings)
        try:
            while not self._should_stop():
                self._reload_if_due()
                if self._wanted is not self._settings:
                    self._apply(self._wanted)
                self._run_connection()
        finally:
            self._intake.flush()
            self._dispatcher.stop(STOP_DEADLINE_S)

    def _should_stop(self) -> bool:
        """Whether to stop; who asks shows that the main loop goes on.

        It is asked between the steps of an attempt to connect, each of which has an
        end. Together they may last: several addresses, none of which answers, are tried
        without a pause, each with two versions of MQTT.
        """
        self.last_turn = time.monotonic()
        return self._is_stopping

    def _reload_if_due(self) -> None:
        if self._is_reload_due and not self._is_stopping:
            self._is_reload_due = False
            self._reload()

    def _apply(self, settings: Settings) -> None:
        tables = settings.sinks()
        self._intake.configure(tables)
        self._dispatcher.configure(tables)
        self._settings = settings

    def _run_connection(self) -> None:
        urls = self._settings.mqtt.url
        url = self._retries.address(urls)
        try:
            broker = self._broker(url)
            connection, early = open_connection(broker, self._should_stop)
        except Exception as error:  # noqa: BLE001  # whatever a name, a file, a broker do
            self._log_failure(url, error)
            self._wait_to_retry(self._retries.refused(urls, error))
            return
        try:
            self._use(connection, broker, url, early)
        except (MqttError, OSError) as error:
            pause_s = self._retries.lost(error)
            self._log_failure(url, error)
            self._wait_to_retry(pause_s)

    def _use(
        self,
        connection: Connection,
        broker: Broker,
        url: BrokerUrl,
        early: Sequence[packets.Publish],
    ) -> None:
        try:
            self._subscribed(connection, broker, url)
            self._serve(connection, early)
            self._finish(connection)
        finally:
            self._ledger.connection_is(up=False)
            connection.close()
            # Nothing will fill the batch now, and QoS 0 is not sent again.
            self._intake.flush()

    def _broker(self, url: BrokerUrl) -> Broker:
        """Where to connect, and which filters to remove from the session."""
        mqtt = self._settings.mqtt
        broker = broker_of(mqtt, url)
        obsolete = self._record.obsolete_filters(mqtt, broker.filters)
        return replace(broker, obsolete_filters=obsolete)

    def _subscribed(
        self, connection: Connection, broker: Broker, url: BrokerUrl
    ) -> None:
        self._connections += 1
        self._retries.connected()
        expiry_s = connection.certificate_expiry_s()
        self._broker_expiry = {} if expiry_s is None else {"broker": expiry_s}
        self._intake.reconnected(self._connections)
        self._dispatcher.reconnected(self._connections)
        self._ledger.connection_is(up=True)
        _log.info("subscribed", broker=str(url), mqtt=connection.version)
        for sentence in connection.shortfalls:
            _log.warning(
                "the broker grants less than asked for", broker=str(url), what=sentence
            )
        if connection.version == packets.MQTT_311:
            _log.warning(
                "the broker speaks MQTT 3.1.1 only: its own in-flight limit (often 20)"
                " bounds the rate",
                broker=str(url),
            )
        self._record.subscribed(
            self._settings.mqtt,
            url,
            broker.filters,
            session_present=connection.session_present,
        )

    def _serve(self, connection: Connection, early: Sequence[packets.Publish]) -> None:
        self._intake.receive(early, self._dispatcher.waiting)
        with Waits(connection, self._waker) as waits:
            while not (self._is_stopping or self._broker_changed()):
                is_readable = self._wait(waits, connection)
                begun = time.monotonic()
                if is_readable:
                    packets = connection.read()
                    self._intake.receive(packets, self._dispatcher.waiting)
                self._turn(connection)
                self._ledger.observe_loop(time.monotonic() - begun)

    def _wait(self, waits: Waits, connection: Connection) -> bool:
        """Wait for something to do; gives whether to read.

        All pressure ends here: what is not read waits at the broker.
        """
        seconds = min(_TICK_S, self._intake.due_in_s())
        connection.is_held = self._dispatcher.is_full
        if connection.is_held:
            waits.for_wake_up(seconds)
            return False
        return waits.for_bytes(seconds, paced=not self._intake.window_is_small)

    def _broker_changed(self) -> bool:
        return self._wanted.mqtt != self._settings.mqtt

    def _turn(self, connection: Connection) -> None:
        self.last_turn = time.monotonic()
        self._reload_if_due()
        if self._wanted is not self._settings and not self._broker_changed():
            self._apply(self._wanted)
        self._intake.flush_if_due()
        if batches := self._dispatcher.collect():
            packet_ids = [i for batch in batches for i in batch.packet_ids]
            if packet_ids:  # QoS 0 has none, and nothing sent is no sign of life
                connection.acknowledge(packet_ids)
            self._intake.acknowledged(len(packet_ids))
            self._ledger.acknowledge(batches)
        connection.keep_alive()

    def _finish(self, connection: Connection) -> None:
        """Store and acknowledge what the broker has sent, then disconnect.

        What the broker has sent and not seen acknowledged when it reads the DISCONNECT
        it will send again. So the moment for it is when everything is acknowledged and
        nothing is there to be read. Under a load that leaves no such moment, reading
        ends: what comes after that is left to the next run; nothing is stored twice.
        """
        begun = time.monotonic()
        with Waits(connection, self._waker) as waits:
            while (elapsed := time.monotonic() - begun) < STOP_DEADLINE_S:
                reads_on = elapsed < _READ_ON_S
                if reads_on and waits.for_bytes(0):
                    self._intake.receive(connection.read(), self._dispatcher.waiting)
                self._intake.flush()
                self._turn(connection)
                if self._dispatcher.is_idle() and not (
                    reads_on and waits.for_bytes(_QUIET_S)
                ):
                    break
                waits.for_bytes(_FINISH_TICK_S)
        _log.info("disconnected", redelivery_expected=connection.disconnect())

    def _log_failure(self, url: BrokerUrl, error: Exception) -> None:
        self._ledger.connection_failed(str(error))
        if self._retries.is_logged() and not self._is_stopping:
            event = "no connection to the broker; retrying"
            if self._retries.is_ended_by_another(error):
                event += (
                    " in 5 to 16 s, since another client may use mqtt.client_id: each"
                    " bridge needs one of its own"
                )
            _log.warning(
                event,
                broker=str(url),
                why=str(error),
                failures=self._retries.failures,
            )

    def _wait_to_retry(self, pause_s: float) -> None:
        """Wait, and do the rest meanwhile: once at least, as the next may hang."""
        until = time.monotonic() + pause_s
        while not self._should_stop():
            self._dispatcher.collect()
            self._reload_if_due()
            if self._wanted is not self._settings:
                return  # its address may be right now
            if (left := until - time.monotonic()) <= 0:
                return
            self._sleep(left)

    def _sleep(self, seconds: float) -> None:
        # Not epoll: when the process has no file descriptor left, this goes on.
        with selectors.PollSelector() as selector:
            selector.register(self._waker, selectors.EVENT_READ)
            selector.select(min(seconds, _TICK_S))
        self._waker.clear()
