// A scan, or a stack of slices, with its map. Nothing here talks to the server but the wish to open a slice by
// itself, and to have the enhanced scan read: Python sends the slices, the small maps and the colour tables (see __init__.py), and the rest is this
// file's. A viewer for volumes, such as NiiVue, would not do: the map belongs to a slice and to the square that
// was read in it, not to a volume.

const LARGEST_ZOOM = 12;
const ZOOM_STEP = 1.25;
const PAGE = 10; // slices
const WHEEL_STEP = 40; // pixels of scrolling for a slice
const ALL_LEVELS = [...Array(256).keys()];
const ARROWS = { ArrowLeft: [0.1, 0], ArrowRight: [-0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
const THROUGH_STACK = { ArrowUp: -1, ArrowDown: 1, PageUp: -PAGE, PageDown: PAGE, Home: -Infinity, End: Infinity };

const OUTLINE_AT = 128; // Of 255: half of the strongest evidence.
const TASTE = "brat-viewer";
const LEFT = "brat-viewer-left-"; // How a scan, or a stack, was left.
const PATIENCE = 5000; // milliseconds for the values of a slice
const CAN_POINT = matchMedia("(hover: hover)").matches;

// The visitor's taste outlives a scan, the page and a reload. Everything else starts afresh with the next scan, and
// stands as it was left where a scan comes back.
const taste = {
  ...{ opacity: 0.6, colours: undefined, hasOutline: true },
  ...{ clahe: false, clipLimit: 2, brightness: false, change: 15 },
  ...JSON.parse(sessionStorage.getItem(TASTE) ?? "{}"),
};
const keepTaste = () => sessionStorage.setItem(TASTE, JSON.stringify(taste));

const viewers = new WeakMap();

// Streamlit calls this at the first mount and again, on the same elements, for every change of the data.
export default function ({ parentElement, data: [data], setTriggerValue, setStateValue }) {
  const root = parentElement.querySelector(".viewer");
  if (!viewers.has(root)) viewers.set(root, new Viewer(root));
  const viewer = viewers.get(root);
  viewer.open = (index) => setTriggerValue("open", index);
  viewer.ask = (enhancement) => setStateValue("enhancement", enhancement);
  viewer.receive(data);
  return () => {
    // Streamlit also calls the clean-up of a call that a newer one overtook; then the viewer lives on.
    if (!root.isConnected) viewer.closing.abort();
  };
}

class Viewer {
  constructor(root) {
    this.root = root;
    this.ui = Object.fromEntries([...root.querySelectorAll("[data-ui]")].map((node) => [node.dataset.ui, node]));
    this.overlay = document.createElement("canvas");
    this.enhanced = document.createElement("canvas");
    this.tool = "";
    this.lines = [];
    this.pointers = new Map();
    this.closing = new AbortController();
    this.listen();
  }

  receive(data) {
    if (data === this.latest) return;
    const [before, after] = [this.latest?.slices, data.slices];
    let isNew = before?.length !== after.length || before[data.start].scan !== after[data.start].scan;
    const isAnswerNew = isNew || data.of !== this.latest.of || before[0].label !== after[0].label;
    this.latest = data;
    this.isStack = data.isStack;
    this.ui.stack.hidden = this.ui.answer.hidden = !this.isStack;
    this.root.classList.toggle("stackful", this.isStack);
    if (this.isStack) this.setUpStack(data);
    if (isNew || data.of !== this.of) {
      this.left = this.howLeft(data);
      this.anyway = this.left.anyway ?? false;
      this.index = clamp(this.left.index ?? data.start, 0, data.slices.length - 1);
      isNew = true;
    }
    this.of = data.of;
    this.painted = undefined;
    if (isAnswerNew) this.picked = this.wanted = undefined;
    // The server's word is taken once: what it says later may be older than what was done here meanwhile.
    if (this.isRead === undefined || isNew) this.takeEnhancement(data.enhancement);
    this.turn(isNew);
  }

  // ---- Through the stack ----

  setUpStack({ slices, classes, words, strip, aimName }) {
    const { ui } = this;
    const names = classes.map(({ name }) => Object.assign(document.createElement("span"), { textContent: name }));
    ui.slice.max = slices.length - 1;
    ui.lanes.replaceChildren(...names);
    ui.strip.ariaLabel = strip;
    ui.note.textContent = words.hatched;
    ui.note.hidden = slices.every(({ mark }) => mark === "known");
    ui.aim.textContent = aimName;
    ui.aim.hidden = !aimName;
    ui.anywayText.textContent = words.anyway;
    ui.anywayField.hidden = !slices.some(({ withheld }) => withheld);
  }

  // What is said of a slice out of distribution only where it is asked for.
  told(slice) {
    return this.anyway ? { ...slice, ...slice.withheld } : slice;
  }

  tellAnyway(isOn) {
    this.anyway = isOn;
    this.painted = undefined;
    this.turn(false);
  }

  turnTo(index) {
    this.index = clamp(index, 0, this.latest.slices.length - 1);
    this.turn(false);
  }

  // One slice is decoded at a time; where the visitor is faster, those between are passed over.
  async turn(isNew) {
    this.isNew ||= isNew;
    this.say();
    if (this.isTurning) return;
    this.isTurning = true;
    try {
      while (this.painted !== this.index || this.data !== this.latest) {
        const [data, index] = [this.latest, this.index];
        const slice = this.told(data.slices[index]);
        const isSame =
          slice.scan === this.slice?.scan && slice.values?.data === this.slice.values?.data && index === this.at;
        const scan = isSame ? this.scan : { ...(await decode(slice.scan)), values: unpack(slice.values) };
        // A newer call came while this one's scan was being decoded.
        if (data !== this.latest) continue;
        Object.assign(this, { data, slice, scan, painted: index, at: index });
        this.showSlice();
      }
    } finally {
      this.isTurning = false;
    }
  }

  showSlice() {
    const { maps, first, geometry } = this.slice;
    const { width, height } = geometry;
    this.ui.stage.style.setProperty("--ratio", width / height);
    for (const canvas of [this.ui.canvas, this.ui.plain, this.overlay, this.enhanced]) {
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    }
    this.line = null;
    if (this.isNew) this.startFrom(this.left);
    this.isNew = false;
    this.label = [this.picked, first, ...Object.keys(maps)].find((name) => name in maps);
    this.fillChoices();
    this.changePixels();
    this.enlargeMap();
    this.root.inert = false;
  }

  // Where the answer is no tumour, or none should be given, the scan stands unmarked until a map is asked for.
  get isShown() {
    return this.wanted ?? this.slice.isMarked;
  }

  // What is known of the slice, and where it lies; at once, though its picture may take a moment.
  say() {
    if (!this.isStack) return;
    const { ui, index } = this;
    const { slices } = this.latest;
    const slice = this.told(slices[index]);
    const where = `Slice ${index + 1} of ${slices.length}`;
    ui.where.textContent = where;
    ui.said.textContent = slice.answer;
    ui.doubt.textContent = slice.doubt;
    ui.answer.style.borderColor = slice.colour ?? "";
    ui.slice.value = index;
    ui.slice.ariaValueText = `${where}: ${slice.answer}`;
    ui.sliceText.textContent = `${index + 1} / ${slices.length}`;
    ui.anyway.checked = this.anyway;
    ui.anyway.disabled = slices[index].mark !== "refused";
    this.drawStrip();
  }

  // A lane for each class, a column for each slice, as high as the class is likely in it.
  drawStrip() {
    const { strip } = this.ui;
    const { slices, classes } = this.latest;
    const density = window.devicePixelRatio || 1;
    const [width, height] = [strip.clientWidth, strip.clientHeight].map((length) => Math.round(length * density));
    if (!width) return;
    if (strip.width !== width || strip.height !== height) Object.assign(strip, { width, height });
    const context = strip.getContext("2d");
    context.clearRect(0, 0, width, height);
    const style = getComputedStyle(this.root);
    const ink = style.color;
    const step = width / slices.length;
    const lane = height / classes.length;
    const hatching = context.createPattern(hatch(Math.round(6 * density), ink), "repeat");
    slices.forEach((slice, index) => {
      const [left, right] = [Math.round(index * step), Math.round((index + 1) * step)];
      // Refused slices are hatched over all lanes; those that were not read stay empty.
      if (slice.mark === "refused") {
        context.fillStyle = hatching;
        context.fillRect(left, 0, right - left, height);
      }
      if (slice.mark !== "known") return;
      classes.forEach(({ colour }, row) => {
        const tall = Math.round(slice.probabilities[row] * (lane - 2 * density));
        context.fillStyle = colour;
        context.fillRect(left, Math.round((row + 1) * lane) - tall, Math.max(right - left - (step > 4 ? 1 : 0), 1), tall);
      });
    });
    context.fillStyle = ink;
    context.globalAlpha = 0.3;
    for (let row = 1; row <= classes.length; row++) context.fillRect(0, Math.round(row * lane) - 1, width, 1);
    context.globalAlpha = 1;
    const middle = (this.index + 0.5) * step;
    context.fillRect(Math.round(middle - density), 0, 2 * density, height);
    if (this.latest.aimName) triangle(context, (this.latest.aim + 0.5) * step, 6 * density);
  }

  pointAtStrip(event) {
    if (event.type === "pointerdown") this.ui.strip.setPointerCapture(event.pointerId);
    if (!this.ui.strip.hasPointerCapture(event.pointerId)) return;
    const box = this.ui.strip.getBoundingClientRect();
    this.turnTo(Math.floor(((event.clientX - box.left) / box.width) * this.latest.slices.length));
  }

  // How it was left, of `keep`: of another scan, or of another window that the page has chosen, nothing.
  startFrom(left) {
    // A map that was put on or off with another answer says something else.
    const isSameAnswer = left.answer === this.latest.slices[0].label;
    this.wanted = isSameAnswer ? left.wanted : undefined;
    this.picked = isSameAnswer ? left.picked : undefined;
    this.ui.threshold.value = left.threshold ?? 0;
    this.pointers.clear();
    this.scrolled = 0;
    this.readOut(null);
    this.shownWindow = left.shownWindow ?? null;
    this.isInverted = left.isInverted ?? false;
    this.line = left.line ?? null;
    this.setComparing(left.isComparing ?? "");
    this.divideAt(left.division ?? 0.5);
    this.tool = "";
    this.use(left.tool ?? "");
    this.view = left.view ?? { zoom: 1, x: 0, y: 0 };
    this.place();
  }

  howLeft({ of }) {
    return JSON.parse((of && sessionStorage.getItem(LEFT + of)) || "{}");
  }

  // The browser's tab remembers it, through other pages and a reload.
  keep() {
    if (!this.data?.of || this.isNew || this.data !== this.latest) return;
    const { wanted, picked, shownWindow, isInverted, line, isComparing, division, tool, view, index, anyway } = this;
    const answer = this.data.slices[0].label;
    const threshold = this.ui.threshold.value;
    const left = { wanted, picked, shownWindow, isInverted, line, isComparing, division, tool, view, index, anyway };
    sessionStorage.setItem(LEFT + this.data.of, JSON.stringify({ ...left, answer, threshold }));
  }

  fillChoices() {
    const { names, colours } = this.data;
    const { maps } = this.slice;
    this.ui.label.replaceChildren(...Object.keys(maps).map((name) => new Option(names[name], name)));
    this.ui.label.value = this.label ?? "";
    // In a stack it stays in its place, though a slice has no map: nothing is to move while slices pass by.
    this.ui.labelField.hidden = !this.isStack && Object.keys(maps).length < 2;
    this.ui.label.disabled = this.label === undefined;
    this.ui.colours.replaceChildren(...Object.keys(colours).map((name) => new Option(name)));
    this.ui.colours.value = taste.colours ??= Object.keys(colours)[0];
    this.ui.opacity.value = taste.opacity;
  }

  // ---- The scan itself: its window, then CLAHE, then brightness, as on the server; black for white at last ----

  takeEnhancement(asked) {
    this.isRead = Boolean(asked?.isRead);
    if (!this.isRead) return;
    Object.assign(taste, { clahe: asked.clipLimit !== null, brightness: asked.change !== null });
    if (taste.clahe) taste.clipLimit = asked.clipLimit;
    if (taste.brightness) taste.change = asked.change;
    keepTaste();
  }

  get isEnhanced() {
    return taste.clahe || taste.brightness;
  }

  changePixels() {
    const { scan, slice, shownWindow } = this;
    const { width, height } = slice.geometry;
    let gray = scan.gray;
    this.askForValues();
    // A window of values means nothing to 8 bits, and the other way round.
    if (shownWindow && shownWindow.isOfValues === Boolean(slice.values)) {
      scan.about ??= scan.values || !slice.values ? undefined : behind(scan.gray, slice.values);
      gray = throughWindow(scan.values ?? scan.about ?? scan.gray, shownWindow);
    }
    this.uploaded = gray;
    if (taste.clahe) gray = equalise(gray, width, height, taste.clipLimit);
    if (taste.brightness) gray = brighten(gray, taste.change / 100);
    this.gray = gray;
    draw(this.ui.plain, this.uploaded, this.isInverted);
    draw(this.enhanced, gray, this.isInverted);
    this.showEnhancement();
  }

  showEnhancement() {
    const { ui } = this;
    for (const name of ["clahe", "brightness"]) ui[name].checked = taste[name];
    ui.clipLimit.value = taste.clipLimit;
    ui.change.value = taste.change;
    ui.clipLimit.disabled = !taste.clahe;
    ui.change.disabled = !taste.brightness;
    ui.clipText.textContent = taste.clipLimit;
    ui.changeText.textContent = ui.change.ariaValueText = signed(taste.change);
    ui.readField.hidden = !this.latest.enhancement;
    ui.read.checked = this.isRead;
    ui.read.disabled = !this.isEnhanced && !this.isRead;
    ui.invert.ariaPressed = String(Boolean(this.isInverted));
    const words = [];
    if (this.shownWindow) words.push(fill(this.latest.words.window, levels(this.shownWindow)));
    if (taste.clahe) words.push(`CLAHE ${taste.clipLimit}`);
    if (taste.brightness) words.push(signed(taste.change));
    if (this.isInverted) words.push("inverted");
    const isAsked = this.isRead && this.isEnhanced && !this.shownWindow && !this.isInverted;
    if (words.length && !isAsked) words.push(this.isRead ? this.latest.words.readWithout : this.latest.words.readPlain);
    ui.state.textContent = words.join(" · ");
  }

  // `isDone`: not while a slider is still being drawn, or each step would be read.
  enhance(changed, isDone = true) {
    Object.assign(taste, changed);
    keepTaste();
    this.changePixels();
    this.paint();
    if (isDone && this.isRead) this.askToRead();
  }

  setRead(isOn) {
    this.isRead = isOn;
    this.showEnhancement();
    this.askToRead();
  }

  askToRead() {
    if (!this.latest.enhancement) return;
    if (!this.isEnhanced) this.isRead = this.ui.read.checked = false;
    this.ask({
      clipLimit: taste.clahe ? taste.clipLimit : null,
      change: taste.brightness ? taste.change : null,
      isRead: this.isRead,
    });
  }

  // Of a stack the values of a slice come once a window is wanted of it, and of the one on display alone. Until
  // they are here its 8 bits stand in for them.
  askForValues() {
    const { scan, slice } = this;
    const isWanted = this.shownWindow || this.tool === "window";
    const isAsking = performance.now() - this.askedAt < PATIENCE;
    if (!isWanted || !this.isStack || !slice?.values || scan.values || scan.hasNone || isAsking) return;
    this.askedAt = performance.now();
    document.dispatchEvent(new CustomEvent("brat-values-wanted", { detail: this.painted }));
  }

  takeValues({ detail: { of, index, values } }) {
    this.askedAt = undefined;
    if (!this.data || of !== this.data.of) return;
    if (index === this.painted) {
      this.scan.values = unpack(values);
      this.scan.hasNone = !values;
    }
    this.changePixels();
    this.paint();
  }

  // By a share of the stage: to the right widens, up brightens.
  changeWindow(x, y) {
    const { values } = this.slice;
    const isOfValues = Boolean(values);
    if (this.shownWindow?.isOfValues !== isOfValues) this.shownWindow = null;
    const start = values ?? { center: 127.5, width: 255, kind: "LINEAR_EXACT", inverted: false };
    const { kind, inverted } = start;
    this.shownWindow ??= { center: start.center, width: start.width, kind, inverted, isOfValues };
    const { center, width } = this.shownWindow;
    const span = start.width;
    this.shownWindow = {
      ...this.shownWindow,
      width: Math.max(width + 2 * span * x, span / 256),
      center: center + span * y,
    };
    this.changePixels();
    this.paint();
  }

  invert() {
    this.isInverted = !this.isInverted;
    this.changePixels();
    this.paint();
  }

  // What a drag does: "" moves the zoomed picture, "window" and "ruler" what they say.
  use(tool) {
    this.tool = this.tool === tool ? "" : tool;
    for (const name of ["window", "ruler"]) this.ui[name].ariaPressed = String(this.tool === name);
    this.ui.stage.dataset.tool = this.tool;
    this.askForValues();
    this.keep();
  }

  // ---- From the small map to the picture: enlargeMap, then colourMap, then paint ----

  enlargeMap() {
    const { maps, geometry } = this.slice;
    const levels = this.label ? bytes(maps[this.label]) : new Uint8Array(1);
    const values = Float32Array.from(levels, (level) => level / 255);
    this.levels = enlarge(values, geometry);
    this.isSilent = !values.some((value) => value > 0);
    this.lines = contour(this.levels, geometry.width, geometry.height, OUTLINE_AT);
    this.colourMap();
  }

  colourMap() {
    const table = bytes(this.data.colours[taste.colours]);
    const least = 255 * Number(this.ui.threshold.value);
    colour(this.overlay, this.levels, palette(table, (level) => (level < least ? 0 : level)));
    colour(this.ui.bar, Uint8Array.from(ALL_LEVELS), palette(table, (level) => (level < least ? 0 : 255)));
    this.paint();
  }

  paint() {
    this.compose(this.ui.canvas.getContext("2d"), this.isShown);
    this.drawMarks();
    this.describe();
  }

  drawMarks() {
    this.keep();
    if (!this.slice) return;
    const { ui, slice, isComparing } = this;
    const stage = ui.stage.getBoundingClientRect();
    const ratio = devicePixelRatio;
    Object.assign(ui.marks, { width: Math.round(stage.width * ratio), height: Math.round(stage.height * ratio) });
    if (!stage.width) return;
    const context = ui.marks.getContext("2d");
    context.scale(ratio, ratio);
    const outer = ui.mixed.getBoundingClientRect();
    const box = { left: outer.left - stage.left, top: 0, width: outer.width, height: stage.height };
    const isMarked = this.isShown && this.label !== undefined && taste.hasOutline && !this.isSilent;
    drawMarks(context, {
      place: this.placeOnScreen(box),
      box,
      lines: isMarked ? this.lines : [],
      ruler: this.line,
      spacing: slice.spacing,
      edges: slice.edges,
      from: isComparing === "divider" ? this.division * stage.width : box.left,
    });
  }

  // Where the scan lies in a box of the stage, as `object-fit: contain` and the view put it.
  placeOnScreen({ left, top, width, height }) {
    const { geometry } = this.slice;
    const { zoom, x, y } = this.view;
    const fit = Math.min(width / geometry.width, height / geometry.height);
    return {
      left: left + width * x + (zoom * (width - fit * geometry.width)) / 2,
      top: top + height * y + (zoom * (height - fit * geometry.height)) / 2,
      scale: zoom * fit,
    };
  }

  // A pixel's share of colour is opacity times the map there: the overlay's own alpha is the map.
  compose(context, withMap) {
    context.globalAlpha = 1;
    context.drawImage(this.enhanced, 0, 0);
    context.globalAlpha = taste.opacity;
    if (withMap) context.drawImage(this.overlay, 0, 0);
    context.globalAlpha = 1;
  }

  describe() {
    const { ui, data, slice, isShown } = this;
    const { words, method } = data;
    const hasMap = this.label !== undefined;
    const [shown, answer] = [this.label, slice.label].map((label) => data.names[label]?.toLowerCase());
    const opacity = percent(taste.opacity);
    const threshold = Number(ui.threshold.value);
    const heading = isShown ? (shown === answer ? words.ofAnswer : words.ofOther) : words.hidden;
    ui.heading.textContent = hasMap ? fill(heading, { shown, answer, method }) : words.noMap;
    ui.scale.style.visibility = this.isSilent || !isShown ? "hidden" : "visible";
    ui.nothing.textContent = hasMap && isShown && this.isSilent ? fill(words.nothing, { shown }) : "";
    for (const control of [ui.flip, ui.outline, ui.opacity, ui.threshold, ui.colours]) control.disabled = !hasMap;
    ui.outline.ariaPressed = String(taste.hasOutline && hasMap);
    ui.flip.textContent = isShown ? "Hide map" : "Show map";
    ui.rightTag.textContent = isShown && hasMap ? `Map: ${shown}` : "Map hidden";
    ui.rightTag.hidden = !this.isComparing || !hasMap;
    ui.leftTag.textContent = this.isEnhanced ? "Scan as uploaded" : "Scan";
    ui.opacityText.textContent = ui.opacity.ariaValueText = opacity;
    ui.thresholdText.textContent = ui.threshold.ariaValueText = threshold ? threshold.toFixed(2) : "off";
    ui.canvas.ariaLabel = isShown && hasMap
      ? fill(words.withMap, { name: slice.name, shown, opacity })
      : `${slice.name} without its map`;
  }

  // ---- What the visitor does ----

  listen() {
    const { ui } = this;
    const { signal } = this.closing;
    const on = (node, type, act) => node.addEventListener(type, act.bind(this), { signal, passive: false });

    on(ui.label, "change", () => ((this.label = this.picked = ui.label.value), this.enlargeMap()));
    on(ui.colours, "change", () => ((taste.colours = ui.colours.value), keepTaste(), this.colourMap()));
    on(ui.threshold, "input", this.colourMap);
    on(ui.opacity, "input", () => ((taste.opacity = Number(ui.opacity.value)), this.paint()));
    on(ui.opacity, "change", keepTaste);
    on(ui.clahe, "change", () => this.enhance({ clahe: ui.clahe.checked }));
    on(ui.brightness, "change", () => this.enhance({ brightness: ui.brightness.checked }));
    for (const type of ["input", "change"]) {
      on(ui.clipLimit, type, () => this.enhance({ clipLimit: Number(ui.clipLimit.value) }, type === "change"));
      on(ui.change, type, () => this.enhance({ change: Number(ui.change.value) }, type === "change"));
    }
    on(ui.read, "change", () => this.setRead(ui.read.checked));
    on(ui.flip, "click", this.flip);
    on(ui.outline, "click", this.flipOutline);
    on(ui.compare, "click", () => this.compare("divider"));
    on(ui.beside, "click", () => this.compare("beside"));
    on(ui.window, "click", () => this.use("window"));
    on(ui.ruler, "click", () => this.use("ruler"));
    on(ui.invert, "click", this.invert);
    on(ui.full, "click", this.fillScreen);
    on(ui.zoomIn, "click", () => this.zoomBy(ZOOM_STEP));
    on(ui.zoomOut, "click", () => this.zoomBy(1 / ZOOM_STEP));
    on(ui.reset, "click", this.resetAll);
    on(ui.save, "click", this.save);
    on(ui.slice, "input", () => this.turnTo(Number(ui.slice.value)));
    on(ui.alone, "click", () => this.open(this.index));
    on(ui.anyway, "change", () => this.tellAnyway(ui.anyway.checked));
    on(document, "brat-values", this.takeValues);
    on(ui.aim, "click", () => this.turnTo(this.latest.aim));
    for (const type of ["pointerdown", "pointermove"]) on(ui.strip, type, this.pointAtStrip);
    const resized = new ResizeObserver(() => this.latest && this.say());
    const fitted = new ResizeObserver(() => this.drawMarks());
    fitted.observe(ui.stage);
    signal.addEventListener("abort", () => fitted.disconnect());
    resized.observe(ui.strip);
    signal.addEventListener("abort", () => resized.disconnect());

    on(ui.stage, "wheel", this.turnWheel);
    on(ui.stage, "pointerdown", this.grab);
    on(ui.stage, "pointermove", this.drag);
    for (const type of ["pointerup", "pointercancel"]) {
      on(ui.stage, type, (event) => this.pointers.delete(event.pointerId));
    }
    on(ui.stage, "pointerleave", () => this.readOut(null));
    on(ui.divider, "pointerdown", this.grabDivider);
    on(ui.divider, "pointermove", this.dragDivider);
    on(ui.divider, "keydown", this.pressOnDivider);

    on(this.root, "keydown", this.press);
    // With the cursor over the picture and nothing else in focus, keys need no click first; their list never does.
    on(document, "keydown", (event) => {
      const isFree = document.activeElement === document.body;
      if (isFree && (event.key === "?" || ui.stage.matches(":hover"))) this.press(event);
    });
    document.addEventListener("scroll", () => (this.scrolledAt = performance.now()), { signal, capture: true });
  }

  flip() {
    // As the slice stands by itself is no wish: in a stack it would go to slices that stand otherwise.
    this.wanted = this.isShown === this.slice.isMarked ? !this.isShown : undefined;
    this.paint();
  }

  // By steps of its slider, as by hand.
  step(slider, steps) {
    if (slider.disabled) return;
    slider.value = Number(slider.value) + steps * Number(slider.step);
    for (const type of ["input", "change"]) slider.dispatchEvent(new Event(type));
  }

  enhanceBy(name, slider, steps) {
    if (!taste[name]) this.enhance({ [name]: true });
    else this.step(slider, steps);
  }

  choose(select, value) {
    if (select.disabled || ![...select.options].some((option) => option.value === value)) return;
    select.value = value;
    select.dispatchEvent(new Event("change"));
  }

  flipOutline() {
    taste.hasOutline = !taste.hasOutline;
    keepTaste();
    this.paint();
  }

  // The scan as it was uploaded on the left; on the right what is made of it, with its map where that is shown.
  compare(how) {
    this.setComparing(this.isComparing === how ? "" : how);
    // Without a map and without a change there would be nothing to compare.
    if (this.isComparing && !this.isEnhanced && this.label !== undefined) this.wanted = true;
    this.paint();
  }

  setComparing(how) {
    const { ui } = this;
    this.isComparing = how;
    ui.compare.ariaPressed = String(how === "divider");
    ui.beside.ariaPressed = String(how === "beside");
    ui.stage.classList.toggle("comparing", how === "divider");
    ui.stage.classList.toggle("beside", how === "beside");
    ui.divider.hidden = how !== "divider";
    ui.leftTag.hidden = !how;
  }

  fillScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.root.requestFullscreen();
  }

  resetAll() {
    this.shownWindow = this.line = null;
    this.isInverted = false;
    this.resetView();
    if (!this.scan) return;
    this.changePixels();
    this.paint();
  }

  divideAt(share) {
    this.division = clamp(share, 0, 1);
    this.ui.stage.style.setProperty("--division", this.division);
    this.ui.divider.ariaValueNow = String(Math.round(100 * this.division));
    if (this.view) this.drawMarks();
  }

  resetView() {
    this.view = { zoom: 1, x: 0, y: 0 };
    this.place();
  }

  // `at` stays where it is; it and the view's x and y are shares of the stage, so a new width changes nothing.
  zoomBy(factor, at = [0.5, 0.5]) {
    const zoom = clamp(this.view.zoom * factor, 1, LARGEST_ZOOM);
    const ratio = zoom / this.view.zoom;
    this.view.zoom = zoom;
    this.moveBy((at[0] - this.view.x) * (1 - ratio), (at[1] - this.view.y) * (1 - ratio));
  }

  moveBy(x, y) {
    const { view } = this;
    view.x = clamp(view.x + x, 1 - view.zoom, 0);
    view.y = clamp(view.y + y, 1 - view.zoom, 0);
    this.place();
  }

  place() {
    const { zoom, x, y } = this.view;
    for (const [name, value] of Object.entries({ zoom, x, y })) this.ui.stage.style.setProperty(`--${name}`, value);
    this.ui.stage.classList.toggle("zoomed", zoom > 1);
    this.drawMarks();
  }

  turnWheel(event) {
    const isScrolling = performance.now() - this.scrolledAt < 200;
    const zoomsOutOfWhole = !this.isStack && event.deltaY > 0 && this.view.zoom === 1;
    // The page's own scrolling is not held up when the picture happens to pass under the cursor.
    if ((isScrolling || zoomsOutOfWhole) && !event.ctrlKey) return;
    if (this.isStack && !event.ctrlKey) return this.wheelThroughStack(event);
    event.preventDefault();
    const pixels = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 33 * event.deltaY : event.deltaY;
    const speed = event.ctrlKey ? 0.01 : 0.002; // A pinch on a touchpad comes as small steps with ctrl.
    this.zoomBy(Math.exp(-clamp(pixels * speed, -0.5, 0.5)), this.shareOfStage(event));
  }

  // A notch of a wheel is a slice; of a touchpad's many small steps, so many make one.
  wheelThroughStack(event) {
    event.preventDefault();
    const isNotch = event.deltaMode === WheelEvent.DOM_DELTA_LINE || Math.abs(event.deltaY) >= 2 * WHEEL_STEP;
    this.scrolled = isNotch ? Math.sign(event.deltaY) * WHEEL_STEP : this.scrolled + event.deltaY;
    const slices = Math.trunc(this.scrolled / WHEEL_STEP);
    this.scrolled -= slices * WHEEL_STEP;
    if (slices) this.turnTo(this.index + slices);
  }

  grab(event) {
    this.readOut(event);
    if (event.button !== 0) return;
    this.ui.stage.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.shareOfStage(event));
    if (this.tool === "ruler") this.line = [this.pointAt(event), this.pointAt(event)];
  }

  drag(event) {
    if (this.pointers.has(event.pointerId)) this.moveGrip(event);
    this.readOut(event);
  }

  // One finger or the mouse moves, two fingers move and zoom.
  moveGrip(event) {
    const before = grip([...this.pointers.values()]);
    this.pointers.set(event.pointerId, this.shareOfStage(event));
    const after = grip([...this.pointers.values()]);
    if (this.tool === "window" && !before.spread) return this.changeWindow(after.x - before.x, after.y - before.y);
    if (this.tool === "ruler" && !before.spread) {
      this.line[1] = this.pointAt(event);
      return this.drawMarks();
    }
    this.moveBy(after.x - before.x, after.y - before.y);
    if (before.spread) this.zoomBy(after.spread / before.spread, [after.x, after.y]);
  }

  grabDivider(event) {
    event.stopPropagation();
    this.ui.divider.setPointerCapture(event.pointerId);
  }

  dragDivider(event) {
    event.stopPropagation();
    if (this.ui.divider.hasPointerCapture(event.pointerId)) this.divideAt(this.shareOfStage(event)[0]);
  }

  pressOnDivider(event) {
    const step = { ArrowLeft: -0.02, ArrowRight: 0.02, ArrowDown: -0.02, ArrowUp: 0.02, Home: -1, End: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    this.divideAt(this.division + step);
  }

  press(event) {
    const { ui } = this;
    const target = event.composedPath()[0];
    if (event.ctrlKey || event.metaKey || event.altKey || target.matches("select")) return;
    // Letters with Shift are the page's.
    if (event.shiftKey && /^[a-z]$/i.test(event.key)) return;
    const isOnPicture = !target.matches("input, button");
    const isTool = (this.tool && event.key === "Escape") || (this.line && event.key === "Escape");
    if (isTool) {
      this.line = null;
      this.use("");
      return this.drawMarks();
    }
    const acts = {
      "+": () => this.zoomBy(ZOOM_STEP),
      "=": () => this.zoomBy(ZOOM_STEP),
      "-": () => this.zoomBy(1 / ZOOM_STEP),
      0: () => this.resetAll(),
      m: () => this.flip(),
      o: () => this.flipOutline(),
      c: () => this.compare("divider"),
      v: () => this.compare("beside"),
      w: () => this.use("window"),
      r: () => this.use("ruler"),
      i: () => this.invert(),
      e: () => this.enhance({ clahe: !taste.clahe }),
      b: () => this.enhance({ brightness: !taste.brightness }),
      f: () => this.fillScreen(),
      "?": () => this.ui.keys.togglePopover(),
      ",": () => this.step(ui.opacity, -5),
      ".": () => this.step(ui.opacity, 5),
      "<": () => this.step(ui.threshold, -5),
      ">": () => this.step(ui.threshold, 5),
      g: () => this.enhanceBy("clahe", ui.clipLimit, -1),
      h: () => this.enhanceBy("clahe", ui.clipLimit, 1),
      j: () => this.enhanceBy("brightness", ui.change, -1),
      l: () => this.enhanceBy("brightness", ui.change, 1),
      t: () => !ui.readField.hidden && ui.read.click(),
      y: () => this.choose(ui.colours, next(Object.keys(this.data.colours), taste.colours)),
      x: () => this.save(),
      s: this.isStack && this.latest.aimName && (() => this.turnTo(this.latest.aim)),
      z: this.isStack && (() => ui.anyway.click()),
    };
    Object.keys(this.latest.names).forEach((name, at) => (acts[at + 1] = () => this.choose(ui.label, name)));
    if (this.isStack && isOnPicture) acts.enter = () => this.open(this.index);
    let act = acts[event.key.toLowerCase()];
    if (isOnPicture && event.key === " ") act = acts.m;
    const through = THROUGH_STACK[event.key];
    const isMoving = this.view.zoom > 1 && ARROWS[event.key];
    if (isOnPicture && this.isStack && through && !isMoving) act = () => this.turnTo(this.index + through);
    if (isOnPicture && this.view.zoom > 1 && ARROWS[event.key]) act = () => this.moveBy(...ARROWS[event.key]);
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  // Side by side, each half is a stage of its own.
  halfUnder({ clientX }) {
    const { before, mixed } = this.ui;
    const isLeft = this.isComparing === "beside" && clientX < mixed.getBoundingClientRect().left;
    return isLeft ? before : mixed;
  }

  shareOfStage({ clientX, clientY }) {
    const box = (this.isComparing === "beside" ? this.halfUnder({ clientX }) : this.ui.stage).getBoundingClientRect();
    return [(clientX - box.left) / box.width, (clientY - box.top) / box.height];
  }

  readOut(event) {
    const index = event && this.pixelAt(event);
    this.ui.readout.textContent =
      index === null
        ? (CAN_POINT ? this.data.words.point : "")
        : fill(this.data.words.values, { map: (this.levels[index] / 255).toFixed(2), scan: this.gray[index] })
          + (this.scan.values ? fill(this.data.words.fileValue, { value: +this.scan.values[index].toPrecision(6) }) : "");
  }

  pixelAt(event) {
    const { width, height } = this.slice.geometry;
    const [column, row] = this.pointAt(event).map(Math.floor);
    const isInside = column >= 0 && column < width && row >= 0 && row < height;
    return isInside ? row * width + column : null;
  }

  // In pixels of the scan, from the left top corner of its first.
  pointAt({ clientX, clientY }) {
    const box = this.halfUnder({ clientX }).getBoundingClientRect();
    const place = this.placeOnScreen(box);
    return [(clientX - place.left) / place.scale, (clientY - place.top) / place.scale];
  }

  async save() {
    const { names, method, words } = this.data;
    const { name } = this.slice;
    const hasMap = this.isShown && this.label !== undefined;
    const caption = hasMap ? [names[this.label], method, `opacity ${percent(taste.opacity)}`] : ["without map"];
    if (this.shownWindow) caption.push(fill(words.window, levels(this.shownWindow)));
    if (taste.clahe) caption.push(`CLAHE ${taste.clipLimit}`);
    if (taste.brightness) caption.push(`brightness ${signed(taste.change)}`);
    if (this.isInverted) caption.push("inverted");
    if (hasMap && Number(this.ui.threshold.value) > 0) {
      caption.push(`above ${this.ui.thresholdText.textContent}`);
    }
    const canvas = this.printed(caption.join(" · "), hasMap);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${name.replace(/\.\w+$/, "")}-${hasMap ? this.label : "unmarked"}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  // The scan as it stands on the page, pixel for pixel, over a footer with a caption and the map's colour bar.
  printed(caption, hasMap) {
    const { width, height } = this.slice.geometry;
    const line = Math.max(12, Math.round(width / 32));
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width, height: height + 4 * line });
    const context = canvas.getContext("2d");
    context.fillRect(0, 0, canvas.width, canvas.height);
    this.compose(context, hasMap);

    context.fillStyle = "white";
    context.font = `${0.8 * line}px sans-serif`;
    context.textBaseline = "middle";
    const inner = width - 2 * line;
    context.fillText(caption, line, height + 3.2 * line, inner);
    if (!hasMap) return canvas;
    context.drawImage(this.ui.bar, line, height + 0.5 * line, inner, 0.8 * line);
    context.fillText("0 no evidence", line, height + 2 * line, inner / 2);
    context.textAlign = "right";
    context.fillText("strongest evidence 1", width - line, height + 2 * line, inner / 2);
    return canvas;
  }
}

// A square tile with a line from corner to corner.
function hatch(side, ink) {
  const tile = Object.assign(document.createElement("canvas"), { width: side, height: side });
  const context = tile.getContext("2d");
  context.strokeStyle = ink;
  context.globalAlpha = 0.5;
  for (const shift of [-side, 0, side]) {
    context.moveTo(shift, side);
    context.lineTo(shift + side, 0);
  }
  context.stroke();
  return tile;
}

// Standing on its point, at the upper edge.
function triangle(context, middle, side) {
  context.beginPath();
  context.moveTo(middle - side, 0);
  context.lineTo(middle + side, 0);
  context.lineTo(middle, 1.5 * side);
  context.fill();
}

// "Slice {number}" and { number: 7 } -> "Slice 7".
const fill = (words, values) => words.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const clamp = (value, least, most) => Math.min(Math.max(value, least), most);
const next = (names, name) => names[(names.indexOf(name) + 1) % names.length];
const percent = (share) => `${Math.round(100 * share)} %`;
const bytes = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));

async function decode(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: image.naturalWidth, height: image.naturalHeight });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const rgba = context.getImageData(0, 0, canvas.width, canvas.height).data;
  const gray = new Uint8Array(rgba.length / 4);
  for (let index = 0; index < gray.length; index++) gray[index] = rgba[4 * index];
  return { gray };
}

// The middle of one or two points and how far apart they are.
function grip([first, second = first]) {
  const [x, y] = [(first[0] + second[0]) / 2, (first[1] + second[1]) / 2];
  return { x, y, spread: Math.hypot(first[0] - second[0], first[1] - second[1]) };
}

// The values behind the picture, where the file has more than 8 bits; else null.
function unpack(values) {
  // Of a stack only how it is shown, until its values are asked for.
  if (!values?.data) return null;
  const stored = new Uint16Array(bytes(values.data).buffer);
  return Float32Array.from(stored, (value) => values.lowest + value * values.step);
}

function draw(canvas, gray, isInverted) {
  const colours = Uint8Array.from(
    ALL_LEVELS.flatMap((level) => [...Array(3).fill(isInverted ? 255 - level : level), 255]),
  );
  colour(canvas, gray, colours);
}

const signed = (change) => `${change > 0 ? "+" : "−"}${Math.abs(change)} %`.replace(/^−0/, "0");
const levels = ({ center, width }) => ({ center: +center.toPrecision(4), width: +width.toPrecision(4) });

// RGB of 256 levels -> their RGBA.
function palette(table, alphaOf) {
  return Uint8Array.from(ALL_LEVELS.flatMap((level) => [...table.slice(3 * level, 3 * level + 3), alphaOf(level)]));
}

function colour(canvas, levels, rgba) {
  const picture = new ImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(picture.data.buffer);
  const colours = new Uint32Array(rgba.buffer);
  for (let index = 0; index < pixels.length; index++) pixels[index] = colours[levels[index]];
  canvas.getContext("2d").putImageData(picture, 0, 0);
}
