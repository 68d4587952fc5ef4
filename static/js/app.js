// htmx, then its extensions: as separate deferred scripts they race.
import "../vendor/htmx.esm.min.js";
import "../vendor/ext/hx-ws.min.js";
import "../vendor/ext/hx-sse.min.js";
import "./transport.js";
import "./outbox.js";
import "./composer.js";
import "./focus.js";
import "./models.js";
import "./scroll.js";
import "./sidebar.js";
import "./live-line.js";
import "./copy.js";
import "./long-prompts.js";
import "./shortcuts.js";
