"""The settings: all of a configuration, or nothing."""

from egiz_edge.settings import ConfigError, Settings

GIVEN = {"facility": "factory", "device_id": "oven-001", "broker": "localhost"}


def _refused(settings, config):
    try:
        settings.apply(config)
    except ConfigError as fault:
        return fault.args[0]
    raise AssertionError("applied")


def test_the_defaults_are_those_of_the_requirements():
    settings = Settings(GIVEN)
    assert settings.sampling_rate_ms == 1000
    assert settings.publish_rate_ms == 5000
    assert settings.port == 1883


def test_a_config_message_changes_the_periods():
    settings = Settings(GIVEN)
    settings.apply({"device_id": "oven-001", "sampling_rate_ms": 500})
    assert settings.sampling_rate_ms == 500
    assert settings.publish_rate_ms == 5000


def test_nothing_of_a_config_with_a_fault_is_applied():
    settings = Settings(GIVEN)
    for publish_rate_ms in (99, 3600001, -1, 1.5, "1000", None, True):
        config = {
            "device_id": "oven-001",
            "sampling_rate_ms": 500,
            "publish_rate_ms": publish_rate_ms,
        }
        assert _refused(settings, config) == "publish_rate_ms: not 100..3600000"
        assert settings.sampling_rate_ms == 1000


def test_the_config_of_another_device_is_refused():
    settings = Settings(GIVEN)
    assert _refused(settings, {"device_id": "oven-002"}) == "device_id: not ours"
