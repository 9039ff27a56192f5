// A scan, or a stack of slices, with its map. Nothing here talks to the server but the wish to open a slice by
// itself: Python sends the slices, the small maps and the colour tables (see __init__.py), and the rest is this
// file's. A viewer for volumes, such as NiiVue, would not do: the map belongs to a slice and to the square that
// was read in it, not to a volume.

const LARGEST_ZOOM = 12;
const ZOOM_STEP = 1.25;
const PAGE = 10; // slices
const WHEEL_STEP = 40; // pixels of scrolling for a slice
const ALL_LEVELS = [...Array(256).keys()];
const ARROWS = { ArrowLeft: [0.1, 0], ArrowRight: [-0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
const THROUGH_STACK = { ArrowUp: -1, ArrowDown: 1, PageUp: -PAGE, PageDown: PAGE, Home: -Infinity, End: Infinity };

// The reader's taste outlives a scan; everything else starts afresh with the next one.
const taste = { opacity: 0.6, colours: undefined };

const viewers = new WeakMap();

// Streamlit calls this at the first mount and again, on the same elements, for every change of the data.
export default function ({ parentElement, data: [data], setTriggerValue }) {
  const root = parentElement.querySelector(".viewer");
  if (!viewers.has(root)) viewers.set(root, new Viewer(root));
  const viewer = viewers.get(root);
  viewer.open = (index) => setTriggerValue("open", index);
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
    this.pointers = new Map();
    this.closing = new AbortController();
    this.listen();
  }

  receive(data) {
    if (data === this.latest) return;
    const [before, after] = [this.latest?.slices, data.slices];
    const isNew = before?.length !== after.length || before[data.start].scan !== after[data.start].scan;
    const isAnswerNew = isNew || data.of !== this.latest.of || before[0].label !== after[0].label;
    this.latest = data;
    this.isStack = data.of !== "";
    this.ui.stack.hidden = this.ui.answer.hidden = !this.isStack;
    if (this.isStack) this.setUpStack(data);
    if (isNew || data.of !== this.of) this.index = data.start;
    this.of = data.of;
    this.painted = undefined;
    if (isAnswerNew) this.picked = undefined;
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
    ui.aim.textContent = aimName;
    ui.aim.hidden = !aimName;
  }

  turnTo(index) {
    this.index = clamp(index, 0, this.latest.slices.length - 1);
    this.turn(false);
  }

  // One slice is decoded at a time; where the reader is faster, those between are passed over.
  async turn(isNew) {
    this.isNew ||= isNew;
    this.say();
    if (this.isTurning) return;
    this.isTurning = true;
    try {
      while (this.painted !== this.index || this.data !== this.latest) {
        const [data, index] = [this.latest, this.index];
        const slice = data.slices[index];
        const scan = slice.scan === this.slice?.scan ? this.scan : await decode(slice.scan);
        // A newer call came while this one's scan was being decoded.
        if (data !== this.latest) continue;
        Object.assign(this, { data, slice, scan, painted: index });
        this.showSlice();
      }
    } finally {
      this.isTurning = false;
    }
  }

  showSlice() {
    const { maps, label, geometry } = this.slice;
    this.label = [this.picked, label, ...Object.keys(maps)].find((name) => name in maps);
    const { width, height } = geometry;
    this.ui.stage.style.setProperty("--ratio", width / height);
    for (const canvas of [this.ui.canvas, this.overlay]) {
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    }
    this.ui.plain.src = this.slice.scan;
    if (this.isNew) this.startAfresh();
    this.isNew = false;
    this.fillChoices();
    this.enlargeMap();
    this.root.inert = false;
  }

  // What is known of the slice, and where it lies; at once, though its picture may take a moment.
  say() {
    if (!this.isStack) return;
    const { ui, index } = this;
    const { slices } = this.latest;
    const slice = slices[index];
    const where = `Slice ${index + 1} of ${slices.length}`;
    ui.where.textContent = where;
    ui.said.textContent = slice.answer;
    ui.doubt.textContent = slice.doubt;
    ui.answer.style.borderColor = slice.colour ?? "";
    ui.slice.value = index;
    ui.slice.ariaValueText = `${where}: ${slice.answer}`;
    ui.sliceText.textContent = `${index + 1} / ${slices.length}`;
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
        const tall = Math.round(slice.shares[row] * (lane - 2 * density));
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

  startAfresh() {
    this.isShown = true;
    this.ui.threshold.value = 0;
    this.pointers.clear();
    this.scrolled = 0;
    this.readOut(null);
    this.setComparing(false);
    this.divideAt(0.5);
    this.resetView();
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

  // ---- From the small map to the picture: enlargeMap, then colourMap, then paint ----

  enlargeMap() {
    const { maps, geometry } = this.slice;
    const values = this.label ? new Float32Array(bytes(maps[this.label]).buffer) : new Float32Array(1);
    this.levels = enlarge(values, geometry);
    this.isSilent = !values.some((value) => value > 0);
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
    this.describe();
  }

  // A pixel's share of colour is opacity times the map there: the overlay's own alpha is the map.
  compose(context, withMap) {
    context.globalAlpha = 1;
    context.drawImage(this.scan.image, 0, 0);
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
    ui.heading.textContent = !hasMap
      ? words.noMap
      : fill(shown === answer ? words.ofAnswer : words.ofOther, { shown, answer, method });
    ui.scale.style.visibility = this.isSilent ? "hidden" : "visible";
    ui.nothing.textContent = hasMap && this.isSilent ? fill(words.nothing, { shown }) : "";
    ui.flip.textContent = isShown ? "Hide map" : "Show map";
    ui.rightTag.textContent = isShown && hasMap ? `Map: ${shown}` : "Map hidden";
    ui.rightTag.hidden = isShown && !this.isComparing;
    ui.opacityText.textContent = ui.opacity.ariaValueText = opacity;
    ui.thresholdText.textContent = ui.threshold.ariaValueText = threshold ? threshold.toFixed(2) : "off";
    ui.canvas.ariaLabel = isShown && hasMap
      ? fill(words.withMap, { name: slice.name, shown, opacity })
      : `${slice.name} without its map`;
  }

  // ---- What the reader does ----

  listen() {
    const { ui } = this;
    const { signal } = this.closing;
    const on = (node, type, act) => node.addEventListener(type, act.bind(this), { signal, passive: false });

    on(ui.label, "change", () => ((this.label = this.picked = ui.label.value), this.enlargeMap()));
    on(ui.colours, "change", () => ((taste.colours = ui.colours.value), this.colourMap()));
    on(ui.threshold, "input", this.colourMap);
    on(ui.opacity, "input", () => ((taste.opacity = Number(ui.opacity.value)), this.paint()));
    on(ui.flip, "click", this.flip);
    on(ui.compare, "click", this.compare);
    on(ui.zoomIn, "click", () => this.zoomBy(ZOOM_STEP));
    on(ui.zoomOut, "click", () => this.zoomBy(1 / ZOOM_STEP));
    on(ui.reset, "click", this.resetView);
    on(ui.save, "click", this.save);
    on(ui.slice, "input", () => this.turnTo(Number(ui.slice.value)));
    on(ui.alone, "click", () => this.open(this.index));
    on(ui.aim, "click", () => this.turnTo(this.latest.aim));
    for (const type of ["pointerdown", "pointermove"]) on(ui.strip, type, this.pointAtStrip);
    const resized = new ResizeObserver(() => this.latest && this.say());
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
    // With the cursor over the picture and nothing else in focus, keys need no click first.
    on(document, "keydown", (event) => {
      if (document.activeElement === document.body && ui.stage.matches(":hover")) this.press(event);
    });
    document.addEventListener("scroll", () => (this.scrolledAt = performance.now()), { signal, capture: true });
  }

  flip() {
    this.isShown = !this.isShown;
    this.paint();
  }

  compare() {
    this.setComparing(!this.isComparing);
    this.isShown ||= this.isComparing;
    this.paint();
  }

  setComparing(isOn) {
    this.isComparing = isOn;
    this.ui.compare.ariaPressed = String(isOn);
    this.ui.stage.classList.toggle("comparing", isOn);
    this.ui.divider.hidden = this.ui.leftTag.hidden = !isOn;
  }

  divideAt(share) {
    this.division = clamp(share, 0, 1);
    this.ui.stage.style.setProperty("--division", this.division);
    this.ui.divider.ariaValueNow = String(Math.round(100 * this.division));
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
    const target = event.composedPath()[0];
    if (event.ctrlKey || event.metaKey || event.altKey || target.matches("select")) return;
    const isOnPicture = !target.matches("input, button");
    const acts = {
      "+": () => this.zoomBy(ZOOM_STEP),
      "=": () => this.zoomBy(ZOOM_STEP),
      "-": () => this.zoomBy(1 / ZOOM_STEP),
      0: () => this.resetView(),
      m: () => this.flip(),
      d: () => this.compare(),
      s: this.isStack && this.latest.aimName && (() => this.turnTo(this.latest.aim)),
    };
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

  shareOfStage({ clientX, clientY }) {
    const box = this.ui.stage.getBoundingClientRect();
    return [(clientX - box.left) / box.width, (clientY - box.top) / box.height];
  }

  readOut(event) {
    const index = event && this.pixelAt(event);
    this.ui.readout.textContent =
      index === null
        ? this.data.words.point
        : fill(this.data.words.values, { map: (this.levels[index] / 255).toFixed(2), scan: this.scan.gray[index] });
  }

  pixelAt({ clientX, clientY }) {
    const { width, height } = this.slice.geometry;
    const box = this.ui.canvas.getBoundingClientRect(); // Zoom and place included.
    const scale = Math.min(box.width / width, box.height / height);
    const column = Math.floor((clientX - box.left - box.width / 2) / scale + width / 2);
    const row = Math.floor((clientY - box.top - box.height / 2) / scale + height / 2);
    const isInside = column >= 0 && column < width && row >= 0 && row < height;
    return isInside ? row * width + column : null;
  }

  async save() {
    const { names, method, words } = this.data;
    const { name } = this.slice;
    const caption = [names[this.label] ?? words.noMap, method, `opacity ${percent(taste.opacity)}`];
    if (Number(this.ui.threshold.value) > 0) {
      caption.push(`above ${this.ui.thresholdText.textContent}`);
    }
    const canvas = this.printed(caption.join(" · "));
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${name.replace(/\.\w+$/, "")}-${this.label ?? "scan"}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  // The scan with its map, pixel for pixel, over a footer with the colour bar and a caption.
  printed(caption) {
    const { width, height } = this.slice.geometry;
    const line = Math.max(12, Math.round(width / 32));
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width, height: height + 4 * line });
    const context = canvas.getContext("2d");
    context.fillRect(0, 0, canvas.width, canvas.height);
    this.compose(context, true);

    context.fillStyle = "white";
    context.font = `${0.8 * line}px sans-serif`;
    context.textBaseline = "middle";
    const inner = width - 2 * line;
    context.drawImage(this.ui.bar, line, height + 0.5 * line, inner, 0.8 * line);
    context.fillText("0 no evidence", line, height + 2 * line, inner / 2);
    context.fillText(caption, line, height + 3.2 * line, inner);
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
  return { image, gray };
}

// The middle of one or two points and how far apart they are.
function grip([first, second = first]) {
  const [x, y] = [(first[0] + second[0]) / 2, (first[1] + second[1]) / 2];
  return { x, y, spread: Math.hypot(first[0] - second[0], first[1] - second[1]) };
}

// As brat.preprocess.Geometry.to_scan: bilinear with half-pixel centres, the edge repeated, 0 outside the square.
// Returns levels of 0 to 255, one a scan pixel.
function enlarge(values, { x, y, side, width, height }) {
  const n = Math.sqrt(values.length);
  const levels = new Uint8Array(width * height);
  const columns = taps(n, side, x, width);
  for (const { at, first, second, share } of taps(n, side, y, height)) {
    const row = Float32Array.from({ length: n }, (_, cell) => {
      return values[first * n + cell] * (1 - share) + values[second * n + cell] * share;
    });
    for (const column of columns) {
      const value = row[column.first] * (1 - column.share) + row[column.second] * column.share;
      levels[at * width + column.at] = Math.round(255 * value);
    }
  }
  return levels;
}

// Along one axis, for each scan pixel in the square: the two cells it lies between and the second one's share.
function taps(n, side, start, length) {
  const found = [];
  for (let at = Math.max(start, 0); at < Math.min(start + side, length); at++) {
    const position = clamp(((at - start + 0.5) * n) / side - 0.5, 0, n - 1);
    const first = Math.floor(position);
    found.push({ at, first, second: Math.min(first + 1, n - 1), share: position - first });
  }
  return found;
}

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
