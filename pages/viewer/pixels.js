// What is done to pixels, as brat does it on the server. No page, no state: tests/browser/test_viewer.py holds
// each to its counterpart in Python.

const TILES = 8; // As brat.perturb.enhance.CLAHE_TILES.

// As brat.io.scan.Window.apply: values -> 0 to 255.
function throughWindow(values, { center, width, kind, inverted }) {
  const gray = new Uint8Array(values.length);
  let [low, high] = [center - width / 2, center + width / 2];
  // The standard's LINEAR counts whole values: a width of 1 has no slope at all.
  if (kind === "LINEAR") {
    const span = Math.max(width - 1, 1e-6);
    [low, high] = [center - 0.5 - span / 2, center - 0.5 + span / 2];
  }
  const scale = 255 / (high - low);
  for (let index = 0; index < values.length; index++) {
    const level =
      kind === "SIGMOID" ? 255 / (1 + Math.exp((-4 * (values[index] - center)) / width)) : (values[index] - low) * scale;
    gray[index] = Math.round(Math.min(Math.max(level, 0), 255));
    if (inverted) gray[index] = 255 - gray[index];
  }
  return gray;
}

// About which values a picture shows under a window, where the values themselves are not here.
function behind(gray, { center, width, kind, inverted }) {
  const isLinear = kind === "LINEAR";
  const [middle, span] = [center - (isLinear ? 0.5 : 0), isLinear ? Math.max(width - 1, 1e-6) : width];
  const values = Float32Array.from({ length: 256 }, (_, level) => {
    const share = (inverted ? 255 - level : level) / 255;
    if (kind !== "SIGMOID") return middle + (share - 0.5) * span;
    const inside = Math.min(Math.max(share, 0.002), 0.998);
    return center + (width / 4) * Math.log(inside / (1 - inside));
  });
  return Float32Array.from(gray, (level) => values[level]);
}

// As brat.perturb.enhance.brightness: fractions of a level are cut off.
function brighten(gray, change) {
  const table = Uint8Array.from({ length: 256 }, (_, level) =>
    Math.floor(Math.min(Math.max(Math.fround(level + Math.fround(change * 255)), 0), 255)),
  );
  return gray.map((level) => table[level]);
}

// As brat.perturb.enhance.clahe, which is OpenCV's (modules/imgproc/src/clahe.cpp): Zuiderveld's method.
function equalise(gray, width, height, clipLimit) {
  const tables = tileTables(gray, width, height, clipLimit);
  const [tileWidth, tileHeight] = [width, height].map((side) => tileSide(side, width, height));
  const across = betweenTiles(width, tileWidth);
  const down = betweenTiles(height, tileHeight);
  const result = new Uint8Array(gray.length);
  for (let y = 0, index = 0; y < height; y++) {
    const row = down[y];
    const [upper, lower] = [256 * TILES * row.first, 256 * TILES * row.second];
    for (let x = 0; x < width; x++, index++) {
      const column = across[x];
      const [left, right] = [256 * column.first + gray[index], 256 * column.second + gray[index]];
      const above = tables[upper + left] * (1 - column.share) + tables[upper + right] * column.share;
      const below = tables[lower + left] * (1 - column.share) + tables[lower + right] * column.share;
      result[index] = toEven(above * (1 - row.share) + below * row.share);
    }
  }
  return result;
}

// Where a side is no multiple of the tiles, both are filled up, and a side that is one by a whole tile of pixels.
function tileSide(side, width, height) {
  const isWhole = width % TILES === 0 && height % TILES === 0;
  return (isWhole ? side : side + TILES - (side % TILES)) / TILES;
}

// uint8 (tiles * tiles * 256): what each level becomes in each tile.
function tileTables(gray, width, height, clipLimit) {
  const [tileWidth, tileHeight] = [width, height].map((side) => tileSide(side, width, height));
  const area = tileWidth * tileHeight;
  const most = Math.max(Math.trunc((clipLimit * area) / 256), 1);
  const scale = Math.fround(255 / area);
  const tables = new Uint8Array(TILES * TILES * 256);
  for (let tile = 0; tile < TILES * TILES; tile++) {
    const [left, top] = [(tile % TILES) * tileWidth, Math.floor(tile / TILES) * tileHeight];
    const counts = new Int32Array(256);
    for (let y = top; y < top + tileHeight; y++) {
      const row = width * mirrored(y, height);
      for (let x = left; x < left + tileWidth; x++) counts[gray[row + mirrored(x, width)]]++;
    }
    clip(counts, most);
    for (let level = 0, sum = 0; level < 256; level++) {
      sum += counts[level];
      tables[256 * tile + level] = Math.min(toEven(Math.fround(sum * scale)), 255);
    }
  }
  return tables;
}

// Past the edge the picture goes on mirrored, without its last row twice.
const mirrored = (at, side) => (at < side ? at : Math.max(2 * side - 2 - at, 0));

// What is over the limit is spread over all levels.
function clip(counts, most) {
  let over = 0;
  for (let level = 0; level < 256; level++) {
    over += Math.max(counts[level] - most, 0);
    counts[level] = Math.min(counts[level], most);
  }
  const each = Math.floor(over / 256);
  let rest = over - 256 * each;
  for (let level = 0; level < 256; level++) counts[level] += each;
  const step = rest ? Math.max(Math.floor(256 / rest), 1) : 256;
  for (let level = 0; level < 256 && rest > 0; level += step, rest--) counts[level]++;
}

// Along one axis, for each pixel: the two tiles whose middles it lies between, and the second one's share.
function betweenTiles(length, tile) {
  return Array.from({ length }, (_, at) => {
    const position = Math.fround(at / tile - 0.5);
    const first = Math.floor(position);
    return { first: Math.max(first, 0), second: Math.min(first + 1, TILES - 1), share: position - first };
  });
}

function toEven(value) {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 ? floor + 1 : floor;
}

// As brat.model.preprocess.Geometry.to_scan: bilinear with half-pixel centres, the edge repeated, 0 outside the
// square. Returns levels of 0 to 255, one a scan pixel.
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
  const pairs = [];
  for (let at = Math.max(start, 0); at < Math.min(start + side, length); at++) {
    const position = Math.min(Math.max(((at - start + 0.5) * n) / side - 0.5, 0), n - 1);
    const first = Math.floor(position);
    pairs.push({ at, first, second: Math.min(first + 1, n - 1), share: position - first });
  }
  return pairs;
}

// The line on which levels pass a limit, by marching squares (Lorensen and Cline 1987, in two dimensions): pairs
// of points in scan pixels. Of a large scan not every pixel is asked.
function contour(levels, width, height, limit) {
  const step = Math.max(1, Math.floor(Math.max(width, height) / 512));
  const lines = [];
  for (let y = 0; y + step < height; y += step) {
    for (let x = 0; x + step < width; x += step) {
      const corners = [
        [x, y],
        [x + step, y],
        [x + step, y + step],
        [x, y + step],
      ].map(([across, down]) => ({ across, down, level: levels[down * width + across] }));
      const crossings = [];
      corners.forEach((one, at) => {
        const other = corners[(at + 1) % 4];
        if (one.level >= limit === other.level >= limit) return;
        const share = (limit - one.level) / (other.level - one.level);
        crossings.push([
          one.across + share * (other.across - one.across) + 0.5,
          one.down + share * (other.down - one.down) + 0.5,
        ]);
      });
      for (let at = 0; at + 1 < crossings.length; at += 2) lines.push([crossings[at], crossings[at + 1]]);
    }
  }
  return lines;
}
