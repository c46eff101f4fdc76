"""Heat: a body that stores it, and loses it to what is around."""

import math


class Body:
    """One temperature, with a heat capacity and a conductance to its surroundings.

    Args:
        joules_per_k: heat that warms it by 1 K.
        watts_per_k: heat that it loses for each kelvin above its surroundings; above 0.
        celsius: its temperature at the start.
    """

    def __init__(self, joules_per_k: float, watts_per_k: float, celsius: float) -> None:
        self.joules_per_k = joules_per_k
        self.watts_per_k = watts_per_k
        self.celsius = celsius

    def heat(
        self, seconds: float, watts: float, around_c: float, opening_w_k: float = 0.0
    ) -> None:
        """Let `seconds` pass with this heat input; the exact solution, at any length.

        Args:
            seconds: for which the rest is constant.
            watts: heat that comes in; below 0 is cooling.
            around_c: temperature of the surroundings.
            opening_w_k: conductance of an open door, beside that of the walls.
        """
        conductance = self.watts_per_k + opening_w_k
        end_c = around_c + watts / conductance
        share = -math.expm1(-seconds * conductance / self.joules_per_k)
        self.celsius += (end_c - self.celsius) * share
