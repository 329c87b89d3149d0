"""
A session of botocore with the methods of boto3's session that are in use.

The import of boto3 takes as long as that of botocore, because it imports s3transfer. A command that
makes one call does not need that; a server does not notice it.
"""

from __future__ import annotations

from typing import Any

from echoserver.gamelift.client import Client, EndpointConfig, Session, withoutFiles


class BotocoreSession:
    """
    A L{Session<echoserver.gamelift.client.Session>} without boto3.

    @ivar region_name: the region in the settings.
    """

    def __init__(self, session: Any) -> None:
        self.region_name: str | None = session.get_config_variable("region")
        self._session = session

    def client(self, service: str, **settings: Any) -> Client:
        """Make a client, as boto3 does."""
        client: Client = self._session.create_client(service, **settings)
        return client


def openBotocoreSession(where: EndpointConfig) -> Session:
    """Make a session as L{openSession<echoserver.gamelift.client.openSession>} does."""
    import botocore.session

    if where.local:
        session = botocore.session.Session(session_vars=withoutFiles())
        session.set_credentials("local", "local")
    else:
        session = botocore.session.Session()
    region = where.region or ("us-east-1" if where.local else None)
    if region is not None:
        session.set_config_variable("region", region)
    return BotocoreSession(session)
