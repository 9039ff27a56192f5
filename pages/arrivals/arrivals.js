// Files that were chosen and did not arrive, and a server that no longer answers or has forgotten the visitor.
//
// Streamlit keeps both from Python: a failed upload is a red chip in the browser alone, which goes as soon as the
// others have arrived, and answers stay on the page while nothing is behind them.
//
// Nor does Streamlit keep files whose widget goes off the page before the server has them. Here each drop is kept
// until the server has counted it, and given again where its widget went; what is dropped meanwhile waits.

const WIDGET = '[data-testid="stFileUploader"]';
const INPUT = `${WIDGET} input[type="file"]`;
const ZONE = '[data-testid="stFileUploaderDropzone"]';
const CHIP = '[data-testid="stFileChip"]';
const FAILED = `${CHIP}[aria-invalid="true"]`;
// Behind this the worklist takes files.
const ADDING = ".st-key-add-scans button";
// Milliseconds.
const PATIENCE = 2000; // without a connection
const TICK = 50;
const REST = 500; // After so long without a script nothing is on its way from the server,
const NOTHING_CAME = 10_000; // and after so long nothing is on its way to it.

// Outlives the module, which a new session loads again.
const page = (window.bratArrivals ??= {
  told: new WeakSet(),
  visit: null,
  wasConnected: false,
  wasOffline: false,
  timer: null,
  drops: 0, // that the server has counted
  sent: null, // the drop that is on its way
  waiting: [], // those after it
  used: new WeakSet(), // widgets that have had their drop: the server is about to put others in their place
  clock: null,
  restingSince: 0,
});

// Outlives a reload, and ends with the tab.
const VISIT = "brat-visit";

export default function ({ data, setTriggerValue, parentElement }) {
  const [visit, isOpen, takesFiles, offline, drops, answered] = data;
  Object.assign(page, { parent: parentElement, takesFiles, drops, answered });
  page.tell = (failed) => setTriggerValue("failed", failed);
  page.ask = (question) => setTriggerValue("asked", question);
  page.observer?.disconnect();
  page.look = () => {
    if (takesFiles) tellFailed(setTriggerValue);
    tellOffline(offline, setTriggerValue);
  };
  page.observer = new MutationObserver(() => page.look());
  page.observer.observe(document.body, {
    subtree: true,
    childList: true,
    attributeFilter: ["aria-invalid", "data-test-connection-state"],
  });
  const isForgotten = page.visit !== null && page.visit !== visit;
  const before = page.visit === null ? JSON.parse(sessionStorage.getItem(VISIT)) : null;
  page.visit = visit;
  if (isForgotten) {
    if (page.sent) page.waiting.unshift(page.sent.drop);
    Object.assign(page, { sent: null, used: new WeakSet() });
  }
  sessionStorage.setItem(VISIT, JSON.stringify({ visit, isOpen }));
  if (isForgotten) setTriggerValue("forgotten", true);
  if (before?.isOpen && before.visit !== visit) setTriggerValue("returned", before.visit);
  page.look();
  listen();
  if (page.clock) pass();
}

function listen() {
  if (page.isListening) return;
  page.isListening = true;
  window.addEventListener("change", chosen, { capture: true });
  // A dialogue may outlive the widget that opened it.
  const late = (event) => event.target.isConnected || chosen(event);
  const opened = ({ target }) => target.matches?.(INPUT) && target.addEventListener("change", late);
  window.addEventListener("click", opened, { capture: true });
  window.addEventListener("dragover", (event) => hasFiles(event) && isHere() && event.preventDefault());
  window.addEventListener("drop", dropped, { capture: true });
}

function chosen(event) {
  const input = event.target;
  if (input.type !== "file" || !input.closest(WIDGET) || !isHere()) return;
  const items = [...input.files].map((file) => ({ kind: "file", name: file.name, getAsFile: () => file }));
  take(event, { items, isFolder: input.webkitdirectory }, input.closest(WIDGET));
  if (event.cancelBubble) input.value = "";
}

function dropped(event) {
  if (event.isOurs || !hasFiles(event) || !isHere()) return;
  const items = [...event.dataTransfer.items].filter(({ kind }) => kind === "file").map((item) => {
    const entry = item.webkitGetAsEntry?.();
    if (entry?.isDirectory) return { kind: "file", name: entry.name, webkitGetAsEntry: () => entry };
    const file = item.getAsFile();
    // A copy each time: where it came from is written into it, and cannot be written twice.
    return { kind: "file", name: file.name, getAsFile: () => new File([file], file.name, { type: file.type }) };
  });
  const widget = event.target.closest?.(WIDGET);
  take(event, { items, isFolder: isFolder(widget) }, widget);
}

// Leave a drop to the widget that it fell on, where that is free, or let it wait.
function take(event, drop, widget) {
  if (!drop.items.length) return;
  if (!page.sent && !page.waiting.length && widget?.isConnected && !page.used.has(widget)) {
    send(drop, widget);
  } else {
    event.preventDefault();
    event.stopPropagation();
    page.waiting.push(drop);
  }
  // Nobody has looked whether a script ran since the last drop.
  if (!page.clock) page.restingSince = performance.now();
  page.clock ??= setInterval(pass, TICK);
}

function send(drop, widget) {
  page.used.add(widget);
  page.sent = { drop, widget, drops: page.drops, before: new Set(widget.querySelectorAll(CHIP)), wasComing: false };
  page.restingSince = performance.now();
}

// One step of the drops that are not with the server yet.
function pass() {
  const now = performance.now();
  if (!document.querySelector("[data-test-script-state=notRunning][data-test-connection-state=CONNECTED]")) {
    page.restingSince = now;
  }
  const resting = now - page.restingSince;
  // What was dropped just before another page was opened waits for one that takes files.
  if (!isHere()) return;
  if (page.sent) follow(page.sent, resting);
  if (!page.sent && page.waiting.length) give(page.waiting[0], resting);
  if (!page.sent && !page.waiting.length) {
    clearInterval(page.clock);
    page.clock = null;
  }
}

function follow(sent, resting) {
  const { drop, widget } = sent;
  if (sent.drops !== page.drops) {
    page.sent = null;
  } else if (!widget.isConnected) {
    if (resting < REST) return;
    if (sent.question && page.answered === sent.question) {
      page.sent = null;
      page.waiting.unshift(drop);
    } else {
      // It may have come: a slow browser learns late what the server has counted. So the server is asked.
      sent.question ??= `${performance.now()} ${Math.random()}`;
      page.restingSince = performance.now();
      page.ask(sent.question);
    }
  } else {
    const chips = [...widget.querySelectorAll(CHIP)].filter((chip) => !sent.before.has(chip));
    const isComing = chips.some((chip) => !chip.matches(FAILED));
    sent.wasComing ||= isComing;
    // All failed, were taken back, or there was nothing in the folder: the widget stays.
    if (!isComing && (sent.wasComing || chips.length >= drop.items.length || resting > NOTHING_CAME)) {
      page.used.delete(widget);
      page.sent = null;
    }
  }
}

function give(drop, resting) {
  const free = [...document.querySelectorAll(WIDGET)].filter((widget) => !page.used.has(widget));
  const widget = free.find((widget) => isFolder(widget) === drop.isFolder) ?? free[0];
  if (widget) {
    page.waiting.shift();
    send(drop, widget);
    const event = new Event("drop", { bubbles: true, cancelable: true });
    widget.querySelector(ZONE).dispatchEvent(
      Object.assign(event, { isOurs: true, dataTransfer: { types: ["Files"], items: drop.items } }),
    );
  } else if (resting > REST) {
    page.restingSince = performance.now();
    const adding = document.querySelector(ADDING);
    if (adding?.ariaExpanded === "false") {
      adding.click();
    } else {
      page.waiting.shift();
      page.tell(drop.items.map(({ name }) => [name, ""]));
    }
  }
}

const hasFiles = ({ dataTransfer }) => dataTransfer?.types.includes("Files");
// Whether the page that is shown takes files.
const isHere = () => page.takesFiles && page.parent?.isConnected;
const isFolder = (widget) => Boolean(widget?.querySelector("input")?.webkitdirectory);

function tellFailed(setTriggerValue) {
  const failed = [...document.querySelectorAll(FAILED)].filter((chip) => !page.told.has(chip));
  if (!failed.length) return;
  for (const chip of failed) page.told.add(chip);
  setTriggerValue(
    "failed",
    failed.map((chip) => [
      chip.querySelector('[data-testid="stFileChipName"]')?.title ?? "",
      chip.querySelector('[role="alert"]')?.textContent ?? "",
    ]),
  );
}

function tellOffline(words, setTriggerValue) {
  const app = document.querySelector("[data-test-connection-state]");
  const isConnected = app?.dataset.testConnectionState === "CONNECTED";
  page.wasConnected ||= isConnected;
  if (isConnected || !page.wasConnected) {
    clearTimeout(page.timer);
    page.timer = null;
    page.notice?.remove();
    page.notice = null;
    // Streamlit runs nothing by itself when a server is there again: answers of one that is gone would stay.
    if (isConnected && page.wasOffline) setTriggerValue("back", Date.now());
    page.wasOffline = false;
    return;
  }
  page.wasOffline = true;
  page.timer ??= setTimeout(() => {
    page.notice = document.createElement("div");
    page.notice.setAttribute("role", "alert");
    page.notice.textContent = words;
    Object.assign(page.notice.style, {
      position: "fixed",
      inset: "0 0 auto 0",
      zIndex: "1000000",
      padding: ".6rem 1rem",
      background: "#7a1f1f",
      color: "#ffffff",
      font: "600 1rem sans-serif",
      textAlign: "center",
    });
    document.body.append(page.notice);
  }, PATIENCE);
}
