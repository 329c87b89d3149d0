// The fleet: instances as panels, game servers as tiles in them, and what has gone lately.

import { claimAny, interrupt } from "./actions.js";
import { byId, h, setText } from "./dom.js";
import { reasonOf } from "./explain.js";
import { GONE_SECONDS, shortId } from "./model.js";
import { duration, number, t, time } from "./texts.js";

const ICONS = { available: "○", claimed: "◔", utilized: "●", unhealthy: "!", gone: "×" };
export const stateName = (state) => ({ unhealthy: t("state.unhealthy"), gone: t("state.gone") })[state] ?? state.toUpperCase();

export class FleetView {
  constructor(model, select) {
    this.model = model;
    this.select = select;
    this.selected = null;
    this.groupName = null;
    this.panels = new Map();
    this.tiles = new Map();
    byId("claim-any").addEventListener("click", () => claimAny(this.groupName));
    byId("instances").addEventListener("keydown", moveFocus);
  }

  // Builds everything anew: after a whole state, in another language or group.
  rebuild() {
    const names = this.model.groups.map((each) => each.GameServerGroupName);
    if (!names.includes(this.groupName)) this.groupName = names[0] ?? null;
    this.panels.clear();
    this.tiles.clear();
    byId("instances").replaceChildren();
    this.#showGroups();
    this.#showInstances();
    for (const server of this.model.servers.values()) this.#show(server);
    this.#showRecentlyGone();
    this.tick();
  }

  // Shows the game servers that have changed, and the instances if they have.
  update(changed, instancesChanged) {
    if (instancesChanged) {
      this.#showGroups();
      this.#showInstances();
    }
    let someGone = false;
    for (const id of changed) {
      const server = this.model.servers.get(id);
      if (server) this.#show(server);
      else someGone = this.#showGone(id) || someGone;
    }
    if (someGone) this.#showRecentlyGone();
    this.tick();
  }

  // Shows what changes with time alone: countdowns, silence, the counts.
  tick() {
    const { model } = this;
    for (const [id, tile] of this.tiles) {
      const server = model.servers.get(id);
      if (server) this.#showTime(tile, server);
      else this.#removeGone(id, tile);
    }
    for (const [id, panel] of this.panels) this.#showNotice(panel, model.instances.get(id));
    this.#showSummary();
  }

  #showGroups() {
    const groups = this.model.groups;
    const row = byId("groups");
    row.hidden = groups.length < 2;
    row.replaceChildren(...groups.map((group) => {
      const name = group.GameServerGroupName;
      return h("button", {
        "aria-pressed": String(name === this.groupName),
        onclick: () => { this.groupName = name; this.rebuild(); },
      }, name, group.Status === "ACTIVE" ? null : ` · ${group.Status}`);
    }));
  }

  #showInstances() {
    const list = byId("instances");
    const wanted = [...this.model.instances.values()].filter((each) => each.GameServerGroupName === this.groupName);
    const ids = new Set(wanted.map((each) => each.InstanceId));
    for (const [id, panel] of this.panels) {
      if (!ids.has(id)) {
        panel.root.remove();
        this.panels.delete(id);
      }
    }
    for (const instance of wanted) this.#panel(instance);
    list.querySelector(".nothing")?.remove();
    if (!wanted.length && this.model.isLoaded) list.append(h("p", { class: "nothing" }, t("instances.none")));
  }

  #panel(instance) {
    const id = instance.InstanceId;
    if (this.panels.has(id)) return this.panels.get(id);
    const status = h("span", { class: "pill" });
    const notice = h("p", { class: "notice", hidden: true });
    const tiles = h("div", { class: "tiles" });
    const empty = h("p", { class: "empty" }, t("instance.empty"));
    const root = h("section", { class: "instance", "aria-label": t("instance.label", { id }) },
      h("div", { class: "instance-head" },
        h("h2", {}, id), h("span", { class: "muted" }, instance.InstanceType ?? ""), status,
        h("button", { class: "quiet", "data-interrupt": id, "aria-label": t("interrupt.this", { id }), onclick: () => interrupt(id) }, t("interrupt.open"))),
      notice, tiles, empty);
    const panel = { root, status, notice, tiles, empty };
    this.panels.set(id, panel);
    byId("instances").append(root);
    return panel;
  }

  #showNotice(panel, instance) {
    if (!instance) return;
    setText(panel.status, instance.InstanceStatus);
    panel.status.className = `pill ${instance.InstanceStatus === "ACTIVE" ? "active" : "draining"}`;
    const last = instance.interruptions.at(-1);
    panel.notice.hidden = !last;
    panel.empty.hidden = panel.tiles.childElementCount > 0;
    if (!last) return;
    const left = last.end === null ? "" : t("notice.ends", { time: duration(last.end - this.model.now()) });
    setText(panel.notice, [t(`notice.${last.kind}`), left].filter(Boolean).join(" · "));
  }

  #show(server) {
    if (server.GameServerGroupName !== this.groupName) return;
    const id = server.GameServerId;
    let tile = this.tiles.get(id);
    if (!tile) {
      tile = this.#tile(id, server);
      this.tiles.set(id, tile);
      const instance = this.model.instances.get(server.InstanceId) ?? {
        InstanceId: server.InstanceId, InstanceStatus: "ACTIVE", interruptions: [],
      };
      this.#panel(instance).tiles.append(tile.root);
    }
    tile.goneAt = null;
    this.#showTime(tile, server);
  }

  #tile(id, server) {
    const icon = h("span", { class: "icon", "aria-hidden": "true" });
    const state = h("span", { class: "state" });
    const players = h("span", { class: "players" });
    const more = h("span", { class: "more" });
    const bar = h("span", { class: "meter", "aria-hidden": "true" }, h("span"));
    const root = h("button", { class: "tile", "data-id": id, title: id, onclick: () => this.select(id) },
      h("span", { class: "tile-head" }, icon, state, players),
      h("span", { class: "tile-id" }, shortId(id, server.InstanceId)), more, bar);
    if (id === this.selected) root.setAttribute("aria-current", "true");
    return { root, icon, state, players, more, bar: bar.firstChild, shown: null };
  }

  #showTime(tile, server) {
    const { model } = this;
    const own = model.stateOf(server);
    const isUnhealthy = model.isUnhealthy(server);
    const state = isUnhealthy ? "unhealthy" : own;
    let more = "";
    let part = null;
    if (isUnhealthy) {
      const silence = model.silence(server);
      more = t("tile.silent", { n: Math.floor(silence), limit: model.healthTimeout });
      part = 1 - silence / model.healthTimeout;
    } else if (own === "claimed") {
      more = t("tile.claimed", { n: Math.ceil(model.claimLeft(server)) });
      part = model.claimLeft(server) / model.claimSeconds;
    }
    const players = model.players[server.GameServerId];
    setText(tile.players, players === undefined ? "" : t(players === 1 ? "player" : "players", { n: players }));
    this.#paint(tile, state, stateName(own), more, part);
  }

  #paint(tile, state, label, more, part) {
    const shown = `${state} ${label} ${more}`;
    if (tile.shown === shown) return;
    tile.shown = shown;
    tile.root.dataset.state = state;
    setText(tile.icon, ICONS[state]);
    setText(tile.state, label);
    setText(tile.more, more);
    tile.bar.parentElement.hidden = part === null;
    if (part !== null) tile.bar.style.setProperty("width", `${Math.max(0, Math.min(1, part)) * 100}%`);
  }

  #showGone(id) {
    const tile = this.tiles.get(id);
    const gone = this.model.gone.get(id);
    if (tile && gone) {
      this.#paint(tile, "gone", t(`event.${gone.entry.event}`), reasonOf(gone.entry), null);
      setText(tile.players, "");
      tile.goneAt = performance.now();
    }
    return Boolean(gone);
  }

  #removeGone(id, tile) {
    if (tile.goneAt && performance.now() - tile.goneAt < GONE_SECONDS * 1000) return;
    if (tile.root === document.activeElement) return;
    tile.root.remove();
    this.tiles.delete(id);
  }

  #showRecentlyGone() {
    const gone = [...this.model.gone.values()].reverse()
      .filter(({ entry }) => entry.GameServerGroupName === this.groupName).slice(0, 8);
    byId("gone").hidden = gone.length === 0;
    byId("gone-list").replaceChildren(...gone.map(({ entry }) => h("li", {},
      h("span", { class: "figures muted" }, time(entry.time)),
      h("button", { class: "link", title: entry.GameServerId, "data-gone": entry.GameServerId, onclick: () => this.select(entry.GameServerId) },
        shortId(entry.GameServerId, entry.InstanceId)),
      h("span", {}, h("strong", {}, t(`event.${entry.event}`)), ` · ${reasonOf(entry)}`))));
  }

  #showSummary() {
    const counts = this.model.counts(this.groupName);
    const list = byId("summary");
    if (!list.childElementCount || list.dataset.language !== document.documentElement.lang) {
      list.dataset.language = document.documentElement.lang;
      list.replaceChildren(...["available", "claimed", "utilized", "unhealthy"].map((state) =>
        h("li", { "data-state": state },
          h("span", { class: "summary-head" },
            h("span", { class: "icon", "aria-hidden": "true" }, ICONS[state]),
            h("span", { class: "state" }, stateName(state)), h("strong", { class: "figures" })),
          h("span", { class: "means" }, t(`state.${state}.means`, { limit: this.model.healthTimeout ?? 180 })))));
    }
    for (const item of list.children) setText(item.querySelector("strong"), number(counts[item.dataset.state]));
    const total = counts.available + counts.claimed + counts.utilized;
    const percent = total ? Math.round((100 * counts.utilized) / total) : 0;
    const line = total ? t("group.line", {
      name: this.groupName, instances: number(this.panels.size), servers: number(total), percent,
    }) : t("group.empty", { name: this.groupName, url: location.origin });
    setText(byId("group-line"), this.groupName === null ? "" : line);
    byId("claim-any").disabled = this.groupName === null;
  }

  mark(id) {
    this.tiles.get(this.selected)?.root.removeAttribute("aria-current");
    this.selected = id;
    this.tiles.get(id)?.root.setAttribute("aria-current", "true");
  }
}

function moveFocus(event) {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const tile = event.target.closest(".tile");
  if (!step || !tile) return;
  const tiles = [...document.querySelectorAll("#instances .tile")];
  const next = tiles[tiles.indexOf(tile) + step];
  if (next) {
    next.focus();
    event.preventDefault();
  }
}
