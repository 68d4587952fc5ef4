// Checks the connection to the server: a socket that echoes and survives a pause, a stream of
// events that arrive one by one, and the clocks at both ends.
const way = document.getElementById("way");
const { token, silence, leastSpread } = way.dataset;
const CLOCKS_APART = 60_000; // ms

function tell(kind, ok) {
  const row = way.querySelector(`[data-kind="${kind}"]`);
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
    tell("websocket", true);
    setTimeout(() => { tell("idle", true); socket.close(); }, silence * 1000);
  };
  socket.onclose = () => { tell("websocket", false); tell("idle", false); };
}

async function tryEvents() {
  const came = [];
  try {
    const answer = await fetch(`/connection-check/events/?token=${token}`);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      for (const found of part.value.matchAll(/^data: ([\d.]+)/gm)) {
        if (!came.length) tell("clock", Math.abs(Date.now() - found[1] * 1000) < CLOCKS_APART);
        came.push(Date.now());
      }
    }
  } catch { came.length = 0; }
  tell("buffering", came.length > 1 && came.at(-1) - came[0] >= leastSpread);
  tell("clock", false);
}

trySocket();
tryEvents();
