// The page of exports and imports. The list of imports asks for itself again (htmx). A file that is too large for
// one request is sent in pieces; a piece that fails is sent again for a while.
import "../vendor/htmx.esm.min.js";

const PIECE = 1024 * 1024;
const WHOLE = 4 * PIECE;
const PAUSES = [500, 1000, 2000, 4000, 8000, 16000];

document.addEventListener("submit", async (event) => {
  const form = event.target;
  const file = form.elements.file?.files[0];
  if (!form.dataset.pieces || !file || file.size <= WHOLE) return;
  event.preventDefault();
  const [progress, problem, button] = ["progress", "[role=alert]", "button"].map((one) => form.querySelector(one));
  progress.hidden = false;
  problem.hidden = button.disabled = true;
  try {
    for (let offset = 0; offset < file.size; progress.value = offset / file.size) {
      offset = await send(form, file, offset);
    }
    const name = Object.assign(document.createElement("input"), { type: "hidden", name: "uploaded", value: file.name });
    form.append(name);
    form.elements.file.disabled = true;
    form.submit();
  } catch (error) {
    problem.textContent = error.words ?? form.dataset.failed;
    progress.hidden = true;
    problem.hidden = button.disabled = false;
  }
});

async function send(form, file, offset) {
  for (const pause of [...PAUSES, 0]) {
    const answer = await fetch(form.dataset.pieces, {
      method: "PATCH",
      body: file.slice(offset, offset + PIECE),
      headers: {
        Accept: "application/json",
        "X-CSRFToken": form.elements.csrfmiddlewaretoken.value,
        "Upload-Offset": offset,
        "Upload-Length": file.size,
      },
    }).catch(() => null);
    if (answer?.ok) return (await answer.json()).received;
    if (answer && answer.status < 500) throw { words: (await answer.json().catch(() => null))?.error?.message };
    await new Promise((done) => setTimeout(done, pause));
  }
  throw {};
}
