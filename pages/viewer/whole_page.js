// What concerns the whole of Review. Its elements are Streamlit's; each is found anew when it is needed.

const TYPING_PAUSE = 300; // milliseconds
const VERDICT_KEYS = ["a", "d", "u"];
// Outlives the module, which a new session loads again.
const state = (window.bratWholePage ??= { isAlone: false, listening: false });

export default function ({ data: [isAlone, back] }) {
  // A slice by itself is a place of its own, from which the browser's Back leads to the series.
  if (isAlone && !state.isAlone) history.pushState({ isAlone }, "");
  state.isAlone = isAlone;
  if (state.listening) return;
  state.listening = true;

  // Caught before Streamlit, which would run the page a second time: of two runs at once the first one's end
  // lets the browser drop what the second one counts on, and the page would end in "Connection error".
  const goBack = (event) => {
    const button = document.querySelector(`.st-key-${back} button`);
    if (!state.isAlone || !button) return;
    event.stopImmediatePropagation();
    button.click();
  };
  window.addEventListener("popstate", goBack, { capture: true });

  window.addEventListener("beforeunload", (event) => {
    if (document.querySelector(".brat-unsaved")) event.preventDefault();
  });

  document.addEventListener("keydown", (event) => {
    const place = VERDICT_KEYS.indexOf(event.key.toLowerCase());
    const target = event.composedPath()[0];
    const isTyping = target.matches?.("input:not([type=checkbox], [type=range]), textarea, select, [contenteditable]");
    if (place < 0 || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    const buttons = document.querySelectorAll("[class*='st-key-verdict-'] button:not([aria-label^='Help'])");
    buttons[place]?.click();
  });

  // Streamlit sends what was typed when its field is left, and a click on another page may overtake that.
  let pause;
  document.addEventListener("input", ({ target }) => {
    if (!target.closest?.("[class*='st-key-note-'], [class*='st-key-name-']")) return;
    clearTimeout(pause);
    const enter = { key: "Enter", ctrlKey: target.matches("textarea"), bubbles: true };
    pause = setTimeout(() => target.dispatchEvent(new KeyboardEvent("keydown", enter)), TYPING_PAUSE);
  });

  const show = (isDragging) => document.documentElement.classList.toggle("dropping", isDragging);
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  window.addEventListener("dragenter", (event) => hasFiles(event) && show(true));
  window.addEventListener("dragleave", (event) => !event.relatedTarget && show(false));
  for (const type of ["drop", "dragend"]) window.addEventListener(type, () => show(false), true);
}
