// Call each operation of FleetIQ with the AWS SDK for JavaScript v3, which gets the URLs from its environment variables.
// The protocol is AWS JSON, the default of the client, or CBOR: node calls_of_javascript.mjs cbor
// Ends with an error at the first response that differs from the documentation of the SDK.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import * as sdk from "@aws-sdk/client-gamelift";
import { AwsSmithyRpcV2CborProtocol } from "@aws-sdk/core/protocols";

const inCbor = process.argv[2] === "cbor";
const client = new sdk.GameLift(inCbor ? { protocol: AwsSmithyRpcV2CborProtocol } : {});
const local = { GameServerGroupName: "local" };
const created = { GameServerGroupName: "created" };
const one = { ...local, GameServerId: "srv-1" };
const other = { ...local, GameServerId: "srv-2" };
const actions = ["REPLACE_INSTANCE_TYPES"];
const data = '{"map": "섬"}';

const isNow = (time) => {
  assert(time instanceof Date, `${time} is not a date`);
  assert(Math.abs(Date.now() - time) < 60_000, `${time} is not now`);
};
const fails = (error, call) =>
  assert.rejects(call, (raised) => {
    assert(raised instanceof error, `${raised} is not ${error.name}`);
    assert(raised.message && raised.$metadata.requestId, raised);
    return true;
  });
const allOf = async (pages, member, name) => {
  const names = [];
  for await (const page of pages) names.push(...page[member].map((each) => each[name]));
  return names;
};

const { GameServerInstances } = await client.describeGameServerInstances(local);
const instance = { InstanceId: GameServerInstances[0].InstanceId };
let { GameServer: server } = await client.registerGameServer({
  ...one, ...instance, ConnectionInfo: "localhost:5000", GameServerData: data,
});
assert.equal(server.GameServerData, data);
isNow(server.RegistrationTime);
await fails(sdk.ConflictException, client.registerGameServer({ ...one, ...instance }));
await client.registerGameServer({ ...other, ...instance });
assert.deepEqual((await client.describeGameServer(one)).GameServer, server);
const servers = sdk.paginateListGameServers({ client, pageSize: 1 }, { ...local, SortOrder: "DESCENDING" });
assert.deepEqual(await allOf(servers, "GameServers", "GameServerId"), ["srv-2", "srv-1"]);

({ GameServer: server } = await client.claimGameServer({
  ...local, FilterOption: { InstanceStatuses: ["ACTIVE", "DRAINING"] },
}));
assert.deepEqual([server.GameServerId, server.ClaimStatus], ["srv-1", "CLAIMED"]);
isNow(server.LastClaimTime);
await client.claimGameServer(other);
await fails(sdk.OutOfCapacityException, client.claimGameServer(local));
({ GameServer: server } = await client.updateGameServer({
  ...one, UtilizationStatus: "UTILIZED", HealthCheck: "HEALTHY",
}));
assert.deepEqual([server.UtilizationStatus, server.ClaimStatus], ["UTILIZED", undefined]);
isNow(server.LastHealthCheckTime);
await fails(sdk.InvalidRequestException, client.updateGameServer({ ...one, UtilizationStatus: "AVAILABLE" }));
assert.deepEqual(Object.keys(await client.deregisterGameServer(one)), ["$metadata"]);
await fails(sdk.NotFoundException, client.deregisterGameServer(one));

let { GameServerGroup: group } = await client.createGameServerGroup({
  ...created,
  RoleArn: "arn:aws:iam::000000000000:role/FleetIQ",
  MinSize: 0,
  MaxSize: 1,
  LaunchTemplate: { LaunchTemplateName: "game" },
  InstanceDefinitions: [{ InstanceType: "c5.large" }, { InstanceType: "c5a.large" }],
  Tags: [{ Key: "game", Value: "echo" }],
});
isNow(group.CreationTime);
const arn = { ResourceARN: group.GameServerGroupArn };
({ GameServerGroup: group } = await client.describeGameServerGroup(created));
assert.equal(group.GameServerGroupArn, arn.ResourceARN);
await client.updateGameServerGroup({ ...created, BalancingStrategy: "SPOT_ONLY" });
({ GameServerGroup: group } = await client.suspendGameServerGroup({ ...created, SuspendActions: actions }));
assert.deepEqual(group.SuspendedActions, actions);
({ GameServerGroup: group } = await client.resumeGameServerGroup({ ...created, ResumeActions: actions }));
assert.deepEqual([group.BalancingStrategy, group.SuspendedActions], ["SPOT_ONLY", []]);
const groups = sdk.paginateListGameServerGroups({ client, pageSize: 1 }, {});
assert.deepEqual(await allOf(groups, "GameServerGroups", "GameServerGroupName"), ["created", "local"]);

await client.tagResource({ ...arn, Tags: [{ Key: "team", Value: "" }] });
await client.untagResource({ ...arn, TagKeys: ["game"] });
assert.deepEqual((await client.listTagsForResource(arn)).Tags, [{ Key: "team", Value: "" }]);
const none = { ResourceARN: `${arn.ResourceARN}-other` };
await fails(sdk.NotFoundException, client.listTagsForResource(none));

({ GameServerGroup: group } = await client.deleteGameServerGroup({ ...local, DeleteOption: "FORCE_DELETE" }));
assert.equal(group.Status, "DELETE_SCHEDULED");

const { version } = createRequire(import.meta.url)("@aws-sdk/client-gamelift/package.json");
console.log(`@aws-sdk/client-gamelift ${version}, node ${process.version}, in ${inCbor ? "CBOR" : "JSON"}`);
