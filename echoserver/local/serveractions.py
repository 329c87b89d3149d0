"""FleetIQ's operations on game servers and instances: one class each, registered by its name."""

from echoserver.local.operation import (
    Operation,
    Output,
    Request,
    readAfter,
    wordInstance,
    wordPage,
)
from echoserver.local.paging import cutPage


class RegisterGameServer(Operation):
    def invoke(self, request: Request) -> Output:
        server = self.state.register(
            request["GameServerGroupName"],
            request["GameServerId"],
            request["InstanceId"],
            request.get("ConnectionInfo"),
            request.get("GameServerData"),
            self.now,
        )
        return {"GameServer": self.wordGameServer(server)}


class UpdateGameServer(Operation):
    def invoke(self, request: Request) -> Output:
        server = self.state.update(
            request["GameServerGroupName"],
            request["GameServerId"],
            request.get("GameServerData"),
            request.get("UtilizationStatus"),
            request.get("HealthCheck"),
            self.now,
        )
        return {"GameServer": self.wordGameServer(server)}


class DeregisterGameServer(Operation):
    def invoke(self, request: Request) -> None:
        self.state.deregister(request["GameServerGroupName"], request["GameServerId"], self.now)


class DescribeGameServer(Operation):
    def invoke(self, request: Request) -> Output:
        server = self.state.gameServer(
            request["GameServerGroupName"], request["GameServerId"], self.now
        )
        return {"GameServer": self.wordGameServer(server)}


class ListGameServers(Operation):
    def invoke(self, request: Request) -> Output:
        group = self.groups.group(request["GameServerGroupName"])
        descending = request.get("SortOrder") == "DESCENDING"
        listing = f"servers/{group.name}/{'descending' if descending else 'ascending'}"
        servers, more = self.state.gameServers(
            group.name,
            self.now,
            readAfter(request, listing, int),
            self.pageSize(request),
            descending,
        )
        words = map(self.wordGameServer, servers)
        return wordPage("GameServers", words, listing, servers[-1].serial if more else None)


class ClaimGameServer(Operation):
    def invoke(self, request: Request) -> Output:
        server = self.state.claim(
            request["GameServerGroupName"],
            request.get("GameServerId"),
            request.get("GameServerData"),
            (request.get("FilterOption") or {}).get("InstanceStatuses"),
            self.now,
        )
        return {"GameServer": self.wordGameServer(server)}


class DescribeGameServerInstances(Operation):
    def invoke(self, request: Request) -> Output:
        group = self.groups.group(request["GameServerGroupName"])
        listing = f"instances/{group.name}"
        keys = group.sortedInstanceIds
        if request.get("InstanceIds") is not None:
            # Ids that are not in the group are left out: AWS does not say what they do.
            named = [self.groups.instances.get(each) for each in set(request["InstanceIds"])]
            keys = sorted(
                each.instanceId for each in named if each and each.groupName == group.name
            )
        ids, more = cutPage(keys, readAfter(request, listing, str), self.pageSize(request))
        words = (wordInstance(self.groups.instances[instanceId]) for instanceId in ids)
        return wordPage("GameServerInstances", words, listing, ids[-1] if more else None)
