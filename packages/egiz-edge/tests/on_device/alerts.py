"""Alerts: raised beyond a threshold, ended by a band before it."""

from egiz_edge.alerts import Alerts
from egiz_edge.payloads import Window


def _window(**means):
    window = Window()
    for name, value in means.items():
        window.add(name, value)
    return window


def _codes(alerts, **means):
    return alerts.evaluate(_window(**means))


def test_an_alert_is_the_field_and_the_side():
    alerts = Alerts(
        {
            "electrical_voltage_a": {"min": 207, "max": 253},
            "thermal_temperature_zones_1": {"max": -15.5},
        }
    )
    assert _codes(alerts, ua=2300, t1=-1600) == []
    assert _codes(alerts, ua=2531, t1=-1549) == [
        "electrical_voltage_a:high",
        "thermal_temperature_zones_1:high",
    ]
    assert _codes(alerts, ua=2069, t1=-1600) == ["electrical_voltage_a:low"]


def test_a_value_at_its_threshold_is_within_it():
    alerts = Alerts({"electrical_frequency": {"min": 49.5, "max": 50.5}})
    assert _codes(alerts, f=495) == []
    assert _codes(alerts, f=505) == []


def test_it_ends_when_the_value_is_back_by_the_band():
    alerts = Alerts({"electrical_voltage_b": {"max": 250}})
    raised = [
        bool(_codes(alerts, ub=volts)) for volts in (2500, 2501, 2499, 2491, 2490)
    ]
    assert raised == [False, True, True, True, False]
    assert not _codes(alerts, ub=2499)  # and not raised again below the threshold


def test_without_a_reading_no_alert_is_reported_and_its_state_is_kept():
    alerts = Alerts({"electrical_current_c": {"min": 0.5}})
    assert _codes(alerts, ic=400) == ["electrical_current_c:low"]
    assert _codes(alerts) == []
    assert _codes(alerts, ic=550) == ["electrical_current_c:low"]  # within the band
    assert _codes(alerts) == []
    assert _codes(alerts, ic=600) == []


def test_each_quantity_has_its_scale():
    for field, name, scaled in (
        ("electrical_current_a", "ia", 1500),
        ("electrical_active_power_a", "pa", 15),
        ("electrical_power_factor", "pf", 150),
        ("thermal_temperature_zones_12", "t12", 150),
    ):
        alerts = Alerts({field: {"max": 1.5}})
        assert _codes(alerts, **{name: scaled}) == []
        assert _codes(alerts, **{name: scaled + 1}) == [field + ":high"]


def _refused(wanted):
    try:
        Alerts(wanted)
    except ValueError as error:
        return error.args[0]
    raise AssertionError(wanted)


def test_an_alert_that_cannot_be_evaluated_is_refused():
    for wanted, reason in (
        ({"electrical_voltage_ab": {}}, "alerts.electrical_voltage_ab: not measured"),
        ({"thermal_setpoint": {"max": 1}}, "alerts.thermal_setpoint: not measured"),
        (
            {"electrical_frequency": {"min": 51, "max": 50}},
            "alerts.electrical_frequency: min above max",
        ),
    ):
        assert _refused(wanted).startswith(reason)
