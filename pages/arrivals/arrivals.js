// Files that were chosen and did not arrive, and a server that no longer answers or has forgotten the visitor.
//
// Streamlit keeps both from Python: a failed upload is a red chip in the browser alone, which goes as soon as the
// others have arrived, and answers stay on the page while nothing is behind them.

const FAILED = '[data-testid="stFileChip"][aria-invalid="true"]';
const PATIENCE = 2000; // milliseconds without a connection

// Outlives the module, which a new session loads again.
const page = (window.bratArrivals ??= { told: new WeakSet(), visit: null, wasConnected: false, wasOffline: false, timer: null });

// Outlives a reload, and ends with the tab.
const VISIT = "brat-visit";

export default function ({ data: [visit, isOpen, offline], setTriggerValue }) {
  page.observer?.disconnect();
  page.look = () => {
    tellFailed(setTriggerValue);
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
  sessionStorage.setItem(VISIT, JSON.stringify({ visit, isOpen }));
  if (isForgotten) setTriggerValue("forgotten", true);
  if (before?.isOpen && before.visit !== visit) setTriggerValue("returned", before.visit);
  page.look();
}

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
