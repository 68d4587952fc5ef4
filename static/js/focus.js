// After an action the message box has the focus. If the focused element is gone, its successor has it, or the box;
// not on a touch screen, where the box opens a keyboard.
import { $, on, touch } from "./page.js";

let last = null;

on("focusin", ({ target }) => { last = target; });
on("pointerdown", ({ target }) => { if (!last?.contains(target)) last = null; }, true);

on("submit", ({ target, submitter }) => {
  if (!target.matches('#composer, [action*="/generation"]') || touch.matches) return;
  if ([submitter, document.body].includes(document.activeElement)) $("prompt").focus({ preventScroll: true });
}, true);

on("htmx:after:swap", keep);
for (const name of ["click", "keydown"]) on(name, () => setTimeout(keep));

function keep() {
  if (document.activeElement !== document.body || !last || last === document.body) return;
  if (last.isConnected && last.checkVisibility({ visibilityProperty: true })) return;
  const buttons = [...$("composer-action").querySelectorAll("button")].filter((one) => one.checkVisibility());
  ($(last.id) ?? (touch.matches ? buttons.at(-1) : $("prompt")))?.focus({ preventScroll: true });
}
