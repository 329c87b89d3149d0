// What exists in the local FleetIQ, as the stream has sent it. No DOM here.

export const GONE_SECONDS = 15;
const KEPT = 2000;
const GONE_KEPT = 50;

export class Model {
  constructor() {
    this.clear();
  }

  clear() {
    this.servers = new Map();
    this.instances = new Map();
    this.groups = [];
    this.gone = new Map();
    this.entries = [];
    this.faults = [];
    this.players = {};
    this.forgotten = 0;
    this.timeScale = 1;
    this.clock = 0;
    this.at = performance.now();
    this.isLoaded = false;
  }

  // The local clock of the FleetIQ, in epoch seconds.
  now() {
    return this.clock + ((performance.now() - this.at) / 1000) * this.timeScale;
  }

  // Takes in one message of the stream. Returns the ids of the game servers that it changed.
  apply(message) {
    if (message.full) {
      this.clear();
      this.isLoaded = true;
      this.healthTimeout = message.healthTimeout;
      this.claimSeconds = message.claimSeconds;
      this.forgotten = message.forgotten;
    }
    this.clock = message.now;
    this.at = performance.now();
    this.timeScale = message.timeScale;
    this.faults = message.faults;
    const changed = new Set();
    for (const id of Object.keys({ ...this.players, ...message.players })) {
      if (this.players[id] !== message.players[id]) changed.add(id);
    }
    this.players = message.players;
    if (message.groups) this.groups = message.groups;
    if (message.instances) {
      this.instances = new Map(message.instances.map((each) => [each.InstanceId, each]));
    }
    for (const entry of message.entries) this.#add(entry, changed, message.full);
    if (this.entries.length > KEPT * 1.5) this.entries.splice(0, this.entries.length - KEPT);
    for (const server of message.gameServers) {
      this.servers.set(server.GameServerId, server);
      this.gone.delete(server.GameServerId);
      changed.add(server.GameServerId);
    }
    return changed;
  }

  #add(entry, changed, isOld) {
    this.entries.push(entry);
    const id = entry.GameServerId;
    if (!id || (entry.event !== "deregistered" && entry.event !== "dropped")) return;
    this.gone.delete(id);
    this.gone.set(id, {
      server: this.servers.get(id) ?? entry,
      entry,
      at: isOld ? -Infinity : performance.now(),
    });
    if (this.gone.size > GONE_KEPT) this.gone.delete(this.gone.keys().next().value);
    this.servers.delete(id);
    changed.add(id);
  }

  stateOf(server) {
    if (server.UtilizationStatus === "UTILIZED") return "utilized";
    return server.ClaimStatus === "CLAIMED" ? "claimed" : "available";
  }

  silence(server) {
    return Math.max(0, this.now() - server.LastHealthCheckTime);
  }

  // AWS recommends a report each 60 s. After half of the limit at least one is missing.
  isUnhealthy(server) {
    return this.silence(server) > this.healthTimeout / 2;
  }

  claimLeft(server) {
    return Math.max(0, server.LastClaimTime + this.claimSeconds - this.now());
  }

  isDraining(instanceId) {
    return (this.instances.get(instanceId)?.InstanceStatus ?? "ACTIVE") !== "ACTIVE";
  }

  // What CloudWatch counts, of one group.
  counts(groupName) {
    const counts = { available: 0, claimed: 0, utilized: 0, unhealthy: 0, drainingAvailable: 0, drainingUtilized: 0 };
    for (const server of this.servers.values()) {
      if (server.GameServerGroupName !== groupName) continue;
      const state = this.stateOf(server);
      counts[state] += 1;
      if (this.isUnhealthy(server)) counts.unhealthy += 1;
      if (this.isDraining(server.InstanceId)) {
        counts[state === "utilized" ? "drainingUtilized" : "drainingAvailable"] += 1;
      }
    }
    return counts;
  }

  // The id under which a game server that is gone has registered again, if it has.
  successor(server) {
    if (!server.ConnectionInfo) return null;
    for (const other of this.servers.values()) {
      if (
        other.ConnectionInfo === server.ConnectionInfo &&
        other.InstanceId === server.InstanceId &&
        other.GameServerId !== server.GameServerId
      ) {
        return other.GameServerId;
      }
    }
    return null;
  }
}

// Ids begin with the instance's. What differs is at the end.
export function shortId(id, instanceId) {
  return instanceId && id.startsWith(`${instanceId}-`) ? id.slice(instanceId.length + 1) : id;
}
