// The figures as small plots: SVG, one step line each.

import { byId, h } from "./dom.js";
import { METRICS, WINDOW } from "./history.js";
import { number, t } from "./texts.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 300;
const HEIGHT = 56;

function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function lineOf(points, most) {
  const x = (ago) => (WIDTH * (1 - ago / WINDOW)).toFixed(1);
  const y = (value) => (HEIGHT - 2 - ((HEIGHT - 6) * value) / most).toFixed(1);
  return points.map(([ago, value], i) => (i ? `H${x(ago)}V${y(value)}` : `M${x(ago)} ${y(value)}`)).join("");
}

// Returns a plot with its name, its last value, and its scale.
function plot(name, means, points, unit, hue) {
  const values = points.map(([, value]) => value);
  const last = values.at(-1) ?? 0;
  const most = unit === "%" ? 100 : Math.max(1, ...values);
  const label = t("figures.label", { name, last: number(last, 1), least: number(Math.min(...values, last), 1), most: number(Math.max(...values, last), 1) });
  const line = lineOf(points, most);
  const start = points.length ? (WIDTH * (1 - points[0][0] / WINDOW)).toFixed(1) : WIDTH;
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    svg("path", { class: "grid", d: `M0 4H${WIDTH}M0 ${HEIGHT - 2}H${WIDTH}` }),
    svg("path", { class: "area", d: line ? `${line}V${HEIGHT - 2}H${start}Z` : "" }),
    svg("path", { class: "line", d: line }));
  return h("figure", { class: "plot", "data-hue": hue },
    h("figcaption", {}, h("span", { class: "name" }, name), h("strong", { class: "figures" }, `${number(last, 1)}${unit}`)),
    h("div", { class: "drawing" }, drawing, h("span", { class: "most figures" }, number(most, 1))),
    h("div", { class: "axis muted" }, h("span", {}, t("figures.ago")), h("span", {}, t("figures.now"))),
    means ? h("p", { class: "muted" }, means) : null);
}

const HUES = { Utilized: "utilized", Percent: "utilized", Available: "available", Draining: "claimed", GameServerI: "unhealthy", InstanceI: "unhealthy" };
const hueOf = (name) => HUES[Object.keys(HUES).find((each) => name.startsWith(each))];

export function showFigures(model, history, groupName) {
  const now = model.now();
  const metrics = METRICS.map((name) => {
    const unit = name.startsWith("Percent") ? "%" : "";
    return plot(name, t(`figures.${name}`), history.points(groupName, name, now), unit, hueOf(name));
  });
  const rates = history.operations().map((name) => plot(name, "", history.rate(name, now), t("figures.unit"), "calls"));
  byId("view-figures").replaceChildren(
    h("h2", {}, t("figures.title", { group: groupName ?? "" })),
    h("p", { class: "muted" }, t("figures.explains")),
    h("div", { class: "plots" }, ...metrics),
    h("h2", {}, t("figures.calls")),
    rates.length ? h("div", { class: "plots" }, ...rates) : h("p", { class: "nothing" }, t("calls.none")));
}
