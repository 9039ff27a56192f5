// What is typed and set reaches the server before the page is left, and Enter in a field presses the button beside it.

// Milliseconds.
const QUIET = 250; // So long has the server to rest before the page is left,
const PATIENCE = 5000; // for which nobody waits longer than this,
const JUST_NOW = 5000; // or at all, where nothing was touched for so long.
const PAGE_LINK = "a[data-testid$=NavLink]";

export default function () {
  if (window.bratFields) return;
  // Outlives the module, which a new session loads again.
  window.bratFields = { isResting, rest };

  document.addEventListener("keydown", ({ key, isComposing, target }) => {
    if (key !== "Enter" || isComposing || !target.closest?.(".stTextInput")) return;
    const button = target.closest("[class*='st-key-entering-']")?.querySelector(".stButton button");
    // First Streamlit sends what was typed.
    if (button) setTimeout(() => button.click());
  });

  // Of two messages that wait at the server Streamlit keeps the values of the later one alone, and one that asks
  // for another page brings none: what was set just before would be lost. So the way to a page waits for the server.
  let touchedAt = -Infinity;
  for (const type of ["pointerdown", "keydown", "input"]) {
    const touch = ({ target }) => target.closest?.(PAGE_LINK) || (touchedAt = performance.now());
    document.addEventListener(type, touch, { capture: true });
  }
  let isLeaving = false;
  const leave = async (event) => {
    const link = event.target.closest?.(PAGE_LINK);
    const isElsewhere = event.ctrlKey || event.metaKey || event.shiftKey;
    if (!link || isElsewhere || isLeaving) return;
    if (isResting() && performance.now() - touchedAt > JUST_NOW) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    // Streamlit sends what was typed when its field is left.
    document.activeElement?.blur();
    await rest();
    isLeaving = true;
    // The page may have drawn it anew meanwhile.
    (link.isConnected ? link : document.querySelector(`${PAGE_LINK}[href="${link.getAttribute("href")}"]`))?.click();
    isLeaving = false;
  };
  document.addEventListener("click", leave, { capture: true });
}

const isResting = () => document.querySelector("[data-test-script-state=notRunning]") !== null;

// Until no script has run for a moment.
async function rest() {
  const begun = performance.now();
  let since = begun;
  while (performance.now() - since < QUIET && performance.now() - begun < PATIENCE) {
    await new Promise((due) => setTimeout(due, 20));
    if (!isResting()) since = performance.now();
  }
}
