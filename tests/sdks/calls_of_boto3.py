"""
Call each operation of FleetIQ with boto3, which gets the URLs from its environment variables.

Imports only boto3, so that it runs with any version of it. Ends with a traceback at the first
response that differs from boto3's documentation.
"""

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import botocore
from botocore.exceptions import ClientError

LOCAL = {"GameServerGroupName": "local"}
CREATED = {"GameServerGroupName": "created"}
SUSPENDED = ["REPLACE_INSTANCE_TYPES"]
DATA = '{"map": "섬"}'


def main(client: Any) -> None:
    """Make the calls in the order of a game."""
    instances = client.describe_game_server_instances(**LOCAL)["GameServerInstances"]
    instance = {"InstanceId": instances[0]["InstanceId"]}
    one, other = ({**LOCAL, "GameServerId": name} for name in ("srv-1", "srv-2"))

    server = client.register_game_server(
        **one, **instance, ConnectionInfo="localhost:5000", GameServerData=DATA
    )["GameServer"]
    assert server["GameServerData"] == DATA, server
    isNow(server["RegistrationTime"])
    fails(client.exceptions.ConflictException, client.register_game_server, **one, **instance)
    client.register_game_server(**other, **instance)
    assert client.describe_game_server(**one)["GameServer"] == server
    pages = client.get_paginator("list_game_servers").paginate(
        **LOCAL, SortOrder="DESCENDING", PaginationConfig={"PageSize": 1}
    )
    listed = [server["GameServerId"] for page in pages for server in page["GameServers"]]
    assert listed == ["srv-2", "srv-1"], listed

    server = client.claim_game_server(
        **LOCAL, FilterOption={"InstanceStatuses": ["ACTIVE", "DRAINING"]}
    )["GameServer"]
    assert (server["GameServerId"], server["ClaimStatus"]) == ("srv-1", "CLAIMED"), server
    isNow(server["LastClaimTime"])
    client.claim_game_server(**other)
    fails(client.exceptions.OutOfCapacityException, client.claim_game_server, **LOCAL)
    server = client.update_game_server(**one, UtilizationStatus="UTILIZED", HealthCheck="HEALTHY")[
        "GameServer"
    ]
    assert (server["UtilizationStatus"], server.get("ClaimStatus")) == ("UTILIZED", None), server
    isNow(server["LastHealthCheckTime"])
    back = {**one, "UtilizationStatus": "AVAILABLE"}
    fails(client.exceptions.InvalidRequestException, client.update_game_server, **back)
    reply = client.deregister_game_server(**one)
    assert list(reply) == ["ResponseMetadata"], reply
    fails(client.exceptions.NotFoundException, client.deregister_game_server, **one)
    groups(client)


def groups(client: Any) -> None:
    """Call the operations of groups and tags."""
    group = client.create_game_server_group(
        **CREATED,
        RoleArn="arn:aws:iam::000000000000:role/FleetIQ",
        MinSize=0,
        MaxSize=1,
        LaunchTemplate={"LaunchTemplateName": "game"},
        InstanceDefinitions=[{"InstanceType": "c5.large"}, {"InstanceType": "c5a.large"}],
        Tags=[{"Key": "game", "Value": "echo"}],
    )["GameServerGroup"]
    isNow(group["CreationTime"])
    arn = {"ResourceARN": group["GameServerGroupArn"]}
    described = client.describe_game_server_group(**CREATED)["GameServerGroup"]
    assert described["GameServerGroupArn"] == arn["ResourceARN"], described
    client.update_game_server_group(**CREATED, BalancingStrategy="SPOT_ONLY")
    group = client.suspend_game_server_group(**CREATED, SuspendActions=SUSPENDED)["GameServerGroup"]
    assert group["SuspendedActions"] == SUSPENDED, group
    group = client.resume_game_server_group(**CREATED, ResumeActions=SUSPENDED)["GameServerGroup"]
    assert (group["BalancingStrategy"], group["SuspendedActions"]) == ("SPOT_ONLY", []), group
    pages = client.get_paginator("list_game_server_groups").paginate(
        PaginationConfig={"PageSize": 1}
    )
    names = [group["GameServerGroupName"] for page in pages for group in page["GameServerGroups"]]
    assert names == ["created", "local"], names

    client.tag_resource(**arn, Tags=[{"Key": "team", "Value": ""}])
    client.untag_resource(**arn, TagKeys=["game"])
    tags = client.list_tags_for_resource(**arn)["Tags"]
    assert tags == [{"Key": "team", "Value": ""}], tags
    none = {"ResourceARN": arn["ResourceARN"] + "-other"}
    fails(client.exceptions.NotFoundException, client.list_tags_for_resource, **none)

    group = client.delete_game_server_group(**LOCAL, DeleteOption="FORCE_DELETE")["GameServerGroup"]
    assert group["Status"] == "DELETE_SCHEDULED", group


def isNow(time: datetime) -> None:
    """Check that the time is at most a minute from the current time."""
    assert abs(datetime.now(UTC) - time) < timedelta(minutes=1), time


def fails(error: type[Exception], call: Callable[..., Any], **request: Any) -> None:
    """Check that the call fails with this error, and that the error has a message."""
    try:
        reply = call(**request)
    except error as failure:
        assert isinstance(failure, ClientError)
        assert failure.response["Error"]["Message"], failure.response
        return
    raise AssertionError(f"Did not fail with {error.__name__}: {reply}")


if __name__ == "__main__":
    main(boto3.client("gamelift"))
    sys.stdout.write(f"boto3 {boto3.__version__}, botocore {botocore.__version__}\n")
