// The slice viewer: NiiVue draws, this file decides what a reader sees: side, window, slice, overlays.

import { el } from "./dom.js";
import { buttonFor } from "./keys.js";
import { leaveOutGradients, mainAxis, outlined } from "./volume.js";
import { Niivue, NVImage, SHOW_RENDER, SLICE_TYPE } from "./vendor/niivue.js";

// Level and width in HU as they are usual in reading rooms (Murphy A, Windowing (CT), Radiopaedia, rID 52108).
const PRESETS = [
  { title: "Brain", window: [40, 80] },
  { title: "Subdural", window: [75, 215] },
  { title: "Bone", window: [600, 2800] },
  { title: "Lung", window: [-600, 1500] },
  { title: "Mediastinum", window: [50, 350] },
];
const AIR_HU = -200; // Values of a CT reach far below it; those of an 8-bit picture do not.
const LABELS = 1002; // NIFTI_INTENT_LABEL: values are names, not amounts.
// NiiVue gives a voxel the mean alpha of itself and its six neighbors, of which a line has at least two.
const LINE_OPACITY = 7 / 3;
const HEAT_OPACITY = 0.45;
// As the pictures of reports show it: of 255 the lowest that is shown, and the colors from there on.
const HEAT_LOWEST = 64;
const HEAT_COLORS = { R: [138, 255, 255, 255], G: [0, 0, 255, 255], B: [0, 0, 0, 25], A: [0, 255, 255, 255], I: [0, 75, 243, 255] };
const PIXELS_A_SLICE = 9;
const MOST_ZOOM = 12;
const PLANES = [SLICE_TYPE.SAGITTAL, SLICE_TYPE.CORONAL, SLICE_TYPE.AXIAL];

/** Return whether this browser can show volumes. */
export function hasWebGl() {
  return document.createElement("canvas").getContext("webgl2") !== null;
}

/**
 * Return the viewer of a volume: `goTo(place)`, `loadOverlays()`, `tools`, `actions`, `overlay` and `close`.
 *
 * `bytes` is the NIfTI file; `load(name)` gives the bytes of "mask" or "heatmap", or null; `moved(place)` hears which
 * slice a click in another plane led to; `step(by)` is asked for another slice.
 */
export async function makeViewer({ canvas, bytes, finding, projection, load, moved, step }) {
  const nv = new Niivue({
    interactive: false,
    dragAndDropEnabled: false,
    isRadiologicalConvention: true,
    showAllOrientationMarkers: true,
    isOrientationTextVisible: !projection,
    sagittalNoseLeft: true,
    crosshairWidth: 0,
    crosshairColor: [0.35, 0.7, 1, 0.8],
    fontColor: [1, 0.85, 0.4, 1],
    backColor: [0, 0, 0, 1],
    isResizeCanvas: true,
    multiplanarShowRender: SHOW_RENDER.NEVER,
    multiplanarPadPixels: 18,
    loadingText: "",
    logLevel: "error",
  });
  await nv.attachToCanvas(canvas, false);
  leaveOutGradients(nv);
  const volume = await NVImage.loadFromUrl({ url: bytes, name: "volume.nii.gz", colormap: "gray" });
  const [level, width] = finding.display_window;
  setRange(level, width);
  nv.addVolume(volume);

  const axis = mainAxis(finding.ijk_to_ras);
  nv.setSliceType(PLANES[axis]);
  const fractions = finding.slices.map(({ position_ras }) => Array.from(nv.mm2frac(position_ras, 0, true)));
  const inHu = !projection && volume.global_min < AIR_HU;
  const shown = { mask: true, heatmap: false, planes: false };
  const layers = {};
  const masks = finding.masks.map((mask, number) => ({ ...mask, value: number + 1 })).filter(({ voxels }) => voxels);
  const overlay = el("div", { class: "overlay" });
  const windowText = el("p", { class: "window-text" });
  const pointText = el("p", { class: "point-text" });
  const legend = el("ul", { class: "legend-over" });
  overlay.append(windowText, pointText, legend);
  // A radiograph lies in a plane by convention only: just the sides are named.
  if (projection) overlay.append(...["R", "L"].map((side) => el("p", { class: `side ${side}` }, side)));

  function setRange(wantedLevel, wantedWidth) {
    volume.cal_min = wantedLevel - wantedWidth / 2;
    volume.cal_max = wantedLevel + wantedWidth / 2;
  }

  let waiting = false;
  function setWindow(wantedLevel, wantedWidth) {
    setRange(wantedLevel, Math.max(wantedWidth, Math.abs(width) / 500));
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      nv.refreshLayers(volume, 0);
      nv.drawScene();
      sayWindow();
    });
  }

  function sayWindow() {
    const [low, high] = [volume.cal_min, volume.cal_max];
    const digits = high - low < 10 ? 2 : 0;
    windowText.textContent = `L ${((low + high) / 2).toFixed(digits)} W ${(high - low).toFixed(digits)}${inHu ? " HU" : ""}`;
    for (const button of presets) {
      button.setAttribute("aria-pressed", String(button.dataset.low === String(low) && button.dataset.high === String(high)));
    }
  }

  function goTo(place) {
    const wanted = fractions[place];
    const pos = nv.scene.crosshairPos;
    pos[axis] = wanted[axis];
    nv.drawScene();
    canvas.dataset.slice = place;
    sayPoint();
  }

  let pointed = false;
  function sayPoint() {
    if (!pointed) return (pointText.textContent = "");
    const mm = nv.frac2mm(nv.scene.crosshairPos, 0, true);
    const value = volume.getValue(...volume.mm2vox(mm));
    const sides = [["R", "L"], ["A", "P"], ["S", "I"]].map(([plus, minus], n) => `${mm[n] >= 0 ? plus : minus} ${Math.abs(mm[n]).toFixed(0)}`);
    const number = Number.isInteger(value) ? String(value) : value.toPrecision(3);
    pointText.textContent = projection ? `Value ${number}` : `${number}${inHu ? " HU" : ""} at ${sides.join(", ")} mm`;
  }

  function pointAt(event) {
    const fraction = fractionAt(event);
    if (!(fraction[0] >= 0)) return;
    pointed = true;
    nv.scene.crosshairPos = fraction;
    nv.drawScene();
    sayPoint();
    if (!shown.planes || fractions.length < 2) return;
    const distances = fractions.map((other) => Math.abs(other[axis] - fraction[axis]));
    const place = distances.indexOf(Math.min(...distances));
    canvas.dataset.slice = place;
    moved(place);
  }

  function zoomTo(zoom) {
    const pan = nv.scene.pan2Dxyzmm;
    const wanted = Math.min(Math.max(zoom, 1), MOST_ZOOM);
    nv.setPan2Dxyzmm(wanted === 1 ? [0, 0, 0, 1] : [pan[0], pan[1], pan[2], wanted]);
  }

  const fractionAt = ({ clientX, clientY }) => {
    const box = canvas.getBoundingClientRect();
    const scale = canvas.width / box.width;
    return nv.canvasPos2frac([(clientX - box.left) * scale, (clientY - box.top) * scale]);
  };
  function panFrom(from, to) {
    const [start, end] = [from, to].map(fractionAt);
    if (!(start[0] >= 0 && end[0] >= 0)) return;
    const [a, b] = [start, end].map((fraction) => nv.frac2mm(fraction));
    const pan = nv.scene.pan2Dxyzmm;
    nv.setPan2Dxyzmm([...[0, 1, 2].map((n) => pan[n] + pan[3] * (b[n] - a[n])), pan[3]]);
  }

  // Wheel: slices, with Ctrl zoom. Left drag: the point, with Shift the place; right drag: the window. Touch: one finger
  // slices, two zoom.
  const fingers = new Map();
  let held = null;
  let turned = 0;
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      if (event.ctrlKey) return zoomTo(nv.scene.pan2Dxyzmm[3] * (event.deltaY < 0 ? 1.15 : 1 / 1.15));
      turned += event.deltaMode ? event.deltaY * 40 : event.deltaY;
      const by = Math.trunc(turned / 40) || 0;
      if (by) step(Math.sign(by) * Math.min(Math.abs(by), 3));
      if (by) turned = 0;
    },
    { passive: false },
  );
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, event);
    held = { x: event.clientX, y: event.clientY, low: volume.cal_min, high: volume.cal_max, gap: gap(), zoom: nv.scene.pan2Dxyzmm[3], moved: false };
    if (event.pointerType !== "touch" && event.button === 0 && !event.shiftKey) pointAt(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before || !held) return;
    fingers.set(event.pointerId, event);
    const [x, y] = [event.clientX - held.x, event.clientY - held.y];
    if (fingers.size === 2) {
      zoomTo((held.zoom * gap()) / Math.max(held.gap, 1));
      return panFrom(before, event);
    }
    if (event.pointerType === "touch") {
      const by = Math.trunc(y / PIXELS_A_SLICE);
      if (by && fractions.length > 1) {
        held.y += by * PIXELS_A_SLICE;
        held.moved = true;
        step(by);
      }
    } else if (event.buttons & 2) {
      const span = held.high - held.low;
      setWindow((held.low + held.high) / 2 + (y * span) / 250, span * Math.exp(x / 150));
    } else if (event.buttons & 1) event.shiftKey ? panFrom(before, event) : pointAt(event);
  });
  const lift = (event) => {
    if (event.type === "pointerup" && event.pointerType === "touch" && fingers.size === 1 && held && !held.moved) pointAt(event);
    fingers.delete(event.pointerId);
    if (!fingers.size) held = null;
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  const gap = () => {
    const [a, b] = [...fingers.values()];
    return a && b ? Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY) : 0;
  };

  async function addLayer(name, dress) {
    const file = await load(name);
    if (!file) return;
    const layer = await NVImage.loadFromUrl({ url: file, name: `${name}.nii.gz`, opacity: 0 });
    dress(layer);
    // Adding would compute the image anew, too; what is laid over it is drawn below.
    const { updateGLVolume } = nv;
    nv.updateGLVolume = () => {};
    nv.addVolume(layer);
    nv.updateGLVolume = updateGLVolume;
    layers[name] = layer;
  }

  /** Load mask and heat map, as far as there are any; the mask is shown, without one the heat map is. */
  async function loadOverlays() {
    if (masks.length) {
      await addLayer("mask", (layer) => {
        const channel = (n) => [0, ...masks.map(({ colour }) => Math.round(255 * colour[n]))];
        layer.hdr.intent_code = LABELS;
        layer.img = outlined(layer.img, layer.hdr.dims);
        layer.setColormapLabel({ R: channel(0), G: channel(1), B: channel(2), A: [0, ...masks.map(() => 255)], I: [0, ...masks.map(({ value }) => value)] });
      });
      if (layers.mask) legend.append(...masks.map(({ name, colour }) => el("li", { class: "of-mask" }, el("span", { class: "swatch", style: `background: rgb(${colour.map((part) => Math.round(255 * part)).join(" ")})` }), name)));
    }
    if (finding.heatmap) {
      await addLayer("heatmap", (layer) => {
        nv.addColormap("heat", HEAT_COLORS);
        layer.colormap = "heat";
        layer.cal_min = HEAT_LOWEST;
        layer.cal_max = 255;
      });
      if (layers.heatmap) legend.append(el("li", { class: "of-heatmap" }, el("span", { class: "swatch heat-key" }), finding.heatmap.name));
    }
    shown.heatmap = Boolean(layers.heatmap) && !layers.mask;
    for (const [name, button] of Object.entries({ mask: maskButton, heatmap: heatButton })) button.disabled = !layers[name];
    dressLayers();
  }

  function dressLayers() {
    for (const [name, opacity] of [["mask", LINE_OPACITY], ["heatmap", HEAT_OPACITY]]) {
      if (layers[name]) layers[name].opacity = shown[name] ? opacity : 0;
    }
    nv.refreshColormaps();
    nv.volumes.slice(1).forEach((layer, number) => nv.refreshLayers(layer, number + 1));
    nv.drawScene();
    maskButton.setAttribute("aria-pressed", String(shown.mask));
    heatButton.setAttribute("aria-pressed", String(shown.heatmap));
    for (const item of legend.children) item.hidden = !shown[item.className.replace("of-", "")];
    canvas.dataset.layers = Object.keys(layers).filter((name) => shown[name]).join(" ");
  }

  const toggle = (name) => () => {
    shown[name] = !shown[name];
    dressLayers();
  };
  /** Put the point onto what is marked on the slice that is shown, so that the other planes show it, too. */
  function pointAtMarked() {
    const slice = finding.slices[Number(canvas.dataset.slice ?? 0)];
    const [, columns, rows] = layers.mask?.hdr.dims ?? [];
    const k = Math.round(slice?.k ?? 0);
    let [count, i, j] = [0, 0, 0];
    for (let at = 0; at < columns * rows; at++) {
      if (!layers.mask.img[k * columns * rows + at]) continue;
      count += 1;
      i += at % columns;
      j += Math.floor(at / columns);
    }
    if (!count) return;
    const ras = finding.ijk_to_ras.slice(0, 3).map((row) => (row[0] * i + row[1] * j) / count + row[2] * k + row[3]);
    nv.scene.crosshairPos = nv.mm2frac(ras, 0, true);
  }
  function planes() {
    shown.planes = !shown.planes;
    if (shown.planes && !pointed) pointAtMarked();
    nv.setCrosshairWidth(shown.planes ? 1 : 0);
    nv.setSliceType(shown.planes ? SLICE_TYPE.MULTIPLANAR : PLANES[axis]);
    planesButton.setAttribute("aria-pressed", String(shown.planes));
  }
  function reset() {
    nv.setPan2Dxyzmm([0, 0, 0, 1]);
    setWindow(level, width);
  }
  function invert() {
    volume.colormapInvert = !volume.colormapInvert;
    nv.refreshColormaps();
    nv.refreshLayers(volume, 0);
    nv.drawScene();
    invertButton.setAttribute("aria-pressed", String(volume.colormapInvert));
  }

  const windows = [{ title: "As read", window: [level, width] }, ...(inHu ? PRESETS : [])].map(({ title, window }, number) => ({
    title: `Window ${title.toLowerCase()}, level ${window[0]}, width ${window[1]}`,
    name: title,
    keys: [String(number + 1)],
    window,
    run: () => setWindow(...window),
  }));
  const presets = windows.map((action) => buttonFor(action, { "aria-pressed": "false", data: { low: action.window[0] - action.window[1] / 2, high: action.window[0] + action.window[1] / 2 } }, action.name));
  const own = {
    mask: { title: "Overlay", keys: ["o"], run: () => layers.mask && toggle("mask")() },
    heat: { title: "Heat map", keys: ["h"], run: () => layers.heatmap && toggle("heatmap")() },
    planes: { title: "3 planes", keys: ["v"], run: planes },
    invert: { title: "Invert", keys: ["i"], run: invert },
    zoomIn: { title: "Zoom in", keys: ["+", "="], run: () => zoomTo(nv.scene.pan2Dxyzmm[3] * 1.25) },
    zoomOut: { title: "Zoom out", keys: ["-"], run: () => zoomTo(nv.scene.pan2Dxyzmm[3] / 1.25) },
    reset: { title: "Reset window and zoom", keys: ["r"], run: reset },
  };
  const maskButton = buttonFor(own.mask, { "aria-pressed": "true", disabled: true, hidden: !masks.length });
  const heatButton = buttonFor(own.heat, { "aria-pressed": "false", disabled: true, hidden: !finding.heatmap });
  const planesButton = buttonFor(own.planes, { "aria-pressed": "false", hidden: fractions.length < 2 });
  const invertButton = buttonFor(own.invert, { "aria-pressed": "false" });
  const others = [buttonFor(own.zoomOut, { "aria-label": "Zoom out" }, "−"), buttonFor(own.zoomIn, { "aria-label": "Zoom in" }, "+"), buttonFor(own.reset, {}, "Reset")];
  sayWindow();
  return {
    goTo,
    loadOverlays,
    overlay,
    tools: [el("span", { class: "group", role: "group", "aria-label": "Window" }, presets), el("span", { class: "group", role: "group", "aria-label": "Overlays" }, maskButton, heatButton), el("span", { class: "group", role: "group", "aria-label": "View" }, planesButton, invertButton, others)],
    actions: [...windows, ...Object.values(own).filter((action) => (action !== own.planes || fractions.length > 1) && (action !== own.heat || finding.heatmap) && (action !== own.mask || masks.length))],
    close() {
      nv.cleanup();
      canvas.getContext("webgl2")?.getExtension("WEBGL_lose_context")?.loseContext();
    },
  };
}
