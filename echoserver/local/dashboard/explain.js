// Says in words what an entry of the journal means, and above all why a game server is gone.

import { duration, t } from "./texts.js";

// The reasons that the local FleetIQ gives, and the texts for them.
const REASONS = [
  [/last health report (\d+) s ago/, (found) => t("reason.silent", { time: duration(Number(found[1])) })],
  [/its instance was terminated \((.+)\)/, (found) => t("reason.terminated", { why: causeOf(found[1]) })],
  [/its group is (\w+)/, (found) => t("reason.group", { status: found[1] })],
  [/deregistered after (\d+) s/, (found) => t("reason.deregistered", { time: duration(Number(found[1])) })],
];

const causeOf = (why) => t({ "spot interruption": "cause.spot", "Auto Scaling": "cause.autoscaling" }[why] ?? why);

export function reasonOf(entry) {
  for (const [pattern, text] of REASONS) {
    const found = pattern.exec(entry.sentence ?? "");
    if (found) return text(found);
  }
  return entry.sentence ?? "";
}

const EXPLAINED = ["registered", "claimed", "claim-expired", "utilized", "released"];

export function describeEvent(entry) {
  if (EXPLAINED.includes(entry.event)) return t(`event.${entry.event}.means`);
  return reasonOf(entry);
}

// The caller's name is its SDK's. This page calls from the browser.
export const callerOf = (entry) => (entry.caller?.startsWith("Mozilla/") ? t("caller.browser") : entry.caller ?? "–");
