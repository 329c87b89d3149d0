// The journal of calls, live: filtered, newest first, each with its input and output.

import { byId, h } from "./dom.js";
import { callerOf } from "./explain.js";
import { t, time } from "./texts.js";

const SHOWN = 200;

export class CallsView {
  constructor(model, select) {
    this.model = model;
    this.select = select;
    this.filter = { operation: "", outcome: "", text: "" };
    this.isPaused = false;
    this.operations = new Set();
  }

  rebuild() {
    this.operation = h("select", { "aria-label": t("calls.operation"), onchange: () => this.refill() });
    this.outcome = h("select", { "aria-label": t("calls.outcome"), onchange: () => this.refill() },
      h("option", { value: "" }, t("calls.outcome.all")),
      h("option", { value: "ok" }, t("calls.outcome.ok")),
      h("option", { value: "failed" }, t("calls.outcome.failed")));
    this.text = h("input", { id: "calls-filter", type: "search", placeholder: t("calls.server"), "aria-label": t("calls.server"), oninput: () => this.refill() });
    const pause = h("button", { "aria-pressed": String(this.isPaused), onclick: () => {
      this.isPaused = !this.isPaused;
      pause.setAttribute("aria-pressed", String(this.isPaused));
      if (!this.isPaused) this.refill();
    } }, t("calls.pause"));
    this.rows = h("tbody");
    this.nothing = h("p", { class: "nothing" }, t("calls.none"));
    const heads = ["time", "operation", "outcome", "server", "caller", "latency"];
    byId("view-calls").replaceChildren(
      h("div", { class: "bar" }, this.operation, this.outcome, this.text, pause),
      h("div", { class: "table" }, h("table", {},
        h("caption", { class: "unseen" }, t("view.calls")),
        h("thead", {}, h("tr", {}, ...heads.map((each) => h("th", { scope: "col", class: each }, t(`calls.${each}`))))),
        this.rows)),
      this.nothing);
    this.operations.clear();
    this.#addOperations([""]);
    this.refill();
  }

  refill() {
    this.rows.replaceChildren();
    this.update(this.model.entries, true);
  }

  // Adds new entries on top.
  update(entries, isForced = false) {
    if (!this.rows || (this.isPaused && !isForced)) return;
    const calls = entries.filter((each) => each.event === "call");
    this.#addOperations(calls.map((each) => each.operation));
    const rows = calls.filter((each) => this.#matches(each)).slice(-SHOWN).reverse().map((each) => this.#row(each));
    this.rows.prepend(...rows.flat());
    while (this.rows.childElementCount > 2 * SHOWN) this.rows.lastElementChild.remove();
    this.nothing.hidden = this.rows.childElementCount > 0;
  }

  #addOperations(names) {
    for (const name of names) {
      if (this.operations.has(name)) continue;
      this.operations.add(name);
      this.operation.append(h("option", { value: name }, name || t("calls.operation.all")));
    }
  }

  #matches(entry) {
    const isOK = entry.outcome === "OK";
    return (
      (!this.operation.value || entry.operation === this.operation.value) &&
      (!this.outcome.value || isOK === (this.outcome.value === "ok")) &&
      (!this.text.value || (entry.GameServerId ?? "").includes(this.text.value.trim()))
    );
  }

  // A call is two rows: the second has its input and output, and is filled when it is opened.
  #row(entry) {
    const details = h("tr", { class: "details", hidden: true });
    const toggle = h("button", { class: "link", "aria-expanded": "false", onclick: () => {
      details.hidden = !details.hidden;
      toggle.setAttribute("aria-expanded", String(!details.hidden));
      if (!details.childElementCount) details.append(this.#details(entry));
    } }, entry.operation || t("calls.unknown"));
    const isOK = entry.outcome === "OK";
    const row = h("tr", { class: isOK ? null : "failed" },
      h("td", { class: "time figures" }, time(entry.time)),
      h("td", { class: "operation" }, toggle),
      h("td", { class: "outcome" }, h("span", { class: isOK ? "outcome-ok" : "outcome-failed" }, entry.outcome)),
      h("td", { class: "server" }, entry.GameServerId
        ? h("button", { class: "link id", title: entry.GameServerId, onclick: () => this.select(entry.GameServerId) }, entry.GameServerId) : "–"),
      h("td", { class: "caller" }, callerOf(entry)),
      h("td", { class: "latency figures" }, `${(entry.seconds * 1000).toFixed(1)} ms`));
    return [row, details];
  }

  #details(entry) {
    const part = (name, text) => [h("h3", {}, t(name)), h("pre", { tabindex: "0" }, text ? pretty(text) : t("calls.unkept"))];
    const isOK = entry.outcome === "OK";
    return h("td", { colspan: "6" },
      h("p", {}, [`${(entry.seconds * 1000).toFixed(3)} ms`, callerOf(entry), entry.GameServerGroupName].filter(Boolean).join(" · ")),
      entry.sentence ? h("p", {}, entry.sentence) : null,
      ...part("calls.input", entry.input),
      ...(isOK || entry.output ? part("calls.output", entry.output) : []));
  }
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text; // cut by the journal
  }
}
