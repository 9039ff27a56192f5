// What concerns the whole of Review. Its elements are Streamlit's; each is found anew when it is needed.

// Milliseconds.
const TYPING_PAUSE = 300;
const [SERIES, SLICE] = ["#series", "#slice"];
const VERDICT_KEYS = ["a", "d", "u"];
const VERDICTS = "[class*='st-key-verdict-'] button:not([aria-label^='Help'])";
// What other keys press; of a choice they take the next. Capitals are with Shift: they leave small ones to the picture.
const KEYS = {
  k: "[class*='st-key-keep-'] button",
  z: "[class*='st-key-anyway-'] input",
  q: ".st-key-BACK button",
  N: "[class*='st-key-note-'] textarea",
  C: ".st-key-level [role=radio]",
  M: ".st-key-method [role=radio]",
  V: "[class*='st-key-plane-'] [role=radio]",
  T: "[class*='st-key-stability-'] input, .st-key-series-numbers input",
  P: "[class*='st-key-download-reading-'][class*='-pdf'] button",
  W: ".st-key-window button",
  O: ".st-key-another [data-testid=stFileUploaderDropzone] button",
  S: ".st-key-samples-open button",
};
// Outlives the module, which a new session loads again.
const state = (window.bratWholePage ??= { of: "", isAlone: false, listening: false });

export default function ({ data: [of, isAlone, back] }) {
  // An answer, or why there is none, is where the eye falls first, however far down one was before.
  if (of !== state.of) document.querySelector("[data-testid=stMain]").scrollTo({ top: 0, behavior: "instant" });
  state.of = of;
  // A slice by itself is a place of its own, from which the browser's Back leads to the series. Both have a name,
  // because of a way to an anchor Streamlit makes no run of its own: of two runs at once the first one's end lets
  // the browser drop what the second one counts on, and the page would end in "Connection error".
  if (isAlone && !state.isAlone && !history.state?.isAlone) {
    history.replaceState(history.state, "", SERIES);
    history.pushState({ isAlone }, "", SLICE);
  }
  if (!isAlone && state.isAlone && history.state?.isAlone) history.back();
  state.isAlone = isAlone;
  if (state.listening) return;
  state.listening = true;

  window.addEventListener("popstate", () => {
    if (state.isAlone && location.hash === SERIES) document.querySelector(`.st-key-${back} button`)?.click();
  });

  window.addEventListener("beforeunload", (event) => {
    if (document.querySelector(".brat-unsaved")) event.preventDefault();
  });

  document.addEventListener("keydown", async (event) => {
    const key = event.shiftKey ? event.key.toUpperCase() : event.key.toLowerCase();
    const place = VERDICT_KEYS.indexOf(key);
    const selector = place < 0 ? Object.hasOwn(KEYS, key) && KEYS[key].replace("BACK", back) : VERDICTS;
    const target = event.composedPath()[0];
    const isTyping = target.matches?.("input:not([type=checkbox], [type=range]), textarea, select, [contenteditable]");
    // A key that is held down would give the verdict and take it back by turns.
    if (!selector || !document.querySelector(selector) || event.repeat || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    // Below a new answer the verdict on the one before may stand until the page is drawn.
    // Else the letter would be typed into the field that it leads to.
    event.preventDefault();
    // Of `pages.parts.fields`.
    if (!window.bratFields.isResting()) await window.bratFields.rest();
    press([...document.querySelectorAll(selector)], place);
  });

  // Streamlit sends what was typed only when its field is left.
  let pause, field;
  const send = () => {
    clearTimeout(pause);
    const enter = { key: "Enter", ctrlKey: field?.matches("textarea"), bubbles: true };
    field?.dispatchEvent(new KeyboardEvent("keydown", enter));
    field = undefined;
  };
  document.addEventListener("input", ({ target }) => {
    if (!target.closest?.("[class*='st-key-note-'], [class*='st-key-name-']")) return;
    clearTimeout(pause);
    field = target;
    pause = setTimeout(send, TYPING_PAUSE);
  });

  // A name may be cut short.
  document.addEventListener("pointerover", ({ target }) => {
    if (target.matches?.(".st-key-file p code")) target.title = target.textContent;
  });

  const show = (isDragging) => document.documentElement.classList.toggle("dropping", isDragging);
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  window.addEventListener("dragenter", (event) => hasFiles(event) && show(true));
  window.addEventListener("dragleave", (event) => !event.relatedTarget && show(false));
  for (const type of ["drop", "dragend"]) window.addEventListener(type, () => show(false), true);
}

// The one at its place or, of a choice, the one after what is chosen; one alone, whatever it is.
function press(controls, place) {
  const chosen = controls.findIndex((control) => control.ariaChecked === "true" && control.role === "radio");
  const control = controls[place < 0 ? (chosen + 1) % controls.length : place];
  if (control?.matches("textarea")) control.focus();
  else control?.click();
}
