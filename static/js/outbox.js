// Unsent prompts: each is shown at once, kept over reloads, and sent with one id until it is stored or
// refused, over the socket, or repeatedly by POST.
import { $, announce, chatId, fill, htmx, on, onChat, onClick, words } from "./page.js";
import { edit, edited } from "./edit.js";
import { newId, restoreFiles } from "./files.js";
import { open, sendFrame } from "./transport.js";

const LATE = 8000; // ms without a receipt
const name = `draft:${document.body.dataset.user}:unsent`;
const kept = () => JSON.parse(localStorage.getItem(name) ?? "[]");
let list = kept(); // { id, chat, url, text, model, edits, files, removed }, then `error`, or `stored`: its revision
const known = new Set(list.map(({ id }) => id)); // others belong to other tabs
let sending = null; // { id, timer, late } of the prompt that is being sent

const mine = () => list.filter(({ chat }) => chat === chatId());
const sendingEntry = () => list.find(({ id }) => id === sending?.id);
const isShown = ({ id }) => $("messages").querySelector(`[data-client-id="${id}"]`);
const frame = ({ id, text, model, edits = "", files = [], removed = [], tools, parameters }) => (
  {
    type: "send", client_id: id, text, model, edits, attachment: files.map((file) => file.id),
    removed_attachment: removed,
    ...(tools != null && { tools }), ...(parameters && { parameters }),
  }
);
// The names of the tools that are on, with spaces between; undefined where there are none.
const tools = () => $("tools") && [...$("tools").querySelectorAll(":checked")].map(({ value }) => value).join(" ");
// As JSON, once they were changed here.
const parameters = () => {
  const fields = document.querySelectorAll("#parameters[data-changed] [data-parameter]");
  return fields.length ? JSON.stringify(Object.fromEntries([...fields].map(({ name, value }) => [name, value]))) : undefined;
};
const watch = new MutationObserver(check);
const withdrawn = new BroadcastChannel(name); // ids, for other tabs
withdrawn.onmessage = ({ data }) => removeEntries(data);

onChat(() => {
  watch.disconnect();
  watch.observe($("messages"), { childList: true });
  watch.observe($("receipt").parentNode, { childList: true });
  check();
});

export function send(text, { files, removed }) {
  const id = newId();
  known.add(id);
  const model = new FormData($("composer")).getAll("model");
  list.push({
    id, chat: chatId(), url: $("composer").action, text, model, edits: edited(), files, removed, tools: tools(),
    parameters: parameters(),
  });
  save();
}

function save() {
  try {
    const waiting = [...kept().filter(({ id }) => !known.has(id)), ...list.filter(({ stored }) => !stored)];
    if (waiting.length) localStorage.setItem(name, JSON.stringify(waiting));
    else localStorage.removeItem(name);
  } catch { /* It is full. */ }
  show();
  sendNext();
}

// A receipt or its message means that it is stored, a notice that it is not.
function check() {
  const receipt = $("receipt").dataset;
  const notice = $("notice");
  for (const entry of list) {
    if (receipt.clientId === entry.id) entry.stored = +receipt.revision;
    if (notice.dataset.clientId === entry.id) {
      delete notice.dataset.clientId;
      const why = notice.textContent;
      notice.textContent = "";
      refuse(entry, why);
    }
  }
  list = list.filter((entry) => (
    entry.chat === chatId() ? !isShown(entry) && !(entry.stored <= $("revision").value) : !entry.stored
  ));
  save();
}

function refuse(entry, why) {
  entry.error = `${words("unsent")} ${why}`;
  announce(entry.error);
  if (entry.chat !== chatId()) $("notice").textContent = `${entry.error} "${entry.text.slice(0, 60)}"`;
}

function sendNext() {
  const entry = list.find(({ error, stored }) => !error && !stored);
  if (sending?.id === entry?.id) return;
  clearInterval(sending?.timer);
  sending = entry && { id: entry.id, timer: setInterval(sendAgain, LATE) };
  if (!entry) return;
  if (open && entry.chat === chatId()) sendFrame(frame(entry));
  else post();
}

function sendAgain() {
  if (!sending.late) announce(words("late"));
  sending.late = true;
  show();
  post();
}

function post() {
  const entry = sendingEntry();
  if (!entry) return;
  const values = frame(entry);
  htmx.ajax("POST", entry.url, { source: $("outbox"), values, swap: "none" });
}

for (const way of ["ws", "sse"]) on(`htmx:${way}:after:connection`, post);

// A proxy's refusal or a server's error has no notice. While the server is down, the status is 502 or above.
on("htmx:finally:request", ({ detail: { ctx } }) => {
  const entry = sendingEntry();
  if (ctx.sourceElement.id !== "outbox" || !/^4|500/.test(ctx.response?.status)) return;
  if (!entry || ctx.request.body.get("client_id") !== entry.id) return;
  refuse(entry, words("failed"));
  save();
});

function removeEntries(ids) {
  list = list.filter(({ id }) => !ids.includes(id));
  save();
}

// Returns the texts.
function withdrawEntries(entries) {
  const ids = entries.map(({ id }) => id);
  withdrawn.postMessage(ids);
  removeEntries(ids);
  return entries.map(({ text }) => text);
}

export const withdraw = () => withdrawEntries(mine());

function show() {
  const thread = $("messages");
  const shown = [...thread.querySelectorAll("[data-unsent]")];
  const elements = mine().map((entry) => update(shown.find((one) => one.dataset.unsent === entry.id) ?? made(entry), entry));
  for (const one of shown) if (!elements.includes(one)) one.remove();
  const last = [...thread.children].slice(-elements.length);
  if (elements.some((one, index) => one !== last[index])) thread.append(...elements);
}

function made({ id, text, files = [] }) {
  const element = $("unsent").content.firstElementChild.cloneNode(true);
  element.dataset.unsent = id;
  const body = element.querySelector(".message-body");
  body.textContent = text.trim();
  body.hidden = !text.trim();
  const names = element.querySelector(".attachments");
  names.hidden = !files.length;
  for (const { name: fileName } of files) {
    const chip = document.createElement("li");
    chip.className = "file-chip";
    chip.append(Object.assign(document.createElement("bdi"), { className: "file-name", textContent: fileName }));
    names.append(chip);
  }
  return element;
}

function update(element, { id, error, stored }) {
  const part = (selector) => element.querySelector(selector);
  const late = sending?.id === id && sending.late;
  element.dataset.status = error ? "unsent" : stored ? "complete" : "sending";
  part(".reply-state").hidden = stored;
  part(".reply-actions").hidden = !error && !late;
  part('[value="edit"]').hidden = !error;
  part(".state").textContent = error ?? words(late ? "late" : "sending");
  return element;
}

onClick("[data-unsent] button", (button) => {
  const { unsent } = button.closest("article").dataset;
  const entry = list.find(({ id }) => id === unsent);
  if (button.value === "again") {
    delete entry.error;
    if (sending?.id === unsent) {
      sending.late = false;
      post();
    }
  } else withdrawEntries([entry]);
  if (button.value === "edit") {
    const message = $(`m-${entry.edits}`);
    if (message) edit(message, entry.text);
    restoreFiles(entry.files, message ? entry.removed : []);
    if (!message) fill($("prompt"), [entry.text, $("prompt").value].filter(Boolean).join("\n\n"));
  }
  $("prompt").focus();
  save();
});
