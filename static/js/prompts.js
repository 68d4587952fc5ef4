// Saved prompts: a list above the message box while "/" and a name are typed at its start.
import { $, announce, composing, fill, on, onChat, onClick } from "./page.js";

const list = () => $("prompt-choices");
const choices = () => [...list().children];
const VALUE = "value-"; // before the names of the fields: a form has properties such as `matches` itself
let asked = null; // the name that the list is for
let chosen = null; // with variables that are asked for

onChat(close);

on("input", ({ target }) => {
  if (target.id !== "prompt") return;
  const [, name] = /^\/([\p{L}\p{N}_-]{0,40})$/u.exec(target.value) ?? [];
  if (name === undefined) close();
  else if (name !== asked) query(name);
});

async function query(name) {
  asked = name;
  const response = await fetch(`${list().dataset.url}?q=${encodeURIComponent(name)}`).catch(() => null);
  if (asked !== name || !response?.ok || response.redirected) return;
  list().innerHTML = await response.text();
  const count = choices().length;
  list().hidden = !count;
  $("prompt-none").hidden = Boolean(count || name);
  select(choices()[0]);
  if (count) announce(list().dataset.found.replace("{}", count));
}

function select(choice) {
  for (const each of choices()) each.ariaSelected = String(each === choice);
  choice?.scrollIntoView({ block: "nearest" });
  if (choice) $("prompt").setAttribute("aria-activedescendant", choice.id);
  else $("prompt").removeAttribute("aria-activedescendant");
}

function close() {
  asked = null;
  list().hidden = $("prompt-none").hidden = true;
  list().replaceChildren();
  select(null);
}

// Before the keys of the message box.
on("keydown", (event) => {
  if (event.target.id !== "prompt" || list().hidden || composing(event)) return;
  const all = choices();
  const at = all.findIndex((each) => each.ariaSelected === "true");
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) select(all[(at + step + all.length) % all.length]);
  else if (event.key === "Escape") {
    const before = asked;
    close();
    asked = before;
  } else if (event.key === "Enter" && !event.shiftKey || event.key === "Tab") insert(all[at]);
  else return;
  event.preventDefault();
  event.stopImmediatePropagation();
}, true);

onClick(".prompt-choice", insert);

function insert(choice) {
  const { text, variables } = choice.dataset;
  const name = choice.querySelector("strong").textContent;
  close();
  if (!variables) return write(text);
  chosen = text;
  const form = $("prompt-variables").content.cloneNode(true);
  form.querySelector("h2").textContent = name;
  for (const variable of variables.split("|")) {
    const field = Object.assign(document.createElement("textarea"), { name: VALUE + variable, rows: 1, required: true });
    const label = Object.assign(document.createElement("label"), { textContent: variable });
    label.append(field);
    form.querySelector("button").before(label);
  }
  $("sheet-content").replaceChildren(form);
  $("sheet").showModal();
}

on("submit", (event) => {
  if (!event.target.matches("[data-prompt-variables]")) return;
  event.preventDefault();
  const values = new FormData(event.target);
  $("sheet").close();
  // Blanks are cut off afterwards: an expression with several runs of them takes hours for a long row of blanks.
  write(chosen.replace(/\{\{([^{}\n]*)\}\}/g, (whole, name) => values.get(VALUE + name.trim()) ?? whole));
});

function write(text) {
  fill($("prompt"), text);
  $("prompt").focus();
}
