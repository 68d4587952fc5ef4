// Follows a growing reply while the reader is at the end; restores a chat's position.
import { $, chatId, htmx, on, onChat, onClick } from "./page.js";

const NEAR = 48; // px from the end that count as the end
const AHEAD = 800; // px before the top: time for earlier messages
const MANY = 6; // pages
const MOST_REQUESTS = 40; // for a message far above
const BELOW_TOP = 80; // px, for a message that a search found
let following = true;
let restoring = false;
let lastTop = 0;
let loading, held, firstLink;

const name = () => `place:${chatId()}`;
const grown = new ResizeObserver(follow);

onChat(async () => {
  grown.disconnect();
  const { openedAt } = $("chat").dataset;
  const there = openedAt ? [openedAt, BELOW_TOP] : JSON.parse(sessionStorage.getItem(name()));
  following = !there;
  $("scroller").addEventListener("scroll", moved, { passive: true });
  if (there) await restore(there);
  if (openedAt && $(openedAt)) {
    $(openedAt).setAttribute("data-found", "");
    import("./search.js").then(({ markFound }) => markFound($(openedAt)));
  }
  follow();
  grown.observe($("messages"));
  grown.observe($("scroller"));
});

// Only a move upwards leaves the end: growth looks like a move, too.
function moved() {
  const { scrollTop } = $("scroller");
  if (!restoring && isNear()) toEnd();
  else if (!restoring && scrollTop < lastTop) following = false;
  lastTop = scrollTop;
  showButtons();
  if (scrollTop < AHEAD && !following) loadEarlier();
}

// Drops a thousand messages far above.
function toEnd() {
  following = true;
  if ($("earlier").children.length > MANY) {
    $("earlier").innerHTML = firstLink;
    htmx.process($("earlier"));
  }
  follow();
}

onClick("#jump", toEnd);
addEventListener("submit", ({ target }) => { if (target.id === "composer") toEnd(); }, true);

function follow() {
  const scroller = $("scroller");
  if (following && !restoring) scroller.scrollTop = scroller.scrollHeight;
  showButtons();
}

// Shows the buttons that have an effect: to the end, and to the last prompt if it begins above.
function showButtons() {
  $("jump").hidden = isNear();
  let prompt = $("messages").lastElementChild;
  while (prompt && prompt.dataset.role !== "user") prompt = prompt.previousElementSibling;
  $("to-prompt").hidden = !prompt || offset(prompt) > -NEAR;
}

function isNear() {
  const { scrollHeight, scrollTop, clientHeight } = $("scroller");
  return scrollHeight - scrollTop - clientHeight < NEAR;
}

// With an id of a message: so many at once that it is among them.
function loadEarlier(id) {
  const link = $("more").querySelector("a");
  if (!link || loading) return loading;
  if (!$("more").nextElementSibling) firstLink = $("more").outerHTML;
  loading = htmx.ajax("GET", id ? `${link.href}?to=${id}` : link.href, { target: "#more", swap: "outerHTML" });
  return loading.finally(() => { loading = null; });
}

// Loads all earlier messages of a chat while `continues()`. Calls `progress(count)` with the number of loaded
// messages. Returns whether all are loaded.
export async function loadAll(progress, continues) {
  const next = () => continues() && $("more").querySelector("a")?.href;
  restoring = true; // at the end, earlier messages would be dropped
  try {
    for (let href = next(); href; ) {
      progress($("scroller").querySelectorAll("article.message").length);
      await loadEarlier();
      const after = next();
      if (after === href) return false;
      href = after;
    }
    return true;
  } finally {
    restoring = false;
  }
}

on("htmx:before:swap", (event) => {
  const { ctx, tasks } = event.detail;
  const isHere = tasks.some(({ target }) => ["more", "earlier"].includes(target?.id));
  if (isHere && ctx?.response?.status >= 400) event.preventDefault(); // the link stays
  else held = isHere && placeNow();
});
on("htmx:after:swap", () => {
  if (held && $(held[0])) scrollToPlace(held);
  held = null;
});

addEventListener("pagehide", remember);
on("htmx:before:request", remember);

function remember() {
  const there = !following && placeNow();
  if (there) sessionStorage.setItem(name(), JSON.stringify(there));
  else sessionStorage.removeItem(name());
}

async function restore(there) {
  const [id] = there;
  restoring = true;
  for (let pages = 0; !$(id) && $("more").querySelector("a") && pages < MOST_REQUESTS; pages += 1) {
    await loadEarlier(id);
  }
  // Twice: at first, what was not laid out yet has an estimated height.
  for (let pass = 0; $(id) && pass < 2; pass += 1) {
    scrollToPlace(there);
    await new Promise(requestAnimationFrame);
  }
  following = !$(id);
  restoring = false;
}

// The first message in view, and how far below the top it begins.
function placeNow() {
  const first = (all) => [...all].find((one) => offset(one) + one.offsetHeight > 0);
  const message = first(first($("scroller").querySelectorAll(".messages"))?.children ?? []);
  return message?.id && [message.id, offset(message)];
}

function scrollToPlace([id, where]) {
  $("scroller").scrollTop += offset($(id)) - where;
}

const topOf = (element) => element.getBoundingClientRect().top;
const offset = (element) => topOf(element) - topOf($("scroller"));
