// htmx, then its extensions: as separate deferred scripts they race.
import "../vendor/htmx.esm.min.js";
import "../vendor/ext/hx-ws.min.js";
import "../vendor/ext/hx-sse.min.js";
import "./transport.js";
import "./outbox.js";
import "./files.js";
import "./composer.js";
import "./edit.js";
import "./focus.js";
import "./models.js";
import "./scroll.js";
import "./sidebar.js";
import "./live-line.js";
import "./copy.js";
import "./long-prompts.js";
import "./shortcuts.js";
import { onChat } from "./page.js";

// A behaviour that few pages need is loaded where its element is: selector, module.
const behaviours = [
  ["#search", () => import("./search.js")],
  ["#conversations", () => import("./selection.js")],
  [".folders", () => import("./folders.js")],
  ["#prompt-choices", () => import("./prompts.js")],
  ["#sheet", () => import("./sheet.js")],
  ["#parameters", () => import("./parameters.js")],
];
onChat(() => {
  if (window.Notification && Notification.permission !== "denied" && localStorage.getItem("notify") !== "off") {
    import("./notify.js");
  }
});
onChat(() => behaviours.forEach(([selector, load]) => document.querySelector(selector) && load()));
