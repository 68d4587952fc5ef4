// The files of a folder or preset: chosen or dropped, sent in pieces, then attached. Without scripts the form sends
// them. The list is asked for again while a file in it is being read.
const PIECE = 1048576; // bytes; the server takes no more at once
const PAUSES = [500, 1000, 2000, 4000, 8000, 16000];
const AT_ONCE = 2;
const box = document.getElementById("files");
const form = box.querySelector("form[enctype]");
const { file: input, csrfmiddlewaretoken: csrf } = form.elements;
const queue = [];
let running = 0;

input.hidden = true;
form.addEventListener("submit", (event) => {
  event.preventDefault();
  input.click();
});
input.addEventListener("change", () => {
  add([...input.files]);
  input.value = "";
});

const carries = ({ dataTransfer }) => dataTransfer?.types.includes("Files");
document.addEventListener("dragover", (event) => {
  if (!carries(event)) return;
  event.preventDefault();
  box.classList.toggle("drops", box.contains(event.target));
});
document.addEventListener("dragleave", ({ relatedTarget }) => {
  if (!box.contains(relatedTarget)) box.classList.remove("drops");
});
document.addEventListener("drop", (event) => {
  box.classList.remove("drops");
  if (!carries(event)) return;
  event.preventDefault(); // elsewhere too: the browser would open the file in place of the page
  if (box.contains(event.target)) add([...event.dataTransfer.files]);
});
addEventListener("beforeunload", (event) => { if (running) event.preventDefault(); });

function add(files) {
  for (const file of files) {
    const row = document.getElementById("upload-row").content.firstElementChild.cloneNode(true);
    row.querySelector(".file-name").textContent = file.name;
    document.getElementById("uploads").append(row);
    const url = URL.createObjectURL(new Blob()); // it ends with a UUID; crypto.randomUUID wants https
    URL.revokeObjectURL(url);
    const one = { file, row, id: url.slice(-36), stop: new AbortController() };
    row.querySelector("button").addEventListener("click", () => cancel(one));
    queue.push(one);
  }
  uploadNext();
}

function cancel(one) {
  one.stop.abort();
  one.row.remove();
  form.querySelector("button").focus();
  ask(one.id, { method: "DELETE" }).catch(() => {}); // the server deletes it after a day
}

async function uploadNext() {
  while (running < AT_ONCE && queue.length) {
    const one = queue.shift();
    if (one.stop.signal.aborted) continue;
    running += 1;
    send(one).then(() => announce(box.dataset.done.replace("{}", one.file.name)), (error) => {
      if (one.stop.signal.aborted) return;
      one.row.dataset.state = "failed";
      one.row.querySelector("progress").remove();
      one.row.querySelector(".file-facts").textContent = error.words ?? box.dataset.failed;
      announce(`${one.file.name}: ${error.words ?? box.dataset.failed}`);
    }).finally(() => {
      running -= 1;
      uploadNext();
    });
  }
}

async function send({ file, row, id, stop: { signal } }) {
  await file.slice(0, 1).arrayBuffer().catch(() => { throw { words: box.dataset.unreadable }; });
  let failures = 0;
  for (let offset = 0, done = false; !done;) {
    const answer = await ask(id, {
      method: "PATCH",
      body: file.slice(offset, offset + PIECE),
      signal,
      headers: {
        "Content-Type": "application/octet-stream",
        "Upload-Length": file.size,
        "Upload-Name": encodeURIComponent(file.name.toWellFormed?.() ?? file.name),
        "Upload-Offset": offset,
      },
    }).catch(() => null);
    const isBusy = answer?.status === 409; // it is being read
    if (answer?.ok && !answer.redirected) {
      const { received, file: stored } = await answer.json();
      failures = received > offset ? 0 : failures + 1;
      offset = received;
      done = Boolean(stored);
      row.querySelector("progress").value = offset / file.size;
    } else if (answer && answer.status < 500 && !isBusy) await refuse(answer);
    else if (!isBusy) failures += 1;
    if (signal.aborted || failures > PAUSES.length) throw {};
    if (failures || isBusy) await new Promise((go) => { setTimeout(go, PAUSES[failures] ?? 1000); });
  }
  const answer = await ask("", { method: "POST", body: new URLSearchParams({ attachment: id }), signal });
  if (!answer.ok) await refuse(answer);
  row.remove();
  show(await answer.text());
}

async function refuse(answer) {
  throw { words: (await answer.json().catch(() => null))?.error?.message };
}

// Of an upload, or without an id of the list.
const ask = (id, { headers, ...rest }) => fetch(id ? box.dataset.attachment.replace(/[0-9a-f-]{36}/, id) : form.action, {
  ...rest,
  headers: { Accept: "application/json", "X-CSRFToken": csrf.value, ...headers },
});

function announce(words) {
  document.getElementById("files-said").textContent = words;
}

// A list with the focus in it is replaced when the focus leaves it.
let later = null;
function show(html) {
  const list = document.getElementById("files-list");
  later = list.contains(document.activeElement) ? html : null;
  if (later === null) list.outerHTML = html;
}
box.addEventListener("focusout", () => setTimeout(() => later !== null && show(later)));

setInterval(async () => {
  if (document.hidden || !document.querySelector("#files-list[data-reading]")) return;
  const answer = await ask("", {}).catch(() => null);
  if (answer?.ok && !answer.redirected) show(await answer.text());
}, 2000);
