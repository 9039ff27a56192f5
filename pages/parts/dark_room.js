// The dark theme is what a visitor meets first, whatever the system's is; what they choose in the menu stands.
//
// Streamlit has no option for that: of a light and a dark theme it takes the system's. It keeps a choice for each
// address at which it was loaded. Where it no longer does so, the system's theme is shown, and nothing else is lost.

const CHOICE = /^stActiveTheme-(.*)-v2$/;
const DARK = '"Dark"';

export default function () {
  if (window.bratDarkRoom) return;
  window.bratDarkRoom = true;
  const choiceAt = (path) => `stActiveTheme-${path}-v2`;
  const metAt = (path) => `brat-theme-met-${path}`;
  const here = location.pathname;
  const others = Object.keys(localStorage).flatMap((key) => CHOICE.exec(key)?.[1] ?? []);
  if (!localStorage.getItem(metAt(here))) {
    const met = others.find((path) => localStorage.getItem(metAt(path)));
    const wanted = met === undefined ? DARK : localStorage.getItem(choiceAt(met));
    localStorage.setItem(metAt(here), "met");
    localStorage.setItem(choiceAt(here), wanted);
    showAs(wanted);
  }
  // One choice for all pages.
  addEventListener("pagehide", () => {
    const chosen = localStorage.getItem(choiceAt(here));
    const keys = Object.keys(localStorage).filter((key) => CHOICE.test(key));
    for (const key of keys) localStorage.setItem(key, chosen);
  });
}

// After printing Streamlit looks again at what the system prefers; this once it is told another preference.
function showAs(wanted) {
  if (wanted === '"System"') return;
  const asked = window.matchMedia;
  window.matchMedia = (query) =>
    query.includes("prefers-color-scheme")
      ? { matches: query.includes("dark") === (wanted === DARK), addEventListener() {}, removeEventListener() {} }
      : asked.call(window, query);
  window.dispatchEvent(new Event("afterprint"));
  window.matchMedia = asked;
}
