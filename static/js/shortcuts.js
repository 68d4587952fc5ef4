// The keyboard. Keys without Ctrl can be turned off.
import { $, composing, on, onClick, root } from "./page.js";
import { show as showModels } from "./models.js";
import { toggleSidebar } from "./sidebar.js";

const press = (selector) => document.querySelector(selector)?.click();
const isTyping = (element) => element.isContentEditable || element.matches("input, textarea, select, dialog *");
const help = () => $("shortcuts").showModal();
const palette = async () => (await import("./palette.js")).togglePalette();
// On a Mac Ctrl+K cuts the rest of the line.
const isPaletteKey = ({ key, altKey, shiftKey, metaKey, ctrlKey }) =>
  key.toLowerCase() === "k" && !altKey && !shiftKey && (/^(Mac|iP)/.test(navigator.platform) ? metaKey : ctrlKey);

const WITH_CTRL_SHIFT = {
  KeyO: () => press(".new-chat"),
  KeyX: () => press(".send-button.stop"),
  KeyC: () => [...document.querySelectorAll('[data-role="assistant"] [data-rich]')].at(-1)?.click(),
  KeyM: showModels,
  KeyS: toggleSidebar,
  KeyL: async () => (await import("./last-prompt.js")).toLastPrompt(),
  KeyF: async () => (await import("./search.js")).showSearch(),
};
const ALONE = { "?": help, "/": () => $("prompt").focus() };

on("keydown", (event) => {
  if (composing(event)) return;
  const modified = event.ctrlKey || event.metaKey;
  if (isPaletteKey(event)) {
    event.preventDefault();
    palette();
  } else if (modified && event.shiftKey && WITH_CTRL_SHIFT[event.code]) {
    event.preventDefault();
    WITH_CTRL_SHIFT[event.code]();
  } else if (!modified && !event.altKey && ALONE[event.key] && "keys" in root.dataset && !isTyping(event.target)) {
    event.preventDefault();
    ALONE[event.key]();
  }
});

onClick("#show-shortcuts", help);
onClick("#show-palette", palette);
