// Masks drawn on a camera's picture: polygons in shares of its width and height, sent as JSON in a form.
const editor = document.getElementById("masks");
const svg = editor?.querySelector("svg");
const field = editor?.querySelector("input[name=masks]");
const fixed = JSON.parse(editor?.dataset.fixed ?? "[]"); // of the gateway's configuration
let masks = JSON.parse(editor?.dataset.masks ?? "[]");
let open = []; // the corners of the one being drawn

const shape = (name, points, kind = "") => {
  const el = document.createElementNS("http://www.w3.org/2000/svg", name);
  if (kind) el.setAttribute("class", kind);
  el.setAttribute("points", points.map((p) => p.join(",")).join(" "));
  return el;
};
function draw() {
  svg.replaceChildren(
    ...fixed.map((m) => shape("polygon", m.points, "fixed")), ...masks.map((m) => shape("polygon", m.points)),
  );
  if (open.length) svg.append(shape("polyline", open.length === 1 ? [open[0], open[0]] : open));
  if (field) field.value = JSON.stringify(masks);
}
function close() {
  if (open.length >= 3) masks.push({ points: open, labels: [] });
  open = [];
}
const acts = {
  close,
  undo: () => { if (open.length) open.pop(); else masks.pop(); },
  clear: () => { masks = []; open = []; },
};
if (field) {
  svg.parentElement.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    const frame = svg.getBoundingClientRect();
    const share = (at, from, size) => Math.round(Math.min(1, Math.max(0, (at - from) / size)) * 1000) / 1000;
    open.push([share(event.clientX, frame.left, frame.width), share(event.clientY, frame.top, frame.height)]);
    draw();
  });
  for (const button of editor.querySelectorAll("[data-do]")) {
    button.addEventListener("click", () => { acts[button.dataset.do](); draw(); });
  }
  field.form.addEventListener("submit", () => { close(); draw(); });
}
if (svg) draw();
