// The focus never falls off the page: what is typed next after an action goes into the message box, and where
// the element that had the focus is gone, the one in its place has it, else the box.
import { $, on, root } from "./page.js";

const touch = matchMedia("(pointer: coarse)"); // The box would open the keyboard over the reply.
let last = null;

on("focusin", ({ target }) => { last = target; });
on("pointerdown", () => { last = null; }, true);

// Before the server has answered: the next key is not meant for the button.
on("submit", ({ target, submitter }) => {
  if (!target.matches('#composer, [action*="/generation"]') || touch.matches) return;
  if ([submitter, document.body].includes(document.activeElement)) $("prompt").focus({ preventScroll: true });
}, true);

on("htmx:after:swap", keep);
for (const name of ["click", "keydown"]) on(name, () => setTimeout(keep));

function keep() {
  if (document.activeElement !== document.body || !last || last === document.body) return;
  if (last.isConnected && last.checkVisibility({ visibilityProperty: true })) return;
  const buttons = [...$("composer-action").querySelectorAll("button")].reverse();
  const next = touch.matches ? buttons.find((one) => one.checkVisibility()) : $("prompt");
  (root.contains($(last.id)) ? $(last.id) : next)?.focus({ preventScroll: true });
}
