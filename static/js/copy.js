// Copies a code block, or a message as text or Markdown.
import { onClick, toast, words } from "./page.js";

onClick("button.copy-code", (button) => copy(button.closest(".code-block").querySelector("code").textContent));

onClick("[data-copy]", (button) => {
  const source = button.dataset.copy;
  button.closest("[popover]")?.hidePopover();
  copy(source === "text" ? button.closest(".message").querySelector(".message-body").innerText : fetched(source));
});

async function fetched(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(answer.statusText);
  return answer.text();
}

async function copy(text) {
  try {
    // Given a promise, Safari still counts the click as the reason.
    const blob = Promise.resolve(text).then((it) => new Blob([it], { type: "text/plain" }));
    await navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]);
    toast(words("copied"));
  } catch {
    toast(words(copyByHand(await Promise.resolve(text).catch(() => "")) ? "copied" : "notCopied"));
  }
}

// The clipboard interface exists only on https and localhost.
function copyByHand(text) {
  const box = Object.assign(document.createElement("textarea"), { value: text, readOnly: true });
  const before = document.activeElement;
  document.body.append(box);
  box.select();
  const done = text && document.execCommand("copy");
  box.remove();
  before?.focus();
  return done;
}
