// In every page that is measured.

const frame = () => new Promise(requestAnimationFrame);

const LONGEST = 60_000; // milliseconds

// A frame is painted when a message that its callback sent arrives.
const painted = async (isThere) => {
  const begun = performance.now();
  do {
    await frame();
    if (performance.now() - begun > LONGEST) throw new Error(`not painted after ${LONGEST} ms: ${isThere}`);
  } while (!isThere());
  await new Promise((arrived) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = arrived;
    port2.postMessage(0);
  });
};

const one = (selector) => document.querySelector(selector);
// The page has components beside the viewer.
const ui = (name) =>
  [...document.querySelectorAll("[data-testid=stBidiComponentIsolated]")]
    .map((component) => component.shadowRoot?.querySelector(`[data-ui=${name}]`))
    .find(Boolean);

const isPage = () =>
  one("[data-test-script-state=notRunning] input[type=file]") &&
  [...document.images].every((image) => image.complete);
const isAnswer = (name) => one(".answer h2") && ui("canvas")?.ariaLabel?.startsWith(`${name} `);
const isEcho = (name) =>
  one("[data-testid=stImageCaption]")?.textContent === name && one("[data-testid=stImage] img").complete;

// Where two drops came together, both are in the worklist.
const isListed = (name) =>
  [...document.querySelectorAll("[role=gridcell]")].some((cell) => cell.textContent.trim() === name);

const upload = async ([base64, name], start = 0) => {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name));
  await new Promise((due) => setTimeout(due, start - Date.now()));
  const begun = performance.now();
  const input = one("input[type=file]");
  if (input) {
    input.files = transfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  } else {
    // While another file is opened, the page shows no place for files. It can be dropped all the same.
    const drop = new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: transfer });
    document.body.dispatchEvent(drop);
  }
  await painted(() => isAnswer(name) || isEcho(name) || isListed(name));
  return performance.now() - begun;
};

const change = async (name) => {
  const control = ui(name);
  const picture = () => ui("canvas").toDataURL() + ui("canvas").ariaLabel;
  const before = picture();
  await frame();
  const begun = performance.now();
  if (control.options) control.selectedIndex = (control.selectedIndex + 1) % control.options.length;
  else control.value = control.value > 0.4 ? 0.2 : 0.6;
  for (const type of ["input", "change"]) control.dispatchEvent(new Event(type));
  await painted(() => true);
  const milliseconds = performance.now() - begun;
  if (picture() === before) throw new Error(`${name} was changed and the picture was not`);
  return milliseconds;
};

// To the next slice of a series, from the last to the first.
const turn = async () => {
  const slider = ui("slice");
  const before = ui("canvas").ariaLabel;
  await frame();
  const begun = performance.now();
  slider.value = (Number(slider.value) + 1) % (Number(slider.max) + 1);
  slider.dispatchEvent(new Event("input"));
  await painted(() => ui("canvas").ariaLabel !== before);
  return performance.now() - begun;
};

Object.assign(window, { painted, one, ui, isPage, isListed, upload, change, turn });
