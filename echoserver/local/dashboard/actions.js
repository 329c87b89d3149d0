// What the buttons do: calls of the API as an SDK makes them, and the controls of the local FleetIQ.

import { byId, h, setText } from "./dom.js";
import { t } from "./texts.js";

const SUCCESS_MILLISECONDS = 10000;

async function send(method, path, headers, body) {
  try {
    const response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    const content = JSON.parse((await response.text()) || "{}");
    return { ok: response.ok, content };
  } catch {
    // A fault can close the connection instead of a reply.
    return { ok: false, content: { message: t("reply.none") } };
  }
}

export async function call(operation, input) {
  const reply = await send("POST", "/", {
    "Content-Type": "application/x-amz-json-1.1",
    "X-Amz-Target": `GameLift.${operation}`,
  }, input);
  showReply(operation, reply);
  return reply;
}

export async function control(method, path, body) {
  const reply = await send(method, `/_local/${path}`, {}, body);
  showReply(`${method} /_local/${path}`, reply);
  return reply;
}

export const errorOf = ({ content }) =>
  [content.__type?.split("#").pop(), content.message ?? content.Message ?? content.error].filter(Boolean).join(": ");

function showReply(what, reply) {
  const box = byId("reply");
  const sentence = reply.ok ? t("reply.ok", { what }) : `${what}: ${errorOf(reply)}`;
  box.replaceChildren(
    h("span", { class: reply.ok ? "mark ok" : "mark failed", "aria-hidden": "true" }, reply.ok ? "✓" : "✕"),
    h("details", {},
      h("summary", {}, h("span", { class: "what" }, sentence)),
      h("pre", { tabindex: "0" }, JSON.stringify(reply.content, null, 2))),
    h("button", { class: "quiet", "aria-label": t("close"), onclick: () => (box.hidden = true) }, "✕"));
  box.hidden = false;
  const shown = box.firstChild;
  // Only a success goes away by itself, and only if nobody reads its details.
  if (reply.ok) setTimeout(() => {
    if (box.firstChild === shown && !box.querySelector("[open]")) box.hidden = true;
  }, SUCCESS_MILLISECONDS);
  announce(sentence);
}

export function announce(sentence) {
  setText(byId("announce"), sentence);
}

// Asks with a form. The button carries out the action, and closes the dialog if it succeeds.
export function ask({ title, body, submit, destroys = false, action }) {
  const dialog = byId("dialog");
  const error = h("p", { class: "error", role: "alert" });
  const cancel = h("button", { type: "button", onclick: () => dialog.close() }, submit ? t("cancel") : t("close"));
  const form = h("form", {},
    h("h2", { id: "dialog-title" }, title),
    ...body,
    error,
    h("div", { class: "buttons" }, cancel,
      submit ? h("button", { class: destroys ? "danger" : "primary" }, submit) : null));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const reply = await action(new FormData(form));
    if (reply.ok) dialog.close();
    else error.textContent = errorOf(reply);
  });
  dialog.replaceChildren(form);
  if (!dialog.open) dialog.showModal();
  if (destroys) cancel.focus();
}

const field = (label, input) => h("label", { class: "field" }, h("span", {}, label), input);
const option = (value, label, selected) => h("option", { value, selected }, label);

export const names = (server) => ({
  GameServerGroupName: server.GameServerGroupName,
  GameServerId: server.GameServerId,
});

export const claim = (server) => call("ClaimGameServer", names(server));
export const claimAny = (groupName) => call("ClaimGameServer", { GameServerGroupName: groupName });
export const utilize = (server) =>
  call("UpdateGameServer", { ...names(server), UtilizationStatus: "UTILIZED", HealthCheck: "HEALTHY" });
export const reportHealthy = (server) => call("UpdateGameServer", { ...names(server), HealthCheck: "HEALTHY" });

export function deregister(server) {
  const isPlaying = server.UtilizationStatus === "UTILIZED";
  ask({
    title: t("deregister"),
    body: [
      h("p", { class: "id" }, server.GameServerId),
      h("p", {}, t(isPlaying ? "deregister.playing" : "deregister.asks")),
    ],
    submit: t("deregister"),
    destroys: true,
    action: () => call("DeregisterGameServer", names(server)),
  });
}

export function interrupt(instanceId) {
  const seconds = h("input", { name: "seconds", type: "number", min: "1", max: "86400", value: "120" });
  const kind = h("select", { name: "kind" },
    ...["spot", "rebalance", "autoscaling", "draining"].map((each) => option(each, t(`interrupt.${each}`))));
  const effect = h("p", { class: "muted" });
  const show = () => {
    const ends = kind.value === "spot" || kind.value === "autoscaling";
    seconds.disabled = !ends;
    effect.textContent = t(`interrupt.${kind.value}.effect`);
  };
  kind.addEventListener("change", show);
  show();
  ask({
    title: t("interrupt.title"),
    body: [h("p", { class: "id" }, instanceId), field(t("interrupt.kind"), kind), effect,
      field(t("interrupt.seconds"), seconds)],
    submit: t("interrupt"),
    destroys: true,
    action: (form) => {
      const ends = form.has("seconds");
      return control("POST", "interrupt", {
        InstanceId: instanceId, kind: form.get("kind"), ...(ends ? { seconds: Number(form.get("seconds")) } : {}),
      });
    },
  });
}

export function reset() {
  ask({
    title: t("reset.title"),
    body: [h("p", {}, t("reset.asks"))],
    submit: t("reset"),
    destroys: true,
    action: () => control("POST", "reset", {}),
  });
}

export function moveClock(model) {
  const advance = h("input", { name: "advance", type: "number", min: "0", step: "any", value: "60", list: "advances" });
  const scale = h("input", { name: "scale", type: "number", min: "0.001", max: "3600", step: "any", value: model.timeScale });
  ask({
    title: t("clock.title"),
    body: [
      h("p", { class: "muted" }, t("clock.explains", { limit: model.healthTimeout, claim: model.claimSeconds })),
      field(t("clock.advance"), advance),
      h("datalist", { id: "advances" }, ...[10, 60, 180, 3600].map((each) => option(each, each))),
      field(t("clock.scale"), scale),
    ],
    submit: t("clock.move"),
    action: (form) => {
      const body = {};
      if (Number(form.get("advance")) > 0) body.advance = Number(form.get("advance"));
      if (Number(form.get("scale")) !== model.timeScale) body.scale = Number(form.get("scale"));
      return control("POST", "clock", body);
    },
  });
}

const OPERATIONS = ["*", "RegisterGameServer", "UpdateGameServer", "DeregisterGameServer", "ClaimGameServer",
  "DescribeGameServer", "ListGameServers", "DescribeGameServerInstances", "ListGameServerGroups"];

export function orderFault(model) {
  const list = h("ul", { class: "faults" });
  const kind = h("select", { name: "kind" },
    ...["slow", "error", "throttle", "drop", "lost-reply"].map((each) => option(each, t(`fault.${each}`))));
  const seconds = field(t("fault.seconds"), h("input", { name: "seconds", type: "number", min: "0.001", max: "3600", step: "any", value: "1" }));
  const code = field(t("fault.code"), h("input", { name: "code", value: "InternalServiceException" }));
  const show = () => {
    seconds.hidden = kind.value !== "slow";
    code.hidden = kind.value !== "error";
  };
  kind.addEventListener("change", show);
  show();
  showFaults(model, list);
  ask({
    title: t("faults"),
    body: [
      h("p", { class: "muted" }, t("fault.explains")),
      list,
      field(t("fault.kind"), kind),
      field(t("fault.operation"), h("select", { name: "operation" },
        ...OPERATIONS.map((each) => option(each, each === "*" ? t("fault.all") : each)))),
      seconds,
      code,
      field(t("fault.probability"), h("input", { name: "probability", type: "number", min: "0.01", max: "1", step: "any", value: "1" })),
      field(t("fault.count"), h("input", { name: "count", type: "number", min: "1", placeholder: t("fault.forever") })),
    ],
    submit: t("fault.order"),
    action: (form) => {
      const body = { kind: form.get("kind"), operation: form.get("operation") };
      if (body.kind === "slow") body.seconds = Number(form.get("seconds"));
      if (body.kind === "error") body.code = form.get("code");
      if (Number(form.get("probability")) !== 1) body.probability = Number(form.get("probability"));
      if (form.get("count")) body.count = Number(form.get("count"));
      return control("POST", "faults", body);
    },
  });
}

// Shows the faults in force in the list of an open dialog.
export function showFaults(model, list = document.querySelector("dialog[open] .faults")) {
  if (!list) return;
  const rows = model.faults.map((fault) => h("li", {},
    h("span", {}, describeFault(fault)),
    h("button", { type: "button", "data-fault": fault.id, onclick: () => control("DELETE", `faults/${fault.id}`) }, t("fault.end"))));
  list.replaceChildren(...(rows.length ? rows : [h("li", { class: "muted" }, t("fault.none"))]));
}

function describeFault(fault) {
  const parts = [t(`fault.${fault.kind}`), fault.operation === "*" ? t("fault.all") : fault.operation];
  if (fault.seconds) parts.push(t("seconds", { n: fault.seconds }));
  if (fault.code) parts.push(fault.code);
  if (fault.probability !== 1) parts.push(`${fault.probability * 100} %`);
  if (fault.count !== null) parts.push(t("fault.left", { n: fault.count }));
  return parts.join(" · ");
}
