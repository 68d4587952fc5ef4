// What is typed and not sent yet, kept in this browser for each person and chat until they log out.
import { $, onChat } from "./page.js";

const person = `draft:${document.body.dataset.user}:`;
const key = () => person + $("chat").dataset.conversation;
let timer = null;

for (const other of Object.keys(localStorage)) {
  if (other.startsWith("draft:") && !other.startsWith(person)) localStorage.removeItem(other);
}

onChat(() => {
  const draft = localStorage.getItem(key());
  if (!draft || $("prompt").value) return;
  $("prompt").value = draft;
  $("prompt").dispatchEvent(new Event("input", { bubbles: true }));
});

document.addEventListener("input", (event) => {
  if (event.target.id !== "prompt") return;
  clearTimeout(timer);
  timer = setTimeout(keepDraft, 300);
});
addEventListener("pagehide", keepDraft);
document.addEventListener("htmx:before:swap", keepDraft);

document.addEventListener("submit", (event) => {
  if (event.target.id !== "log-out") return;
  removeEventListener("pagehide", keepDraft);
  Object.keys(localStorage).filter((one) => one.startsWith("draft:")).forEach((one) => localStorage.removeItem(one));
  sessionStorage.clear();
});

function keepDraft() {
  clearTimeout(timer);
  const { value } = $("prompt");
  if (value.trim()) localStorage.setItem(key(), value);
  else localStorage.removeItem(key());
}
