// The texts of the page in the language of the browser, or in the one that was chosen.

export const LANGUAGES = { en: "English", ko: "한국어" };
let texts = {};
export let language = "en";

function preferred() {
  const chosen = localStorage.getItem("language");
  if (chosen in LANGUAGES) return chosen;
  const first = navigator.languages.map((each) => each.slice(0, 2)).find((each) => each in LANGUAGES);
  return first ?? "en";
}

export async function loadTexts(chosen) {
  if (chosen) localStorage.setItem("language", chosen);
  language = preferred();
  const response = await fetch(`/dashboard/${language}.json`);
  texts = await response.json();
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-text]")) {
    element.textContent = t(element.dataset.text);
  }
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", t(element.dataset.label));
    element.title = t(element.dataset.label);
  }
  for (const element of document.querySelectorAll("[data-hint]")) {
    element.title = t(element.dataset.hint);
  }
}

// Returns a text, its {names} replaced.
export function t(key, values = {}) {
  const text = texts[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

export function number(value, digits = 0) {
  return value.toLocaleString(language, { maximumFractionDigits: digits });
}

// Hours, minutes and seconds, alike in all languages.
export function time(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString("en-GB");
}

// "45 s", "3 min", "2 h": one unit, as precise as a glance needs.
export function duration(seconds) {
  const rounded = Math.max(0, Math.round(seconds));
  if (rounded < 120) return t("seconds", { n: rounded });
  if (rounded < 7200) return t("minutes", { n: Math.round(rounded / 60) });
  return t("hours", { n: Math.round(rounded / 3600) });
}
