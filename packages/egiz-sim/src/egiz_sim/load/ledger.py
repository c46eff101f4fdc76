"""Each message of a load: when it was due, sent, acknowledged, seen live and stored.

A message is known by device, boot and seq. All of a load have one boot, and devices
publish in turn: so its number in the load is seq * devices + device, and a time is
looked up in an array. Times are monotonic seconds, and 0 is never.
"""

from array import array
from typing import TypeAlias

Times: TypeAlias = "array[float]"


class Sightings:
    """The messages that a subscriber or a database shows.

    Attributes:
        first: when each was first seen, by number.
        count: how many were seen.
        repeats: messages seen once more.
        reordered: messages seen after a later one of their device.
        unknown: of this load's boot, but never sent.
    """

    def __init__(self, devices: int) -> None:
        self.first = array("d")
        self.count = self.repeats = self.reordered = self.unknown = 0
        self._devices = devices
        self._newest = array("q", [-1]) * devices

    def see(self, number: int, at: float) -> None:
        """Note that a message was seen at this time."""
        if not 0 <= number < len(self.first):
            self.unknown += 1
        elif self.first[number]:
            self.repeats += 1
        else:
            self.first[number] = at
            self.count += 1
            device = number % self._devices
            if number < self._newest[device]:
                self.reordered += 1
            else:
                self._newest[device] = number


class Ledger:
    """All messages of a load.

    Args:
        devices: how many publish in turn.
        boot: of every message.
        is_live: whether a live subscriber looks for them.
        is_stored: whether they are looked for in a database.

    Attributes:
        due: when each was to be sent, by number.
        sent: when it was handed to its connection.
        acknowledged: when its PUBACK came.
        acknowledgements: how many have come.
        live: what the subscriber saw; None without one.
        stored: what the database showed; None without one.
        unsent: messages that were due, and that no packet id was free for.
    """

    def __init__(
        self, devices: int, boot: int, *, is_live: bool, is_stored: bool
    ) -> None:
        self.devices = devices
        self.boot = boot
        self.due = array("d")
        self.sent = array("d")
        self.acknowledged = array("d")
        self.live = Sightings(devices) if is_live else None
        self.stored = Sightings(devices) if is_stored else None
        self.acknowledgements = self.unsent = 0
        self._all = [self.acknowledged]
        self._all += [seen.first for seen in (self.live, self.stored) if seen]

    def send(self, due: float, sent: float) -> int:
        """Note a message that is sent now; gives its number."""
        self.due.append(due)
        self.sent.append(sent)
        for times in self._all:
            times.append(0.0)
        return len(self.due) - 1

    def acknowledge(self, number: int, at: float) -> None:
        """Note its PUBACK."""
        self.acknowledged[number] = at
        self.acknowledgements += 1

    def identity(self, number: int) -> tuple[int, int]:
        """(index of the device, seq) of a message."""
        seq, device = divmod(number, self.devices)
        return device, seq

    def missing(self, times: Times) -> list[int]:
        """Numbers of messages that the broker acknowledged and that are not there."""
        return [
            number
            for number, (acknowledged, at) in enumerate(
                zip(self.acknowledged, times, strict=True)
            )
            if acknowledged and not at
        ]

    @property
    def is_complete(self) -> bool:
        """Whether every message has come to its end."""
        return all(count == len(self.due) for count in self.progress)

    @property
    def progress(self) -> list[int]:
        """How many messages have come to each end."""
        seen = [one.count for one in (self.live, self.stored) if one]
        return [self.acknowledgements, *seen]
