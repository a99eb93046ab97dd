/** Zoom and pan of a picture in its frame: pure. The frame is 1 × 1; the picture fills it at scale 1. */
export interface View {
  scale: number;
  /** Where the picture's left and upper edge lie, in frames. */
  x: number;
  y: number;
}
export const WHOLE: View = { scale: 1, x: 0, y: 0 };
const MOST = 12;

/** `factor` times as large, with the point (`x`, `y`) of the frame staying where it is. */
export function zoomed(view: View, factor: number, x = 0.5, y = 0.5): View {
  const scale = Math.min(MOST, Math.max(1, view.scale * factor));
  const ratio = scale / view.scale;
  return kept({ scale, x: x - (x - view.x) * ratio, y: y - (y - view.y) * ratio });
}

export function moved(view: View, dx: number, dy: number): View {
  return kept({ ...view, x: view.x + dx, y: view.y + dy });
}

/** No edge comes into the frame. */
function kept(view: View): View {
  const least = 1 - view.scale;
  const clamp = (value: number) => Math.min(0, Math.max(least, value));
  return { ...view, x: clamp(view.x), y: clamp(view.y) };
}

export type Region = [x: number, y: number, width: number, height: number];

/** The rectangle between two points of the picture (0–1), in its pixels; null if it is but a click. */
export function regionOf(
  from: readonly [number, number],
  to: readonly [number, number],
  width_px: number,
  height_px: number,
): Region | null {
  const inside = (value: number) => Math.min(1, Math.max(0, value));
  const [x0, x1] = [inside(from[0]), inside(to[0])].sort((a, b) => a - b) as [number, number];
  const [y0, y1] = [inside(from[1]), inside(to[1])].sort((a, b) => a - b) as [number, number];
  const region: Region = [x0 * width_px, y0 * height_px, (x1 - x0) * width_px, (y1 - y0) * height_px];
  return region[2] < 4 || region[3] < 4 ? null : (region.map((value) => Math.round(value)) as Region);
}
