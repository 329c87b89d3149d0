// The page: joins the stream, the views and the keyboard.

import * as actions from "./actions.js";
import { CallsView } from "./calls.js";
import { byId, h, setText } from "./dom.js";
import { showFigures } from "./figures.js";
import { FleetView } from "./fleet.js";
import { History } from "./history.js";
import { Model } from "./model.js";
import { ServerPanel } from "./server.js";
import { LANGUAGES, language, loadTexts, t, time } from "./texts.js";

const VIEWS = ["fleet", "calls", "figures"];
const RECONNECT_MILLISECONDS = 2000;

const model = new Model();
const history = new History();
const fleet = new FleetView(model, select);
const panel = new ServerPanel(model, select);
const calls = new CallsView(model, select);
let view = "fleet";
let isConnected = null;

function select(id) {
  const before = fleet.selected;
  fleet.mark(id);
  panel.show(id);
  if (id !== null) panel.title.focus();
  else (document.querySelector(`.tile[data-id="${CSS.escape(before ?? "")}"]`) ?? byId("views")).focus();
}

function openView(name) {
  view = name;
  for (const each of VIEWS) {
    byId(`view-${each}`).hidden = each !== name;
    byId(`tab-${each}`).setAttribute("aria-selected", String(each === name));
    byId(`tab-${each}`).tabIndex = each === name ? 0 : -1;
  }
  if (name === "calls") calls.refill();
  if (name === "figures") showFigures(model, history, fleet.groupName);
}

function receive(message) {
  const before = model.entries.length;
  const changed = model.apply(message);
  if (message.full) {
    history.load(model);
    fleet.rebuild();
    if (view === "calls") calls.refill();
    panel.rebuild();
  } else {
    for (const entry of message.entries) history.add(entry);
    fleet.update(changed, Boolean(message.instances));
    if (view === "calls" && before <= model.entries.length) calls.update(message.entries);
    if (panel.id !== null) panel.update(message.entries.some((each) => each.GameServerId === panel.id));
    announceEvents(message.entries);
  }
  showClock();
  showFaultCount();
  if (view === "figures" && message.full) showFigures(model, history, fleet.groupName);
}

// Says what happens to the selected game server. All the others would be too many to listen to.
function announceEvents(entries) {
  const own = entries.filter((each) => each.event !== "call" && each.GameServerId === panel.id);
  if (own.length) actions.announce(`${panel.id}: ${t(`event.${own.at(-1).event}`)}`);
}

function showClock() {
  if (!model.isLoaded) return;
  setText(byId("clock-time"), time(model.now()));
  setText(byId("clock-scale"), model.timeScale === 1 ? "" : `×${model.timeScale}`);
}

function showFaultCount() {
  const count = byId("fault-count");
  count.hidden = model.faults.length === 0;
  setText(count, String(model.faults.length));
  actions.showFaults(model);
}

function showConnection(connected) {
  isConnected = connected;
  const badge = byId("connection");
  badge.dataset.connected = String(connected === true);
  setText(badge, t(connected === null ? "connecting" : connected ? "connected" : "disconnected"));
  byId("offline").hidden = connected !== false;
  setText(byId("offline"), connected === false ? t("offline") : "");
  document.body.classList.toggle("stale", connected === false);
}

// Messages wait until the texts are there.
function connect(ready) {
  const stream = new EventSource("/_local/live");
  stream.addEventListener("open", () => ready.then(() => showConnection(true)));
  stream.addEventListener("message", ({ data }) => ready.then(() => receive(JSON.parse(data))));
  stream.addEventListener("error", () => {
    showConnection(false);
    // The browser retries by itself, unless the answer was no stream.
    if (stream.readyState === EventSource.CLOSED) setTimeout(connect, RECONNECT_MILLISECONDS, ready);
  });
}

function tick() {
  if (document.hidden || !model.isLoaded) return;
  showClock();
  if (view === "fleet") fleet.tick();
  if (view === "figures") showFigures(model, history, fleet.groupName);
  panel.update(false);
}

const selectedInstance = () => panel.server?.InstanceId ?? model.instances.keys().next().value;
const SHORTCUTS = {
  1: ["view.fleet", () => openView("fleet")],
  2: ["view.calls", () => openView("calls")],
  3: ["view.figures", () => openView("figures")],
  "/": ["shortcut.filter", () => { openView("calls"); byId("calls-filter").focus(); }],
  c: ["claim.any", () => actions.claimAny(fleet.groupName)],
  p: ["shortcut.play", () => panel.play()],
  u: ["shortcut.utilize", () => panel.server && actions.utilize(panel.server)],
  d: ["shortcut.deregister", () => panel.server && actions.deregister(panel.server)],
  i: ["shortcut.interrupt", () => selectedInstance() && actions.interrupt(selectedInstance())],
  k: ["clock.open", () => actions.moveClock(model)],
  f: ["faults", () => actions.orderFault(model)],
  r: ["reset", () => actions.reset()],
  "?": ["help", showHelp],
};

function showHelp() {
  const isOn = localStorage.getItem("shortcuts") !== "off";
  const keys = [...Object.entries(SHORTCUTS), ["← →", ["shortcut.tiles"]], ["Esc", ["shortcut.close"]]];
  actions.ask({
    title: t("help.title"),
    body: [
      h("dl", { class: "keys" }, ...keys.flatMap(([key, [text]]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, t(text))])),
      h("label", { class: "check" }, h("input", {
        type: "checkbox", checked: isOn,
        onchange: (event) => localStorage.setItem("shortcuts", event.target.checked ? "on" : "off"),
      }), t("help.shortcuts")),
    ],
  });
}

function pressed(event) {
  if (event.key === "Escape" && !byId("dialog").open && panel.id !== null) select(null);
  const isTyping = event.target.closest("input, select, textarea, dialog");
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  if (localStorage.getItem("shortcuts") === "off" && event.key !== "?") return;
  const shortcut = SHORTCUTS[event.key];
  if (shortcut) {
    event.preventDefault();
    shortcut[1]();
  }
}

function pressedInTabs(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const next = VIEWS[(VIEWS.indexOf(view) + step + VIEWS.length) % VIEWS.length];
  openView(next);
  byId(`tab-${next}`).focus();
}

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  localStorage.setItem("theme", theme);
}

async function setLanguage(chosen) {
  await loadTexts(chosen);
  showConnection(isConnected);
  fleet.rebuild();
  calls.rebuild();
  panel.rebuild();
  openView(view);
  document.title = t("title");
  byId("language").value = language;
}

async function start() {
  byId("language").append(...Object.entries(LANGUAGES).map(([value, name]) => h("option", { value, lang: value }, name)));
  byId("theme").value = localStorage.getItem("theme") ?? "";
  setTheme(byId("theme").value);
  const ready = setLanguage();
  connect(ready);
  await ready;
  for (const name of VIEWS) byId(`tab-${name}`).addEventListener("click", () => openView(name));
  byId("tabs").addEventListener("keydown", pressedInTabs);
  byId("clock").addEventListener("click", () => actions.moveClock(model));
  byId("faults").addEventListener("click", () => actions.orderFault(model));
  byId("reset").addEventListener("click", () => actions.reset());
  byId("help").addEventListener("click", showHelp);
  byId("theme").addEventListener("change", (event) => setTheme(event.target.value));
  byId("language").addEventListener("change", (event) => setLanguage(event.target.value));
  document.addEventListener("keydown", pressed);
  document.addEventListener("visibilitychange", tick);
  setInterval(tick, 1000);
}

start();
