// What is done to a volume before it is drawn, and what is left out.

const PIXELS_A_LINE = 300; // A region's outline has one pixel for each so many of a row.

/** Return labels of a grid, kept along the outlines that their regions have in the plane of the slices. */
export function outlined(labels, [, columns, rows]) {
  const drawn = new Uint8Array(labels.length);
  const plane = columns * rows;
  const thick = Math.max(1, Math.round(columns / PIXELS_A_LINE));
  for (let at = 0; at < labels.length; at++) {
    const label = labels[at];
    if (!label) continue;
    const x = at % columns;
    const y = Math.floor((at % plane) / columns);
    const inside =
      x >= thick && x < columns - thick && y >= thick && y < rows - thick &&
      labels[at - thick] === label && labels[at + thick] === label &&
      labels[at - thick * columns] === label && labels[at + thick * columns] === label;
    if (!inside) drawn[at] = label;
  }
  return drawn;
}

/**
 * Keep NiiVue from computing gradients of the volume: they are for rendering in 3D, which this page does not do, and
 * would take the memory of two further volumes of four bytes a voxel, and most of the time of each change of window.
 */
export function leaveOutGradients(nv) {
  const make = nv.rgbaTex.bind(nv);
  const unused = [nv.gl.TEXTURE6, nv.gl.TEXTURE8];
  nv.rgbaTex = (texture, unit, dims, ...others) => make(texture, unit, unused.includes(unit) ? [3, 1, 1, dims[3]] : dims, ...others);
}

/** Return the axis of RAS (0, 1, 2) nearest to the normal of the slices: the third column of the grid. */
export function mainAxis(ijkToRas) {
  const normal = [0, 1, 2].map((row) => Math.abs(ijkToRas[row][2]));
  return normal.indexOf(Math.max(...normal));
}
