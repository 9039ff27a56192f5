// What is drawn over the picture, in pixels of the screen so that it stays sharp: the outline of the strongest
// place, the ruler, the scale bar, and the sides of the patient.

const BAR_LENGTHS = [1, 2, 5, 10, 20, 50, 100]; // mm
const INK = "white";
const EDGE = "rgb(0 0 0 / 75%)";

// Millimetres between two points of the scan, or null where its spacing is not known.
function millimetres([first, second], spacing) {
  if (!spacing) return null;
  const [down, across] = spacing;
  return Math.hypot((second[0] - first[0]) * across, (second[1] - first[1]) * down);
}

function lengthInWords(points, spacing) {
  const length = millimetres(points, spacing);
  if (length !== null) return `${length.toFixed(1)} mm`;
  const [first, second] = points;
  return `${Math.hypot(first[0] - second[0], first[1] - second[1]).toFixed(0)} pixels`;
}

// `place` is where the scan lies on the screen: left and top of its first pixel, and pixels of the screen for one
// of the scan.
function drawMarks(context, { place, box, lines, ruler, spacing, edges, from }) {
  const onScreen = ([x, y]) => [place.left + x * place.scale, place.top + y * place.scale];
  context.save();
  context.beginPath();
  context.rect(from, box.top, box.left + box.width - from, box.height);
  context.clip();
  stroke(context, lines.map((line) => line.map(onScreen)), 1.5);
  context.restore();
  if (ruler) {
    const [first, second] = ruler.map(onScreen);
    stroke(context, [[first, second], ...[first, second].map(([x, y]) => [[x - 4, y - 4], [x + 4, y + 4]])], 2);
    write(context, lengthInWords(ruler, spacing), second[0] + 10, second[1], "left");
  }
  if (spacing) drawBar(context, place, box, spacing);
  if (edges) {
    const [left, top, right, bottom] = edges;
    const [across, down] = [box.left + box.width / 2, box.top + box.height / 2];
    write(context, left, box.left + 14, down, "center", 18);
    write(context, top, across, box.top + 16, "center", 18);
    write(context, right, box.left + box.width - 14, down, "center", 18);
    write(context, bottom, across, box.top + box.height - 16, "center", 18);
  }
}

// The longest round length that takes a third of the picture at most.
function drawBar(context, place, box, spacing) {
  const perMillimetre = place.scale / spacing[1];
  const length = BAR_LENGTHS.filter((one) => one * perMillimetre <= box.width / 3).pop();
  if (!length) return;
  const [right, y] = [box.left + box.width - 16, box.top + box.height - 14];
  const left = right - length * perMillimetre;
  stroke(context, [[[left, y], [right, y]], [[left, y - 5], [left, y + 5]], [[right, y - 5], [right, y + 5]]], 2);
  write(context, `${length} mm`, (left + right) / 2, y - 14, "center");
}

function stroke(context, lines, width) {
  context.beginPath();
  for (const [[x, y], [toX, toY]] of lines) {
    context.moveTo(x, y);
    context.lineTo(toX, toY);
  }
  for (const [ink, wide] of [[EDGE, width + 2], [INK, width]]) {
    Object.assign(context, { strokeStyle: ink, lineWidth: wide });
    context.stroke();
  }
}

function write(context, text, x, y, align, size = 14) {
  Object.assign(context, { font: `600 ${size}px sans-serif`, textAlign: align, textBaseline: "middle" });
  Object.assign(context, { strokeStyle: EDGE, lineWidth: 4, lineJoin: "round", fillStyle: INK });
  context.strokeText(text, x, y);
  context.fillText(text, x, y);
}
