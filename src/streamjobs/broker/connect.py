"""From settings to a broker. Adapters are imported only when one is needed: Quix takes 0.6 s."""

from __future__ import annotations

from streamjobs.broker.ports import Broker
from streamjobs.settings import Settings

__all__ = ("connect",)


def connect(settings: Settings) -> Broker:
    """The broker that the settings name. Nothing happens on the network yet.

    Raises:
        SettingError: the connection settings are unusable.
        ConfigurationError: an adapter cannot work here.
    """
    if settings.broker == "embedded":
        from streamjobs.broker.embedded import EmbeddedBroker

        return EmbeddedBroker()
    from streamjobs.broker.quix.broker import QuixBroker

    return QuixBroker(settings.broker, settings.connection)
