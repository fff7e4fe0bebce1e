// Positions on a map that needs no network: a graticule, markers, and a PMTiles base map when one is configured.
import { t } from "./show.mjs";

const box = document.getElementById("map");
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function graticule(step, bounds) {
  const lines = [];
  const { _sw: low, _ne: high } = bounds;
  const from = (x) => Math.floor(x / step) * step;
  for (let lon = from(low.lng); lon <= high.lng; lon += step) {
    lines.push([[lon, Math.max(low.lat, -85)], [lon, Math.min(high.lat, 85)]]);
  }
  for (let lat = from(Math.max(low.lat, -85)); lat <= Math.min(high.lat, 85); lat += step) {
    lines.push([[low.lng, lat], [high.lng, lat]]);
  }
  return { type: "Feature", properties: {}, geometry: { type: "MultiLineString", coordinates: lines } };
}

function stepFor(width_deg) {
  const steps = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30];
  return steps.find((s) => width_deg / s <= 12) ?? 30;
}

function marker(row) {
  const el = document.createElement("a");
  el.className = "place";
  el.href = row.querySelector("a").href;
  el.innerHTML = '<i class="pointer"></i><span class="tag"><b></b><small></small></span>';
  return el;
}

function dress(el, row) {
  el.querySelector("b").textContent = row.dataset.name;
  el.dataset.state = row.dataset.state;
  el.dataset.alarm = row.dataset.alarm;
  el.dataset.moves = row.dataset.moves;
  el.dataset.kind = row.dataset.kind;
  el.dataset.lat = row.dataset.lat;
  el.dataset.lon = row.dataset.lon;
  const course = row.dataset.course;
  const pointer = el.querySelector(".pointer");
  pointer.dataset.heading = course;
  pointer.style.rotate = course === "" ? "0deg" : `${course}deg`;
  const state = row.querySelector(".state .word")?.textContent ?? "";
  el.querySelector("small").textContent = `${state} · ${row.querySelector("[data-age]")?.textContent ?? t("live.never")}`;
}

async function style() {
  const layers = [
    { id: "ground", type: "background", paint: { "background-color": css("--ground") } },
    { id: "graticule", type: "line", source: "graticule", paint: { "line-color": css("--line"), "line-width": 1 } },
  ];
  const sources = { graticule: { type: "geojson", data: { type: "FeatureCollection", features: [] } } };
  return { version: 8, sources, layers };
}

async function addBaseMap(maplibre, map) {
  const { PMTiles, Protocol } = window.pmtiles;
  const protocol = new Protocol();
  maplibre.addProtocol("pmtiles", protocol.tile);
  const archive = new PMTiles(box.dataset.tiles);
  protocol.add(archive);
  const header = await archive.getHeader();
  const url = `pmtiles://${box.dataset.tiles}`;
  if (header.tileType !== 1) {
    map.addSource("base", { type: "raster", url, tileSize: 256 });
    map.addLayer({ id: "base", type: "raster", source: "base" }, "graticule");
    return;
  }
  map.addSource("base", { type: "vector", url });
  const colours = { water: "--water", earth: "--ground", landuse: "--park", roads: "--road", buildings: "--road" };
  const { vector_layers: found = [] } = await archive.getMetadata();
  for (const { id } of found) {
    const colour = css(colours[id] ?? "--line");
    const fill = ["water", "earth", "landuse", "buildings"].includes(id);
    map.addLayer(fill
      ? { id: `base-${id}`, type: "fill", source: "base", "source-layer": id, paint: { "fill-color": colour, "fill-opacity": 0.6 } }
      : { id: `base-${id}`, type: "line", source: "base", "source-layer": id, paint: { "line-color": colour, "line-width": 1 } }, "graticule");
  }
}

function loadScript(src) {
  return new Promise((done, failed) => {
    const el = document.createElement("script");
    Object.assign(el, { src, onload: done, onerror: failed });
    document.head.append(el);
  });
}

async function start() {
  if (!document.createElement("canvas").getContext("webgl2")) throw new Error("no WebGL");
  const maplibre = await import("/static/vendor/maplibre-gl-6.17.0/maplibre-gl.mjs");
  maplibre.setWorkerUrl("/static/vendor/maplibre-gl-6.17.0/maplibre-gl-worker.mjs");
  const map = new maplibre.Map({ container: box, style: await style(), center: [105, 35], zoom: 3, attributionControl: false });
  map.addControl(new maplibre.NavigationControl({ visualizePitch: false }));
  map.addControl(new maplibre.ScaleControl());
  const redraw = () => {
    const bounds = map.getBounds();
    const step = stepFor(bounds._ne.lng - bounds._sw.lng);
    map.getSource("graticule")?.setData(graticule(step, bounds));
  };
  map.on("load", async () => {
    redraw();
    map.on("moveend", redraw);
    box.dataset.ready = "true";
    if (box.dataset.tiles) {
      await loadScript("/static/vendor/pmtiles-4.5.0/pmtiles.js");
      await addBaseMap(maplibre, map);
    }
  });

  const placed = new Map();
  const place = () => {
    const gone = new Set(placed.keys());
    for (const row of document.querySelectorAll("tr[data-place]")) {
      const key = row.dataset.key;
      const at = [Number(row.dataset.lon), Number(row.dataset.lat)];
      gone.delete(key);
      if (!placed.has(key)) {
        const el = marker(row);
        placed.set(key, { el, pin: new maplibre.Marker({ element: el, anchor: "center" }).setLngLat(at).addTo(map) });
      }
      Object.assign(placed.get(key), { row });
      placed.get(key).pin.setLngLat(at);
      dress(placed.get(key).el, row);
    }
    for (const key of gone) {
      placed.get(key).pin.remove();
      placed.delete(key);
    }
  };
  place();
  document.body.addEventListener("htmx:afterSwap", place); // the table came anew: states, new devices
  const fit = () => {
    const bounds = new maplibre.LngLatBounds();
    for (const { pin } of placed.values()) bounds.extend(pin.getLngLat());
    if (!bounds.isEmpty()) map.fitBounds(bounds, { padding: 80, maxZoom: 15, animate: false });
  };
  fit();
  let following = true; // until a person moves the map
  for (const event of ["dragstart", "wheel", "touchmove"]) map.on(event, () => { following = false; });
  document.getElementById("fit").addEventListener("click", () => { following = true; fit(); });
  document.addEventListener("tocsin:last", ({ detail }) => {
    const at = placed.get(`${detail.site}/${detail.device}`);
    if (!at || typeof detail.value !== "number") return;
    if (!["lat", "lon", "course"].includes(detail.quantity)) return;
    at.row.dataset[detail.quantity] = detail.value;
    const { lat, lon, course } = at.row.dataset;
    at.row.querySelector("[data-position]").textContent = `${Number(lat).toFixed(5)}, ${Number(lon).toFixed(5)}`;
    if (course !== "") at.row.querySelector("[data-course-text]").textContent = `${Number(course).toFixed(0)}°`;
    at.pin.setLngLat([Number(lon), Number(lat)]);
    dress(at.el, at.row);
    if (following && !map.getBounds().contains(at.pin.getLngLat())) fit();
  });
  setInterval(() => { for (const { el, row } of placed.values()) dress(el, row); }, 1000);
}

start().catch((error) => {
  console.warn(String(error));
  box.hidden = true;
  document.getElementById("no-webgl").hidden = false;
});
