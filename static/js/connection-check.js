// Checks the connection to the server: a socket that echoes and survives a pause, a stream of
// events that arrive one by one, and the clocks at both ends.
const results = document.getElementById("results");
const { token, silence, leastSpread } = results.dataset;
const CLOCKS_APART = 60_000; // ms

function report(kind, ok) {
  const row = results.querySelector(`[data-kind="${kind}"]`);
  if (row.dataset.ok) return;
  row.dataset.ok = ok;
  for (const part of row.querySelectorAll("[data-when]")) part.hidden = part.dataset.when !== String(ok);
}

function trySocket() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.host}/ws/connection-check/?token=${token}`);
  const soon = setTimeout(() => socket.close(), 10_000);
  socket.onopen = () => socket.send("echo");
  socket.onmessage = () => {
    clearTimeout(soon);
    report("websocket", true);
    setTimeout(() => { report("idle", true); socket.close(); }, silence * 1000);
  };
  socket.onclose = () => { report("websocket", false); report("idle", false); };
}

async function tryEvents() {
  const arrivals = [];
  try {
    const answer = await fetch(`/connection-check/events/?token=${token}`);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      for (const found of part.value.matchAll(/^data: ([\d.]+)/gm)) {
        if (!arrivals.length) report("clock", Math.abs(Date.now() - found[1] * 1000) < CLOCKS_APART);
        arrivals.push(Date.now());
      }
    }
  } catch { arrivals.length = 0; }
  report("buffering", arrivals.length > 1 && arrivals.at(-1) - arrivals[0] >= leastSpread);
  report("clock", false);
}

trySocket();
tryEvents();
