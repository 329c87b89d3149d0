// The panel of one game server: what it is, what can be done, what has happened, and how to do it in code.

import * as actions from "./actions.js";
import { commandsOf } from "./commands.js";
import { byId, h, setText } from "./dom.js";
import { callerOf, describeEvent, reasonOf } from "./explain.js";
import { stateName } from "./fleet.js";
import { Terminal } from "./terminal.js";
import { duration, t, time } from "./texts.js";

const TIMES = ["RegistrationTime", "LastHealthCheckTime", "LastClaimTime"];
const LONGEST_TIMELINE = 100;

export class ServerPanel {
  constructor(model, select) {
    this.model = model;
    this.select = select;
    this.id = null;
    this.language = "fleetiq";
    this.terminal = null;
  }

  get server() {
    return this.model.servers.get(this.id) ?? null;
  }

  show(id) {
    if (id !== this.id) this.#endTerminal();
    this.id = id;
    this.rebuild();
  }

  rebuild() {
    const root = byId("panel");
    root.classList.toggle("open", this.id !== null);
    if (this.id === null) {
      root.replaceChildren(...introduction());
      return;
    }
    this.title = h("h2", { tabindex: "-1", class: "id" }, this.id);
    this.pill = h("span", { class: "pill state" });
    this.means = h("p", { class: "means" });
    this.actions = h("div", { class: "actions" });
    this.place = h("div", { class: "terminal-place" });
    this.timeline = h("ol", { class: "timeline" });
    this.fields = h("dl", { class: "fields" });
    this.commands = h("div", { class: "commands" });
    this.shownActions = null;
    root.replaceChildren(
      h("div", { class: "panel-head" }, this.title,
        h("button", { class: "quiet", "aria-label": t("close"), onclick: () => this.select(null) }, "✕")),
      this.pill, this.means, this.actions, this.place,
      h("h3", {}, t("timeline")), this.timeline,
      h("h3", {}, t("fields")), this.fields,
      h("h3", {}, t("commands")), h("p", { class: "muted" }, t("commands.explains")), this.commands);
    if (this.terminal) this.place.append(this.terminal.root);
    this.#showCommands();
    this.update(true);
  }

  // Shows what has changed. Timeline and fields are rebuilt only for entries of this game server.
  update(isTouched) {
    if (this.id === null) return;
    const { model, server } = this;
    const state = server ? model.stateOf(server) : "gone";
    const isUnhealthy = server !== null && model.isUnhealthy(server);
    this.pill.dataset.state = isUnhealthy ? "unhealthy" : state;
    setText(this.pill, isUnhealthy ? `${stateName("unhealthy")} · ${stateName(state)}` : stateName(state));
    setText(this.means, this.#meaning(server, state, isUnhealthy));
    this.#showActions(server, state);
    if (isTouched) {
      this.#showTimeline();
      this.#showFields(server);
    }
  }

  #meaning(server, state, isUnhealthy) {
    const { model } = this;
    if (!server) {
      const gone = model.gone.get(this.id);
      return gone ? `${t(`event.${gone.entry.event}`)}. ${reasonOf(gone.entry)}` : t("state.gone.means");
    }
    if (isUnhealthy) {
      const left = model.healthTimeout - model.silence(server);
      return t("state.unhealthy.now", { time: duration(model.silence(server)), left: duration(left) });
    }
    const left = state === "claimed" ? ` ${t("state.claimed.left", { n: Math.ceil(model.claimLeft(server)) })}` : "";
    return t(`state.${state}.means`) + left;
  }

  #showActions(server, state) {
    const shown = `${state} ${server?.ConnectionInfo}`;
    if (shown === this.shownActions) return;
    this.shownActions = shown;
    if (!server) {
      const gone = this.model.gone.get(this.id);
      const next = gone && this.model.successor(gone.server);
      this.actions.replaceChildren(...(next
        ? [h("span", {}, t("successor")), h("button", { class: "link", onclick: () => this.select(next) }, next)] : []));
      if (!next) this.shownActions = null;
      return;
    }
    const button = (name, action, attributes = {}) =>
      h("button", { "data-action": name, onclick: action, ...attributes }, t(name));
    // Disabled buttons keep their place, so that none moves under the pointer.
    this.actions.replaceChildren(
      button("claim", () => actions.claim(this.server), { disabled: state !== "available", class: state === "available" ? "primary" : null }),
      button("play", () => this.play(), { disabled: !server.ConnectionInfo }),
      button("utilize", () => actions.utilize(this.server), { disabled: state === "utilized" }),
      button("healthy", () => actions.reportHealthy(this.server)),
      button("deregister.open", () => actions.deregister(this.server), { class: "danger" }));
  }

  // As a player: claim the game server if it is free, then connect.
  async play() {
    const { server } = this;
    if (!server) return;
    if (this.model.stateOf(server) === "available" && !(await actions.claim(server)).ok) return;
    this.#endTerminal();
    this.terminal = new Terminal(server);
    this.place.replaceChildren(this.terminal.root);
    this.terminal.focus();
  }

  #endTerminal() {
    this.terminal?.close();
    this.terminal = null;
  }

  #showTimeline() {
    const rows = [];
    for (const entry of this.model.entries) {
      if (entry.GameServerId === this.id) addRow(rows, entry);
    }
    const last = rows.slice(-LONGEST_TIMELINE).reverse();
    this.timeline.replaceChildren(...last.map((row) => h("li", { "data-event": row.event },
      h("span", { class: "figures muted" }, time(row.time)),
      h("div", {}, h("strong", {}, row.title), row.text ? h("span", {}, row.text) : null))));
    if (!last.length) this.timeline.append(h("li", { class: "muted" }, t("timeline.empty")));
  }

  #showFields(server) {
    const fields = server ?? this.model.gone.get(this.id)?.server ?? {};
    this.fields.replaceChildren(...Object.entries(fields)
      .filter(([name]) => /^[A-Z]/.test(name))
      .flatMap(([name, value]) => [
        h("dt", {}, name),
        h("dd", {}, TIMES.includes(name) ? `${time(value)} (${value})` : String(value)),
      ]));
  }

  #showCommands() {
    const server = this.server ?? this.model.gone.get(this.id)?.server;
    if (!server) return;
    const all = commandsOf(server);
    const choose = h("div", { class: "choices", role: "group", "aria-label": t("commands") }, ...Object.keys(all).map((name) =>
      h("button", {
        "aria-pressed": String(name === this.language),
        onclick: () => { this.language = name; this.#showCommands(); },
      }, name)));
    const lines = all[this.language].map(({ what, text }) => h("div", { class: "command" },
      h("span", { class: "muted" }, t(what)),
      h("pre", { tabindex: "0" }, text),
      h("button", { class: "quiet", "aria-label": t("copy.this", { what: t(what) }), onclick: (event) => copy(event.target, text) }, t("copy"))));
    this.commands.replaceChildren(choose, ...lines);
  }
}

async function copy(button, text) {
  try {
    await navigator.clipboard.writeText(text);
    actions.announce(t("copied"));
    button.textContent = t("copied");
  } catch {
    // Without permission the text is selected, to be copied by hand.
    getSelection().selectAllChildren(button.previousElementSibling);
    button.textContent = t("copy.selected");
  }
  setTimeout(() => (button.textContent = t("copy")), 2000);
}

// Adds an entry to the rows of a timeline. Health reports in sequence become one row.
function addRow(rows, entry) {
  if (entry.event !== "call") {
    rows.push({ event: entry.event, time: entry.time, title: t(`event.${entry.event}`), text: describeEvent(entry) });
    return;
  }
  if (entry.outcome !== "OK") {
    rows.push({
      event: "failed", time: entry.time, title: t("call.failed", { operation: entry.operation }),
      text: [entry.outcome, entry.sentence, callerOf(entry)].filter(Boolean).join(" · "),
    });
    return;
  }
  const last = rows.at(-1);
  if (entry.operation === "DeregisterGameServer" && last?.event === "deregistered") {
    last.text += ` ${t("by", { caller: callerOf(entry) })}`;
  }
  if (entry.operation === "ClaimGameServer" && last?.event === "claimed") {
    last.text += ` ${t("by", { caller: callerOf(entry) })}`;
  }
  if (entry.operation !== "UpdateGameServer" || last?.event === "utilized") return;
  if (last?.event === "healthy") {
    last.count += 1;
    last.time = entry.time;
    last.text = t("healthy.many", { n: last.count, caller: callerOf(entry) });
    return;
  }
  // Without details it is not known what the update reported: mostly health.
  const isHealth = !entry.input || entry.input.includes('"HealthCheck"');
  rows.push({
    event: isHealth ? "healthy" : "updated", time: entry.time, count: 1,
    title: t(isHealth ? "event.healthy" : "event.updated"), text: t("by", { caller: callerOf(entry) }),
  });
}

function introduction() {
  const step = (state) => h("li", { "data-state": state },
    h("span", { class: "pill state", "data-state": state }, stateName(state)), h("span", {}, t(`intro.${state}`)));
  return [
    h("h2", {}, t("intro.title")),
    h("p", {}, t("intro.what")),
    h("ol", { class: "life" }, step("available"), step("claimed"), step("utilized"), step("gone")),
    h("h3", {}, t("intro.try")),
    h("ol", { class: "try" }, ...["select", "play", "interrupt", "clock"].map((each) => h("li", {}, t(`intro.try.${each}`)))),
  ];
}
