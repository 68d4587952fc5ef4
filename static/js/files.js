// The files of a prompt: chosen, pasted or dropped, uploaded in pieces before it is sent, and kept with the draft.
import { $, announce, chatId, fill, on, onChat, onClick, touch, words } from "./page.js";
import { edited } from "./edit.js";

const PIECE = 1048576; // bytes; the server takes no more at once
const AT_ONCE = 3;
const MOST = 10;
const LONG_TEXT = 10000; // characters; a longer paste becomes a file
const drafts = `draft:${document.body.dataset.user}:files:`;
let list = []; // { id, chat, key, name, size, file, sent }, then `done`, `image`, `audio`, `note` or `error`; `text`: pasted
let editedFiles = []; // that the edited prompt keeps: { id, name, note, image, audio, done }
let removed = []; // ids of its other files
const keys = new Set(); // of the drafts that this page has written
let sendsWhenDone = false;

const chosen = () => list.filter(({ chat }) => chat === chatId());
const shown = () => [...editedFiles, ...chosen()];
const isNew = () => $("revision").value === "0" && !$("messages").children.length;
const key = () => drafts + (isNew() ? "new:" : "") + chatId();
const address = (id) => $("attach").dataset.url.replace(/[0-9a-f-]{36}/, id);
const changed = () => document.dispatchEvent(new Event("files:changed"));

// An object URL ends with a UUID; crypto.randomUUID wants https.
export function newId() {
  const url = URL.createObjectURL(new Blob());
  URL.revokeObjectURL(url);
  return url.slice(-36);
}

export const hasFiles = () => shown().length > 0;

// Returns the new files for a prompt, and the ids of the removed ones of the edited prompt, and forgets them. Null while
// they cannot be sent yet.
export function takeFiles() {
  const files = chosen();
  if (files.some(({ error }) => error)) return showState("filesFailed");
  if (files.some(({ done }) => !done)) {
    sendsWhenDone = true;
    return showState("filesWait");
  }
  list = list.filter((one) => !files.includes(one));
  save();
  return { files: files.map(({ id, name, size, image, audio }) => ({ id, name, size, image, audio })), removed };
}

// Puts the files of a refused prompt back, and removes those of the edited one again.
export function restoreFiles(files, ids = []) {
  list.push(...(files ?? []).map((one) => ({ ...one, chat: chatId(), key: key(), done: true })));
  for (const one of editedFiles.filter(({ id }) => ids.includes(id))) removeFile(one);
  save();
}

// The edited form of a prompt begins with all its files.
function readEdited() {
  const items = edited() ? $(`m-${edited()}`)?.querySelectorAll("[data-file]") ?? [] : [];
  removed = [];
  editedFiles = [...items].map((item) => {
    const image = item.querySelector("img");
    const text = (selector) => item.querySelector(selector)?.textContent;
    const { file: id, audio } = item.dataset;
    return { id, name: image?.alt ?? text(".file-name"), note: text(".file-facts"), image: image != null, audio, done: true };
  });
}

on("chat:draft", () => {
  readEdited();
  show();
  changed();
});

function showState(name) {
  $("files-state").textContent = words(name);
  return null;
}

onChat(() => {
  $("attach-input").accept = touch.matches ? "image/*,*/*" : ""; // phones then offer the camera
  sendsWhenDone = false;
  readEdited();
  if (!chosen().length) {
    let name = key();
    // A new chat takes over the files of one that was left without a message, as it does its text.
    if (isNew()) name = Object.keys(localStorage).find((one) => one.startsWith(`${drafts}new:`)) ?? name;
    const kept = JSON.parse(localStorage.getItem(name) ?? "[]");
    localStorage.removeItem(name);
    for (const one of kept) list.push({ ...one, chat: chatId(), key: key(), error: one.done ? "" : words("fileLost") });
  }
  save();
});

onClick("#attach", () => $("attach-input").click());
on("change", ({ target }) => {
  if (target.id === "model") show();
  if (target.id !== "attach-input") return;
  add([...target.files]);
  target.value = "";
});

on("paste", (event) => {
  if (event.target.id !== "prompt") return;
  const text = event.clipboardData.getData("text/plain");
  const files = [...event.clipboardData.files];
  if (text.length > LONG_TEXT) {
    add([new File([text], words("pastedName"), { type: "text/plain" })], text);
  } else if (!text && files.length) add(files);
  else return;
  event.preventDefault();
});

const carriesFiles = ({ dataTransfer }) => dataTransfer?.types.includes("Files") && !$("attach").disabled;
on("dragover", (event) => {
  if (!carriesFiles(event) || !event.target.closest("#chat")) return;
  event.preventDefault();
  $("chat").dataset.drop = words("drop");
});
on("dragleave", ({ relatedTarget }) => { if (!relatedTarget?.closest?.("#chat")) delete $("chat").dataset.drop; });
on("drop", (event) => {
  delete $("chat").dataset.drop;
  if (!carriesFiles(event)) return;
  event.preventDefault(); // elsewhere too: the browser would open the file in place of the page
  if (event.target.closest("#chat")) add([...event.dataTransfer.files]);
});

function add(files, text) {
  const room = Math.max(0, MOST - shown().length); // an imported prompt may have more
  for (const file of files.slice(0, room)) {
    list.push({ id: newId(), chat: chatId(), key: key(), name: file.name, size: file.size, file, sent: 0, text });
  }
  save();
  if (files.length > room) showState("filesMany");
  uploadNext();
  $("prompt").focus();
}

function uploadNext() {
  const waiting = list.filter(({ file, done, error }) => file && !done && !error);
  const running = waiting.filter(({ stop }) => stop);
  for (const one of waiting.filter(({ stop }) => !stop).slice(0, AT_ONCE - running.length)) {
    one.stop = new AbortController();
    upload(one).catch((error) => { one.error = String(error.message ?? error); }).finally(() => {
      one.stop = null;
      save();
      uploadNext();
      if (one.error) announce(`${one.name}: ${one.error}`);
      else if (one.done) announce(words("fileDone", one.name));
      if (sendsWhenDone && one.chat === chatId() && chosen().every(({ done }) => done)) {
        sendsWhenDone = false;
        $("composer").requestSubmit();
      }
    });
  }
}

// Continues where the server is, also after a lost connection, until the file is stored or removed.
async function upload(one) {
  try {
    await one.file.slice(0, 1).arrayBuffer();
  } catch {
    throw new Error(words("fileUnreadable")); // a folder, or a file that has gone
  }
  for (let failures = 0; ;) {
    const answer = await piece(one).catch(() => null);
    if (one.stop.signal.aborted) return;
    if (answer?.file) return Object.assign(one, answer.file, { done: true });
    if (answer?.error) throw new Error(answer.error);
    const moved = answer && answer.received > one.sent;
    failures = moved ? 0 : failures + 1;
    one.sent = answer?.received ?? one.sent;
    show();
    if (!moved) await new Promise((go) => { setTimeout(go, Math.min(5000, 300 * failures)); });
  }
}

async function piece(one) {
  const response = await fetch(address(one.id), {
    method: "PATCH",
    body: one.file.slice(one.sent, one.sent + PIECE),
    headers: {
      Accept: "application/json",
      "Content-Type": "application/octet-stream",
      "Upload-Length": one.size,
      "Upload-Name": encodeURIComponent(one.name.toWellFormed?.() ?? one.name),
      "Upload-Offset": one.sent,
      "X-CSRFToken": $("composer").elements.csrfmiddlewaretoken.value,
    },
    signal: one.stop.signal,
  });
  if (response.ok && !response.redirected) return response.json();
  if (response.status === 409 || /^50[234]/.test(response.status)) return null; // it is being read, or restarts
  const refusal = await response.json().catch(() => ({}));
  return { error: refusal.error?.message ?? words("fileFailed") };
}

onClick("#files button", (button) => {
  const one = shown().find(({ id }) => id === button.closest("li").dataset.id);
  if (!one) return;
  if (button.value === "again") {
    Object.assign(one, { error: "", sent: 0, id: newId() });
    save();
    return uploadNext();
  }
  removeFile(one);
  if (button.value === "text") {
    const { value, selectionEnd: at } = $("prompt");
    fill($("prompt"), value.slice(0, at) + one.text + value.slice(at));
  }
  $("prompt").focus();
});

function removeFile(one) {
  one.stop?.abort();
  sendsWhenDone = false;
  if (editedFiles.includes(one)) {
    editedFiles = editedFiles.filter((other) => other !== one);
    removed.push(one.id);
    return save();
  }
  list = list.filter((other) => other !== one);
  save();
  fetch(address(one.id), {
    method: "DELETE",
    headers: { Accept: "application/json", "X-CSRFToken": $("composer").elements.csrfmiddlewaretoken.value },
  }).catch(() => {}); // the server deletes it after a day
}

function save() {
  for (const one of list) keys.add(one.key);
  for (const name of keys) {
    const own = list.filter((one) => one.key === name);
    const kept = own.map(({ id, name, size, image, audio, note, done }) => ({ id, name, size, image, audio, note, done }));
    try {
      if (kept.length) localStorage.setItem(name, JSON.stringify(kept));
      else localStorage.removeItem(name);
    } catch { /* It is full. */ }
  }
  show();
  changed();
}

function show() {
  const box = $("files");
  const before = new Map([...box.children].map((item) => [item.dataset.id, item]));
  const items = shown().map((one) => update(before.get(one.id) ?? $("file-chip").content.firstElementChild.cloneNode(true), one));
  for (const item of before.values()) if (!items.includes(item)) item.remove();
  if (items.some((item, at) => item !== box.children[at])) box.append(...items);
  const model = $("model").selectedOptions[0]?.dataset ?? {};
  const accepted = (model.audio ?? "").split(" ");
  const blind = shown().some(({ image }) => image) && "blind" in model;
  const deaf = shown().some(({ audio }) => audio && !accepted.includes(audio));
  $("files-state").textContent = [blind && words("filesBlind"), deaf && words("filesDeaf")].filter(Boolean).join(" ");
}

function update(item, one) {
  const part = (selector) => item.querySelector(selector);
  item.dataset.id = one.id;
  item.dataset.state = one.error ? "error" : one.done ? "done" : "loading";
  part(".file-name").textContent = one.name;
  part(".file-name").title = one.name;
  part(".file-facts").textContent = one.error || [one.size && sizeOf(one.size), one.note].filter(Boolean).join(" · ");
  const bar = part("progress");
  bar.hidden = Boolean(one.done || one.error);
  bar.ariaLabel = words("fileLoading", one.name);
  if (one.sent) bar.value = one.sent / one.size;
  part("[value=text]").hidden = !one.text;
  part("[value=again]").hidden = !(one.error && one.file);
  part("[value=remove]").ariaLabel = words("fileRemove", one.name);
  const image = part("img");
  if (one.image && image.hidden) {
    image.src = `${address(one.id)}?thumbnail`;
    image.hidden = false;
  }
  return item;
}

function sizeOf(bytes) {
  const [number, unit] = bytes < 1e6 ? [Math.ceil(bytes / 1024), "kilobyte"] : [bytes / 1048576, "megabyte"];
  return number.toLocaleString(document.documentElement.lang, { style: "unit", unit, maximumFractionDigits: number < 10 ? 1 : 0 });
}
