// One chart per quantity: history from the API, then what arrives live. A gap is drawn as a gap.
import { now_ms, t, value } from "./show.mjs";

const charts = [];
const TEN_MINUTES_S = 600;
let span_s = 3600;

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function withGaps(times, values, gap_s) {
  const x = [];
  const y = [];
  times.forEach((time, i) => {
    if (i > 0 && time - times[i - 1] > gap_s) {
      x.push((time + times[i - 1]) / 2);
      y.push(null);
    }
    x.push(time);
    y.push(typeof values[i] === "boolean" ? Number(values[i]) : values[i]);
  });
  return [x, y];
}

class Chart {
  constructor(figure) {
    this.figure = figure;
    this.plot = figure.querySelector(".plot");
    this.limits = JSON.parse(figure.dataset.limits);
    this.times = [];
    this.values = [];
    this.gaps = [];
    this.meansUntil = 0;
  }

  async load() {
    const { site, device, quantity } = this.figure.dataset;
    const end = Math.floor(now_ms()) * 1_000_000;
    const points = Math.max(Math.min(Math.floor(this.plot.clientWidth), 2000), 200);
    const query = `from_ns=${BigInt(end) - BigInt(span_s) * 1_000_000_000n}&to_ns=${end + 5e9}&max_points=${points}`;
    const answer = await fetch(`/api/v1/series/${site}/${device}/${quantity}?${query}`);
    if (!answer.ok) return;
    const told = await answer.json();
    this.times = told.t.map((ns) => ns / 1e9);
    this.values = told.v;
    this.gaps = (told.gaps ?? []).map(([from, to]) => [from / 1e9, to / 1e9]);
    this.meansUntil = (told.means_until_ns ?? 0) / 1e9;
    this.draw();
  }

  isYoung() {
    return this.times.length === 0 || this.times[0] > now_ms() / 1000 - TEN_MINUTES_S;
  }

  gap() {
    return Math.max(Number(this.figure.dataset.gap), (span_s / 200) * 2.5);
  }

  draw() {
    const data = withGaps(this.times, this.values, this.gap());
    this.figure.dataset.points = this.times.length;
    this.figure.dataset.gaps = this.gaps.length;
    this.figure.dataset.means = this.meansUntil > 0;
    if (this.drawn) {
      this.drawn.setData(data, false);
      this.rescale();
      return;
    }
    const axis = { stroke: css("--soft"), grid: { stroke: css("--line"), width: 1 }, ticks: { show: false } };
    this.drawn = new uPlot({
      width: this.plot.clientWidth,
      height: 200,
      cursor: { y: false },
      legend: { show: false },
      scales: { x: { time: true }, y: { range: (_, low, high) => this.range(low, high) } },
      axes: [{ ...axis, size: 28, values: (_, splits) => splits.map((s) => this.clock(s)) }, { ...axis, size: 56 }],
      series: [
        { label: "" },
        {
          label: this.figure.dataset.unit,
          stroke: css("--accent"),
          width: 2,
          points: { show: this.times.length < 40 },
          value: (_, v) => value(v, this.figure.dataset.unit),
        },
      ],
      hooks: { draw: [(u) => this.drawGaps(u), (u) => this.drawLimits(u)], setCursor: [(u) => this.read(u)] },
    }, data, this.plot);
    this.rescale();
  }

  clock(time_s) {
    const when = new Date(time_s * 1000);
    const two = (n) => String(n).padStart(2, "0");
    const day = `${two(when.getMonth() + 1)}-${two(when.getDate())}`;
    const hour = `${two(when.getHours())}:${two(when.getMinutes())}`;
    return span_s > 86400 ? `${day} ${hour}` : hour;
  }

  read(u) {
    const at = u.cursor.idx;
    const told = at === null || at === undefined ? null : u.data[1][at];
    this.figure.querySelector("output").textContent = told === null || told === undefined ? "" :
      `${this.clock(u.data[0][at])}  ${value(told, this.figure.dataset.unit)}`;
  }

  range(low, high) {
    if (low === null || high === null) return [0, 1];
    const near = this.limits.filter((l) => l <= high * 10 + 1);
    const top = Math.max(high, ...near);
    const bottom = Math.min(low, ...near);
    const pad = (top - bottom || Math.abs(top) || 1) * 0.1;
    return [bottom - pad, top + pad];
  }

  rescale() {
    const end = now_ms() / 1000;
    this.drawn.setScale("x", { min: end - span_s, max: end });
  }

  // What the gateway gave up is shaded and named: a hole in the line alone does not say why.
  drawGaps(u) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.fillStyle = css("--warn");
    ctx.textAlign = "left";
    ctx.font = `${12 * devicePixelRatio}px sans-serif`;
    if (this.meansUntil > 0) {
      ctx.fillStyle = css("--soft");
      ctx.fillText(t("device.means"), bbox.left + 4, bbox.top + 14 * devicePixelRatio);
      ctx.fillRect(u.valToPos(this.meansUntil, "x", true), bbox.top, devicePixelRatio, bbox.height);
      ctx.fillStyle = css("--warn");
    }
    for (const [from, to] of this.gaps) {
      const left = u.valToPos(from, "x", true);
      const width = Math.max(u.valToPos(to, "x", true) - left, 2 * devicePixelRatio);
      ctx.globalAlpha = 0.2;
      ctx.fillRect(left, bbox.top, width, bbox.height);
      ctx.globalAlpha = 1;
      const said = t("device.given_up");
      if (width > ctx.measureText(said).width + 8) {
        ctx.fillText(said, Math.max(left, bbox.left) + 4, bbox.top + bbox.height - 6);
      }
    }
    ctx.restore();
  }

  drawLimits(u) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.setLineDash([6, 4]);
    ctx.lineWidth = 2;
    ctx.strokeStyle = css("--alarm");
    ctx.fillStyle = css("--alarm");
    ctx.textAlign = "left";
    ctx.font = `${12 * devicePixelRatio}px sans-serif`;
    for (const limit of this.limits) {
      const y = u.valToPos(limit, "y", true);
      if (y < bbox.top || y > bbox.top + bbox.height) continue;
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      ctx.fillText(value(limit, this.figure.dataset.unit), bbox.left + 4, y - 5);
    }
    if (this.times.length === 0) {
      ctx.fillStyle = css("--soft");
      ctx.textAlign = "center";
      ctx.fillText(t("device.no_points"), bbox.left + bbox.width / 2, bbox.top + bbox.height / 2);
    }
    ctx.restore();
  }

  add(time_s, told) {
    if (!this.drawn || time_s <= (this.times.at(-1) ?? 0)) return;
    this.times.push(time_s);
    this.values.push(told);
    const first = now_ms() / 1000 - span_s;
    while (this.times.length > 5000 || this.times[0] < first) {
      this.times.shift();
      this.values.shift();
    }
    this.dirty = true;
  }
}

for (const figure of document.querySelectorAll(".chart")) {
  const chart = new Chart(figure);
  charts.push(chart);
}

function choose(seconds) {
  span_s = seconds;
  for (const button of document.querySelectorAll("#span button")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.seconds) === seconds));
  }
  return Promise.all(charts.map((chart) => chart.load()));
}

// A device that began minutes ago is a sliver on an hour's axis.
choose(span_s).then(() => {
  if (charts.length && span_s === 3600 && charts.every((chart) => chart.isYoung())) choose(TEN_MINUTES_S);
});

document.addEventListener("tocsin:last", ({ detail: row }) => {
  for (const chart of charts) {
    const at = chart.figure.dataset;
    if (at.site === row.site && at.device === row.device && at.quantity === row.quantity) {
      chart.add(row.time_ms / 1000, row.value);
    }
  }
});
setInterval(() => {
  for (const chart of charts) {
    if (!chart.drawn) continue;
    if (chart.dirty) chart.draw();
    else chart.rescale();
    chart.dirty = false;
  }
}, 1000);

new ResizeObserver(() => {
  for (const chart of charts) chart.drawn?.setSize({ width: chart.plot.clientWidth, height: 200 });
}).observe(document.querySelector(".charts") ?? document.body);

for (const button of document.querySelectorAll("#span button")) {
  button.addEventListener("click", () => choose(Number(button.dataset.seconds)));
}
