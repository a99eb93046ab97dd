/**
 * Whether a picture is fit to be judged: sharp and well exposed, by the measures of the agent's
 * image.quality step (variance of the Laplacian, mean gray, share of clipped pixels).
 */
export interface Quality {
  sharpness: number;
  /** Mean gray level, 0–255. */
  brightness: number;
  /** Share of pixels at 0–2 or 253–255. */
  clipped: number;
}
export type Fault = "blurred" | "dark" | "bright";

export const LIMITS = { sharpness: 50, dark: 30, bright: 225, clipped: 0.25 };
const WIDTH_PX = 480; // measured on a picture of this width: noise is averaged out, blur is not

export function faultOf(quality: Quality): Fault | null {
  if (quality.brightness < LIMITS.dark) return "dark";
  if (quality.brightness > LIMITS.bright) return "bright";
  if (quality.clipped > LIMITS.clipped) return quality.brightness < 128 ? "dark" : "bright";
  return quality.sharpness < LIMITS.sharpness ? "blurred" : null;
}

/** `rgba`: width × height × 4. */
export function measure(rgba: Uint8ClampedArray, width: number, height: number): Quality {
  const gray = grayOf(rgba);
  let [sum, clipped] = [0, 0];
  for (const value of gray) {
    sum += value;
    if (value <= 2 || value >= 253) clipped += 1;
  }
  const count = Math.max(1, gray.length);
  return {
    sharpness: laplacianVariance(gray, width, height),
    brightness: sum / count,
    clipped: clipped / count,
  };
}

function grayOf(rgba: Uint8ClampedArray): Float32Array {
  const gray = new Float32Array(rgba.length / 4);
  for (let i = 0, p = 0; i < gray.length; i += 1, p += 4) {
    gray[i] = 0.299 * (rgba[p] ?? 0) + 0.587 * (rgba[p + 1] ?? 0) + 0.114 * (rgba[p + 2] ?? 0);
  }
  return gray;
}

function laplacianVariance(gray: Float32Array, width: number, height: number): number {
  let [sum, squares, count] = [0, 0, 0];
  const at = (index: number) => gray[index] ?? 0;
  for (let y = 1; y < height - 1; y += 1) {
    for (let x = 1; x < width - 1; x += 1) {
      const i = y * width + x;
      const value = at(i - 1) + at(i + 1) + at(i - width) + at(i + width) - 4 * at(i);
      sum += value;
      squares += value * value;
      count += 1;
    }
  }
  return count === 0 ? 0 : squares / count - (sum / count) ** 2;
}

export type Source = HTMLImageElement | HTMLVideoElement | ImageBitmap;

/** The quality of what a source shows now; null while it shows nothing. */
export function look(source: Source): Quality | null {
  const [width, height] = sizeOf(source);
  if (width === 0 || height === 0) return null;
  const scale = Math.min(1, WIDTH_PX / width);
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (context === null) return null;
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  return measure(data, canvas.width, canvas.height);
}

function sizeOf(source: Source): [number, number] {
  if (source instanceof HTMLVideoElement) return [source.videoWidth, source.videoHeight];
  if (source instanceof HTMLImageElement) return [source.naturalWidth, source.naturalHeight];
  return [source.width, source.height];
}

/** The quality of a picture file; null where the browser cannot read it (TIFF): the agent can. */
export async function lookInto(file: Blob): Promise<Quality | null> {
  try {
    const bitmap = await createImageBitmap(file);
    try {
      return look(bitmap);
    } finally {
      bitmap.close();
    }
  } catch {
    return null;
  }
}
