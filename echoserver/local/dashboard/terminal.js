// A small terminal on the port of a game server, through a WebSocket of the local FleetIQ.

import { h } from "./dom.js";
import { t } from "./texts.js";

const LONGEST = 20000;

export class Terminal {
  constructor(server) {
    this.output = h("pre", { tabindex: "0", "aria-label": t("terminal.output"), "aria-live": "polite" });
    this.input = h("input", { "aria-label": t("terminal.input"), autocomplete: "off", placeholder: t("terminal.hint"), disabled: true });
    const form = h("form", { onsubmit: (event) => this.#send(event) }, this.input, h("button", {}, t("terminal.send")));
    this.root = h("section", { class: "terminal", "aria-label": t("terminal") }, this.output, form);
    this.decoder = new TextDecoder();
    this.#write(`${t("terminal.connecting", { address: server.ConnectionInfo })}\n`);
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const path = `${encodeURIComponent(server.GameServerGroupName)}/${encodeURIComponent(server.GameServerId)}`;
    this.socket = new WebSocket(`${scheme}://${location.host}/_local/play/${path}`);
    this.socket.binaryType = "arraybuffer";
    this.socket.addEventListener("message", ({ data }) => this.#received(data));
    this.socket.addEventListener("close", () => this.#ended(t("terminal.closed")));
  }

  focus() {
    this.input.focus();
  }

  close() {
    this.socket.close();
  }

  #received(data) {
    if (typeof data !== "string") {
      this.#write(this.decoder.decode(data, { stream: true }));
      return;
    }
    const { event, sentence } = JSON.parse(data);
    if (event === "connected") {
      this.input.disabled = false;
      this.#write(`${t("terminal.connected")}\n`);
      this.input.focus();
    } else if (event === "failed") {
      this.#ended(t("terminal.failed", { sentence }));
    }
  }

  #send(event) {
    event.preventDefault();
    if (this.input.disabled) return;
    this.#write(`> ${this.input.value}\n`);
    this.socket.send(`${this.input.value}\n`);
    this.input.value = "";
  }

  #ended(sentence) {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.input.disabled = true;
    this.#write(`${sentence}\n`);
  }

  #write(text) {
    this.output.textContent = (this.output.textContent + text).slice(-LONGEST);
    this.output.scrollTop = this.output.scrollHeight;
  }
}
