// The keyboard. Keys without Ctrl can be turned off.
import { $, composing, on, onClick, root } from "./page.js";
import { isMac, isPaletteKey } from "./keys.js";
import { show as showModels } from "./models.js";
import { toggleSidebar } from "./sidebar.js";

const press = (selector) => document.querySelector(selector)?.click();
const isTyping = (element) => element.isContentEditable || element.matches("input, textarea, select, dialog *");
const help = () => $("shortcuts").showModal();
const palette = async () => (await import("./palette.js")).togglePalette();
const lastPrompt = async () => (await import("./last-prompt.js")).toLastPrompt();

const WITH_CTRL_SHIFT = {
  KeyO: () => press(".new-chat"),
  KeyX: () => press(".send-button.stop"),
  KeyC: () => [...document.querySelectorAll('[data-role="assistant"] [data-rich]')].at(-1)?.click(),
  KeyM: showModels,
  KeyS: toggleSidebar,
  KeyL: lastPrompt,
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
onClick("#to-prompt", lastPrompt);

if (isMac) {
  const button = $("show-palette");
  button.setAttribute("aria-keyshortcuts", "Meta+K");
  button.title = button.title.replace("Ctrl+K", "⌘K");
  $("palette-modifier").textContent = "⌘";
}

// From a page beside the chats.
if (location.hash === "#commands") {
  history.replaceState(history.state, "", location.pathname + location.search);
  palette();
}
