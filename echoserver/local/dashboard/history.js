// FleetIQ's CloudWatch metrics over the last 15 minutes of the local clock. No DOM here.

export const WINDOW = 900;
const BUCKET = 10;
export const METRICS = ["AvailableGameServers", "UtilizedGameServers", "PercentUtilizedGameServers",
  "DrainingAvailableGameServers", "DrainingUtilizedGameServers", "GameServerInterruptions", "InstanceInterruptions"];

export class History {
  constructor() {
    this.clear();
  }

  clear() {
    this.known = new Map();
    this.draining = new Set();
    this.interruptions = new Map();
    this.samples = new Map();
    this.calls = new Map();
  }

  // Replays the journal up to the state of now, so that the plots begin before the page was opened.
  load(model) {
    this.clear();
    const seen = new Set();
    for (const entry of model.entries) {
      const id = entry.GameServerId;
      if (!id || entry.event === "call" || seen.has(id)) continue;
      seen.add(id);
      if (entry.event !== "registered") this.#set(id, entry, false);
    }
    for (const server of model.servers.values()) {
      if (!seen.has(server.GameServerId)) this.#set(server.GameServerId, server, server.UtilizationStatus === "UTILIZED");
    }
    const start = Math.max(model.now() - WINDOW, model.entries[0]?.time ?? model.now());
    for (const group of model.groups) this.#sample(group.GameServerGroupName, start);
    // Of the events of one second only the last makes a sample.
    const events = model.entries.filter((each) => each.event !== "call");
    events.forEach((entry, i) => this.add(entry, !(events[i + 1]?.time - entry.time < 1)));
    for (const entry of model.entries) if (entry.event === "call") this.add(entry);
  }

  add(entry, isSampled = true) {
    if (entry.event === "call") {
      const counts = this.calls.get(entry.operation) ?? new Map();
      const bucket = Math.floor(entry.time / BUCKET);
      counts.set(bucket, (counts.get(bucket) ?? 0) + 1);
      this.calls.set(entry.operation, counts);
      return;
    }
    const { GameServerId: id, InstanceId: instance, GameServerGroupName: group } = entry;
    if (entry.event === "interrupted") {
      if (entry.InstanceStatus !== "ACTIVE") this.draining.add(instance);
      if (entry.InstanceStatus === "SPOT_TERMINATING") {
        const onIt = [...this.known.values()].filter((each) => each.instance === instance).length;
        const sum = this.interruptions.get(group) ?? { instances: 0, servers: 0 };
        this.interruptions.set(group, { instances: sum.instances + 1, servers: sum.servers + onIt });
      }
    } else if (id && (entry.event === "dropped" || entry.event === "deregistered")) {
      this.known.delete(id);
    } else if (id) {
      this.#set(id, entry, entry.UtilizationStatus === "UTILIZED");
    } else {
      return;
    }
    if (isSampled) this.#sample(group, entry.time);
  }

  #set(id, from, isUtilized) {
    this.known.set(id, { group: from.GameServerGroupName, instance: from.InstanceId, isUtilized });
  }

  // Keeps one sample a second: the last one.
  #sample(group, at) {
    const sample = Object.fromEntries(METRICS.map((each) => [each, 0]));
    for (const server of this.known.values()) {
      if (server.group !== group) continue;
      const state = server.isUtilized ? "UtilizedGameServers" : "AvailableGameServers";
      sample[state] += 1;
      if (this.draining.has(server.instance)) sample[`Draining${state}`] += 1;
    }
    const total = sample.AvailableGameServers + sample.UtilizedGameServers;
    sample.PercentUtilizedGameServers = total ? (100 * sample.UtilizedGameServers) / total : 0;
    const sum = this.interruptions.get(group);
    sample.InstanceInterruptions = sum?.instances ?? 0;
    sample.GameServerInterruptions = sum?.servers ?? 0;
    const samples = this.samples.get(group) ?? [];
    this.samples.set(group, samples);
    if (samples.length && at - samples.at(-1).at < 1) samples.pop();
    samples.push({ at, ...sample });
    // One sample from before the window says what it began with.
    while (samples.length > 1 && samples[1].at < at - WINDOW) samples.shift();
  }

  // The points of a metric of a group: [seconds before now, value], the oldest first.
  points(group, metric, now) {
    const points = (this.samples.get(group) ?? []).map((each) => [Math.min(WINDOW, Math.max(0, now - each.at)), each[metric]]);
    if (points.length) points.push([0, points.at(-1)[1]]);
    return points;
  }

  operations() {
    return [...this.calls.keys()].sort();
  }

  // Calls a minute of an operation.
  rate(operation, now) {
    const counts = this.calls.get(operation) ?? new Map();
    const last = Math.floor(now / BUCKET);
    const first = last - WINDOW / BUCKET;
    for (const bucket of counts.keys()) if (bucket < first) counts.delete(bucket);
    const points = [];
    for (let bucket = first; bucket <= last; bucket += 1) {
      points.push([Math.max(0, (last - bucket) * BUCKET), ((counts.get(bucket) ?? 0) * 60) / BUCKET]);
    }
    return points;
  }
}
